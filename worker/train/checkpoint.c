#include "worker/train/checkpoint.h"

#include <string.h>

#include "worker/model/pt_write.h"

/* ---- parts ---- */

static void put_array(pt_writer *w, const checkpoint_array *a, pt_type type)
{
    if (a->values) pt_put_floats(w, type, a->rank, a->shape, a->values);
    else pt_put_long_scalar(w, a->integer);
}

static void put_entries(pt_writer *w, const checkpoint_arrays *arrays, pt_type type)
{
    pt_put_start(w, PT_ORDERED_DICT);
    for (size_t i = 0; i < arrays->count; i++) {
        pt_put_string(w, arrays->items[i].name);
        put_array(w, &arrays->items[i], type);
    }
    pt_put_end(w);
}

static void put_arrays(pt_writer *w, const char *key, const checkpoint_arrays *arrays, pt_type type)
{
    pt_put_string(w, key);
    put_entries(w, arrays, type);
}

static void put_text(pt_writer *w, const char *key, const char *value)
{
    pt_put_string(w, key);
    if (value) pt_put_string(w, value);
    else pt_put_none(w);
}

static void put_int(pt_writer *w, const char *key, int64_t value)
{
    pt_put_string(w, key);
    pt_put_int(w, value);
}

static void put_double(pt_writer *w, const char *key, double value)
{
    pt_put_string(w, key);
    pt_put_double(w, value);
}

static void put_bool(pt_writer *w, const char *key, bool value)
{
    pt_put_string(w, key);
    pt_put_bool(w, value);
}

static void put_heads(pt_writer *w, const checkpoint *c)
{
    const detect_parameters *d = &c->heads;
    put_int(w, "nc", d->classes);
    if (c->names) {
        pt_put_string(w, "names");
        pt_put_start(w, PT_LIST);
        for (int i = 0; i < d->classes; i++) pt_put_string(w, c->names[i]);
        pt_put_end(w);
    }
    pt_put_string(w, "stride");
    pt_put_start(w, PT_LIST);
    for (int i = 0; i < d->levels; i++) pt_put_double(w, (double)d->stride[i]);
    pt_put_end(w);
    pt_put_string(w, "anchors");
    pt_put_start(w, PT_LIST);
    for (int i = 0; i < d->levels; i++) {
        pt_put_start(w, PT_LIST);
        for (int a = 0; a < d->anchors; a++)
            for (int k = 0; k < 2; k++) pt_put_double(w, (double)d->anchor[i][a][k] * (double)d->stride[i]);
        pt_put_end(w);
    }
    pt_put_end(w);
}

/* ---- the optimizer, as torch.optim's state_dict() ---- */

static void put_parameter_state(pt_writer *w, const checkpoint_optimizer *o, size_t index)
{
    pt_put_int(w, (int64_t)index);
    pt_put_start(w, PT_DICT);
    if (o->kind == OPTIMIZER_ADAM) {
        pt_put_string(w, "step");
        pt_put_float_scalar(w, (float)o->steps);
    }
    pt_put_string(w, o->kind == OPTIMIZER_ADAM ? "exp_avg" : "momentum_buffer");
    put_array(w, &o->momentum.items[index], PT_FLOAT);
    if (o->kind == OPTIMIZER_ADAM) {
        pt_put_string(w, "exp_avg_sq");
        put_array(w, &o->squares.items[index], PT_FLOAT);
    }
    pt_put_end(w);
}

static void put_group(pt_writer *w, const checkpoint_optimizer *o, const checkpoint_group *g, size_t first)
{
    pt_put_start(w, PT_DICT);
    put_double(w, "lr", g->lr);
    if (o->kind == OPTIMIZER_ADAM) {
        pt_put_string(w, "betas");
        pt_put_start(w, PT_TUPLE);
        pt_put_double(w, g->momentum);
        pt_put_double(w, 0.999);
        pt_put_end(w);
        put_double(w, "eps", 1e-8);
        put_double(w, "weight_decay", g->weight_decay);
        put_bool(w, "amsgrad", false);
    } else {
        put_double(w, "momentum", g->momentum);
        put_int(w, "dampening", 0);
        put_double(w, "weight_decay", g->weight_decay);
        put_bool(w, "nesterov", true);
    }
    put_double(w, "initial_lr", g->initial_lr);
    pt_put_string(w, "params");
    pt_put_start(w, PT_LIST);
    for (size_t i = 0; i < g->count; i++) pt_put_int(w, (int64_t)(first + i));
    pt_put_end(w);
    pt_put_end(w);
}

static void put_optimizer(pt_writer *w, const checkpoint_optimizer *o)
{
    pt_put_start(w, PT_DICT);
    pt_put_string(w, "state");
    pt_put_start(w, PT_DICT);
    for (size_t i = 0; i < o->momentum.count; i++) put_parameter_state(w, o, i);
    pt_put_end(w);
    pt_put_string(w, "param_groups");
    pt_put_start(w, PT_LIST);
    size_t first = 0;
    for (int g = 0; g < UPDATE_GROUPS; g++) {
        put_group(w, o, &o->groups[g], first);
        first += o->groups[g].count;
    }
    pt_put_end(w);
    pt_put_end(w);
}

/* ---- what going on exactly needs ---- */

static void put_progress(pt_writer *w, const checkpoint *c)
{
    pt_put_string(w, "mendel");
    pt_put_start(w, PT_DICT);
    put_int(w, "format", CHECKPOINT_FORMAT);
    pt_put_string(w, "parameters");
    pt_put_start(w, PT_LIST);
    for (size_t i = 0; c->has_optimizer && i < c->optimizer.momentum.count; i++)
        pt_put_string(w, c->optimizer.momentum.items[i].name);
    pt_put_end(w);
    put_arrays(w, "weights", &c->weights, PT_FLOAT);
    put_arrays(w, "arrays", &c->arrays, PT_FLOAT);
    pt_put_string(w, "numbers");
    pt_put_start(w, PT_DICT);
    for (size_t i = 0; i < c->number_count; i++) put_double(w, c->numbers[i].name, c->numbers[i].value);
    pt_put_end(w);
    pt_put_string(w, "texts");
    pt_put_start(w, PT_DICT);
    for (size_t i = 0; i < c->text_count; i++) put_text(w, c->texts[i].name, c->texts[i].value);
    pt_put_end(w);
    pt_put_end(w);
}

/* ---- the file ---- */

/* A tensor of the model's object, as pt_model_write.c asks for them. */
typedef struct tensors {
    const checkpoint *c;
    pt_type type;
    size_t next; /* they are asked for in the order in which they are */
} tensors;

static status put_tensor(void *state, pt_writer *w, const char *name, bool parameter)
{
    tensors *t = state;
    const checkpoint_arrays *all = &t->c->model;
    const checkpoint_array *a = t->next < all->count ? &all->items[t->next++] : NULL;
    if (!a || strcmp(a->name, name)) a = checkpoint_find(all, name);
    if (!a) return FAIL(ERR_FORMAT, "a checkpoint without %s", name);
    if (parameter && a->values) pt_put_parameter(w, t->type, a->rank, a->shape, a->values);
    else put_array(w, a, t->type);
    return OK;
}

static status put_model(pt_writer *w, const checkpoint *c, pt_type type)
{
    if (!c->network) {
        put_arrays(w, "model", &c->model, type);
        return OK;
    }
    tensors t = {c, type, 0};
    pt_model_source from = {c->network, c->names, c->hyps, c->hyp_count, &t, put_tensor};
    pt_put_string(w, "model");
    return pt_put_model(w, &from);
}

static status put_all(pt_writer *w, const checkpoint *c, pt_type type)
{
    pt_put_start(w, PT_DICT);
    put_int(w, "epoch", c->epoch);
    put_double(w, "best_fitness", c->best_fitness);
    put_text(w, "training_results", c->training_results);
    TRY(put_model(w, c, type));
    pt_put_string(w, "optimizer");
    if (c->has_optimizer) put_optimizer(w, &c->optimizer);
    else pt_put_none(w);
    if (c->yaml && !c->network) put_text(w, "yaml", c->yaml);
    if (c->heads.levels && !c->network) put_heads(w, c);
    if (c->has_progress) put_progress(w, c);
    pt_put_end(w);
    return OK;
}

static status save(const checkpoint *c, const char *path, pt_type type)
{
    pt_writer *w;
    TRY(pt_writer_create(&w));
    status s = put_all(w, c, type);
    if (s == OK) s = pt_writer_save(w, path);
    pt_writer_destroy(&w);
    return s;
}

status checkpoint_save(const checkpoint *c, const char *path)
{
    return save(c, path, PT_FLOAT);
}

status checkpoint_save_state(const checkpoint *c, const char *path)
{
    pt_writer *w;
    TRY(pt_writer_create(&w));
    put_entries(w, &c->model, PT_FLOAT);
    status s = pt_writer_save(w, path);
    pt_writer_destroy(&w);
    return s;
}

/* The layers of a model that was an object, so that it becomes one again. */
static status make_network(const checkpoint *c, const char *path, model *out)
{
    model_config config;
    if (!c->yaml) return FAIL(ERR_FORMAT, "%s holds no model yaml", path);
    TRY(model_config_parse(path, c->yaml, 0, &config));
    return model_create(&config, out);
}

status checkpoint_strip(const char *path)
{
    checkpoint *c;
    model network = {0};
    TRY(checkpoint_load(path, &c));
    checkpoint kept = *c;
    kept.epoch = -1;
    kept.training_results = NULL;
    kept.has_optimizer = false;
    kept.has_progress = false;
    status s = c->is_object ? make_network(c, path, &network) : OK;
    if (c->is_object) kept.network = &network;
    if (s == OK) s = save(&kept, path, PT_HALF);
    model_free(&network);
    checkpoint_destroy(&c);
    return s;
}

/* ---- asking ---- */

const checkpoint_array *checkpoint_find(const checkpoint_arrays *arrays, const char *name)
{
    for (size_t i = 0; i < arrays->count; i++)
        if (!strcmp(arrays->items[i].name, name)) return &arrays->items[i];
    return NULL;
}

double checkpoint_get_number(const checkpoint *c, const char *name, double fallback)
{
    for (size_t i = 0; i < c->number_count; i++)
        if (!strcmp(c->numbers[i].name, name)) return c->numbers[i].value;
    return fallback;
}

const char *checkpoint_get_text(const checkpoint *c, const char *name)
{
    for (size_t i = 0; i < c->text_count; i++)
        if (!strcmp(c->texts[i].name, name)) return c->texts[i].value;
    return NULL;
}
