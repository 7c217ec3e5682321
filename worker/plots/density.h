/* density.h - how values lie, counted in bins: a histogram of one, or a map of two, darker where there are more. */
#ifndef PLOTS_DENSITY_H
#define PLOTS_DENSITY_H

#include "common/draw/canvas.h"

/* Both take `count` values, `step` floats apart; those beyond the frame's scales are left out. A bin is `bin` pixels wide (and high);
 * the frame's width (and height) is a whole number of them. ERR_MEMORY. */
status density_bars(const canvas *c, frame *f, int bin, const float *values, size_t count, size_t step);
status density_map(const canvas *c, const frame *f, int bin, const float *across, const float *up, size_t count,
                   size_t step);

#endif
