/* mosaic.h - four pictures around a random point, as one layer of a sample.
 *
 * Source: load_mosaic() in utils/datasets.py of the reference. */
#ifndef DATA_MOSAIC_H
#define DATA_MOSAIC_H

#include "worker/data/dataset.h"
#include "worker/data/draw.h"
#include "worker/data/warp.h"

/* The labels of a layer, in pixels. {0} is empty. */
typedef struct corner_list {
    corners *rows;
    size_t count, room;
} corner_list;

typedef struct mosaic {
    int size;                   /* the canvas is 2 size x 2 size */
    int center_x, center_y;     /* where the four meet */
    int picture[AUGMENT_TILES]; /* in the data set: top left, top right, bottom left, bottom right */
    int width[AUGMENT_TILES], height[AUGMENT_TILES]; /* of the pictures, loaded at `size` */
} mosaic;

/* `size` is even. Choose: center_y, center_x (draw_uniform), then three pictures beside `index` (draw_below). */
void mosaic_draw(draw *d, const dataset *data, int size, int index, mosaic *out);

/* Canvas and tiles of a layer; offsets of the pictures are left 0, the warp is left alone. */
void mosaic_layer(const mosaic *m, augment_layer *out);

/* Append the pictures' labels as they lie on the canvas, cut to it. ERR_MEMORY. */
status mosaic_labels(const mosaic *m, const dataset *data, corner_list *out);

#endif
