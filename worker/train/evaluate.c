#include "worker/train/evaluate.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/cores.h"
#include "common/fs.h"
#include "common/log.h"
#include "worker/metrics/coco.h"
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
    coco_file *json; /* NULL: not wanted */
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

static status see_batch(void *state, const validated_batch *v)
{
    const evaluation *e = state;
    const batch *b = v->batch;
    TRY(journal_seen(e->journal, v));
    for (int i = 0; e->json && i < b->count; i++) {
        const sample_origin *o = &b->origin[i];
        const boxes_placing placing = {o->ratio_height, o->pad_width, o->pad_height};
        const float *boxes = v->boxes + (size_t)i * (size_t)v->most * NMS_BOX;
        TRY(coco_add(e->json, e->data->images[b->index[i]].path, boxes, (size_t)v->counts[i], &placing, o->width,
                     o->height));
    }
    return OK;
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
        .seen = see_batch,
        .seen_state = e,
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

/* detections_val_best_results.json: named after split and weights, as the reference has it. */
static status start_json(evaluation *e)
{
    static const char *const splits[DATA_SPLITS] = {"train", "val", "test"};
    const char *name = path_name(e->o->train->weights);
    bool coco = text_ends_with(e->o->train->data, "coco.yaml");
    text path = {0};
    if (!e->o->json && !coco) return OK;
    text_add(&path, "%s/detections_%s_%.*s_results.json", e->o->folder, splits[e->o->split],
             (int)(path_extension(name) - name), name);
    status s = fs_make_folders(e->o->folder, 0777);
    if (s == OK) s = text_status(&path);
    if (s == OK) s = coco_start(text_string(&path), coco && e->classes == 80, &e->json);
    if (s == OK) log_info("Detections go to %s", text_string(&path));
    text_free(&path);
    return s;
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
    TRY(start_json(e));
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
    s = coco_finish(&e.json, s);
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
