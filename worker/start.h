/* start.h - the start message of a trainer: what a run and its candidate say, put together and checked.
 *
 * Hyps and options come from the wire and are read against the tables of common/. Whatever names a file, a device or
 * threads is set here and not there: a coordinator can make a trainer read the run's data set and weights, and write
 * into the trial's folder. */
#ifndef WORKER_START_H
#define WORKER_START_H

#include <stdbool.h>

#include "common/status.h"
#include "proto/trainer.h"
#include "proto/wire.h"

/* What this machine adds. Texts are borrowed. */
typedef struct start_place {
    const char *data_root; /* where the data yaml's relative paths start */
    const char *folder;    /* to write into */
    const char *weights;   /* path; "": from scratch */
    const char *resume;    /* path of a checkpoint; NULL: from the start */
    const char *leave;     /* path for the trained weights; NULL: they are not kept */
    const char *device;
    int64_t threads;
    bool external; /* a trainer of its own, which may have any hyperparameters */
} start_place;

/* ERR_PROTOCOL, ERR_RANGE, ERR_ARGUMENT: the candidate or the run's options are refused, with words. The caller frees *out with
 * trainer_message_free. */
status start_make(const Mendel__Welcome *run, const Mendel__Candidate *candidate, const start_place *place,
                  trainer_message *out);

#endif
