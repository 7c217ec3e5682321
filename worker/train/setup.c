/* setup.c - everything between the options and the first batch. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/cores.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/data/anchors.h"
#include "worker/loss/detection.h"
#include "worker/train/training_inner.h"

/* ---- device ---- */

static status open_device(training *t)
{
    t->blame = REASON_DEVICE;
    TRY(devices_open(t->o->device, ranks_local(t->ranks), ranks_here(t->ranks), t->o->threads, &t->ops, &t->device));
    t->ops->info(t->device, &t->info);
    TRY(devices_choose_precision(&t->info, t->o->precision, &t->precision));
    devices_describe(ranks_count(t->ranks), &t->info);
    t->watch->opened(t->watch->state, &t->info, t->precision);
    return together_start(t);
}

/* ---- model ---- */

static void log_model(const model *m, int size)
{
    text words = {0};
    model_table(m, &words);
    model_summary(m, &words);
    text_add(&words, ", %.1f GFLOPS", model_gflops(m, size, size));
    log_info("%s", text_string(&words));
    text_free(&words);
}

static status make_model(training *t, const checkpoint *from)
{
    const training_request *r = t->request;
    const char *yaml_text = r->model_yaml ? r->model_yaml : from ? from->yaml : NULL;
    model_config config;
    t->blame = REASON_REFUSED;
    if (!yaml_text) return FAIL(ERR_ARGUMENT, "%s holds no model yaml: give one with --cfg", t->o->weights);
    const char *name = r->model_yaml ? r->model_name : t->o->weights;
    TRY(model_config_parse(name, yaml_text, t->classes, &config));
    status s = model_create(&config, &t->model);
    if (s != OK) return status_context(s, "%s", name);
    model_init(&t->model, (uint64_t)t->o->seed);
    for (int i = 0; i < t->model.config.levels; i++)
        if ((int)t->model.stride[i] > t->stride) t->stride = (int)t->model.stride[i];
    t->image_size = (int)train_round_size(t->o->img_size.values[0], t->stride);
    t->test_size = (int)train_round_size(t->o->img_size.values[1], t->stride);
    log_model(&t->model, 640);
    if (from) model_take_weights(&t->model, from, !*t->o->cfg, t->o->weights);
    return model_freeze(&t->model, t->o->freeze);
}

/* ---- data ---- */

static status open_data(training *t)
{
    dataset_options o = {
        .needs_labels = true,
        .single_class = t->o->single_cls,
        .drop_repeated = t->o->drop_duplicates,
        .rules = (train_label_rules)t->o->label_rules,
    };
    t->blame = REASON_DATA;
    TRY(ranks_wait_for_first(t->ranks)); /* which writes down what it has seen of every picture */
    TRY(dataset_create(t->request->data, DATA_TRAIN, &o, &t->train_data));
    if (!t->first) return OK;
    o.needs_labels = false;
    TRY(dataset_create(t->request->data, DATA_VAL, &o, &t->val_data));
    return ranks_first_is_ready(t->ranks);
}

/* Pictures of a batch that one rank trains. */
static int64_t share_of_batch(const training *t)
{
    return t->o->batch_size / ranks_count(t->ranks);
}

static status check_batch(training *t)
{
    int count = ranks_count(t->ranks);
    t->blame = REASON_REFUSED;
    if (t->o->batch_size % count == 0) return OK;
    return FAIL(ERR_ARGUMENT, "--batch-size %lld: a multiple of the %d devices was expected",
                (long long)t->o->batch_size, count);
}

/* No more than cores or pictures in a batch, as the reference has it. */
static int loader_threads(const training *t)
{
    int64_t batch = share_of_batch(t), most = t->o->workers < batch ? t->o->workers : batch;
    int cores = cores_available() / ranks_here(t->ranks);
    if (cores < 1) cores = 1;
    return batch < 2 ? 0 : most < cores ? (int)most : cores;
}

/* Without room for the decoded pictures they are decoded each time. */
static status open_loader(training *t, const dataset *data, loader_options o, loader **out)
{
    o.stride = t->stride;
    o.cache = t->o->cache_images;
    o.share = t->shelf;
    o.seed = (uint64_t)t->o->seed;
    o.hyp = t->request->hyps;
    o.ops = t->ops;
    o.device = t->device;
    o.threads = loader_threads(t);
    status s = loader_create(out, data, &o);
    if (s != ERR_MEMORY || !o.cache) return s;
    log_warning("%s; going on without --cache-images", status_message());
    o.cache = false;
    return loader_create(out, data, &o);
}

static status open_loaders(training *t)
{
    loader_options train = {.image_size = t->image_size,
                            .batch = (int)share_of_batch(t),
                            .rank = ranks_number(t->ranks),
                            .ranks = ranks_count(t->ranks),
                            .augment = true,
                            .rect = t->o->rect,
                            .shuffle = !t->o->no_shuffle};
    loader_options val = {.image_size = t->test_size, .batch = (int)t->o->batch_size, .rect = true};
    train.rect = train.rect && !t->o->image_weights;
    t->blame = REASON_DATA;
    /* The candidates of an evolution all see the same pictures. */
    if (t->request->candidate && t->o->cache_images && shelf_hold(NULL, &t->shelf) != OK)
        log_debug("%s", status_message());
    status s = open_loader(t, t->train_data, train, &t->train_loader);
    if (s == OK && t->first) s = open_loader(t, t->val_data, val, &t->val_loader);
    if (s == ERR_ARGUMENT) t->blame = REASON_REFUSED; /* the options make no sense, whatever the data */
    return s;
}

/* ---- anchors ---- */

static status check_anchors(training *t)
{
    float pixels[GRAPH_LEVELS * GRAPH_ANCHORS * 2];
    detect_parameters heads = model_heads(&t->model);
    int k = 0;
    if (t->o->noautoanchor) return OK;
    for (int level = 0; level < heads.levels; level++)
        for (int v = 0; v < 2 * heads.anchors; v++)
            pixels[k++] = heads.anchor[level][v / 2][v % 2] * heads.stride[level];
    anchors_options o = {.image_size = t->image_size,
                         .anchor_t = t->request->hyps[HYP_anchor_t],
                         .count = heads.levels * heads.anchors,
                         .recall_least = t->o->reference == REFERENCE_2020_07_20 ? 0.99 : 0};
    anchors_result found = {0};
    draw d = draw_keyed((uint64_t)t->o->seed, DRAW_ANCHORS, 0, 0);
    if (t->first) TRY(anchors_check(t->train_data, &o, &d, pixels, &found));
    TRY(ranks_tell(t->ranks, &found.changed, sizeof found.changed));
    if (!found.changed) return OK;
    TRY(ranks_tell(t->ranks, pixels, sizeof pixels));
    model_set_anchors(&t->model, pixels);
    return OK;
}

/* ---- learner, validator, schedule ---- */

static status make_learner(training *t)
{
    learner_options o = {.precision = t->precision, .loss = t->loss, .target_room = 64};
    o.team = t->team;
    o.sync_norms = t->o->sync_bn;
    o.kind = t->o->adam ? OPTIMIZER_ADAM : OPTIMIZER_SGD;
    loader_largest(t->train_loader, &o.largest.images, &o.largest.height, &o.largest.width);
    o.largest.bytes = true;
    while (o.target_room < 16 * o.largest.images) o.target_room *= 2;
    if (t->o->multi_scale) { /* draw_image_size draws up to 1.5 times the size and a stride */
        int most = (t->image_size * 3 / 2 + t->stride - 1) / t->stride * t->stride;
        o.largest.resize_height = o.largest.resize_width = most;
    }
    t->blame = REASON_DEVICE;
    return learner_create(t->ops, t->device, &t->model, &o, &t->learner);
}

/* The journal is begun later, when all is in order. */
static status see_batch(void *state, const validated_batch *b)
{
    const training *t = state;
    return journal_seen(t->journal, b);
}

static status make_validator(training *t)
{
    validator_options o = {
        .ops = t->ops,
        .device = t->device,
        .model = &t->model,
        .weights = learner_average(t->learner),
        .precision = t->precision,
        .loss = t->loss,
        .min_score = 0.001f,
        .max_iou = 0.6f,
        .time_limit = t->o->nms_time_limit,
        .loader = t->val_loader,
        .seen = see_batch,
        .seen_state = t,
    };
    return validator_create(&o, &t->validator);
}

static void log_groups(const model *m)
{
    int groups[UPDATE_GROUPS] = {0};
    for (size_t i = 0; i < m->count; i++)
        if (m->weights[i].kind == WEIGHT_PARAMETER) groups[model_group(&m->weights[i])]++;
    log_info("Optimizer groups: %d .bias, %d conv.weight, %d other", groups[2], groups[1], groups[0]);
}

static void start_schedule(training *t)
{
    schedule_options o = {
        .optimizer = t->o->adam ? OPTIMIZER_ADAM : OPTIMIZER_SGD,
        .lr0 = t->request->hyps[HYP_lr0],
        .lrf = t->request->hyps[HYP_lrf],
        .momentum = t->request->hyps[HYP_momentum],
        .weight_decay = t->request->hyps[HYP_weight_decay],
        .start_epoch = t->start_epoch,
        .epochs = t->epochs,
        .batches = loader_batches(t->train_loader),
        .batch_size = t->o->batch_size,
        .warmup_cap = t->o->warmup_cap,
    };
    if (t->o->reference == REFERENCE_2020_07_20) o.nominal = SCHEDULE_NOMINAL_BATCH_2020_07_20;
    schedule_start(&o, &t->schedule);
    t->averages = schedule_average_updates(&t->schedule);
}

/* Which epochs are to be trained: a checkpoint says where it stopped. */
static status choose_epochs(training *t, const checkpoint *from)
{
    t->epochs = t->o->epochs;
    t->start_epoch = from ? from->epoch + 1 : 0;
    if (from && from->has_optimizer) t->best_fitness = from->best_fitness;
    t->blame = REASON_REFUSED;
    if (t->request->resume && !from->has_optimizer)
        return FAIL(ERR_ARGUMENT, "%s: its training to %lld epochs is finished, there is nothing to resume",
                    t->o->weights, (long long)t->o->epochs);
    if (t->start_epoch && t->epochs <= t->start_epoch) {
        log_info("%s has been trained for %lld epochs. Fine-tuning for %lld additional epochs.", t->o->weights,
                 (long long)t->start_epoch, (long long)t->epochs);
        t->epochs += t->start_epoch;
    }
    return OK;
}

/* ---- files ---- */

static status name_files(training *t)
{
    const char *folder = t->request->folder;
    char *weights = path_join(folder, "weights");
    t->results_path = path_join(folder, "results.txt");
    t->last_path = weights ? path_join(weights, "last.pt") : NULL;
    t->best_path = weights ? path_join(weights, "best.pt") : NULL;
    status s = t->results_path && t->last_path && t->best_path ? OK : FAIL(ERR_MEMORY, "out of memory");
    bool saves = !t->request->candidate || !t->o->nosave;
    if (s == OK && saves) s = fs_make_folders(weights, 0777);
    free(weights);
    return s;
}

/* Results start with what the checkpoint remembers, or anew; a resumed training's weights are copied first. */
static status continue_files(training *t, const checkpoint *from)
{
    if (from && from->training_results)
        TRY(fs_write(t->results_path, from->training_results, strlen(from->training_results)));
    else TRY(fs_remove(t->results_path));
    if (!t->request->resume || t->request->candidate) return OK;
    char *weights = path_folder(t->last_path);
    text copy = {0};
    text_add(&copy, "%s/weights_backup_epoch%lld", t->request->folder, (long long)(t->start_epoch - 1));
    status s = weights ? text_status(&copy) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_remove(text_string(&copy)); /* of an earlier resume from the same epoch */
    if (s == OK) s = fs_copy(weights, text_string(&copy));
    text_free(&copy);
    free(weights);
    return s;
}

/* ---- all of it ---- */

static status setup_from(training *t, const checkpoint *from)
{
    t->classes = t->o->single_cls ? 1 : t->request->data->classes;
    t->blame = REASON_ERROR;
    if (t->first) TRY(name_files(t));
    TRY(check_batch(t));
    TRY(open_device(t));
    TRY(make_model(t, from));
    TRY(choose_epochs(t, from));
    TRY(open_data(t));
    TRY(open_loaders(t));
    TRY(array_new(&t->maps, (size_t)t->classes));
    if (!t->request->resume) TRY(check_anchors(t));
    detect_parameters heads = model_heads(&t->model);
    loss_parameters_from(t->request->hyps, &heads, &t->loss);
    if (t->o->reference == REFERENCE_2020_07_20) loss_parameters_as_of_2020_07_20(&t->loss);
    start_schedule(t);
    log_groups(&t->model);
    /* The first batches are made while the network is compiled. */
    if (!t->o->image_weights) TRY(loader_start_epoch(t->train_loader, t->start_epoch, NULL));
    TRY(make_learner(t));
    if (t->first) TRY(make_validator(t));
    t->blame = REASON_ERROR;
    if (from && from->has_optimizer) TRY(training_restore(t, from));
    TRY(together_share_weights(t));
    if (t->first) TRY(continue_files(t, from)); /* nothing earlier is touched before this one can start */
    log_info("Image sizes %d train, %d test", t->image_size, t->test_size);
    log_info("Using %d dataloader workers", loader_threads(t));
    log_info("Starting training for %lld epochs...", (long long)t->epochs);
    return OK;
}

status training_setup(training *t)
{
    checkpoint *from = NULL;
    status s = *t->o->weights ? checkpoint_load(t->o->weights, &from) : OK;
    /* Weights that are no weights stay so; what a training goes on from, or cannot be read just here, may be another elsewhere. */
    bool hopeless = s == ERR_FORMAT || s == ERR_UNSUPPORTED || s == ERR_RANGE;
    t->blame = hopeless && !t->request->resume ? REASON_REFUSED : REASON_ERROR;
    if (s == OK) s = setup_from(t, from);
    checkpoint_destroy(&from);
    return s;
}

void training_teardown(training *t)
{
    journal_end(&t->journal);
    validator_destroy(&t->validator);
    learner_destroy(&t->learner);
    together_end(t);
    loader_destroy(&t->train_loader);
    loader_destroy(&t->val_loader);
    shelf_let_go(&t->shelf);
    dataset_destroy(&t->train_data);
    dataset_destroy(&t->val_data);
    model_free(&t->model);
    if (t->ops) t->ops->close(&t->device);
    free(t->maps);
    free(t->results_path);
    free(t->last_path);
    free(t->best_path);
}
