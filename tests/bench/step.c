/* step.c - how fast is a training step: a batch with targets, loss, backward, update and average. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/hyp.h"
#include "common/options.h"
#include "common/rng.h"
#include "tests/bench/bench.h"
#include "tests/bench/device.h"
#include "worker/train/learner.h"

typedef struct step_options {
    char *cfg, *precision;
    int64_t image_size, batch, threads, runs, classes;
    bool profile, no_ceiling;
} step_options;

#define ROWS(ROW)                                                                                                      \
    ROW(step_options, cfg, STRING, "cfg", "", "examples/models/yolov5s.yaml", 0, 0, "YAML", "model")                   \
    ROW(step_options, precision, STRING, "precision", "", "fp32 bf16", 0, 0, "LIST", "of fp32 bf16")                   \
    ROW(step_options, image_size, INT, "img-size", "", "320", 32, 4096, "PX", "of the pictures")                       \
    ROW(step_options, batch, INT, "batch-size", "", "16", 1, 1024, "N", "pictures a step")                             \
    ROW(step_options, classes, INT, "nc", "", "80", 1, 10000, "N", "classes")                                          \
    ROW(step_options, threads, INT, "threads", "", "0", 0, 1024, "N", "0: all cores")                                  \
    ROW(step_options, runs, INT, "runs", "", "8", 1, 10000, "N", "steps that are timed")                               \
    ROW(step_options, profile, FLAG, "profile", "", "", 0, 0, "", "show where the time goes")                          \
    ROW(step_options, no_ceiling, FLAG, "no-ceiling", "", "", 0, 0, "", "do not measure the convolutions alone")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

/* Pictures of smooth shapes with noise, and targets: nothing about the time of a step depends on what they show, as long as
 * they are not all alike. */
static status make_batch(const step_options *o, learner_batch *b)
{
    enum { TARGETS = 8 };
    size_t side = (size_t)o->image_size, bytes = (size_t)o->batch * side * side * 3;
    uint8_t *pixels;
    float *targets;
    keyed_rng r;
    keyed_seed(&r, 1, 0, 0);
    TRY(array_new(&pixels, bytes));
    TRY(array_new(&targets, (size_t)o->batch * TARGETS * 6));
    for (size_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)(128 + 90 * sin((double)(i % (side * 3)) * 0.01) + 30 * keyed_random(&r));
    for (int64_t i = 0; i < o->batch * TARGETS; i++) {
        float *t = targets + i * 6;
        t[0] = (float)(i / TARGETS);
        t[1] = (float)keyed_below(&r, (uint64_t)o->classes);
        t[4] = (float)(0.05 + 0.3 * keyed_random(&r));
        t[5] = (float)(0.05 + 0.3 * keyed_random(&r));
        t[2] = t[4] / 2 + (1 - t[4]) * (float)keyed_random(&r);
        t[3] = t[5] / 2 + (1 - t[5]) * (float)keyed_random(&r);
    }
    *b = (learner_batch){.pixels = pixels,
                         .bytes = true,
                         .images = (int)o->batch,
                         .height = (int)side,
                         .width = (int)side};
    b->targets = targets;
    b->target_count = (int)o->batch * TARGETS;
    return OK;
}

static loss_parameters scratch_loss(const model *m)
{
    double hyp[HYP_COUNT];
    hyp_space space;
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyp);
    return (loss_parameters){
        .box_gain = (float)hyp[HYP_giou],
        .obj_gain = (float)hyp[HYP_obj],
        .cls_gain = (float)(hyp[HYP_cls] * m->config.classes / 80),
        .obj_weight = (float)hyp[HYP_obj_pw],
        .cls_weight = (float)hyp[HYP_cls_pw],
        .anchor_t = (float)hyp[HYP_anchor_t],
        .ratio = 1,
        .scale = 1,
    };
}

static double peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1e6;
}

static status time_steps(const step_options *o, learner *l, const learner_batch *b, double *seconds)
{
    static const float scalars[UPDATE_COUNT] =
        {[UPDATE_LR] = 1e-3f,          1e-3f, 1e-3f, [UPDATE_DECAY] = 0, 5e-4f, 0, [UPDATE_MOMENTUM] = 0.937f,
         [UPDATE_AVERAGE_DECAY] = 0.5f};
    float items[LOSS_ITEMS];
    *seconds = INFINITY;
    for (int64_t i = 0; i < o->runs + 2; i++) {
        double started = clock_seconds();
        TRY(learner_run(l, b, items));
        TRY(learner_update(l, scalars));
        double passed = clock_seconds() - started;
        if (i >= 2 && passed < *seconds) *seconds = passed; /* two to warm up */
    }
    return isfinite(items[3]) ? OK : FAIL(ERR_NOT_FINITE, "the loss of the benchmark is not finite");
}

static status run_precision(const step_options *o, const backend_ops *ops, device *d, const model *m,
                            const learner_batch *b, precision precision, const char *name)
{
    learner_options options = {.precision = precision, .loss = scratch_loss(m), .target_room = b->target_count};
    options.largest = *b;
    learner *l;
    double started = clock_seconds(), seconds = 0, ceiling;
    TRY(learner_create(ops, d, m, &options, &l));
    bench_figure(clock_seconds() - started, "s", "step.%s.compile", name);
    status s = time_steps(o, l, b, &seconds);
    if (s == OK) bench_figure(b->images / seconds, "images/s", "step.%s", name);
    if (s == OK) bench_figure((double)learner_memory(l) / 1e9, "GB", "step.%s.memory", name);
    if (s == OK && o->profile) {
        text table = {0};
        s = ops->plan_profile(learner_plan(l), (int)o->runs, &table);
        fputs(text_string(&table), stdout);
        text_free(&table);
    }
    if (s == OK && !o->no_ceiling) {
        s = ops->plan_ceiling(learner_plan(l), &ceiling);
        if (s == OK) bench_figure(b->images / ceiling, "images/s", "step.%s.ceiling", name);
        if (s == OK) bench_figure(ceiling / seconds, "of the convolutions alone", "step.%s.of_ceiling", name);
    }
    learner_destroy(&l);
    return s;
}

static status run(const void *options)
{
    const step_options *o = options;
    static const char *const names[] = {"fp32", "bf16"};
    const backend_ops *ops;
    device *d = NULL;
    device_info info;
    model_config config;
    model m = {0};
    learner_batch b = {0};
    TRY(bench_device(o->threads, &ops, &d));
    ops->info(d, &info);
    printf("%s, %d threads\n", info.name, info.threads);
    status s = model_config_read(o->cfg, (int)o->classes, &config);
    if (s == OK) s = model_create(&config, &m);
    if (s == OK) model_init(&m, 1);
    if (s == OK) s = make_batch(o, &b);
    for (int i = 0; s == OK && i < 2; i++)
        if (strstr(o->precision, names[i]) && info.supports[i])
            s = run_precision(o, ops, d, &m, &b, (precision)i, names[i]);
    if (s == OK) bench_figure(peak_memory(), "GB of the process", "step.peak_memory");
    free((void *)b.pixels);
    free((void *)b.targets);
    model_free(&m);
    ops->close(&d);
    return s;
}

BENCHMARK(1, step, "one training step: images/s, the convolutions' own ceiling, memory", step_options, rows, run)
