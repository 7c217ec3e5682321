/* pt_state.c - what stands in torch files for models and numbers. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "worker/model/pt_inner.h"
#include "worker/model/pt_model.h"

enum { MODULE_DEPTH = 64, MODULES_MOST = 1 << 16 };

/* ---- models ---- */

typedef struct walk {
    const pt_file *f;
    pt_state *out;
    int modules; /* seen so far: shared ones could make a few bytes of pickle stand for any number */
} walk;

static status add_tensors(walk *w, const pickle_value *group, bool parameters, const pickle_value *left_out,
                          const char *prefix)
{
    for (size_t i = 0; group && group->keys && i < group->count; i++) {
        const char *name = pickle_string(group->keys[i]);
        if (!name) return FAIL(ERR_FORMAT, "%s: a tensor of %s* has no name", w->f->path, prefix);
        bool skip = !pt_is_tensor(group->items[i]); /* None: a bias that is not there; an object: nothing to load */
        for (size_t k = 0; left_out && k < left_out->count && !skip; k++) {
            const char *other = pickle_string(left_out->items[k]);
            skip = other && !strcmp(other, name);
        }
        if (skip) continue;
        TRY(array_room(&w->out->entries, &w->out->room, w->out->count + 1));
        pt_entry *entry = &w->out->entries[w->out->count];
        TRY(pt_tensor_of(w->f, group->items[i], &entry->tensor));
        entry->parameter = parameters;
        text full = {0};
        text_add(&full, "%s%s", prefix, name);
        entry->name = text_take(&full);
        if (!entry->name) return FAIL(ERR_MEMORY, "out of memory");
        w->out->count++;
    }
    return OK;
}

/* A module's own parameters, then its buffers, then the modules in it: the order of state_dict(). */
static status add_module(walk *w, const pickle_value *module, const char *prefix, int depth)
{
    if (depth == MODULE_DEPTH || ++w->modules > MODULES_MOST)
        return FAIL(ERR_FORMAT, "%s: modules nested deeper than %d, or more than %d of them", w->f->path, MODULE_DEPTH,
                    MODULES_MOST);
    const pickle_value *not_saved = pickle_get(module, "_non_persistent_buffers_set");
    TRY(add_tensors(w, pickle_get(module, "_parameters"), true, NULL, prefix));
    TRY(add_tensors(w, pickle_get(module, "_buffers"), false, not_saved, prefix));
    const pickle_value *inside = pickle_get(module, "_modules");
    status s = OK;
    for (size_t i = 0; s == OK && inside && inside->keys && i < inside->count; i++) {
        const char *name = pickle_string(inside->keys[i]);
        if (inside->items[i]->kind != PICKLE_OBJECT) continue;
        text below = {0};
        text_add(&below, "%s%s.", prefix, name ? name : "?");
        s = text_status(&below);
        if (s == OK) s = add_module(w, inside->items[i], text_string(&below), depth + 1);
        text_free(&below);
    }
    return s;
}

status pt_state_of(const pt_file *f, const pickle_value *model, pt_state *out)
{
    *out = (pt_state){0};
    walk w = {f, out, 0};
    if (pt_is_module(model)) return add_module(&w, model, "", 0);
    if (model && model->kind == PICKLE_DICT) return add_tensors(&w, model, false, NULL, "");
    return FAIL(ERR_FORMAT, "%s: a model, or a dictionary of its tensors, was expected", f->path);
}

void pt_state_free(pt_state *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->entries[i].name);
    free(s->entries);
    *s = (pt_state){0};
}

/* ---- numbers ---- */

/* One element of a NumPy type ("f8"), as it lies in memory. */
static bool numpy_number(const pickle_value *dtype, const pickle_value *bytes, double *out)
{
    const char *code = pickle_is(dtype, "numpy.dtype") ? pickle_string(pickle_at(dtype->arguments, 0)) : NULL;
    const char *order = pickle_is(dtype, "numpy.dtype") ? pickle_string(pickle_at(dtype->state, 1)) : NULL;
    if (!code || !bytes || bytes->kind != PICKLE_BYTES || (order && *order == '>')) return false;
    float single;
    int64_t wide;
    int32_t narrow;
    if (!strcmp(code, "f8") && bytes->length == 8) memcpy(out, bytes->bytes, 8);
    else if (!strcmp(code, "f4") && bytes->length == 4) memcpy(&single, bytes->bytes, 4), *out = (double)single;
    else if (!strcmp(code, "i8") && bytes->length == 8) memcpy(&wide, bytes->bytes, 8), *out = (double)wide;
    else if (!strcmp(code, "i4") && bytes->length == 4) memcpy(&narrow, bytes->bytes, 4), *out = narrow;
    else return false;
    return true;
}

static bool starts_numpy(const pickle_value *v, const char *function)
{
    static const char *const modules[] = {"numpy.core.multiarray.", "numpy._core.multiarray."};
    for (size_t i = 0; v && v->kind == PICKLE_OBJECT && i < sizeof modules / sizeof *modules; i++)
        if (text_starts_with(v->bytes, modules[i]) && !strcmp(v->bytes + strlen(modules[i]), function)) return true;
    return false;
}

status pt_number(pt_file *f, const pickle_value *v, const char *what, double *out)
{
    if (pickle_double(v, out)) return OK;
    if (starts_numpy(v, "scalar") && numpy_number(pickle_at(v->arguments, 0), pickle_at(v->arguments, 1), out))
        return OK;
    /* An array's state: version, shape, type, order, bytes. */
    if (starts_numpy(v, "_reconstruct") && numpy_number(pickle_at(v->state, 2), pickle_at(v->state, 4), out)) return OK;
    pt_tensor t;
    float value;
    if (!pt_is_tensor(v)) return FAIL(ERR_FORMAT, "%s: %s: a number was expected", f->path, what);
    TRY(pt_tensor_of(f, v, &t));
    if (t.count != 1)
        return FAIL(ERR_FORMAT, "%s: %s: one number was expected, found %lld", f->path, what, (long long)t.count);
    TRY(pt_read(f, &t, &value));
    *out = (double)value;
    return OK;
}
