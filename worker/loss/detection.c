#include "worker/loss/detection.h"

#include <math.h>
#include <stdlib.h>

#include "common/array.h"
#include "worker/loss/iou.h"

void loss_parameters_from(const double *hyps, const detect_parameters *heads, loss_parameters *out)
{
    *out = (loss_parameters){
        .detect = *heads,
        .box_gain = (float)hyps[HYP_giou],
        .obj_gain = (float)hyps[HYP_obj],
        .cls_gain = (float)(hyps[HYP_cls] * heads->classes / 80),
        .obj_weight = (float)hyps[HYP_obj_pw],
        .cls_weight = (float)hyps[HYP_cls_pw],
        .focal_gamma = (float)hyps[HYP_fl_gamma],
        .anchor_t = (float)hyps[HYP_anchor_t],
        .ratio = 1,
        .scale = 1,
    };
    static const double balance[GRAPH_LEVELS] = {4, 1, 0.4, 0.1};
    for (int i = 0; i < GRAPH_LEVELS; i++) out->balance[i] = balance[i] * (heads->levels == 4 ? 1.4 : 1);
}

void loss_parameters_as_of_2020_07_20(loss_parameters *p)
{
    p->overlap = OVERLAP_GIOU;
    for (int i = 0; i < GRAPH_LEVELS; i++) p->balance[i] = 1;
}

/* ---- matching: float32, operation by operation as the reference ---- */

/* Own cell, then the neighbours to the left, above, right and below: what is taken from the centre before it is cut to a
 * cell. */
enum { NEIGHBOURS = 5 };
static const float offsets[NEIGHBOURS][2] = {{0, 0}, {0.5f, 0}, {0, 0.5f}, {-0.5f, 0}, {0, -0.5f}};

static bool fits_anchor(const float anchor[2], float w, float h, float most)
{
    float rw = w / anchor[0], rh = h / anchor[1];
    return rw < most && 1 / rw < most && rh < most && 1 / rh < most;
}

/* Is a neighbour nearer than half a cell, and on the grid? */
static bool reaches(int neighbour, float x, float y, float width, float height)
{
    float back_x = width - x, back_y = height - y; /* from the far sides */
    switch (neighbour) {
    case 1: return fmodf(x, 1) < 0.5f && x > 1;
    case 2: return fmodf(y, 1) < 0.5f && y > 1;
    case 3: return fmodf(back_x, 1) < 0.5f && back_x > 1;
    case 4: return fmodf(back_y, 1) < 0.5f && back_y > 1;
    default: return true;
    }
}

static int cell_of(float position, int size)
{
    if (!(position > 0)) return 0; /* NaN too */
    return position < (float)size ? (int)position : size - 1;
}

static status check_targets(const loss_parameters *p, int images, const float *targets, size_t count)
{
    int classes = p->detect.classes;
    for (size_t i = 0; i < count; i++) {
        float image = targets[6 * i], class = targets[6 * i + 1];
        if (!(image >= 0 && image < (float)images))
            return FAIL(ERR_ARGUMENT, "target %zu belongs to image %g, expected 0 to %d", i, (double)image, images - 1);
        if (classes > 1 && !(class >= 0 && class < (float)classes))
            return FAIL(ERR_ARGUMENT, "target %zu is of class %g, expected 0 to %d", i, (double)class, classes - 1);
    }
    return OK;
}

status loss_find_matches(const loss_parameters *p, int level, int images, int height, int width, const float *targets,
                         size_t count, loss_matches *out)
{
    TRY(check_targets(p, images, targets, count));
    for (int n = 0; n < NEIGHBOURS; n++)
        for (int a = 0; a < p->detect.anchors; a++)
            for (size_t i = 0; i < count; i++) {
                const float *t = targets + 6 * i;
                float x = t[2] * (float)width, y = t[3] * (float)height;
                float w = t[4] * (float)width, h = t[5] * (float)height;
                if (!fits_anchor(p->detect.anchor[level][a], w, h, p->anchor_t)) continue;
                if (!reaches(n, x, y, (float)width, (float)height)) continue;
                int column = cell_of(x - offsets[n][0], width), row = cell_of(y - offsets[n][1], height);
                TRY(array_room(&out->items, &out->room, out->count + 1));
                out->items[out->count++] =
                    (loss_match){(int)t[0], (int)t[1], a, row, column, {x - (float)column, y - (float)row, w, h}};
            }
    return OK;
}

void loss_matches_free(loss_matches *m)
{
    free(m->items);
    *m = (loss_matches){0};
}

/* ---- the loss ---- */

typedef struct cost {
    double loss, slope; /* slope: of the loss by the logit */
} cost;

/* Binary cross-entropy of a logit against a target in 0..1, positives weighed; with gamma > 0 its focal form. */
static cost cross_entropy(double logit, double target, double weight, double gamma)
{
    double p = 1 / (1 + exp(-logit)), w = 1 + (weight - 1) * target;
    double loss = (1 - target) * logit + w * (log1p(exp(-fabs(logit))) + fmax(-logit, 0));
    double slope = (weight * target + 1 - target) * p - weight * target;
    if (!(gamma > 0)) return (cost){loss, slope};
    /* miss = 1 - p_t, without the cancellation; p q / miss is at most 1, so that no power of a tiny miss can overflow. */
    double q = 1 / (1 + exp(logit)), miss = target * q + (1 - target) * p, alpha = target * 0.25 + (1 - target) * 0.75;
    double factor = alpha * pow(miss, gamma);
    double factor_slope = miss > 0 ? factor * gamma * (p * q / miss) * (1 - 2 * target) : 0;
    return (cost){loss * factor, slope * factor + loss * factor_slope};
}

typedef struct level_state {
    const loss_parameters *p;
    const loss_level *level;
    int images, index;
    const loss_matches *matches;
    double *gradient;                            /* as the level's, in double; NULL without one */
    double *object;                              /* objectness targets (images, anchors, height, width) */
    double box_slope, object_slope, class_slope; /* of the differentiated value by each level's loss */
} level_state;

static size_t cell_index(const level_state *s, const loss_match *m)
{
    size_t anchors = (size_t)s->p->detect.anchors, height = (size_t)s->level->height, width = (size_t)s->level->width;
    return (((size_t)m->image * anchors + (size_t)m->anchor) * height + (size_t)m->y) * width + (size_t)m->x;
}

/* 1 - overlap of one match; sets the cell's objectness target. */
static double box_loss(level_state *s, const loss_match *m)
{
    size_t cell = cell_index(s, m), row = cell * (5 + (size_t)s->p->detect.classes);
    const float *raw = s->level->value + row, *anchor = s->p->detect.anchor[s->index][m->anchor];
    double y[4], box[4], slope[4], target[4], corners[2][4], by_corners[4], gradient[4];
    for (int k = 0; k < 4; k++) {
        y[k] = 1 / (1 + exp(-(double)raw[k]));
        double side = k < 2 ? 0 : (double)anchor[k - 2];
        box[k] = k < 2 ? y[k] * 2 - 0.5 : 4 * y[k] * y[k] * side;
        slope[k] = (k < 2 ? 2 : 8 * y[k] * side) * y[k] * (1 - y[k]);
        target[k] = (double)m->box[k];
    }
    iou_corners(box, corners[0]);
    iou_corners(target, corners[1]);
    iou_kind kind = s->p->overlap == OVERLAP_GIOU ? IOU_GENERAL : IOU_COMPLETE;
    double iou = iou_of(kind, corners[0], corners[1], by_corners);
    iou_gradient_by_centre(by_corners, gradient);
    for (int k = 0; s->gradient && k < 4; k++) s->gradient[row + (size_t)k] -= s->box_slope * gradient[k] * slope[k];
    double overlap = iou < 0 ? 0 : iou; /* NaN stays */
    s->object[cell] = 1 - (double)s->p->ratio + (double)s->p->ratio * overlap;
    return 1 - iou;
}

static double class_loss(level_state *s, const loss_match *m)
{
    int classes = s->p->detect.classes;
    size_t row = cell_index(s, m) * (5 + (size_t)classes) + 5;
    double sum = 0;
    for (int k = 0; k < classes; k++) {
        cost c = cross_entropy((double)s->level->value[row + (size_t)k], k == m->class, (double)s->p->cls_weight,
                               (double)s->p->focal_gamma);
        sum += c.loss;
        if (s->gradient) s->gradient[row + (size_t)k] += s->class_slope * c.slope;
    }
    return sum;
}

static double object_loss(level_state *s, size_t cells)
{
    size_t row = 5 + (size_t)s->p->detect.classes;
    double sum = 0;
    for (size_t i = 0; i < cells; i++) {
        cost c = cross_entropy((double)s->level->value[i * row + 4], s->object[i], (double)s->p->obj_weight,
                               (double)s->p->focal_gamma);
        sum += c.loss;
        if (s->gradient) s->gradient[i * row + 4] += s->object_slope * c.slope;
    }
    return sum;
}

static void add_level(level_state *s, double items[LOSS_ITEMS])
{
    const loss_parameters *p = s->p;
    int levels = p->detect.levels, classes = p->detect.classes;
    double share = 3.0 / levels, n = (double)s->matches->count, value = s->images * (double)p->scale;
    size_t cells = (size_t)s->images * (size_t)p->detect.anchors * (size_t)(s->level->height * s->level->width);
    double box_factor = (double)p->box_gain * share / n, class_factor = (double)p->cls_gain * share / (n * classes);
    double object_factor = (double)p->obj_gain * share * p->balance[s->index] / (double)cells;
    s->box_slope = box_factor * value;
    s->class_slope = class_factor * value;
    s->object_slope = object_factor * value;
    for (size_t i = 0; i < s->matches->count; i++) {
        items[0] += box_factor * box_loss(s, &s->matches->items[i]);
        if (classes > 1) items[2] += class_factor * class_loss(s, &s->matches->items[i]);
    }
    items[1] += object_factor * object_loss(s, cells);
    size_t count = cells * (5 + (size_t)classes);
    for (size_t i = 0; s->gradient && i < count; i++) s->level->gradient[i] = (float)s->gradient[i];
}

static status run_level(const loss_parameters *p, int index, int images, const loss_level *level, const float *targets,
                        size_t count, double items[LOSS_ITEMS])
{
    loss_matches matches = {0};
    level_state s = {.p = p, .level = level, .images = images, .index = index, .matches = &matches};
    size_t cells = (size_t)images * (size_t)p->detect.anchors * (size_t)(level->height * level->width);
    status result = loss_find_matches(p, index, images, level->height, level->width, targets, count, &matches);
    if (result == OK) result = array_new(&s.object, cells);
    if (result == OK && level->gradient) result = array_new(&s.gradient, cells * (5 + (size_t)p->detect.classes));
    if (result == OK) add_level(&s, items);
    free(s.object);
    free(s.gradient);
    loss_matches_free(&matches);
    return result;
}

status loss_detection(const loss_parameters *p, int images, const loss_level *levels, const float *targets,
                      size_t count, double items[LOSS_ITEMS])
{
    for (int k = 0; k < LOSS_ITEMS; k++) items[k] = 0;
    for (int i = 0; i < p->detect.levels; i++) TRY(run_level(p, i, images, &levels[i], targets, count, items));
    items[3] = items[0] + items[1] + items[2];
    return OK;
}
