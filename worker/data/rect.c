#include "worker/data/rect.h"

#include <math.h>
#include <stdlib.h>

#include "common/array.h"

typedef struct ranked {
    double ratio;
    int index;
} ranked;

static int by_ratio(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->ratio != y->ratio) return x->ratio < y->ratio ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int round_up(double part, int image_size, int stride, double pad)
{
    return (int)ceil(part * image_size / stride + pad) * stride;
}

status rect_plan(const dataset *d, int batch, int image_size, int stride, double pad, int *order, rect_shape *shapes)
{
    ranked *all;
    TRY(array_new(&all, (size_t)d->count));
    for (int i = 0; i < d->count; i++) all[i] = (ranked){(double)d->images[i].height / d->images[i].width, i};
    qsort(all, (size_t)d->count, sizeof *all, by_ratio);
    for (int i = 0; i < d->count; i++) order[i] = all[i].index;
    for (int start = 0; start < d->count; start += batch) {
        int last = (start + batch < d->count ? start + batch : d->count) - 1;
        double height = 1, width = 1, least = all[start].ratio, most = all[last].ratio;
        if (most < 1) height = most;
        else if (least > 1) width = 1 / least;
        shapes[start / batch] =
            (rect_shape){round_up(height, image_size, stride, pad), round_up(width, image_size, stride, pad)};
    }
    free(all);
    return OK;
}
