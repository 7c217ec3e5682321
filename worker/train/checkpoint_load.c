/* checkpoint_load.c - reading checkpoints, with everything in them checked. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "worker/model/pt_model.h"
#include "worker/train/checkpoint_inner.h"

status checkpoint_bad(const checkpoint_reader *r, const char *what)
{
    return FAIL(ERR_FORMAT, "%s is no checkpoint that training can go on from: %s", r->path, what);
}

status checkpoint_hold(checkpoint_reader *r, size_t count, size_t size, void *out)
{
    TRY(array_room(&r->l->memory, &r->l->memory_room, r->l->memory_count + 1));
    void *memory;
    TRY(array_create(&memory, count, size));
    r->l->memory[r->l->memory_count++] = memory;
    memcpy(out, &memory, sizeof memory);
    return OK;
}

status checkpoint_hold_text(checkpoint_reader *r, const char *value, const char **out)
{
    char *copy;
    TRY(checkpoint_hold(r, strlen(value) + 1, 1, &copy));
    strcpy(copy, value);
    *out = copy;
    return OK;
}

/* ---- arrays ---- */

status checkpoint_load_array(checkpoint_reader *r, const char *name, const pt_tensor *t, checkpoint_array *out)
{
    if (t->rank > TENSOR_RANK) return checkpoint_bad(r, "a tensor has too many dimensions");
    TRY(checkpoint_hold_text(r, name, &out->name));
    out->rank = t->rank;
    memcpy(out->shape, t->shape, (size_t)t->rank * sizeof *out->shape);
    if (t->type > PT_DOUBLE && t->rank == 0) return pt_read_ints(r->f, t, &out->integer);
    float *values;
    TRY(checkpoint_hold(r, (size_t)t->count, sizeof *values, &values));
    out->values = values;
    return pt_read(r->f, t, values);
}

static status load_state(checkpoint_reader *r, const pt_state *state, checkpoint_arrays *out)
{
    checkpoint_array *items;
    TRY(checkpoint_hold(r, state->count, sizeof *items, &items));
    *out = (checkpoint_arrays){items, state->count};
    for (size_t i = 0; i < state->count; i++)
        TRY(checkpoint_load_array(r, state->entries[i].name, &state->entries[i].tensor, &items[i]));
    return OK;
}

static status load_arrays(checkpoint_reader *r, const pickle_value *model, checkpoint_arrays *out)
{
    pt_state state;
    status s = pt_state_of(r->f, model, &state);
    if (s == OK) s = load_state(r, &state, out);
    pt_state_free(&state);
    return s;
}

/* ---- progress ---- */

static status load_numbers(checkpoint_reader *r, const pickle_value *v)
{
    checkpoint_number *items;
    if (!v || v->kind != PICKLE_DICT) return checkpoint_bad(r, "mendel/numbers is missing");
    TRY(checkpoint_hold(r, v->count, sizeof *items, &items));
    for (size_t i = 0; i < v->count; i++) {
        const char *name = pickle_string(v->keys[i]);
        if (!name || !pickle_double(v->items[i], &items[i].value))
            return checkpoint_bad(r, "mendel/numbers has something else");
        TRY(checkpoint_hold_text(r, name, &items[i].name));
    }
    r->l->c.numbers = items;
    r->l->c.number_count = v->count;
    return OK;
}

static status load_texts(checkpoint_reader *r, const pickle_value *v)
{
    checkpoint_text *items;
    if (!v || v->kind != PICKLE_DICT) return checkpoint_bad(r, "mendel/texts is missing");
    TRY(checkpoint_hold(r, v->count, sizeof *items, &items));
    for (size_t i = 0; i < v->count; i++) {
        const char *name = pickle_string(v->keys[i]), *value = pickle_string(v->items[i]);
        if (!name || (!value && v->items[i]->kind != PICKLE_NONE))
            return checkpoint_bad(r, "mendel/texts has something else");
        TRY(checkpoint_hold_text(r, name, &items[i].name));
        if (value) TRY(checkpoint_hold_text(r, value, &items[i].value));
    }
    r->l->c.texts = items;
    r->l->c.text_count = v->count;
    return OK;
}

static status load_progress(checkpoint_reader *r, const pickle_value *v)
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

/* What the reference saved, or we did, or a later release: its averaged model is under "ema" while it trains. */
static const pickle_value *find_model(const pickle_value *root)
{
    const pickle_value *averaged = pickle_get(root, "ema");
    return pt_is_module(averaged) ? averaged : pickle_get(root, "model");
}

/* A state_dict() by itself: tensors alone, under the model's names. */
static bool is_state(const pickle_value *root)
{
    for (size_t i = 0; i < root->count; i++)
        if (!pt_is_tensor(root->items[i])) return false;
    return root->count > 0;
}

static status load_training(checkpoint_reader *r, const pickle_value *root, const pickle_value *model)
{
    const pickle_value *mendel = pickle_get(root, "mendel"), *fitness = pickle_get(root, "best_fitness");
    const char *results = pickle_string(pickle_get(root, "training_results"));
    if (is_there(fitness)) TRY(pt_number(r->f, fitness, "best_fitness", &r->l->c.best_fitness));
    if (results) TRY(checkpoint_hold_text(r, results, &r->l->c.training_results));
    if (is_there(pickle_get(root, "optimizer")))
        TRY(checkpoint_load_optimizer(r, pickle_get(root, "optimizer"), pickle_get(mendel, "parameters"), model));
    return is_there(mendel) ? load_progress(r, mendel) : OK;
}

static status load_root(checkpoint_reader *r)
{
    const pickle_value *root = pt_root(r->f), *model = find_model(root), *epoch = pickle_get(root, "epoch");
    checkpoint *c = &r->l->c;
    c->epoch = -1;
    if (root->kind == PICKLE_DICT && is_state(root)) return load_arrays(r, root, &c->model);
    if (root->kind != PICKLE_DICT || !model || (epoch && !pickle_int(epoch, &c->epoch)))
        return checkpoint_bad(r, "epoch and model are missing");
    c->is_object = pt_is_module(model);
    TRY(c->is_object ? checkpoint_load_module(r, model) : checkpoint_load_plain(r, root));
    TRY(load_arrays(r, model, &c->model));
    return load_training(r, root, model);
}

status checkpoint_load(const char *path, checkpoint **out)
{
    *out = NULL;
    checkpoint_reader r = {.path = path};
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
    checkpoint_loaded *l = (checkpoint_loaded *)*c;
    for (size_t i = 0; i < l->memory_count; i++) free(l->memory[i]);
    free(l->memory);
    free(l);
    *c = NULL;
}
