/* detect_loss.c - the detection loss over plan memory.
 *
 * A run has two parallel parts. Levels match their targets, each in the reference's order, and sort the matches by image
 * without changing it. Then every image of every level is one piece of work: clear its gradient, go through its matches,
 * then through all its cells. A piece owns its memory, sums in double, and the sums are added in one order: the number of
 * threads changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/detect_inner.h"
#include "worker/backend/cpu/parallel.h"

enum {
    NEIGHBOURS = 5,
    MATCHES_EACH = NEIGHBOURS
}; /* of a target with one anchor: at most its cell and four neighbours */

typedef struct match {
    int image, class, anchor, y, x;
    float box[4]; /* the target: centre from the cell's corner, width and height, in cells */
} match;

typedef struct level {
    detect_view view;
    uint8_t *reach; /* (anchors, targets): bit n says that the pair matches at neighbour n */
    match *found, *by_image;
    size_t *first; /* images + 1: where an image's matches start in by_image */
    size_t count;
    double box_factor, object_factor, class_factor; /* from sums over matches or cells to items */
    float box_slope, object_slope, class_slope;     /* from those sums to the value that is differentiated */
} level;

typedef struct part_sums {
    double box, object, class;
} part_sums;

struct detect_loss {
    loss_parameters p;
    int images, targets_most, threads, row; /* row: channels of an anchor */
    level levels[GRAPH_LEVELS];
    float *object; /* threads * cells_most: objectness targets of the image in hand */
    size_t cells_most;
    part_sums *sums; /* (levels, images) */
    const float *targets;
    int count; /* of the run in hand */
};

/* ---- memory ---- */

static size_t cells_of(const detect_loss *l, const level *v)
{
    return (size_t)l->p.detect.anchors * (size_t)v->view.height * (size_t)v->view.width;
}

static status create_level(detect_loss *l, level *v, const detect_view *view)
{
    if (view->images < 1 || view->images != l->images || view->height < 1 || view->width < 1 || view->block < 1)
        return FAIL(ERR_ARGUMENT, "predictions of %d images, %d x %d in blocks of %d: cannot be", view->images,
                    view->height, view->width, view->block);
    v->view = *view;
    size_t pairs = (size_t)l->p.detect.anchors * (size_t)l->targets_most;
    TRY(array_new(&v->reach, pairs));
    TRY(array_new(&v->found, pairs * MATCHES_EACH));
    TRY(array_new(&v->by_image, pairs * MATCHES_EACH));
    TRY(array_new(&v->first, (size_t)l->images + 1));
    if (cells_of(l, v) > l->cells_most) l->cells_most = cells_of(l, v);
    return OK;
}

status detect_loss_create(const loss_parameters *p, const detect_view *views, int targets_most, int threads,
                          detect_loss **out)
{
    *out = NULL;
    if (targets_most < 0 || p->detect.levels < 1 || p->detect.levels > GRAPH_LEVELS || p->detect.anchors < 1 ||
        p->detect.anchors > GRAPH_ANCHORS || p->detect.classes < 1)
        return FAIL(ERR_ARGUMENT, "a loss over %d levels, %d anchors, %d classes, %d targets: cannot be",
                    p->detect.levels, p->detect.anchors, p->detect.classes, targets_most);
    detect_loss *l;
    TRY(array_new(&l, 1));
    *l = (detect_loss){.p = *p,
                       .images = views[0].images,
                       .targets_most = targets_most,
                       .threads = threads > 1 ? threads : 1,
                       .row = 5 + p->detect.classes};
    status s = OK;
    for (int i = 0; s == OK && i < p->detect.levels; i++) s = create_level(l, &l->levels[i], &views[i]);
    if (s == OK) s = array_new(&l->object, (size_t)l->threads * l->cells_most);
    if (s == OK) s = array_new(&l->sums, (size_t)p->detect.levels * (size_t)l->images);
    if (s != OK) detect_loss_destroy(&l);
    *out = l;
    return s;
}

void detect_loss_destroy(detect_loss **l)
{
    if (!*l) return;
    for (int i = 0; i < GRAPH_LEVELS; i++) {
        level *v = &(*l)->levels[i];
        free(v->reach);
        free(v->found);
        free(v->by_image);
        free(v->first);
    }
    free((*l)->object);
    free((*l)->sums);
    free(*l);
    *l = NULL;
}

/* ---- matching: float32, operation by operation as the reference, for a rounding decides which cell a target is in ---- */

static const float offsets[NEIGHBOURS][2] = {{0, 0}, {0.5f, 0}, {0, 0.5f}, {-0.5f, 0}, {0, -0.5f}};

static uint8_t neighbours_of(float x, float y, float width, float height)
{
    float back_x = width - x, back_y = height - y;
    bool left = fmodf(x, 1) < 0.5f && x > 1, above = fmodf(y, 1) < 0.5f && y > 1;
    bool right = fmodf(back_x, 1) < 0.5f && back_x > 1, below = fmodf(back_y, 1) < 0.5f && back_y > 1;
    return (uint8_t)(1 | left << 1 | above << 2 | right << 3 | below << 4);
}

static void find_pairs(const detect_loss *l, level *v, int index)
{
    float width = (float)v->view.width, height = (float)v->view.height, most = l->p.anchor_t;
    for (int a = 0; a < l->p.detect.anchors; a++) {
        const float *anchor = l->p.detect.anchor[index][a];
        for (int i = 0; i < l->count; i++) {
            const float *t = l->targets + 6 * (size_t)i;
            float rw = t[4] * width / anchor[0], rh = t[5] * height / anchor[1];
            bool fits = rw < most && 1 / rw < most && rh < most && 1 / rh < most;
            v->reach[(size_t)a * (size_t)l->count + (size_t)i] =
                fits ? neighbours_of(t[2] * width, t[3] * height, width, height) : 0;
        }
    }
}

static int cell_of(float position, int size)
{
    if (!(position > 0)) return 0; /* NaN too */
    return position < (float)size ? (int)position : size - 1;
}

static match match_of(const detect_view *view, const float *t, int anchor, int neighbour)
{
    float x = t[2] * (float)view->width, y = t[3] * (float)view->height;
    int column = cell_of(x - offsets[neighbour][0], view->width);
    int row = cell_of(y - offsets[neighbour][1], view->height);
    float w = t[4] * (float)view->width, h = t[5] * (float)view->height;
    return (match){(int)t[0], (int)t[1], anchor, row, column, {x - (float)column, y - (float)row, w, h}};
}

/* The reference's order is neighbour, anchor, target; within an image it stays, since the last match on a cell decides. */
static void find_matches(const detect_loss *l, level *v, int index)
{
    find_pairs(l, v, index);
    v->count = 0;
    for (int n = 0; n < NEIGHBOURS; n++)
        for (int a = 0; a < l->p.detect.anchors; a++)
            for (int i = 0; i < l->count; i++)
                if (v->reach[(size_t)a * (size_t)l->count + (size_t)i] >> n & 1)
                    v->found[v->count++] = match_of(&v->view, l->targets + 6 * (size_t)i, a, n);
    memset(v->first, 0, ((size_t)l->images + 1) * sizeof *v->first);
    for (size_t k = 0; k < v->count; k++) v->first[v->found[k].image + 1]++;
    for (int n = 0; n < l->images; n++) v->first[n + 1] += v->first[n];
    for (size_t k = 0; k < v->count; k++) v->by_image[v->first[v->found[k].image]++] = v->found[k];
    for (int n = l->images; n > 0; n--) v->first[n] = v->first[n - 1]; /* filling moved each start to the next one's */
    v->first[0] = 0;
}

static void match_levels(int index, int threads, void *state)
{
    detect_loss *l = state;
    for (int i = index; i < l->p.detect.levels; i += threads) find_matches(l, &l->levels[i], i);
}

/* ---- overlap ---- */

/* How much of min(mine, yours) is mine; of max(mine, yours) it is the rest. */
static float share_of_least(float mine, float yours)
{
    return mine < yours ? 1.0f : mine > yours ? 0.0f : 0.5f;
}

/* One axis of two boxes: the first from a1 to a2, the second from b1 to b2. */
typedef struct axis {
    float a1, a2, b1, b2;
    float shared;             /* length that both cover, not below 0 */
    float shared_1, shared_2; /* its slopes by a1 and a2 */
    float around;             /* length of what encloses both */
    float around_1, around_2;
    float apart; /* twice the distance from the first centre to the second */
} axis;

static axis axis_of(float centre, float length, float other_centre, float other_length)
{
    axis x = {.a1 = centre - length / 2,
              .a2 = centre + length / 2,
              .b1 = other_centre - other_length / 2,
              .b2 = other_centre + other_length / 2};
    float near_1 = share_of_least(x.a1, x.b1), near_2 = share_of_least(x.a2, x.b2);
    float shared = (x.a2 < x.b2 ? x.a2 : x.b2) - (x.a1 > x.b1 ? x.a1 : x.b1);
    x.around = (x.a2 > x.b2 ? x.a2 : x.b2) - (x.a1 < x.b1 ? x.a1 : x.b1);
    x.around_1 = -near_1;
    x.around_2 = 1 - near_2;
    x.apart = x.b1 + x.b2 - x.a1 - x.a2;
    x.shared = shared < 0 ? 0 : shared;
    if (shared >= 0) { /* torch's clamp lets the gradient through at 0 */
        x.shared_1 = near_1 - 1;
        x.shared_2 = near_2;
    }
    return x;
}

/* Two boxes, their IoU, and what is differentiated: its slopes, so far, by the sides of the first. */
typedef struct overlap {
    axis x, y;
    float w, h, tw, th, both, iou; /* both: area of the union */
    float dx1, dx2, dy1, dy2;
} overlap;

static const float overlap_eps = 1e-9f;

static overlap overlap_of(const float box[4], const float target[4])
{
    overlap o = {.x = axis_of(box[0], box[2], target[0], target[2]),
                 .y = axis_of(box[1], box[3], target[1], target[3])};
    const axis *x = &o.x, *y = &o.y;
    o.w = x->a2 - x->a1;
    o.h = y->a2 - y->a1 + overlap_eps;
    o.tw = x->b2 - x->b1;
    o.th = y->b2 - y->b1 + overlap_eps;
    float inter = x->shared * y->shared;
    o.both = o.w * o.h + o.tw * o.th - inter + overlap_eps;
    o.iou = inter / o.both;
    /* The union has the slope of w h less that of the intersection. */
    float grow = 1 + o.iou;
    o.dx1 = (grow * x->shared_1 * y->shared + o.iou * o.h) / o.both;
    o.dx2 = (grow * x->shared_2 * y->shared - o.iou * o.h) / o.both;
    o.dy1 = (grow * y->shared_1 * x->shared + o.iou * o.w) / o.both;
    o.dy2 = (grow * y->shared_2 * x->shared - o.iou * o.w) / o.both;
    return o;
}

/* CIoU; alpha counts as a constant. */
static float ciou_of(overlap *o)
{
    const float scale = (float)(4 / (M_PI * M_PI)), w = o->w, h = o->h;
    const axis *x = &o->x, *y = &o->y;
    float diagonal = x->around * x->around + y->around * y->around + overlap_eps;
    float distance = (x->apart * x->apart + y->apart * y->apart) / 4 / diagonal;
    float turn = atanf(o->tw / o->th) - atanf(w / h), v = scale * turn * turn;
    float alpha =
        v / (1 - o->iou + v + overlap_eps); /* eps last: (1 + eps) - iou would lose it: 0 / 0 for equal boxes */
    float square = w * w + h * h, aspect = square > 0 ? alpha * scale * 2 * turn / square : 0;
    o->dx1 -= (-x->apart / 2 - distance * 2 * x->around * x->around_1) / diagonal + aspect * h;
    o->dx2 -= (-x->apart / 2 - distance * 2 * x->around * x->around_2) / diagonal - aspect * h;
    o->dy1 -= (-y->apart / 2 - distance * 2 * y->around * y->around_1) / diagonal - aspect * w;
    o->dy2 -= (-y->apart / 2 - distance * 2 * y->around * y->around_2) / diagonal + aspect * w;
    return o->iou - (distance + v * alpha);
}

/* GIoU: IoU - 1 + union / area, where the area encloses both. */
static float giou_of(overlap *o)
{
    const axis *x = &o->x, *y = &o->y;
    float area = x->around * y->around + overlap_eps, covered = o->both / area;
    o->dx1 += (-o->h - x->shared_1 * y->shared - covered * x->around_1 * y->around) / area;
    o->dx2 += (o->h - x->shared_2 * y->shared - covered * x->around_2 * y->around) / area;
    o->dy1 += (-o->w - y->shared_1 * x->shared - covered * y->around_1 * x->around) / area;
    o->dy2 += (o->w - y->shared_2 * x->shared - covered * y->around_2 * x->around) / area;
    return o->iou - (area - o->both) / area;
}

/* The overlap of a box (centre, size) with the target, and its gradient by the box. */
static float measure(overlap_kind kind, const float box[4], const float target[4], float gradient[4])
{
    overlap o = overlap_of(box, target);
    float value = kind == OVERLAP_GIOU ? giou_of(&o) : ciou_of(&o);
    gradient[0] = o.dx1 + o.dx2;
    gradient[1] = o.dy1 + o.dy2;
    gradient[2] = (o.dx2 - o.dx1) / 2;
    gradient[3] = (o.dy2 - o.dy1) / 2;
    return value;
}

/* ---- cross-entropy ---- */

typedef struct cost {
    float loss, slope; /* slope: of the loss by the logit */
} cost;

/* Binary cross-entropy with logits, positives weighed, or its focal form. */
static inline cost cross_entropy(float logit, float target, float weight, float gamma)
{
    float e = expf(-fabsf(logit)), near = 1 / (1 + e), far = e / (1 + e); /* no overflow, no cancellation */
    float p = logit < 0 ? far : near, q = logit < 0 ? near : far;
    float loss = (1 - target) * logit + (1 + (weight - 1) * target) * (log1pf(e) + (logit < 0 ? -logit : 0));
    float slope = (weight * target + 1 - target) * p - weight * target;
    if (!(gamma > 0)) return (cost){loss, slope};
    float miss = target * q + (1 - target) * p, factor = (target * 0.25f + (1 - target) * 0.75f) * powf(miss, gamma);
    float factor_slope = miss > 0 ? factor * gamma * (p * q / miss) * (1 - 2 * target) : 0;
    return (cost){loss * factor, slope * factor + loss * factor_slope};
}

/* ---- one image of one level ---- */

typedef struct part {
    const detect_loss *l;
    const level *v;
    int image;
    float *object; /* (anchors, height, width) */
    part_sums *sums;
} part;

static void clear_gradient(const detect_view *v, int image, int channels)
{
    for (int block = 0; block * v->block < channels; block++)
        memset(v->gradient + image * v->image_stride + block * v->block_stride, 0,
               (size_t)v->height * (size_t)v->width * (size_t)v->block * sizeof *v->gradient);
}

static void add_box(part *w, const match *m, int index)
{
    const detect_view *v = &w->v->view;
    const float *anchor = w->l->p.detect.anchor[index][m->anchor];
    int64_t at[4], cell = (int64_t)(m->y * v->width + m->x) * v->block;
    float box[4], slope[4], gradient[4];
    for (int k = 0; k < 4; k++) {
        at[k] = detect_start(v, w->image, m->anchor * w->l->row + k) + cell;
        float y = detect_sigmoid(v->value[at[k]]), side = k < 2 ? 0 : anchor[k - 2];
        box[k] = k < 2 ? y * 2 - 0.5f : (y * 2) * (y * 2) * side;
        slope[k] = (k < 2 ? 2 : 8 * y * side) * y * (1 - y);
    }
    float iou = measure(w->l->p.overlap, box, m->box, gradient), ratio = w->l->p.ratio;
    for (int k = 0; v->gradient && k < 4; k++) v->gradient[at[k]] -= w->v->box_slope * gradient[k] * slope[k];
    w->object[(m->anchor * v->height + m->y) * v->width + m->x] = 1 - ratio + ratio * (iou < 0 ? 0 : iou);
    w->sums->box += (double)(1 - iou);
}

static void add_class(part *w, const match *m)
{
    const detect_view *v = &w->v->view;
    const loss_parameters *p = &w->l->p;
    int64_t cell = (int64_t)(m->y * v->width + m->x) * v->block;
    for (int k = 0; k < p->detect.classes; k++) {
        int64_t at = detect_start(v, w->image, m->anchor * w->l->row + 5 + k) + cell;
        cost c = cross_entropy(v->value[at], k == m->class, p->cls_weight, p->focal_gamma);
        w->sums->class += (double)c.loss;
        if (v->gradient) v->gradient[at] += w->v->class_slope * c.slope;
    }
}

static void add_object(part *w)
{
    const detect_view *v = &w->v->view;
    const loss_parameters *p = &w->l->p;
    int cells = v->height * v->width;
    for (int a = 0; a < p->detect.anchors; a++) {
        int64_t at = detect_start(v, w->image, a * w->l->row + 4);
        const float *target = w->object + (size_t)a * (size_t)cells;
        double sum = 0;
        for (int i = 0; i < cells; i++, at += v->block) {
            cost c = cross_entropy(v->value[at], target[i], p->obj_weight, p->focal_gamma);
            sum += (double)c.loss;
            if (v->gradient) v->gradient[at] = w->v->object_slope * c.slope;
        }
        w->sums->object += sum;
    }
}

static void run_part(part *w, int index)
{
    const level *v = w->v;
    if (v->view.gradient) clear_gradient(&v->view, w->image, w->l->p.detect.anchors * w->l->row);
    memset(w->object, 0, cells_of(w->l, v) * sizeof *w->object);
    *w->sums = (part_sums){0};
    for (size_t k = v->first[w->image]; k < v->first[w->image + 1]; k++) {
        add_box(w, &v->by_image[k], index);
        if (w->l->p.detect.classes > 1) add_class(w, &v->by_image[k]);
    }
    add_object(w);
}

static void run_parts(int index, int threads, void *state)
{
    detect_loss *l = state;
    for (int i = index; i < l->p.detect.levels * l->images; i += threads) {
        int k = i / l->images;
        part w = {l, &l->levels[k], i % l->images, l->object + (size_t)index * l->cells_most, &l->sums[i]};
        run_part(&w, k);
    }
}

/* ---- a run ---- */

static void set_factors(const detect_loss *l, level *v, int index)
{
    const loss_parameters *p = &l->p;
    double share = 3.0 / p->detect.levels, n = v->count ? (double)v->count : 1, value = l->images * (double)p->scale;
    double cells = (double)cells_of(l, v) * l->images;
    v->box_factor = (double)p->box_gain * share / n;
    v->class_factor = (double)p->cls_gain * share / (n * p->detect.classes);
    v->object_factor = (double)p->obj_gain * share * p->balance[index] / cells;
    v->box_slope = (float)(v->box_factor * value);
    v->class_slope = (float)(v->class_factor * value);
    v->object_slope = (float)(v->object_factor * value);
}

static status check_targets(const detect_loss *l, const float *targets, int count)
{
    int classes = l->p.detect.classes;
    if (count < 0 || count > l->targets_most)
        return FAIL(ERR_ARGUMENT, "%d targets in a batch, room for %d", count, l->targets_most);
    for (int i = 0; i < count; i++) {
        float image = targets[6 * (size_t)i], class = targets[6 * (size_t)i + 1];
        if (!(image >= 0 && image < (float)l->images))
            return FAIL(ERR_ARGUMENT, "target %d belongs to image %g, expected 0 to %d", i, (double)image,
                        l->images - 1);
        if (classes > 1 && !(class >= 0 && class < (float)classes))
            return FAIL(ERR_ARGUMENT, "target %d is of class %g, expected 0 to %d", i, (double)class, classes - 1);
    }
    return OK;
}

status detect_loss_run(detect_loss *l, const float *targets, int count, float items[LOSS_ITEMS])
{
    TRY(check_targets(l, targets, count));
    l->targets = targets;
    l->count = count;
    parallel_run(l->threads, match_levels, l);
    for (int i = 0; i < l->p.detect.levels; i++) set_factors(l, &l->levels[i], i);
    parallel_run(l->threads, run_parts, l);
    part_sums all = {0};
    for (int i = 0; i < l->p.detect.levels * l->images; i++) {
        const level *v = &l->levels[i / l->images];
        all.box += v->box_factor * l->sums[i].box;
        all.object += v->object_factor * l->sums[i].object;
        all.class += v->class_factor * l->sums[i].class;
    }
    items[0] = (float)all.box;
    items[1] = (float)all.object;
    items[2] = (float)all.class;
    items[3] = (float)(all.box + all.object + all.class);
    return OK;
}
