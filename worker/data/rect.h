/* rect.h - rectangular batches: pictures of like shape together, so that little of a batch is border.
 *
 * Source: LoadImagesAndLabels.__init__() in utils/datasets.py of the reference, with a stable sort. */
#ifndef DATA_RECT_H
#define DATA_RECT_H

#include "worker/data/dataset.h"

typedef struct rect_shape {
    int height, width;
} rect_shape;

/* order[count]: the data set's indices by rising height / width. shapes: of each batch of `batch` consecutive ones (the last may
 * be smaller), the longer side image_size, the other as its pictures need, rounded up to the stride with `pad` strides added
 * before; room for rect_batches(). ERR_MEMORY. */
status rect_plan(const dataset *d, int batch, int image_size, int stride, double pad, int *order, rect_shape *shapes);

static inline int rect_batches(int count, int batch)
{
    return (count + batch - 1) / batch;
}

#endif
