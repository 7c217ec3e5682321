/* resize.h - change a picture's size as OpenCV does, to the last bit.
 *
 * Source: cv2.resize (4.8), INTER_LINEAR and INTER_AREA on 8-bit pixels. */
#ifndef DATA_RESIZE_H
#define DATA_RESIZE_H

#include "worker/data/image.h"

typedef enum resize_kind {
    RESIZE_LINEAR, /* weights of 11 bits; halving both sides is RESIZE_AREA, as in OpenCV */
    RESIZE_AREA,   /* mean over the area that a new pixel covers; only for shrinking, else RESIZE_LINEAR */
} resize_kind;

/* `from` at width x height (1 or more each) into *out, which image_shape sizes and which is another picture. Also right when
 * nothing changes. ERR_MEMORY. */
status image_resize(const image *from, resize_kind kind, int width, int height, image *out);

#endif
