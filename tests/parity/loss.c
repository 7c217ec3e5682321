/* loss/: matching, losses and gradients, by the plain version and by the processor's in every layout it can meet. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "tests/parity/heads.h"
#include "tests/parity/loss_network.h"
#include "worker/loss/detection.h"
#include "worker/loss/iou.h"

static const tolerance losses = {.rel = 1e-5}, gradients = {.rel_l2 = 3e-5};
static const tolerance boxes = {.abs = 1e-5};

/* ---- bbox_iou/ ---- */

/* In float32 as the reference: of a box of 1e-4 the rounding of its corners is a large part. */
static void corners_of(const float box[4], double corners[4])
{
    for (int k = 0; k < 2; k++) {
        corners[k] = (double)(box[k] - box[k + 2] / 2);
        corners[k + 2] = (double)(box[k] + box[k + 2] / 2);
    }
}

/* Values are differences of terms around 1, slopes by a box's centre and size are sum and difference of two by its corners.
 * Where those cancel, the reference's float32 leaves the rounding of the larger: that much is allowed besides. */
static void run_iou(parity *p, const char *folder)
{
    static const struct {
        const char *name;
        iou_kind kind;
    } kinds[] = {{"iou", IOU_PLAIN}, {"giou", IOU_GENERAL}, {"diou", IOU_DISTANCE}, {"ciou", IOU_COMPLETE}};
    const npy *a = parity_npy(p, "%s/box1.npy", folder), *b = parity_npy(p, "%s/box2.npy", folder);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        case_start(p, "%s/%s", folder, kinds[k].name);
        const npy *want = parity_npy(p, "%s/%s.npy", folder, kinds[k].name);
        const npy *want_slopes = parity_npy(p, "%s/%s_grad_box1.npy", folder, kinds[k].name);
        for (size_t i = 0; a && b && want && want_slopes && i < want->count && !case_failed(p); i++) {
            const float *box = a->f + 4 * i, *other = b->f + 4 * i;
            double corners[2][4], by_corners[4], slope[4], expected[4];
            double value = (double)want->f[i], largest = 0;
            corners_of(box, corners[0]);
            corners_of(other, corners[1]);
            for (size_t j = 0; j < 4; j++) expected[j] = (double)want_slopes->f[4 * i + j];
            if (isnan(value) && !memcmp(box, other, 4 * sizeof *box)) { /* the reference's 0 / 0, mended */
                value = 1;
                memset(expected, 0, sizeof expected);
            }
            case_number(p, "value", iou_of(kinds[k].kind, corners[0], corners[1], by_corners), value,
                        (tolerance){.rel = 1e-5, .abs = 2.4e-7});
            iou_gradient_by_centre(by_corners, slope);
            for (size_t j = 0; j < 4; j++) largest = fmax(largest, fabs(expected[j]));
            case_numbers(p, "gradient", slope, expected, 4, (tolerance){.rel = 1e-5, .abs = 1e-9 + 1.2e-7 * largest});
        }
        case_end(p);
    }
}

/* ---- case<k>/ ---- */

typedef struct loss_case {
    char folder[128];
    const yaml_node *about;
    loss_parameters parameters;
    const npy *raw[GRAPH_LEVELS]; /* predictions */
    const npy *targets;
    int images;
    bool fails_there; /* the reference raises an exception: finite results are asked for, nothing else */
    double items[LOSS_ITEMS];
} loss_case;

static bool read_case(parity *p, loss_case *c)
{
    char path[256];
    snprintf(path, sizeof path, "%s/case.json", c->folder);
    c->about = parity_json(p, path);
    detect_parameters heads;
    if (!c->about || !heads_read(p, json_string(p, c->about, "model"), &heads)) return false;
    heads_loss(p, json_get(p, c->about, "hyp"), &heads, &c->parameters);
    c->parameters.ratio = (float)json_double(p, c->about, "gr");
    for (int i = 0; i < heads.levels; i++) {
        c->raw[i] = parity_npy(p, "model/%s/input%lld/train_p%d.npy", json_string(p, c->about, "model"),
                               (long long)json_int(p, c->about, "input"), i);
        if (!c->raw[i]) return false;
    }
    c->images = (int)c->raw[0]->shape.dim[0];
    c->targets = parity_npy(p, "%s/targets.npy", c->folder);
    c->fails_there = yaml_get(c->about, "exception") != NULL;
    return c->targets != NULL;
}

static size_t target_count(const loss_case *c)
{
    return (size_t)c->targets->shape.dim[0];
}

static void check_matches(parity *p, const loss_case *c, int level)
{
    const npy *indices = parity_npy(p, "%s/indices%d.npy", c->folder, level);
    const npy *classes = parity_npy(p, "%s/tcls%d.npy", c->folder, level);
    const npy *tbox = parity_npy(p, "%s/tbox%d.npy", c->folder, level);
    const npy *anchors = parity_npy(p, "%s/anch%d.npy", c->folder, level);
    loss_matches found = {0};
    const shape *grid = &c->raw[level]->shape;
    status s = loss_find_matches(&c->parameters, level, c->images, (int)grid->dim[2], (int)grid->dim[3], c->targets->f,
                                 target_count(c), &found);
    if (indices && classes && tbox && anchors && case_ok(p, "matching", s) &&
        case_int(p, "matches", (int64_t)found.count, (int64_t)classes->count)) {
        size_t n = found.count;
        int64_t *where = parity_alloc(p, 4 * n * sizeof *where), *class = parity_alloc(p, n * sizeof *class);
        float *box = parity_alloc(p, 4 * n * sizeof *box), *size = parity_alloc(p, 2 * n * sizeof *size);
        for (size_t i = 0; i < n; i++) {
            const loss_match *m = &found.items[i];
            where[i] = m->image, where[n + i] = m->anchor, where[2 * n + i] = m->y, where[3 * n + i] = m->x;
            class[i] = m->class;
            memcpy(box + 4 * i, m->box, sizeof m->box);
            memcpy(size + 2 * i, c->parameters.detect.anchor[level][m->anchor], 2 * sizeof *size);
        }
        case_ints(p, "indices", where, indices->i, 4 * n);
        case_ints(p, "tcls", class, classes->i, n);
        case_floats(p, "tbox", box, tbox->f, 4 * n, boxes);
        case_floats(p, "anch", size, anchors->f, 2 * n, EXACT);
    }
    loss_matches_free(&found);
}

static void check_items(parity *p, const loss_case *c, const char *who, const double items[LOSS_ITEMS])
{
    static const char *const keys[LOSS_ITEMS] = {"lbox", "lobj", "lcls", "sum"};
    char what[64];
    for (int k = 0; k < LOSS_ITEMS; k++) {
        snprintf(what, sizeof what, "%s: %s", who, keys[k]);
        if (!c->fails_there) case_number(p, what, items[k], json_double(p, c->about, keys[k]), losses);
        else if (!isfinite(items[k])) case_fail(p, "%s is %g", what, items[k]);
    }
    snprintf(what, sizeof what, "%s: sum * batch", who);
    if (!c->fails_there)
        case_number(p, what, items[3] * c->images, json_double(p, c->about, "loss_times_batch"), losses);
}

static void check_gradient(parity *p, const loss_case *c, const char *who, int level, const float *got,
                           const float *plain)
{
    char what[64];
    snprintf(what, sizeof what, "%s: gradient of level %d", who, level);
    const float *want = plain;
    if (!c->fails_there) {
        const npy *recorded = parity_npy(p, "%s/grad_p%d.npy", c->folder, level);
        want = recorded ? recorded->f : NULL;
    }
    if (want) case_floats(p, what, got, want, c->raw[level]->count, gradients);
}

/* The plain version. Its gradients are returned in `gradient`, kept by the parity. */
static void check_plain(parity *p, loss_case *c, const float *gradient[GRAPH_LEVELS])
{
    loss_level levels[GRAPH_LEVELS];
    for (int i = 0; i < c->parameters.detect.levels; i++) {
        const shape *grid = &c->raw[i]->shape;
        float *room = parity_alloc(p, c->raw[i]->count * sizeof *room);
        levels[i] = (loss_level){c->raw[i]->f, room, (int)grid->dim[2], (int)grid->dim[3]};
        gradient[i] = room;
    }
    status s = loss_detection(&c->parameters, c->images, levels, c->targets->f, target_count(c), c->items);
    if (!case_ok(p, "plain", s)) return;
    check_items(p, c, "plain", c->items);
    for (int i = 0; i < c->parameters.detect.levels; i++) check_gradient(p, c, "plain", i, gradient[i], gradient[i]);
}

static void check_fast(parity *p, const loss_case *c, int layout, int threads, const float *const plain[GRAPH_LEVELS])
{
    char who[32];
    snprintf(who, sizeof who, "%s, %d threads", heads_layouts[layout], threads);
    detect_view views[GRAPH_LEVELS];
    for (int i = 0; i < c->parameters.detect.levels; i++)
        views[i] = heads_view(p, c->raw[i], 0, c->images, layout, true);
    detect_loss *loss;
    float items[LOSS_ITEMS];
    double numbers[LOSS_ITEMS];
    int count = (int)target_count(c);
    if (!case_ok(p, who, detect_loss_create(&c->parameters, views, count, threads, &loss))) return;
    if (case_ok(p, who, detect_loss_run(loss, c->targets->f, count, items))) {
        for (int k = 0; k < LOSS_ITEMS; k++) numbers[k] = (double)items[k];
        check_items(p, c, who, numbers);
        for (int k = 0; k < LOSS_ITEMS; k++) case_number(p, "fast against plain", numbers[k], c->items[k], losses);
        for (int i = 0; i < c->parameters.detect.levels; i++)
            check_gradient(p, c, who, i, heads_gradient(p, &views[i], c->raw[i]), plain[i]);
    }
    detect_loss_destroy(&loss);
}

static void run_case(parity *p, const char *name)
{
    loss_case c = {0};
    const float *gradient[GRAPH_LEVELS];
    char folder[160];
    snprintf(c.folder, sizeof c.folder, "loss/%s", name);
    case_start(p, "%s", c.folder);
    if (read_case(p, &c)) {
        for (int i = 0; !c.fails_there && i < c.parameters.detect.levels; i++) check_matches(p, &c, i);
        check_plain(p, &c, gradient);
        for (int layout = 0; layout < HEADS_LAYOUTS && !case_failed(p); layout++)
            for (int threads = 1; threads <= 2; threads++) check_fast(p, &c, layout, threads, gradient);
        snprintf(folder, sizeof folder, "%s/param_grads", c.folder);
        if (parity_list(p, folder)->count) parity_loss_network(p, c.folder, c.about, &c.parameters);
    }
    case_end(p);
}

/* cases.json lists what lies in the folders. */
static void check_list(parity *p)
{
    char path[256];
    const yaml_node *file = parity_json(p, "loss/cases.json"), *cases = file ? json_get(p, file, "cases") : NULL;
    for (size_t i = 0; cases && i < cases->count; i++) {
        snprintf(path, sizeof path, "loss/%s/case.json", json_string(p, &cases->items[i], "case"));
        if (!parity_has(p, path)) case_fail(p, "loss/cases.json names a case that is not there: %s", path);
    }
}

void parity_loss(parity *p)
{
    const fs_names *names = parity_list(p, "loss");
    for (size_t i = 0; i < names->count; i++) {
        char path[256];
        snprintf(path, sizeof path, "loss/%s/case.json", names->names[i]);
        if (parity_has(p, path)) run_case(p, names->names[i]);
        else if (!strcmp(names->names[i], "bbox_iou")) run_iou(p, "loss/bbox_iou");
    }
    if (parity_has(p, "loss/cases.json")) check_list(p);
}
