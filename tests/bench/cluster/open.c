/* open.c - how long a coordinator takes until it listens when its run has many trials behind it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/decimal.h"
#include "common/rng.h"
#include "coordinator/store/store.h"
#include "tests/bench/bench.h"
#include "tests/bench/cluster/hosted.h"

typedef struct open_options {
    int64_t trials, repeats;
    char *cfg;
} open_options;

#define ROWS(ROW)                                                                                                      \
    ROW(open_options, trials, INT, "trials", "", "100000", 1, 1e7, "N", "that the run has")                            \
    ROW(open_options, repeats, INT, "repeats", "", "3", 1, 100, "N", "of which the fastest counts")                    \
    ROW(open_options, cfg, STRING, "cfg", "", "examples/models/yolov5n.yaml", 0, 0, "YAML", "model")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

static status put_trial(store *s, const hyp_space *space, int64_t number)
{
    store_candidate c = {.number = number, .state = CANDIDATE_DONE, .attempts = 1, .arrival = number, .epoch = 1};
    store_attempt a =
        {.candidate = number, .attempt = 1, .epoch = 1, .state = ATTEMPT_DONE, .threads = 1, .seconds = 1};
    keyed_rng r;
    keyed_seed(&r, 1, (uint64_t)number, 0);
    for (size_t i = 0; i < space->count; i++) {
        c.made.hyps[i] = decimal_round(keyed_random(&r), space->digits);
        c.made.factors[i] = 0.5 + keyed_random(&r);
    }
    c.made.parent_count = 1;
    c.made.seen = (size_t)number - 1;
    c.result_count = a.result_count = RESULT_COUNT;
    for (int i = 0; i < RESULT_COUNT; i++) c.results[i] = a.results[i] = keyed_random(&r);
    c.bred_ms = a.leased_ms = c.ended_ms = a.ended_ms = 1;
    snprintf(a.session, sizeof a.session, "%032llx", (long long)number % 100);
    snprintf(a.worker, sizeof a.worker, "%032llx", (long long)number % 100);
    a.host = (char *)"bench";
    a.device = (char *)"cpu";
    a.precision = (char *)"fp32";
    a.version = (char *)MENDEL_VERSION;
    TRY(store_put_candidate(s, space, &c));
    return store_put_attempt(s, &a);
}

static status fill(const hosted *h, int64_t trials)
{
    hyp_space space;
    store *s;
    hyp_space_default(&space);
    TRY(store_open(h->run, &s));
    status result = OK;
    for (int64_t i = 1; result == OK && i <= trials; i++) result = put_trial(s, &space, i);
    if (result == OK) result = store_commit(s);
    store_close(&s);
    return result;
}

static status run(const void *options)
{
    const open_options *o = options;
    hosted h;
    double fastest = INFINITY, memory = 0;
    status s = hosted_create(o->cfg, "mendel", &h);
    if (s == OK) s = hosted_start(&h, "open", false); /* makes the run */
    hosted_stop(&h);
    if (s == OK) s = fill(&h, o->trials);
    for (int64_t i = 0; s == OK && i < o->repeats; i++) {
        double started = clock_seconds();
        s = hosted_start(&h, "open", false);
        if (s == OK) fastest = fmin(fastest, clock_seconds() - started);
        memory = (double)hosted_memory(&h);
        hosted_stop(&h);
    }
    if (s == OK) {
        bench_figure((double)o->trials, "trials in the run", "open.trials");
        bench_figure(fastest, "s from the start of the coordinator until it listens", "open");
        bench_figure(memory / (1 << 20), "MiB", "open.memory");
    }
    hosted_free(&h);
    return s;
}

BENCHMARK(8, open, "how long a coordinator takes to go on with a run of many trials", open_options, rows, run)
