/* checkpoint_load.c - reading checkpoints, with everything in them checked. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "worker/model/pt.h"
#include "worker/train/checkpoint.h"

/* One slot a parameter is searched for in what the file numbers; more is no training of ours. */
enum { PARAMETERS_MOST = 1 << 14, CLASSES_MOST = 100000 };

/* A checkpoint that owns what it points to. `c` comes first: its address is that of the whole. */
typedef struct loaded {
    checkpoint c;
    void **memory;
    size_t memory_count, memory_room;
} loaded;

typedef struct loader {
    const char *path;
    pt_file *f;
    loaded *l;
} loader;

static status bad(const loader *r, const char *what)
{
    return FAIL(ERR_FORMAT, "%s is no checkpoint that training can go on from: %s", r->path, what);
}

/* `count` times `size` bytes of zeros that belong to the checkpoint. */
static status hold(loader *r, size_t count, size_t size, void *out)
{
    TRY(array_room(&r->l->memory, &r->l->memory_room, r->l->memory_count + 1));
    void *memory;
    TRY(array_create(&memory, count, size));
    r->l->memory[r->l->memory_count++] = memory;
    memcpy(out, &memory, sizeof memory);
    return OK;
}

static status hold_text(loader *r, const char *value, const char **out)
{
    char *copy;
    TRY(hold(r, strlen(value) + 1, 1, &copy));
    strcpy(copy, value);
    *out = copy;
    return OK;
}

/* ---- arrays ---- */

static status load_array(loader *r, const char *name, const pt_tensor *t, checkpoint_array *out)
{
    if (t->rank > TENSOR_RANK) return bad(r, "a tensor has too many dimensions");
    TRY(hold_text(r, name, &out->name));
    out->rank = t->rank;
    memcpy(out->shape, t->shape, (size_t)t->rank * sizeof *out->shape);
    if (t->type > PT_DOUBLE && t->rank == 0) return pt_read_ints(r->f, t, &out->integer);
    float *values;
    TRY(hold(r, (size_t)t->count, sizeof *values, &values));
    out->values = values;
    return pt_read(r->f, t, values);
}

static status load_state(loader *r, const pt_state *state, checkpoint_arrays *out)
{
    checkpoint_array *items;
    TRY(hold(r, state->count, sizeof *items, &items));
    *out = (checkpoint_arrays){items, state->count};
    for (size_t i = 0; i < state->count; i++)
        TRY(load_array(r, state->entries[i].name, &state->entries[i].tensor, &items[i]));
    return OK;
}

static status load_arrays(loader *r, const pickle_value *model, checkpoint_arrays *out)
{
    pt_state state;
    status s = pt_state_of(r->f, model, &state);
    if (s == OK) s = load_state(r, &state, out);
    pt_state_free(&state);
    return s;
}

/* ---- the optimizer ---- */

static status load_group(loader *r, const pickle_value *v, checkpoint_optimizer *o, checkpoint_group *g)
{
    const pickle_value *betas = pickle_get(v, "betas"), *params = pickle_get(v, "params");
    o->kind = betas ? OPTIMIZER_ADAM : OPTIMIZER_SGD;
    if (!params || params->kind != PICKLE_LIST || params->count > PARAMETERS_MOST)
        return bad(r, "a group of the optimizer has no parameters");
    g->count = params->count;
    TRY(pt_number(r->f, pickle_get(v, "lr"), "lr", &g->lr));
    TRY(pt_number(r->f, pickle_get(v, "weight_decay"), "weight_decay", &g->weight_decay));
    TRY(pt_number(r->f, betas ? pickle_at(betas, 0) : pickle_get(v, "momentum"), "momentum", &g->momentum));
    const pickle_value *initial = pickle_get(v, "initial_lr");
    g->initial_lr = g->lr;
    return initial ? pt_number(r->f, initial, "initial_lr", &g->initial_lr) : OK;
}

/* The arrays under `key` of parameters 0, 1, ...; their names come from us, or are "" in a file of the reference. */
static status load_moments(loader *r, const pickle_value *state, const pickle_value *names, const char *key,
                           size_t count, checkpoint_arrays *out)
{
    checkpoint_array *items;
    TRY(hold(r, count, sizeof *items, &items));
    for (size_t i = 0; i < count; i++) {
        pt_tensor t;
        const char *name = pickle_string(pickle_at(names, (int64_t)i));
        TRY(pt_tensor_of(r->f, pickle_get(pickle_at(state, (int64_t)i), key), &t));
        if (t.type > PT_DOUBLE) return bad(r, "the optimizer's state are no floats");
        TRY(load_array(r, name ? name : "", &t, &items[i]));
    }
    *out = (checkpoint_arrays){items, count};
    return OK;
}

static status load_optimizer(loader *r, const pickle_value *v, const pickle_value *names)
{
    checkpoint_optimizer *o = &r->l->c.optimizer;
    const pickle_value *state = pickle_get(v, "state"), *groups = pickle_get(v, "param_groups");
    if (!state || state->kind != PICKLE_DICT || !groups || groups->kind != PICKLE_LIST ||
        groups->count != UPDATE_GROUPS)
        return bad(r, "an optimizer with three groups of parameters was expected");
    size_t count = 0;
    for (int g = 0; g < UPDATE_GROUPS; g++) {
        TRY(load_group(r, groups->items[g], o, &o->groups[g]));
        count += o->groups[g].count;
    }
    r->l->c.has_optimizer = true;
    if (!state->count) return OK; /* before its first step */
    bool adam = o->kind == OPTIMIZER_ADAM;
    TRY(load_moments(r, state, names, adam ? "exp_avg" : "momentum_buffer", count, &o->momentum));
    if (!adam) return OK;
    double steps = 0;
    if (count) TRY(pt_number(r->f, pickle_get(pickle_at(state, 0), "step"), "step", &steps));
    if (!(steps >= 0 && steps < 0x1p53)) return bad(r, "the number of steps is out of range");
    o->steps = (int64_t)steps;
    return load_moments(r, state, names, "exp_avg_sq", count, &o->squares);
}

/* ---- heads ---- */

static bool fits(const pickle_value *list, size_t least, size_t most)
{
    return list && list->kind == PICKLE_LIST && list->count >= least && list->count <= most;
}

static status load_names(loader *r, const pickle_value *list)
{
    const char **names;
    TRY(hold(r, list->count, sizeof *names, &names));
    for (size_t i = 0; i < list->count; i++) {
        const char *name = pickle_string(list->items[i]);
        if (!name) return bad(r, "a class has no name");
        TRY(hold_text(r, name, &names[i]));
    }
    r->l->c.names = names;
    return OK;
}

static status load_heads(loader *r, const pickle_value *root)
{
    const pickle_value *strides = pickle_get(root, "stride"), *anchors = pickle_get(root, "anchors");
    const pickle_value *names = pickle_get(root, "names");
    detect_parameters *d = &r->l->c.heads;
    int64_t classes;
    if (!anchors) return OK;
    if (!pickle_int(pickle_get(root, "nc"), &classes) || classes < 1 || classes > CLASSES_MOST ||
        !fits(anchors, 1, GRAPH_LEVELS) || !fits(strides, anchors->count, anchors->count) ||
        (names && !fits(names, (size_t)classes, (size_t)classes)))
        return bad(r, "nc, names, stride and anchors do not go together");
    for (size_t i = 0; i < anchors->count; i++) {
        const pickle_value *sizes = anchors->items[i];
        double stride;
        TRY(pt_number(r->f, strides->items[i], "stride", &stride));
        if (!fits(sizes, 2, 2 * GRAPH_ANCHORS) || sizes->count % 2 || (i && sizes->count != 2 * (size_t)d->anchors) ||
            !(stride > 0))
            return bad(r, "its anchors cannot be");
        d->anchors = (int)sizes->count / 2;
        d->stride[i] = (float)stride;
        for (size_t k = 0; k < sizes->count; k++) {
            double size;
            TRY(pt_number(r->f, sizes->items[k], "anchors", &size));
            d->anchor[i][k / 2][k % 2] = (float)(size / stride);
        }
    }
    d->levels = (int)anchors->count;
    d->classes = (int)classes;
    return names ? load_names(r, names) : OK;
}

/* ---- progress ---- */

static status load_numbers(loader *r, const pickle_value *v)
{
    checkpoint_number *items;
    if (!v || v->kind != PICKLE_DICT) return bad(r, "mendel/numbers is missing");
    TRY(hold(r, v->count, sizeof *items, &items));
    for (size_t i = 0; i < v->count; i++) {
        const char *name = pickle_string(v->keys[i]);
        if (!name || !pickle_double(v->items[i], &items[i].value)) return bad(r, "mendel/numbers has something else");
        TRY(hold_text(r, name, &items[i].name));
    }
    r->l->c.numbers = items;
    r->l->c.number_count = v->count;
    return OK;
}

static status load_texts(loader *r, const pickle_value *v)
{
    checkpoint_text *items;
    if (!v || v->kind != PICKLE_DICT) return bad(r, "mendel/texts is missing");
    TRY(hold(r, v->count, sizeof *items, &items));
    for (size_t i = 0; i < v->count; i++) {
        const char *name = pickle_string(v->keys[i]), *value = pickle_string(v->items[i]);
        if (!name || (!value && v->items[i]->kind != PICKLE_NONE)) return bad(r, "mendel/texts has something else");
        TRY(hold_text(r, name, &items[i].name));
        if (value) TRY(hold_text(r, value, &items[i].value));
    }
    r->l->c.texts = items;
    r->l->c.text_count = v->count;
    return OK;
}

static status load_progress(loader *r, const pickle_value *v)
{
    int64_t format;
    if (!pickle_int(pickle_get(v, "format"), &format) || format != CHECKPOINT_FORMAT)
        return FAIL(ERR_UNSUPPORTED, "%s was written by another version, whose checkpoints are not understood",
                    r->path);
    TRY(load_arrays(r, pickle_get(v, "weights"), &r->l->c.weights));
    TRY(load_arrays(r, pickle_get(v, "arrays"), &r->l->c.arrays));
    TRY(load_numbers(r, pickle_get(v, "numbers")));
    TRY(load_texts(r, pickle_get(v, "texts")));
    r->l->c.has_progress = true;
    return OK;
}

/* ---- the file ---- */

static bool is_there(const pickle_value *v)
{
    return v && v->kind != PICKLE_NONE;
}

static status load_optional_text(loader *r, const pickle_value *v, const char **out)
{
    const char *value = pickle_string(v);
    return value ? hold_text(r, value, out) : OK;
}

static status load_root(loader *r)
{
    const pickle_value *root = pt_root(r->f), *mendel = pickle_get(root, "mendel");
    checkpoint *c = &r->l->c;
    if (root->kind != PICKLE_DICT || !pickle_get(root, "model") || !pickle_int(pickle_get(root, "epoch"), &c->epoch))
        return bad(r, "epoch and model are missing");
    if (is_there(pickle_get(root, "best_fitness")))
        TRY(pt_number(r->f, pickle_get(root, "best_fitness"), "best_fitness", &c->best_fitness));
    TRY(load_optional_text(r, pickle_get(root, "training_results"), &c->training_results));
    TRY(load_optional_text(r, pickle_get(root, "yaml"), &c->yaml));
    TRY(load_heads(r, root));
    TRY(load_arrays(r, pickle_get(root, "model"), &c->model));
    if (is_there(pickle_get(root, "optimizer")))
        TRY(load_optimizer(r, pickle_get(root, "optimizer"), pickle_get(mendel, "parameters")));
    return is_there(mendel) ? load_progress(r, mendel) : OK;
}

status checkpoint_load(const char *path, checkpoint **out)
{
    *out = NULL;
    loader r = {.path = path};
    TRY(pt_open(path, &r.f));
    status s = array_new(&r.l, 1);
    if (s == OK) s = load_root(&r);
    pt_close(&r.f);
    checkpoint *c = r.l ? &r.l->c : NULL;
    if (s != OK) checkpoint_destroy(&c);
    *out = c;
    return s;
}

void checkpoint_destroy(checkpoint **c)
{
    if (!*c) return;
    loaded *l = (loaded *)*c;
    for (size_t i = 0; i < l->memory_count; i++) free(l->memory[i]);
    free(l->memory);
    free(l);
    *c = NULL;
}
