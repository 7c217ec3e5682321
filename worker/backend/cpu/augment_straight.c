#include "worker/backend/cpu/augment_straight.h"

#include <string.h>

enum { CHANNELS = AUGMENT_CHANNELS, ONE = 1 << AUGMENT_POSITION_BITS, MARGIN = 2 };

bool straight_is(const augment_layer *l)
{
    return l->warp == WARP_AFFINE && l->inverse[1] == 0 && l->inverse[3] == 0;
}

/* ---- memory ---- */

/* Columns of a canvas with its margins: two of grey on either side stand for everything outside. */
static size_t columns_of(const augment_layer *l)
{
    return (size_t)l->canvas_width + 2 * MARGIN;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t straight_bytes(const augment_layer *l, int padded)
{
    size_t values = CHANNELS * columns_of(l) + AUGMENT_BLOCK;
    return aligned(values * sizeof(uint16_t)) + aligned(values) + 2 * aligned((size_t)padded * sizeof(int32_t));
}

static void *take(char **memory, size_t bytes)
{
    void *here = *memory;
    *memory += aligned(bytes);
    return here;
}

/* ---- columns ---- */

static int clamp(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

static void add_stripe(straight *s, int column)
{
    int i = s->stripes;
    if (column <= s->first || column >= s->last) return;
    while (s->stripe[i - 1] > column) i--;
    if (s->stripe[i - 1] == column) return;
    memmove(s->stripe + i + 1, s->stripe + i, (size_t)(s->stripes - i) * sizeof *s->stripe);
    s->stripe[i] = column;
    s->stripes++;
}

static void find_stripes(straight *s)
{
    s->stripe[0] = s->first;
    s->stripes = 1; /* until the last boundary is added it counts those */
    for (int i = 0; i < s->layer->tiles; i++) {
        add_stripe(s, s->layer->tile[i].x1);
        add_stripe(s, s->layer->tile[i].x2);
    }
    s->stripe[s->stripes] = s->last;
}

void straight_prepare(straight *s, const augment_layer *l, const uint8_t *images, int width, int padded, void *memory)
{
    char *rest = memory;
    size_t values = CHANNELS * columns_of(l) + AUGMENT_BLOCK;
    *s = (straight){.layer = l, .images = images, .first = l->canvas_width + MARGIN, .last = -MARGIN};
    s->blended = take(&rest, values * sizeof *s->blended);
    s->grey = take(&rest, values);
    s->offset = take(&rest, (size_t)padded * sizeof *s->offset);
    s->weights = take(&rest, (size_t)padded * sizeof *s->weights);
    memset(s->blended, 0, values * sizeof *s->blended); /* behind the last column some are read and not used */
    memset(s->grey, AUGMENT_GREY, values);
    augment_steps(l->inverse, padded, s->weights); /* first the steps, then the positions, then the weights */
    augment_positions(augment_row_start(l->inverse, 0), s->weights, width, s->offset);
    for (int i = 0; i < width; i++) {
        int column = clamp(s->offset[i] >> AUGMENT_POSITION_BITS, -MARGIN, l->canvas_width);
        int part = s->offset[i] & (ONE - 1);
        s->offset[i] = column;
        s->weights[i] = (ONE - part) | part << 16;
        if (column < s->first) s->first = column;
        if (column + 2 > s->last) s->last = column + 2;
    }
    for (int i = 0; i < padded; i++) s->offset[i] = i < width ? CHANNELS * (s->offset[i] - s->first) : 0;
    find_stripes(s);
}

/* ---- rows ---- */

void straight_row(const straight *s, const augment_rows *rows, int y, int from, int count, uint32_t *pixels)
{
    int32_t position = augment_position(augment_row_start(s->layer->inverse + 3, y), 0);
    int row = position >> AUGMENT_POSITION_BITS, part = position & (ONE - 1);
    for (int i = 0; i < s->stripes; i++) { /* across a stripe the same tile goes on */
        int column = s->stripe[i], values = CHANNELS * (s->stripe[i + 1] - column);
        const uint8_t *above = augment_source(s->layer, s->images, column, row);
        const uint8_t *below = augment_source(s->layer, s->images, column, row + 1);
        rows->blend(above ? above : s->grey, below ? below : s->grey, part, values,
                    s->blended + CHANNELS * (column - s->first));
    }
    rows->pick(s->blended, s->offset + from, s->weights + from, count, pixels);
}
