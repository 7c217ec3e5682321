/* onnx_nodes.c - operations as ONNX's operators. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/model/onnx_inner.h"

typedef struct walk {
    onnx_graph *g;
    const graph *from;
    const char **value;        /* name of each tensor's value, once it is made */
    const graph_node **folded; /* the norm that a convolution takes in, by the tensor between them */
} walk;

static const graph_tensor *tensor_of(const walk *w, int index)
{
    return &w->from->tensors[index];
}

static const float *weights_of(const walk *w, int index)
{
    return w->g->m->arena + tensor_of(w, index)->offset;
}

/* Names of tensors repeat: their numbers make them differ. */
static const char *name_of(const walk *w, int index)
{
    return onnx_name(w->g, "%s/%d", tensor_of(w, index)->name, index);
}

/* A node for `n`, which makes what its output tensor stands for. */
static Onnx__NodeProto *add(const walk *w, const graph_node *n, const char *type)
{
    const char *inputs[ONNX_INPUTS] = {0};
    for (int i = 0; i < n->inputs && i < ONNX_INPUTS; i++) inputs[i] = w->value[n->in[i]];
    Onnx__NodeProto *made = onnx_node(w->g, type, name_of(w, n->out[0]), 1, inputs);
    w->value[n->out[0]] = made ? made->name : NULL;
    return made;
}

/* ---- convolutions ---- */

/* weight * gamma / sqrt(variance + eps) and beta - mean * that (+ bias * that), in double. */
static void fold(const walk *w, const graph_node *conv, const graph_node *norm, float *weight, float *bias)
{
    const shape *s = &tensor_of(w, conv->in[1])->shape;
    int64_t each = shape_count(s) / s->dim[0];
    const float *from = weights_of(w, conv->in[1]), *gamma = weights_of(w, norm->in[1]);
    const float *beta = weights_of(w, norm->in[2]), *mean = weights_of(w, norm->in[3]);
    const float *variance = weights_of(w, norm->in[4]);
    for (int64_t o = 0; o < s->dim[0]; o++) {
        double scale = (double)gamma[o] / sqrt((double)variance[o] + (double)norm->norm.eps);
        double own = conv->inputs > 2 && conv->in[2] >= 0 ? (double)weights_of(w, conv->in[2])[o] : 0;
        for (int64_t i = 0; i < each; i++) weight[o * each + i] = (float)((double)from[o * each + i] * scale);
        bias[o] = (float)((double)beta[o] + (own - (double)mean[o]) * scale);
    }
}

static void add_conv(const walk *w, const graph_node *n)
{
    const conv_parameters *k = &n->conv;
    const graph_tensor *kernel = tensor_of(w, n->in[1]);
    const graph_node *norm = w->folded[n->out[0]];
    bool has_bias = n->inputs > 2 && n->in[2] >= 0;
    const float *weight = weights_of(w, n->in[1]), *bias = has_bias ? weights_of(w, n->in[2]) : NULL;
    shape of_bias = shape_of(1, kernel->shape.dim[0], 0, 0, 0);
    if (norm) {
        float *own_weight = onnx_hold(w->g, (size_t)shape_count(&kernel->shape), sizeof *own_weight);
        float *own_bias = onnx_hold(w->g, (size_t)of_bias.dim[0], sizeof *own_bias);
        if (!own_weight || !own_bias) return;
        fold(w, n, norm, own_weight, own_bias);
        weight = own_weight;
        bias = own_bias;
    }
    const char *inputs[ONNX_INPUTS] = {w->value[n->in[0]], onnx_floats(w->g, kernel->name, &kernel->shape, weight)};
    int stem = (int)(strlen(kernel->name) - strlen("weight"));
    if (bias) inputs[2] = onnx_floats(w->g, onnx_name(w->g, "%.*sbias", stem, kernel->name), &of_bias, bias);
    int out = norm ? norm->out[0] : n->out[0];
    Onnx__NodeProto *made = onnx_node(w->g, "Conv", name_of(w, n->out[0]), 1, inputs);
    onnx_set_ints(w->g, made, "kernel_shape", 2, (const int64_t[]){k->kernel_h, k->kernel_w});
    onnx_set_ints(w->g, made, "strides", 2, (const int64_t[]){k->stride_h, k->stride_w});
    onnx_set_ints(w->g, made, "pads", 4, (const int64_t[]){k->pad_h, k->pad_w, k->pad_h, k->pad_w});
    onnx_set_int(w->g, made, "group", k->groups);
    w->value[out] = made ? made->name : NULL;
}

static void add_norm(const walk *w, const graph_node *n)
{
    if (w->folded[n->in[0]] == n) return;
    for (int i = 1; i < 5; i++) {
        const graph_tensor *t = tensor_of(w, n->in[i]);
        if (!w->value[n->in[i]]) w->value[n->in[i]] = onnx_floats(w->g, t->name, &t->shape, weights_of(w, n->in[i]));
    }
    onnx_set_float(w->g, add(w, n, "BatchNormalization"), "epsilon", n->norm.eps);
}

/* ---- the others ---- */

/* x * f(x) */
static void add_gated(const walk *w, const graph_node *n, Onnx__NodeProto *gate)
{
    const char *inputs[ONNX_INPUTS] = {w->value[n->in[0]], gate ? gate->name : NULL};
    Onnx__NodeProto *made = onnx_node(w->g, "Mul", name_of(w, n->out[0]), 1, inputs);
    w->value[n->out[0]] = made ? made->name : NULL;
}

static void add_activation(const walk *w, const graph_node *n)
{
    const char *inputs[ONNX_INPUTS] = {w->value[n->in[0]]};
    const char *gate = onnx_name(w->g, "%s.gate", name_of(w, n->out[0]));
    Onnx__NodeProto *made;
    switch (n->activation) {
    case ACTIVATION_HARDSWISH:
        made = onnx_node(w->g, "HardSigmoid", gate, 1, inputs);
        onnx_set_float(w->g, made, "alpha", 1.0f / 6);
        onnx_set_float(w->g, made, "beta", 0.5f);
        add_gated(w, n, made);
        break;
    case ACTIVATION_SILU: add_gated(w, n, onnx_node(w->g, "Sigmoid", gate, 1, inputs)); break;
    case ACTIVATION_LEAKY_RELU: onnx_set_float(w->g, add(w, n, "LeakyRelu"), "alpha", leaky_relu_slope); break;
    case ACTIVATION_RELU: add(w, n, "Relu"); break;
    }
}

/* Every other pixel, from each of four corners. */
static void add_focus(const walk *w, const graph_node *n)
{
    static const int64_t first[4][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};
    const char *name = name_of(w, n->out[0]), *parts[ONNX_INPUTS] = {0};
    const char *ends = onnx_ints(w->g, onnx_name(w->g, "%s.ends", name), 2, (const int64_t[]){INT64_MAX, INT64_MAX});
    const char *axes = onnx_ints(w->g, onnx_name(w->g, "%s.axes", name), 2, (const int64_t[]){2, 3});
    const char *steps = onnx_ints(w->g, onnx_name(w->g, "%s.steps", name), 2, (const int64_t[]){2, 2});
    for (int i = 0; i < 4; i++) {
        const char *start = onnx_ints(w->g, onnx_name(w->g, "%s.start%d", name, i), 2, first[i]);
        const char *inputs[ONNX_INPUTS] = {w->value[n->in[0]], start, ends, axes, steps};
        Onnx__NodeProto *slice = onnx_node(w->g, "Slice", onnx_name(w->g, "%s.part%d", name, i), 1, inputs);
        parts[i] = slice ? slice->name : NULL;
    }
    Onnx__NodeProto *made = onnx_node(w->g, "Concat", name, 1, parts);
    onnx_set_int(w->g, made, "axis", 1);
    w->value[n->out[0]] = made ? made->name : NULL;
}

static void add_upsample(const walk *w, const graph_node *n)
{
    static const float scales[] = {1, 1, 2, 2};
    shape four = shape_of(1, 4, 0, 0, 0), none = shape_of(1, 0, 0, 0, 0);
    const char *name = name_of(w, n->out[0]);
    const char *roi = onnx_floats(w->g, onnx_name(w->g, "%s.roi", name), &none, scales);
    const char *by = onnx_floats(w->g, onnx_name(w->g, "%s.scales", name), &four, scales);
    const char *inputs[ONNX_INPUTS] = {w->value[n->in[0]], roi, by};
    Onnx__NodeProto *made = onnx_node(w->g, "Resize", name, 1, inputs);
    onnx_set_text(w->g, made, "mode", "nearest");
    onnx_set_text(w->g, made, "coordinate_transformation_mode", "asymmetric");
    onnx_set_text(w->g, made, "nearest_mode", "floor");
    w->value[n->out[0]] = made ? made->name : NULL;
}

static void add_pool(const walk *w, const graph_node *n)
{
    int64_t size = n->pool.size, stride = n->pool.stride, pad = n->pool.pad;
    Onnx__NodeProto *made = add(w, n, "MaxPool");
    onnx_set_ints(w->g, made, "kernel_shape", 2, (const int64_t[]){size, size});
    onnx_set_ints(w->g, made, "strides", 2, (const int64_t[]){stride, stride});
    onnx_set_ints(w->g, made, "pads", 4, (const int64_t[]){pad, pad, pad, pad});
}

static status add_operation(const walk *w, const graph_node *n)
{
    switch (n->kind) {
    case OP_IMAGE: w->value[n->out[0]] = "images"; return OK;
    case OP_FOCUS: add_focus(w, n); return OK;
    case OP_CONV: add_conv(w, n); return OK;
    case OP_NORM: add_norm(w, n); return OK;
    case OP_ACTIVATION: add_activation(w, n); return OK;
    case OP_ADD: add(w, n, "Add"); return OK;
    case OP_CONCAT: onnx_set_int(w->g, add(w, n, "Concat"), "axis", 1); return OK;
    case OP_UPSAMPLE: add_upsample(w, n); return OK;
    case OP_MAXPOOL: add_pool(w, n); return OK;
    default: return FAIL(ERR_UNSUPPORTED, "ONNX: the operation '%s' is not of a model", op_name(n->kind));
    }
}

/* A norm is folded into the convolution before it when nobody else reads what lies between them. */
static status find_folded(walk *w, const int heads[GRAPH_LEVELS])
{
    int *readers;
    bool *convolved;
    TRY(array_new(&readers, w->from->tensor_count));
    status s = array_new(&convolved, w->from->tensor_count);
    for (int i = 0; s == OK && i < w->g->m->config.levels; i++) readers[heads[i]]++;
    for (size_t i = 0; s == OK && i < w->from->node_count; i++) {
        const graph_node *n = &w->from->nodes[i];
        for (int k = 0; k < n->inputs; k++)
            if (n->in[k] >= 0) readers[n->in[k]]++;
        if (n->kind == OP_CONV) convolved[n->out[0]] = true;
    }
    for (size_t i = 0; s == OK && i < w->from->node_count; i++) {
        const graph_node *n = &w->from->nodes[i];
        if (n->kind == OP_NORM && convolved[n->in[0]] && readers[n->in[0]] == 1) w->folded[n->in[0]] = n;
    }
    free(readers);
    free(convolved);
    return s;
}

status onnx_add_layers(onnx_graph *g, const graph *from, const int heads[GRAPH_LEVELS], const char *names[GRAPH_LEVELS])
{
    walk w = {.g = g, .from = from};
    status s = array_new(&w.value, from->tensor_count);
    if (s == OK) s = array_new(&w.folded, from->tensor_count);
    if (s == OK) s = find_folded(&w, heads);
    for (size_t i = 0; s == OK && !g->failed && i < from->node_count; i++) s = add_operation(&w, &from->nodes[i]);
    for (int i = 0; s == OK && i < g->m->config.levels; i++) names[i] = w.value[heads[i]];
    free(w.value);
    free(w.folded);
    return s == OK && g->failed ? FAIL(ERR_MEMORY, "out of memory for an ONNX model") : s;
}
