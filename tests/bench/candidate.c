/* candidate.c - one whole candidate in a trainer process, and two at once. */
#include <pthread.h>
#include <stdlib.h>

#include "common/cores.h"
#include "common/log.h"
#include "common/shelf.h"
#include "common/text.h"
#include "tests/bench/bench.h"
#include "tests/bench/trial.h"

typedef struct candidate_options {
    char *data, *cfg, *precision;
    int64_t image_size, batch, epochs;
    bool alone, lines;
} candidate_options;

#define ROWS(ROW)                                                                                                      \
    ROW(candidate_options, data, STRING, "data", "", "", 0, 0, "YAML", "data set; '' draws one")                       \
    ROW(candidate_options, cfg, STRING, "cfg", "", "examples/models/yolov5n.yaml", 0, 0, "YAML", "model")              \
    ROW(candidate_options, precision, STRING, "precision", "", "fp32", 0, 0, "auto|fp32|bf16", "of feature maps")      \
    ROW(candidate_options, image_size, INT, "img-size", "", "128", 32, 4096, "PX", "of the pictures")                  \
    ROW(candidate_options, batch, INT, "batch-size", "", "16", 1, 1024, "N", "pictures a step")                        \
    ROW(candidate_options, epochs, INT, "epochs", "", "10", 1, 10000, "N", "of training")                              \
    ROW(candidate_options, alone, FLAG, "alone", "", "", 0, 0, "", "only one, with all cores")                         \
    ROW(candidate_options, lines, FLAG, "lines", "", "", 0, 0, "", "print what the trainer says, and when")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

static void show(const trial_times *t, const char *name)
{
    bench_figure(t->end, "s", "candidate.%s", name);
    bench_figure(t->first, "s", "candidate.%s.first_step", name);
    bench_figure(t->user, "s of processor time", "candidate.%s.user", name);
    bench_figure(t->system, "s of processor time", "candidate.%s.system", name);
    bench_figure(t->memory, "GB", "candidate.%s.memory", name);
}

/* ---- two at once ---- */

typedef struct runner {
    pthread_t thread;
    const trial_order *order;
    trial_times times;
    status result;
    char *message;
} runner;

static void *run_one(void *state)
{
    runner *r = state;
    r->result = trial_run(r->order, &r->times);
    if (r->result != OK) r->message = text_copy(status_message());
    return NULL;
}

static status run_two(const trial_order *order, runner pair[2])
{
    int started = 0;
    status s = OK;
    for (int i = 0; s == OK && i < 2; i++) {
        pair[i] = (runner){.order = order};
        if (pthread_create(&pair[i].thread, NULL, run_one, &pair[i])) s = FAIL(ERR_MEMORY, "cannot start a thread");
        else started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(pair[i].thread, NULL);
        if (s == OK && pair[i].result != OK)
            s = FAIL(pair[i].result, "%s", pair[i].message ? pair[i].message : "out of memory");
        free(pair[i].message);
    }
    return s;
}

static double later(double a, double b)
{
    return a > b ? a : b;
}

/* One with all cores, one with half of them, two with half of them each. */
static status compare(trial_order *order, int64_t cores)
{
    trial_times all, half;
    runner pair[2];
    TRY(trial_run(order, &all));
    show(&all, "all_cores");
    order->threads = cores / 2;
    TRY(trial_run(order, &half));
    show(&half, "half_the_cores");
    TRY(run_two(order, pair));
    double together = later(pair[0].times.end, pair[1].times.end);
    show(&pair[0].times, "one_of_two");
    bench_figure(together, "s for both", "candidate.two");
    bench_figure(3600 / all.end, "candidates/h", "candidate.rate.one_at_a_time");
    bench_figure(2 * 3600 / together, "candidates/h", "candidate.rate.two_at_a_time");
    bench_figure(together / half.end, "times one with half the cores alone", "candidate.two.slowdown");
    return OK;
}

static status run(const void *options)
{
    const candidate_options *o = options;
    bench_set set;
    shelf *pictures; /* held as a worker does, so that the trainers find each other's */
    int64_t cores = cores_available();
    trial_times all;
    TRY(bench_set_open(o->data, &set));
    if (shelf_hold(NULL, &pictures) != OK) log_warning("%s", status_message());
    trial_order order = {.set = &set,
                         .cfg = o->cfg,
                         .precision = o->precision,
                         .epochs = o->epochs,
                         .batch = o->batch,
                         .image_size = o->image_size,
                         .threads = cores,
                         .cache = true,
                         .lines = o->lines};
    status s = trial_warm_up(&order);
    if (s == OK && cores > 1 && !o->alone) s = compare(&order, cores);
    else if (s == OK && (s = trial_run(&order, &all)) == OK) show(&all, "all_cores");
    shelf_let_go(&pictures);
    bench_set_close(&set);
    return s;
}

BENCHMARK(5, candidate, "a whole candidate, cached, validated at its end: alone, and two at once", candidate_options,
          rows, run)
