#include "worker/backend/cpu/augment_turned.h"

#include <stdbool.h>
#include <string.h>

enum { CHANNELS = AUGMENT_CHANNELS, ONE = 1 << AUGMENT_POSITION_BITS };
enum { SEAM = -1, NOTHING = -2 }; /* kinds of pieces besides the tiles 0 and up */
enum { BOUNDARIES = 2 + 8 * AUGMENT_TILES };

/* ---- positions ---- */

size_t turned_bytes(int padded)
{
    return 4 * (size_t)padded * sizeof(int32_t);
}

void turned_prepare(turned *t, const augment_layer *l, const uint8_t *images, size_t image_bytes, int padded,
                    void *memory)
{
    *t = (turned){.layer = l, .images = images, .step_x = memory};
    t->step_y = t->step_x + padded;
    t->x = t->step_y + padded;
    t->y = t->x + padded;
    for (int i = 0; i < l->tiles; i++) {
        const augment_tile *tile = &l->tile[i];
        uint64_t bytes = (uint64_t)CHANNELS * (uint64_t)tile->width * (uint64_t)tile->height;
        /* where vectors could read beyond the last picture, its last column is made pixel by pixel */
        int spare = tile->offset + bytes + AUGMENT_OVERREAD > image_bytes;
        int reach = bytes > INT32_MAX ? tile->x1 : tile->x2 - 1 - spare; /* vectors have offsets of 32 bits */
        t->view[i] = (turned_view){.inner_x = {tile->x1 * ONE, reach * ONE},
                                   .inner_y = {tile->y1 * ONE, (tile->y2 - 1) * ONE},
                                   .outer_x = {(tile->x1 - 1) * ONE, tile->x2 * ONE},
                                   .outer_y = {(tile->y1 - 1) * ONE, tile->y2 * ONE}};
    }
    augment_steps(l->inverse, padded, t->step_x);
    augment_steps(l->inverse + 3, padded, t->step_y);
}

static void find_affine(turned *t, int y, int from, int count)
{
    augment_positions(augment_row_start(t->layer->inverse, y), t->step_x + from, count, t->x);
    augment_positions(augment_row_start(t->layer->inverse + 3, y), t->step_y + from, count, t->y);
}

static void find_perspective(turned *t, int y, int from, int count)
{
    const double *m = t->layer->inverse;
    for (int i = 0, x = from; i < count; i++, x++) {
        double z = m[7] * y + m[8] + m[6] * x;
        z = z != 0 ? ONE / z : 0;
        t->x[i] = augment_fixed((m[1] * y + m[2] + m[0] * x) * z);
        t->y[i] = augment_fixed((m[4] * y + m[5] + m[3] * x) * z);
    }
}

/* ---- pieces ---- */

static bool within(turned_range r, int32_t position)
{
    return position >= r.start && position < r.end;
}

/* Where a pixel comes from: the topmost tile if it has all four neighbours, a seam if a tile has some of them. */
static int kind_at(const turned *t, int i)
{
    int32_t x = t->x[i], y = t->y[i];
    for (int tile = t->layer->tiles; tile-- > 0;) {
        const turned_view *v = &t->view[tile];
        if (within(v->inner_x, x) && within(v->inner_y, y)) return tile;
        if (within(v->outer_x, x) && within(v->outer_y, y)) return SEAM;
    }
    return NOTHING;
}

/* The first of the positions, which rise or fall all along, that is at or beyond `limit`; `count` if none is. */
static int first_beyond(const int32_t *position, int count, int32_t limit, bool rising)
{
#define BEYOND(i) (rising ? position[i] >= limit : position[i] < limit)
    if (BEYOND(0)) return 0;
    if (!BEYOND(count - 1)) return count;
    double part = ((double)limit - position[0]) / ((double)position[count - 1] - position[0]);
    int i = (int)(part * (count - 1)); /* they are nearly on a straight line, so this is nearly it */
    while (i > 0 && BEYOND(i - 1)) i--;
    while (!BEYOND(i)) i++;
#undef BEYOND
    return i;
}

static void add_boundary(int *boundary, int *boundaries, int at)
{
    int i = *boundaries;
    while (boundary[i - 1] > at) i--;
    if (boundary[i - 1] == at) return;
    memmove(boundary + i + 1, boundary + i, (size_t)(*boundaries - i) * sizeof *boundary);
    boundary[i] = at;
    ++*boundaries;
}

static void add_range(const int32_t *position, int count, turned_range r, int *boundary, int *boundaries)
{
    bool rising = position[count - 1] >= position[0];
    add_boundary(boundary, boundaries, first_beyond(position, count, r.start, rising));
    add_boundary(boundary, boundaries, first_beyond(position, count, r.end, rising));
}

/* Where along affine positions the kind of pixel can change: 0, ..., count in rising order. Returns how many. */
static int find_boundaries(const turned *t, int count, int boundary[BOUNDARIES])
{
    int boundaries = 2;
    boundary[0] = 0;
    boundary[1] = count;
    for (int i = 0; i < t->layer->tiles; i++) {
        const turned_view *v = &t->view[i];
        add_range(t->x, count, v->outer_x, boundary, &boundaries);
        add_range(t->x, count, v->inner_x, boundary, &boundaries);
        add_range(t->y, count, v->outer_y, boundary, &boundaries);
        add_range(t->y, count, v->inner_y, boundary, &boundaries);
    }
    return boundaries;
}

static const uint8_t *canvas_at(const turned *t, int x, int y)
{
    static const uint8_t grey[CHANNELS] = {AUGMENT_GREY, AUGMENT_GREY, AUGMENT_GREY};
    const uint8_t *pixel = augment_source(t->layer, t->images, x, y);
    return pixel ? pixel : grey;
}

static uint32_t seam_pixel(const turned *t, int i)
{
    int left = t->x[i] >> AUGMENT_POSITION_BITS, top = t->y[i] >> AUGMENT_POSITION_BITS;
    int fx = t->x[i] & (ONE - 1), fy = t->y[i] & (ONE - 1);
    const uint8_t *a = canvas_at(t, left, top), *b = canvas_at(t, left + 1, top);
    const uint8_t *c = canvas_at(t, left, top + 1), *d = canvas_at(t, left + 1, top + 1);
    uint32_t out = 0;
    for (int k = 0; k < CHANNELS; k++) {
        int above = a[k] * (ONE - fx) + b[k] * fx, below = c[k] * (ONE - fx) + d[k] * fx;
        out |= (uint32_t)((above * (ONE - fy) + below * fy + ONE * ONE / 2) / (ONE * ONE)) << 8 * k;
    }
    return out;
}

static void make_piece(const turned *t, const augment_rows *rows, int start, int end, uint32_t *pixels)
{
    int kind = kind_at(t, start);
    if (kind == NOTHING)
        for (int i = start; i < end; i++) pixels[i] = augment_grey;
    else if (kind == SEAM)
        for (int i = start; i < end; i++) pixels[i] = seam_pixel(t, i);
    else {
        const augment_tile *tile = &t->layer->tile[kind];
        augment_piece piece = {.picture = t->images + tile->offset,
                               .stride = CHANNELS * tile->width,
                               .left = tile->x1 - tile->from_x,
                               .top = tile->y1 - tile->from_y,
                               .x = t->x + start,
                               .y = t->y + start,
                               .count = end - start};
        rows->resample(&piece, pixels + start);
    }
}

/* ---- rows ---- */

void turned_row(turned *t, const augment_rows *rows, int y, int from, int count, uint32_t *pixels)
{
    if (t->layer->warp == WARP_AFFINE) {
        int boundary[BOUNDARIES];
        find_affine(t, y, from, count);
        int boundaries = find_boundaries(t, count, boundary);
        for (int i = 0; i + 1 < boundaries; i++) make_piece(t, rows, boundary[i], boundary[i + 1], pixels);
        return;
    }
    find_perspective(t, y, from, count);
    for (int start = 0, end; start < count; start = end) {
        int kind = kind_at(t, start);
        for (end = start + 1; end < count && kind_at(t, end) == kind;) end++;
        make_piece(t, rows, start, end, pixels);
    }
}
