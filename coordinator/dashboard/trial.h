/* trial.h - one candidate with its attempts, as the dashboard keeps it. */
#ifndef COORDINATOR_DASHBOARD_TRIAL_H
#define COORDINATOR_DASHBOARD_TRIAL_H

#include "common/text.h"
#include "coordinator/store/store.h"

/* An attempt that failed. Texts may be NULL. */
typedef struct failure {
    int64_t attempt, ended_ms;
    char *host, *device, *reason, *detail;
    char *log; /* the trainer's last lines, at most TRIAL_LOG_MOST bytes of them */
} failure;
enum { TRIAL_LOG_MOST = 16384 };

typedef struct trial trial;
struct trial {
    int64_t number; /* imported rows are -1, -2, ... */
    candidate_state state;
    int64_t bred_ms, leased_ms, ended_ms; /* wall clock; 0: not yet */
    int64_t attempts, lost, crashes, arrival, epoch;
    int64_t parent; /* PARENT_MEAN: of several; 0: none, or the base */
    int result_count;
    double results[RESULT_COUNT];
    double *hyps;          /* in the order of the space */
    char *reason, *detail; /* of a candidate that has failed; else NULL */
    /* of the attempt that decided it, or of the last; NULL and 0 when there was none */
    char *host, *device, *precision;
    double seconds; /* NAN: not known */
    int64_t memory;
    bool resumed;
    failure *failures;
    size_t failure_count;
    /* of history.c */
    uint64_t change;
    trial *older, *newer;
};

/* Copy what is shown of a candidate of a space of `hyp_count` and its attempts. NULL without memory. */
trial *trial_copy(const store_candidate *c, size_t hyp_count, const store_attempt *const *attempts, size_t count);
void trial_destroy(trial *t);
/* Does anything that is shown differ, the texts aside (they change with the counts)? */
bool trial_differs(const trial *a, const trial *b);
/* Bytes of logs. */
size_t trial_log_bytes(const trial *t);
void trial_drop_logs(trial *t);
/* Append it as JSON, in one line. `weights` are those of the fitness. */
void trial_write(const trial *t, size_t hyp_count, const double *weights, text *out);

#endif
