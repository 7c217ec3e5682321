/* metrics/test/: a whole validation, from raw predictions to the printed table. */
#include <stdio.h>
#include <string.h>

#include "common/hyp.h"
#include "common/text.h"
#include "tests/parity/metrics.h"
#include "worker/metrics/ap.h"

static const tolerance score_tolerance = {.abs = 1e-6};
static const tolerance from_detections = {.abs = 1e-6}, from_raw = {.abs = 1e-4};

typedef struct validation {
    const yaml_node *about;
    detect_parameters heads;
    const npy *raw[GRAPH_LEVELS], *decoded, *targets, *detections;
    int images, batch, width, height;
} validation;

static bool read_validation(parity *p, validation *v)
{
    v->about = parity_json(p, "metrics/test/result.json");
    v->decoded = parity_npy(p, "metrics/test/decoded.npy");
    v->targets = parity_npy(p, "metrics/test/targets.npy");
    v->detections = parity_npy(p, "metrics/test/nms.npy");
    if (!v->about || !v->decoded || !v->targets || !v->detections) return false;
    int levels = 0;
    for (char path[64]; levels < GRAPH_LEVELS; levels++) {
        snprintf(path, sizeof path, "metrics/test/raw_p%d.npy", levels);
        if (!parity_has(p, path)) break;
        v->raw[levels] = parity_npy(p, "%s", path);
        if (!v->raw[levels]) return false;
    }
    int classes = (int)json_int(p, v->about, "nc");
    const char *model = heads_find(p, classes, levels);
    if (!model) case_fail(p, "no model in the fixtures has %d classes and %d levels", classes, levels);
    if (!model || !heads_read(p, model, &v->heads)) return false;
    size_t count;
    const double *size = json_numbers(p, json_get(p, v->about, "image_hw"), &count);
    v->images = (int)v->decoded->shape.dim[0];
    v->batch = (int)json_int(p, v->about, "batch_size");
    v->height = count == 2 ? (int)size[0] : 0;
    v->width = count == 2 ? (int)size[1] : 0;
    return v->batch > 0;
}

static void views_of(parity *p, const validation *v, int64_t from, int64_t images, int layout, detect_view *views)
{
    for (int i = 0; i < v->heads.levels; i++) views[i] = heads_view(p, v->raw[i], from, images, layout, false);
}

static void check_decoding(parity *p, const validation *v)
{
    int64_t rows = v->decoded->shape.dim[1], channels = 5 + v->heads.classes;
    float *got = parity_alloc(p, v->decoded->count * sizeof *got);
    for (int layout = 0; layout < HEADS_LAYOUTS; layout++) {
        detect_view views[GRAPH_LEVELS];
        views_of(p, v, 0, v->images, layout, views);
        if (!case_int(p, "rows", detect_rows(views, &v->heads), rows)) return;
        detect_decode(views, &v->heads, 1 + layout % 2, got);
        case_floats(p, heads_layouts[layout], got, v->decoded->f, v->decoded->count,
                    (tolerance){.rel_l2 = 1e-5, .max = 5e-3});
        for (int64_t i = 0; i < v->images * rows; i++)
            case_floats(p, "scores", got + i * channels + 4, v->decoded->f + i * channels + 4, (size_t)channels - 4,
                        score_tolerance);
    }
}

/* The recorded detections of one image; *first is where they start. */
static size_t recorded_boxes(const validation *v, int image, size_t *first)
{
    size_t rows = (size_t)v->detections->shape.dim[0], count = 0;
    *first = 0;
    for (size_t i = 0; i < rows; i++) {
        int at = (int)v->detections->f[7 * i];
        if (at < image) *first = i + 1;
        count += at == image;
    }
    return count;
}

/* Boxes of all images (images, most, 6) and how many there are. */
typedef struct found {
    float *boxes;
    int *counts;
    int most;
} found;

static found recorded(parity *p, const validation *v)
{
    size_t rows = (size_t)v->detections->shape.dim[0];
    found f = {parity_alloc(p, rows * (size_t)v->images * NMS_BOX * sizeof *f.boxes),
               parity_alloc(p, (size_t)v->images * sizeof *f.counts), (int)rows};
    for (int n = 0; n < v->images; n++) {
        size_t first, count = recorded_boxes(v, n, &first);
        f.counts[n] = (int)count;
        for (size_t i = 0; i < count; i++)
            memcpy(f.boxes + ((size_t)n * rows + i) * NMS_BOX, v->detections->f + 7 * (first + i) + 1,
                   NMS_BOX * sizeof *f.boxes);
    }
    return f;
}

/* What suppression finds in the recorded decoded predictions, or, batch by batch, in the raw ones. */
static found suppress(parity *p, const validation *v, bool raw)
{
    nms_parameters parameters = metrics_nms(p, v->about, v->heads.classes);
    size_t room = (size_t)parameters.most * NMS_BOX;
    found f = {parity_alloc(p, (size_t)v->images * room * sizeof *f.boxes),
               parity_alloc(p, (size_t)v->images * sizeof *f.counts), parameters.most};
    detect_nms *nms;
    if (!case_ok(p, "nms", detect_nms_create(&parameters, v->heads.classes, 2, &nms))) return f;
    if (!raw)
        case_ok(p, "nms", detect_nms_run(nms, v->decoded->f, v->images, v->decoded->shape.dim[1], f.boxes, f.counts));
    for (int n = 0; raw && n < v->images; n += v->batch) {
        detect_view views[GRAPH_LEVELS];
        views_of(p, v, n, n + v->batch < v->images ? v->batch : v->images - n, n / v->batch % HEADS_LAYOUTS, views);
        case_ok(p, "nms", detect_nms_find(nms, views, &v->heads, f.boxes + (size_t)n * room, f.counts + n));
    }
    detect_nms_destroy(&nms);
    return f;
}

static void check_suppression(parity *p, const validation *v)
{
    found f = suppress(p, v, false);
    for (int n = 0; n < v->images; n++) {
        char what[32];
        found want = recorded(p, v);
        snprintf(what, sizeof what, "image %d", n);
        metrics_check_boxes(p, what, f.boxes + (size_t)n * (size_t)f.most * NMS_BOX, (size_t)f.counts[n],
                            want.boxes + (size_t)n * (size_t)want.most * NMS_BOX, (size_t)want.counts[n]);
    }
}

static bool match_all(parity *p, const validation *v, const found *f, matching *m)
{
    for (int n = 0; n < v->images; n++)
        if (!case_ok(p, "matching",
                     matching_add(m, f->boxes + (size_t)n * (size_t)f->most * NMS_BOX, (size_t)f->counts[n],
                                  v->targets->f, (size_t)v->targets->shape.dim[0], n, v->width, v->height)))
            return false;
    return true;
}

static void check_statistics(parity *p, const validation *v, const matching *m)
{
    const npy *correct = parity_npy(p, "metrics/test/stats_correct.npy");
    const npy *score = parity_npy(p, "metrics/test/stats_conf.npy");
    const npy *class = parity_npy(p, "metrics/test/stats_pred_cls.npy");
    size_t targets, overlaps;
    float *target = metrics_floats(p, v->about, "target_cls", &targets),
          *want = metrics_floats(p, v->about, "iouv", &overlaps);
    float got[MATCHING_OVERLAPS];
    matching_overlaps(got);
    if (case_int(p, "iouv", (int64_t)overlaps, MATCHING_OVERLAPS)) case_floats(p, "iouv", got, want, overlaps, EXACT);
    if (case_int(p, "target_cls", (int64_t)m->target_count, (int64_t)targets))
        case_floats(p, "target_cls", m->target_class, target, targets, EXACT);
    if (!correct || !score || !class || !case_int(p, "detections", (int64_t)m->count, (int64_t)score->count)) return;
    case_bytes(p, "stats_correct", m->correct, correct->u, correct->count, EXACT);
    case_floats(p, "stats_conf", m->score, score->f, m->count, EXACT);
    case_floats(p, "stats_pred_cls", m->class, class->f, m->count, EXACT);
}

/* Names of the classes as the printed table has them: the fixture says them nowhere else. */
static char **table_names(parity *p, const char *table, int classes)
{
    char **names = parity_alloc(p, (size_t)classes * sizeof *names);
    const char *line = table;
    for (int c = 0; c < classes; c++) {
        line = line ? strchr(line, '\n') : NULL;
        if (line) line++;
        const char *from = line ? line + strspn(line, " ") : "";
        size_t length = strcspn(from, " \n");
        names[c] = parity_alloc(p, length + 1);
        memcpy(names[c], from, length);
    }
    return names;
}

static void check_row(parity *p, const yaml_node *about, const char *key, size_t row, double got, tolerance t)
{
    size_t count;
    const double *want = json_numbers(p, json_get(p, about, key), &count);
    if (row < count) case_number(p, key, got, want[row], t);
    else case_fail(p, "%s: more than %zu classes were not expected", key, count);
}

static void check_result(parity *p, const validation *v, const matching *m, tolerance t, bool table)
{
    ap_summary s;
    size_t count;
    const double *want = json_numbers(p, json_get(p, v->about, "P_R_mAP50_mAP_boxloss_objloss_clsloss"), &count);
    if (!case_int(p, "results", (int64_t)count, RESULT_COUNT) || !case_ok(p, "ap", ap_summarize(m, &s))) return;
    case_numbers(p, "P, R, mAP.5, mAP", (double[4]){s.precision, s.recall, s.map50, s.map}, want, 4, t);
    for (size_t k = 0; k < s.table.count; k++) {
        const ap_class *row = &s.table.rows[k];
        check_row(p, v->about, "classes", k, row->class, EXACT);
        check_row(p, v->about, "p", k, row->precision, t);
        check_row(p, v->about, "r", k, row->recall, t);
        check_row(p, v->about, "f1", k, row->f1, t);
        check_row(p, v->about, "ap50", k, row->ap[0], t);
        check_row(p, v->about, "ap", k, row->mean, t);
        for (size_t i = 0; i < MATCHING_OVERLAPS; i++)
            check_row(p, v->about, "ap_all", k * MATCHING_OVERLAPS + i, row->ap[i], t);
    }
    double *maps = parity_alloc(p, (size_t)v->heads.classes * sizeof *maps);
    ap_maps(&s, v->heads.classes, maps);
    for (int c = 0; c < v->heads.classes; c++) check_row(p, v->about, "maps", (size_t)c, maps[c], t);
    if (table) {
        const char *lines = json_string(p, v->about, "table");
        text printed = {0};
        ap_print(&s, table_names(p, lines, v->heads.classes), v->heads.classes, true, &printed);
        case_text(p, "table", text_string(&printed), printed.length, lines, strlen(lines));
        text_free(&printed);
    }
    ap_summary_free(&s);
}

/* Losses are means over the batches, the last one smaller. */
static void check_losses(parity *p, const validation *v)
{
    double sums[3] = {0};
    loss_parameters parameters;
    heads_loss(p, json_get(p, v->about, "hyp"), &v->heads, &parameters);
    int batches = 0;
    for (int n = 0; n < v->images; n += v->batch, batches++) {
        int images = n + v->batch < v->images ? v->batch : v->images - n, count = 0;
        float *targets = parity_alloc(p, v->targets->count * sizeof *targets), items[LOSS_ITEMS] = {0};
        for (int64_t i = 0; i < v->targets->shape.dim[0]; i++) {
            const float *t = v->targets->f + 6 * i;
            if (t[0] < (float)n || t[0] >= (float)(n + images)) continue;
            memcpy(targets + 6 * count, t, 6 * sizeof *t);
            targets[6 * count++] -= (float)n;
        }
        detect_view views[GRAPH_LEVELS];
        views_of(p, v, n, images, batches % HEADS_LAYOUTS, views);
        detect_loss *loss;
        if (!case_ok(p, "loss", detect_loss_create(&parameters, views, count, 2, &loss))) return;
        case_ok(p, "loss", detect_loss_run(loss, targets, count, items));
        detect_loss_destroy(&loss);
        for (int k = 0; k < 3; k++) sums[k] += (double)items[k];
    }
    for (size_t k = 0; k < 3; k++)
        check_row(p, v->about, "P_R_mAP50_mAP_boxloss_objloss_clsloss", 4 + k, sums[k] / batches,
                  (tolerance){.rel = 1e-5});
}

void metrics_validation(parity *p)
{
    static const char *const parts[] = {"decoding",     "suppression", "from detections",
                                        "from decoded", "from raw",    "losses"};
    enum { DECODING, SUPPRESSION, FROM_DETECTIONS, FROM_DECODED, FROM_RAW, LOSSES };
    validation v = {0};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        case_start(p, "metrics/test %s", parts[k]);
        matching m = {0};
        if (k == DECODING && !read_validation(p, &v)) {
            case_end(p);
            return;
        }
        if (k == DECODING) check_decoding(p, &v);
        if (k == SUPPRESSION) check_suppression(p, &v);
        if (k == LOSSES) check_losses(p, &v);
        if (k == FROM_DETECTIONS || k == FROM_DECODED || k == FROM_RAW) {
            found f = k == FROM_DETECTIONS ? recorded(p, &v) : suppress(p, &v, k == FROM_RAW);
            bool exact = k != FROM_RAW;
            if (match_all(p, &v, &f, &m)) {
                if (exact) check_statistics(p, &v, &m);
                check_result(p, &v, &m, exact ? from_detections : from_raw, exact);
            }
        }
        matching_free(&m);
        case_end(p);
    }
}
