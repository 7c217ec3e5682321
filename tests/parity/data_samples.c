/* data/: single samples: letterbox, colour, warps, boxes, mosaics, and all of it together in getitem. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/parity/data_shared.h"
#include "worker/data/augment_plain.h"
#include "worker/data/cache.h"
#include "worker/data/hsv.h"
#include "worker/data/resize.h"

/* ---- one picture as a sample ---- */

/* A sample whose only layer shows `inside` of a canvas, unwarped. */
static void show(augment_sample *s, const image *inside, int canvas_width, int canvas_height, int left, int top)
{
    *s = (augment_sample){.layers = 1};
    augment_layer *l = &s->layer[0];
    *l = (augment_layer){.tiles = 1, .canvas_width = canvas_width, .canvas_height = canvas_height};
    l->tile[0] = (augment_tile){.width = inside->width,
                                .height = inside->height,
                                .x1 = left,
                                .y1 = top,
                                .x2 = left + inside->width,
                                .y2 = top + inside->height};
}

/* Make a sample by every form, and compare. */
static void check_forms(parity *p, const augment_sample *s, const uint8_t *images, size_t bytes, const image *want,
                        tolerance t)
{
    image got = {.width = want->width, .height = want->height, .borrowed = true};
    got.pixels = parity_alloc(p, image_bytes(want->width, want->height));
    for (int i = 0; i < DATA_FORMS; i++)
        if (case_ok(p, data_forms[i].name, data_forms[i].run(s, images, bytes, want->width, want->height, got.pixels)))
            data_same_picture(p, data_forms[i].name, &got, want, t);
}

/* The fixtures name inputs relative to their folder: "../input0.npy". */
static image read_input(parity *p, const char *folder, const yaml_node *c)
{
    const char *name = json_string(p, c, "input");
    if (!strncmp(name, "../", 3)) return data_picture(p, parity_npy(p, "data/%s", name + 3));
    return data_picture(p, parity_npy(p, "data/%s/%s", folder, name));
}

/* ---- letterbox ---- */

static void letterbox_case(parity *p, const yaml_node *c)
{
    image input = read_input(p, "letterbox", c), inner = {0};
    image want = data_picture(p, parity_npy(p, "data/letterbox/%s", json_string(p, c, "out")));
    if (!input.pixels || !want.pixels) return;
    int height, width;
    size_t count;
    data_pair(p, c, "new_shape_hw", &height, &width);
    letterbox_options options = {.only_shrink = !json_bool(p, c, "scaleup"),
                                 .automatic = json_bool(p, c, "auto"),
                                 .fill = json_bool(p, c, "scaleFill")};
    letterbox box = letterbox_fit(input.width, input.height, width, height, options);
    const double ratio[2] = {box.ratio_width, box.ratio_height}, pad[2] = {box.pad_width, box.pad_height};
    case_numbers(p, "ratio", ratio, json_numbers(p, json_get(p, c, "ratio"), &count), 2, EXACT);
    case_numbers(p, "pad_wh", pad, json_numbers(p, json_get(p, c, "pad_wh"), &count), 2, EXACT);
    data_pair(p, c, "out_shape", &height, &width);
    if (!case_int(p, "height", box.height, height) || !case_int(p, "width", box.width, width)) return;
    if (case_ok(p, "resize", image_resize(&input, RESIZE_LINEAR, box.inner_width, box.inner_height, &inner))) {
        augment_sample s;
        show(&s, &inner, box.width, box.height, box.left, box.top);
        check_forms(p, &s, inner.pixels, image_bytes(inner.width, inner.height), &want, SAME_RESIZE);
    }
    image_free(&inner);
}

void data_run_letterbox(parity *p)
{
    const yaml_node *cases = data_cases(p, "data/letterbox/cases.json");
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "data/letterbox/%zu", i);
        data_keys(p, &cases->items[i], "out input new_shape_hw auto scaleup scaleFill ratio pad_wh out_shape");
        letterbox_case(p, &cases->items[i]);
        case_end(p);
    }
}

/* ---- colour ---- */

static void check_table(parity *p, const yaml_node *c, const char *key, const uint8_t *got)
{
    size_t count;
    const double *want = json_numbers(p, json_get(p, c, key), &count);
    if (!case_int(p, key, 256, (int64_t)count)) return;
    for (int i = 0; i < 256; i++)
        if (got[i] != want[i]) {
            case_fail(p, "%s[%d]: %d, expected %g", key, i, got[i], want[i]);
            return;
        }
}

static void hsv_case(parity *p, const yaml_node *c)
{
    image input = read_input(p, "hsv", c);
    image want = data_picture(p, parity_npy(p, "data/hsv/%s", json_string(p, c, "out")));
    size_t count;
    const double *ranges = json_numbers(p, json_get(p, c, "hgain_sgain_vgain"), &count);
    if (!input.pixels || !want.pixels || !case_int(p, "gains", 3, (int64_t)count)) return;
    numpy_rng numpy;
    double gains[3];
    numpy_seed(&numpy, (uint32_t)json_int(p, c, "numpy_seed"));
    draw d = draw_reference(NULL, &numpy);
    hsv_draw(&d, ranges[0], ranges[1], ranges[2], gains);
    case_numbers(p, "r", gains, json_exact(p, c, "r", &count), 3, EXACT);
    augment_sample s;
    show(&s, &input, input.width, input.height, 0, 0);
    hsv_tables(gains, &s);
    check_table(p, c, "lut_hue", s.hue);
    check_table(p, c, "lut_sat", s.saturation);
    check_table(p, c, "lut_val", s.value);
    check_forms(p, &s, input.pixels, image_bytes(input.width, input.height), &want, SAME_COLOUR);
}

/* inputK_hsv.npy: input K in HSV. */
static void conversion_case(parity *p, const char *file)
{
    const npy *want = parity_npy(p, "data/hsv/%s", file);
    image input = data_picture(p, parity_npy(p, "data/%.*s.npy", (int)(strlen(file) - strlen("_hsv.npy")), file));
    if (!want || !want->u || !input.pixels ||
        !case_int(p, "values", (int64_t)image_bytes(input.width, input.height), (int64_t)want->count))
        return;
    uint8_t *got = parity_alloc(p, want->count);
    for (size_t i = 0; i < want->count; i += 3) augment_rgb_to_hsv(input.pixels + i, got + i);
    case_bytes(p, file, got, want->u, want->count, SAME_COLOUR);
}

void data_run_hsv(parity *p)
{
    const yaml_node *cases = data_cases(p, "data/hsv/cases.json");
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "data/hsv/%zu", i);
        data_keys(p, &cases->items[i], "out input numpy_seed hgain_sgain_vgain r r_hex lut_hue lut_sat lut_val");
        hsv_case(p, &cases->items[i]);
        case_end(p);
    }
    const fs_names *files = parity_list(p, "data/hsv");
    for (size_t i = 0; i < files->count; i++) {
        if (!strstr(files->names[i], "_hsv.npy")) continue;
        case_start(p, "data/hsv/%s", files->names[i]);
        conversion_case(p, files->names[i]);
        case_end(p);
    }
}

/* ---- warps ---- */

static void check_matrix(parity *p, const yaml_node *c, const char *key, const double got[9])
{
    size_t count;
    const double *want = json_exact(p, c, key, &count);
    if (case_int(p, key, 9, (int64_t)count))
        case_numbers(p, key, got, want, 9, (tolerance){.rel = 1e-12, .abs = 1e-300});
}

static corners *read_corners(parity *p, const npy *rows, size_t *count)
{
    bool good = rows && rows->shape.rank == 2 && rows->shape.dim[1] == 5;
    if (rows && !good) case_fail(p, "rows of class, x1, y1, x2, y2 were expected");
    *count = good ? (size_t)rows->shape.dim[0] : 0;
    corners *out = parity_alloc(p, (*count + 1) * sizeof *out);
    for (size_t i = 0; i < *count; i++) {
        const float *r = rows->f + 5 * i;
        out[i] = (corners){r[0], r[1], r[2], r[3], r[4]};
    }
    return out;
}

static void check_corners(parity *p, const char *what, const corners *got, size_t count, const npy *rows)
{
    size_t want_count;
    const corners *want = read_corners(p, rows, &want_count);
    if (!rows || !case_int(p, what, (int64_t)count, (int64_t)want_count)) return;
    for (size_t i = 0; i < count; i++) {
        const float g[] = {got[i].cls, got[i].x1, got[i].y1, got[i].x2, got[i].y2};
        const float w[] = {want[i].cls, want[i].x1, want[i].y1, want[i].x2, want[i].y2};
        case_floats(p, what, g, w, 5, (tolerance){.abs = 1e-3});
    }
}

/* The numbers of a key; none for null. */
static const double *maybe_numbers(parity *p, const yaml_node *c, const char *key, size_t *count)
{
    const yaml_node *node = json_get(p, c, key);
    return json_numbers(p, node && node->kind != YAML_NULL ? node : NULL, count);
}

/* Boxes before the filter, and which of them pass it. */
static void check_boxes(parity *p, const yaml_node *c, const warp *w, const corners *labels, size_t count)
{
    size_t box_count, kept_count;
    const double *boxes = maybe_numbers(p, c, "xy_clipped", &box_count);
    const double *kept = maybe_numbers(p, c, "kept", &kept_count);
    if (!case_int(p, "xy_clipped", 4 * (int64_t)count, (int64_t)box_count) ||
        !case_int(p, "kept", (int64_t)count, (int64_t)kept_count))
        return;
    float gain = (float)w->scale;
    for (size_t i = 0; i < count; i++) {
        const corners *l = &labels[i];
        const float before[4] = {l->x1 * gain, l->y1 * gain, l->x2 * gain, l->y2 * gain};
        double box[4];
        warp_box(w, l, box);
        case_numbers(p, "xy_clipped", box, boxes + 4 * i, 4, (tolerance){.abs = 1e-3});
        case_int(p, "kept", warp_keeps_box(before, box), kept[i] != 0);
    }
}

static void perspective_case(parity *p, const yaml_node *c, size_t number)
{
    image input = read_input(p, "perspective", c);
    image want = data_picture(p, parity_npy(p, "data/perspective/%s", json_string(p, c, "out")));
    size_t count;
    corners *labels = read_corners(p, parity_npy(p, "data/perspective/labels_in%zu.npy", number), &count);
    const npy *want_labels = parity_npy(p, "data/perspective/labels_out%zu.npy", number);
    if (!input.pixels || !want.pixels) return;
    int border_y, border_x;
    data_pair(p, c, "border", &border_y, &border_x);
    warp_ranges ranges = {.degrees = json_double(p, c, "degrees"),
                          .translate = json_double(p, c, "translate"),
                          .scale = json_double(p, c, "scale"),
                          .shear = json_double(p, c, "shear"),
                          .perspective = json_double(p, c, "perspective")};
    python_rng python;
    warp w;
    python_seed(&python, (uint64_t)json_int(p, c, "python_seed"));
    draw d = draw_reference(&python, NULL);
    warp_draw(&d, &ranges, input.width, input.height, border_x, border_y, &w);
    check_matrix(p, c, "C", w.center);
    check_matrix(p, c, "P", w.tilt);
    check_matrix(p, c, "R", w.turn);
    check_matrix(p, c, "S", w.shear);
    check_matrix(p, c, "T", w.shift);
    check_matrix(p, c, "M", w.matrix);
    case_number(p, "a", w.angle, json_double(p, c, "a"), (tolerance){.rel = 1e-12});
    case_number(p, "s", w.scale, json_double(p, c, "s"), (tolerance){.rel = 1e-12});
    check_boxes(p, c, &w, labels, count);
    check_corners(p, "labels", labels, warp_labels(&w, labels, count), want_labels);
    augment_sample s;
    show(&s, &input, input.width, input.height, 0, 0);
    warp_layer(&w, &s.layer[0]);
    check_forms(p, &s, input.pixels, image_bytes(input.width, input.height), &want, SAME_RESIZE);
}

void data_run_perspective(parity *p)
{
    const yaml_node *cases = data_cases(p, "data/perspective/cases.json");
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "data/perspective/%zu", i);
        data_keys(p, &cases->items[i],
                  "out input python_seed border degrees translate scale shear perspective M M_hex a s S T R P C "
                  "xy_clipped kept");
        perspective_case(p, &cases->items[i], i);
        case_end(p);
    }
}

void data_run_box_candidates(parity *p)
{
    if (!parity_has(p, "data/box_candidates/keep.npy")) return;
    case_start(p, "data/box_candidates");
    const npy *before = parity_npy(p, "data/box_candidates/box1.npy"),
              *after = parity_npy(p, "data/box_candidates/box2.npy");
    const npy *keep = parity_npy(p, "data/box_candidates/keep.npy");
    if (before && after && keep && case_int(p, "box1", (int64_t)before->count, 4 * (int64_t)keep->count) &&
        case_int(p, "box2", (int64_t)after->count, 4 * (int64_t)keep->count))
        for (size_t i = 0; i < keep->count; i++) {
            float a[4];
            double b[4];
            for (size_t k = 0; k < 4; k++) {
                a[k] = before->f[k * keep->count + i];
                b[k] = (double)after->f[k * keep->count + i];
            }
            if (warp_keeps_box(a, b) != (keep->f[i] != 0)) case_fail(p, "box %zu is kept or not", i);
        }
    case_end(p);
}

/* ---- mosaics ---- */

/* Load the pictures that a sample's tiles show, one after the other, and tell the tiles where they are. */
static uint8_t *load_tiles(parity *p, const dataset *data, int size, bool augment, sample *s, size_t *bytes)
{
    image_reader *r = NULL;
    image spare = {0}, loaded = {0}, inner = {0};
    uint8_t *all = NULL;
    *bytes = 0;
    status result = image_reader_create(&r);
    for (int l = 0; result == OK && l < s->augment.layers; l++)
        for (int t = 0; result == OK && t < s->augment.layer[l].tiles; t++) {
            const sample_picture *from = &s->picture[l][t];
            result = cache_load_picture(r, &data->images[from->index], size, augment ? RESIZE_LINEAR : RESIZE_AREA,
                                        &spare, &loaded);
            if (result == OK)
                result = image_resize(&loaded, RESIZE_LINEAR, from->inner_width, from->inner_height, &inner);
            if (result != OK) break;
            size_t count = image_bytes(inner.width, inner.height);
            uint8_t *grown = parity_alloc(p, *bytes + count);
            if (all) memcpy(grown, all, *bytes);
            memcpy(grown + *bytes, inner.pixels, count);
            all = grown;
            s->augment.layer[l].tile[t].offset = *bytes;
            *bytes += count;
        }
    case_ok(p, "loading", result);
    image_free(&spare);
    image_free(&loaded);
    image_free(&inner);
    image_reader_destroy(&r);
    return result == OK ? all : NULL;
}

static void check_mosaic_choices(parity *p, const yaml_node *c, const mosaic *m)
{
    size_t count;
    const double *indices = json_numbers(p, json_get(p, c, "indices"), &count);
    for (size_t i = 0; i < AUGMENT_TILES && i < count; i++) case_int(p, "index", m->picture[i], (int64_t)indices[i]);
    case_int(p, "yc", m->center_y, json_int(p, c, "yc"));
    case_int(p, "xc", m->center_x, json_int(p, c, "xc"));
}

/* The layer of the case unwarped, warped, and its labels before and after. */
static void check_mosaic(parity *p, const yaml_node *c, size_t number, sample *s, const warp *w, const uint8_t *images,
                         size_t bytes)
{
    corner_list *list = &s->scratch;
    augment_layer *l = &s->augment.layer[0];
    check_corners(p, "labels4", list->rows, list->count, parity_npy(p, "data/mosaic/labels4_%zu.npy", number));
    list->count = warp_labels(w, list->rows, list->count);
    check_corners(p, "labels", list->rows, list->count, parity_npy(p, "data/mosaic/labels_out%zu.npy", number));
    char canvas[64];
    snprintf(canvas, sizeof canvas, "data/mosaic/img4_%zu.npy", number);
    if (parity_has(p, canvas)) {
        image want = data_picture(p, parity_npy(p, "%s", canvas));
        l->warp = WARP_NONE;
        check_forms(p, &s->augment, images, bytes, &want, SAME_RESIZE);
    }
    int start, end;
    data_pair(p, c, "out_crop_yx", &start, &end);
    image want = data_picture(p, parity_npy(p, "data/mosaic/out%zu.npy", number));
    image whole = {.width = w->width, .height = w->height, .pixels = parity_alloc(p, image_bytes(w->width, w->height))};
    warp_layer(w, l);
    for (int i = 0; i < DATA_FORMS; i++) {
        if (!case_ok(p, data_forms[i].name,
                     data_forms[i].run(&s->augment, images, bytes, w->width, w->height, whole.pixels)))
            continue;
        image got = data_crop(p, &whole, start, start, end - start, end - start);
        data_same_picture(p, data_forms[i].name, &got, &want, SAME_RESIZE);
    }
}

static void mosaic_case(parity *p, const yaml_node *c, size_t number, const dataset *data)
{
    int size = (int)json_int(p, c, "img_size"), border_y, border_x;
    python_rng python;
    mosaic m;
    warp w;
    sample s = {.augment = {.layers = 1}};
    python_seed(&python, (uint64_t)json_int(p, c, "python_seed"));
    draw d = draw_reference(&python, NULL);
    mosaic_draw(&d, data, size, (int)json_int(p, c, "index"), &m);
    check_mosaic_choices(p, c, &m);
    mosaic_layer(&m, &s.augment.layer[0]);
    for (int i = 0; i < AUGMENT_TILES; i++)
        s.picture[0][i] = (sample_picture){m.picture[i], m.width[i], m.height[i], m.width[i], m.height[i]};
    data_pair(p, c, "border", &border_y, &border_x);
    const double *hyp = data_settings(p, data, json_get(p, c, "hyp"), size).hyp;
    warp_ranges ranges = {hyp[HYP_degrees], hyp[HYP_translate], hyp[HYP_scale], hyp[HYP_shear], hyp[HYP_perspective]};
    warp_draw(&d, &ranges, 2 * size, 2 * size, border_x, border_y, &w);
    size_t bytes;
    const uint8_t *images = load_tiles(p, data, size, true, &s, &bytes);
    if (images && case_ok(p, "labels", mosaic_labels(&m, data, &s.scratch)))
        check_mosaic(p, c, number, &s, &w, images, bytes);
    sample_free(&s);
}

void data_run_mosaic(parity *p, const dataset *data)
{
    const yaml_node *cases = data_cases(p, "data/mosaic/cases.json");
    for (size_t i = 0; cases && i < cases->count; i++) {
        const yaml_node *c = &cases->items[i];
        case_start(p, "data/mosaic/%zu", i);
        data_keys(p, c, "index img_size python_seed indices yc xc border img4_sha256 out_sha256 out_crop_yx hyp");
        if (!data) case_fail(p, "needs the data set's pictures");
        else mosaic_case(p, c, i, data);
        case_end(p);
    }
}

/* ---- whole samples ---- */

/* Resize, warp, colour in a chain: mean .75, and 99.9 % of the values within 9. (CHW, RGB) in the fixture. */
static void check_chain(parity *p, const char *form, const uint8_t *got, int width, int height, const npy *want)
{
    size_t plane = (size_t)width * (size_t)height, far = 0;
    double sum = 0;
    if (want->shape.rank != 3 || want->shape.dim[1] != height || want->shape.dim[2] != width || !want->u) {
        case_fail(p, "%s: %d x %d pixels, not those of the fixture", form, width, height);
        return;
    }
    for (size_t i = 0; i < 3 * plane; i++) {
        int difference = abs(got[3 * (i % plane) + i / plane] - want->u[i]);
        sum += difference;
        far += difference > 9;
    }
    double mean = sum / (double)(3 * plane), part = (double)far / (double)(3 * plane);
    if (mean > 0.75 || part > 0.001)
        case_fail(p, "%s: mean %.3g, %.3g %% differ by more than 9", form, mean, 100 * part);
}

static void check_origin(parity *p, const yaml_node *c, const sample *s)
{
    const yaml_node *shapes = json_get(p, c, "shapes");
    if (!shapes || shapes->kind != YAML_LIST) {
        if (s->has_origin) case_fail(p, "shapes: none were expected");
        return;
    }
    size_t count;
    const sample_origin *o = &s->origin;
    const double *want = json_numbers(p, shapes, &count);
    const double got[6] = {o->height, o->width, o->ratio_height, o->ratio_width, o->pad_width, o->pad_height};
    if (case_int(p, "shapes", 6, (int64_t)count)) case_numbers(p, "shapes", got, want, 6, EXACT);
}

static void check_draws(parity *p, const yaml_node *c, python_rng *python, numpy_rng *numpy)
{
    case_number(p, "next_python_random", python_random(python), json_double(p, c, "next_python_random"), EXACT);
    case_number(p, "next_numpy_random", numpy_random(numpy), json_double(p, c, "next_numpy_random"), EXACT);
}

static void getitem_case(parity *p, const yaml_node *c, size_t number, const dataset *data)
{
    bool augment = json_bool(p, c, "augment"), rect = json_bool(p, c, "rect");
    int size = (int)json_int(p, c, "img_size"), width = size, height = size;
    int index = data_index(p, data, json_string(p, c, "image"));
    if (index < 0) return;
    sample_settings settings = data_settings(p, data, yaml_get(c, "hyp"), size);
    const yaml_node *shape = json_get(p, c, "letterbox_shape");
    if (shape && shape->kind != YAML_NULL) data_pair(p, c, "letterbox_shape", &height, &width);
    python_rng python;
    numpy_rng numpy;
    python_seed(&python, (uint64_t)json_int(p, c, "python_seed"));
    numpy_seed(&numpy, (uint32_t)json_int(p, c, "numpy_seed"));
    draw d = draw_reference(&python, &numpy);
    sample s = {0};
    status made = augment && !rect ? sample_mosaic(&settings, &d, index, &s)
                                   : sample_letterbox(&settings, augment ? &d : NULL, index, width, height, &s);
    if (!case_ok(p, "sample", made)) return;
    check_draws(p, c, &python, &numpy);
    check_origin(p, c, &s);
    const yaml_node *mix = json_get(p, c, "mixup_ratio");
    if (case_int(p, "mixed", s.augment.layers == 2, mix && mix->kind != YAML_NULL) && s.augment.layers == 2)
        case_number(p, "mixup_ratio", s.augment.mix, json_number(p, mix), EXACT);
    data_same_labels(p, "labels", s.labels, s.label_count, parity_npy(p, "data/getitem/labels%zu.npy", number));
    const npy *want = parity_npy(p, "data/getitem/img%zu.npy", number);
    size_t bytes;
    const uint8_t *images = load_tiles(p, data, size, augment, &s, &bytes);
    uint8_t *got = parity_alloc(p, image_bytes(s.width, s.height));
    for (int i = 0; images && want && i < DATA_FORMS; i++)
        if (case_ok(p, data_forms[i].name, data_forms[i].run(&s.augment, images, bytes, s.width, s.height, got)))
            check_chain(p, data_forms[i].name, got, s.width, s.height, want);
    sample_free(&s);
}

/* Labels of evaluation samples one after the other, each with its place in the batch. */
static void collate_case(parity *p, const dataset *data)
{
    const yaml_node *c = parity_json(p, "data/getitem/collate.json");
    const npy *want = parity_npy(p, "data/getitem/collated_labels.npy");
    size_t count, shape_count;
    if (!c || !want) return;
    data_keys(p, c, "indices batch_shape");
    const double *indices = json_numbers(p, json_get(p, c, "indices"), &count);
    const double *shape = json_numbers(p, json_get(p, c, "batch_shape"), &shape_count);
    if (!case_int(p, "batch_shape", 4, (int64_t)shape_count) ||
        !case_int(p, "batch_shape", (int64_t)count, (int64_t)shape[0]))
        return;
    int width = (int)shape[3], height = (int)shape[2];
    sample_settings settings = data_settings(p, data, NULL, width > height ? width : height);
    sample s = {0};
    size_t row = 0;
    for (size_t i = 0; i < count; i++) {
        if (indices[i] < 0 || indices[i] >= data->count ||
            !case_ok(p, "sample", sample_letterbox(&settings, NULL, (int)indices[i], width, height, &s)))
            break;
        for (size_t k = 0; k < s.label_count && row < (size_t)want->shape.dim[0]; k++, row++) {
            const label *l = &s.labels[k];
            const float got[6] = {(float)i, l->cls, l->x, l->y, l->w, l->h};
            case_floats(p, "collated labels", got, want->f + 6 * row, 6, (tolerance){.abs = 1e-5});
        }
    }
    case_int(p, "collated labels", (int64_t)row, want->shape.dim[0]);
    sample_free(&s);
}

void data_run_getitem(parity *p, const dataset *data)
{
    const yaml_node *cases = data_cases(p, "data/getitem/cases.json");
    for (size_t i = 0; cases && i < cases->count; i++) {
        const yaml_node *c = &cases->items[i];
        case_start(p, "data/getitem/%zu", i);
        data_keys(p, c,
                  "index image img_size rect pad augment hyp python_seed numpy_seed mixup_ratio shapes letterbox_shape "
                  "next_python_random next_numpy_random");
        if (!data) case_fail(p, "needs the data set's pictures");
        else getitem_case(p, c, i, data);
        case_end(p);
    }
    if (!parity_has(p, "data/getitem/collate.json")) return;
    case_start(p, "data/getitem/collate");
    if (!data) case_fail(p, "needs the data set's pictures");
    else collate_case(p, data);
    case_end(p);
}
