/* checkpoint_heads.c - reading what a checkpoint says of its model: yaml, classes, strides and anchors, hyperparameters. */
#include <string.h>

#include "worker/model/pt_model.h"
#include "worker/train/checkpoint_inner.h"

enum { CLASSES_MOST = 100000 };

/* ---- a plain dictionary ---- */

static bool fits(const pickle_value *list, size_t least, size_t most)
{
    return list && list->kind == PICKLE_LIST && list->count >= least && list->count <= most;
}

static status load_names(checkpoint_reader *r, const pickle_value *list)
{
    const char **names;
    TRY(checkpoint_hold(r, list->count, sizeof *names, &names));
    for (size_t i = 0; i < list->count; i++) {
        const char *name = pickle_string(list->items[i]);
        if (!name) return checkpoint_bad(r, "a class has no name");
        TRY(checkpoint_hold_text(r, name, &names[i]));
    }
    r->l->c.names = names;
    return OK;
}

static status load_heads(checkpoint_reader *r, const pickle_value *root)
{
    const pickle_value *strides = pickle_get(root, "stride"), *anchors = pickle_get(root, "anchors");
    const pickle_value *names = pickle_get(root, "names");
    detect_parameters *d = &r->l->c.heads;
    int64_t classes;
    if (!anchors) return OK;
    if (!pickle_int(pickle_get(root, "nc"), &classes) || classes < 1 || classes > CLASSES_MOST ||
        !fits(anchors, 1, GRAPH_LEVELS) || !fits(strides, anchors->count, anchors->count) ||
        (names && !fits(names, (size_t)classes, (size_t)classes)))
        return checkpoint_bad(r, "nc, names, stride and anchors do not go together");
    for (size_t i = 0; i < anchors->count; i++) {
        const pickle_value *sizes = anchors->items[i];
        double stride;
        TRY(pt_number(r->f, strides->items[i], "stride", &stride));
        if (!fits(sizes, 2, 2 * GRAPH_ANCHORS) || sizes->count % 2 || (i && sizes->count != 2 * (size_t)d->anchors) ||
            !(stride > 0))
            return checkpoint_bad(r, "its anchors cannot be");
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

status checkpoint_load_plain(checkpoint_reader *r, const pickle_value *root)
{
    const char *words = pickle_string(pickle_get(root, "yaml"));
    if (words) TRY(checkpoint_hold_text(r, words, &r->l->c.yaml));
    return load_heads(r, root);
}

/* ---- a module ---- */

static status load_hyps(checkpoint_reader *r, const pickle_value *hyps)
{
    checkpoint_number *items;
    if (!hyps || hyps->kind != PICKLE_DICT) return OK;
    TRY(checkpoint_hold(r, hyps->count, sizeof *items, &items));
    for (size_t i = 0; i < hyps->count; i++) {
        const char *name = pickle_string(hyps->keys[i]);
        double value;
        if (!name || pt_number(r->f, hyps->items[i], name, &value) != OK) continue; /* of a later release: a text */
        TRY(checkpoint_hold_text(r, name, &items[r->l->c.hyp_count].name));
        items[r->l->c.hyp_count++].value = value;
    }
    r->l->c.hyps = items;
    return OK;
}

/* All of them or none. */
static status load_class_names(checkpoint_reader *r, const pickle_value *model)
{
    const char **names;
    int classes = r->l->c.heads.classes;
    TRY(checkpoint_hold(r, (size_t)classes, sizeof *names, &names));
    for (int i = 0; i < classes; i++) {
        const char *name = pt_model_class_name(model, i);
        if (!name) return OK;
        TRY(checkpoint_hold_text(r, name, &names[i]));
    }
    if (classes) r->l->c.names = names;
    return OK;
}

status checkpoint_load_module(checkpoint_reader *r, const pickle_value *model)
{
    text words = {0};
    status s = pt_model_yaml(r->f, model, &words);
    if (s == OK && words.length) s = checkpoint_hold_text(r, text_string(&words), &r->l->c.yaml);
    text_free(&words);
    if (s == OK) s = pt_model_heads(r->f, model, &r->l->c.heads);
    if (s == OK) s = load_class_names(r, model);
    return s == OK ? load_hyps(r, pickle_get(model, "hyp")) : s;
}
