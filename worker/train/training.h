/* training.h - one complete training: from options, hyperparameters and a data set to results and weights.
 *
 * Whoever starts it looks on through a training_watch: the terminal (terminal.h) or a worker at the other end of a pipe
 * (candidate.h).
 *
 * Source: train() of train.py. */
#ifndef TRAIN_TRAINING_H
#define TRAIN_TRAINING_H

#include "common/data_yaml.h"
#include "common/hyp.h"
#include "common/train_options.h"
#include "proto/trainer.h"
#include "worker/backend/backend.h"
#include "worker/train/results.h"

/* Where a training comes to pass, once that is known. */
typedef struct training_ready {
    const device_info *device;
    precision precision;
    int64_t start_epoch, epochs, batches;
} training_ready;

/* After each batch. */
typedef struct training_progress {
    const results_row *row; /* means of the epoch so far */
    int64_t step, steps;    /* batches done in this epoch, and all */
    double loss;            /* of this batch, in all */
    double images_per_s;    /* of the last seconds */
} training_progress;

/* After each epoch that was validated. */
typedef struct training_validated {
    int64_t epoch;
    const double *results; /* RESULT_COUNT */
    double fitness;
    const char *table; /* lines for people: P, R, mAP over all classes */
} training_validated;

typedef enum training_wish { WISH_NONE, WISH_STOP } training_wish;

/* Functions may not be NULL. Called in the thread that runs the training. */
typedef struct training_watch {
    void *state;
    void (*ready)(void *state, const training_ready *r);
    void (*epoch)(void *state, int64_t epoch);
    void (*progress)(void *state, const training_progress *p);
    void (*validated)(void *state, const training_validated *v);
    training_wish (*wish)(void *state); /* asked after each batch */
} training_watch;

typedef struct training_request {
    const train_options *options; /* complete */
    const double *hyps;           /* HYP_COUNT, checked */
    const data_yaml *data;
    const char *model_name, *model_yaml; /* text; NULL: that of the checkpoint in options->weights */
    const char *folder;                  /* that results go to; it exists */
    bool resume;                         /* go on with options->weights where it stopped, in the same folder */
    bool candidate;                      /* of an evolution: nothing is saved but results.txt */
} training_request;

typedef struct training_result {
    double results[RESULT_COUNT]; /* of the last validation */
    int64_t epochs;               /* done in this run */
    double best_fitness, seconds;
} training_result;

/* Train. ERR_STOPPED when the watch wished so (what was saved stays), ERR_NOT_FINITE for a loss that is not finite. *reason says
 * which part failed; it may be NULL. */
status training_run(const training_request *request, const training_watch *watch, training_result *out,
                    trainer_reason *reason);

/* Open the device that an option names ("" or "cpu") with this many threads (0: OMP_NUM_THREADS, else all cores this process
 * may use). */
status training_open_device(const char *name, int64_t threads, const backend_ops **ops, device **out);
/* What --precision means on a device: ERR_UNSUPPORTED if it cannot. */
status training_choose_precision(const device_info *device, int wish, precision *out);
const char *precision_name(precision p);

#endif
