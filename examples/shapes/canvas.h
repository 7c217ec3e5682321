/* canvas.h - a picture in the making: light in floating point, and who lies on top where. */
#ifndef EXAMPLES_SHAPES_CANVAS_H
#define EXAMPLES_SHAPES_CANVAS_H

#include <stdint.h>

#include "common/rng.h"
#include "common/status.h"

typedef struct colour {
    float r, g, b; /* 0..1, as displayed */
} colour;

enum { CANVAS_NOBODY = 255 };

typedef struct canvas {
    int width, height;
    colour *pixels; /* (height, width) */
    uint8_t *owner; /* (height, width): the object seen there, or CANVAS_NOBODY */
} canvas;

status canvas_create(canvas *c, int width, int height);
void canvas_free(canvas *c);

/* hue 0..1 around the circle (any number will do), saturation and value 0..1. */
colour colour_from_hsv(double hue, double saturation, double value);
/* (1 - part) of a and part of b. */
colour colour_mix(colour a, colour b, double part);
colour colour_scale(colour c, double factor);
/* How light it looks. */
double colour_light(colour c);

/* Draws. Write one a statement: the order in which a compiler evaluates arguments is its own, and with it the picture.
 *
 * A number in low..high. */
double draw_between(keyed_rng *r, double low, double high);
/* A whole number in low..high, both included. */
int draw_whole(keyed_rng *r, int low, int high);
/* A colour of this hue with saturation and value drawn, in this order. */
typedef struct colour_range {
    double least_saturation, most_saturation, least_value, most_value;
} colour_range;
colour draw_colour(keyed_rng *r, double hue, colour_range range);

#endif
