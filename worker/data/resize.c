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

/* Bytes and sums of them, at any address; GCC and clang make the processor's vectors of these. */
enum { LANES = 16 };
typedef uint8_t byte_lanes __attribute__((vector_size(LANES), may_alias, aligned(1)));
typedef uint16_t sum_lanes __attribute__((vector_size(2 * LANES), may_alias, aligned(2)));

/* Rows whose sum fits 16 bits. */
enum { ROWS_MOST = 257 };

/* Add `rows` rows of `count` values, column by column. */
static void add_rows(const uint8_t *from, int rows, int count, uint16_t *sums)
{
    memset(sums, 0, sizeof *sums * (size_t)count);
    for (int r = 0; r < rows; r++, from += count) {
        int i = 0;
        for (; i + LANES <= count; i += LANES)
            *(sum_lanes *)(sums + i) += __builtin_convertvector(*(const byte_lanes *)(from + i), sum_lanes);
        for (; i < count; i++) sums[i] = (uint16_t)(sums[i] + from[i]);
    }
}

/* Mean of 2 x 2 pixels: of every pixel and the one beside it, of which every other is wanted. */
static status halve(const image *from, image *out)
{
    int count = 2 * IMAGE_CHANNELS * out->width;
    uint16_t *sums;
    uint8_t *means = NULL;
    TRY(array_new(&sums, (size_t)padded(count) + LANES));
    status s = array_new(&means, (size_t)padded(count));
    for (int y = 0; s == OK && y < out->height; y++) {
        uint8_t *to = out->pixels + image_bytes(out->width, y);
        add_rows(from->pixels + image_bytes(from->width, 2 * y), 2, count, sums);
        for (int i = 0; i < count; i += LANES) {
            sum_lanes four = *(const sum_lanes *)(sums + i) + *(const sum_lanes *)(sums + i + IMAGE_CHANNELS);
            *(byte_lanes *)(means + i) = __builtin_convertvector((four + 2) >> 2, byte_lanes);
        }
        for (int x = 0; x < out->width; x++)
            memcpy(to + IMAGE_CHANNELS * x, means + 2 * IMAGE_CHANNELS * x, IMAGE_CHANNELS);
    }
    free(sums);
    free(means);
    return s;
}

/* Add to each of `width` pixels the `factor` ones that it covers. */
static void add_columns(const uint16_t *from, int factor, int width, uint32_t *totals)
{
    for (int x = 0; x < width; x++, totals += IMAGE_CHANNELS) {
        uint32_t red = 0, green = 0, blue = 0;
        for (int dx = 0; dx < factor; dx++, from += IMAGE_CHANNELS) {
            red += from[0];
            green += from[1];
            blue += from[2];
        }
        totals[0] += red;
        totals[1] += green;
        totals[2] += blue;
    }
}

static status shrink_whole(const image *from, int factor_x, int factor_y, image *out)
{
    float scale = 1.0f / (float)(factor_x * factor_y);
    int count = IMAGE_CHANNELS * from->width, out_count = IMAGE_CHANNELS * out->width;
    uint16_t *sums;
    uint32_t *totals = NULL;
    TRY(array_new(&sums, (size_t)count));
    status s = array_new(&totals, (size_t)out_count);
    for (int y = 0; s == OK && y < out->height; y++) {
        uint8_t *to = out->pixels + image_bytes(out->width, y);
        memset(totals, 0, sizeof *totals * (size_t)out_count);
        for (int row = y * factor_y, left = factor_y; left > 0; row += ROWS_MOST, left -= ROWS_MOST) {
            add_rows(from->pixels + image_bytes(from->width, row), left < ROWS_MOST ? left : ROWS_MOST, count, sums);
            add_columns(sums, factor_x, out->width, totals);
        }
        for (int i = 0; i < out_count; i++) to[i] = (uint8_t)lrintf((float)totals[i] * scale);
    }
    free(sums);
    free(totals);
    return s;
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
    int made = -1; /* the old row that `row` holds: one that two new rows share is shrunk once */
    status s = make_shares(from->width, out->width, &across, &across_count);
    if (s == OK) s = make_shares(from->height, out->height, &down, &down_count);
    if (s == OK) s = array_new(&row, count);
    if (s == OK) s = array_new(&sum, count);
    for (size_t k = 0; s == OK && k < down_count; k++) {
        if (down[k].from != made)
            shrink_row(from->pixels + image_bytes(from->width, down[k].from), across, across_count, out->width, row);
        made = down[k].from;
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
