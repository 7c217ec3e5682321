/* augment.h - OP_AUGMENT on the CPU: a training picture in one pass over its pixels.
 *
 * Nothing larger than a few rows lies between the pictures and the output: each output row is cut into pieces that come from one
 * picture, from none, or from a seam; a piece from one picture is resampled by vectors, then the row is mixed, coloured,
 * flipped and stored while it is in the cache. The results are those of the definition (backend/augment.h) to the last bit. */
#ifndef CPU_AUGMENT_H
#define CPU_AUGMENT_H

#include "worker/backend/augment.h"

/* Make `count` samples of width x height one after the other: out is (count, height, width, 3), RGB. Runs in the calling thread
 * alone and shares nothing, so any number of threads may call it. Errors as augment_check, for any of the samples, before
 * anything is written; ERR_MEMORY. */
status augment_run(const augment_sample *samples, int count, const uint8_t *images, size_t image_bytes, int width,
                   int height, uint8_t *out);

#endif
