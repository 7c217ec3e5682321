/* background.h - what the objects lie on: one of several kinds of texture, in two or three dull colours. */
#ifndef EXAMPLES_SHAPES_BACKGROUND_H
#define EXAMPLES_SHAPES_BACKGROUND_H

#include "examples/shapes/canvas.h"

/* Fill the whole canvas. */
void background_paint(canvas *c, keyed_rng *r);

#endif
