/* detect_decode.c - raw predictions to boxes in pixels. */
#include "worker/backend/cpu/detect_inner.h"
#include "worker/backend/cpu/parallel.h"

int64_t detect_rows(const detect_view *views, const detect_parameters *p)
{
    int64_t rows = 0;
    for (int i = 0; i < p->levels; i++) rows += (int64_t)p->anchors * views[i].height * views[i].width;
    return rows;
}

void detect_decode_row(const detect_view *v, const detect_parameters *p, int index, int image, int anchor, int y, int x,
                       float *row)
{
    int channels = 5 + p->classes, block = v->block, channel = anchor * channels;
    const float *at = v->value + image * v->image_stride + (int64_t)(y * v->width + x) * block;
    for (int k = 0; k < channels; k++, channel++)
        row[k] = detect_sigmoid(at[channel / block * v->block_stride + channel % block]);
    float stride = p->stride[index];
    row[0] = (row[0] * 2 - 0.5f + (float)x) * stride;
    row[1] = (row[1] * 2 - 0.5f + (float)y) * stride;
    row[2] = (row[2] * 2) * (row[2] * 2) * (p->anchor[index][anchor][0] * stride);
    row[3] = (row[3] * 2) * (row[3] * 2) * (p->anchor[index][anchor][1] * stride);
}

typedef struct decoding {
    const detect_view *views;
    const detect_parameters *p;
    float *out;
} decoding;

static void decode_images(int index, int threads, void *state)
{
    const decoding *d = state;
    int64_t rows = detect_rows(d->views, d->p), channels = 5 + d->p->classes;
    for (int image = index; image < d->views[0].images; image += threads) {
        float *row = d->out + image * rows * channels;
        for (int i = 0; i < d->p->levels; i++)
            for (int a = 0; a < d->p->anchors; a++)
                for (int y = 0; y < d->views[i].height; y++)
                    for (int x = 0; x < d->views[i].width; x++, row += channels)
                        detect_decode_row(&d->views[i], d->p, i, image, a, y, x, row);
    }
}

void detect_decode(const detect_view *views, const detect_parameters *p, int threads, float *out)
{
    decoding d = {views, p, out};
    parallel_run(threads, decode_images, &d);
}
