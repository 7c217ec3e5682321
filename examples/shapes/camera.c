#include "examples/shapes/camera.h"

#include <math.h>

#include "examples/shapes/difficulty.h"

/* Light that falls off from one side to the other, and a little towards the corners. */
static void expose(canvas *c, keyed_rng *r)
{
    double exposure = 1 + draw_between(r, -exposure_spread, exposure_spread);
    double falloff = draw_between(r, 0, falloff_most), turn = 6.283185307179586 * keyed_random(r);
    double corners = draw_between(r, 0, 0.2), cosine = cos(turn), sine = sin(turn);
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++) {
            double dx = 2.0 * (x + 0.5) / c->width - 1, dy = 2.0 * (y + 0.5) / c->height - 1;
            double light = exposure * (1 + falloff / 2 * (dx * cosine + dy * sine) - corners * (dx * dx + dy * dy) / 2);
            colour *at = &c->pixels[(size_t)y * (size_t)c->width + (size_t)x];
            *at = colour_scale(*at, light);
        }
}

/* One pass over `count` pixels that are `step` apart: each takes `weight` of either neighbour. */
static void blur_line(colour *line, int count, size_t step, float weight)
{
    colour before = line[0];
    for (int i = 0; i < count; i++) {
        colour *at = line + (size_t)i * step, here = *at, after = i + 1 < count ? at[step] : here;
        float own = 1 - 2 * weight;
        at->r = own * here.r + weight * (before.r + after.r);
        at->g = own * here.g + weight * (before.g + after.g);
        at->b = own * here.b + weight * (before.b + after.b);
        before = here;
    }
}

static void blur(canvas *c, keyed_rng *r)
{
    float weight = (float)draw_between(r, 0, blur_most);
    for (int y = 0; y < c->height; y++) blur_line(c->pixels + (size_t)y * (size_t)c->width, c->width, 1, weight);
    for (int x = 0; x < c->width; x++) blur_line(c->pixels + x, c->height, (size_t)c->width, weight);
}

static uint8_t to_byte(double light)
{
    return (uint8_t)(fmin(fmax(light, 0), 1) * 255 + 0.5);
}

void camera_take(canvas *c, keyed_rng *r, uint8_t *rgb)
{
    expose(c, r);
    blur(c, r);
    double sigma = draw_between(r, 0.004, sensor_noise_most);
    for (int i = 0; i < c->width * c->height; i++) {
        const colour *at = &c->pixels[i];
        double grey = sigma * keyed_normal(r); /* most of the noise is in the light, some in the colour */
        *rgb++ = to_byte((double)at->r + grey + sigma / 3 * keyed_normal(r));
        *rgb++ = to_byte((double)at->g + grey + sigma / 3 * keyed_normal(r));
        *rgb++ = to_byte((double)at->b + grey + sigma / 3 * keyed_normal(r));
    }
}
