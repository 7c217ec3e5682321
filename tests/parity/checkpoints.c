#include "tests/parity/checkpoints.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/parity/network.h"
#include "worker/model/half.h"
#include "worker/model/pt_model.h"
#include "worker/train/checkpoint.h"
#include "worker/train/training_inner.h"

/* ---- the model in a checkpoint ---- */

/* The model that its own yaml makes, with its weights. */
static bool make_model(parity *p, const checkpoint *c, const char *path, model *m)
{
    model_config config;
    *m = (model){0};
    if (!c->yaml) case_fail(p, "no yaml");
    if (!c->yaml || !case_ok(p, "yaml", model_config_parse(path, c->yaml, 0, &config)) ||
        !case_ok(p, "create", model_create(&config, m)))
        return false;
    model_take_weights(m, c, true, path);
    return true;
}

static int64_t count_of(const checkpoint_array *a)
{
    int64_t count = 1;
    for (int i = 0; i < a->rank; i++) count *= a->shape[i];
    return count;
}

static void check_array(parity *p, const checkpoint_array *got, const char *folder, const yaml_node *entry, bool half)
{
    size_t rank;
    const char *name = json_string(p, entry, "name");
    const double *shape = json_numbers(p, json_get(p, entry, "shape"), &rank);
    const npy *want = parity_npy(p, "%s/%s", folder, json_string(p, entry, "file"));
    if (strcmp(got->name, name)) case_fail(p, "tensor %s, expected %s", got->name, name);
    if (!want || !case_int(p, name, got->rank, (int64_t)rank)) return;
    for (size_t i = 0; i < rank; i++) case_int(p, name, got->shape[i], (int64_t)shape[i]);
    if (!got->values) {
        case_int(p, name, got->integer, want->i ? want->i[0] : -1);
        return;
    }
    if (!case_int(p, name, count_of(got), (int64_t)want->count)) return;
    float *rounded = parity_alloc(p, want->count * sizeof *rounded);
    for (size_t i = 0; i < want->count; i++)
        rounded[i] = half ? half_to_float(half_from_float(want->f[i])) : want->f[i];
    case_floats(p, name, got->values, rounded, want->count, EXACT);
}

/* The type of the floats in a file, and whether its other tensors are int64. */
static pt_type float_type(parity *p, const char *path)
{
    pt_file *f;
    pt_state state = {0};
    pt_type type = PT_TYPES;
    if (!case_ok(p, path, pt_open(parity_path(p, path), &f))) return type;
    if (case_ok(p, "state", pt_state_of(f, pickle_get(pt_root(f), "model"), &state)))
        for (size_t i = 0; i < state.count; i++) {
            pt_type own = state.entries[i].tensor.type;
            if (own == PT_LONG) continue;
            if (type != PT_TYPES && own != type) case_fail(p, "%s is of another type", state.entries[i].name);
            type = own;
        }
    pt_state_free(&state);
    pt_close(&f);
    return type;
}

static void check_weights(parity *p, const char *name, const char *path, const checkpoint *c)
{
    const char *folder = parity_name(p, "model/%s/weights", name);
    const yaml_node *index = parity_json(p, parity_name(p, "%s/index.json", folder)),
                    *tensors = index ? json_get(p, index, "tensors") : NULL;
    pt_type type = float_type(p, path);
    if (type != PT_FLOAT && type != PT_HALF) case_fail(p, "floats of type %d", (int)type);
    if (tensors && case_int(p, "tensors", (int64_t)c->model.count, (int64_t)tensors->count))
        for (size_t i = 0; i < tensors->count; i++)
            check_array(p, &c->model.items[i], folder, &tensors->items[i], type == PT_HALF);
}

/* The yaml makes the same layers as the file beside it, and the heads are the same. */
static void check_same_model(parity *p, const char *name, const char *path, const checkpoint *c)
{
    model want, got;
    if (!network_model(p, name, &want) || !make_model(p, c, path, &got)) return;
    text tables[2] = {{0}};
    model_table(&want, &tables[0]);
    model_table(&got, &tables[1]);
    case_text(p, "table", text_string(&tables[1]), tables[1].length, text_string(&tables[0]), tables[0].length);
    detect_parameters heads = model_heads(&want);
    case_int(p, "classes", c->heads.classes, heads.classes);
    if (case_int(p, "levels", c->heads.levels, heads.levels) && case_int(p, "anchors", c->heads.anchors, heads.anchors))
        for (int i = 0; i < heads.levels; i++) {
            case_floats(p, "stride", &c->heads.stride[i], &heads.stride[i], 1, EXACT);
            for (int k = 0; k < heads.anchors; k++) /* those of half precision are rounded */
                case_floats(p, "anchor", c->heads.anchor[i][k], heads.anchor[i][k], 2, (tolerance){.rel = 1e-3});
        }
    for (int i = 0; i < heads.classes; i++)
        if (c->names && !c->names[i]) case_fail(p, "class %d has no name", i);
    text_free(&tables[0]);
    text_free(&tables[1]);
    model_free(&want);
    model_free(&got);
}

void checkpoints_weights(parity *p, const char *name, const char *file)
{
    checkpoint *c;
    const char *path = parity_name(p, "model/%s/%s", name, file);
    parity_use(p, path);
    case_start(p, "%s", path);
    if (case_ok(p, "load", checkpoint_load(parity_path(p, path), &c))) {
        case_int(p, "epoch", c->epoch, -1);
        if (c->has_optimizer || c->training_results) case_fail(p, "finished, but with an optimizer or results");
        check_weights(p, name, path, c);
        check_same_model(p, name, path, c);
        checkpoint_destroy(&c);
    }
    case_end(p);
}

/* ---- a training that goes on ---- */

static void check_groups(parity *p, const checkpoint_optimizer *o, const yaml_node *groups)
{
    int64_t first = 0;
    for (size_t g = 0; g < groups->count && g < UPDATE_GROUPS; g++) {
        size_t count;
        const yaml_node *want = &groups->items[g];
        const double *places = json_numbers(p, json_get(p, want, "params"), &count);
        case_number(p, "lr", o->groups[g].lr, json_double(p, want, "lr"), EXACT);
        case_number(p, "initial_lr", o->groups[g].initial_lr, json_double(p, want, "initial_lr"), EXACT);
        case_number(p, "momentum", o->groups[g].momentum, json_double(p, want, "momentum"), EXACT);
        case_number(p, "weight_decay", o->groups[g].weight_decay, json_double(p, want, "weight_decay"), EXACT);
        if (!case_int(p, "params", (int64_t)o->groups[g].count, (int64_t)count)) continue;
        for (size_t i = 0; i < count; i++) case_int(p, "params", first++, (int64_t)places[i]);
    }
}

/* Recorded by the optimizer's numbers; here by name, each of its parameter's shape. */
static void check_momentum(parity *p, const checkpoint_optimizer *o, const model *m, const char *folder)
{
    const yaml_node *index = parity_json(p, parity_name(p, "%s/index.json", folder)),
                    *tensors = index ? json_get(p, index, "tensors") : NULL;
    const npy *samples = parity_npy(p, "%s/samples.npy", folder);
    size_t at = 0;
    if (!tensors || !samples || !case_int(p, "momentum", (int64_t)o->momentum.count, (int64_t)tensors->count)) return;
    for (size_t i = 0; i < tensors->count; i++) {
        const checkpoint_array *a = &o->momentum.items[i];
        const weight *w = model_find(m, a->name);
        int64_t stride = json_int(p, &tensors->items[i], "stride"),
                count = json_int(p, &tensors->items[i], "n_samples");
        double square = 0;
        if (strcmp(json_string(p, &tensors->items[i], "name"), parity_name(p, "state.%zu.momentum_buffer", i)) || !w ||
            !a->values || count_of(a) != shape_count(&w->shape) || (count - 1) * stride >= count_of(a) ||
            at + (size_t)count > samples->count) {
            case_fail(p, "momentum %zu (%s) is not that of a parameter", i, a->name);
            return;
        }
        for (int64_t k = 0; k < count; k++)
            case_floats(p, a->name, &a->values[k * stride], &samples->f[at++], 1, EXACT);
        for (int64_t k = 0; k < count_of(a); k++) square += (double)a->values[k] * (double)a->values[k];
        case_number(p, a->name, sqrt(square), json_double(p, &tensors->items[i], "l2"), (tolerance){.rel = 1e-6});
    }
    case_int(p, "samples", (int64_t)at, (int64_t)samples->count);
}

static void check_training(parity *p, const checkpoint *c, const char *path, const char *folder)
{
    const yaml_node *about = parity_json(p, parity_name(p, "%s/optimizer.json", folder));
    const yaml_node *groups = about ? json_get(p, about, "param_groups") : NULL;
    size_t length, count;
    const char *results = parity_text(p, parity_name(p, "%s/training_results.txt", folder), &length);
    model m;
    if (!groups || !results || !make_model(p, c, path, &m)) return;
    case_int(p, "epoch", c->epoch, json_int(p, about, "epoch"));
    const double *best = json_numbers(p, json_get(p, about, "best_fitness"), &count);
    if (count == 1) case_number(p, "best_fitness", c->best_fitness, best[0], EXACT);
    if (c->training_results)
        case_text(p, "training_results", c->training_results, strlen(c->training_results), results, length);
    else case_fail(p, "no training_results");
    if (c->has_optimizer && c->optimizer.kind == OPTIMIZER_SGD && groups->count == UPDATE_GROUPS) {
        check_groups(p, &c->optimizer, groups);
        case_int(p, "n_state", (int64_t)c->optimizer.momentum.count, json_int(p, about, "n_state"));
        check_momentum(p, &c->optimizer, &m, parity_name(p, "%s/momentum", folder));
    } else case_fail(p, "an optimizer of kind SGD with three groups was expected");
    network_check_samples(p, &m, m.arena, parity_name(p, "%s/ema", folder), 1e-6, 1e-6);
    model_free(&m);
}

static void check_stripped(parity *p, const checkpoint *c, const char *path, const char *folder)
{
    const yaml_node *about = parity_json(p, parity_name(p, "%s/stripped.json", folder));
    size_t count;
    model m;
    if (!about || !make_model(p, c, path, &m)) return;
    case_int(p, "epoch", c->epoch, json_int(p, about, "epoch"));
    const double *best = json_numbers(p, json_get(p, about, "best_fitness"), &count);
    if (count == 1) case_number(p, "best_fitness", c->best_fitness, best[0], EXACT);
    if (c->training_results || c->has_optimizer || c->has_progress) case_fail(p, "more than a model is left");
    bool half = false;
    const yaml_node *types = json_get(p, about, "model_dtypes");
    for (size_t i = 0; types && i < types->count; i++) half |= !strcmp(yaml_string(&types->items[i]), "torch.float16");
    case_int(p, "type of the floats", float_type(p, path), half ? PT_HALF : PT_FLOAT);
    case_int(p, "tensors", (int64_t)c->model.count, (int64_t)m.count);
    for (size_t i = 0; i < m.count && i < c->model.count; i++)
        if (strcmp(c->model.items[i].name, m.weights[i].name))
            case_fail(p, "tensor %s, expected %s", c->model.items[i].name, m.weights[i].name);
    model_free(&m);
}

void checkpoints_training(parity *p, const char *folder)
{
    const fs_names *files = parity_list(p, folder);
    for (size_t i = 0; i < files->count; i++) {
        checkpoint *c;
        if (!text_ends_with(files->names[i], ".pt")) continue;
        const char *path = parity_name(p, "%s/%s", folder, files->names[i]);
        parity_use(p, path);
        case_start(p, "%s", path);
        if (case_ok(p, "load", checkpoint_load(parity_path(p, path), &c))) {
            if (!c->is_object) case_fail(p, "a model of the reference was expected");
            if (c->epoch < 0) check_stripped(p, c, path, folder);
            else check_training(p, c, path, folder);
            checkpoint_destroy(&c);
        }
        case_end(p);
    }
}
