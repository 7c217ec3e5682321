/* augment.h - OP_AUGMENT on the CPU; what it computes is in worker/backend/augment.h. */
#ifndef CPU_AUGMENT_H
#define CPU_AUGMENT_H

#include <stddef.h>

#include "common/status.h"
#include "worker/backend/augment.h"

/* Make `count` pictures of width * height from the samples, one after the other in this thread. */
status augment_run(const augment_sample *samples, int count, const uint8_t *images, size_t image_bytes, int width,
                   int height, uint8_t *out);

#endif
