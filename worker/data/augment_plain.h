/* augment_plain.h - OP_AUGMENT pixel by pixel, as its definition reads: what tests hold the fast ones against, and what runs
 * where there is no backend. */
#ifndef DATA_AUGMENT_PLAIN_H
#define DATA_AUGMENT_PLAIN_H

#include "worker/backend/augment.h"

/* Make one sample of width x height RGB pixels from the pictures in `images`. Errors as augment_check. */
status augment_plain(const augment_sample *s, const uint8_t *images, size_t image_bytes, int width, int height,
                     uint8_t *out);

/* Its steps, for tests. 8-bit colour as OpenCV's RGB2HSV and HSV2RGB have it: hue 0..179, the way back cuts fractions off. */
void augment_rgb_to_hsv(const uint8_t rgb[3], uint8_t hsv[3]);
void augment_hsv_to_rgb(const uint8_t hsv[3], uint8_t rgb[3]);

#endif
