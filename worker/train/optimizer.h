/* optimizer.h - SGD with Nesterov momentum or Adam, and the moving average of the weights, as one pass on the device.
 *
 * Source: torch.optim.SGD and Adam as train.py uses them, ModelEMA of utils/torch_utils.py. */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "worker/backend/backend.h"

typedef struct optimizer optimizer;

typedef struct optimizer_options {
    optimizer_kind kind;
    const update_segment *segments; /* copied */
    int segment_count;
    int64_t arena_count;         /* elements of each buffer */
    buffer *weights, *gradients; /* borrowed */
    buffer *average;             /* borrowed; NULL: no moving average */
} optimizer_options;

/* Momentum and squares start at zero. ERR_MEMORY. */
status optimizer_create(const backend_ops *ops, device *d, const optimizer_options *options, optimizer **out);
void optimizer_destroy(optimizer **o);

/* Move the weights by the gradients gathered since the last step, move the average, clear the gradients. `scalars`: what
 * OP_UPDATE takes, as schedule_scalars makes them. */
status optimizer_step(optimizer *o, const float scalars[UPDATE_COUNT]);

/* For checkpoints: momentum (Adam: first moment) and squares (Adam's second moment, else nothing), arena_count values each, and
 * the number of steps taken. */
int64_t optimizer_steps(const optimizer *o);
status optimizer_read(const optimizer *o, float *momentum, float *squares);
status optimizer_write(optimizer *o, int64_t steps, const float *momentum, const float *squares);

#endif
