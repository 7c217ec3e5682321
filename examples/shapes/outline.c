#include "examples/shapes/outline.h"

#include <assert.h>
#include <math.h>

static const double full_turn = 6.283185307179586;

outline outline_make(outline_kind kind, double x, double y, double diameter, double aspect, double turn)
{
    return (outline){.kind = kind,
                     .x = x,
                     .y = y,
                     .half = diameter / 2,
                     .across = diameter / 2 * aspect,
                     .cosine = cos(turn * full_turn),
                     .sine = sin(turn * full_turn)};
}

typedef struct point {
    double x, y;
} point;

/* Corners of squares and triangles in the shape's own directions: x along its axis. Returns how many. */
static int corners_of(const outline *o, point corners[4])
{
    double a = o->half, b = o->across;
    if (o->kind == OUTLINE_TRIANGLE) { /* isosceles, its centre of gravity in the middle */
        const double third = 1 / sqrt(3.0);
        corners[0] = (point){a, 0};
        corners[1] = (point){-a / 2, b * 1.5 * third};
        corners[2] = (point){-a / 2, -b * 1.5 * third};
        return 3;
    }
    const double side = sqrt(0.5); /* the diameter is the diagonal's */
    corners[0] = (point){a * side, b * side};
    corners[1] = (point){-a * side, b * side};
    corners[2] = (point){-a * side, -b * side};
    corners[3] = (point){a * side, -b * side};
    return 4;
}

/* Distance to a polygon whose corners turn one way. */
static double polygon_distance(const point *corners, int count, point p)
{
    double nearest = INFINITY;
    int inside = 0, outside = 0;
    for (int i = 0; i < count; i++) {
        point a = corners[i], b = corners[(i + 1) % count];
        double ex = b.x - a.x, ey = b.y - a.y, wx = p.x - a.x, wy = p.y - a.y;
        double along = fmin(fmax((wx * ex + wy * ey) / (ex * ex + ey * ey), 0), 1);
        double dx = wx - along * ex, dy = wy - along * ey;
        nearest = fmin(nearest, dx * dx + dy * dy);
        if (ex * wy - ey * wx > 0) inside++;
        else outside++;
    }
    return inside == count || outside == count ? -sqrt(nearest) : sqrt(nearest);
}

/* First-order distance to an ellipse: exact for a circle, and near the border good enough for smooth edges. */
static double ellipse_distance(double a, double b, point p)
{
    double u = p.x / a, v = p.y / b, level = sqrt(u * u + v * v);
    double slope = sqrt(u * u / (a * a) + v * v / (b * b));
    return slope > 0 ? level * (level - 1) / slope : -fmin(a, b);
}

double outline_distance(const outline *o, double x, double y)
{
    double dx = x - o->x, dy = y - o->y;
    point p = {dx * o->cosine + dy * o->sine, dy * o->cosine - dx * o->sine}, corners[4];
    switch (o->kind) {
    case OUTLINE_DISC: return ellipse_distance(o->half, o->across, p);
    case OUTLINE_SQUARE:
    case OUTLINE_TRIANGLE: return polygon_distance(corners, corners_of(o, corners), p);
    case OUTLINE_STROKE: {
        double beyond = fmax(fabs(p.x) - o->half, 0);
        return sqrt(beyond * beyond + p.y * p.y) - o->across;
    }
    case OUTLINE_ARC: /* half a ring, on the side of its axis */
        return fmax(fabs(sqrt(p.x * p.x + p.y * p.y) - o->half) - o->across, -p.x);
    }
    return INFINITY;
}

static void take_in(rectangle *box, const outline *o, point own)
{
    double x = o->x + own.x * o->cosine - own.y * o->sine, y = o->y + own.x * o->sine + own.y * o->cosine;
    box->left = fmin(box->left, x);
    box->right = fmax(box->right, x);
    box->top = fmin(box->top, y);
    box->bottom = fmax(box->bottom, y);
}

rectangle outline_box(const outline *o)
{
    rectangle box = {INFINITY, INFINITY, -INFINITY, -INFINITY};
    point corners[4];
    if (o->kind == OUTLINE_SQUARE || o->kind == OUTLINE_TRIANGLE) {
        int count = corners_of(o, corners);
        for (int i = 0; i < count; i++) take_in(&box, o, corners[i]);
        return box;
    }
    double wide = o->half + o->across, high = wide; /* of strokes and arcs, in any direction */
    if (o->kind == OUTLINE_DISC) {
        double ac = o->half * o->cosine, bs = o->across * o->sine, as = o->half * o->sine, bc = o->across * o->cosine;
        wide = sqrt(ac * ac + bs * bs);
        high = sqrt(as * as + bc * bc);
    }
    return (rectangle){o->x - wide, o->y - high, o->x + wide, o->y + high};
}

double outline_area(const outline *o)
{
    assert(o->kind == OUTLINE_DISC || o->kind == OUTLINE_SQUARE || o->kind == OUTLINE_TRIANGLE);
    double product = o->half * o->across;
    switch (o->kind) {
    case OUTLINE_DISC: return full_turn / 2 * product;
    case OUTLINE_SQUARE: return 2 * product;
    default: return 2.25 / sqrt(3.0) * product; /* height 1.5 a, base 3 b / sqrt(3) */
    }
}
