/* metrics/: suppression, average precision, fitness and box conversions; a whole validation is in validation.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hyp.h"
#include "common/text.h"
#include "tests/parity/metrics.h"
#include "worker/metrics/ap.h"
#include "worker/metrics/boxes.h"

static const tolerance box_tolerance = {.abs = 1e-4}, score_tolerance = {.abs = 1e-6};
static const tolerance from_detections = {.abs = 1e-6};
static const tolerance conversions = {.rel = 1e-5};

/* ---- nms/ ---- */

void metrics_check_boxes(parity *p, const char *what, const float *got, size_t count, const float *want,
                         size_t want_count)
{
    char name[96];
    snprintf(name, sizeof name, "%s: boxes", what);
    if (!case_int(p, name, (int64_t)count, (int64_t)want_count)) return;
    for (size_t i = 0; i < count && !case_failed(p); i++) {
        snprintf(name, sizeof name, "%s: row %zu", what, i);
        const float *a = got + NMS_BOX * i, *b = want + NMS_BOX * i;
        case_floats(p, name, a, b, 4, box_tolerance);
        case_floats(p, name, a + 4, b + 4, 1, score_tolerance);
        case_floats(p, name, a + 5, b + 5, 1, EXACT);
    }
}

nms_parameters metrics_nms(parity *p, const yaml_node *about, int classes)
{
    nms_parameters n = {.min_score = (float)json_double(p, about, "conf_thres"),
                        .max_iou = json_double(p, about, "iou_thres"),
                        .most = 300,
                        .multi_label = classes > 1};
    if (yaml_get(about, "agnostic")) n.agnostic = json_bool(p, about, "agnostic");
    if (yaml_get(about, "merge")) n.merge = json_bool(p, about, "merge");
    const yaml_node *only = yaml_get(about, "classes");
    if (only && only->kind == YAML_LIST) {
        size_t count;
        const double *numbers = json_numbers(p, only, &count);
        int *wanted = parity_alloc(p, count * sizeof *wanted);
        for (size_t i = 0; i < count; i++) wanted[i] = (int)numbers[i];
        n.only = wanted;
        n.only_count = (int)count;
    }
    return n;
}

static void run_nms_case(parity *p, const yaml_node *about, int threads)
{
    const npy *in = parity_npy(p, "metrics/nms/%s", json_string(p, about, "input"));
    if (!in) return;
    int images = (int)in->shape.dim[0], classes = (int)in->shape.dim[2] - 5;
    nms_parameters parameters = metrics_nms(p, about, classes);
    detect_nms *nms;
    if (!case_ok(p, "nms", detect_nms_create(&parameters, classes, threads, &nms))) return;
    size_t room = (size_t)parameters.most * NMS_BOX;
    float *boxes = parity_alloc(p, (size_t)images * room * sizeof *boxes);
    int *counts = parity_alloc(p, (size_t)images * sizeof *counts);
    bool good = case_ok(p, "nms", detect_nms_run(nms, in->f, images, in->shape.dim[1], boxes, counts));
    detect_nms_destroy(&nms);
    const yaml_node *outputs = json_get(p, about, "outputs"), *wanted = json_get(p, about, "counts");
    if (!good || !outputs || !wanted || !case_int(p, "images", images, (int64_t)outputs->count)) return;
    for (int i = 0; i < images; i++) {
        char what[32];
        snprintf(what, sizeof what, "image %d", i);
        case_int(p, what, counts[i], (int64_t)json_number(p, &wanted->items[i]));
        const char *file = yaml_string(&outputs->items[i]);
        const npy *want = file ? parity_npy(p, "metrics/nms/%s", file) : NULL;
        if (want)
            metrics_check_boxes(p, what, boxes + (size_t)i * room, (size_t)counts[i], want->f, want->count / NMS_BOX);
    }
}

static void run_nms(parity *p)
{
    const yaml_node *file = parity_json(p, "metrics/nms/cases.json"), *cases = file ? json_get(p, file, "cases") : NULL;
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "metrics/nms/%lld", (long long)json_int(p, &cases->items[i], "case"));
        for (int threads = 1; threads <= 2; threads++) run_nms_case(p, &cases->items[i], threads);
        case_end(p);
    }
}

/* ---- ap_per_class.json ---- */

float *metrics_floats(parity *p, const yaml_node *about, const char *key, size_t *count)
{
    const double *numbers = json_numbers(p, json_get(p, about, key), count);
    float *out = parity_alloc(p, *count * sizeof *out);
    for (size_t i = 0; i < *count; i++) out[i] = (float)numbers[i];
    return out;
}

static void check_column(parity *p, const yaml_node *about, const char *key, const ap_table *t, size_t offset,
                         bool wide)
{
    size_t count;
    const double *want = json_numbers(p, json_get(p, about, key), &count);
    if (!case_int(p, key, (int64_t)count, (int64_t)t->count * MATCHING_OVERLAPS)) return;
    for (size_t i = 0; i < count; i++) {
        const double *got = (const double *)((const char *)&t->rows[i / MATCHING_OVERLAPS] + offset);
        case_number(p, key, got[wide ? i % MATCHING_OVERLAPS : 0], want[i], from_detections);
    }
}

static void run_ap_case(parity *p, const yaml_node *about)
{
    size_t tp_count, classes;
    matching m = {0};
    const double *tp = json_numbers(p, json_get(p, about, "tp"), &tp_count);
    m.score = metrics_floats(p, about, "conf", &m.count);
    m.class = metrics_floats(p, about, "pred_cls", &m.count);
    m.target_class = metrics_floats(p, about, "target_cls", &m.target_count);
    if (!case_int(p, "tp", (int64_t)tp_count, (int64_t)m.count * MATCHING_OVERLAPS)) return;
    m.correct = parity_alloc(p, tp_count);
    for (size_t i = 0; i < tp_count; i++) m.correct[i] = tp[i] != 0;
    ap_table t;
    if (!case_ok(p, "ap", ap_per_class(&m, &t))) return;
    const double *class = json_numbers(p, json_get(p, about, "classes"), &classes);
    if (case_int(p, "classes", (int64_t)t.count, (int64_t)classes)) {
        for (size_t k = 0; k < classes; k++) case_int(p, "class", t.rows[k].class, (int64_t) class[k]);
        check_column(p, about, "p", &t, offsetof(ap_class, precision), false);
        check_column(p, about, "r", &t, offsetof(ap_class, recall), false);
        check_column(p, about, "f1", &t, offsetof(ap_class, f1), false);
        check_column(p, about, "ap", &t, offsetof(ap_class, ap), true);
    }
    ap_table_free(&t);
}

static void run_ap(parity *p)
{
    const yaml_node *file = parity_json(p, "metrics/ap_per_class.json");
    const yaml_node *cases = file ? json_get(p, file, "cases") : NULL;
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "metrics/ap_per_class %lld", (long long)json_int(p, &cases->items[i], "case"));
        run_ap_case(p, &cases->items[i]);
        case_end(p);
    }
}

/* ---- fitness.json ---- */

typedef struct fit {
    double fitness;
    size_t row;
} fit;

static int by_falling_fitness(const void *a, const void *b)
{
    const fit *x = a, *y = b;
    if (x->fitness != y->fitness) return x->fitness > y->fitness ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static void run_fitness(parity *p)
{
    case_start(p, "metrics/fitness");
    const yaml_node *file = parity_json(p, "metrics/fitness.json");
    if (file) {
        size_t count, numbers, ordered;
        const double *want = json_exact(p, file, "fitness", &count);
        const double *x = json_numbers(p, json_get(p, file, "x"), &numbers);
        const double *order = json_numbers(p, json_get(p, file, "order"), &ordered);
        if (case_int(p, "rows", (int64_t)numbers, (int64_t)count * RESULT_COUNT) &&
            case_int(p, "order", (int64_t)ordered, (int64_t)count)) {
            fit *got = parity_alloc(p, count * sizeof *got);
            for (size_t i = 0; i < count; i++) {
                got[i] = (fit){fitness(x + RESULT_COUNT * i, fitness_weights_default), i};
                case_number(p, "fitness", got[i].fitness, want[i], EXACT);
            }
            qsort(got, count, sizeof *got, by_falling_fitness);
            for (size_t i = 0; i < count; i++) case_int(p, "order", (int64_t)got[i].row, (int64_t)order[i]);
        }
    }
    case_end(p);
}

/* ---- boxes.json ---- */

static void run_scale(parity *p, const yaml_node *about)
{
    size_t count, wanted, in_numbers, out_numbers, pads;
    const double *input = json_numbers(p, json_get(p, about, "img1"), &in_numbers); /* height, width */
    const double *picture = json_numbers(p, json_get(p, about, "img0"), &out_numbers);
    float *boxes = metrics_floats(p, about, "in", &count), *want = metrics_floats(p, about, "out", &wanted);
    const yaml_node *given = json_get(p, about, "ratio_pad");
    if (!given || !case_int(p, "sizes", (int64_t)in_numbers * (int64_t)out_numbers, 4) ||
        !case_int(p, "boxes", (int64_t)count, (int64_t)wanted))
        return;
    boxes_placing placing = boxes_letterbox((int)input[1], (int)input[0], (int)picture[1], (int)picture[0]);
    if (given->kind == YAML_LIST) { /* ((gain, gain), (pad x, pad y)) */
        const double *pad = json_numbers(p, given, &pads);
        if (!case_int(p, "ratio_pad", (int64_t)pads, 4)) return;
        placing = (boxes_placing){pad[0], pad[2], pad[3]};
    }
    boxes_scale(boxes, count / 4, 4, &placing, (int)picture[1], (int)picture[0]);
    case_floats(p, "scale_coords", boxes, want, count, conversions);
}

static void run_conversion(parity *p, const yaml_node *about)
{
    size_t count, centres, corners;
    float *in = metrics_floats(p, about, "in", &count), *out = metrics_floats(p, about, "out", &centres);
    float *back = metrics_floats(p, about, "back", &corners);
    if (!case_int(p, "boxes", (int64_t)centres, (int64_t)count) ||
        !case_int(p, "boxes", (int64_t)corners, (int64_t)count))
        return;
    for (size_t i = 0; i < count; i += 4) {
        float box[4];
        boxes_to_centre(in + i, box);
        case_floats(p, "xyxy2xywh", box, out + i, 4, conversions);
        boxes_to_corners(box, box);
        case_floats(p, "xywh2xyxy", box, back + i, 4, conversions);
    }
}

static void run_boxes(parity *p)
{
    const yaml_node *file = parity_json(p, "metrics/boxes.json");
    for (size_t k = 0; file && k < file->count; k++) {
        const char *key = yaml_string(&file->keys[k]);
        const yaml_node *value = &file->items[k];
        if (!strcmp(key, "scale_coords"))
            for (size_t i = 0; i < value->count; i++) {
                case_start(p, "metrics/scale_coords %zu", i);
                run_scale(p, &value->items[i]);
                case_end(p);
            }
        else {
            case_start(p, "metrics/%s", key);
            if (!strcmp(key, "xyxy2xywh")) run_conversion(p, value);
            else case_fail(p, "unknown kind of conversion");
            case_end(p);
        }
    }
}

void parity_metrics(parity *p)
{
    if (parity_has(p, "metrics/nms/cases.json")) run_nms(p);
    if (parity_has(p, "metrics/ap_per_class.json")) run_ap(p);
    if (parity_has(p, "metrics/fitness.json")) run_fitness(p);
    if (parity_has(p, "metrics/boxes.json")) run_boxes(p);
    if (parity_has(p, "metrics/test/result.json")) metrics_validation(p);
}
