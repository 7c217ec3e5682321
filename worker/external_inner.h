/* external_inner.h - what the parts of an external trial share.
 *
 *   external.c          the process: started, listened to, told to end
 *   external_job.c      what it is given: files in its folder, variables
 *   external_results.c  what it leaves: lines of results */
#ifndef WORKER_EXTERNAL_INNER_H
#define WORKER_EXTERNAL_INNER_H

#include "common/train_options.h"
#include "proto/trainer.h"
#include "worker/external.h"

/* ---- external_job.c ---- */

/* A candidate as a command gets it. {0} before external_job_make. */
typedef struct external_job {
    fs_names words; /* of the command */
    char *program;  /* its path */
    char *results;  /* the file that it is to write */
    fs_names environment;
    int64_t epochs;
} external_job;

/* Write FOLDER/hyp.yaml, opt.yaml and, where the run has them, data.yaml and model.yaml; make the environment. ERR_PROTOCOL for
 * what the run says wrongly, with *reason. Free it with external_job_free, whatever is returned. */
status external_job_make(const external_options *o, const trainer_message *start, external_job *out,
                         trainer_reason *reason);
void external_job_free(external_job *j);

/* ---- external_results.c ---- */

/* The results of a line: its last seven words (P R mAP@.5 mAP@.5:.95 box obj cls), or a single one, a fitness that stands for the
 * first four. White space and commas separate. False: neither. */
bool external_results_line(const char *line, double results[RESULT_COUNT]);

/* What a results file has. */
typedef struct external_results {
    int64_t lines; /* that are whole and not empty */
    double last[RESULT_COUNT];
    bool readable; /* the last one is */
    char *words;   /* the last one, a part of it; NULL: there is none */
} external_results;

/* Read it. With `finished` a last line without its end counts too. A missing file has no lines. `each` (NULL: nobody) hears of every
 * readable line from number `from` on, counted from 0. ERR_IO, ERR_RANGE. Free *out with external_results_free. */
status external_results_read(const char *path, bool finished, int64_t from,
                             void (*each)(void *state, int64_t line, const double *results), void *state,
                             external_results *out);
void external_results_free(external_results *r);
/* Results of a whole training that a coordinator would not take: why, and *reason. OK otherwise. */
status external_results_check(const external_results *r, const char *path, trainer_reason *reason);

#endif
