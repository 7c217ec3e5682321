/* save.c - a training to a checkpoint and back.
 *
 * What the reference keeps goes under its names: the averaged model, the optimizer, best fitness, results.txt. What going on
 * exactly as if nothing had happened needs besides goes under "mendel": the raw weights, the counts of steps and averages, the
 * length of the warm-up, the last metrics; within an epoch also its batches so far, their losses, and the gradients that wait for
 * a step, those of ranks other than 0 under "rank 1 NAME". */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/log.h"
#include "worker/train/training_inner.h"

enum { NUMBER_NAME_ROOM = 32, RANK_NAME_ROOM = TENSOR_NAME_ROOM + 16 };
#define HYP_AS_KEY(key, ...) #key,

/* ---- saving ---- */

/* Memory behind a checkpoint while it is written. */
typedef struct saver {
    float *average, *weights, *momentum, *squares, *gradients; /* arenas */
    checkpoint_array *model, *raw, *moments[2], *pending; /* one a weight; moments: one a parameter, group by group */
    checkpoint_number *numbers, hyps[HYP_COUNT];
    char *results, (*number_names)[NUMBER_NAME_ROOM], (*pending_names)[RANK_NAME_ROOM];
    size_t parameters, number_count, pending_count;
} saver;

static void saver_free(saver *s)
{
    free(s->average);
    free(s->weights);
    free(s->momentum);
    free(s->squares);
    free(s->gradients);
    free(s->model);
    free(s->raw);
    free(s->pending);
    free(s->moments[0]);
    free(s->moments[1]);
    free(s->numbers);
    free(s->number_names);
    free(s->pending_names);
    free(s->results);
}

/* A weight under its name; anchor_grid gets back the dimensions of 1 that the reference's has. */
static checkpoint_array describe(const training *t, const weight *w, const float *arena)
{
    checkpoint_array a = {.name = w->name, .rank = w->shape.rank};
    memcpy(a.shape, w->shape.dim, sizeof a.shape);
    if (w->kind == WEIGHT_COUNTER) {
        a.rank = 0;
        a.integer = t->model.batches_tracked;
        return a;
    }
    a.values = arena + w->offset;
    if (w->kind == WEIGHT_ANCHORS && strstr(w->name, "anchor_grid")) {
        const int64_t shape[] = {w->shape.dim[0], 1, w->shape.dim[1], 1, 1, 2};
        a.rank = 6;
        memcpy(a.shape, shape, sizeof shape);
    }
    return a;
}

static status read_arenas(training *t, saver *s)
{
    size_t count = (size_t)t->model.arena_count;
    TRY(array_new(&s->average, count));
    TRY(array_new(&s->weights, count));
    TRY(array_new(&s->momentum, count));
    TRY(array_new(&s->squares, count));
    TRY(learner_read(t->learner, ARENA_AVERAGE, s->average));
    TRY(learner_read(t->learner, ARENA_WEIGHTS, s->weights));
    if (t->step || training_keeps_gradients(t)) {
        TRY(array_new(&s->gradients, count));
        TRY(learner_read(t->learner, ARENA_GRADIENTS, s->gradients));
    }
    return optimizer_read(learner_optimizer(t->learner), s->momentum, s->squares);
}

static void name_pending(char name[RANK_NAME_ROOM], int rank, const char *parameter)
{
    if (rank) snprintf(name, RANK_NAME_ROOM, "rank %d %s", rank, parameter);
    else snprintf(name, RANK_NAME_ROOM, "%s", parameter);
}

/* Gradients that wait, of every rank that they are known of. */
static status list_pending(const training *t, saver *s)
{
    const model *m = &t->model;
    int known = t->pending ? ranks_count(t->ranks) : 1;
    TRY(array_new(&s->pending, m->count * (size_t)known));
    TRY(array_new(&s->pending_names, m->count * (size_t)known));
    for (int rank = 0; rank < known; rank++) {
        const float *arena = rank ? t->pending + (rank - 1) * m->arena_count : s->gradients;
        for (size_t i = 0; i < m->count; i++) {
            if (m->weights[i].kind != WEIGHT_PARAMETER) continue;
            name_pending(s->pending_names[s->pending_count], rank, m->weights[i].name);
            s->pending[s->pending_count] = describe(t, &m->weights[i], arena);
            s->pending[s->pending_count].name = s->pending_names[s->pending_count];
            s->pending_count++;
        }
    }
    return OK;
}

static status list_arrays(training *t, saver *s)
{
    const model *m = &t->model;
    TRY(array_new(&s->model, m->count));
    TRY(array_new(&s->raw, m->count));
    TRY(array_new(&s->moments[0], m->count));
    TRY(array_new(&s->moments[1], m->count));
    for (size_t i = 0; i < m->count; i++) {
        s->model[i] = describe(t, &m->weights[i], s->average);
        s->raw[i] = describe(t, &m->weights[i], s->weights);
    }
    for (int group = 0; group < UPDATE_GROUPS; group++)
        for (size_t i = 0; i < m->count; i++) {
            if (m->weights[i].kind != WEIGHT_PARAMETER || model_group(&m->weights[i]) != group) continue;
            s->moments[0][s->parameters] = describe(t, &m->weights[i], s->momentum);
            s->moments[1][s->parameters] = describe(t, &m->weights[i], s->squares);
            s->parameters++;
        }
    return s->gradients ? list_pending(t, s) : OK;
}

/* Counts, each with where it is in a training: what is saved is what is restored. */
static const struct {
    const char *name;
    size_t offset; /* of an int64_t */
} count_rows[] = {
    {"averages", offsetof(training, averages)},     {"batches_tracked", offsetof(training, model.batches_tracked)},
    {"targets", offsetof(training, row.targets)},   {"img_size", offsetof(training, row.img_size)},
    {"best_epoch", offsetof(training, best_epoch)},
};
enum { COUNT_ROWS = sizeof count_rows / sizeof *count_rows };

static void add_number(saver *s, const char *name, int index, double value)
{
    size_t at = s->number_count++;
    snprintf(s->number_names[at], sizeof *s->number_names, index < 0 ? "%s" : "%s%d", name, index);
    s->numbers[at] = (checkpoint_number){s->number_names[at], value};
}

static status list_numbers(const training *t, saver *s)
{
    enum { SINGLE = 5 };
    size_t room = COUNT_ROWS + SINGLE + LOSS_ITEMS + RESULT_COUNT + (size_t)t->classes;
    TRY(array_new(&s->numbers, room));
    TRY(array_new(&s->number_names, room));
    for (int i = 0; i < COUNT_ROWS; i++)
        add_number(s, count_rows[i].name, -1, (double)*(const int64_t *)((const char *)t + count_rows[i].offset));
    add_number(s, "updates", -1, (double)optimizer_steps(learner_optimizer(t->learner)));
    add_number(s, "warmup", -1, t->schedule.warmup);
    add_number(s, "validated", -1, t->validated);
    add_number(s, "step", -1, (double)t->step);
    add_number(s, "ranks", -1, ranks_count(t->ranks));
    for (int i = 0; i < LOSS_ITEMS; i++) add_number(s, "loss", i, (double)t->means.items[i]);
    for (int i = 0; i < RESULT_COUNT; i++) add_number(s, "result", i, t->row.metrics[i]);
    for (int i = 0; i < t->classes; i++) add_number(s, "map", i, t->maps[i]);
    return OK;
}

/* As the reference's model carries them: the decay and the class gain as the loop uses them. */
static void list_hyps(const training *t, saver *s)
{
    static const char *const keys[HYP_COUNT] = {HYP_SPACE(HYP_AS_KEY)};
    for (int i = 0; i < HYP_COUNT; i++) s->hyps[i] = (checkpoint_number){keys[i], t->request->hyps[i]};
    s->hyps[HYP_weight_decay].value = t->schedule.weight_decay;
    s->hyps[HYP_cls].value *= t->classes / 80.0;
}

static checkpoint_optimizer describe_optimizer(const training *t, const saver *s, int64_t epoch)
{
    int64_t last = (epoch + 1) * t->schedule.o.batches + t->step - 1;
    if (t->step) epoch++;
    schedule_step step = schedule_at(&t->schedule, epoch > 0 ? epoch : 0, last > 0 ? last : 0);
    checkpoint_optimizer o = {.kind = t->schedule.o.optimizer, .steps = optimizer_steps(learner_optimizer(t->learner))};
    for (int group = 0; group < UPDATE_GROUPS; group++) {
        checkpoint_group *g = &o.groups[group];
        g->lr = step.lr[group];
        g->initial_lr = t->schedule.o.lr0;
        g->weight_decay = group == 1 ? t->schedule.weight_decay : 0;
        g->momentum = step.momentum;
        for (size_t i = 0; i < t->model.count; i++)
            g->count += t->model.weights[i].kind == WEIGHT_PARAMETER && model_group(&t->model.weights[i]) == group;
    }
    bool begun = o.steps > 0;
    o.momentum = (checkpoint_arrays){s->moments[0], begun ? s->parameters : 0};
    if (o.kind == OPTIMIZER_ADAM) o.squares = (checkpoint_arrays){s->moments[1], begun ? s->parameters : 0};
    return o;
}

static status write_checkpoint(training *t, saver *s, const char *path, int64_t epoch, bool final)
{
    static const char *const item[] = {"item"};
    size_t length;
    TRY(read_arenas(t, s));
    TRY(list_arrays(t, s));
    TRY(list_numbers(t, s));
    list_hyps(t, s);
    if (fs_exists(t->results_path)) TRY(fs_read(t->results_path, 0, &s->results, &length));
    const checkpoint_text texts[] = {{"version", MENDEL_VERSION}, {"precision", precision_name(t->precision)}};
    checkpoint c = {
        .epoch = epoch,
        .best_fitness = t->best_fitness,
        .training_results = s->results,
        .yaml = t->model.config.text,
        .names = t->o->single_cls ? item : (const char *const *)t->request->data->names,
        .heads = model_heads(&t->model),
        .hyps = s->hyps,
        .hyp_count = HYP_COUNT,
        .network = &t->model,
        .model = {s->model, t->model.count},
        .has_optimizer = !final,
        .has_progress = !final,
        .weights = {s->raw, t->model.count},
        .arrays = {s->pending, final ? 0 : s->pending_count},
        .numbers = s->numbers,
        .number_count = s->number_count,
        .texts = texts,
        .text_count = sizeof texts / sizeof *texts,
    };
    if (!final) c.optimizer = describe_optimizer(t, s, epoch);
    return checkpoint_save(&c, path);
}

status training_save(training *t, const char *path, int64_t epoch, bool final)
{
    saver s = {0};
    status result = write_checkpoint(t, &s, path, epoch, final);
    saver_free(&s);
    return result;
}

/* ---- loading ---- */

static int64_t count_of(const checkpoint_array *a)
{
    int64_t count = 1;
    for (int i = 0; i < a->rank; i++) count *= a->shape[i];
    return count;
}

/* Do the shapes agree, dimensions of 1 aside in the anchors? */
static bool fits(const weight *w, const checkpoint_array *a)
{
    if (w->kind == WEIGHT_COUNTER) return !a->values;
    if (!a->values || count_of(a) != shape_count(&w->shape)) return false;
    if (w->kind == WEIGHT_ANCHORS) return true;
    if (a->rank != w->shape.rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != w->shape.dim[i]) return false;
    return true;
}

void model_take_weights(model *m, const checkpoint *c, bool anchors, const char *path)
{
    size_t transferred = 0;
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        const checkpoint_array *a = checkpoint_find(&c->model, w->name);
        if (!a || !fits(w, a) || (!anchors && strstr(w->name, "anchor"))) continue;
        if (w->kind == WEIGHT_COUNTER) m->batches_tracked = a->integer;
        else memcpy(m->arena + w->offset, a->values, (size_t)shape_count(&w->shape) * sizeof(float));
        transferred++;
    }
    log_info("Transferred %zu/%zu items from %s", transferred, m->count, path);
}

/* Every array of a list that the model has, into an arena. A model for other classes takes what fits, but cannot go on. */
static status gather(const training *t, const checkpoint_arrays *from, bool all, float *arena)
{
    for (size_t i = 0; i < t->model.count; i++) {
        const weight *w = &t->model.weights[i];
        const checkpoint_array *a = checkpoint_find(from, w->name);
        if (w->kind == WEIGHT_COUNTER || (!a && !all)) continue;
        if ((!a || !fits(w, a)) && !t->request->resume) continue;
        if (!a || !fits(w, a)) return FAIL(ERR_FORMAT, "%s: %s does not fit the model", t->o->weights, w->name);
        memcpy(arena + w->offset, a->values, (size_t)shape_count(&w->shape) * sizeof(float));
    }
    return OK;
}

/* A whole number that the file has, or what stands at `to`. */
static status restore_count(const training *t, const checkpoint *c, const char *name, int64_t *to)
{
    double value = checkpoint_get_number(c, name, (double)*to);
    if (!(value >= 0 && value < 0x1p53))
        return FAIL(ERR_FORMAT, "%s: %s is %g, a count was expected", t->o->weights, name, value);
    *to = (int64_t)value;
    return OK;
}

static status restore_optimizer(training *t, const checkpoint *c, float *momentum, float *squares)
{
    const checkpoint_optimizer *o = &c->optimizer;
    if (o->kind != t->schedule.o.optimizer)
        return FAIL(ERR_ARGUMENT, "%s was trained with %s: %s --adam", t->o->weights,
                    o->kind == OPTIMIZER_ADAM ? "Adam" : "SGD", o->kind == OPTIMIZER_ADAM ? "give" : "leave out");
    TRY(gather(t, &o->momentum, false, momentum));
    TRY(gather(t, &o->squares, false, squares));
    int64_t updates = o->steps;
    TRY(restore_count(t, c, "updates", &updates));
    return optimizer_write(learner_optimizer(t->learner), updates, momentum, squares);
}

static void restore_list(const checkpoint *c, const char *name, int count, double *to)
{
    char numbered[NUMBER_NAME_ROOM];
    for (int i = 0; i < count; i++) {
        snprintf(numbered, sizeof numbered, "%s%d", name, i);
        to[i] = checkpoint_get_number(c, numbered, 0);
    }
}

static status restore_numbers(training *t, const checkpoint *c)
{
    int64_t validated = 0;
    for (int i = 0; i < COUNT_ROWS; i++)
        TRY(restore_count(t, c, count_rows[i].name, (int64_t *)((char *)t + count_rows[i].offset)));
    TRY(restore_count(t, c, "validated", &validated));
    t->validated = validated;
    restore_list(c, "result", RESULT_COUNT, t->row.metrics);
    restore_list(c, "map", t->classes, t->maps);
    return OK;
}

/* A rank's own; where their number has changed rank 0 takes all of them. */
static status gather_pending(const training *t, const checkpoint *c, float *arena)
{
    int64_t saved = 1, number = ranks_number(t->ranks), last = number;
    TRY(restore_count(t, c, "ranks", &saved));
    if (saved < 1 || saved > TEAM_RANKS)
        return FAIL(ERR_FORMAT, "%s: it was saved by %lld ranks", t->o->weights, (long long)saved);
    memset(arena, 0, (size_t)t->model.arena_count * sizeof *arena);
    if (saved != ranks_count(t->ranks)) last = number ? -1 : saved - 1;
    for (int64_t rank = number; rank <= last; rank++)
        for (size_t i = 0; i < t->model.count; i++) {
            char name[RANK_NAME_ROOM];
            const weight *w = &t->model.weights[i];
            name_pending(name, (int)rank, w->name);
            const checkpoint_array *a = w->kind == WEIGHT_PARAMETER ? checkpoint_find(&c->arrays, name) : NULL;
            if (!a) continue;
            if (!fits(w, a)) return FAIL(ERR_FORMAT, "%s: %s does not fit the model", t->o->weights, name);
            float *to = arena + w->offset;
            int64_t count = shape_count(&w->shape);
            if (rank == number) memcpy(to, a->values, (size_t)count * sizeof *to);
            else
                for (int64_t k = 0; k < count; k++) to[k] += a->values[k];
        }
    return OK;
}

/* What only a training that goes on where it was needs: the rest of its warm-up, and the epoch that was interrupted. */
static status restore_place(training *t, const checkpoint *c, float *arena)
{
    double losses[LOSS_ITEMS];
    const char *precision = checkpoint_get_text(c, "precision");
    if (precision && strcmp(precision, precision_name(t->precision)))
        log_warning("%s was trained in %s and goes on in %s", t->o->weights, precision, precision_name(t->precision));
    t->schedule.warmup = checkpoint_get_number(c, "warmup", t->schedule.warmup);
    TRY(restore_count(t, c, "step", &t->start_step));
    if (!t->start_step && !training_keeps_gradients(t)) return OK;
    if (t->start_step > t->schedule.o.batches)
        return FAIL(ERR_ARGUMENT,
                    "%s was saved after batch %lld of an epoch that has %lld now: the data set is not the same",
                    t->o->weights, (long long)t->start_step, (long long)t->schedule.o.batches);
    restore_list(c, "loss", LOSS_ITEMS, losses);
    t->means.batches = t->start_step;
    for (int i = 0; t->start_step && i < LOSS_ITEMS; i++) t->row.losses[i] = t->means.items[i] = (float)losses[i];
    TRY(gather_pending(t, c, arena));
    return learner_write(t->learner, ARENA_GRADIENTS, arena);
}

static status restore_all(training *t, const checkpoint *c, float *arena, float *squares)
{
    TRY(restore_optimizer(t, c, arena, squares));
    if (!c->has_progress) return OK;
    TRY(restore_numbers(t, c));
    memcpy(arena, t->model.arena, (size_t)t->model.arena_count * sizeof *arena);
    TRY(gather(t, &c->weights, true, arena));
    TRY(learner_write(t->learner, ARENA_WEIGHTS, arena));
    return t->request->resume ? restore_place(t, c, arena) : OK;
}

status training_restore(training *t, const checkpoint *c)
{
    float *arena = NULL, *squares = NULL;
    status s = array_new(&arena, (size_t)t->model.arena_count);
    if (s == OK) s = array_new(&squares, (size_t)t->model.arena_count);
    if (s == OK) s = restore_all(t, c, arena, squares);
    free(arena);
    free(squares);
    return s;
}
