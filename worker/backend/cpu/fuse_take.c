/* fuse_take.c - which of a graph's nodes are computed together. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/fuse_inner.h"

/* What is known of a graph while it is taken apart. */
typedef struct taker {
    const graph *g;
    network *n;
    int *made_by;   /* node of each tensor, -1 */
    int *users;     /* number of nodes that read each tensor */
    int *reader;    /* one of them */
    bool *taken;    /* nodes that are part of an operation already */
    fused *waiting; /* operation that is complete at this node; kind -1: none */
} taker;

static bool read_once(const taker *t, int tensor)
{
    return t->users[tensor] == 1 && t->g->tensors[tensor].role == TENSOR_INNER;
}

/* The node that alone reads what node `i` makes, if it is of this kind; -1 otherwise. */
static int only_reader(const taker *t, int node, op_kind kind)
{
    int out = t->g->nodes[node].out[0];
    if (!read_once(t, out)) return -1;
    int reader = t->reader[out];
    return t->g->nodes[reader].kind == kind && !t->taken[reader] ? reader : -1;
}

fused fused_empty(fused_kind kind)
{
    fused op;
    memset(&op, 0, sizeof op);
    op.kind = kind;
    op.out = op.add = op.like = -1;
    op.activation = ACTIVATION_NONE;
    return op;
}

/* Image, then resize and focus if they follow. */
static void take_image(taker *t, int node)
{
    fused op = fused_empty(FUSED_INPUT);
    int last = node;
    op.inputs = 1;
    op.in[0] = t->g->nodes[node].in[0];
    int resize = only_reader(t, last, OP_RESIZE);
    if (resize >= 0) {
        const shape *s = &t->g->tensors[t->g->nodes[resize].out[0]].shape;
        op.resize = t->taken[last = resize] = true;
        op.resize_height = (int)s->dim[2];
        op.resize_width = (int)s->dim[3];
    }
    int focus = only_reader(t, last, OP_FOCUS);
    if (focus >= 0) op.focus = t->taken[last = focus] = true;
    op.out = t->g->nodes[last].out[0];
    t->waiting[last] = op;
}

/* Batch-norm over a concat of convolutions' outputs does without the concat. */
static bool joins_convolutions(const taker *t, int tensor)
{
    int concat = t->made_by[tensor];
    if (concat < 0 || t->g->nodes[concat].kind != OP_CONCAT || !read_once(t, tensor)) return false;
    for (int i = 0; i < t->g->nodes[concat].inputs; i++) {
        int member = t->g->nodes[concat].in[i], maker = t->made_by[member];
        if (maker < 0 || t->g->nodes[maker].kind != OP_CONV || !read_once(t, member)) return false;
    }
    return true;
}

static void take_concat_of(taker *t, int tensor, fused *op)
{
    const graph_node *concat = &t->g->nodes[t->made_by[tensor]];
    op->inputs = concat->inputs;
    memcpy(op->in, concat->in, sizeof op->in);
}

/* Norm, activation and addition as far as they follow each other. */
static void take_point(taker *t, int node)
{
    const graph_node *nodes = t->g->nodes;
    fused op = fused_empty(FUSED_POINT);
    int last = node, next = node;
    op.inputs = 1;
    op.in[0] = nodes[node].in[0];
    if (nodes[node].kind == OP_NORM) {
        const graph_node *norm = &nodes[node];
        op.norm =
            (fused_norm){true, norm->in[1], norm->in[2], norm->in[3], norm->in[4], norm->norm.eps, norm->norm.momentum};
        if (joins_convolutions(t, norm->in[0])) take_concat_of(t, norm->in[0], &op);
        next = only_reader(t, last, OP_ACTIVATION);
    }
    if (next >= 0 && nodes[next].kind == OP_ACTIVATION) {
        op.activation = (int)nodes[next].activation;
        t->taken[last = next] = true;
    }
    next = nodes[node].kind == OP_ADD ? node : only_reader(t, last, OP_ADD);
    if (next >= 0) {
        bool first = next == node || nodes[next].in[0] == nodes[last].out[0];
        op.add = nodes[next].in[first ? 1 : 0];
        t->taken[last = next] = true;
    }
    op.out = nodes[last].out[0];
    t->waiting[last] = op;
}

/* The nodes of a kind that stands alone. */
static status take_single(taker *t, int node)
{
    static const int kinds[] = {
        [OP_CONV] = FUSED_CONV, [OP_CONCAT] = FUSED_CONCAT, [OP_UPSAMPLE] = FUSED_UPSAMPLE, [OP_MAXPOOL] = FUSED_POOL,
        [OP_LOSS] = FUSED_LOSS, [OP_DECODE] = FUSED_DECODE, [OP_NMS] = FUSED_NMS,
    };
    const graph_node *n = &t->g->nodes[node];
    if (n->kind == OP_RESIZE || n->kind == OP_FOCUS)
        return FAIL(ERR_UNSUPPORTED, "cpu: %s that does not directly follow the image", op_name(n->kind));
    if (n->kind == OP_AUGMENT || n->kind == OP_UPDATE)
        return FAIL(ERR_UNSUPPORTED, "cpu: %s together with other operations", op_name(n->kind));
    fused op = fused_empty((fused_kind)kinds[n->kind]);
    op.node = *n;
    op.out = n->outputs ? n->out[0] : -1;
    op.inputs = n->kind == OP_LOSS ? n->loss.detect.levels : n->kind == OP_CONV ? 1 : n->inputs;
    memcpy(op.in, n->in, sizeof op.in);
    if (n->kind == OP_CONV) {
        op.conv = n->conv;
        op.filters = 1;
        op.filter[0] = (fused_filter){n->in[1], n->in[2], n->out[0]};
    }
    if (n->kind == OP_MAXPOOL) op.pool = n->pool;
    t->waiting[node] = op;
    return OK;
}

/* A concat that a norm has taken over. */
static bool is_joined_elsewhere(const taker *t, int node)
{
    const graph_node *n = &t->g->nodes[node];
    if (n->kind != OP_CONCAT || t->users[n->out[0]] != 1) return false;
    const graph_node *reader = &t->g->nodes[t->reader[n->out[0]]];
    return reader->kind == OP_NORM && reader->in[0] == n->out[0] && joins_convolutions(t, n->out[0]);
}

static status take_nodes(taker *t)
{
    const graph *g = t->g;
    for (size_t i = 0; i < g->node_count; i++) {
        op_kind kind = g->nodes[i].kind;
        if (!t->taken[i] && !is_joined_elsewhere(t, (int)i)) {
            if (kind == OP_IMAGE) take_image(t, (int)i);
            else if (kind == OP_NORM || kind == OP_ACTIVATION || kind == OP_ADD) take_point(t, (int)i);
            else TRY(take_single(t, (int)i));
        }
        if ((int)t->waiting[i].kind < 0) continue;
        TRY(array_room(&t->n->ops, &t->n->op_room, t->n->op_count + 1));
        t->n->ops[t->n->op_count++] = t->waiting[i];
    }
    return OK;
}

status network_take_apart(network *n)
{
    const graph *g = n->g;
    taker t = {.g = g, .n = n};
    status s = array_new(&t.made_by, g->tensor_count);
    if (s == OK) s = array_new(&t.users, g->tensor_count);
    if (s == OK) s = array_new(&t.reader, g->tensor_count);
    if (s == OK) s = array_new(&t.taken, g->node_count);
    if (s == OK) s = array_new(&t.waiting, g->node_count);
    for (size_t i = 0; s == OK && i < g->tensor_count; i++) t.made_by[i] = -1;
    for (size_t i = 0; s == OK && i < g->node_count; i++) {
        t.waiting[i].kind = (fused_kind)-1;
        for (int k = 0; k < g->nodes[i].inputs; k++)
            if (g->nodes[i].in[k] >= 0) {
                t.users[g->nodes[i].in[k]]++;
                t.reader[g->nodes[i].in[k]] = (int)i;
            }
        for (int k = 0; k < g->nodes[i].outputs; k++) t.made_by[g->nodes[i].out[k]] = (int)i;
    }
    if (s == OK) s = take_nodes(&t);
    free(t.made_by);
    free(t.users);
    free(t.reader);
    free(t.taken);
    free(t.waiting);
    return s;
}
