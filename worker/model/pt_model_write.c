#include "worker/model/pt_model_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/yaml.h"
#include "worker/model/pt_model_write_inner.h"

/* ---- attributes ---- */

void pt_put_key_int(pt_writer *w, const char *key, int64_t value)
{
    pt_put_string(w, key);
    pt_put_int(w, value);
}

void pt_put_key_bool(pt_writer *w, const char *key, bool value)
{
    pt_put_string(w, key);
    pt_put_bool(w, value);
}

void pt_put_key_double(pt_writer *w, const char *key, double value)
{
    pt_put_string(w, key);
    pt_put_double(w, value);
}

void pt_put_key_string(pt_writer *w, const char *key, const char *value)
{
    pt_put_string(w, key);
    pt_put_string(w, value);
}

void pt_put_key_none(pt_writer *w, const char *key)
{
    pt_put_string(w, key);
    pt_put_none(w);
}

void pt_start_dict(pt_writer *w, const char *key)
{
    pt_put_string(w, key);
    pt_put_start(w, PT_ORDERED_DICT);
}

void pt_put_empty_dict(pt_writer *w, const char *key)
{
    pt_start_dict(w, key);
    pt_put_end(w);
}

void pt_start_module(pt_module_writer *o, const char *class)
{
    static const char *const hooks[] = {"_backward_pre_hooks",
                                        "_backward_hooks",
                                        "_forward_hooks",
                                        "_forward_hooks_with_kwargs",
                                        "_forward_hooks_always_called",
                                        "_forward_pre_hooks",
                                        "_forward_pre_hooks_with_kwargs",
                                        "_state_dict_hooks",
                                        "_state_dict_pre_hooks",
                                        "_load_state_dict_pre_hooks",
                                        "_load_state_dict_post_hooks"};
    pt_put_object(o->w, class);
    pt_put_key_bool(o->w, "training", false);
    pt_put_string(o->w, "_non_persistent_buffers_set");
    pt_put_empty_set(o->w);
    pt_put_key_none(o->w, "_is_full_backward_hook");
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) pt_put_empty_dict(o->w, hooks[i]);
}

void pt_put_no_tensors(pt_module_writer *o)
{
    pt_put_empty_dict(o->w, "_parameters");
    pt_put_empty_dict(o->w, "_buffers");
}

void pt_start_parent(pt_module_writer *o, const char *class)
{
    pt_start_module(o, class);
    pt_put_no_tensors(o);
    pt_start_dict(o->w, "_modules");
}

void pt_start_leaf(pt_module_writer *o, const char *class)
{
    pt_start_parent(o, class);
    pt_put_end(o->w);
}

void pt_put_strides(pt_module_writer *o)
{
    const model *m = o->from->m;
    pt_put_string(o->w, "stride");
    pt_put_floats(o->w, PT_FLOAT, 1, (int64_t[]){m->config.levels}, m->stride);
}

/* ---- layers ---- */

/* What parse_model adds to a layer: its number, what it reads, its class, its parameters. */
static void put_layer_attributes(pt_module_writer *o, const layer *l, int index)
{
    pt_put_key_int(o->w, "i", index);
    pt_put_string(o->w, "f");
    if (l->from_list) pt_put_start(o->w, PT_LIST);
    for (int i = 0; i < l->from_count; i++) pt_put_int(o->w, l->from_written[i]);
    if (l->from_list) pt_put_end(o->w);
    pt_put_key_string(o->w, "type", l->repeats > 1 ? "torch.nn.modules.container.Sequential" : module_name(l->kind));
    pt_put_key_int(o->w, "np", l->parameters);
}

static void put_layer(pt_module_writer *o, const layer *l, int index)
{
    char number[16];
    if (l->repeats > 1) pt_start_parent(o, "torch.nn.modules.container.Sequential");
    for (int i = 0; i < l->repeats; i++) {
        prefix p = module_prefix(l, index, i);
        snprintf(number, sizeof number, "%d", i);
        if (l->repeats > 1) pt_put_string(o->w, number);
        pt_start_layer(o, &p, l, i ? l->out : l->in);
        if (l->repeats > 1) pt_put_end(o->w);
    }
    if (l->repeats > 1) pt_put_end(o->w);
    put_layer_attributes(o, l, index);
    pt_put_end(o->w);
}

static void put_layers(pt_module_writer *o)
{
    const model_config *c = &o->from->m->config;
    char number[24];
    pt_start_dict(o->w, "_modules");
    pt_put_string(o->w, "model");
    pt_start_parent(o, "torch.nn.modules.container.Sequential");
    for (size_t i = 0; i < c->count; i++) {
        snprintf(number, sizeof number, "%zu", i);
        pt_put_string(o->w, number);
        put_layer(o, &c->layers[i], (int)i);
    }
    pt_put_end(o->w);
    pt_put_end(o->w);
    pt_put_end(o->w);
}

/* ---- the model's own attributes ---- */

static void put_node(pt_writer *w, const yaml_node *node)
{
    switch (node->kind) {
    case YAML_NULL: pt_put_none(w); break;
    case YAML_BOOL: pt_put_bool(w, node->boolean); break;
    case YAML_INT: pt_put_int(w, node->integer); break;
    case YAML_FLOAT: pt_put_double(w, node->number); break;
    case YAML_STRING: pt_put_string(w, node->scalar); break;
    case YAML_LIST:
        pt_put_start(w, PT_LIST);
        for (size_t i = 0; i < node->count; i++) put_node(w, &node->items[i]);
        pt_put_end(w);
        break;
    case YAML_MAP:
        pt_put_start(w, PT_DICT);
        for (size_t i = 0; i < node->count; i++) {
            put_node(w, &node->keys[i]);
            put_node(w, &node->items[i]);
        }
        pt_put_end(w);
        break;
    }
}

/* The yaml as PyYAML would have read it, with the classes that the model has. */
static status put_yaml(pt_writer *w, const model_config *c)
{
    yaml *file;
    TRY(yaml_parse("the model's yaml", c->text, strlen(c->text), &file));
    const yaml_node *root = yaml_root(file);
    pt_put_string(w, "yaml");
    pt_put_start(w, PT_DICT);
    for (size_t i = 0; root->kind == YAML_MAP && i < root->count; i++) {
        const char *key = yaml_string(&root->keys[i]);
        put_node(w, &root->keys[i]);
        if (key && !strcmp(key, "nc")) pt_put_int(w, c->classes);
        else put_node(w, &root->items[i]);
    }
    pt_put_end(w);
    yaml_destroy(&file);
    return OK;
}

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Layers that a later one reads by number. */
static status put_save(pt_writer *w, const model_config *c)
{
    int *saved;
    size_t count = 0;
    TRY(array_new(&saved, c->count * LAYER_INPUTS));
    for (size_t i = 0; i < c->count; i++)
        for (int k = 0; k < c->layers[i].from_count; k++)
            if (c->layers[i].from_written[k] != -1) saved[count++] = c->layers[i].from[k];
    qsort(saved, count, sizeof *saved, by_number);
    pt_put_string(w, "save");
    pt_put_start(w, PT_LIST);
    for (size_t i = 0; i < count; i++) pt_put_int(w, saved[i]);
    pt_put_end(w);
    free(saved);
    return OK;
}

static void put_names(pt_writer *w, const pt_model_source *from)
{
    char number[16];
    pt_put_string(w, "names");
    pt_put_start(w, PT_LIST);
    for (int i = 0; i < from->m->config.classes; i++) {
        snprintf(number, sizeof number, "c%d", i);
        pt_put_string(w, from->names ? from->names[i] : number);
    }
    pt_put_end(w);
}

static void put_hyps(pt_writer *w, const pt_model_source *from)
{
    pt_put_string(w, "hyp");
    pt_put_start(w, PT_DICT);
    for (size_t i = 0; i < from->hyp_count; i++) pt_put_key_double(w, from->hyps[i].name, from->hyps[i].value);
    pt_put_end(w);
    pt_put_key_double(w, "gr", 1); /* the loss's ratio of IoU in the objectness target */
}

status pt_put_model(pt_writer *w, const pt_model_source *from)
{
    pt_module_writer o = {w, from, OK};
    pt_start_module(&o, "models.yolo.Model");
    pt_put_no_tensors(&o);
    put_layers(&o);
    TRY(o.result);
    TRY(put_yaml(w, &from->m->config));
    TRY(put_save(w, &from->m->config));
    pt_put_strides(&o);
    pt_put_key_int(w, "nc", from->m->config.classes);
    put_names(w, from);
    if (from->hyp_count) put_hyps(w, from);
    pt_put_end(w);
    return OK;
}
