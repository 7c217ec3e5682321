#include "worker/data/sample.h"

#include <stdlib.h>

#include "common/array.h"
#include "common/hyp.h"
#include "worker/data/hsv.h"

static const double mixup_shape = 8.0; /* of Beta(8, 8) */

static warp_ranges ranges_of(const double *hyp)
{
    return (warp_ranges){hyp[HYP_degrees], hyp[HYP_translate], hyp[HYP_scale], hyp[HYP_shear], hyp[HYP_perspective]};
}

static void draw_colour(const double *hyp, draw *d, augment_sample *out)
{
    double gains[3];
    hsv_draw(d, hyp[HYP_hsv_h], hyp[HYP_hsv_s], hyp[HYP_hsv_v], gains);
    hsv_tables(gains, out);
}

/* The labels in scratch, normalized, become the sample's; float32 throughout, as in the reference. */
static status finish_labels(sample *s)
{
    TRY(array_room(&s->labels, &s->label_room, s->scratch.count));
    s->label_count = s->scratch.count;
    float width = (float)s->width, height = (float)s->height;
    for (size_t i = 0; i < s->label_count; i++) {
        const corners *c = &s->scratch.rows[i];
        s->labels[i] = (label){c->cls, (c->x1 + c->x2) / 2 / width, (c->y1 + c->y2) / 2 / height,
                               (c->x2 - c->x1) / width, (c->y2 - c->y1) / height};
    }
    return OK;
}

static void draw_flips(const double *hyp, draw *d, sample *out)
{
    out->augment.flip_up_down = draw_random(d) < hyp[HYP_flipud];
    out->augment.flip_left_right = draw_random(d) < hyp[HYP_fliplr];
    for (size_t i = 0; i < out->label_count; i++) {
        label *l = &out->labels[i];
        if (out->augment.flip_up_down) l->y = 1 - l->y;
        if (out->augment.flip_left_right) l->x = 1 - l->x;
    }
}

static void start(sample *s, int width, int height)
{
    s->augment = (augment_sample){.layers = 1};
    s->width = width;
    s->height = height;
    s->has_origin = false;
    s->origin = (sample_origin){0};
    s->label_count = s->scratch.count = 0;
}

/* ---- mosaic ---- */

/* One mosaic, warped to a quarter of its canvas: layer `number` of the sample, and its labels behind those that are there. */
static status add_mosaic(const sample_settings *s, draw *d, int index, int number, sample *out)
{
    mosaic m;
    warp w;
    int size = s->image_size, border = -size / 2;
    augment_layer *layer = &out->augment.layer[number];
    size_t before = out->scratch.count;
    mosaic_draw(d, s->data, size, index, &m);
    mosaic_layer(&m, layer);
    TRY(mosaic_labels(&m, s->data, &out->scratch));
    warp_ranges ranges = ranges_of(s->hyp);
    warp_draw(d, &ranges, layer->canvas_width, layer->canvas_height, border, border, &w);
    warp_layer(&w, layer);
    if (out->scratch.count > before)
        out->scratch.count = before + warp_labels(&w, out->scratch.rows + before, out->scratch.count - before);
    for (int i = 0; i < AUGMENT_TILES; i++)
        out->picture[number][i] = (sample_picture){m.picture[i], m.width[i], m.height[i], m.width[i], m.height[i]};
    return OK;
}

status sample_mosaic(const sample_settings *s, draw *d, int index, sample *out)
{
    start(out, s->image_size, s->image_size);
    TRY(add_mosaic(s, d, index, 0, out));
    if (draw_random(d) < s->hyp[HYP_mixup]) {
        out->augment.layers = 2;
        TRY(add_mosaic(s, d, (int)draw_below(d, s->data->count), 1, out));
        out->augment.mix = draw_beta(d, mixup_shape, mixup_shape);
    }
    draw_colour(s->hyp, d, &out->augment);
    TRY(finish_labels(out));
    draw_flips(s->hyp, d, out);
    return OK;
}

/* ---- letterbox ---- */

static status add_labels(const sample_settings *s, int index, const sample_picture *p, const letterbox *box,
                         sample *out)
{
    corner_list *to = &out->scratch;
    size_t count = s->data->images[index].labels;
    const label *l = dataset_labels(s->data, index);
    float width = (float)(box->ratio_width * p->width), height = (float)(box->ratio_height * p->height);
    float pad_x = (float)box->pad_width, pad_y = (float)box->pad_height;
    TRY(array_room(&to->rows, &to->room, count));
    for (size_t i = 0; i < count; i++)
        to->rows[to->count++] =
            (corners){l[i].cls, width * (l[i].x - l[i].w / 2) + pad_x, height * (l[i].y - l[i].h / 2) + pad_y,
                      width * (l[i].x + l[i].w / 2) + pad_x, height * (l[i].y + l[i].h / 2) + pad_y};
    return OK;
}

/* The layer is the letterboxed picture on its canvas. */
static void add_picture(const letterbox *box, augment_layer *layer)
{
    *layer = (augment_layer){.tiles = 1, .warp = WARP_NONE, .canvas_width = box->width, .canvas_height = box->height};
    layer->inverse[0] = layer->inverse[4] = layer->inverse[8] = 1;
    layer->tile[0] = (augment_tile){.width = box->inner_width,
                                    .height = box->inner_height,
                                    .x1 = box->left,
                                    .y1 = box->top,
                                    .x2 = box->left + box->inner_width,
                                    .y2 = box->top + box->inner_height};
}

status sample_letterbox(const sample_settings *s, draw *d, int index, int width, int height, sample *out)
{
    const dataset_image *image = &s->data->images[index];
    sample_picture p = {.index = index};
    letterbox_load_size(image->width, image->height, s->image_size, &p.width, &p.height);
    letterbox box = letterbox_fit(p.width, p.height, width, height, (letterbox_options){.only_shrink = !d});
    p.inner_width = box.inner_width;
    p.inner_height = box.inner_height;
    start(out, box.width, box.height);
    out->picture[0][0] = p;
    out->has_origin = true;
    out->origin = (sample_origin){.width = image->width,
                                  .height = image->height,
                                  .ratio_width = (double)p.width / image->width,
                                  .ratio_height = (double)p.height / image->height,
                                  .pad_width = box.pad_width,
                                  .pad_height = box.pad_height};
    augment_layer *layer = &out->augment.layer[0];
    add_picture(&box, layer);
    TRY(add_labels(s, index, &p, &box, out));
    if (!d) return finish_labels(out);
    warp w;
    warp_ranges ranges = ranges_of(s->hyp);
    warp_draw(d, &ranges, box.width, box.height, 0, 0, &w);
    warp_layer(&w, layer);
    out->scratch.count = warp_labels(&w, out->scratch.rows, out->scratch.count);
    draw_colour(s->hyp, d, &out->augment);
    TRY(finish_labels(out));
    draw_flips(s->hyp, d, out);
    return OK;
}

void sample_free(sample *s)
{
    free(s->labels);
    free(s->scratch.rows);
    *s = (sample){0};
}
