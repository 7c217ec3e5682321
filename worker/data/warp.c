#include "worker/data/warp.h"

#include <math.h>
#include <string.h>

static const double pixels_least = 2, ratio_most = 20, area_least = 0.1, not_zero = 1e-16;

/* ---- the matrix ---- */

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

static void multiply(const double a[9], const double b[9], double out[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

void warp_draw(draw *d, const warp_ranges *ranges, int canvas_width, int canvas_height, int border_x, int border_y,
               warp *out)
{
    double *all[] = {out->center, out->tilt, out->turn, out->shear, out->shift};
    for (int i = 0; i < 5; i++) memcpy(all[i], identity, sizeof identity);
    out->width = canvas_width + 2 * border_x;
    out->height = canvas_height + 2 * border_y;
    out->perspective = ranges->perspective != 0;
    out->center[2] = -canvas_width / 2.0;
    out->center[5] = -canvas_height / 2.0;
    out->tilt[6] = draw_uniform(d, -ranges->perspective, ranges->perspective);
    out->tilt[7] = draw_uniform(d, -ranges->perspective, ranges->perspective);
    out->angle = draw_uniform(d, -ranges->degrees, ranges->degrees);
    out->scale = draw_uniform(d, 1 - ranges->scale, 1 + ranges->scale);
    double radians = out->angle * M_PI / 180, along = cos(radians) * out->scale, across = sin(radians) * out->scale;
    out->turn[0] = out->turn[4] = along;
    out->turn[1] = across;
    out->turn[3] = -across;
    out->shear[1] = tan(draw_uniform(d, -ranges->shear, ranges->shear) * M_PI / 180);
    out->shear[3] = tan(draw_uniform(d, -ranges->shear, ranges->shear) * M_PI / 180);
    out->shift[2] = draw_uniform(d, 0.5 - ranges->translate, 0.5 + ranges->translate) * out->width;
    out->shift[5] = draw_uniform(d, 0.5 - ranges->translate, 0.5 + ranges->translate) * out->height;
    double a[9], b[9]; /* from the left, as NumPy's @ goes */
    multiply(out->shift, out->shear, a);
    multiply(a, out->turn, b);
    multiply(b, out->tilt, a);
    multiply(a, out->center, out->matrix);
}

/* ---- its inverse, in OpenCV's order of operations ---- */

static void invert_affine(const double m[9], double out[9])
{
    double determinant = m[0] * m[4] - m[1] * m[3], d = determinant != 0 ? 1 / determinant : 0;
    out[0] = m[4] * d;
    out[1] = m[1] * -d;
    out[3] = m[3] * -d;
    out[4] = m[0] * d;
    out[2] = -out[0] * m[2] - out[1] * m[5];
    out[5] = -out[3] * m[2] - out[4] * m[5];
    out[6] = out[7] = 0;
    out[8] = 1;
}

static void invert_any(const double m[9], double out[9])
{
    double determinant =
        m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
    double d = determinant != 0 ? 1 / determinant : 0;
    out[0] = (m[4] * m[8] - m[5] * m[7]) * d;
    out[1] = (m[2] * m[7] - m[1] * m[8]) * d;
    out[2] = (m[1] * m[5] - m[2] * m[4]) * d;
    out[3] = (m[5] * m[6] - m[3] * m[8]) * d;
    out[4] = (m[0] * m[8] - m[2] * m[6]) * d;
    out[5] = (m[2] * m[3] - m[0] * m[5]) * d;
    out[6] = (m[3] * m[7] - m[4] * m[6]) * d;
    out[7] = (m[1] * m[6] - m[0] * m[7]) * d;
    out[8] = (m[0] * m[4] - m[1] * m[3]) * d;
}

static bool is_identity(const double m[9])
{
    for (int i = 0; i < 9; i++)
        if (m[i] != identity[i]) return false;
    return true;
}

void warp_layer(const warp *w, augment_layer *out)
{
    bool same_size = out->canvas_width == w->width && out->canvas_height == w->height;
    if (same_size && is_identity(w->matrix)) {
        out->warp = WARP_NONE;
        memcpy(out->inverse, identity, sizeof identity);
        return;
    }
    out->warp = w->perspective ? WARP_PERSPECTIVE : WARP_AFFINE;
    if (w->perspective) invert_any(w->matrix, out->inverse);
    else invert_affine(w->matrix, out->inverse);
}

/* ---- labels ---- */

static double cut(double value, double most)
{
    return fmin(fmax(value, 0), most);
}

void warp_box(const warp *w, const corners *label, double box[4])
{
    const double x[4] = {label->x1, label->x2, label->x1, label->x2},
                 y[4] = {label->y1, label->y2, label->y2, label->y1};
    const double *m = w->matrix;
    for (int i = 0; i < 4; i++) {
        double u = x[i] * m[0] + y[i] * m[1] + m[2], v = x[i] * m[3] + y[i] * m[4] + m[5];
        double z = x[i] * m[6] + y[i] * m[7] + m[8];
        if (w->perspective) {
            u /= z;
            v /= z;
        }
        box[0] = i ? fmin(box[0], u) : u;
        box[1] = i ? fmin(box[1], v) : v;
        box[2] = i ? fmax(box[2], u) : u;
        box[3] = i ? fmax(box[3], v) : v;
    }
    for (int i = 0; i < 4; i++) box[i] = cut(box[i], i % 2 ? w->height : w->width);
}

bool warp_keeps_box(const float before[4], const double after[4])
{
    float area = (before[2] - before[0]) * (before[3] - before[1]) + (float)not_zero;
    double width = after[2] - after[0], height = after[3] - after[1];
    double ratio = fmax(width / (height + not_zero), height / (width + not_zero));
    return width > pixels_least && height > pixels_least && width * height / (double)area > area_least &&
           ratio < ratio_most;
}

size_t warp_labels(const warp *w, corners *labels, size_t count)
{
    size_t kept = 0;
    float gain = (float)w->scale;
    for (size_t i = 0; i < count; i++) {
        const corners *l = &labels[i];
        const float before[4] = {l->x1 * gain, l->y1 * gain, l->x2 * gain, l->y2 * gain};
        double box[4];
        warp_box(w, l, box);
        if (warp_keeps_box(before, box))
            labels[kept++] = (corners){l->cls, (float)box[0], (float)box[1], (float)box[2], (float)box[3]};
    }
    return kept;
}
