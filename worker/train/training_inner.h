/* training_inner.h - the state of a training, for setup.c, loop.c and save.c. */
#ifndef TRAIN_TRAINING_INNER_H
#define TRAIN_TRAINING_INNER_H

#include "worker/data/loader.h"
#include "worker/train/checkpoint.h"
#include "worker/train/devices.h"
#include "worker/train/journal.h"
#include "worker/train/learner.h"
#include "worker/train/schedule.h"
#include "worker/train/training.h"
#include "worker/train/validate.h"

typedef struct training {
    const training_request *request;
    const train_options *o;
    const training_watch *watch;
    trainer_reason blame; /* what an error means in the part that runs now */

    /* ranks */
    ranks *ranks;   /* NULL: this process alone */
    bool first;     /* it is rank 0: what it does alone */
    team *team;     /* of their devices; NULL: this one alone */
    float *pending; /* on rank 0, while it is saved within an epoch: gradients of ranks 1, 2 ..., an arena each */

    /* data */
    int classes;
    dataset *train_data, *val_data;
    loader *train_loader, *val_loader;
    shelf *shelf; /* where a candidate's decoded pictures are for all; NULL: they are not */
    int image_size, test_size, stride;

    /* model and device */
    const backend_ops *ops;
    device *device;
    device_info info;
    precision precision;
    model model;
    learner *learner;
    validator *validator;
    loss_parameters loss;

    /* where it stands */
    schedule schedule;
    int64_t start_epoch, epochs, averages;
    int64_t epoch, step; /* the one that runs, and batches done in it */
    int64_t start_step;  /* batches of start_epoch that are done already */
    loss_means means;    /* of the epoch so far */
    double best_fitness;
    int64_t best_epoch; /* the last one that had it */
    bool validated;     /* row.metrics are of a validation */
    double *maps;       /* mAP of each class at the last validation */
    results_row row;
    char *results_path, *last_path, *best_path;
    journal *journal; /* NULL: none is kept */
} training;

/* The version of 2020-07-20 keeps gradients that no step has used for the next epoch. */
static inline bool training_keeps_gradients(const training *t)
{
    return t->o->reference == REFERENCE_2020_07_20;
}

/* ---- together.c: what the ranks of a training do together; nothing where there is one alone ---- */

/* The device is open: make the team, and see to it that nobody waits for a rank that is gone. */
status together_start(training *t);
void together_end(training *t);
/* Rank 0's raw weights for all. */
status together_share_weights(training *t);
/* To rank 0: the gradients that wait for a step on the others (t->pending), for a checkpoint within an epoch. */
status together_bring_gradients(training *t);
void together_drop_gradients(training *t);
/* After an epoch of a version that keeps gradients for the next: rank 0 has the sum of all, the others none. */
status together_settle_gradients(training *t);

/* ---- setup.c ---- */

/* Everything up to the first batch. */
status training_setup(training *t);
void training_teardown(training *t);

/* ---- save.c ---- */

/* Write a checkpoint: after `epoch`, the last one done, and t->step batches of the next. `final`: nothing is to follow, so only
 * the model is kept. */
status training_save(training *t, const char *path, int64_t epoch, bool final);
/* Take the weights of a checkpoint that fit into a model ("Transferred a/b items from path"). */
void model_take_weights(model *m, const checkpoint *c, bool anchors, const char *path);
/* After learner and schedule are there: optimizer and progress of a checkpoint. A resumed training then goes on to the last bit as
 * if it had not been interrupted; one that only starts from the checkpoint begins at an epoch. */
status training_restore(training *t, const checkpoint *c);

#endif
