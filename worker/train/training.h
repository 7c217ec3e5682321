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
#include "worker/train/ranks.h"
#include "worker/train/results.h"

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

/* After a checkpoint was asked for. */
typedef struct training_saved {
    const char *path;    /* NULL: it could not be written, and the log says why */
    int64_t epoch, step; /* the epoch that runs, and how many of its batches are in the checkpoint */
} training_saved;

/* What may be asked of a training; both together: save, then stop. */
typedef enum training_wish { WISH_NONE = 0, WISH_SAVE = 1, WISH_STOP = 2 } training_wish;

/* Functions may not be NULL. Called in the thread that runs the training. */
typedef struct training_watch {
    void *state;
    void (*opened)(void *state, const device_info *device, precision p); /* before anything that takes long */
    void (*epoch)(void *state, int64_t epoch, int64_t batches);
    void (*progress)(void *state, const training_progress *p);
    void (*validating)(void *state); /* after each batch of a validation */
    void (*validated)(void *state, const training_validated *v);
    void (*saved)(void *state, const training_saved *s);
    unsigned (*wish)(void *state); /* a sum of training_wish; asked between batches, those of validations too */
} training_watch;

typedef struct training_request {
    const train_options *options; /* complete */
    const double *hyps;           /* HYP_COUNT, checked */
    const data_yaml *data;
    const char *model_name, *model_yaml; /* text; NULL: that of the checkpoint in options->weights */
    const char *folder;                  /* that results go to; it exists */
    const char *checkpoint;              /* file that WISH_SAVE writes; NULL: last.pt, unless options->nosave */
    bool resume;                         /* go on with options->weights where it stopped */
    bool candidate;                      /* of an evolution: with options->nosave nothing is kept but results.txt */
    ranks *ranks; /* those that train together; NULL: this process alone. On others than rank 0 the watch is not called,
                            and folder and checkpoint are not looked at */
    const char *weights; /* and, of a candidate that ends, the model in this file; NULL: not even that */
} training_request;

typedef struct training_result {
    double results[RESULT_COUNT]; /* of the last validation */
    bool validated;               /* there was one, maybe before a resume */
    bool begun;                   /* everything was in order for the first batch */
    int64_t epochs;               /* done in this run */
    double best_fitness, seconds;
} training_result;

/* Train; every rank calls it. ERR_STOPPED when the watch wished so (what was saved stays), ERR_NOT_FINITE for a loss that is not finite; *out is what
 * it came to until then. *reason says which part failed; it may be NULL. */
status training_run(const training_request *request, const training_watch *watch, training_result *out,
                    trainer_reason *reason);

#endif
