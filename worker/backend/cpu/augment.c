#include "worker/backend/cpu/augment.h"

#include <stdbool.h>
#include <stdlib.h>

#include "worker/backend/cpu/augment_colour.h"
#include "worker/backend/cpu/augment_rows.h"
#include "worker/backend/cpu/augment_straight.h"
#include "worker/backend/cpu/augment_turned.h"

/* A turned layer runs through a picture at a slant. In strips of this many columns, what the rows of a strip need of the picture
 * stays in the cache from one row to the next. */
enum { STRIP = 2 * AUGMENT_BLOCK };

typedef struct layer_work {
    const augment_layer *layer;
    straight straight; /* which of the two it is, if any, straight_is and the layer's warp say */
    turned turned;
    void *memory;     /* of it */
    uint32_t *pixels; /* of the row in hand */
} layer_work;

typedef struct work {
    const augment_rows *rows;
    const uint8_t *images;
    size_t image_bytes;
    int width, padded, strip;
    layer_work layer[AUGMENT_LAYERS];
} work;

/* ---- rows ---- */

/* Without a warp the row is the canvas's own. */
static void copy_row(const work *w, const augment_layer *l, int y, int from, int count, uint32_t *pixels)
{
    for (int i = 0; i < count; i++) pixels[i] = augment_grey;
    for (int k = 0; k < l->tiles; k++) {
        const augment_tile *t = &l->tile[k];
        if (y < t->y1 || y >= t->y2) continue;
        int start = t->x1 > from ? t->x1 : from, end = t->x2 < from + count ? t->x2 : from + count;
        size_t row = (size_t)(y - t->y1 + t->from_y) * (size_t)t->width;
        for (int x = start; x < end; x++) {
            const uint8_t *p = w->images + t->offset + AUGMENT_CHANNELS * (row + (size_t)(x - t->x1 + t->from_x));
            pixels[x - from] = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
        }
    }
}

static void make_row(const work *w, layer_work *l, int y, int from, int count)
{
    if (l->layer->warp == WARP_NONE) copy_row(w, l->layer, y, from, count, l->pixels);
    else if (straight_is(l->layer)) straight_row(&l->straight, w->rows, y, from, count, l->pixels);
    else turned_row(&l->turned, w->rows, y, from, count, l->pixels);
}

/* Columns from..from + count of a sample, row by row. */
static void make_strip(work *w, const augment_sample *s, const augment_colour *colour, int from, int count, int height,
                       uint8_t *out)
{
    uint32_t *pixels = w->layer[0].pixels;
    int padded = (count + AUGMENT_BLOCK - 1) / AUGMENT_BLOCK * AUGMENT_BLOCK;
    int to_x = s->flip_left_right ? w->width - from - count : from;
    for (int y = 0; y < height; y++) {
        for (int i = 0; i < s->layers; i++) make_row(w, &w->layer[i], y, from, count);
        if (s->layers == 2) w->rows->mix(s->mix, pixels, w->layer[1].pixels, padded);
        if (s->colour) colour->run(colour, pixels, padded);
        size_t to_y = (size_t)(s->flip_up_down ? height - 1 - y : y);
        w->rows->store(pixels, count, s->flip_left_right,
                       out + AUGMENT_CHANNELS * (to_y * (size_t)w->width + (size_t)to_x));
    }
}

/* ---- samples ---- */

static status prepare_layer(work *w, const augment_layer *layer, layer_work *l)
{
    l->layer = layer;
    if (layer->warp == WARP_NONE) return OK;
    bool is_straight = straight_is(layer);
    size_t bytes = is_straight ? straight_bytes(layer, w->padded) : turned_bytes(w->padded);
    l->memory = malloc(bytes);
    if (!l->memory) return FAIL(ERR_MEMORY, "no memory for a row of %zu bytes", bytes);
    if (is_straight) straight_prepare(&l->straight, layer, w->images, w->width, w->padded, l->memory);
    else turned_prepare(&l->turned, layer, w->images, w->image_bytes, w->padded, l->memory);
    if (!is_straight) w->strip = STRIP;
    return OK;
}

static status make_sample(work *w, const augment_sample *s, int height, uint8_t *out)
{
    status result = OK;
    augment_colour colour;
    w->strip = w->padded;
    for (int i = 0; result == OK && i < s->layers; i++) result = prepare_layer(w, &s->layer[i], &w->layer[i]);
    if (s->colour) augment_colour_prepare(s, &colour);
    for (int from = 0; result == OK && from < w->width; from += w->strip) {
        int count = w->width - from < w->strip ? w->width - from : w->strip;
        make_strip(w, s, &colour, from, count, height, out);
    }
    for (int i = 0; i < s->layers; i++) {
        free(w->layer[i].memory);
        w->layer[i].memory = NULL;
    }
    return result;
}

status augment_run(const augment_sample *samples, int count, const uint8_t *images, size_t image_bytes, int width,
                   int height, uint8_t *out)
{
    for (int i = 0; i < count; i++) TRY(augment_check(&samples[i], image_bytes, width, height));
    if (count < 1) return OK;
    work w = {.rows = augment_rows_best(), .images = images, .image_bytes = image_bytes, .width = width};
    w.padded = (width + AUGMENT_BLOCK - 1) / AUGMENT_BLOCK * AUGMENT_BLOCK;
    uint32_t *pixels = calloc(AUGMENT_LAYERS * (size_t)w.padded, sizeof *pixels);
    if (!pixels) return FAIL(ERR_MEMORY, "no memory for the rows of a sample %d pixels wide", width);
    for (int i = 0; i < AUGMENT_LAYERS; i++) w.layer[i].pixels = pixels + i * w.padded;
    size_t sample_bytes = AUGMENT_CHANNELS * (size_t)width * (size_t)height;
    status s = OK;
    for (int i = 0; s == OK && i < count; i++) s = make_sample(&w, &samples[i], height, out + (size_t)i * sample_bytes);
    free(pixels);
    return s;
}
