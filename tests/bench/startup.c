/* startup.c - from the start of a trainer's process to its first optimizer step. */
#include <stdlib.h>

#include "common/array.h"
#include "common/cores.h"
#include "common/log.h"
#include "common/shelf.h"
#include "tests/bench/bench.h"
#include "tests/bench/trial.h"

typedef struct startup_options {
    char *data, *cfg, *precision;
    int64_t image_size, batch, threads, runs;
    bool no_cache, lines;
} startup_options;

#define ROWS(ROW)                                                                                                      \
    ROW(startup_options, data, STRING, "data", "", "", 0, 0, "YAML", "data set; '' draws one")                         \
    ROW(startup_options, cfg, STRING, "cfg", "", "examples/models/yolov5n.yaml", 0, 0, "YAML", "model")                \
    ROW(startup_options, precision, STRING, "precision", "", "fp32", 0, 0, "auto|fp32|bf16", "of feature maps")        \
    ROW(startup_options, image_size, INT, "img-size", "", "128", 32, 4096, "PX", "of the pictures")                    \
    ROW(startup_options, batch, INT, "batch-size", "", "16", 1, 1024, "N", "pictures a step")                          \
    ROW(startup_options, threads, INT, "threads", "", "0", 0, 1024, "N", "0: all cores")                               \
    ROW(startup_options, runs, INT, "runs", "", "10", 1, 1000, "N", "starts")                                          \
    ROW(startup_options, no_cache, FLAG, "no-cache", "", "", 0, 0, "", "without --cache-images")                       \
    ROW(startup_options, lines, FLAG, "lines", "", "", 0, 0, "", "print what the trainer says, and when")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

static status start_often(const startup_options *o, const trial_order *order, double *hello, double *first, double *cpu)
{
    trial_times t;
    TRY(trial_warm_up(order));
    for (int64_t i = 0; i < o->runs; i++) {
        TRY(trial_run(order, &t));
        hello[i] = t.hello;
        first[i] = t.first;
        cpu[i] = t.user + t.system;
    }
    return OK;
}

static status report(const startup_options *o, const trial_order *order)
{
    size_t runs = (size_t)o->runs;
    double *values;
    TRY(array_new(&values, 3 * runs));
    double *hello = values, *first = values + runs, *cpu = values + 2 * runs;
    status s = start_often(o, order, hello, first, cpu);
    if (s == OK) {
        bench_figure(bench_quantile(hello, runs, 0.5), "s", "startup.hello");
        bench_figure(bench_quantile(first, runs, 0.5), "s", "startup.first_step");
        bench_figure(bench_quantile(first, runs, 0), "s", "startup.first_step.best");
        bench_figure(bench_quantile(first, runs, 1), "s", "startup.first_step.worst");
        bench_figure(bench_quantile(cpu, runs, 0.5), "s of processor time", "startup.cpu");
    }
    free(values);
    return s;
}

static status run(const void *options)
{
    const startup_options *o = options;
    bench_set set;
    shelf *pictures; /* held as a worker does, so that the trainers find each other's */
    TRY(bench_set_open(o->data, &set));
    if (shelf_hold(NULL, &pictures) != OK) log_warning("%s", status_message());
    trial_order order = {.set = &set,
                         .cfg = o->cfg,
                         .precision = o->precision,
                         .epochs = 10,
                         .batch = o->batch,
                         .image_size = o->image_size,
                         .threads = o->threads ? o->threads : cores_available(),
                         .cache = !o->no_cache,
                         .only_start = true,
                         .lines = o->lines};
    status s = report(o, &order);
    shelf_let_go(&pictures);
    bench_set_close(&set);
    return s;
}

BENCHMARK(4, startup, "from exec of a trainer to hello and to the first optimizer step, with a warm scan cache",
          startup_options, rows, run)
