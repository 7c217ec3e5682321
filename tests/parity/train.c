/* train/: whole trainings with given batches, the update rules alone, parameter groups. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/parity/checkpoints.h"
#include "tests/parity/network.h"
#include "worker/loss/detection.h"
#include "worker/train/learner.h"
#include "worker/train/schedule.h"

/* ---- what the settings say ---- */

static bool read_schedule(parity *p, const yaml_node *about, schedule *s, double hyps[HYP_COUNT])
{
    const yaml_node *hyp = json_get(p, about, "hyp");
    const char *kind = json_string(p, about, "optimizer");
    bool adam = !strcmp(kind, "adam");
    hyp_space space;
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyps);
    for (size_t i = 0; hyp && i < hyp->count; i++) {
        int row = hyp_find(&space, yaml_string(&hyp->keys[i]));
        if (row < 0) case_fail(p, "unknown hyperparameter %s", yaml_string(&hyp->keys[i]));
        else hyps[row] = json_number(p, &hyp->items[i]);
    }
    if (!adam && strcmp(kind, "sgd")) case_fail(p, "unknown optimizer %s", kind);
    schedule_options o = {
        .optimizer = adam ? OPTIMIZER_ADAM : OPTIMIZER_SGD,
        .lr0 = hyps[HYP_lr0],
        .lrf = hyps[HYP_lrf],
        .momentum = hyps[HYP_momentum],
        .weight_decay = hyps[HYP_weight_decay],
        .epochs = json_int(p, about, "epochs"),
        .batches = json_int(p, about, "batches_per_epoch"),
        .batch_size = json_int(p, about, "total_batch_size"),
    };
    if (o.epochs < 1 || o.batches < 1 || o.batch_size < 1)
        case_fail(p, "epochs, batches and batch size above 0 were expected");
    if (case_failed(p)) return false;
    schedule_start(&o, s);
    s->warmup = json_double(p, about, "warmup_iterations_nw");
    case_number(p, "weight decay", s->weight_decay, json_double(p, about, "weight_decay_in_the_loop"), EXACT);
    return true;
}

/* The recorded rates, momentum and steps of an iteration. */
static void check_step(parity *p, const yaml_node *row, const schedule_step *step, bool adam, int64_t averages)
{
    size_t count;
    const double *lr = json_numbers(p, json_get(p, row, "lr"), &count);
    if (case_int(p, "groups", UPDATE_GROUPS, (int64_t)count)) case_numbers(p, "lr", step->lr, lr, count, EXACT);
    if (!adam) case_number(p, "momentum", step->momentum, json_double(p, row, "momentum"), EXACT);
    case_number(p, "accumulate", (double)step->accumulate, json_double(p, row, "accumulate"), EXACT);
    case_int(p, "optimizer_step", step->update, json_bool(p, row, "optimizer_step"));
    case_int(p, "ema_updates_before", averages, json_int(p, row, "ema_updates_before"));
}

/* ---- whole trainings ---- */

typedef struct given_batches {
    const npy *images, *targets; /* (batches, images, 3, h, w) uint8; (batches, rows, 6) */
    int images_per_batch, height, width, rows;
    float *pixels;
} given_batches;

static bool read_batches(parity *p, given_batches *b)
{
    b->images = parity_npy(p, "train/images.npy");
    b->targets = parity_npy(p, "train/targets.npy");
    if (!b->images || !b->targets || b->images->shape.rank != 5 || b->targets->shape.rank != 3 || !b->images->u) {
        case_fail(p, "images (n, images, 3, h, w) of uint8 and targets (n, rows, 6) were expected");
        return false;
    }
    b->images_per_batch = (int)b->images->shape.dim[1];
    b->height = (int)b->images->shape.dim[3];
    b->width = (int)b->images->shape.dim[4];
    b->rows = (int)b->targets->shape.dim[1];
    b->pixels = parity_alloc(p, b->images->count / (size_t)b->images->shape.dim[0] * sizeof(float));
    return true;
}

static learner_batch batch_at(const given_batches *b, int64_t index)
{
    size_t pixels = b->images->count / (size_t)b->images->shape.dim[0];
    for (size_t i = 0; i < pixels; i++) b->pixels[i] = (float)b->images->u[(size_t)index * pixels + i] / 255.0f;
    learner_batch batch = {.pixels = b->pixels, .images = b->images_per_batch, .height = b->height, .width = b->width};
    batch.targets = b->targets->f + index * b->rows * 6;
    batch.target_count = b->rows;
    return batch;
}

typedef struct tolerances {
    double loss_first, loss_after, weights; /* relative */
    int64_t first;                          /* iterations that loss_first is for */
} tolerances;

/* golden/README: two float32 runs of the reference that differ only in the order of summation. */
static const tolerances sgd_tolerances = {1e-5, 1e-3, 1e-3, 15}, adam_tolerances = {1.8e-3, 1.2e-2, 1.2e-2, 10};

static bool train_epochs(parity *p, learner *l, const schedule *s, const given_batches *b, const yaml_node *rows,
                         const float *want, const tolerances *t)
{
    int64_t averages = 0, iteration = 0;
    bool adam = s->o.optimizer == OPTIMIZER_ADAM;
    for (int64_t epoch = 0; epoch < s->o.epochs; epoch++) {
        if (!case_ok(p, "clear", learner_clear(l))) return false;
        for (int64_t i = 0; i < s->o.batches; i++, iteration++) {
            schedule_step step = schedule_at(s, epoch, iteration);
            learner_batch batch = batch_at(b, i);
            float items[LOSS_ITEMS], scalars[UPDATE_COUNT];
            check_step(p, &rows->items[iteration], &step, adam, averages);
            if (!case_ok(p, "step", learner_run(l, &batch, items))) return false;
            double allowed = iteration < t->first ? t->loss_first : t->loss_after;
            if (!case_floats(p, parity_name(p, "loss of iteration %lld", (long long)iteration), items,
                             want + iteration * LOSS_ITEMS, LOSS_ITEMS, (tolerance){.rel_l2 = allowed}))
                return false;
            if (!step.update) continue;
            averages++;
            schedule_scalars(s, &step, optimizer_steps(learner_optimizer(l)) + 1, averages, scalars);
            if (!case_ok(p, "update", learner_update(l, scalars))) return false;
        }
    }
    return true;
}

static void run_training(parity *p, const char *folder, const yaml_node *about)
{
    schedule s;
    double hyps[HYP_COUNT];
    given_batches b;
    model m = {0};
    device *d = NULL;
    learner *l = NULL;
    const backend_ops *ops = parity_backend(p, &d);
    const npy *want = parity_npy(p, "%s/loss_items.npy", folder);
    const yaml_node *rows = json_get(p, about, "iterations");
    const char *source = json_string(p, about, "model"); /* "model/nano (fp32 weights)" */
    const char *name = parity_name(p, "%.*s", (int)strcspn(source, " "), source);
    if (!ops || !want || !rows || !read_schedule(p, about, &s, hyps) || !read_batches(p, &b)) return;
    if (rows->count != (size_t)(s.o.epochs * s.o.batches) || want->count != rows->count * LOSS_ITEMS ||
        b.images->shape.dim[0] < s.o.batches) {
        case_fail(p, "iterations, losses and batches do not agree in number");
        return;
    }
    if (!network_model(p, strrchr(name, '/') ? strrchr(name, '/') + 1 : name, &m)) return;
    learner_options o = {.precision = PRECISION_FP32, .kind = s.o.optimizer, .target_room = b.rows};
    detect_parameters heads = model_heads(&m);
    loss_parameters_from(hyps, &heads, &o.loss);
    case_number(p, "class gain", (double)o.loss.cls_gain, json_double(p, about, "cls_gain_in_the_loop"),
                (tolerance){.rel = 1e-6});
    const tolerances *t = o.kind == OPTIMIZER_ADAM ? &adam_tolerances : &sgd_tolerances;
    if (case_ok(p, "learner", learner_create(ops, d, &m, &o, &l)) && train_epochs(p, l, &s, &b, rows, want->f, t)) {
        case_int(p, "updates", optimizer_steps(learner_optimizer(l)), json_int(p, about, "optimizer_updates"));
        float *state = parity_alloc(p, (size_t)m.arena_count * sizeof *state);
        if (case_ok(p, "weights", learner_read(l, ARENA_WEIGHTS, state)))
            network_check_samples(p, &m, state, parity_name(p, "%s/final_weights", folder), 0, t->weights);
        if (case_ok(p, "average", learner_read(l, ARENA_AVERAGE, state)))
            network_check_samples(p, &m, state, parity_name(p, "%s/final_ema", folder), 0, t->weights);
    }
    learner_destroy(&l);
    model_free(&m);
}

/* ---- the update rules alone ---- */

static int group_of(parity *p, const yaml_node *groups, const char *name)
{
    weight w = {.kind = WEIGHT_PARAMETER};
    strncpy(w.name, name, sizeof w.name - 1);
    int group = model_group(&w);
    bool listed = false;
    for (size_t i = 0; groups && (size_t)group < groups->count && i < groups->items[group].count; i++)
        listed |= !strcmp(yaml_string(&groups->items[group].items[i]), name);
    if (!listed) case_fail(p, "%s is in group %d", name, group);
    return group;
}

typedef struct update_arrays {
    const npy *c, *t, *before, *start, *final, *average;
    size_t values; /* all rows together */
} update_arrays;

static bool read_arrays(parity *p, const char *folder, int64_t iterations, update_arrays *a)
{
    *a = (update_arrays){0};
    a->c = parity_npy(p, "%s/c.npy", folder);
    a->t = parity_npy(p, "%s/t.npy", folder);
    a->before = parity_npy(p, "%s/p_before_iteration.npy", folder);
    a->start = parity_npy(p, "%s/p0.npy", folder);
    a->final = parity_npy(p, "%s/p_final.npy", folder);
    a->average = parity_npy(p, "%s/ema_final.npy", folder);
    if (!a->c || !a->t || !a->before || !a->start || !a->final || !a->average) return false;
    a->values = a->start->count;
    size_t all = a->values * (size_t)iterations;
    bool fits = a->c->count == all && a->t->count == all && a->before->count == all && a->final->count == a->values &&
                a->average->count == a->values;
    if (!fits) case_fail(p, "arrays of the update do not agree in size");
    return fits;
}

typedef struct update_bench {
    const backend_ops *ops;
    buffer *weights, *gradients, *average;
    optimizer *o;
} update_bench;

static bool start_update(parity *p, update_bench *u, device *d, optimizer_kind kind, const update_segment *segments,
                         int count, const update_arrays *a)
{
    size_t bytes = a->values * sizeof(float);
    optimizer_options o = {.kind = kind,
                           .segments = segments,
                           .segment_count = count,
                           .arena_count = (int64_t)a->values};
    bool good = case_ok(p, "buffer", u->ops->buffer_create(d, bytes, &u->weights)) &&
                case_ok(p, "buffer", u->ops->buffer_create(d, bytes, &u->gradients)) &&
                case_ok(p, "buffer", u->ops->buffer_create(d, bytes, &u->average)) &&
                case_ok(p, "weights", u->ops->buffer_write(u->weights, 0, a->start->f, bytes)) &&
                case_ok(p, "average", u->ops->buffer_write(u->average, 0, a->start->f, bytes));
    o.weights = u->weights;
    o.gradients = u->gradients;
    o.average = u->average;
    return good && case_ok(p, "optimizer", optimizer_create(u->ops, d, &o, &u->o));
}

/* Gradients of sum .5 c (p - t)^2 added up, a step where the schedule has one. */
static bool update_epochs(parity *p, update_bench *u, const schedule *s, const update_arrays *a, const yaml_node *rows)
{
    size_t bytes = a->values * sizeof(float);
    float *now = parity_alloc(p, bytes), *gradients = parity_alloc(p, bytes);
    int64_t averages = 0, iteration = 0;
    for (int64_t epoch = 0; epoch < s->o.epochs; epoch++) {
        memset(gradients, 0, bytes);
        for (int64_t i = 0; i < s->o.batches; i++, iteration++) {
            schedule_step step = schedule_at(s, epoch, iteration);
            check_step(p, &rows->items[iteration], &step, s->o.optimizer == OPTIMIZER_ADAM, averages);
            if (!case_ok(p, "read", u->ops->buffer_read(u->weights, 0, now, bytes))) return false;
            const size_t first = (size_t)iteration * a->values;
            if (!case_floats(p, parity_name(p, "weights before iteration %lld", (long long)iteration), now,
                             a->before->f + first, a->values, (tolerance){.rel_l2 = 1e-5}))
                return false;
            for (size_t k = 0; k < a->values; k++) gradients[k] += a->c->f[first + k] * (now[k] - a->t->f[first + k]);
            if (!step.update) continue;
            float scalars[UPDATE_COUNT];
            averages++;
            schedule_scalars(s, &step, optimizer_steps(u->o) + 1, averages, scalars);
            if (!case_ok(p, "gradients", u->ops->buffer_write(u->gradients, 0, gradients, bytes)) ||
                !case_ok(p, "update", optimizer_step(u->o, scalars)))
                return false;
            memset(gradients, 0, bytes);
        }
    }
    if (case_ok(p, "read", u->ops->buffer_read(u->weights, 0, now, bytes)))
        case_floats(p, "p_final", now, a->final->f, a->values, (tolerance){.rel_l2 = 1e-5});
    if (case_ok(p, "read", u->ops->buffer_read(u->average, 0, now, bytes)))
        case_floats(p, "ema_final", now, a->average->f, a->values, (tolerance){.rel_l2 = 1e-5});
    return true;
}

static void run_updates(parity *p, const char *folder, const yaml_node *about)
{
    schedule s;
    double hyps[HYP_COUNT];
    update_arrays a;
    device *d = NULL;
    update_bench u = {.ops = parity_backend(p, &d)};
    const yaml_node *names = json_get(p, about, "rows"), *rows = json_get(p, about, "iterations");
    if (!u.ops || !names || !rows || !read_schedule(p, about, &s, hyps)) return;
    if (!case_int(p, "iterations", (int64_t)rows->count, s.o.epochs * s.o.batches)) return;
    if (!read_arrays(p, folder, (int64_t)rows->count, &a) || a.values % names->count) return;
    int64_t each = (int64_t)(a.values / names->count);
    update_segment *segments = parity_alloc(p, names->count * sizeof *segments);
    for (size_t i = 0; i < names->count; i++)
        segments[i] = (update_segment){(int64_t)i * each, each,
                                       group_of(p, json_get(p, about, "groups"), yaml_string(&names->items[i]))};
    if (start_update(p, &u, d, s.o.optimizer, segments, (int)names->count, &a)) update_epochs(p, &u, &s, &a, rows);
    optimizer_destroy(&u.o);
    u.ops->buffer_destroy(&u.weights);
    u.ops->buffer_destroy(&u.gradients);
    u.ops->buffer_destroy(&u.average);
}

/* ---- groups ---- */

/* The recorded names are those of the model that the trainings start from; the first one that has them all. */
static void run_groups(parity *p)
{
    const yaml_node *file = parity_json(p, "train/param_groups.json"),
                    *groups = file ? json_get(p, file, "groups") : NULL;
    if (!groups) return;
    case_start(p, "train/param_groups");
    const yaml_node *about = parity_json(p, "train/sgd/iterations.json");
    const char *source = about ? json_string(p, about, "model") : "";
    const char *path = parity_name(p, "%.*s", (int)strcspn(source, " "), source);
    model m;
    size_t at[UPDATE_GROUPS] = {0};
    if (network_model(p, strrchr(path, '/') ? strrchr(path, '/') + 1 : path, &m))
        for (size_t i = 0; i < m.count; i++) {
            if (m.weights[i].kind != WEIGHT_PARAMETER) continue;
            int group = model_group(&m.weights[i]);
            const yaml_node *list = &groups->items[group];
            if (at[group] >= list->count || strcmp(yaml_string(&list->items[at[group]++]), m.weights[i].name))
                case_fail(p, "%s is not the next in group %d", m.weights[i].name, group);
        }
    for (size_t g = 0; g < groups->count && g < UPDATE_GROUPS; g++)
        case_int(p, "names in a group", (int64_t)at[g], (int64_t)groups->items[g].count);
    model_free(&m);
    case_end(p);
}

void parity_train(parity *p)
{
    run_groups(p);
    const fs_names *inside = parity_list(p, "train");
    for (size_t i = 0; i < inside->count; i++) {
        const char *folder = parity_name(p, "train/%s", inside->names[i]);
        if (!strcmp(inside->names[i], "checkpoint")) {
            checkpoints_training(p, folder);
            continue;
        }
        const char *path = parity_name(p, "%s/iterations.json", folder);
        if (!parity_has(p, path)) continue;
        const yaml_node *about = parity_json(p, path);
        case_start(p, "%s", folder);
        if (about && yaml_get(about, "rows")) run_updates(p, folder, about);
        else if (about) run_training(p, folder, about);
        case_end(p);
    }
}
