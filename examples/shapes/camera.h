/* camera.h - from light to bytes: exposure, fall-off, blur, noise. */
#ifndef EXAMPLES_SHAPES_CAMERA_H
#define EXAMPLES_SHAPES_CAMERA_H

#include "examples/shapes/canvas.h"

/* Changes the canvas on the way.
 *   rgb  (height, width, 3) uint8, filled. */
void camera_take(canvas *c, keyed_rng *r, uint8_t *rgb);

#endif
