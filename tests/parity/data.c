/* data/: labels, loading, augmentation and batches of the data loader. The single samples are in data_samples.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "tests/parity/data_shared.h"
#include "worker/backend/cpu/augment.h"
#include "worker/data/augment_plain.h"
#include "worker/data/cache.h"
#include "worker/data/draw.h"
#include "worker/data/rect.h"

/* ---- what the cases share ---- */

static status run_fast(const augment_sample *s, const uint8_t *images, size_t bytes, int width, int height,
                       uint8_t *out)
{
    return augment_run(s, 1, images, bytes, width, height, out);
}

const data_form data_forms[DATA_FORMS] = {{"plain", augment_plain}, {"cpu", run_fast}};

const yaml_node *data_cases(parity *p, const char *path)
{
    if (!parity_has(p, path)) return NULL;
    const yaml_node *file = parity_json(p, path);
    if (file) data_keys(p, file, "cases");
    return file ? json_get(p, file, "cases") : NULL;
}

void data_keys(parity *p, const yaml_node *map, const char *known)
{
    for (size_t i = 0; i < map->key_room && i < map->count; i++) {
        const char *key = yaml_string(&map->keys[i]), *at = key ? strstr(known, key) : NULL;
        size_t length = key ? strlen(key) : 0;
        while (at && ((at > known && at[-1] != ' ') || (at[length] && at[length] != ' '))) at = strstr(at + 1, key);
        if (!at) case_fail(p, "unknown key \"%s\"", key ? key : "");
    }
}

int data_index(parity *p, const dataset *data, const char *name)
{
    for (int i = 0; i < data->count; i++)
        if (!strcmp(path_name(data->images[i].path), name)) return i;
    case_fail(p, "the data set has no picture %s", name);
    return -1;
}

void data_pair(parity *p, const yaml_node *map, const char *key, int *a, int *b)
{
    size_t count;
    const double *v = json_numbers(p, json_get(p, map, key), &count);
    *a = count ? (int)v[0] : 0;
    *b = count > 1 ? (int)v[1] : *a;
}

image data_picture(parity *p, const npy *bgr)
{
    if (!bgr || !bgr->u || bgr->shape.rank != 3 || bgr->shape.dim[2] != 3) {
        if (bgr) case_fail(p, "a picture (height, width, 3) of bytes was expected");
        return (image){0};
    }
    image out = {.pixels = parity_alloc(p, bgr->count), .room = bgr->count, .borrowed = true};
    out.height = (int)bgr->shape.dim[0];
    out.width = (int)bgr->shape.dim[1];
    for (size_t i = 0; i < bgr->count; i++) out.pixels[i] = bgr->u[i - i % 3 + 2 - i % 3];
    return out;
}

image data_crop(parity *p, const image *from, int x, int y, int width, int height)
{
    image out = {.width = width, .height = height, .borrowed = true, .room = image_bytes(width, height)};
    out.pixels = parity_alloc(p, out.room);
    if (x < 0 || y < 0 || x + width > from->width || y + height > from->height) {
        case_fail(p, "%d x %d at %d, %d is no part of %d x %d", width, height, x, y, from->width, from->height);
        return out;
    }
    for (int row = 0; row < height; row++)
        memcpy(out.pixels + image_bytes(width, row), from->pixels + image_bytes(from->width, y + row) + 3 * (size_t)x,
               image_bytes(width, 1));
    return out;
}

bool data_same_picture(parity *p, const char *what, const image *got, const image *want, tolerance t)
{
    if (got->width != want->width || got->height != want->height) {
        case_fail(p, "%s: %d x %d pixels, expected %d x %d", what, got->width, got->height, want->width, want->height);
        return false;
    }
    return case_bytes(p, what, got->pixels, want->pixels, image_bytes(got->width, got->height), t);
}

void data_same_labels(parity *p, const char *what, const label *got, size_t count, const npy *want)
{
    if (!want || want->shape.rank != 2 || want->shape.dim[1] != 6) {
        if (want) case_fail(p, "%s: rows of 6 were expected", what);
        return;
    }
    if (!case_int(p, what, (int64_t)count, want->shape.dim[0])) return;
    for (size_t i = 0; i < count; i++) {
        const float *w = want->f + 6 * i, g[] = {got[i].cls, got[i].x, got[i].y, got[i].w, got[i].h};
        case_floats(p, what, g, w + 1, 5, (tolerance){.abs = 1e-5});
    }
}

sample_settings data_settings(parity *p, const dataset *data, const yaml_node *hyp, int image_size)
{
    double *values = parity_alloc(p, HYP_COUNT * sizeof *values);
    hyp_space *space = parity_alloc(p, sizeof *space);
    hyp_space_default(space);
    for (size_t i = 0; hyp && hyp->kind == YAML_MAP && i < hyp->count; i++) {
        const char *key = yaml_string(&hyp->keys[i]);
        int row = hyp_find(space, key);
        if (row < 0) case_fail(p, "unknown hyperparameter \"%s\"", key);
        else values[row] = json_double(p, hyp, key);
    }
    return (sample_settings){.data = data, .hyp = values, .image_size = image_size};
}

/* ---- labels ---- */

static void check_names(parity *p, const dataset *d, const yaml_node *names)
{
    if (!names || !case_int(p, "images", d->count, (int64_t)names->count)) return;
    for (int i = 0; i < d->count; i++) {
        const char *want = yaml_string(&names->items[i]), *got = path_name(d->images[i].path);
        if (!want || strcmp(got, want)) case_fail(p, "image %d is %s, expected %s", i, got, want ? want : "a name");
    }
}

static void check_sizes(parity *p, const dataset *d, const yaml_node *file)
{
    size_t count;
    const double *want = json_numbers(p, json_get(p, file, "shapes_wh"), &count);
    double *got = parity_alloc(p, 2 * (size_t)d->count * sizeof *got);
    for (int i = 0; i < d->count; i++) {
        got[2 * i] = d->images[i].width;
        got[2 * i + 1] = d->images[i].height;
    }
    if (case_int(p, "sizes", 2 * d->count, (int64_t)count)) case_numbers(p, "sizes", got, want, count, EXACT);
}

static void check_rows(parity *p, const dataset *d)
{
    const npy *want = parity_npy(p, "data/labels_all.npy");
    if (!want || !case_int(p, "label rows", (int64_t)d->label_count * 6, (int64_t)want->count)) return;
    float *got = parity_alloc(p, want->count * sizeof *got), *to = got;
    for (int i = 0; i < d->count; i++)
        for (size_t k = 0; k < d->images[i].labels; k++, to += 6) {
            const label *l = &dataset_labels(d, i)[k];
            const float row[6] = {(float)i, l->cls, l->x, l->y, l->w, l->h};
            memcpy(to, row, sizeof row);
        }
    case_floats(p, "label rows", got, want->f, want->count, EXACT);
}

static void check_sums(parity *p, const dataset *d, const yaml_node *file)
{
    size_t count;
    double sums[5] = {0}, *per_class = parity_alloc(p, (size_t)d->classes * sizeof *per_class);
    for (size_t i = 0; i < d->label_count; i++) {
        const label *l = &d->labels[i];
        const float row[5] = {l->cls, l->x, l->y, l->w, l->h};
        for (int k = 0; k < 5; k++) sums[k] += (double)row[k];
        per_class[(int)l->cls] += 1;
    }
    const double *want = json_numbers(p, json_get(p, file, "label_sum"), &count);
    if (case_int(p, "label_sum", 5, (int64_t)count))
        case_numbers(p, "label_sum", sums, want, 5, (tolerance){.rel = 1e-9});
    want = json_numbers(p, json_get(p, file, "labels_per_class"), &count);
    if (case_int(p, "classes", d->classes, (int64_t)count))
        case_numbers(p, "labels_per_class", per_class, want, count, EXACT);
}

static void check_weights(parity *p, const dataset *d, const yaml_node *file)
{
    size_t count, map_count;
    double *classes = parity_alloc(p, (size_t)d->classes * sizeof *classes);
    double *images = parity_alloc(p, (size_t)d->count * sizeof *images);
    int *indices = parity_alloc(p, (size_t)d->count * sizeof *indices);
    dataset_class_weights(d, classes);
    const double *want = json_exact(p, file, "class_weights", &count);
    if (case_int(p, "class_weights", d->classes, (int64_t)count))
        case_numbers(p, "class_weights", classes, want, count, EXACT);
    const double *maps = json_numbers(p, json_get(p, file, "maps"), &map_count);
    if (!case_int(p, "maps", d->classes, (int64_t)map_count)) return;
    if (!case_ok(p, "image_weights", dataset_image_weights(d, classes, maps, images))) return;
    want = json_exact(p, file, "image_weights", &count);
    if (case_int(p, "image_weights", d->count, (int64_t)count))
        case_numbers(p, "image_weights", images, want, count, EXACT);
    python_rng python;
    python_seed(&python, (uint64_t)json_int(p, file, "indices_python_seed"));
    draw source = draw_reference(&python, NULL);
    if (!case_ok(p, "weighted_indices", draw_weighted(&source, images, d->count, indices))) return;
    want = json_numbers(p, json_get(p, file, "weighted_indices"), &count);
    if (!case_int(p, "weighted_indices", d->count, (int64_t)count)) return;
    for (size_t i = 0; i < count; i++)
        if (!case_int(p, "weighted index", indices[i], (int64_t)want[i])) return;
}

static void run_labels(parity *p, const dataset *d)
{
    if (!parity_has(p, "data/labels.json")) return;
    case_start(p, "data/labels");
    const yaml_node *file = parity_json(p, "data/labels.json");
    if (file && d) {
        data_keys(p, file,
                  "n_images n_labels nc labels_per_class images shapes_wh class_weights class_weights_hex maps "
                  "image_weights image_weights_hex indices_python_seed weighted_indices label_sum");
        case_int(p, "n_images", d->count, json_int(p, file, "n_images"));
        case_int(p, "n_labels", (int64_t)d->label_count, json_int(p, file, "n_labels"));
        case_int(p, "nc", d->classes, json_int(p, file, "nc"));
        check_names(p, d, json_get(p, file, "images"));
        check_sizes(p, d, file);
        check_rows(p, d);
        check_sums(p, d, file);
        check_weights(p, d, file);
    }
    case_end(p);
}

/* ---- loading ---- */

static void check_means(parity *p, const yaml_node *c, const char *key, const image *got)
{
    size_t count, pixels = (size_t)got->width * (size_t)got->height;
    const double *want = json_numbers(p, json_get(p, c, key), &count);
    double bgr[3] = {0};
    for (size_t i = 0; i < pixels; i++)
        for (int k = 0; k < 3; k++) bgr[k] += got->pixels[3 * i + 2 - (size_t)k];
    for (int k = 0; k < 3; k++) bgr[k] /= (double)pixels;
    if (case_int(p, key, 3, (int64_t)count)) case_numbers(p, key, bgr, want, 3, (tolerance){.abs = 0.25});
}

static void check_pair(parity *p, const yaml_node *c, const char *key, int height, int width)
{
    int want_height, want_width;
    data_pair(p, c, key, &want_height, &want_width);
    if (height != want_height || width != want_width)
        case_fail(p, "%s: %d x %d, expected %d x %d", key, height, width, want_height, want_width);
}

/* The whole picture in "file", or its top left corner in "crop_file". */
static void check_arrays(parity *p, const yaml_node *c, const image *got)
{
    static const char *const keys[] = {"file", "crop_file"};
    for (int i = 0; i < 2; i++) {
        const char *name = yaml_string(yaml_get(c, keys[i]));
        if (!name) continue;
        image want = data_picture(p, parity_npy(p, "data/load_image/%s", name));
        image part = data_crop(p, got, 0, 0, want.width, want.height);
        data_same_picture(p, keys[i], &part, &want, SAME_RESIZE);
    }
}

static void load_case(parity *p, const yaml_node *c, const dataset *d, int index, image_reader *r)
{
    image decoded = {0}, spare = {0}, got = {0};
    bool augment = json_bool(p, c, "augment");
    const dataset_image *from = &d->images[index];
    status s = image_read(r, from->path, &decoded);
    if (s == OK)
        s = cache_load_picture(r, from, (int)json_int(p, c, "img_size"), augment ? RESIZE_LINEAR : RESIZE_AREA, &spare,
                               &got);
    if (case_ok(p, "loading", s)) {
        check_pair(p, c, "hw0", from->height, from->width);
        check_pair(p, c, "hw", got.height, got.width);
        check_means(p, c, "decoded_mean_bgr", &decoded);
        check_means(p, c, "mean_bgr", &got);
        check_arrays(p, c, &got);
    }
    image_free(&decoded);
    image_free(&spare);
    image_free(&got);
}

/* decoded_crop_K.npy: the top left corner of the K-th different picture of the cases. */
static void decoded_case(parity *p, const dataset *d, const char *file, const yaml_node *cases, image_reader *r)
{
    int wanted = atoi(file + strlen("decoded_crop_")), seen = -1;
    const char *name = NULL;
    for (size_t i = 0; i < cases->count && seen < wanted; i++) {
        const char *here = json_string(p, &cases->items[i], "image");
        if (!name || strcmp(name, here)) seen++;
        name = here;
    }
    image got = {0}, want = data_picture(p, parity_npy(p, "data/load_image/%s", file));
    int index = seen == wanted && name ? data_index(p, d, name) : -1;
    if (index < 0) case_fail(p, "no case has the picture %d", wanted);
    else if (case_ok(p, "decoding", image_read(r, d->images[index].path, &got))) {
        image part = data_crop(p, &got, 0, 0, want.width, want.height);
        data_same_picture(p, file, &part, &want, SAME_RESIZE);
    }
    image_free(&got);
}

static void run_load_image(parity *p, const dataset *d)
{
    const yaml_node *cases = data_cases(p, "data/load_image/cases.json");
    image_reader *r = NULL;
    if (!cases || !case_ok(p, "image reader", image_reader_create(&r))) return;
    for (size_t i = 0; i < cases->count; i++) {
        const yaml_node *c = &cases->items[i];
        case_start(p, "data/load_image/%zu", i);
        data_keys(p, c, "image img_size augment hw0 hw file sha256 mean_bgr decoded_sha256 decoded_mean_bgr crop_file");
        int index = d ? data_index(p, d, json_string(p, c, "image")) : -1;
        if (index >= 0) load_case(p, c, d, index, r);
        case_end(p);
    }
    const fs_names *files = parity_list(p, "data/load_image");
    for (size_t i = 0; i < files->count; i++) {
        if (strncmp(files->names[i], "decoded_crop_", 13)) continue;
        case_start(p, "data/load_image/%s", files->names[i]);
        if (d) decoded_case(p, d, files->names[i], cases, r);
        case_end(p);
    }
    image_reader_destroy(&r);
}

/* ---- rectangles ---- */

static void rect_case(parity *p, const yaml_node *c, const dataset *d)
{
    int batch = (int)json_int(p, c, "batch"), size = (int)json_int(p, c, "img_size"),
        stride = (int)json_int(p, c, "stride");
    size_t count;
    int *order = parity_alloc(p, (size_t)d->count * sizeof *order), batches = rect_batches(d->count, batch);
    rect_shape *shapes = parity_alloc(p, (size_t)batches * sizeof *shapes);
    if (!case_ok(p, "rect", rect_plan(d, batch, size, stride, json_double(p, c, "pad"), order, shapes))) return;
    const double *want = json_numbers(p, json_get(p, c, "batch_shapes_hw"), &count);
    if (!case_int(p, "batches", 2 * batches, (int64_t)count)) return;
    for (int i = 0; i < batches; i++)
        if (shapes[i].height != (int)want[2 * i] || shapes[i].width != (int)want[2 * i + 1])
            case_fail(p, "batch %d: %d x %d, expected %g x %g", i, shapes[i].height, shapes[i].width, want[2 * i],
                      want[2 * i + 1]);
    const double *ratios = json_numbers(p, json_get(p, c, "aspect_h_over_w"), &count);
    const yaml_node *names = json_get(p, c, "images"); /* among equal ratios their order means nothing */
    if (!case_int(p, "images", d->count, (int64_t)count) || !names ||
        !case_int(p, "images", d->count, (int64_t)names->count))
        return;
    for (int i = 0; i < d->count; i++) {
        const dataset_image *image = &d->images[order[i]];
        case_number(p, "ratio", (double)image->height / image->width, ratios[i], (tolerance){.rel = 1e-12});
        if (yaml_string(&names->items[i])) data_index(p, d, yaml_string(&names->items[i]));
    }
}

static void run_rect(parity *p, const dataset *const data[DATA_SPLITS])
{
    static const char *const splits[DATA_SPLITS] = {"train", "val", "test"};
    const yaml_node *cases = data_cases(p, "data/rect.json");
    for (size_t i = 0; cases && i < cases->count; i++) {
        const yaml_node *c = &cases->items[i];
        case_start(p, "data/rect/%zu", i);
        data_keys(p, c, "split img_size batch pad stride batch_shapes_hw images aspect_h_over_w");
        const char *name = json_string(p, c, "split");
        int split = 0;
        while (split < DATA_SPLITS && strcmp(splits[split], name)) split++;
        if (split == DATA_SPLITS) case_fail(p, "unknown split \"%s\"", name);
        else if (!data[split]) case_fail(p, "the data set's %s is missing", name);
        else rect_case(p, c, data[split]);
        case_end(p);
    }
}

/* ---- multi-scale ---- */

static void sizes_case(parity *p, const yaml_node *c)
{
    size_t count;
    python_rng python;
    int size = (int)json_int(p, c, "imgsz"), stride = (int)json_int(p, c, "gs");
    python_seed(&python, (uint64_t)json_int(p, c, "python_seed"));
    draw d = draw_reference(&python, NULL);
    const double *want = json_numbers(p, json_get(p, c, "sizes"), &count);
    for (size_t i = 0; i < count; i++)
        if (!case_int(p, "size", draw_image_size(&d, size, stride), (int64_t)want[i])) return;
}

/* One resize through the backend: OP_IMAGE, which float32 passes unchanged, and OP_RESIZE. */
static status resize_on_backend(const backend_ops *ops, device *d, const npy *x, const npy *want, float *got)
{
    graph g = {0};
    graph_tensor tensors[3] = {{.name = "x", .role = TENSOR_INPUT},
                               {.name = "image", .role = TENSOR_INNER},
                               {.name = "y", .role = TENSOR_OUTPUT}};
    graph_node nodes[2] = {{.kind = OP_IMAGE, .inputs = 1, .outputs = 1},
                           {.kind = OP_RESIZE, .inputs = 1, .outputs = 1}};
    int index[3];
    plan *made = NULL;
    status s = OK;
    for (int i = 0; s == OK && i < 3; i++) {
        tensors[i].shape = i < 2 ? x->shape : want->shape;
        s = graph_add_tensor(&g, &tensors[i], &index[i]);
    }
    for (int i = 0; s == OK && i < 2; i++) {
        nodes[i].in[0] = index[i];
        nodes[i].out[0] = index[i + 1];
        s = graph_add_node(&g, &nodes[i]);
    }
    if (s == OK) s = ops->plan_create(d, &g, &(plan_options){.precision = PRECISION_FP32}, &made);
    if (s == OK) s = ops->plan_write(made, PLAN_VALUE, index[0], x->f, x->count * sizeof *x->f);
    if (s == OK) s = ops->plan_run(made);
    if (s == OK) s = ops->plan_read(made, PLAN_VALUE, index[2], got, want->count * sizeof *got);
    if (made) ops->plan_destroy(&made);
    graph_free(&g);
    return s;
}

static void resize_case(parity *p, const char *file)
{
    device *d = NULL;
    const backend_ops *ops = parity_backend(p, &d);
    const npy *x = parity_npy(p, "data/multi_scale/x.npy"), *want = parity_npy(p, "data/multi_scale/%s", file);
    if (!ops || !x || !want) return;
    float *got = parity_alloc(p, want->count * sizeof *got);
    if (case_ok(p, file, resize_on_backend(ops, d, x, want, got)))
        case_floats(p, file, got, want->f, want->count, (tolerance){.abs = 1e-6});
}

static void run_multi_scale(parity *p)
{
    if (parity_has(p, "data/multi_scale/sizes.json")) {
        const yaml_node *file = parity_json(p, "data/multi_scale/sizes.json");
        const yaml_node *draws = file ? json_get(p, file, "draws") : NULL;
        for (size_t i = 0; draws && i < draws->count; i++) {
            case_start(p, "data/multi_scale/sizes %zu", i);
            data_keys(p, file, "draws");
            data_keys(p, &draws->items[i], "imgsz gs python_seed low high sizes");
            sizes_case(p, &draws->items[i]);
            case_end(p);
        }
    }
    const fs_names *files = parity_list(p, "data/multi_scale");
    for (size_t i = 0; i < files->count; i++) {
        if (strncmp(files->names[i], "y_", 2)) continue;
        case_start(p, "data/multi_scale/%s", files->names[i]);
        resize_case(p, files->names[i]);
        case_end(p);
    }
}

/* ---- all ---- */

void parity_data(parity *p)
{
    dataset *data[DATA_SPLITS] = {NULL};
    const data_yaml *yaml = parity_data_set(p);
    for (int split = 0; yaml && split < DATA_SPLITS; split++)
        if (yaml->sources[split].count)
            case_ok(p, "data set",
                    dataset_create(yaml, (data_split)split, &(dataset_options){.no_cache = true}, &data[split]));
    run_labels(p, data[DATA_TRAIN]);
    run_load_image(p, data[DATA_TRAIN]);
    run_rect(p, (const dataset *const *)data);
    run_multi_scale(p);
    data_run_letterbox(p);
    data_run_hsv(p);
    data_run_perspective(p);
    data_run_box_candidates(p);
    data_run_mosaic(p, data[DATA_TRAIN]);
    data_run_getitem(p, data[DATA_TRAIN]);
    for (int split = 0; split < DATA_SPLITS; split++) dataset_destroy(&data[split]);
}
