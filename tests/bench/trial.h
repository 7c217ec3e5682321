/* trial.h - one candidate in a real trainer process, as a worker runs it, with a watch on it. */
#ifndef TESTS_BENCH_TRIAL_H
#define TESTS_BENCH_TRIAL_H

#include "common/hyp.h"
#include "tests/bench/set.h"

typedef struct trial_order {
    const bench_set *set; /* borrowed, as are all pointers here */
    const char *cfg;      /* model yaml */
    const char *precision;
    int64_t epochs, batch, image_size, threads;
    bool cache;      /* --cache-images */
    bool only_start; /* end it after its first iteration */
    bool lines;      /* print each line of its log with its time */
} trial_order;

/* Seconds of CLOCK_MONOTONIC after the process was started. */
typedef struct trial_times {
    double hello, first; /* messages came: hello, the first iteration */
    double done;         /* the results */
    double end;          /* the process was gone */
    double user, system; /* processor time of the whole process */
    double memory;       /* GB at most */
    double results[RESULT_COUNT];
} trial_times;

/* Run it to its end. May be called from several threads. Errors: what the trainer says, ERR_IO. */
status trial_run(const trial_order *order, trial_times *out);

/* Until pictures and labels have been there long enough to be believed unchanged, and a scan of them is kept: the next trials start
 * with warm caches. */
status trial_warm_up(const trial_order *order);

#endif
