#include "examples/shapes/background.h"

#include <math.h>

#include "examples/shapes/noise.h"

typedef struct texture texture;
struct texture {
    double (*mix)(const texture *t, double x, double y); /* 0: colour a, 1: colour b; may go a little beyond */
    uint64_t seed;
    double scale;        /* pixels a unit of the noise */
    double cosine, sine; /* direction */
    double grain;        /* strength of the finest detail */
    colour a, b;
};

/* A point in the texture's own directions and units. */
static double along(const texture *t, double x, double y)
{
    return (x * t->cosine + y * t->sine) / t->scale;
}

static double across(const texture *t, double x, double y)
{
    return (y * t->cosine - x * t->sine) / t->scale;
}

/* ---- kinds ---- */

static double mix_gradient(const texture *t, double x, double y)
{
    double position = along(t, x, y) / 6;
    return position - floor(position) < 0.5 ? 2 * (position - floor(position)) : 2 - 2 * (position - floor(position));
}

static double mix_clouds(const texture *t, double x, double y)
{
    return 1.6 * noise_fractal(t->seed, along(t, x, y), across(t, x, y), 4) - 0.3;
}

/* Lines along the grain of wood, bent by a slow noise. */
static double mix_wood(const texture *t, double x, double y)
{
    double u = along(t, x, y) / 4, v = across(t, x, y);
    double rings = v * 2 + 3 * noise_value(t->seed, u, v / 4);
    double fibre = noise_value(t->seed + 1, u * 3, v * 24);
    return 0.7 * fabs(2 * (rings - floor(rings)) - 1) + 0.3 * fibre;
}

/* Stones with dark joints. */
static double mix_stones(const texture *t, double x, double y)
{
    double edge, number = noise_cells(t->seed, along(t, x, y), across(t, x, y), &edge);
    double joint = fmin(edge / 0.08, 1);
    return joint * (0.35 + 0.65 * number);
}

/* Tiles with light joints, each a little different. */
static double mix_tiles(const texture *t, double x, double y)
{
    double u = along(t, x, y), v = across(t, x, y), row = floor(v);
    u += 0.5 * (row - 2 * floor(row / 2)); /* every second row is shifted, as bricks are */
    double column = floor(u), joint = fmin(fmin(u - column, column + 1 - u), fmin(v - row, row + 1 - v));
    if (joint < 0.04) return 1;
    return 0.45 * noise_value(t->seed, column * 7.3 + 0.5, row * 5.1 + 0.5);
}

static double (*const kinds[])(const texture *t, double x, double y) = {mix_gradient, mix_clouds, mix_wood, mix_stones,
                                                                        mix_tiles};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- painting ---- */

static colour dull_colour(keyed_rng *r)
{
    double hue = keyed_random(r);
    return draw_colour(r, hue, (colour_range){0.05, 0.45, 0.25, 0.85});
}

static texture draw_texture(keyed_rng *r, int height)
{
    texture t = {.mix = kinds[keyed_below(r, KINDS)]};
    t.seed = keyed_next(r);
    double turn = 6.283185307179586 * keyed_random(r);
    t.cosine = cos(turn);
    t.sine = sin(turn);
    t.scale = height * draw_between(r, 0.12, 0.4);
    t.grain = draw_between(r, 0.02, 0.12);
    t.a = dull_colour(r);
    colour other = dull_colour(r);
    t.b = colour_mix(t.a, other, draw_between(r, 0.4, 1)); /* related, so that objects stand out against both */
    return t;
}

void background_paint(canvas *c, keyed_rng *r)
{
    texture t = draw_texture(r, c->height);
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++) {
            double fine = noise_value(t.seed + 9, x * 0.7, y * 0.7) - 0.5;
            colour flat = colour_mix(t.a, t.b, t.mix(&t, x + 0.5, y + 0.5));
            c->pixels[(size_t)y * (size_t)c->width + (size_t)x] = colour_scale(flat, 1 + t.grain * 2 * fine);
        }
}
