/* modules_graph.c - modules as operations. */
#include <stdio.h>
#include <string.h>

#include "worker/model/modules.h"
#include "worker/model/modules_inner.h"

/* A stored tensor for a weight, once a graph. */
static status stored(const module_graph *c, const prefix *p, const char *name, int *out)
{
    prefix full = module_below(p, name);
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

static status emit_conv2d(const module_graph *c, const prefix *p, int x, int channels, conv_parameters k, bool bias,
                          int *out)
{
    graph_node n = {.kind = OP_CONV, .inputs = 3, .in = {x, -1, -1}, .conv = k};
    TRY(stored(c, p, "weight", &n.in[1]));
    if (bias) TRY(stored(c, p, "bias", &n.in[2]));
    shape s = *shape_at(c, x);
    if (s.dim[2] + 2 * k.pad_h < k.kernel_h || s.dim[3] + 2 * k.pad_w < k.kernel_w)
        return FAIL(ERR_ARGUMENT, "a kernel of %d x %d is larger than its map", k.kernel_w, k.kernel_h);
    s.dim[1] = channels;
    s.dim[2] = (s.dim[2] + 2 * k.pad_h - k.kernel_h) / k.stride_h + 1;
    s.dim[3] = (s.dim[3] + 2 * k.pad_w - k.kernel_w) / k.stride_w + 1;
    return emit(c, &n, s, p, out);
}

/* A square kernel, padded by half of it. */
static conv_parameters square(int kernel, int stride, int groups)
{
    return (conv_parameters){kernel, kernel, stride, stride, kernel / 2, kernel / 2, groups};
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

static status emit_add(const module_graph *c, const prefix *p, int a, int b, int *out)
{
    const shape *x = shape_at(c, a), *y = shape_at(c, b);
    if (!shape_equal(x, y)) return FAIL(ERR_ARGUMENT, "maps of different shape are added");
    graph_node add = {.kind = OP_ADD, .inputs = 2, .in = {a, b}};
    return emit(c, &add, *x, p, out);
}

static status emit_pool(const module_graph *c, const prefix *p, int x, pool_parameters k, int *out)
{
    graph_node pool = {.kind = OP_MAXPOOL, .inputs = 1, .in = {x}, .pool = k};
    shape s = *shape_at(c, x);
    for (int i = 2; i < 4; i++) {
        if (s.dim[i] + 2 * k.pad < k.size) return FAIL(ERR_ARGUMENT, "a window of %d is larger than its map", k.size);
        s.dim[i] = (s.dim[i] + 2 * k.pad - k.size) / k.stride + 1;
    }
    return emit(c, &pool, s, p, out);
}

/* ---- modules ---- */

/* Convolution, batch-norm, activation: a Conv of this name within p; p itself for the name NULL. */
static status emit_conv(const module_graph *c, const prefix *p, const char *name, int x, int channels,
                        conv_parameters k, bool active, int *out)
{
    prefix own = name ? module_below(p, name) : *p, conv = module_below(&own, "conv"), norm = module_below(&own, "bn");
    int y;
    TRY(emit_conv2d(c, &conv, x, channels, k, false, &y));
    TRY(emit_norm(c, &norm, y, out));
    return active ? emit_activation(c, &own, *out, c->m->config.activation, out) : OK;
}

/* The convolution that a layer's own arguments describe. */
static status emit_own_conv(const module_graph *c, const prefix *p, const char *name, int x, const struct layer *l,
                            int *out)
{
    conv_parameters k = square(l->kernel, l->stride, l->groups);
    if (l->pad >= 0) k.pad_h = k.pad_w = l->pad;
    return emit_conv(c, p, name, x, l->out, k, l->activation, out);
}

static status emit_bottleneck(const module_graph *c, const prefix *p, int x, const struct layer *l, int channels,
                              double expansion, int *out)
{
    int hidden = (int)(channels * expansion), y;
    TRY(emit_conv(c, p, "cv1", x, hidden, square(1, 1, 1), true, &y));
    TRY(emit_conv(c, p, "cv2", y, channels, square(3, 1, l->groups), true, out));
    return l->shortcut && shape_at(c, x)->dim[1] == channels ? emit_add(c, p, x, *out, out) : OK;
}

/* A row, then a column of weights. */
static status emit_cross(const module_graph *c, const prefix *p, int x, const struct layer *l, int channels, int kernel,
                         int stride, double expansion, int *out)
{
    conv_parameters row = {1, kernel, 1, stride, 0, kernel / 2, 1};
    conv_parameters column = {kernel, 1, stride, 1, kernel / 2, 0, l->groups};
    int hidden = (int)(channels * expansion), y;
    TRY(emit_conv(c, p, "cv1", x, hidden, row, true, &y));
    TRY(emit_conv(c, p, "cv2", y, channels, column, true, out));
    return l->shortcut && shape_at(c, x)->dim[1] == channels ? emit_add(c, p, x, *out, out) : OK;
}

/* What a stage repeats. */
static status emit_inner(const module_graph *c, const prefix *p, int x, const struct layer *l, int hidden, int *out)
{
    prefix inner = module_below(p, "m");
    *out = x;
    for (int i = 0; i < l->inner; i++) {
        prefix one = module_numbered(&inner, i);
        if (l->kind == MODULE_CROSS_C3) TRY(emit_cross(c, &one, *out, l, hidden, 3, 1, 1, out));
        else TRY(emit_bottleneck(c, &one, *out, l, hidden, 1, out));
    }
    return OK;
}

static status emit_csp(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    int hidden = (int)(l->out * l->expansion), y, parts[2], joined;
    prefix cv2 = module_below(p, "cv2"), cv3 = module_below(p, "cv3"), norm = module_below(p, "bn");
    TRY(emit_conv(c, p, "cv1", x, hidden, square(1, 1, 1), true, &y));
    TRY(emit_conv2d(c, &cv2, x, hidden, square(1, 1, 1), false, &parts[1]));
    TRY(emit_inner(c, p, y, l, hidden, &y));
    TRY(emit_conv2d(c, &cv3, y, hidden, square(1, 1, 1), false, &parts[0]));
    TRY(emit_concat(c, p, parts, 2, &joined));
    TRY(emit_norm(c, &norm, joined, &joined));
    TRY(emit_activation(c, p, joined, ACTIVATION_LEAKY_RELU, &joined));
    return emit_conv(c, p, "cv4", joined, l->out, square(1, 1, 1), true, out);
}

static status emit_c3(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    int hidden = (int)(l->out * l->expansion), y, parts[2], joined;
    TRY(emit_conv(c, p, "cv1", x, hidden, square(1, 1, 1), true, &y));
    TRY(emit_conv(c, p, "cv2", x, hidden, square(1, 1, 1), true, &parts[1]));
    TRY(emit_inner(c, p, y, l, hidden, &parts[0]));
    TRY(emit_concat(c, p, parts, 2, &joined));
    return emit_conv(c, p, "cv3", joined, l->out, square(1, 1, 1), true, out);
}

static status emit_mix(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    prefix all = module_below(p, "m"), norm = module_below(p, "bn");
    int parts[LAYER_SIZES], joined;
    for (int i = 0; i < l->sizes; i++) {
        prefix one = module_numbered(&all, i);
        TRY(emit_conv2d(c, &one, x, l->part[i], square(l->size[i], 1, 1), false, &parts[i]));
    }
    TRY(emit_concat(c, p, parts, l->sizes, &joined));
    TRY(emit_norm(c, &norm, joined, &joined));
    TRY(emit_activation(c, p, joined, ACTIVATION_LEAKY_RELU, &joined));
    return emit_add(c, p, x, joined, out);
}

/* SPP pools side by side, SPPF one after the other. */
static status emit_spp(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    int parts[LAYER_SIZES + 1], joined;
    bool chain = l->kind == MODULE_SPPF;
    int pools = chain ? 3 : l->sizes;
    TRY(emit_conv(c, p, "cv1", x, (int)shape_at(c, x)->dim[1] / 2, square(1, 1, 1), true, &parts[0]));
    for (int i = 0; i < pools; i++) {
        int size = chain ? l->kernel : l->size[i];
        TRY(emit_pool(c, p, parts[chain ? i : 0], (pool_parameters){size, 1, size / 2}, &parts[i + 1]));
    }
    TRY(emit_concat(c, p, parts, pools + 1, &joined));
    return emit_conv(c, p, "cv2", joined, l->out, square(1, 1, 1), true, out);
}

static status emit_focus(const module_graph *c, const prefix *p, int x, const struct layer *l, int *out)
{
    graph_node focus = {.kind = OP_FOCUS, .inputs = 1, .in = {x}};
    shape s = *shape_at(c, x);
    s.dim[1] *= 4;
    s.dim[2] /= 2;
    s.dim[3] /= 2;
    TRY(emit(c, &focus, s, p, &x));
    return emit_own_conv(c, p, "conv", x, l, out);
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
    prefix all = module_below(p, "m");
    int channels = c->m->config.anchors * (5 + c->m->config.classes);
    for (int i = 0; i < l->from_count; i++) {
        prefix head = module_numbered(&all, i);
        TRY(emit_conv2d(c, &head, in[i], channels, square(1, 1, 1), true, &heads[i]));
    }
    return OK;
}

static status emit_one(const module_graph *c, const prefix *p, const int *in, const struct layer *l, int *out,
                       int *heads)
{
    conv_parameters plain = square(l->kernel, l->stride, 1); /* torch's own pads by 0 when it is not told */
    plain.pad_h = plain.pad_w = l->pad >= 0 ? l->pad : 0;
    switch (l->kind) {
    case MODULE_FOCUS: return emit_focus(c, p, in[0], l, out);
    case MODULE_CONV:
    case MODULE_DWCONV: return emit_own_conv(c, p, NULL, in[0], l, out);
    case MODULE_BOTTLENECK: return emit_bottleneck(c, p, in[0], l, l->out, l->expansion, out);
    case MODULE_CROSS_CONV: return emit_cross(c, p, in[0], l, l->out, l->kernel, l->stride, l->expansion, out);
    case MODULE_BOTTLENECK_CSP:
    case MODULE_CROSS_C3: return emit_csp(c, p, in[0], l, out);
    case MODULE_C3: return emit_c3(c, p, in[0], l, out);
    case MODULE_MIX_CONV: return emit_mix(c, p, in[0], l, out);
    case MODULE_SPP:
    case MODULE_SPPF: return emit_spp(c, p, in[0], l, out);
    case MODULE_CONCAT: return emit_concat(c, p, in, l->from_count, out);
    case MODULE_UPSAMPLE: return emit_upsample(c, p, in[0], out);
    case MODULE_CONV2D: return emit_conv2d(c, p, in[0], l->out, plain, true, out);
    case MODULE_BATCH_NORM: return emit_norm(c, p, in[0], out);
    case MODULE_MAXPOOL: return emit_pool(c, p, in[0], (pool_parameters){l->kernel, l->stride, l->pad}, out);
    case MODULE_DETECT: return emit_detect(c, p, in, l, heads);
    case MODULE_KINDS: break;
    }
    return FAIL(ERR_ARGUMENT, "%s: an unknown module", p->text);
}

status module_emit(const module_graph *c, int layer, const int *in, int *out, int heads[GRAPH_LEVELS])
{
    const struct layer *l = &c->m->config.layers[layer];
    for (int i = 0; i < l->repeats; i++) {
        prefix p = module_prefix(l, layer, i);
        TRY(emit_one(c, &p, i ? out : in, l, out, heads));
    }
    return OK;
}
