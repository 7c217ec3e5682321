/* winograd.h - which convolutions are worth doing by Winograd's minimal filtering.
 *
 * For a kernel of 3 x 3 a tile of 4 x 4 outputs takes 36 products in place of 144, between transforms of the inputs, the filters
 * and the outputs. The transforms of the filters have to be earned by many tiles, those of the maps by many channels, and tiles
 * that stick out of the map are lost work. Rounding is a few times that of a direct convolution, and far below bf16's.
 *
 * The choice depends on the shape alone, never on a measurement, so that equal runs give equal results. */
#ifndef CPU_WINOGRAD_H
#define CPU_WINOGRAD_H

#include "worker/backend/cpu/device.h"
#include "worker/backend/graph.h"

typedef enum conv_pass { PASS_FORWARD, PASS_DATA, PASS_WEIGHTS } conv_pass;

/* A training step's pass over a float32 map of these (physical) channels, height and width. */
bool winograd_pays(const conv_parameters *p, conv_pass pass, int images, int in_channels, int out_channels, int height,
                   int width);

#endif
