/* validate.c - a whole validation: pictures, network, suppression, average precision. */
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tests/bench/bench.h"
#include "tests/bench/device.h"
#include "tests/bench/set.h"
#include "worker/train/validate.h"

typedef struct validate_options {
    char *data, *precision;
    int64_t batch, threads, runs;
} validate_options;

#define ROWS(ROW)                                                                                                      \
    ROW(validate_options, data, STRING, "data", "", "", 0, 0, "YAML", "data set; '' draws one")                        \
    ROW(validate_options, precision, STRING, "precision", "", "fp32 bf16", 0, 0, "LIST", "of fp32 bf16")               \
    ROW(validate_options, batch, INT, "batch-size", "", "16", 1, 1024, "N", "pictures a batch")                        \
    ROW(validate_options, threads, INT, "threads", "", "0", 0, 1024, "N", "0: all cores")                              \
    ROW(validate_options, runs, INT, "runs", "", "3", 1, 1000, "N", "validations, of which the fastest counts")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

typedef struct bench {
    const validate_options *o;
    const bench_set *set;
    dataset *data;
    const backend_ops *ops;
    device *device;
    device_info info;
    /* of the case in hand */
    model model;
    loader *loader;
    buffer *weights;
    char name[64];
    int size;
} bench;

static const struct {
    const char *name, *cfg;
    int size;
} cases[] = {
    {"yolov5s.320", "examples/models/yolov5s.yaml", 320},
    {"yolov5n.128", "examples/models/yolov5n.yaml", 128},
};
enum { CASES = sizeof cases / sizeof *cases, TARGET_ROOM = 64 * 64 };

static const nms_parameters suppression = {.min_score = 0.001f, .max_iou = 0.6, .most = 300, .multi_label = true};

/* ---- the case ---- */

static status open_case(bench *b, const char *cfg)
{
    model_config config;
    loader_options o = {.batch = (int)b->o->batch,
                        .image_size = b->size,
                        .stride = 32,
                        .rect = true,
                        .cache = true,
                        .threads = 1,
                        .ops = b->ops,
                        .device = b->device};
    TRY(loader_create(&b->loader, b->data, &o));
    TRY(model_config_read(cfg, b->set->data.classes, &config));
    TRY(model_create(&config, &b->model));
    model_init(&b->model, 1); /* from scratch: far more boxes pass than suppression keeps, as in the first epochs */
    size_t bytes = (size_t)b->model.arena_count * sizeof(float);
    TRY(b->ops->buffer_create(b->device, bytes, &b->weights));
    return b->ops->buffer_write(b->weights, 0, b->model.arena, bytes);
}

static void close_case(bench *b)
{
    b->ops->buffer_destroy(&b->weights);
    loader_destroy(&b->loader);
    model_free(&b->model);
    b->model = (model){0};
}

/* ---- measuring ---- */

static status validate_often(const bench *b, precision p, double *best)
{
    validator *v;
    validator_options o = {.ops = b->ops,
                           .device = b->device,
                           .model = &b->model,
                           .weights = b->weights,
                           .precision = p,
                           .no_loss = true,
                           .min_score = suppression.min_score,
                           .max_iou = (float)suppression.max_iou,
                           .loader = b->loader};
    validation found;
    *best = 0;
    TRY(validator_create(&o, &v));
    status s = OK;
    for (int64_t i = 0; s == OK && i <= b->o->runs; i++) { /* the first makes the plans */
        s = validator_run(v, NULL, NULL, &found);
        if (s == OK && i > 0 && (*best == 0 || found.seconds < *best)) *best = found.seconds;
        validation_free(&found);
    }
    validator_destroy(&v);
    return s;
}

/* Seconds that the convolutions of the whole set take alone. */
static status measure_ceiling(const bench *b, precision p, double *seconds)
{
    graph g = {0};
    graph_ends ends;
    plan *plan = NULL;
    plan_options options = {.precision = p};
    graph_request request = {.bytes = true, .nms = true, .nms_parameters = suppression};
    loader_largest(b->loader, &request.images, &request.height, &request.width);
    options.buffers[ARENA_WEIGHTS] = b->weights;
    status s = model_graph(&b->model, &request, &g, &ends);
    if (s == OK) s = b->ops->plan_create(b->device, &g, &options, &plan);
    if (s == OK) s = b->ops->plan_ceiling(plan, seconds);
    if (s == OK) *seconds *= (double)b->data->count / request.images;
    if (plan) b->ops->plan_destroy(&plan);
    graph_free(&g);
    return s;
}

static status run_precision(bench *b, precision p, const char *name)
{
    double seconds, ceiling, images = b->data->count;
    TRY(validate_often(b, p, &seconds));
    TRY(measure_ceiling(b, p, &ceiling));
    bench_figure(images / seconds, "images/s", "validate.%s.%s", b->name, name);
    bench_figure(images / ceiling, "images/s", "validate.%s.%s.ceiling", b->name, name);
    bench_figure(ceiling / seconds, "of the convolutions alone", "validate.%s.%s.of_ceiling", b->name, name);
    return OK;
}

static status run_case(bench *b, int index)
{
    static const char *const names[] = {"fp32", "bf16"};
    b->size = cases[index].size;
    snprintf(b->name, sizeof b->name, "%s", cases[index].name);
    status s = open_case(b, cases[index].cfg);
    for (int i = 0; s == OK && i < 2; i++)
        if (strstr(b->o->precision, names[i]) && b->info.supports[i]) s = run_precision(b, (precision)i, names[i]);
    close_case(b);
    return s;
}

static status run_on(bench *b)
{
    dataset_options options = {.no_cache = true};
    TRY(dataset_create(&b->set->data, DATA_VAL, &options, &b->data));
    TRY(bench_device(b->o->threads, &b->ops, &b->device));
    b->ops->info(b->device, &b->info);
    status s = OK;
    for (int i = 0; s == OK && i < CASES; i++) s = run_case(b, i);
    return s;
}

static status run(const void *options)
{
    bench_set set;
    bench b = {.o = options, .set = &set};
    TRY(bench_set_open(b.o->data, &set));
    status s = run_on(&b);
    if (b.ops) b.ops->close(&b.device);
    dataset_destroy(&b.data);
    bench_set_close(&set);
    return s;
}

BENCHMARK(3, validate, "images/s of a validation with suppression and AP, beside its convolutions alone",
          validate_options, rows, run)
