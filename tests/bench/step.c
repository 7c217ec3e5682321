/* step.c - how fast is a training step: a batch with targets, loss, backward, update and average; and is it still right. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/hyp.h"
#include "common/options.h"
#include "common/rng.h"
#include "tests/bench/bench.h"
#include "tests/bench/device.h"
#include "worker/train/learner.h"

typedef struct step_options {
    char *only, *cfg, *precision;
    int64_t image_size, batch, threads, runs, classes;
    bool profile, no_ceiling;
} step_options;

#define ROWS(ROW)                                                                                                      \
    ROW(step_options, only, STRING, "case", "", "", 0, 0, "NAME", "this one of the usual cases: yolov5s.320 ...")      \
    ROW(step_options, cfg, STRING, "cfg", "", "", 0, 0, "YAML", "a case of your own: the model")                       \
    ROW(step_options, precision, STRING, "precision", "", "fp32 bf16", 0, 0, "LIST", "of fp32 bf16")                   \
    ROW(step_options, image_size, INT, "img-size", "", "320", 32, 4096, "PX", "of its pictures")                       \
    ROW(step_options, batch, INT, "batch-size", "", "16", 1, 1024, "N", "its pictures a step")                         \
    ROW(step_options, classes, INT, "nc", "", "80", 1, 10000, "N", "its classes")                                      \
    ROW(step_options, threads, INT, "threads", "", "0", 0, 1024, "N", "0: all cores")                                  \
    ROW(step_options, runs, INT, "runs", "", "8", 1, 10000, "N", "steps that are timed")                               \
    ROW(step_options, profile, FLAG, "profile", "", "", 0, 0, "", "show where the time goes")                          \
    ROW(step_options, no_ceiling, FLAG, "no-ceiling", "", "", 0, 0, "", "do not measure the convolutions alone")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

typedef struct step_case {
    const char *name, *cfg;
    int image_size, batch, classes;
    double loss[2]; /* of the first step, and of the tenth; 0: unknown */
} step_case;

/* The losses are those of fp32, recorded when parity with the reference had been seen. */
static const step_case cases[] = {
    {"yolov5s.320", "examples/models/yolov5s.yaml", 320, 16, 80, {0.212155, 0.1898}},
    {"yolov5s.640", "examples/models/yolov5s.yaml", 640, 8, 80, {0.209940, 0.1895}},
    {"yolov5n.128", "examples/models/yolov5n.yaml", 128, 16, 80, {0.223956, 0.2120}},
};
enum { CASES = sizeof cases / sizeof *cases };

/* How far rounding leads from a recorded loss, as a part of it: in the first step, and in the tenth, by when the loss has fallen by 5
 * to 11 %. */
static const double loss_tolerance[PRECISION_COUNT][2] =
    {[PRECISION_FP32] = {1e-4, 4e-2}, [PRECISION_BF16] = {2e-3, 4e-2}};

/* Pictures of smooth shapes with noise, and targets: nothing about the time of a step depends on what they show, as long as
 * they are not all alike. */
static status make_batch(const step_case *c, learner_batch *b)
{
    enum { TARGETS = 8 };
    size_t side = (size_t)c->image_size, bytes = (size_t)c->batch * side * side * 3;
    uint8_t *pixels;
    float *targets;
    keyed_rng r;
    keyed_seed(&r, 1, 0, 0);
    TRY(array_new(&pixels, bytes));
    TRY(array_new(&targets, (size_t)c->batch * TARGETS * 6));
    for (size_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)(128 + 90 * sin((double)(i % (side * 3)) * 0.01) + 30 * keyed_random(&r));
    for (int64_t i = 0; i < (int64_t)c->batch * TARGETS; i++) {
        float *t = targets + i * 6;
        t[0] = (float)(i / TARGETS);
        t[1] = (float)keyed_below(&r, (uint64_t)c->classes);
        t[4] = (float)(0.05 + 0.3 * keyed_random(&r));
        t[5] = (float)(0.05 + 0.3 * keyed_random(&r));
        t[2] = t[4] / 2 + (1 - t[4]) * (float)keyed_random(&r);
        t[3] = t[5] / 2 + (1 - t[5]) * (float)keyed_random(&r);
    }
    *b = (learner_batch){.pixels = pixels, .bytes = true, .images = c->batch, .height = (int)side, .width = (int)side};
    b->targets = targets;
    b->target_count = c->batch * TARGETS;
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

/* The most memory that this process has had since the last call, in GB; where that cannot be asked, since its start. */
static double peak_memory(void)
{
    char *text = NULL;
    size_t count;
    long long kb = 0;
    if (fs_read("/proc/self/status", 0, &text, &count) == OK) {
        const char *line = strstr(text, "VmHWM:");
        if (line) sscanf(line, "VmHWM: %lld", &kb);
    }
    free(text);
    FILE *again = fopen("/proc/self/clear_refs", "we");
    if (again) {
        fputs("5", again);
        fclose(again);
    }
    return (double)kb * 1024e-9;
}

/* ---- one precision of a case ---- */

typedef struct bench {
    const step_options *o;
    const step_case *c;
    const backend_ops *ops;
    device *d;
    model m;
    learner_batch b;
    precision precision;
    const char *name; /* of the precision */
} bench;

static void figure(const bench *b, double value, const char *unit, const char *what)
{
    bench_figure(value, unit, "step.%s.%s%s", b->c->name, b->name, what);
}

static status check_loss(const bench *b, int which, float loss)
{
    double want = b->c->loss[which];
    if (!isfinite(loss)) return FAIL(ERR_NOT_FINITE, "the loss of the benchmark is not finite");
    if (want == 0 || fabs(loss - want) <= loss_tolerance[b->precision][which] * want) return OK;
    return FAIL(ERR_RANGE, "step.%s.%s: the loss is %.7g, not %.7g as recorded", b->c->name, b->name, (double)loss,
                want);
}

static status time_steps(const bench *b, learner *l, double *seconds)
{
    static const float scalars[UPDATE_COUNT] =
        {[UPDATE_LR] = 5e-2f,          5e-2f, 5e-2f, [UPDATE_DECAY] = 0, 5e-4f, 0, [UPDATE_MOMENTUM] = 0.937f,
         [UPDATE_AVERAGE_DECAY] = 0.5f};
    float items[LOSS_ITEMS];
    enum { WARM_UP = 2, TENTH = 9, LOSS = LOSS_ITEMS - 1 };
    *seconds = INFINITY;
    for (int64_t i = 0; i < b->o->runs + WARM_UP; i++) {
        double started = clock_seconds();
        TRY(learner_run(l, &b->b, items));
        TRY(learner_update(l, scalars));
        double passed = clock_seconds() - started;
        if (i >= WARM_UP && passed < *seconds) *seconds = passed;
        if (i == 0 || i == TENTH) TRY(check_loss(b, i == TENTH, items[LOSS]));
        if (i == TENTH) figure(b, (double)items[LOSS], "of the tenth step", ".loss");
    }
    return isfinite(items[LOSS]) ? OK : FAIL(ERR_NOT_FINITE, "the loss of the benchmark is not finite");
}

static status measure_ceiling(const bench *b, learner *l, double seconds)
{
    double ceiling;
    TRY(b->ops->plan_ceiling(learner_plan(l), &ceiling));
    figure(b, b->b.images / ceiling, "images/s", ".ceiling");
    figure(b, ceiling / seconds, "of the convolutions alone", ".of_ceiling");
    return OK;
}

static status show_profile(const bench *b, learner *l)
{
    text table = {0};
    status s = b->ops->plan_profile(learner_plan(l), (int)b->o->runs, &table);
    fputs(text_string(&table), stdout);
    text_free(&table);
    return s;
}

static status run_precision(const bench *b)
{
    learner_options options = {.precision = b->precision, .loss = scratch_loss(&b->m)};
    options.target_room = b->b.target_count;
    options.largest = b->b;
    learner *l;
    peak_memory();
    double started = clock_seconds(), seconds = 0;
    TRY(learner_create(b->ops, b->d, &b->m, &options, &l));
    figure(b, clock_seconds() - started, "s", ".compile");
    status s = time_steps(b, l, &seconds);
    if (s == OK) {
        figure(b, b->b.images / seconds, "images/s", "");
        figure(b, (double)learner_memory(l) / 1e9, "GB of the plan", ".memory");
        figure(b, peak_memory(), "GB of the process", ".peak_memory");
    }
    if (s == OK && b->o->profile) s = show_profile(b, l);
    if (s == OK && !b->o->no_ceiling) s = measure_ceiling(b, l, seconds);
    learner_destroy(&l);
    return s;
}

/* ---- a case ---- */

static status run_case(const step_options *o, const step_case *c, const backend_ops *ops, device *d,
                       const device_info *info)
{
    static const char *const names[] = {"fp32", "bf16"};
    bench b = {.o = o, .c = c, .ops = ops, .d = d};
    model_config config;
    status s = model_config_read(c->cfg, c->classes, &config);
    if (s == OK) s = model_create(&config, &b.m);
    if (s == OK) model_init(&b.m, 1);
    if (s == OK) s = make_batch(c, &b.b);
    for (int i = 0; s == OK && i < 2; i++)
        if (strstr(o->precision, names[i]) && info->supports[i]) {
            b.precision = (precision)i;
            b.name = names[i];
            s = run_precision(&b);
        }
    free((void *)b.b.pixels);
    free((void *)b.b.targets);
    model_free(&b.m);
    return s;
}

static status run_cases(const step_options *o, const backend_ops *ops, device *d, const device_info *info)
{
    step_case own = {"own", o->cfg, (int)o->image_size, (int)o->batch, (int)o->classes, {0, 0}};
    if (*o->cfg) return run_case(o, &own, ops, d, info);
    bool known = !*o->only;
    for (int i = 0; i < CASES; i++) {
        if (*o->only && strcmp(o->only, cases[i].name)) continue;
        known = true;
        TRY(run_case(o, &cases[i], ops, d, info));
    }
    return known ? OK : FAIL(ERR_ARGUMENT, "--case %s: yolov5s.320, yolov5s.640 or yolov5n.128 was expected", o->only);
}

static status run(const void *options)
{
    const step_options *o = options;
    const backend_ops *ops;
    device *d = NULL;
    device_info info;
    TRY(bench_device(o->threads, &ops, &d));
    ops->info(d, &info);
    bench_note("%s, %d threads", info.name, info.threads);
    status s = run_cases(o, ops, d, &info);
    ops->close(&d);
    return s;
}

BENCHMARK(1, step, "one training step: images/s, the convolutions' own ceiling, memory", step_options, rows, run)
