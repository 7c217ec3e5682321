/* rate.h - how often something can be done in a second.
 *
 * On a machine that does other things besides, time on the clock says little; processor time stays what it is. So both are
 * measured, and ratios of two rates are taken from processor time. */
#ifndef TESTS_BENCH_RATE_H
#define TESTS_BENCH_RATE_H

#include <stdint.h>

#include "common/status.h"

typedef struct rate {
    int64_t count;
    double seconds, cpu; /* that passed; processor time of all threads of the process */
} rate;

/* From rate_begin to rate_end; `count` is the caller's to set. */
void rate_begin(rate *r);
void rate_end(rate *r);
double rate_per_s(const rate *r);
/* For a second of processor time: what a core of its own would give. */
double rate_per_core(const rate *r);
/* Processor time of one of `what`, as a part of that of one of `of`: 1 is as fast, .5 half as fast. */
double rate_part(const rate *what, const rate *of);

/* Call `once` from `threads` threads, each again and again with numbers 0, 1, 2... of all together, for about `seconds`. */
status rate_measure(int threads, double seconds, status (*once)(void *state, int thread, int64_t number), void *state,
                    rate *out);

#endif
