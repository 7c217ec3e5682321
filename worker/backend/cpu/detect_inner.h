/* detect_inner.h - how a view is read, for the detect_*.c alone. */
#ifndef CPU_DETECT_INNER_H
#define CPU_DETECT_INNER_H

#include <math.h>

#include "worker/backend/cpu/detect.h"

static inline float detect_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* Where a channel of an image starts; its cells follow `block` apart. */
static inline int64_t detect_start(const detect_view *v, int image, int channel)
{
    return image * v->image_stride + channel / v->block * v->block_stride + channel % v->block;
}

/* The row of one cell and anchor of level `index`: 5 + classes values. */
void detect_decode_row(const detect_view *v, const detect_parameters *p, int index, int image, int anchor, int y, int x,
                       float *row);

#endif
