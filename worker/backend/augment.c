#include "worker/backend/augment.h"

#include <math.h>
#include <stdbool.h>

static bool is_side(int64_t side)
{
    return side >= 1 && side <= AUGMENT_SIDE_MOST;
}

/* Does from..from + (end - start) lie within 0..length, and start..end within 0..canvas? */
static bool fits(int64_t start, int64_t end, int64_t canvas, int64_t from, int64_t length)
{
    return start >= 0 && start <= end && end <= canvas && from >= 0 && from + end - start <= length;
}

static status check_tile(const augment_layer *l, const augment_tile *t, size_t image_bytes)
{
    if (!is_side(t->width) || !is_side(t->height))
        return FAIL(ERR_ARGUMENT, "augment: a picture of %d x %d pixels", t->width, t->height);
    uint64_t bytes = 3 * (uint64_t)t->width * (uint64_t)t->height;
    if (bytes > image_bytes || t->offset > image_bytes - bytes)
        return FAIL(ERR_ARGUMENT, "augment: a picture of %d x %d at byte %llu of %zu", t->width, t->height,
                    (unsigned long long)t->offset, image_bytes);
    if (!fits(t->x1, t->x2, l->canvas_width, t->from_x, t->width) ||
        !fits(t->y1, t->y2, l->canvas_height, t->from_y, t->height))
        return FAIL(ERR_ARGUMENT, "augment: a tile covers %d,%d to %d,%d of a canvas of %d x %d from %d,%d of %d x %d",
                    t->x1, t->y1, t->x2, t->y2, l->canvas_width, l->canvas_height, t->from_x, t->from_y, t->width,
                    t->height);
    return OK;
}

static status check_layer(const augment_layer *l, size_t image_bytes, int width, int height)
{
    if (!is_side(l->canvas_width) || !is_side(l->canvas_height))
        return FAIL(ERR_ARGUMENT, "augment: a canvas of %d x %d pixels", l->canvas_width, l->canvas_height);
    if (l->tiles < 0 || l->tiles > AUGMENT_TILES) return FAIL(ERR_ARGUMENT, "augment: %d tiles", l->tiles);
    if (l->warp < WARP_NONE || l->warp > WARP_PERSPECTIVE) return FAIL(ERR_ARGUMENT, "augment: warp %d", l->warp);
    if (l->warp == WARP_NONE && (l->canvas_width != width || l->canvas_height != height))
        return FAIL(ERR_ARGUMENT, "augment: a canvas of %d x %d without a warp for an output of %d x %d",
                    l->canvas_width, l->canvas_height, width, height);
    for (int i = 0; i < 9; i++)
        if (!isfinite(l->inverse[i])) return FAIL(ERR_ARGUMENT, "augment: the map is not finite");
    for (int i = 0; i < l->tiles; i++) TRY(check_tile(l, &l->tile[i], image_bytes));
    return OK;
}

status augment_check(const augment_sample *s, size_t image_bytes, int width, int height)
{
    if (!is_side(width) || !is_side(height)) return FAIL(ERR_ARGUMENT, "augment: an output of %d x %d", width, height);
    if (s->layers < 1 || s->layers > AUGMENT_LAYERS) return FAIL(ERR_ARGUMENT, "augment: %d layers", s->layers);
    if (!(s->mix >= 0 && s->mix <= 1)) return FAIL(ERR_ARGUMENT, "augment: a mix of %g", s->mix);
    for (int i = 0; i < s->layers; i++) TRY(check_layer(&s->layer[i], image_bytes, width, height));
    return OK;
}
