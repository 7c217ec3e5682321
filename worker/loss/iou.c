#include "worker/loss/iou.h"

#include <math.h>

static const double eps = 1e-9;

enum { X1, Y1, X2, Y2, SIDES };

/* What the sides of the first box do to a quantity. */
typedef struct slopes {
    double by[SIDES];
} slopes;

typedef struct pair {
    double a[SIDES], b[SIDES];
    double aw, ah, bw, bh;
    double both; /* area of the union */
    slopes both_by;
    double result; /* so far */
    slopes result_by;
} pair;

/* How much of min(mine, yours) is mine; of max(mine, yours) it is the rest. */
static double share_of_least(double mine, double yours)
{
    return mine < yours ? 1 : mine > yours ? 0 : 0.5;
}

static double intersection(const pair *p, slopes *by)
{
    double w = fmin(p->a[X2], p->b[X2]) - fmax(p->a[X1], p->b[X1]);
    double h = fmin(p->a[Y2], p->b[Y2]) - fmax(p->a[Y1], p->b[Y1]);
    double wide = w > 0 ? w : 0, high = h > 0 ? h : 0;
    double by_w = w >= 0 ? high : 0, by_h = h >= 0 ? wide : 0; /* torch's clamp lets the gradient through at 0 */
    by->by[X1] = -by_w * (1 - share_of_least(p->a[X1], p->b[X1]));
    by->by[Y1] = -by_h * (1 - share_of_least(p->a[Y1], p->b[Y1]));
    by->by[X2] = by_w * share_of_least(p->a[X2], p->b[X2]);
    by->by[Y2] = by_h * share_of_least(p->a[Y2], p->b[Y2]);
    return wide * high;
}

static void start_plain(pair *p)
{
    slopes inter_by;
    double inter = intersection(p, &inter_by);
    p->both = p->aw * p->ah + p->bw * p->bh - inter + eps;
    p->both_by = (slopes){{-p->ah, -p->aw, p->ah, p->aw}};
    p->result = inter / p->both;
    for (int k = 0; k < SIDES; k++) {
        p->both_by.by[k] -= inter_by.by[k];
        p->result_by.by[k] = (inter_by.by[k] - p->result * p->both_by.by[k]) / p->both;
    }
}

/* Width and height of the smallest box around both. */
static void enclosing(const pair *p, double *w, double *h, slopes *w_by, slopes *h_by)
{
    *w = fmax(p->a[X2], p->b[X2]) - fmin(p->a[X1], p->b[X1]);
    *h = fmax(p->a[Y2], p->b[Y2]) - fmin(p->a[Y1], p->b[Y1]);
    *w_by = (slopes){{[X1] = -share_of_least(p->a[X1], p->b[X1]), [X2] = 1 - share_of_least(p->a[X2], p->b[X2])}};
    *h_by = (slopes){{[Y1] = -share_of_least(p->a[Y1], p->b[Y1]), [Y2] = 1 - share_of_least(p->a[Y2], p->b[Y2])}};
}

static void take_uncovered(pair *p)
{
    double w, h;
    slopes w_by, h_by;
    enclosing(p, &w, &h, &w_by, &h_by);
    double area = w * h + eps, covered = p->both / area;
    p->result -= (area - p->both) / area;
    for (int k = 0; k < SIDES; k++) {
        double area_by = w_by.by[k] * h + h_by.by[k] * w;
        p->result_by.by[k] += (p->both_by.by[k] - covered * area_by) / area;
    }
}

static void take_distance(pair *p)
{
    double w, h;
    slopes w_by, h_by;
    enclosing(p, &w, &h, &w_by, &h_by);
    double dx = p->b[X1] + p->b[X2] - p->a[X1] - p->a[X2], dy = p->b[Y1] + p->b[Y2] - p->a[Y1] - p->a[Y2];
    double diagonal = w * w + h * h + eps, term = (dx * dx + dy * dy) / 4 / diagonal;
    p->result -= term;
    for (int k = 0; k < SIDES; k++) {
        double distance_by = -(k == X1 || k == X2 ? dx : dy) / 2;
        double diagonal_by = 2 * (w * w_by.by[k] + h * h_by.by[k]);
        p->result_by.by[k] -= (distance_by - term * diagonal_by) / diagonal;
    }
}

static void take_aspect(pair *p, double iou)
{
    const double scale = 4 / (M_PI * M_PI);
    double apart = atan(p->bw / p->bh) - atan(p->aw / p->ah), v = scale * apart * apart;
    double alpha =
        v / (1 - iou + v + eps); /* not (1 + eps) - iou + v: in float32 that eps is lost, and 0 / 0 remains */
    double square = p->aw * p->aw + p->ah * p->ah, slope = square > 0 ? alpha * scale * 2 * apart / square : 0;
    p->result -= alpha * v;
    p->result_by.by[X1] -= slope * p->ah;
    p->result_by.by[X2] += slope * p->ah;
    p->result_by.by[Y1] += slope * p->aw;
    p->result_by.by[Y2] -= slope * p->aw;
}

double iou_of(iou_kind kind, const double box[4], const double other[4], double gradient[4])
{
    pair p = {
        .a = {box[X1], box[Y1], box[X2], box[Y2]},
        .b = {other[X1], other[Y1], other[X2], other[Y2]},
        .aw = box[X2] - box[X1],
        .ah = box[Y2] - box[Y1] + eps,
        .bw = other[X2] - other[X1],
        .bh = other[Y2] - other[Y1] + eps,
    };
    start_plain(&p);
    double iou = p.result;
    if (kind == IOU_GENERAL) take_uncovered(&p);
    if (kind == IOU_DISTANCE || kind == IOU_COMPLETE) take_distance(&p);
    if (kind == IOU_COMPLETE) take_aspect(&p, iou);
    for (int k = 0; gradient && k < SIDES; k++) gradient[k] = p.result_by.by[k];
    return p.result;
}

void iou_corners(const double centre[4], double corners[4])
{
    for (int k = 0; k < 2; k++) {
        corners[k] = centre[k] - centre[k + 2] / 2;
        corners[k + 2] = centre[k] + centre[k + 2] / 2;
    }
}

void iou_gradient_by_centre(const double by_corners[4], double by_centre[4])
{
    for (int k = 0; k < 2; k++) {
        by_centre[k] = by_corners[k] + by_corners[k + 2];
        by_centre[k + 2] = (by_corners[k + 2] - by_corners[k]) / 2;
    }
}
