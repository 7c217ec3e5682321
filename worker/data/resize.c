#include "worker/data/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

/* Loops over whole rows go in steps of this many values, so that the compiler makes vectors of them; rows are padded. */
enum { BLOCK = 32 };

static int padded(int count)
{
    return (count + BLOCK - 1) / BLOCK * BLOCK;
}

/* ---- linear ---- */

enum { WEIGHT_ONE = 2048 };

/* Where a new pixel (or row) comes from: old ones `at` and `next` with their weights of 2048. */
typedef struct linear_tap {
    int at, next;
    int weight, next_weight;
} linear_tap;

/* Beyond the middle of the first or last pixel both taps are that pixel. Across, OpenCV then gives it the whole weight; down,
 * it keeps the two weights, which rounds differently. */
static status make_taps(int from, int to, bool across, linear_tap **out)
{
    TRY(array_new(out, (size_t)to));
    double scale = 1.0 / ((double)to / from);
    for (int i = 0; i < to; i++) {
        float position = (float)((i + 0.5) * scale - 0.5);
        int at = (int)floorf(position);
        float part = position - (float)at;
        bool beyond = at < 0 || at >= from - 1;
        if (beyond && across) part = 0;
        if (beyond) at = at < 0 ? 0 : from - 1;
        (*out)[i] = (linear_tap){.at = at,
                                 .next = beyond ? at : at + 1,
                                 .weight = (int)lrintf((1.0f - part) * WEIGHT_ONE),
                                 .next_weight = (int)lrintf(part * WEIGHT_ONE)};
    }
    return OK;
}

static void stretch_row(const uint8_t *from, const linear_tap *taps, int width, int32_t *out)
{
    for (int x = 0; x < width; x++) {
        const uint8_t *a = from + IMAGE_CHANNELS * taps[x].at, *b = from + IMAGE_CHANNELS * taps[x].next;
        int wa = taps[x].weight, wb = taps[x].next_weight;
        for (int c = 0; c < IMAGE_CHANNELS; c++) out[IMAGE_CHANNELS * x + c] = a[c] * wa + b[c] * wb;
    }
}

/* OpenCV drops 4 bits before and 16 after the second multiplication. */
static void blend_rows(const int32_t *a, const int32_t *b, int wa, int wb, int count, uint8_t *out)
{
    for (int start = 0; start < count; start += BLOCK)
        for (int i = start; i < start + BLOCK; i++)
            out[i] = (uint8_t)(((wa * (a[i] >> 4) >> 16) + (wb * (b[i] >> 4) >> 16) + 2) >> 2);
}

static status resize_linear(const image *from, image *out)
{
    linear_tap *across = NULL, *down = NULL;
    int32_t *rows = NULL, *row[2];
    uint8_t *line = NULL;
    int count = IMAGE_CHANNELS * out->width, made[2] = {-1, -1}; /* which old rows are in row[0] and row[1] */
    status s = make_taps(from->width, out->width, true, &across);
    if (s == OK) s = make_taps(from->height, out->height, false, &down);
    if (s == OK) s = array_new(&rows, 2 * (size_t)padded(count));
    if (s == OK) s = array_new(&line, (size_t)padded(count));
    row[0] = rows;
    row[1] = rows ? rows + padded(count) : NULL;
    for (int y = 0; s == OK && y < out->height; y++) {
        int need[2] = {down[y].at, down[y].next};
        if (need[0] == made[1]) { /* going down, the lower row becomes the upper one */
            int32_t *swap = row[0];
            row[0] = row[1];
            row[1] = swap;
            made[1] = made[0];
            made[0] = need[0];
        }
        for (int k = 0; k < 2; k++)
            if (need[k] != made[k]) {
                stretch_row(from->pixels + image_bytes(from->width, need[k]), across, out->width, row[k]);
                made[k] = need[k];
            }
        blend_rows(row[0], row[1], down[y].weight, down[y].next_weight, count, line);
        memcpy(out->pixels + image_bytes(out->width, y), line, (size_t)count);
    }
    free(across);
    free(down);
    free(rows);
    free(line);
    return s;
}

/* ---- area, whole factors ---- */

/* Mean of 2 x 2 pixels. */
static status halve(const image *from, image *out)
{
    uint16_t *sums;
    int count = 2 * IMAGE_CHANNELS * out->width;
    TRY(array_new(&sums, (size_t)count));
    for (int y = 0; y < out->height; y++) {
        const uint8_t *a = from->pixels + image_bytes(from->width, 2 * y), *b = a + image_bytes(from->width, 1);
        uint8_t *to = out->pixels + image_bytes(out->width, y);
        int i = 0;
        for (; i + BLOCK <= count; i += BLOCK)
            for (int k = i; k < i + BLOCK; k++) sums[k] = (uint16_t)(a[k] + b[k]);
        for (; i < count; i++) sums[i] = (uint16_t)(a[i] + b[i]);
        for (int x = 0; x < out->width; x++)
            for (int c = 0; c < IMAGE_CHANNELS; c++)
                to[IMAGE_CHANNELS * x + c] = (uint8_t)((sums[6 * x + c] + sums[6 * x + 3 + c] + 2) >> 2);
    }
    free(sums);
    return OK;
}

/* Columns first, all channels of a row at once; then along the row. */
static status shrink_whole(const image *from, int factor_x, int factor_y, image *out)
{
    float scale = 1.0f / (float)(factor_x * factor_y);
    int count = IMAGE_CHANNELS * from->width;
    uint32_t *sums;
    TRY(array_new(&sums, (size_t)count));
    for (int y = 0; y < out->height; y++) {
        uint8_t *to = out->pixels + image_bytes(out->width, y);
        memset(sums, 0, sizeof *sums * (size_t)count);
        for (int dy = 0; dy < factor_y; dy++) {
            const uint8_t *row = from->pixels + image_bytes(from->width, y * factor_y + dy);
            int i = 0;
            for (; i + BLOCK <= count; i += BLOCK)
                for (int k = i; k < i + BLOCK; k++) sums[k] += row[k];
            for (; i < count; i++) sums[i] += row[i];
        }
        for (int i = 0; i < IMAGE_CHANNELS * out->width; i++) {
            const uint32_t *at = sums + i / IMAGE_CHANNELS * IMAGE_CHANNELS * factor_x + i % IMAGE_CHANNELS;
            uint32_t sum = 0;
            for (int dx = 0; dx < factor_x; dx++) sum += at[IMAGE_CHANNELS * dx];
            to[i] = (uint8_t)lrintf((float)sum * scale);
        }
    }
    free(sums);
    return OK;
}

/* ---- area, any factor ---- */

/* One old pixel's (or row's) share of a new one. */
typedef struct area_share {
    int to, from;
    float weight;
} area_share;

/* The shares of all new pixels, in order; a new pixel has at most scale + 2 of them. */
static status make_shares(int from, int to, area_share **out, size_t *count)
{
    double scale = 1.0 / ((double)to / from);
    size_t room = 0, n = 0;
    *out = NULL;
    TRY(array_room(out, &room, (size_t)to * ((size_t)scale + 3)));
    for (int i = 0; i < to; i++) {
        double start = i * scale, end = start + scale, width = fmin(scale, from - start);
        int first = (int)ceil(start), last = (int)floor(end);
        if (last > from - 1) last = from - 1;
        if (first > last) first = last;
        if (first - start > 1e-3) (*out)[n++] = (area_share){i, first - 1, (float)((first - start) / width)};
        for (int k = first; k < last; k++) (*out)[n++] = (area_share){i, k, (float)(1.0 / width)};
        if (end - last > 1e-3) (*out)[n++] = (area_share){i, last, (float)(fmin(fmin(end - last, 1.0), width) / width)};
    }
    *count = n;
    return OK;
}

static void shrink_row(const uint8_t *from, const area_share *shares, size_t count, int width, float *out)
{
    for (int i = 0; i < IMAGE_CHANNELS * width; i++) out[i] = 0;
    for (size_t k = 0; k < count; k++)
        for (int c = 0; c < IMAGE_CHANNELS; c++)
            out[IMAGE_CHANNELS * shares[k].to + c] +=
                (float)from[IMAGE_CHANNELS * shares[k].from + c] * shares[k].weight;
}

static status shrink_any(const image *from, image *out)
{
    area_share *across = NULL, *down = NULL;
    size_t across_count = 0, down_count = 0, count = image_bytes(out->width, 1);
    float *row = NULL, *sum = NULL;
    status s = make_shares(from->width, out->width, &across, &across_count);
    if (s == OK) s = make_shares(from->height, out->height, &down, &down_count);
    if (s == OK) s = array_new(&row, count);
    if (s == OK) s = array_new(&sum, count);
    for (size_t k = 0; s == OK && k < down_count; k++) {
        shrink_row(from->pixels + image_bytes(from->width, down[k].from), across, across_count, out->width, row);
        bool first = k == 0 || down[k].to != down[k - 1].to, last = k + 1 == down_count || down[k].to != down[k + 1].to;
        for (size_t i = 0; i < count; i++) sum[i] = (first ? 0 : sum[i]) + down[k].weight * row[i];
        uint8_t *to = out->pixels + image_bytes(out->width, down[k].to);
        for (size_t i = 0; last && i < count; i++) to[i] = (uint8_t)(sum[i] >= 254.5f ? 255 : lrintf(sum[i]));
    }
    free(across);
    free(down);
    free(row);
    free(sum);
    return s;
}

/* ---- choosing ---- */

static bool is_whole_multiple(int from, int to, int *factor)
{
    double scale = 1.0 / ((double)to / from);
    *factor = (int)lrint(scale);
    return fabs(scale - *factor) < 2.220446049250313e-16; /* DBL_EPSILON, as OpenCV asks */
}

status image_resize(const image *from, resize_kind kind, int width, int height, image *out)
{
    TRY(image_shape(out, width, height));
    if (from->width == width && from->height == height) {
        memcpy(out->pixels, from->pixels, image_bytes(width, height));
        return OK;
    }
    int factor_x, factor_y;
    bool whole = is_whole_multiple(from->width, width, &factor_x),
         shrinks = from->width >= width && from->height >= height;
    whole = is_whole_multiple(from->height, height, &factor_y) && whole;
    if (whole && factor_x == 2 && factor_y == 2) return halve(from, out);
    if (kind == RESIZE_LINEAR || !shrinks) return resize_linear(from, out);
    if (!whole) return shrink_any(from, out);
    return shrink_whole(from, factor_x, factor_y, out);
}
