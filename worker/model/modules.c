#include "worker/model/modules.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"

/* ---- names ---- */

typedef struct prefix {
    char text[TENSOR_NAME_ROOM];
} prefix;

/* Room for every name that modules make: "model.", two numbers, and parts of the reference's own. */
static prefix below(const prefix *p, const char *name)
{
    prefix result;
    snprintf(result.text, sizeof result.text, "%.*s%s%.*s", 60, p->text, *p->text ? "." : "", 30, name);
    return result;
}

static prefix numbered(const prefix *p, int number)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    return below(p, digits);
}

static prefix layer_prefix(int layer)
{
    prefix model = {"model"};
    return numbered(&model, layer);
}

/* ---- declaring ---- */

static status declare(model *m, int layer, const prefix *p, const char *name, weight_kind kind, shape s)
{
    TRY(array_room(&m->weights, &m->room, m->count + 1));
    weight *w = &m->weights[m->count++];
    prefix full = below(p, name);
    memcpy(w->name, full.text, sizeof w->name);
    w->kind = kind;
    w->shape = s;
    w->layer = layer;
    w->offset = kind == WEIGHT_COUNTER ? -1 : m->arena_count;
    if (kind != WEIGHT_COUNTER) m->arena_count += shape_count(&s);
    if (kind == WEIGHT_PARAMETER) m->config.layers[layer].parameters += shape_count(&s);
    return OK;
}

static status declare_conv2d(model *m, int layer, const prefix *p, int in, int out, int kernel, int groups, bool bias)
{
    TRY(declare(m, layer, p, "weight", WEIGHT_PARAMETER, shape_of(4, out, in / groups, kernel, kernel)));
    return bias ? declare(m, layer, p, "bias", WEIGHT_PARAMETER, shape_of(1, out, 0, 0, 0)) : OK;
}

static status declare_norm(model *m, int layer, const prefix *p, int channels)
{
    shape s = shape_of(1, channels, 0, 0, 0);
    TRY(declare(m, layer, p, "weight", WEIGHT_PARAMETER, s));
    TRY(declare(m, layer, p, "bias", WEIGHT_PARAMETER, s));
    TRY(declare(m, layer, p, "running_mean", WEIGHT_STATE, s));
    TRY(declare(m, layer, p, "running_var", WEIGHT_STATE, s));
    return declare(m, layer, p, "num_batches_tracked", WEIGHT_COUNTER, shape_of(0, 0, 0, 0, 0));
}

static status declare_conv(model *m, int layer, const prefix *p, int in, int out, int kernel, int groups)
{
    prefix conv = below(p, "conv"), norm = below(p, "bn");
    TRY(declare_conv2d(m, layer, &conv, in, out, kernel, groups, false));
    return declare_norm(m, layer, &norm, out);
}

static status declare_bottleneck(model *m, int layer, const prefix *p, int in, int out, int groups, double expansion)
{
    int hidden = (int)(out * expansion);
    prefix cv1 = below(p, "cv1"), cv2 = below(p, "cv2");
    TRY(declare_conv(m, layer, &cv1, in, hidden, 1, 1));
    return declare_conv(m, layer, &cv2, hidden, out, 3, groups);
}

static status declare_csp(model *m, int layer, const prefix *p, const struct layer *l, int in)
{
    int hidden = (int)(l->out * l->expansion);
    prefix cv1 = below(p, "cv1"), cv2 = below(p, "cv2"), cv3 = below(p, "cv3"), cv4 = below(p, "cv4");
    prefix norm = below(p, "bn"), inner = below(p, "m");
    TRY(declare_conv(m, layer, &cv1, in, hidden, 1, 1));
    TRY(declare_conv2d(m, layer, &cv2, in, hidden, 1, 1, false));
    TRY(declare_conv2d(m, layer, &cv3, hidden, hidden, 1, 1, false));
    TRY(declare_conv(m, layer, &cv4, 2 * hidden, l->out, 1, 1));
    TRY(declare_norm(m, layer, &norm, 2 * hidden));
    for (int i = 0; i < l->inner; i++) {
        prefix one = numbered(&inner, i);
        TRY(declare_bottleneck(m, layer, &one, hidden, hidden, l->groups, 1.0));
    }
    return OK;
}

static status declare_spp(model *m, int layer, const prefix *p, const struct layer *l, int in)
{
    prefix cv1 = below(p, "cv1"), cv2 = below(p, "cv2");
    TRY(declare_conv(m, layer, &cv1, in, in / 2, 1, 1));
    return declare_conv(m, layer, &cv2, in / 2 * (l->pools + 1), l->out, 1, 1);
}

static status declare_detect(model *m, int layer, const prefix *p, const struct layer *l)
{
    int levels = m->config.levels, anchors = m->config.anchors;
    prefix heads = below(p, "m");
    shape cells = {.rank = 3, .dim = {levels, anchors, 2}};
    TRY(declare(m, layer, p, "anchors", WEIGHT_ANCHORS, cells));
    /* The reference's shape is (levels, 1, anchors, 1, 1, 2); ours leaves out what is 1. */
    TRY(declare(m, layer, p, "anchor_grid", WEIGHT_ANCHORS, cells));
    for (int i = 0; i < levels; i++) {
        prefix head = numbered(&heads, i);
        TRY(declare_conv2d(m, layer, &head, m->config.layers[l->from[i]].out, anchors * (5 + m->config.classes), 1, 1,
                           true));
    }
    return OK;
}

static status declare_one(model *m, int layer, const prefix *p, int in)
{
    const struct layer *l = &m->config.layers[layer];
    switch (l->kind) {
    case MODULE_FOCUS: {
        prefix conv = below(p, "conv");
        return declare_conv(m, layer, &conv, 4 * in, l->out, l->kernel, l->groups);
    }
    case MODULE_CONV:
    case MODULE_DWCONV: return declare_conv(m, layer, p, in, l->out, l->kernel, l->groups);
    case MODULE_BOTTLENECK: return declare_bottleneck(m, layer, p, in, l->out, l->groups, l->expansion);
    case MODULE_BOTTLENECK_CSP: return declare_csp(m, layer, p, l, in);
    case MODULE_SPP: return declare_spp(m, layer, p, l, in);
    case MODULE_CONV2D: return declare_conv2d(m, layer, p, in, l->out, l->kernel, 1, true);
    case MODULE_BATCH_NORM: return declare_norm(m, layer, p, in);
    case MODULE_DETECT: return declare_detect(m, layer, p, l);
    default: return OK;
    }
}

status module_declare(model *m, int layer)
{
    const struct layer *l = &m->config.layers[layer];
    prefix p = layer_prefix(layer);
    for (int i = 0; i < l->repeats; i++) {
        prefix one = l->repeats > 1 ? numbered(&p, i) : p;
        TRY(declare_one(m, layer, &one, i ? l->out : l->in));
    }
    return OK;
}

/* ---- graphs ---- */

/* A stored tensor for a weight, once a graph. */
static status stored(const module_graph *c, const prefix *p, const char *name, int *out)
{
    prefix full = below(p, name);
    *out = graph_find(c->g, full.text);
    if (*out >= 0) return OK;
    const weight *w = model_find(c->m, full.text);
    if (!w) return FAIL(ERR_ARGUMENT, "model: no weight %s", full.text);
    graph_tensor t = {.role = TENSOR_STORED,
                      .type = DTYPE_F32,
                      .shape = w->shape,
                      .arena = ARENA_WEIGHTS,
                      .offset = w->offset};
    t.trained = w->kind == WEIGHT_PARAMETER;
    memcpy(t.name, w->name, sizeof t.name);
    return graph_add_tensor(c->g, &t, out);
}

static const shape *shape_at(const module_graph *c, int tensor)
{
    return &c->g->tensors[tensor].shape;
}

/* A node with one output of this shape. */
static status emit(const module_graph *c, graph_node *n, shape s, const prefix *p, int *out)
{
    graph_tensor t = {.role = TENSOR_INNER, .type = DTYPE_F32, .shape = s};
    snprintf(t.name, sizeof t.name, "%.*s:%s", 80, p->text, op_name(n->kind));
    TRY(graph_add_tensor(c->g, &t, out));
    n->outputs = 1;
    n->out[0] = *out;
    return graph_add_node(c->g, n);
}

static status emit_conv2d(const module_graph *c, const prefix *p, int x, int out_channels, int kernel, int stride,
                          int pad, int groups, bool bias, int *out)
{
    graph_node n = {.kind = OP_CONV, .inputs = 3, .in = {x, -1, -1}};
    n.conv = (conv_parameters){kernel, kernel, stride, stride, pad, pad, groups};
    TRY(stored(c, p, "weight", &n.in[1]));
    if (bias) TRY(stored(c, p, "bias", &n.in[2]));
    shape s = *shape_at(c, x);
    s.dim[1] = out_channels;
    s.dim[2] = (s.dim[2] + 2 * pad - kernel) / stride + 1;
    s.dim[3] = (s.dim[3] + 2 * pad - kernel) / stride + 1;
    if (s.dim[2] < 1 || s.dim[3] < 1 || shape_at(c, x)->dim[2] + 2 * pad < kernel ||
        shape_at(c, x)->dim[3] + 2 * pad < kernel)
        return FAIL(ERR_ARGUMENT, "a kernel of %d is larger than its map", kernel);
    return emit(c, &n, s, p, out);
}

static status emit_norm(const module_graph *c, const prefix *p, int x, int *out)
{
    graph_node n = {.kind = OP_NORM, .inputs = 5, .in = {x}};
    n.norm.eps = norm_eps;
    n.norm.momentum = norm_momentum;
    TRY(stored(c, p, "weight", &n.in[1]));
    TRY(stored(c, p, "bias", &n.in[2]));
    TRY(stored(c, p, "running_mean", &n.in[3]));
    TRY(stored(c, p, "running_var", &n.in[4]));
    return emit(c, &n, *shape_at(c, x), p, out);
}

static status emit_activation(const module_graph *c, const prefix *p, int x, activation kind, int *out)
{
    graph_node n = {.kind = OP_ACTIVATION, .inputs = 1, .in = {x}, .activation = kind};
    return emit(c, &n, *shape_at(c, x), p, out);
}

static status emit_concat(const module_graph *c, const prefix *p, const int *x, int count, int *out)
{
    graph_node n = {.kind = OP_CONCAT, .inputs = count};
    shape s = *shape_at(c, x[0]);
    s.dim[1] = 0;
    if (count > GRAPH_INPUTS)
        return FAIL(ERR_UNSUPPORTED, "%s: a concatenation of more than %d", p->text, GRAPH_INPUTS);
    for (int i = 0; i < count; i++) {
        const shape *part = shape_at(c, x[i]);
        if (part->dim[2] != s.dim[2] || part->dim[3] != s.dim[3])
            return FAIL(ERR_ARGUMENT, "maps of different size (strides) are joined");
        n.in[i] = x[i];
        s.dim[1] += part->dim[1];
    }
    return emit(c, &n, s, p, out);
}

/* Convolution, batch-norm, Hardswish. */
static status emit_conv(const module_graph *c, const prefix *p, int x, const struct layer *l, int channels, int kernel,
                        int stride, int groups, int *out)
{
    prefix conv = below(p, "conv"), norm = below(p, "bn");
    int pad = l->pad >= 0 && kernel == l->kernel ? l->pad : kernel / 2, y;
    TRY(emit_conv2d(c, &conv, x, channels, kernel, stride, pad, groups, false, &y));
    TRY(emit_norm(c, &norm, y, out));
    return l->activation ? emit_activation(c, p, *out, ACTIVATION_HARDSWISH, out) : OK;
}

static status emit_bottleneck(const module_graph *c, const prefix *p, int x, const struct layer *l, int channels,
                              double expansion, int *out)
{
    int hidden = (int)(channels * expansion), y;
    prefix cv1 = below(p, "cv1"), cv2 = below(p, "cv2");
    TRY(emit_conv(c, &cv1, x, l, hidden, 1, 1, 1, &y));
    TRY(emit_conv(c, &cv2, y, l, channels, 3, 1, l->groups, out));
    if (!l->shortcut || shape_at(c, x)->dim[1] != channels) return OK;
    graph_node add = {.kind = OP_ADD, .inputs = 2, .in = {x, *out}};
    return emit(c, &add, *shape_at(c, x), p, out);
}

static status emit_csp(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    int hidden = (int)(l->out * l->expansion), y, parts[2], joined;
    prefix cv1 = below(p, "cv1"), cv2 = below(p, "cv2"), cv3 = below(p, "cv3"), cv4 = below(p, "cv4");
    prefix norm = below(p, "bn"), inner = below(p, "m");
    TRY(emit_conv(c, &cv1, x, l, hidden, 1, 1, 1, &y));
    TRY(emit_conv2d(c, &cv2, x, hidden, 1, 1, 0, 1, false, &parts[1]));
    for (int i = 0; i < l->inner; i++) {
        prefix one = numbered(&inner, i);
        TRY(emit_bottleneck(c, &one, y, l, hidden, 1.0, &y));
    }
    TRY(emit_conv2d(c, &cv3, y, hidden, 1, 1, 0, 1, false, &parts[0]));
    TRY(emit_concat(c, p, parts, 2, &joined));
    TRY(emit_norm(c, &norm, joined, &joined));
    TRY(emit_activation(c, p, joined, ACTIVATION_LEAKY_RELU, &joined));
    return emit_conv(c, &cv4, joined, l, l->out, 1, 1, 1, out);
}

static status emit_spp(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    int parts[LAYER_POOLS + 1], joined;
    prefix cv1 = below(p, "cv1"), cv2 = below(p, "cv2");
    TRY(emit_conv(c, &cv1, x, l, l->in / 2, 1, 1, 1, &parts[0]));
    for (int i = 0; i < l->pools; i++) {
        graph_node pool = {.kind = OP_MAXPOOL, .inputs = 1, .in = {parts[0]}, .pool = l->pool[i]};
        TRY(emit(c, &pool, *shape_at(c, parts[0]), p, &parts[i + 1]));
    }
    TRY(emit_concat(c, p, parts, l->pools + 1, &joined));
    return emit_conv(c, &cv2, joined, l, l->out, 1, 1, 1, out);
}

static status emit_focus(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    prefix conv = below(p, "conv");
    graph_node focus = {.kind = OP_FOCUS, .inputs = 1, .in = {x}};
    shape s = *shape_at(c, x);
    s.dim[1] *= 4;
    s.dim[2] /= 2;
    s.dim[3] /= 2;
    TRY(emit(c, &focus, s, p, &x));
    return emit_conv(c, &conv, x, l, l->out, l->kernel, l->stride, l->groups, out);
}

static status emit_upsample(const module_graph *c, const prefix *p, int x, int *out)
{
    graph_node n = {.kind = OP_UPSAMPLE, .inputs = 1, .in = {x}};
    shape s = *shape_at(c, x);
    s.dim[2] *= 2;
    s.dim[3] *= 2;
    return emit(c, &n, s, p, out);
}

static status emit_detect(const module_graph *c, const prefix *p, const int *in, const struct layer *l, int *heads)
{
    prefix all = below(p, "m");
    int channels = c->m->config.anchors * (5 + c->m->config.classes);
    for (int i = 0; i < l->from_count; i++) {
        prefix head = numbered(&all, i);
        TRY(emit_conv2d(c, &head, in[i], channels, 1, 1, 0, 1, true, &heads[i]));
    }
    return OK;
}

static status emit_one(const module_graph *c, const prefix *p, const int *in, const struct layer *l, int *out,
                       int *heads)
{
    switch (l->kind) {
    case MODULE_FOCUS: return emit_focus(c, p, in[0], l, out);
    case MODULE_CONV:
    case MODULE_DWCONV: return emit_conv(c, p, in[0], l, l->out, l->kernel, l->stride, l->groups, out);
    case MODULE_BOTTLENECK: return emit_bottleneck(c, p, in[0], l, l->out, l->expansion, out);
    case MODULE_BOTTLENECK_CSP: return emit_csp(c, p, in[0], l, out);
    case MODULE_SPP: return emit_spp(c, p, in[0], l, out);
    case MODULE_CONCAT: return emit_concat(c, p, in, l->from_count, out);
    case MODULE_UPSAMPLE: return emit_upsample(c, p, in[0], out);
    case MODULE_CONV2D:
        return emit_conv2d(c, p, in[0], l->out, l->kernel, l->stride, l->pad >= 0 ? l->pad : 0, 1, true, out);
    case MODULE_BATCH_NORM: return emit_norm(c, p, in[0], out);
    case MODULE_DETECT: return emit_detect(c, p, in, l, heads);
    case MODULE_KINDS: break;
    }
    return FAIL(ERR_ARGUMENT, "%s: an unknown module", p->text);
}

status module_emit(const module_graph *c, int layer, const int *in, int *out, int heads[GRAPH_LEVELS])
{
    const struct layer *l = &c->m->config.layers[layer];
    prefix p = layer_prefix(layer);
    for (int i = 0; i < l->repeats; i++) {
        prefix one = l->repeats > 1 ? numbered(&p, i) : p;
        TRY(emit_one(c, &one, i ? out : in, l, out, heads));
    }
    return OK;
}
