/* checkpoint_optimizer.c - reading the optimizer of a checkpoint.
 *
 * torch's optimizers number their parameters through the groups, and say nothing of names. Files of ours have them beside the
 * optimizer; in those of the reference they follow from the order in which train.py put the model's parameters into groups. */
#include <string.h>

#include "common/log.h"
#include "worker/model/model.h"
#include "worker/model/pt_model.h"
#include "worker/train/checkpoint_inner.h"

/* One slot a parameter is searched for in what the file numbers; more is no training of ours. */
enum { PARAMETERS_MOST = 1 << 14 };

/* ---- groups ---- */

static status load_group(checkpoint_reader *r, const pickle_value *v, checkpoint_optimizer *o, checkpoint_group *g)
{
    const pickle_value *betas = pickle_get(v, "betas"), *params = pickle_get(v, "params");
    o->kind = betas ? OPTIMIZER_ADAM : OPTIMIZER_SGD;
    if (!params || params->kind != PICKLE_LIST || params->count > PARAMETERS_MOST)
        return checkpoint_bad(r, "a group of the optimizer has no parameters");
    g->count = params->count;
    TRY(pt_number(r->f, pickle_get(v, "lr"), "lr", &g->lr));
    TRY(pt_number(r->f, pickle_get(v, "weight_decay"), "weight_decay", &g->weight_decay));
    TRY(pt_number(r->f, betas ? pickle_at(betas, 0) : pickle_get(v, "momentum"), "momentum", &g->momentum));
    const pickle_value *initial = pickle_get(v, "initial_lr");
    g->initial_lr = g->lr;
    return initial ? pt_number(r->f, initial, "initial_lr", &g->initial_lr) : OK;
}

/* ---- names of parameters ---- */

/* Which parameter is at which place of the optimizer: the file says so, or the order of the model's parameters in the groups. */
typedef struct places {
    const char **names;        /* `count` of them; NULL: unknown */
    const pt_tensor **tensors; /* of the model, to compare the shape with; NULL: not compared */
    size_t count;
} places;

static int group_of(const char *name)
{
    weight w = {.kind = WEIGHT_PARAMETER};
    size_t length = strlen(name);
    if (length >= sizeof w.name) return -1; /* no parameter of a model that could be made here */
    memcpy(w.name, name, length + 1);
    return model_group(&w);
}

/* The parameters of the model group by group, if there are as many in each as the optimizer has. */
static bool fill_from_model(const checkpoint_optimizer *o, const pt_state *state, places *p)
{
    size_t at = 0;
    for (int g = 0; g < UPDATE_GROUPS; g++) {
        size_t first = at;
        for (size_t i = 0; i < state->count; i++) {
            if (!state->entries[i].parameter || group_of(state->entries[i].name) != g) continue;
            if (at == p->count) return false;
            p->tensors[at] = &state->entries[i].tensor;
            p->names[at++] = state->entries[i].name;
        }
        if (at - first != o->groups[g].count) return false;
    }
    return at == p->count;
}

static bool same_shape(const pt_tensor *a, const pt_tensor *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}

/* ---- moments ---- */

/* The arrays under `key` of parameters 0, 1, ...; *fits turns false when one has another shape than its parameter. One that never had
 * a gradient has no array in a file of the reference. */
static status load_moments(checkpoint_reader *r, const pickle_value *state, const places *p, const char *key,
                           bool *fits, checkpoint_arrays *out)
{
    checkpoint_array *items;
    size_t loaded = 0;
    TRY(checkpoint_hold(r, p->count, sizeof *items, &items));
    for (size_t i = 0; i < p->count; i++) {
        pt_tensor t;
        const pickle_value *v = pickle_get(pickle_at(state, (int64_t)i), key);
        if (p->tensors && (!v || v->kind == PICKLE_NONE)) continue;
        TRY(pt_tensor_of(r->f, v, &t));
        if (t.type > PT_DOUBLE) return checkpoint_bad(r, "the optimizer's state are no floats");
        if (p->tensors && !same_shape(&t, p->tensors[i])) *fits = false;
        TRY(checkpoint_load_array(r, p->names[i], &t, &items[loaded++]));
    }
    *out = (checkpoint_arrays){items, loaded};
    return OK;
}

static status load_all_moments(checkpoint_reader *r, const pickle_value *state, const places *p, bool *fits)
{
    checkpoint_optimizer *o = &r->l->c.optimizer;
    bool adam = o->kind == OPTIMIZER_ADAM;
    TRY(load_moments(r, state, p, adam ? "exp_avg" : "momentum_buffer", fits, &o->momentum));
    o->steps = 1; /* SGD does not count them; what matters is that there were some */
    if (!adam) return OK;
    double steps = 0;
    if (p->count) TRY(pt_number(r->f, pickle_get(pickle_at(state, 0), "step"), "step", &steps));
    if (!(steps >= 0 && steps < 0x1p53)) return checkpoint_bad(r, "the number of steps is out of range");
    o->steps = (int64_t)steps;
    return load_moments(r, state, p, "exp_avg_sq", fits, &o->squares);
}

static status load_by_names(checkpoint_reader *r, const pickle_value *state, const pickle_value *names, places *p)
{
    bool fits = true;
    for (size_t i = 0; i < p->count; i++) {
        const char *name = pickle_string(pickle_at(names, (int64_t)i));
        p->names[i] = name ? name : "";
    }
    return load_all_moments(r, state, p, &fits);
}

static status load_by_order(checkpoint_reader *r, const pickle_value *state, const pickle_value *model, places *p)
{
    checkpoint *c = &r->l->c;
    pt_state parameters;
    bool fits = true;
    status s = pt_state_of(r->f, model, &parameters);
    if (s == OK) s = checkpoint_hold(r, p->count, sizeof *p->tensors, &p->tensors);
    if (s == OK) fits = fill_from_model(&c->optimizer, &parameters, p);
    if (s == OK && fits) s = load_all_moments(r, state, p, &fits);
    pt_state_free(&parameters);
    if (s != OK || fits) return s;
    log_warning("%s: its optimizer is left out: its groups of parameters are not those of the reference", r->path);
    c->optimizer = (checkpoint_optimizer){0};
    c->has_optimizer = false;
    return OK;
}

status checkpoint_load_optimizer(checkpoint_reader *r, const pickle_value *v, const pickle_value *names,
                                 const pickle_value *model)
{
    checkpoint_optimizer *o = &r->l->c.optimizer;
    const pickle_value *state = pickle_get(v, "state"), *groups = pickle_get(v, "param_groups");
    places p = {0};
    if (!state || state->kind != PICKLE_DICT || !groups || groups->kind != PICKLE_LIST ||
        groups->count != UPDATE_GROUPS)
        return checkpoint_bad(r, "an optimizer with three groups of parameters was expected");
    for (int g = 0; g < UPDATE_GROUPS; g++) {
        TRY(load_group(r, groups->items[g], o, &o->groups[g]));
        p.count += o->groups[g].count;
    }
    r->l->c.has_optimizer = true;
    if (!state->count) return OK; /* before its first step */
    TRY(checkpoint_hold(r, p.count, sizeof *p.names, &p.names));
    return names || !pt_is_module(model) ? load_by_names(r, state, names, &p) : load_by_order(r, state, model, &p);
}
