/* loop.c - the epochs of a training. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/data/draw.h"
#include "worker/train/training_inner.h"

/* How fast it goes, averaged over the last seconds. */
typedef struct speedometer {
    double started, per_s;
    int64_t images;
} speedometer;

static void count_images(speedometer *s, int64_t images)
{
    double now = clock_seconds();
    s->images += images;
    if (now - s->started < 1 && s->per_s > 0) return;
    if (now > s->started) s->per_s = (double)s->images / (now - s->started);
    s->started = now;
    s->images = 0;
}

/* ---- wishes ---- */

/* Nobody looks on at a rank other than 0. */
static void see_opened(void *state, const device_info *device, precision p)
{
    (void)state, (void)device, (void)p;
}

static void see_epoch(void *state, int64_t epoch, int64_t batches)
{
    (void)state, (void)epoch, (void)batches;
}

static void see_progress(void *state, const training_progress *p)
{
    (void)state, (void)p;
}

static const training_watch nobody = {.opened = see_opened, .epoch = see_epoch, .progress = see_progress};

static void save_as_wished(training *t)
{
    const char *path = t->request->checkpoint ? t->request->checkpoint : t->o->nosave ? NULL : t->last_path;
    if (!path) return;
    training_saved saved = {.path = path, .epoch = t->epoch, .step = t->step};
    if (training_save(t, path, t->epoch - 1, false) != OK) {
        log_error("%s", status_message()); /* the training itself is well, and goes on */
        saved.path = NULL;
    }
    t->watch->saved(t->watch->state, &saved);
}

static status stop_as_wished(const training *t)
{
    return FAIL(ERR_STOPPED, "stopped in epoch %lld after batch %lld of %lld", (long long)t->epoch, (long long)t->step,
                (long long)t->schedule.o.batches);
}

/* Between two batches: do what the watch wishes, every rank. */
static status attend(training *t)
{
    unsigned wish = t->first ? t->watch->wish(t->watch->state) : WISH_NONE;
    TRY(ranks_tell(t->ranks, &wish, sizeof wish));
    if (wish & WISH_SAVE) {
        TRY(together_bring_gradients(t));
        if (t->first) save_as_wished(t);
        together_drop_gradients(t);
    }
    return wish & WISH_STOP ? stop_as_wished(t) : OK;
}

/* Rank 0 validates alone. Gradients that wait for a step elsewhere will be dropped (or have come to rank 0), so it can save alone. */
static status attend_in_validation(void *state)
{
    training *t = state;
    t->watch->validating(t->watch->state);
    unsigned wish = t->watch->wish(t->watch->state);
    if (wish & WISH_SAVE) save_as_wished(t);
    return wish & WISH_STOP ? stop_as_wished(t) : OK;
}

/* ---- one batch ---- */

/* Multi-scale: the size of this batch's longer side, stretched to multiples of the stride. */
static void choose_size(const training *t, learner_batch *b)
{
    draw d = draw_keyed((uint64_t)t->o->seed, DRAW_SIZE, t->epoch, t->step);
    double scale =
        (double)draw_image_size(&d, t->image_size, t->stride) / (b->height > b->width ? b->height : b->width);
    int height = (int)ceil(b->height * scale / t->stride) * t->stride;
    int width = (int)ceil(b->width * scale / t->stride) * t->stride;
    if (height == b->height && width == b->width) return;
    b->resize_height = height;
    b->resize_width = width;
}

static status check_loss(const training *t, const float items[LOSS_ITEMS])
{
    if (isfinite(items[LOSS_ITEMS - 1])) return OK;
    return FAIL(ERR_NOT_FINITE, "epoch %lld, batch %lld: the loss is not finite (box %g, objectness %g, class %g)",
                (long long)t->epoch, (long long)t->step, (double)items[0], (double)items[1], (double)items[2]);
}

static status train_batch(training *t, const batch *b, double *loss)
{
    learner_batch batch = {.pixels = b->images,
                           .bytes = true,
                           .images = b->count,
                           .height = b->height,
                           .width = b->width};
    batch.targets = b->targets;
    batch.target_count = b->target_count;
    if (t->o->multi_scale) choose_size(t, &batch);
    float items[LOSS_ITEMS];
    schedule_step now = schedule_at(&t->schedule, t->epoch, t->step + t->epoch * t->schedule.o.batches);
    TRY(learner_run(t->learner, &batch, items));
    t->model.batches_tracked++;
    TRY(check_loss(t, items));
    if (now.update) {
        float scalars[UPDATE_COUNT];
        t->averages++;
        schedule_scalars(&t->schedule, &now, optimizer_steps(learner_optimizer(t->learner)) + 1,
                         t->first ? t->averages : 0, scalars); /* rank 0 alone has an average */
        TRY(learner_update(t->learner, scalars));
    }
    loss_means_add(&t->means, items);
    memcpy(t->row.losses, t->means.items, sizeof t->row.losses);
    t->row.targets = b->target_count;
    t->row.img_size = batch.resize_width ? batch.resize_width : batch.width;
    *loss = (double)items[LOSS_ITEMS - 1];
    journal_batch(t->journal, b, t->step + t->epoch * t->schedule.o.batches, t->epoch);
    t->step++;
    return OK;
}

/* ---- one epoch ---- */

/* Pictures drawn by how badly their classes do. */
static status draw_order(const training *t, int *order)
{
    double *classes = NULL, *weights = NULL;
    status s = array_new(&classes, (size_t)t->classes);
    if (s == OK) s = array_new(&weights, (size_t)t->train_data->count);
    if (s == OK) {
        draw d = draw_keyed((uint64_t)t->o->seed, DRAW_WEIGHTED, t->epoch, 0);
        dataset_class_weights(t->train_data, classes);
        s = dataset_image_weights(t->train_data, classes, t->maps, weights);
        if (s == OK) s = draw_weighted(&d, weights, t->train_data->count, order);
    }
    free(classes);
    free(weights);
    return s;
}

/* With --image-weights rank 0, which knows how the classes do, draws for all. */
static status start_loader(training *t)
{
    int *order;
    if (!t->o->image_weights) return loader_start_epoch(t->train_loader, t->epoch, NULL);
    size_t count = (size_t)t->train_data->count;
    TRY(array_new(&order, count));
    status s = t->first ? draw_order(t, order) : OK;
    if (s == OK) s = ranks_tell(t->ranks, order, count * sizeof *order);
    if (s == OK) s = loader_start_epoch(t->train_loader, t->epoch, order);
    free(order);
    return s;
}

/* Gradients that no step has used are dropped, as the reference does. An epoch that was interrupted goes on behind its last batch
 * with the gradients and losses of then. */
static status start_epoch(training *t, int64_t epoch)
{
    bool goes_on = epoch == t->start_epoch && t->start_step > 0;
    t->epoch = epoch;
    t->step = goes_on ? t->start_step : 0;
    t->row.epoch = epoch;
    t->row.epochs = t->epochs;
    t->watch->epoch(t->watch->state, epoch, t->schedule.o.batches);
    t->blame = REASON_DATA;
    TRY(start_loader(t));
    if (goes_on) {
        loader_skip(t->train_loader, (int)t->start_step);
        return OK;
    }
    t->means = (loss_means){0};
    return training_keeps_gradients(t) ? OK : learner_clear(t->learner);
}

static status train_epoch(training *t, speedometer *speed)
{
    const batch *b;
    status s = attend(t);
    t->blame = REASON_DATA;
    while (s == OK && (s = loader_next(t->train_loader, &b)) == OK) {
        training_progress p = {.row = &t->row, .steps = t->schedule.o.batches};
        t->blame = REASON_ERROR;
        TRY(train_batch(t, b, &p.loss));
        count_images(speed, b->count * ranks_count(t->ranks));
        p.step = t->step;
        p.images_per_s = speed->per_s;
        t->watch->progress(t->watch->state, &p);
        s = attend(t);
        t->blame = REASON_DATA;
    }
    return s == ERR_END ? OK : s;
}

static char *const *class_names(const training *t)
{
    static char *const item[] = {(char *)"item"};
    return t->o->single_cls ? item : t->request->data->names;
}

static status validate(training *t)
{
    validation v;
    text table = {0};
    t->blame = REASON_DATA;
    journal_validating(t->journal, clock_seconds(), t->epoch + 1 == t->epochs);
    status s = validator_run(t->validator, attend_in_validation, t, &v);
    if (s == OK) {
        char *const *names = class_names(t);
        memcpy(t->row.metrics, v.results, sizeof t->row.metrics);
        t->validated = true;
        if (!t->o->notest) /* --image-weights draws by them */
            memcpy(t->maps, v.maps, (size_t)t->classes * sizeof *t->maps);
        ap_print(&v.summary, names, t->classes, false, &table);
        training_validated report = {t->epoch, v.results, fitness(v.results, fitness_weights_default),
                                     text_string(&table)};
        s = text_status(&table);
        t->watch->validated(t->watch->state, &report);
        journal_validated(t->journal, &v.summary);
    }
    text_free(&table);
    validation_free(&v);
    t->blame = REASON_ERROR;
    return s;
}

static void note_epoch(const training *t)
{
    schedule_step last = schedule_at(&t->schedule, t->epoch, (t->epoch + 1) * t->schedule.o.batches - 1);
    journal_epoch(t->journal, &t->row, last.lr);
}

/* With --notest, to tell how it goes: a look that changes nothing of the training. */
static bool looks(const training *t)
{
    return t->o->notest && t->o->test_every && (t->epoch + 1) % t->o->test_every == 0;
}

static status finish_epoch(training *t)
{
    bool final = t->epoch + 1 == t->epochs;
    TRY(together_settle_gradients(t));
    if (!t->first) return OK;
    if (!t->o->notest || final || looks(t)) TRY(validate(t));
    TRY(results_append(t->results_path, &t->row));
    note_epoch(t);
    double now = fitness(t->row.metrics, fitness_weights_default);
    if (now > t->best_fitness) t->best_fitness = now;
    if (now == t->best_fitness) t->best_epoch = t->epoch;
    t->step = 0;
    if (t->o->nosave && (!final || t->request->candidate)) return OK;
    TRY(training_save(t, t->last_path, t->epoch, final));
    bool best = t->best_fitness == now && !(final && t->o->reference == REFERENCE_2020_07_20);
    return best ? training_save(t, t->best_path, t->epoch, final) : OK;
}

/* --patience, before `epoch` begins. */
static bool has_had_enough(const training *t, int64_t epoch)
{
    if (!t->o->patience || t->o->notest || epoch - 1 - t->best_epoch < t->o->patience) return false;
    log_info("No better fitness in the last %lld epochs, the best was that of epoch %lld: training ends here",
             (long long)t->o->patience, (long long)t->best_epoch);
    return true;
}

/* ---- the end ---- */

/* best.state.pt beside a stripped best.pt: its tensors for those who have no code to load the model with. */
static status keep_state(const char *best)
{
    checkpoint *c;
    text path = {0};
    TRY(checkpoint_load(best, &c));
    text_add(&path, "%.*s.state.pt", (int)(path_extension(best) - best), best);
    status s = text_status(&path);
    if (s == OK) s = checkpoint_save_state(c, text_string(&path));
    text_free(&path);
    checkpoint_destroy(&c);
    return s;
}

/* last.pt and best.pt without what only training needs, under names with --name in them unless that is a number. */
static status keep_result(const training *t, const char *path)
{
    const char *name = t->o->name;
    long long number;
    if (!fs_exists(path)) return OK;
    text renamed = {0};
    const char *extension = path_extension(path);
    text_add(&renamed, "%.*s%s%s%s", (int)(extension - path), path, *name && !text_to_long(name, &number) ? "_" : "",
             name, extension);
    status s = text_status(&renamed);
    if (s == OK && strcmp(text_string(&renamed), path) && rename(path, text_string(&renamed)))
        s = FAIL(ERR_IO, "cannot rename %s to %s", path, text_string(&renamed));
    if (s == OK && !strcmp(extension, ".pt")) s = checkpoint_strip(text_string(&renamed));
    if (s == OK && path == t->best_path) s = keep_state(text_string(&renamed));
    text_free(&renamed);
    return s;
}

static void start_journal(training *t)
{
    bool candidate = t->request->candidate;
    journal_options o = {.folder = t->request->folder, .train = t->train_data, .validation = t->val_data};
    o.tensorboard = journal_wanted(t->o->tensorboard, candidate);
    o.plots = journal_wanted(t->o->plots, candidate);
    o.names = class_names(t);
    o.classes = t->classes;
    t->journal = journal_start(&o);
}

/* The result is what counts, and is there; weights that cannot be kept are done without. */
static void keep_weights(training *t)
{
    const char *path = t->request->weights;
    status s = training_save(t, path, t->epochs - 1, true);
    if (s == OK) s = checkpoint_strip(path);
    if (s == OK) return;
    log_warning("the trained weights are not kept: %s", status_message());
    remove(path);
}

static status is_next(const training *t, int64_t epoch, bool *next)
{
    *next = epoch < t->epochs && !(t->first && has_had_enough(t, epoch));
    return epoch < t->epochs ? ranks_tell(t->ranks, next, sizeof *next) : OK;
}

static status run_epochs(training *t, training_result *out)
{
    speedometer speed = {.started = clock_seconds()};
    bool next;
    out->begun = true;
    if (t->first) start_journal(t);
    for (int64_t epoch = t->start_epoch;; epoch++) {
        TRY(is_next(t, epoch, &next));
        if (!next) break;
        TRY(start_epoch(t, epoch));
        TRY(train_epoch(t, &speed));
        TRY(finish_epoch(t));
        out->epochs++;
    }
    if (!t->first) return OK;
    journal_results(t->journal, t->results_path);
    if (t->request->weights) keep_weights(t);
    if (t->request->candidate && t->o->nosave) return OK;
    const char *const kept[] = {t->last_path, t->best_path, t->results_path};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) TRY(keep_result(t, kept[i]));
    return OK;
}

status training_run(const training_request *request, const training_watch *watch, training_result *out,
                    trainer_reason *reason)
{
    *out = (training_result){0};
    training t = {.request = request, .o = request->options, .watch = watch, .blame = REASON_ERROR};
    t.ranks = request->ranks;
    t.first = ranks_number(t.ranks) == 0;
    if (!t.first) t.watch = &nobody;
    double started = clock_seconds();
    status s = training_setup(&t);
    if (s == OK) s = run_epochs(&t, out);
    s = ranks_explain(t.ranks, s);
    out->seconds = clock_seconds() - started;
    out->best_fitness = t.best_fitness;
    out->validated = t.validated;
    memcpy(out->results, t.row.metrics, sizeof out->results);
    if (reason)
        *reason = s == ERR_NOT_FINITE ? REASON_NAN
                  : s == ERR_MEMORY   ? REASON_MEMORY
                  : s == ERR_DEVICE   ? REASON_DEVICE
                                      : t.blame;
    training_teardown(&t);
    return s;
}
