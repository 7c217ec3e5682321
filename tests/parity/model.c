/* model/: layers and their table, a fresh model, forward passes in training and inference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tests/parity/checkpoints.h"
#include "tests/parity/network.h"

/* ---- the table of layers ---- */

/* A model yaml with other multiples: the layers are those of every size. */
static char *with_multiples(const char *yaml_text, double depth, double width)
{
    text out = {0};
    for (const char *line = yaml_text; *line;) {
        size_t length = strcspn(line, "\n");
        if (!strncmp(line, "depth_multiple:", 15)) text_add(&out, "depth_multiple: %.17g", depth);
        else if (!strncmp(line, "width_multiple:", 15)) text_add(&out, "width_multiple: %.17g", width);
        else text_add_bytes(&out, line, length);
        text_add(&out, "\n");
        line += length + (line[length] == '\n');
    }
    return text_take(&out);
}

static void check_layers(parity *p, const model *m, const yaml_node *want)
{
    const yaml_node *layers = json_get(p, want, "layers");
    double parameters = 0, tensors = 0, values = 0;
    if (!layers || !case_int(p, "layers", (int64_t)m->config.count, (int64_t)layers->count)) return;
    for (size_t i = 0; i < layers->count; i++) {
        const layer *l = &m->config.layers[i];
        case_int(p, "layer's number", (int64_t)i, json_int(p, &layers->items[i], "i"));
        case_int(p, "parameters of a layer", l->parameters, json_int(p, &layers->items[i], "params"));
        const char *type = json_string(p, &layers->items[i], "type");
        if (strcmp(type, module_name(l->kind)))
            case_fail(p, "layer %zu is %s, expected %s", i, module_name(l->kind), type);
        size_t count;
        const double *from = json_numbers(p, json_get(p, &layers->items[i], "from"), &count);
        for (int k = 0; case_int(p, "inputs", l->from_count, (int64_t)count) && k < l->from_count; k++)
            case_int(p, "from", l->from_written[k], (int64_t)from[k]);
    }
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        double elements = (double)shape_count(&w->shape);
        values += elements;
        if (w->kind == WEIGHT_PARAMETER) parameters += elements, tensors++;
    }
    case_number(p, "n_parameters", parameters, json_double(p, want, "n_parameters"), EXACT);
    case_number(p, "n_parameter_tensors", tensors, json_double(p, want, "n_parameter_tensors"), EXACT);
    case_int(p, "n_state_dict", (int64_t)m->count, json_int(p, want, "n_state_dict"));
    case_number(p, "n_state_values", values, json_double(p, want, "n_state_values"), EXACT);
    size_t levels;
    const double *stride = json_numbers(p, json_get(p, want, "stride"), &levels);
    for (int i = 0; case_int(p, "levels", m->config.levels, (int64_t)levels) && i < m->config.levels; i++)
        case_number(p, "stride", (double)m->stride[i], stride[i], EXACT);
}

/* Layers whose output a later one reads by number: what the reference keeps. */
static void check_save(parity *p, const model *m, const yaml_node *want)
{
    int64_t saved[64];
    size_t count = 0, wanted;
    for (size_t i = 0; i < m->config.count; i++)
        for (int k = 0; k < m->config.layers[i].from_count; k++)
            if (m->config.layers[i].from_written[k] != -1 && count < 64) saved[count++] = m->config.layers[i].from[k];
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k && saved[k] < saved[k - 1]; k--) {
            int64_t swap = saved[k];
            saved[k] = saved[k - 1];
            saved[k - 1] = swap;
        }
    const double *numbers = json_numbers(p, json_get(p, want, "save"), &wanted);
    for (size_t i = 0; case_int(p, "save", (int64_t)count, (int64_t)wanted) && i < count; i++)
        case_int(p, "save", saved[i], (int64_t)numbers[i]);
}

static void run_layers(parity *p, const char *base_yaml)
{
    const yaml_node *file = parity_json(p, "model/layers.json");
    for (size_t i = 0; file && i < file->count; i++) {
        const char *name = yaml_string(&file->keys[i]);
        const yaml_node *want = &file->items[i];
        case_start(p, "model/layers %s", name);
        char *text_of =
            with_multiples(base_yaml, json_double(p, want, "depth_multiple"), json_double(p, want, "width_multiple"));
        model_config config;
        model m = {0};
        if (case_ok(p, "read", model_config_parse(name, text_of, (int)json_int(p, want, "nc"), &config)) &&
            case_ok(p, "create", model_create(&config, &m))) {
            check_layers(p, &m, want);
            check_save(p, &m, want);
            const char *path = parity_name(p, "model/layers_%s.txt", name);
            size_t length;
            const char *table = parity_text(p, path, &length);
            text got = {0};
            model_table(&m, &got);
            model_summary(&m, &got);
            text_add(&got, "\n");
            if (table) case_text(p, "table", text_string(&got), got.length, table, length);
            text_free(&got);
        }
        model_free(&m);
        free(text_of);
        case_end(p);
    }
}

/* ---- a fresh model ---- */

static void check_priors(parity *p, const model *m, const yaml_node *detect)
{
    for (size_t level = 0; level < detect->count; level++) {
        size_t count;
        const double *want = json_numbers(p, json_get(p, &detect->items[level], "bias_added"), &count);
        case_number(p, "stride", (double)m->stride[level], json_double(p, &detect->items[level], "stride"), EXACT);
        int values = 5 + m->config.classes;
        for (size_t i = 0; case_int(p, "biases", m->config.anchors * values, (int64_t)count) && i < count; i++)
            case_number(p, "bias added", (double)model_bias_prior(m, (int)level, (int)i % values), want[i],
                        (tolerance){.rel = 1e-5, .abs = 1e-6});
    }
}

/* Initial biases: uniform within 1 / sqrt(fan in) around the prior. The draws are random, the range is not. */
static void check_biases(parity *p, const model *m)
{
    int level = 0, values = 5 + m->config.classes;
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        if (w->kind != WEIGHT_PARAMETER || w->layer != (int)m->config.count - 1 || w->shape.rank != 1) continue;
        double bound = 1 / sqrt((double)m->weights[i - 1].shape.dim[1]);
        for (int k = 0; k < (int)w->shape.dim[0]; k++) {
            double away = (double)m->arena[w->offset + k] - (double)model_bias_prior(m, level, k % values);
            if (!(fabs(away) <= bound * 1.00001)) case_fail(p, "bias %d of level %d is %g off", k, level, away);
        }
        level++;
    }
    case_int(p, "heads", level, m->config.levels);
}

static void run_fresh(parity *p, const char *base_yaml)
{
    if (!parity_has(p, "model/fresh.json")) return;
    const yaml_node *file = parity_json(p, "model/fresh.json");
    case_start(p, "model/fresh");
    char *text_of = with_multiples(base_yaml, 0.33, json_double(p, file, "width_multiple"));
    model_config config;
    model m = {0};
    if (case_ok(p, "read", model_config_parse("fresh", text_of, (int)json_int(p, file, "nc"), &config)) &&
        case_ok(p, "create", model_create(&config, &m))) {
        model_init(&m, 1);
        check_priors(p, &m, json_get(p, file, "detect"));
        check_biases(p, &m);
        const yaml_node *norms = json_get(p, file, "layer0_bn");
        for (size_t i = 0; norms && i < norms->count; i++) {
            const weight *w = model_find(&m, yaml_string(&norms->keys[i]));
            size_t count;
            const double *want = json_numbers(p, &norms->items[i], &count);
            if (!w) case_fail(p, "no weight %s", yaml_string(&norms->keys[i]));
            else if (w->kind == WEIGHT_COUNTER) case_int(p, w->name, m.batches_tracked, (int64_t)want[0]);
            else
                for (size_t k = 0; k < count; k++)
                    case_number(p, w->name, (double)m.arena[w->offset + (int64_t)k], want[k], EXACT);
        }
        size_t count;
        const double *tracked = json_numbers(p, json_get(p, file, "all_bn_num_batches_tracked"), &count);
        for (size_t i = 0; i < count; i++) case_int(p, "num_batches_tracked", m.batches_tracked, (int64_t)tracked[i]);
    }
    model_free(&m);
    free(text_of);
    case_end(p);
}

/* ---- forward passes ---- */

static const tolerance outputs_close = {.rel_l2 = 1e-5, .max = 1e-4};

/* Raw predictions (N, A (5 + C), H, W) against (N, A, H, W, 5 + C). */
static void check_raw(parity *p, const network_run *run, const char *prefix, const char *folder)
{
    for (int level = 0; level < run->m.config.levels; level++) {
        const npy *want = parity_npy(p, "%s/%s_p%d.npy", folder, prefix, level);
        if (!want) continue;
        float *got = network_raw(p, run, level);
        char what[64];
        snprintf(what, sizeof what, "%s_p%d", prefix, level);
        if (got) case_floats(p, what, got, want->f, want->count, outputs_close);
    }
}

static void check_running(parity *p, const network_run *run, const char *folder)
{
    const char *path = parity_name(p, "%s/bn_running_after_train.json", folder);
    const npy *want = parity_npy(p, "%s/bn_running_after_train.npy", folder);
    const yaml_node *about = parity_json(p, path), *order = about ? json_get(p, about, "order") : NULL;
    if (!want || !order) return;
    float *got = parity_alloc(p, want->count * sizeof *got);
    size_t at = 0;
    for (size_t i = 0; i < order->count; i++) {
        const weight *w = model_find(&run->m, yaml_string(&order->items[i].items[0]));
        if (!w || at + (size_t)w->shape.dim[0] > want->count) {
            case_fail(p, "running statistics: %s", w ? "too many" : "unknown name");
            return;
        }
        network_read_weights(p, run, w, got + at);
        at += (size_t)w->shape.dim[0];
    }
    case_int(p, "running statistics", (int64_t)at, (int64_t)want->count);
    case_floats(p, "running statistics", got, want->f, at, (tolerance){.rel_l2 = 1e-6});
}

static void run_training_pass(parity *p, const char *name, const char *folder, const npy *x)
{
    network_run run;
    graph_request request = {.raw = true};
    if (network_start(p, name, x, &request, true, PRECISION_FP32, &run) && network_forward(p, &run, x)) {
        check_raw(p, &run, "train", folder);
        check_running(p, &run, folder);
    }
    network_stop(&run);
}

static void run_inference(parity *p, const char *name, const char *folder, const npy *x, const yaml_node *info,
                          bool first)
{
    network_run run;
    graph_request request = {.raw = true, .decode = true};
    const npy *decoded = parity_npy(p, "%s/eval_decoded.npy", folder);
    if (decoded && network_start(p, name, x, &request, false, PRECISION_FP32, &run) && network_forward(p, &run, x)) {
        check_raw(p, &run, "eval", folder);
        float *got = parity_alloc(p, decoded->count * sizeof *got);
        if (case_ok(p, "decoded",
                    run.ops->plan_read(run.plan, PLAN_VALUE, run.ends.decoded, got, decoded->count * sizeof *got)))
            case_floats(p, "eval_decoded", got, decoded->f, decoded->count, (tolerance){.rel_l2 = 1e-5, .max = 5e-3});
        float *p0 = first ? network_raw(p, &run, 0) : NULL;
        double square = 0; /* the folded network's own norm: our inference folds */
        for (size_t i = 0; p0 && i < network_raw_count(&run, 0); i++) square += (double)p0[i] * (double)p0[i];
        if (p0 && yaml_get(info, "fused_eval_p0_l2"))
            case_number(p, "fused_eval_p0_l2", sqrt(square), json_double(p, info, "fused_eval_p0_l2"),
                        (tolerance){.rel = 1e-5});
    }
    if (decoded) network_stop(&run);
}

static void check_info(parity *p, const char *name, const yaml_node *info)
{
    model m;
    if (!network_model(p, name, &m)) return;
    detect_parameters heads = model_heads(&m);
    size_t cells, pixels;
    const double *anchors = json_numbers(p, json_get(p, info, "anchors_in_grid_units"), &cells);
    const double *grid = json_numbers(p, json_get(p, info, "anchor_grid"), &pixels);
    size_t k = 0;
    for (int level = 0; level < heads.levels; level++)
        for (int v = 0; v < 2 * heads.anchors && k < cells && k < pixels; v++, k++) {
            case_number(p, "anchors", (double)heads.anchor[level][v / 2][v % 2], anchors[k], (tolerance){.rel = 1e-6});
            case_number(p, "anchor_grid", (double)heads.anchor[level][v / 2][v % 2] * (double)heads.stride[level],
                        grid[k], (tolerance){.rel = 1e-6});
        }
    case_int(p, "anchors", (int64_t)k, (int64_t)cells);
    check_save(p, &m, info);
    model_free(&m);
}

static void run_model(parity *p, const char *name)
{
    const char *path = parity_name(p, "model/%s/info.json", name);
    const yaml_node *info = parity_json(p, path);
    if (!info) return;
    case_start(p, "model/%s info", name);
    check_info(p, name, info);
    case_end(p);
    const char *folder = parity_name(p, "model/%s", name);
    const fs_names *inside = parity_list(p, folder);
    for (size_t i = 0, inputs = 0; i < inside->count; i++) {
        if (!text_starts_with(inside->names[i], "input")) continue;
        folder = parity_name(p, "model/%s/%s", name, inside->names[i]);
        const npy *x = parity_npy(p, "%s/x.npy", folder);
        case_start(p, "%s training", folder);
        if (x) run_training_pass(p, name, folder, x);
        else case_fail(p, "no x.npy");
        case_end(p);
        case_start(p, "%s inference", folder);
        if (x) run_inference(p, name, folder, x, info, inputs == 0);
        else case_fail(p, "no x.npy");
        case_end(p);
        inputs++;
    }
    for (size_t i = 0; i < inside->count; i++)
        if (text_ends_with(inside->names[i], ".pt")) checkpoints_weights(p, name, inside->names[i]);
}

void parity_model(parity *p)
{
    const fs_names *inside = parity_list(p, "model");
    const char *base = NULL;
    for (size_t i = 0; i < inside->count; i++) {
        size_t length;
        const char *path = parity_name(p, "model/%s/%s.yaml", inside->names[i], inside->names[i]);
        if (!parity_has(p, path)) continue;
        if (!base) base = parity_text(p, path, &length);
        run_model(p, inside->names[i]);
    }
    if (!base) {
        case_fail(p, "model/: no folder with a model yaml of its name");
        return;
    }
    run_layers(p, base);
    run_fresh(p, base);
}
