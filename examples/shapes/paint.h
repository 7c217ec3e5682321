/* paint.h - shapes laid onto a canvas, with smooth edges, shading and shadows. */
#ifndef EXAMPLES_SHAPES_PAINT_H
#define EXAMPLES_SHAPES_PAINT_H

#include "examples/shapes/canvas.h"
#include "examples/shapes/outline.h"

typedef struct material {
    colour base;
    uint64_t seed;    /* of its texture */
    double mottle;    /* how much the texture changes the light, a part of it */
    double stripes;   /* how much lighter every second stripe is; 0: none */
    double roundness; /* shading from the lit side to the other */
    double rim;       /* darkening at the edge */
    double opacity;   /* 1: hides what is below */
} material;

/* Where the light comes from (a unit vector in the picture) and how far things cast shadows, in pixels. */
typedef struct lamp {
    double x, y, reach;
} lamp;

/* Darken what lies under the shape's shadow. */
void paint_shadow(canvas *c, const outline *o, const lamp *light);
/* Lay the shape on top; where it covers more than half of a pixel that is seen as `owner` afterwards. */
void paint_shape(canvas *c, const outline *o, const material *m, const lamp *light, uint8_t owner);
/* Mean light of what is under a shape; pixels outside of the picture do not count. */
double paint_light_below(const canvas *c, const outline *o);
/* Pixels that `owner` is seen at. */
int paint_count_owned(const canvas *c, uint8_t owner);

#endif
