/* batch_picture.h - the pictures of a batch beside each other, with boxes: train_batch0.jpg, test_batch0_pred.jpg and so on.
 *
 * Source: plot_images() of utils/general.py. */
#ifndef PLOTS_BATCH_PICTURE_H
#define PLOTS_BATCH_PICTURE_H

#include <stdint.h>

#include "common/text.h"

typedef struct picture_box {
    int image;            /* of the batch, from 0 */
    float x1, y1, x2, y2; /* corners, in pixels of the batch's pictures */
    int cls;
    float score; /* negative: a label, without one */
} picture_box;

enum { BATCH_PICTURES_MOST = 16 }; /* of a batch that are shown */

typedef struct batch_picture {
    const uint8_t *pixels; /* images x height x width x 3, RGB */
    int images, height, width;
    const char *const *files; /* the pictures' names, one an image; NULL: not shown */
    const picture_box *boxes; /* those of later pictures are drawn over; later ones of a picture, too */
    size_t box_count;
    char *const *names; /* of the classes; NULL: their numbers */
    int classes;
} batch_picture;

/* Draw the first BATCH_PICTURES_MOST pictures, row by row, into *jpeg (a whole file is added), which gets *width x *height pixels.
 * ERR_MEMORY, ERR_IO. */
status batch_picture_draw(const batch_picture *b, text *jpeg, int *width, int *height);

#endif
