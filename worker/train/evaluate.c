#include "worker/train/evaluate.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/cores.h"
#include "common/fs.h"
#include "common/log.h"
#include "worker/train/load_model.h"
#include "worker/train/training_inner.h"

typedef struct evaluation {
    const evaluate_options *o;
    const backend_ops *ops;
    device *device;
    device_info info;
    precision precision;
    model model;
    int only[INT_LIST_MOST];
    buffer *weights;
    dataset *data;
    loader *loader;
    validator *validator;
    journal *journal;
    int classes, image_size;
} evaluation;

static status open_model(evaluation *e)
{
    const train_options *t = e->o->train;
    TRY(load_model(t->weights, t->cfg, e->classes, &e->model, NULL));
    size_t bytes = (size_t)e->model.arena_count * sizeof(float);
    TRY(e->ops->buffer_create(e->device, bytes, &e->weights));
    return e->ops->buffer_write(e->weights, 0, e->model.arena, bytes);
}

static status open_loader(evaluation *e)
{
    const train_options *t = e->o->train;
    int stride = 1, cores = cores_available();
    for (int i = 0; i < e->model.config.levels; i++)
        if ((int)e->model.stride[i] > stride) stride = (int)e->model.stride[i];
    e->image_size = (int)train_round_size(t->img_size.values[0], stride);
    dataset_options data = {.single_class = t->single_cls, .rules = (train_label_rules)t->label_rules};
    TRY(dataset_create(e->o->data, e->o->split, &data, &e->data));
    loader_options o = {.batch = (int)t->batch_size,
                        .image_size = e->image_size,
                        .stride = stride,
                        .rect = true,
                        .pad = 0.5};
    o.threads = t->workers < cores ? (int)t->workers : cores;
    o.ops = e->ops;
    o.device = e->device;
    return loader_create(&e->loader, e->data, &o);
}

static status make_validator(evaluation *e)
{
    const int_list *classes = &e->o->classes;
    for (size_t i = 0; i < classes->count; i++) {
        e->only[i] = (int)classes->values[i];
        if (e->only[i] < 0 || e->only[i] >= e->classes)
            return FAIL(ERR_ARGUMENT, "--classes: 0 to %d was expected, found %d", e->classes - 1, e->only[i]);
    }
    validator_options o = {
        .ops = e->ops,
        .device = e->device,
        .model = &e->model,
        .weights = e->weights,
        .precision = e->precision,
        .no_loss = true,
        .min_score = (float)e->o->min_score,
        .max_iou = (float)e->o->max_iou,
        .merge = e->o->merge,
        .agnostic = e->o->agnostic,
        .only = classes->count ? e->only : NULL,
        .only_count = (int)classes->count,
        .time_limit = e->o->train->nms_time_limit,
        .loader = e->loader,
        .seen = journal_seen,
        .seen_state = e->journal,
    };
    return validator_create(&o, &e->validator);
}

static char *const *class_names(const evaluation *e)
{
    static char *const item[] = {(char *)"item"};
    return e->o->train->single_cls ? item : e->o->data->names;
}

/* Pictures are not what an evaluation is for: it goes on without them. */
static void start_journal(evaluation *e)
{
    journal_options o = {.folder = e->o->folder, .validation = e->data, .names = class_names(e), .classes = e->classes};
    o.plots = journal_wanted(e->o->train->plots, false);
    if (o.plots && fs_make_folders(o.folder, 0777) != OK) {
        log_warning("%s; going on without plots", status_message());
        return;
    }
    e->journal = journal_start(&o);
    journal_validating(e->journal, clock_seconds(), true);
}

static status print_result(const evaluation *e, const validation *v)
{
    char *const *names = class_names(e);
    text table = {0};
    double images = v->summary.images ? (double)v->summary.images : 1;
    ap_heading(&table);
    ap_print(&v->summary, names, e->classes, e->o->verbose, &table);
    text_add(&table, "Speed: %.1f/%.1f ms inference/total per %dx%d image at batch-size %lld\n",
             1e3 * v->inference_seconds / images, 1e3 * v->seconds / images, e->image_size, e->image_size,
             (long long)e->o->train->batch_size);
    fputs(text_string(&table), stdout);
    status s = text_status(&table);
    text_free(&table);
    return s;
}

static status evaluate(evaluation *e)
{
    const train_options *t = e->o->train;
    validation v;
    e->classes = t->single_cls ? 1 : e->o->data->classes;
    if (!*t->weights) return FAIL(ERR_ARGUMENT, "--task needs --weights");
    TRY(devices_open(t->device, 0, 1, t->threads, &e->ops, &e->device));
    e->ops->info(e->device, &e->info);
    TRY(devices_choose_precision(&e->info, t->precision, &e->precision));
    TRY(open_model(e));
    TRY(open_loader(e));
    start_journal(e);
    TRY(make_validator(e));
    status s = validator_run(e->validator, NULL, NULL, &v);
    if (s == OK) journal_validated(e->journal, &v.summary);
    if (s == OK) s = print_result(e, &v);
    if (s == OK && e->journal) log_info("Pictures go to %s", e->o->folder);
    validation_free(&v);
    return s;
}

status evaluate_run(const evaluate_options *o)
{
    evaluation e = {.o = o, .precision = PRECISION_FP32};
    status s = evaluate(&e);
    validator_destroy(&e.validator);
    journal_end(&e.journal);
    loader_destroy(&e.loader);
    dataset_destroy(&e.data);
    if (e.ops) {
        e.ops->buffer_destroy(&e.weights);
        e.ops->close(&e.device);
    }
    model_free(&e.model);
    return s;
}
