#include "examples/shapes/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

status canvas_create(canvas *c, int width, int height)
{
    *c = (canvas){.width = width, .height = height};
    size_t count = (size_t)width * (size_t)height;
    status s = array_new(&c->pixels, count);
    if (s == OK) s = array_new(&c->owner, count);
    if (s == OK) memset(c->owner, CANVAS_NOBODY, count);
    else canvas_free(c);
    return s;
}

void canvas_free(canvas *c)
{
    free(c->pixels);
    free(c->owner);
    *c = (canvas){0};
}

colour colour_from_hsv(double hue, double saturation, double value)
{
    double sixths = (hue - floor(hue)) * 6, channels[3];
    static const double shifts[] = {5, 3, 1};
    for (int i = 0; i < 3; i++) {
        double k = fmod(shifts[i] + sixths, 6);
        channels[i] = value - value * saturation * fmax(0, fmin(fmin(k, 4 - k), 1));
    }
    return (colour){(float)channels[0], (float)channels[1], (float)channels[2]};
}

colour colour_mix(colour a, colour b, double part)
{
    float t = (float)part;
    return (colour){a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}

colour colour_scale(colour c, double factor)
{
    float f = (float)factor;
    return (colour){c.r * f, c.g * f, c.b * f};
}

double colour_light(colour c)
{
    return 0.299 * (double)c.r + 0.587 * (double)c.g + 0.114 * (double)c.b; /* ITU-R BT.601 */
}

double draw_between(keyed_rng *r, double low, double high)
{
    return low + (high - low) * keyed_random(r);
}

int draw_whole(keyed_rng *r, int low, int high)
{
    return low + (int)keyed_below(r, (uint64_t)(high - low + 1));
}

colour draw_colour(keyed_rng *r, double hue, colour_range range)
{
    double saturation = draw_between(r, range.least_saturation, range.most_saturation);
    double value = draw_between(r, range.least_value, range.most_value);
    return colour_from_hsv(hue, saturation, value);
}
