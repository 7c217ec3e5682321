/* graphs.c - the model's graphs: from pixels to heads, and what is asked for behind them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/model/model.h"
#include "worker/model/modules.h"

static status add_tensor(graph *g, const char *name, tensor_role role, dtype type, shape s, int *out)
{
    graph_tensor t = {.role = role, .type = type, .shape = s};
    snprintf(t.name, sizeof t.name, "%s", name);
    return graph_add_tensor(g, &t, out);
}

static status add_picture(const graph_request *r, graph *g, graph_ends *ends, int *out)
{
    shape bytes = shape_of(4, r->images, r->height, r->width, 3), map = shape_of(4, r->images, 3, r->height, r->width);
    TRY(add_tensor(g, "pixels", TENSOR_INPUT, r->bytes ? DTYPE_U8 : DTYPE_F32, r->bytes ? bytes : map, &ends->pixels));
    TRY(add_tensor(g, "image", TENSOR_INNER, DTYPE_F32, map, out));
    graph_node image = {.kind = OP_IMAGE, .inputs = 1, .in = {ends->pixels}, .outputs = 1, .out = {*out}};
    TRY(graph_add_node(g, &image));
    if (!r->resize_height) return OK;
    map.dim[2] = r->resize_height;
    map.dim[3] = r->resize_width;
    graph_node resize = {.kind = OP_RESIZE, .inputs = 1, .in = {*out}, .outputs = 1};
    TRY(add_tensor(g, "resized", TENSOR_INNER, DTYPE_F32, map, &resize.out[0]));
    *out = resize.out[0];
    return graph_add_node(g, &resize);
}

static status add_layers(const model *m, graph *g, int picture, int *heads)
{
    int *made;
    TRY(array_new(&made, m->config.count));
    module_graph c = {m, g};
    status s = OK;
    for (size_t i = 0; s == OK && i < m->config.count; i++) {
        const layer *l = &m->config.layers[i];
        int in[LAYER_INPUTS];
        for (int k = 0; k < l->from_count; k++) in[k] = l->from[k] < 0 ? picture : made[l->from[k]];
        s = module_emit(&c, (int)i, in, &made[i], heads);
        if (s != OK) s = status_context(s, "layer %zu (line %d of the model yaml)", i, l->line);
    }
    free(made);
    return s;
}

static status add_loss(const model *m, const graph_request *r, graph *g, const int *heads, graph_ends *ends)
{
    int levels = m->config.levels;
    graph_node n = {.kind = OP_LOSS, .inputs = levels + 2, .outputs = 1, .loss = r->loss_parameters};
    n.loss.detect = model_heads(m);
    memcpy(n.in, heads, sizeof *heads * (size_t)levels);
    TRY(add_tensor(g, "targets", TENSOR_INPUT, DTYPE_F32, shape_of(2, r->target_room, 6, 0, 0), &ends->targets));
    TRY(add_tensor(g, "target count", TENSOR_INPUT, DTYPE_I32, shape_of(1, 1, 0, 0, 0), &ends->target_count));
    TRY(add_tensor(g, "loss items", TENSOR_OUTPUT, DTYPE_F32, shape_of(1, 4, 0, 0, 0), &ends->items));
    n.in[levels] = ends->targets;
    n.in[levels + 1] = ends->target_count;
    n.out[0] = ends->items;
    return graph_add_node(g, &n);
}

static status add_decode(const model *m, const graph_request *r, graph *g, const int *heads, graph_ends *ends,
                         int *decoded)
{
    graph_node n = {.kind = OP_DECODE, .inputs = m->config.levels, .outputs = 1, .detect = model_heads(m)};
    int64_t rows = 0;
    for (int i = 0; i < m->config.levels; i++) {
        const shape *s = &g->tensors[heads[i]].shape;
        rows += s->dim[2] * s->dim[3] * m->config.anchors;
        n.in[i] = heads[i];
    }
    shape s = shape_of(3, r->images, rows, 5 + m->config.classes, 0);
    TRY(add_tensor(g, "decoded", r->decode ? TENSOR_OUTPUT : TENSOR_INNER, DTYPE_F32, s, decoded));
    n.out[0] = *decoded;
    if (r->decode) ends->decoded = *decoded;
    return graph_add_node(g, &n);
}

static status add_nms(const graph_request *r, graph *g, int decoded, graph_ends *ends)
{
    graph_node n = {.kind = OP_NMS, .inputs = 1, .in = {decoded}, .outputs = 2, .nms = r->nms_parameters};
    shape boxes = shape_of(3, r->images, r->nms_parameters.most, 6, 0), counts = shape_of(1, r->images, 0, 0, 0);
    TRY(add_tensor(g, "boxes", TENSOR_OUTPUT, DTYPE_F32, boxes, &ends->boxes));
    TRY(add_tensor(g, "box counts", TENSOR_OUTPUT, DTYPE_I32, counts, &ends->box_counts));
    n.out[0] = ends->boxes;
    n.out[1] = ends->box_counts;
    return graph_add_node(g, &n);
}

static status check_size(const model *m, int height, int width)
{
    float most = 1;
    for (int i = 0; i < m->config.levels; i++) most = m->stride[i] > most ? m->stride[i] : most;
    int stride = (int)most;
    if (height % stride == 0 && width % stride == 0 && height > 0 && width > 0) return OK;
    return FAIL(ERR_ARGUMENT, "a picture of %d x %d px: multiples of the largest stride, %d, were expected", width,
                height, stride);
}

status model_graph(const model *m, const graph_request *r, graph *g, graph_ends *ends)
{
    int picture, heads[GRAPH_LEVELS], decoded = -1;
    *g = (graph){0};
    memset(ends, -1, sizeof *ends);
    TRY(check_size(m, r->resize_height ? r->resize_height : r->height, r->resize_height ? r->resize_width : r->width));
    TRY(add_picture(r, g, ends, &picture));
    TRY(add_layers(m, g, picture, heads));
    for (int i = 0; i < m->config.levels; i++) {
        ends->raw[i] = heads[i];
        if (r->raw) g->tensors[heads[i]].role = TENSOR_OUTPUT;
    }
    if (r->loss) TRY(add_loss(m, r, g, heads, ends));
    if (r->decode || r->nms) TRY(add_decode(m, r, g, heads, ends, &decoded));
    return r->nms ? add_nms(r, g, decoded, ends) : OK;
}
