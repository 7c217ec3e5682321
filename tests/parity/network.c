#include "tests/parity/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights ---- */

static void load_weight(parity *p, model *m, const char *name, const yaml_node *entry)
{
    const weight *w = model_find(m, json_string(p, entry, "name"));
    const npy *values = parity_npy(p, "model/%s/weights/%s", name, json_string(p, entry, "file"));
    if (!w || !values) {
        if (!w) case_fail(p, "the model has no weight %s", json_string(p, entry, "name"));
        return;
    }
    if (w->kind == WEIGHT_COUNTER) m->batches_tracked = values->i ? values->i[0] : 0;
    else if (values->count != (size_t)shape_count(&w->shape)) case_fail(p, "%s: %zu values", w->name, values->count);
    else memcpy(m->arena + w->offset, values->f, values->count * sizeof(float));
}

bool network_model(parity *p, const char *name, model *m)
{
    size_t length;
    *m = (model){0};
    const char *path = parity_name(p, "model/%s/%s.yaml", name, name);
    const char *yaml_text = parity_text(p, path, &length);
    path = parity_name(p, "model/%s/weights/index.json", name);
    const yaml_node *index = parity_json(p, path);
    model_config config;
    if (!yaml_text || !index || !case_ok(p, name, model_config_parse(path, yaml_text, 0, &config))) return false;
    if (!case_ok(p, name, model_create(&config, m))) return false;
    const yaml_node *tensors = json_get(p, index, "tensors"),
                    *order = json_get(p, index, "parameters_in_optimizer_order");
    if (!tensors || !order || !case_int(p, "tensors", (int64_t)m->count, (int64_t)tensors->count)) return false;
    for (size_t i = 0; i < tensors->count; i++) {
        if (strcmp(m->weights[i].name, json_string(p, &tensors->items[i], "name")))
            case_fail(p, "tensor %zu is %s, expected %s", i, m->weights[i].name,
                      json_string(p, &tensors->items[i], "name"));
        load_weight(p, m, name, &tensors->items[i]);
    }
    for (size_t i = 0, k = 0; i < m->count; i++)
        if (m->weights[i].kind == WEIGHT_PARAMETER &&
            (k >= order->count || strcmp(m->weights[i].name, yaml_string(&order->items[k++]))))
            case_fail(p, "parameter %zu: %s is out of order", k, m->weights[i].name);
    return !case_failed(p);
}

/* ---- running ---- */

bool network_start(parity *p, const char *name, const npy *x, graph_request *request, bool training,
                   precision precision, network_run *run)
{
    *run = (network_run){.images = (int)x->shape.dim[0], .height = (int)x->shape.dim[2], .width = (int)x->shape.dim[3]};
    run->ops = parity_backend(p, &run->d);
    if (!run->ops || !network_model(p, name, &run->m)) return false;
    request->images = run->images;
    request->height = run->height;
    request->width = run->width;
    size_t bytes = (size_t)run->m.arena_count * sizeof(float);
    graph g = {0};
    bool good = case_ok(p, "graph", model_graph(&run->m, request, &g, &run->ends)) &&
                case_ok(p, "weights", run->ops->buffer_create(run->d, bytes, &run->weights)) &&
                case_ok(p, "gradients", run->ops->buffer_create(run->d, bytes, &run->gradients)) &&
                case_ok(p, "weights", run->ops->buffer_write(run->weights, 0, run->m.arena, bytes));
    plan_options options = {.training = training, .precision = precision};
    options.buffers[ARENA_WEIGHTS] = run->weights;
    options.buffers[ARENA_GRADIENTS] = training ? run->gradients : NULL;
    good = good && case_ok(p, "plan", run->ops->plan_create(run->d, &g, &options, &run->plan));
    graph_free(&g);
    return good;
}

bool network_forward(parity *p, network_run *run, const npy *x)
{
    return case_ok(p, "pixels",
                   run->ops->plan_write(run->plan, PLAN_VALUE, run->ends.pixels, x->f, x->count * sizeof *x->f)) &&
           case_ok(p, "run", run->ops->plan_run(run->plan));
}

void network_stop(network_run *run)
{
    if (run->ops) {
        run->ops->plan_destroy(&run->plan);
        run->ops->buffer_destroy(&run->weights);
        run->ops->buffer_destroy(&run->gradients);
    }
    model_free(&run->m);
}

size_t network_raw_count(const network_run *run, int level)
{
    int values = run->m.config.anchors * (5 + run->m.config.classes), stride = (int)run->m.stride[level];
    return (size_t)run->images * (size_t)values * (size_t)(run->height / stride) * (size_t)(run->width / stride);
}

float *network_raw(parity *p, const network_run *run, int level)
{
    size_t count = network_raw_count(run, level);
    float *planes = parity_alloc(p, count * sizeof *planes), *rows = parity_alloc(p, count * sizeof *rows);
    if (!case_ok(p, "raw",
                 run->ops->plan_read(run->plan, PLAN_VALUE, run->ends.raw[level], planes, count * sizeof *planes)))
        return NULL;
    size_t values = (size_t)(5 + run->m.config.classes), groups = (size_t)run->images * (size_t)run->m.config.anchors;
    size_t pixels = count / groups / values;
    for (size_t g = 0; g < groups; g++)
        for (size_t v = 0; v < values; v++)
            for (size_t i = 0; i < pixels; i++)
                rows[(g * pixels + i) * values + v] = planes[(g * values + v) * pixels + i];
    return rows;
}

void network_read_weights(parity *p, const network_run *run, const weight *w, float *to)
{
    case_ok(p, w->name,
            run->ops->buffer_read(run->weights, (size_t)w->offset * sizeof(float), to,
                                  (size_t)shape_count(&w->shape) * sizeof(float)));
}

/* ---- samples of whole states ---- */

typedef struct sample_sums {
    double square, norm; /* of all differences, of all recorded values */
} sample_sums;

static void check_tensor(parity *p, const weight *w, const float *values, const yaml_node *entry, const float *samples,
                         double rel_l2, sample_sums *all)
{
    int64_t stride = json_int(p, entry, "stride"), count = json_int(p, entry, "n_samples");
    double square = 0, norm = json_double(p, entry, "l2"), own = 0, wanted = 0;
    for (int64_t i = 0; i < count; i++) {
        double difference = (double)values[i * stride] - (double)samples[i];
        own += difference * difference;
        wanted += (double)samples[i] * (double)samples[i];
    }
    for (int64_t i = 0; i < shape_count(&w->shape); i++) square += (double)values[i] * (double)values[i];
    all->square += own;
    all->norm += wanted;
    /* Relative to the tensor's own recorded size: samples of a tensor of zeros have none. */
    double scale = norm * sqrt((double)count / (double)shape_count(&w->shape));
    if (rel_l2 > 0 && sqrt(own) > rel_l2 * fmax(scale, sqrt(wanted)))
        case_fail(p, "%s: rel L2 %.3g of the samples, allowed %.3g", w->name, sqrt(own) / fmax(scale, sqrt(wanted)),
                  rel_l2);
    if (rel_l2 > 0 && fabs(sqrt(square) - norm) > rel_l2 * norm + 1e-12)
        case_fail(p, "%s: norm %.9g, expected %.9g", w->name, sqrt(square), norm);
}

void network_check_samples(parity *p, const model *m, const float *arena, const char *folder, double rel_l2_each,
                           double rel_l2_all)
{
    const char *path = parity_name(p, "%s/index.json", folder);
    const yaml_node *index = parity_json(p, path), *tensors = index ? json_get(p, index, "tensors") : NULL;
    const npy *samples = parity_npy(p, "%s/samples.npy", folder);
    if (!tensors || !samples) return;
    size_t at = 0;
    sample_sums all = {0};
    for (size_t i = 0; i < tensors->count; i++) {
        const yaml_node *entry = &tensors->items[i];
        const weight *w = model_find(m, json_string(p, entry, "name"));
        size_t count = (size_t)json_int(p, entry, "n_samples");
        if (!w || w->kind == WEIGHT_COUNTER || at + count > samples->count ||
            (int64_t)(count - 1) * json_int(p, entry, "stride") >= shape_count(&w->shape)) {
            case_fail(p, "%s: tensor %zu (%s) does not fit the model", folder, i, json_string(p, entry, "name"));
            return;
        }
        check_tensor(p, w, arena + w->offset, entry, samples->f + at, rel_l2_each, &all);
        at += count;
    }
    case_int(p, "samples", (int64_t)at, (int64_t)samples->count);
    if (rel_l2_all > 0 && sqrt(all.square) > rel_l2_all * sqrt(all.norm))
        case_fail(p, "%s: rel L2 %.3g over all, allowed %.3g", folder, sqrt(all.square / all.norm), rel_l2_all);
}
