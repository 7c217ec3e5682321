/* learner.h - a model in training on a device: its weights, gradients, optimizer and moving average, and the plans that
 * compute a step for each shape of batch that comes along. */
#ifndef TRAIN_LEARNER_H
#define TRAIN_LEARNER_H

#include "worker/model/model.h"
#include "worker/train/optimizer.h"

typedef struct learner learner;

typedef struct learner_batch {
    const void *pixels; /* images x height x width x 3, uint8; or float32 (images, 3, height, width) */
    bool bytes;
    int images, height, width;
    int resize_height, resize_width; /* multi-scale; 0: as they are */
    const float *targets;            /* rows of image, class, x, y, w, h */
    int target_count;
} learner_batch;

typedef struct learner_options {
    precision precision;
    loss_parameters loss; /* without heads: those of the model */
    optimizer_kind kind;
    learner_batch
        largest;     /* shape of the largest that will come: its plan's memory serves all others. No images: unknown */
    int target_room; /* targets a batch to begin with; grows */
    team *team; /* of ranks that learn the same weights, each from batches of its own; NULL: this one alone. Borrowed */
    bool sync_norms; /* batch-norm over the batches of all ranks */
} learner_options;

/* Put the model (borrowed; read once) on the device. Its average starts as a copy. ERR_MEMORY, ERR_UNSUPPORTED. */
status learner_create(const backend_ops *ops, device *d, const model *m, const learner_options *options, learner **out);
void learner_destroy(learner **l);

/* Forward and backward over a batch: gradients are added to, running statistics move. */
status learner_run(learner *l, const learner_batch *batch, float items[LOSS_ITEMS]);
/* One optimizer step with the gradients of all ranks added up; clears them. */
status learner_update(learner *l, const float scalars[UPDATE_COUNT]);
/* Make the gradients of each rank those of all ranks added up. */
status learner_gather(learner *l);
/* Drop gradients that no step has used. */
status learner_clear(learner *l);

/* Copy a whole arena (model.arena_count values) from or to the device: ARENA_WEIGHTS, ARENA_AVERAGE or ARENA_GRADIENTS. */
status learner_read(const learner *l, arena which, float *to);
status learner_write(learner *l, arena which, const float *from);
optimizer *learner_optimizer(learner *l);
/* The device's averaged weights, for validation plans. Borrowed. */
buffer *learner_average(learner *l);
/* Bytes of device memory in use. */
int64_t learner_memory(const learner *l);
/* The plan of the last run, for benchmarks. Borrowed; NULL before the first. */
plan *learner_plan(learner *l);

#endif
