#include "worker/backend/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

status graph_add_tensor(graph *g, const graph_tensor *tensor, int *out)
{
    TRY(array_room(&g->tensors, &g->tensor_room, g->tensor_count + 1));
    *out = (int)g->tensor_count;
    g->tensors[g->tensor_count++] = *tensor;
    return OK;
}

status graph_add_node(graph *g, const graph_node *node)
{
    TRY(array_room(&g->nodes, &g->node_room, g->node_count + 1));
    g->nodes[g->node_count++] = *node;
    return OK;
}

int graph_find(const graph *g, const char *name)
{
    for (size_t i = 0; i < g->tensor_count; i++)
        if (!strcmp(g->tensors[i].name, name)) return (int)i;
    return -1;
}

void graph_free(graph *g)
{
    free(g->tensors);
    free(g->nodes);
    *g = (graph){0};
}

/* ---- the table of operations ---- */

/* How many tensors each takes and makes; -1: any number from 1 to GRAPH_INPUTS. */
static const struct {
    const char *name;
    int inputs, outputs;
} operations[] = {
    [OP_IMAGE] = {"image", 1, 1},     [OP_RESIZE] = {"resize", 1, 1},   [OP_FOCUS] = {"focus", 1, 1},
    [OP_CONV] = {"conv", 3, 1},       [OP_NORM] = {"norm", 5, 1},       [OP_ACTIVATION] = {"activation", 1, 1},
    [OP_ADD] = {"add", 2, 1},         [OP_CONCAT] = {"concat", -1, 1},  [OP_UPSAMPLE] = {"upsample", 1, 1},
    [OP_MAXPOOL] = {"maxpool", 1, 1}, [OP_LOSS] = {"loss", -1, 1},      [OP_DECODE] = {"decode", -1, 1},
    [OP_NMS] = {"nms", 1, 2},         [OP_AUGMENT] = {"augment", 1, 1}, [OP_UPDATE] = {"update", 1, 0},
};

const char *op_name(op_kind kind)
{
    return (size_t)kind < sizeof operations / sizeof *operations ? operations[kind].name : "unknown";
}

/* ---- checking ---- */

typedef struct checker {
    const graph *g;
    const graph_node *node;
    size_t index;
} checker;

static status bad(const checker *c, const char *what)
{
    const char *name = c->node->outputs > 0 && c->node->out[0] >= 0 && (size_t)c->node->out[0] < c->g->tensor_count
                           ? c->g->tensors[c->node->out[0]].name
                           : "";
    return FAIL(ERR_ARGUMENT, "graph: node %zu (%s %s): %s", c->index, op_name(c->node->kind), name, what);
}

static const shape *in_shape(const checker *c, int i)
{
    return &c->g->tensors[c->node->in[i]].shape;
}

static const shape *out_shape(const checker *c)
{
    return &c->g->tensors[c->node->out[0]].shape;
}

static bool is_map(const shape *s)
{
    return s->rank == 4 && s->dim[0] > 0 && s->dim[1] > 0 && s->dim[2] > 0 && s->dim[3] > 0;
}

static status check_conv(const checker *c)
{
    const conv_parameters *p = &c->node->conv;
    const shape *x = in_shape(c, 0), *w = in_shape(c, 1), *y = out_shape(c);
    if (!is_map(x) || !is_map(y) || w->rank != 4) return bad(c, "feature maps and weights of rank 4 were expected");
    if (p->groups < 1 || p->stride_h < 1 || p->stride_w < 1 || p->pad_h < 0 || p->pad_w < 0)
        return bad(c, "parameters");
    if (x->dim[1] != w->dim[1] * p->groups || y->dim[1] != w->dim[0] || w->dim[0] % p->groups)
        return bad(c, "channels");
    if (w->dim[2] != p->kernel_h || w->dim[3] != p->kernel_w) return bad(c, "the kernel's size");
    if (c->node->in[2] >= 0 && (in_shape(c, 2)->rank != 1 || in_shape(c, 2)->dim[0] != w->dim[0]))
        return bad(c, "the bias");
    int64_t h = (x->dim[2] + 2 * p->pad_h - p->kernel_h) / p->stride_h + 1;
    int64_t v = (x->dim[3] + 2 * p->pad_w - p->kernel_w) / p->stride_w + 1;
    return y->dim[0] == x->dim[0] && y->dim[2] == h && y->dim[3] == v ? OK : bad(c, "the output's shape");
}

static status check_norm(const checker *c)
{
    const shape *x = in_shape(c, 0);
    if (!is_map(x) || !shape_equal(x, out_shape(c))) return bad(c, "shapes");
    for (int i = 1; i < 5; i++)
        if (in_shape(c, i)->rank != 1 || in_shape(c, i)->dim[0] != x->dim[1])
            return bad(c, "a value a channel was expected");
    return OK;
}

static status check_concat(const checker *c)
{
    const shape *y = out_shape(c);
    int64_t channels = 0;
    for (int i = 0; i < c->node->inputs; i++) {
        const shape *x = in_shape(c, i);
        if (!is_map(x) || x->dim[0] != y->dim[0] || x->dim[2] != y->dim[2] || x->dim[3] != y->dim[3])
            return bad(c, "shapes");
        channels += x->dim[1];
    }
    return is_map(y) && channels == y->dim[1] ? OK : bad(c, "channels");
}

static status check_pool(const checker *c)
{
    const pool_parameters *p = &c->node->pool;
    const shape *x = in_shape(c, 0), *y = out_shape(c);
    if (p->size < 1 || p->stride < 1 || p->pad < 0 || 2 * p->pad > p->size) return bad(c, "parameters");
    if (!is_map(x) || !is_map(y) || y->dim[0] != x->dim[0] || y->dim[1] != x->dim[1]) return bad(c, "shapes");
    for (int i = 2; i < 4; i++)
        if (x->dim[i] + 2 * p->pad < p->size || y->dim[i] != (x->dim[i] + 2 * p->pad - p->size) / p->stride + 1)
            return bad(c, "the output's shape");
    return OK;
}

/* Heads of a loss or decode: inputs 0 to levels - 1. */
static status check_heads(const checker *c, const detect_parameters *d, int others)
{
    if (d->levels < 1 || d->levels > GRAPH_LEVELS || d->anchors < 1 || d->anchors > GRAPH_ANCHORS || d->classes < 1)
        return bad(c, "levels, anchors or classes");
    if (c->node->inputs != d->levels + others) return bad(c, "the number of inputs");
    for (int i = 0; i < d->levels; i++)
        if (!is_map(in_shape(c, i)) || in_shape(c, i)->dim[1] != (int64_t)d->anchors * (5 + d->classes))
            return bad(c, "channels of a head");
    return OK;
}

static status check_loss(const checker *c)
{
    const detect_parameters *d = &c->node->loss.detect;
    TRY(check_heads(c, d, 2));
    const shape *targets = in_shape(c, d->levels), *y = out_shape(c);
    if (targets->rank != 2 || targets->dim[1] != 6) return bad(c, "targets of 6 columns were expected");
    return shape_count(y) == 4 ? OK : bad(c, "4 items were expected");
}

static status check_decode(const checker *c)
{
    const detect_parameters *d = &c->node->detect;
    TRY(check_heads(c, d, 0));
    int64_t rows = 0;
    for (int i = 0; i < d->levels; i++) rows += in_shape(c, i)->dim[2] * in_shape(c, i)->dim[3] * d->anchors;
    const shape *y = out_shape(c);
    return y->rank == 3 && y->dim[0] == in_shape(c, 0)->dim[0] && y->dim[1] == rows && y->dim[2] == 5 + d->classes
               ? OK
               : bad(c, "the output's shape");
}

static status check_shapes(const checker *c)
{
    const shape *x = in_shape(c, 0), *y = c->node->outputs ? out_shape(c) : NULL;
    switch (c->node->kind) {
    case OP_IMAGE: {
        bool bytes = c->g->tensors[c->node->in[0]].type == DTYPE_U8;
        int64_t height = x->dim[bytes ? 1 : 2], width = x->dim[bytes ? 2 : 3], channels = x->dim[bytes ? 3 : 1];
        bool good = is_map(x) && is_map(y) && channels == 3 && y->dim[0] == x->dim[0] && y->dim[1] == 3;
        return good && y->dim[2] == height && y->dim[3] == width ? OK : bad(c, "shapes");
    }
    case OP_RESIZE:
        return is_map(x) && is_map(y) && x->dim[0] == y->dim[0] && x->dim[1] == y->dim[1] ? OK : bad(c, "shapes");
    case OP_FOCUS:
        return is_map(x) && x->dim[2] % 2 == 0 && x->dim[3] % 2 == 0 && y->dim[0] == x->dim[0] &&
                       y->dim[1] == 4 * x->dim[1] && y->dim[2] == x->dim[2] / 2 && y->dim[3] == x->dim[3] / 2
                   ? OK
                   : bad(c, "shapes");
    case OP_CONV: return check_conv(c);
    case OP_NORM: return check_norm(c);
    case OP_ADD: return shape_equal(x, in_shape(c, 1)) && shape_equal(x, y) ? OK : bad(c, "shapes");
    case OP_MAXPOOL: return check_pool(c);
    case OP_ACTIVATION: return is_map(x) && shape_equal(x, y) ? OK : bad(c, "shapes");
    case OP_CONCAT: return check_concat(c);
    case OP_UPSAMPLE:
        return is_map(x) && y->dim[0] == x->dim[0] && y->dim[1] == x->dim[1] && y->dim[2] == 2 * x->dim[2] &&
                       y->dim[3] == 2 * x->dim[3]
                   ? OK
                   : bad(c, "shapes");
    case OP_LOSS: return check_loss(c);
    case OP_DECODE: return check_decode(c);
    case OP_NMS:
        return x->rank == 3 && x->dim[2] > 5 && y->rank == 3 && y->dim[0] == x->dim[0] &&
                       y->dim[1] == c->node->nms.most && y->dim[2] == 6 && c->node->nms.most > 0
                   ? OK
                   : bad(c, "shapes");
    case OP_AUGMENT:
        return y->rank == 4 && y->dim[3] == 3 && shape_count(x) == y->dim[0] * (int64_t)sizeof(augment_sample)
                   ? OK
                   : bad(c, "shapes");
    case OP_UPDATE: return shape_count(x) == UPDATE_COUNT ? OK : bad(c, "the number of scalars");
    }
    return bad(c, "an unknown operation");
}

/* Indices in range, inputs made before, outputs made once. */
static status check_links(const checker *c, bool *made)
{
    const graph_node *n = c->node;
    if ((size_t)n->kind >= sizeof operations / sizeof *operations) return bad(c, "an unknown operation");
    int inputs = operations[n->kind].inputs, most = (int)c->g->tensor_count;
    if (n->inputs < 1 || n->inputs > GRAPH_INPUTS || (inputs >= 0 && n->inputs != inputs))
        return bad(c, "number of inputs");
    if (n->outputs != operations[n->kind].outputs) return bad(c, "number of outputs");
    for (int i = 0; i < n->inputs; i++) {
        bool optional = n->kind == OP_CONV && i == 2;
        if (optional && n->in[i] < 0) continue;
        if (n->in[i] < 0 || n->in[i] >= most) return bad(c, "an input that is not there");
        if (!made[n->in[i]]) return bad(c, "an input that is made later");
    }
    for (int i = 0; i < n->outputs; i++) {
        if (n->out[i] < 0 || n->out[i] >= most) return bad(c, "an output that is not there");
        if (made[n->out[i]]) return bad(c, "an output that is there already");
        made[n->out[i]] = true;
    }
    return OK;
}

status graph_check(const graph *g)
{
    bool *made;
    TRY(array_new(&made, g->tensor_count));
    for (size_t i = 0; i < g->tensor_count; i++)
        made[i] = g->tensors[i].role == TENSOR_INPUT || g->tensors[i].role == TENSOR_STORED;
    status s = OK;
    for (size_t i = 0; s == OK && i < g->node_count; i++) {
        checker c = {g, &g->nodes[i], i};
        s = check_links(&c, made);
        if (s == OK) s = check_shapes(&c);
    }
    free(made);
    return s;
}
