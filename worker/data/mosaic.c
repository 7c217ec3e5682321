#include "worker/data/mosaic.h"

#include "common/array.h"
#include "worker/data/letterbox.h"

void mosaic_draw(draw *d, const dataset *data, int size, int index, mosaic *out)
{
    int near = size / 2; /* the reference's mosaic_border is -size // 2; for even sizes that is the same */
    *out = (mosaic){.size = size};
    out->center_y = (int)draw_uniform(d, near, 2 * size - near);
    out->center_x = (int)draw_uniform(d, near, 2 * size - near);
    out->picture[0] = index;
    for (int i = 1; i < AUGMENT_TILES; i++) out->picture[i] = (int)draw_below(d, data->count);
    for (int i = 0; i < AUGMENT_TILES; i++) {
        const dataset_image *image = &data->images[out->picture[i]];
        letterbox_load_size(image->width, image->height, size, &out->width[i], &out->height[i]);
    }
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* A picture of `length` that ends (`before`) or begins at `center`: what it covers of a canvas side, and from where. */
static void place(int length, int center, int side, bool before, int32_t *start, int32_t *end, int32_t *from)
{
    *start = before ? center - smaller(length, center) : center;
    *end = before ? center : smaller(center + length, side);
    *from = before ? length - (*end - *start) : 0;
}

void mosaic_layer(const mosaic *m, augment_layer *out)
{
    out->tiles = AUGMENT_TILES;
    out->canvas_width = out->canvas_height = 2 * m->size;
    for (int i = 0; i < AUGMENT_TILES; i++) {
        augment_tile *t = &out->tile[i];
        *t = (augment_tile){.width = m->width[i], .height = m->height[i]};
        place(t->width, m->center_x, 2 * m->size, i % 2 == 0, &t->x1, &t->x2, &t->from_x);
        place(t->height, m->center_y, 2 * m->size, i < 2, &t->y1, &t->y2, &t->from_y);
    }
}

static float cut(float value, float most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

status mosaic_labels(const mosaic *m, const dataset *data, corner_list *out)
{
    augment_layer layer;
    mosaic_layer(m, &layer);
    float most = (float)(2 * m->size);
    for (int i = 0; i < AUGMENT_TILES; i++) {
        const augment_tile *t = &layer.tile[i];
        const label *l = dataset_labels(data, m->picture[i]);
        float width = (float)t->width, height = (float)t->height;
        float pad_x = (float)(t->x1 - t->from_x), pad_y = (float)(t->y1 - t->from_y);
        size_t count = data->images[m->picture[i]].labels;
        TRY(array_room(&out->rows, &out->room, out->count + count));
        for (size_t k = 0; k < count; k++)
            out->rows[out->count++] = (corners){l[k].cls, cut(width * (l[k].x - l[k].w / 2) + pad_x, most),
                                                cut(height * (l[k].y - l[k].h / 2) + pad_y, most),
                                                cut(width * (l[k].x + l[k].w / 2) + pad_x, most),
                                                cut(height * (l[k].y + l[k].h / 2) + pad_y, most)};
    }
    return OK;
}
