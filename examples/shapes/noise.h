/* noise.h - smooth random functions of the plane. The same seed gives the same function, wherever it is asked first. */
#ifndef EXAMPLES_SHAPES_NOISE_H
#define EXAMPLES_SHAPES_NOISE_H

#include <stdint.h>

/* Random values at the whole numbers, smoothly joined: 0..1, changes over a length of 1. */
double noise_value(uint64_t seed, double x, double y);
/* The same with finer and finer detail on top, each octave half as long and half as strong: 0..1. */
double noise_fractal(uint64_t seed, double x, double y, int octaves);
/* The plane in cells of about 1 around random points: *edge is 0 on the border between two cells and grows inwards; the result
 * is the cell's own random number, 0..1. */
double noise_cells(uint64_t seed, double x, double y, double *edge);

#endif
