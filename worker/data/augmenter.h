/* augmenter.h - makes samples on a device: what a loader's thread holds.
 *
 * OP_AUGMENT in a graph of one node, with a plan for the size in hand. Without a backend augment_plain does the same, slowly. */
#ifndef DATA_AUGMENTER_H
#define DATA_AUGMENTER_H

#include "worker/backend/backend.h"

typedef struct augmenter augmenter;

/* `images` are the pictures that the samples' offsets count in; borrowed, as are ops and device, until destroyed. ops NULL: no
 * backend. One augmenter is used by one thread at a time. */
status augmenter_create(const backend_ops *ops, device *d, uint8_t *images, size_t image_bytes, augmenter **out);
void augmenter_destroy(augmenter **a);

/* Make one sample: height * width * 3 bytes at `out`. A new size compiles a plan. Errors as augment_check; ERR_DEVICE,
 * ERR_MEMORY. */
status augmenter_run(augmenter *a, const augment_sample *s, int width, int height, uint8_t *out);

#endif
