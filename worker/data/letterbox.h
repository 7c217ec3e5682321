/* letterbox.h - how a picture is fitted into a given size.
 *
 * Source: load_image() and letterbox() in utils/datasets.py of the reference. */
#ifndef DATA_LETTERBOX_H
#define DATA_LETTERBOX_H

#include <stdbool.h>

/* load_image: the longer side becomes `size`, the other one keeps the ratio; fractions are cut off (but 1 is the least). */
void letterbox_load_size(int width, int height, int size, int *out_width, int *out_height);

typedef struct letterbox_options { /* {0}: as large as it goes, up or down, with borders all around */
    bool only_shrink;              /* never enlarge (evaluation) */
    bool automatic;                /* borders only up to the next multiple of 64 */
    bool fill;                     /* stretch to the size, no borders; automatic wins */
} letterbox_options;

typedef struct letterbox {
    double ratio_width, ratio_height; /* new / old */
    double pad_width, pad_height;     /* border on each side in pixels; may end in .5 */
    int inner_width, inner_height;    /* of the picture inside */
    int left, top;                    /* where it lies */
    int width, height;                /* of the whole */
} letterbox;

/* A picture of width x height into new_width x new_height (with `automatic` often a smaller whole). Sizes are rounded, half to
 * even; of an odd border the smaller part goes left and top. */
letterbox letterbox_fit(int width, int height, int new_width, int new_height, letterbox_options options);

#endif
