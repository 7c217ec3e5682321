/* sample.h - everything about one training or validation picture, before any pixel is touched.
 *
 * All random choices depend on sizes alone, so a sample is chosen first; then whoever makes it loads its pictures, sets the
 * tiles' offsets and runs the augmentation.
 *
 * Source: __getitem__() in utils/datasets.py of the reference, with its order of draws. */
#ifndef DATA_SAMPLE_H
#define DATA_SAMPLE_H

#include "worker/data/letterbox.h"
#include "worker/data/mosaic.h"

typedef struct sample_picture {
    int index;                     /* in the data set */
    int width, height;             /* it is loaded at this size (letterbox_load_size) ... */
    int inner_width, inner_height; /* ... then, when this differs, resized to it (letterbox) */
} sample_picture;

/* For mapping boxes back to the picture: as the reference's `shapes`. */
typedef struct sample_origin {
    int width, height;                /* of the file */
    double ratio_width, ratio_height; /* loaded / file */
    double pad_width, pad_height;     /* of the letterbox */
} sample_origin;

typedef struct sample { /* {0} is an empty one; it keeps its memory from use to use */
    augment_sample augment;
    sample_picture picture[AUGMENT_LAYERS][AUGMENT_TILES]; /* of each tile */
    int width, height;                                     /* of the output */
    bool has_origin;                                       /* letterboxed: `origin` is set */
    sample_origin origin;
    label *labels; /* in the output, normalized */
    size_t label_count, label_room;
    corner_list scratch;
} sample;

typedef struct sample_settings {
    const dataset *data;
    const double *hyp; /* of HYP_COUNT */
    int image_size;    /* even */
} sample_settings;

/* A training sample of image_size x image_size: mosaic, mix-up, colour, flips. ERR_MEMORY. */
status sample_mosaic(const sample_settings *s, draw *d, int index, sample *out);

/* A letterboxed one of width x height (a rectangular batch's shape, or the square). With `d`, training: warp, colour, flips;
 * without (NULL), evaluation: never enlarged beyond image_size. ERR_MEMORY. */
status sample_letterbox(const sample_settings *s, draw *d, int index, int width, int height, sample *out);

void sample_free(sample *s);

#endif
