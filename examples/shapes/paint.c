#include "examples/shapes/paint.h"

#include <math.h>

#include "examples/shapes/noise.h"

typedef struct window {
    int left, top, right, bottom; /* pixels; the last two are just beyond */
} window;

/* The pixels that a shape can touch, `margin` pixels around it included. */
static window window_of(const canvas *c, const outline *o, double margin)
{
    rectangle box = outline_box(o);
    window w = {(int)floor(fmax(box.left - margin, 0)), (int)floor(fmax(box.top - margin, 0)),
                (int)ceil(fmin(box.right + margin, c->width)), (int)ceil(fmin(box.bottom + margin, c->height))};
    return w;
}

static colour *pixel_at(const canvas *c, int x, int y)
{
    return &c->pixels[(size_t)y * (size_t)c->width + (size_t)x];
}

/* How much of a pixel is covered when its middle is this far from the border. */
static double coverage(double distance)
{
    return fmin(fmax(0.5 - distance, 0), 1);
}

void paint_shadow(canvas *c, const outline *o, const lamp *light)
{
    outline shadow = *o;
    shadow.x -= light->x * light->reach;
    shadow.y -= light->y * light->reach;
    double soft = light->reach;
    window w = window_of(c, &shadow, soft);
    for (int y = w.top; y < w.bottom; y++)
        for (int x = w.left; x < w.right; x++) {
            double depth = fmin(fmax(0.5 - outline_distance(&shadow, x + 0.5, y + 0.5) / (2 * soft), 0), 1);
            *pixel_at(c, x, y) = colour_scale(*pixel_at(c, x, y), 1 - 0.45 * depth * depth);
        }
}

/* The shape's own light at a point `distance` from its border. */
static colour surface(const outline *o, const material *m, const lamp *light, double x, double y, double distance)
{
    double size = fmax(o->half, 1), dx = (x - o->x) / size, dy = (y - o->y) / size;
    double factor = 1 + m->roundness * (dx * light->x + dy * light->y);
    factor += m->mottle * 2 * (noise_fractal(m->seed, x / size * 4, y / size * 4, 3) - 0.5);
    double stripe = (dx * o->cosine + dy * o->sine) * 3;
    if (m->stripes > 0 && stripe - floor(stripe) < 0.5) factor += m->stripes;
    double edge = 0.12 * size; /* the rim is this wide */
    if (-distance < edge) factor *= 1 - m->rim * (1 + distance / edge);
    return colour_scale(m->base, factor);
}

void paint_shape(canvas *c, const outline *o, const material *m, const lamp *light, uint8_t owner)
{
    window w = window_of(c, o, 1);
    for (int y = w.top; y < w.bottom; y++)
        for (int x = w.left; x < w.right; x++) {
            double distance = outline_distance(o, x + 0.5, y + 0.5), part = coverage(distance);
            if (part <= 0) continue;
            colour own = surface(o, m, light, x + 0.5, y + 0.5, fmin(distance, 0));
            *pixel_at(c, x, y) = colour_mix(*pixel_at(c, x, y), own, part * m->opacity);
            if (part > 0.5 && m->opacity > 0.5) c->owner[(size_t)y * (size_t)c->width + (size_t)x] = owner;
        }
}

double paint_light_below(const canvas *c, const outline *o)
{
    window w = window_of(c, o, 0);
    double sum = 0;
    int count = 0;
    for (int y = w.top; y < w.bottom; y++)
        for (int x = w.left; x < w.right; x++) {
            if (outline_distance(o, x + 0.5, y + 0.5) > 0) continue;
            sum += colour_light(*pixel_at(c, x, y));
            count++;
        }
    return count ? sum / count : 0.5;
}

int paint_count_owned(const canvas *c, uint8_t owner)
{
    int count = 0;
    for (int i = 0; i < c->width * c->height; i++) count += c->owner[i] == owner;
    return count;
}
