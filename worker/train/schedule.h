/* schedule.h - learning rates, momentum, accumulation and averaging, iteration by iteration.
 *
 * Everything follows from the number of the iteration alone, so a resumed training goes on exactly where it was. Doubles are
 * the reference's to the last bit.
 *
 * Source: train() of train.py, LambdaLR and ModelEMA. Its oddity is kept: outside the warm-up the cosine is one epoch late
 * (epochs 0 and 1 both use its start, epoch e uses that of e - 1), while the warm-up climbs towards that of its own epoch;
 * what warm-up ends with stays until the end of that epoch. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include "worker/backend/graph.h"

enum { SCHEDULE_NOMINAL_BATCH = 64, SCHEDULE_NOMINAL_BATCH_2020_07_20 = 32 };

typedef struct schedule_options {
    optimizer_kind optimizer;
    double lr0, lrf, momentum, weight_decay; /* hyps as given */
    int64_t start_epoch, epochs;             /* the training runs over epochs start_epoch to epochs - 1 */
    int64_t batches;                         /* iterations an epoch, at least 1 */
    int64_t batch_size;                      /* pictures an iteration on all devices together, at least 1 */
    int64_t nominal;                         /* pictures an update; 0: SCHEDULE_NOMINAL_BATCH */
    double warmup_cap;                       /* most of the training's iterations that warm-up may take; 0: no limit */
} schedule_options;

typedef struct schedule {
    schedule_options o;
    double warmup;       /* its length in iterations; may be set to another after schedule_start */
    double weight_decay; /* of the convolution weights, for the batch that an update really sees */
    int64_t accumulate;  /* iterations an update after the warm-up */
} schedule;

void schedule_start(const schedule_options *o, schedule *out);

/* What one iteration works with. */
typedef struct schedule_step {
    double lr[UPDATE_GROUPS];
    double momentum; /* of SGD; beta1 of Adam, which has no warm-up */
    int64_t accumulate;
    bool update; /* the optimizer steps after this iteration */
} schedule_step;

/* `iteration` counts from the very start: batch + epoch * batches. */
schedule_step schedule_at(const schedule *s, int64_t epoch, int64_t iteration);

/* The input of OP_UPDATE for a step: `steps` optimizer steps and `averages` updates of the average were made, this one
 * included. Without an average (averages 0) it is left alone. */
void schedule_scalars(const schedule *s, const schedule_step *at, int64_t steps, int64_t averages,
                      float scalars[UPDATE_COUNT]);

/* Decay of the average at its n-th update: .9999 (1 - exp(-n / 2000)). */
double schedule_average_decay(int64_t updates);
/* Updates that the average counts as made when start_epoch begins. */
int64_t schedule_average_updates(const schedule *s);

#endif
