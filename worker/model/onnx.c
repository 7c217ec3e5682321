#include "worker/model/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "worker/model/onnx_inner.h"

enum { IR_VERSION = 7, OPERATOR_SET = 12 };

/* ---- heads ---- */

/* What is known of a level. */
typedef struct level {
    int index;
    int64_t anchors, values, height, width;
    const char *raw;  /* (N, anchors * values, H, W) */
    const char *seen; /* (N, anchors, H, W, values), named `output` and so on when it is one */
} level;

static const char *add_node(onnx_graph *g, const char *type, const char *name, const char *a, const char *b)
{
    Onnx__NodeProto *made = onnx_node(g, type, name, 1, (const char *const[ONNX_INPUTS]){a, b});
    return made ? made->name : NULL;
}

/* As the reference's view() and permute() have it. */
static void arrange(onnx_graph *g, level *l, const char *name)
{
    const int64_t parted[] = {0, l->anchors, l->values, l->height, l->width}; /* 0: as it is, the batch */
    static const int64_t order[] = {0, 1, 3, 4, 2};
    const char *to = onnx_ints(g, onnx_name(g, "heads.%d.shape", l->index), 5, parted);
    const char *view = add_node(g, "Reshape", onnx_name(g, "heads.%d.view", l->index), l->raw, to);
    Onnx__NodeProto *turned = onnx_node(g, "Transpose", name, 1, (const char *const[ONNX_INPUTS]){view});
    onnx_set_ints(g, turned, "perm", 5, order);
    l->seen = name;
}

/* (1, 1, H, W, 2): (cell - .5) * stride of each cell. */
static const char *add_cells(onnx_graph *g, const level *l, float stride)
{
    shape s = {.rank = 5, .dim = {1, 1, l->height, l->width, 2}};
    float *cells = onnx_hold(g, (size_t)shape_count(&s), sizeof *cells);
    if (!cells) return NULL;
    for (int64_t y = 0; y < l->height; y++)
        for (int64_t x = 0; x < l->width; x++) {
            float *cell = cells + 2 * (y * l->width + x);
            cell[0] = ((float)x - 0.5f) * stride;
            cell[1] = ((float)y - 0.5f) * stride;
        }
    return onnx_floats(g, onnx_name(g, "heads.%d.cells", l->index), &s, cells);
}

/* (1, anchors, 1, 1, 2): four times their size in pixels. */
static const char *add_anchors(onnx_graph *g, const level *l, const detect_parameters *d)
{
    shape s = {.rank = 5, .dim = {1, l->anchors, 1, 1, 2}};
    float *sizes = onnx_hold(g, (size_t)shape_count(&s), sizeof *sizes);
    if (!sizes) return NULL;
    for (int64_t i = 0; i < 2 * l->anchors; i++) sizes[i] = 4 * d->anchor[l->index][i / 2][i % 2] * d->stride[l->index];
    return onnx_floats(g, onnx_name(g, "heads.%d.anchors", l->index), &s, sizes);
}

/* Boxes from a level: with s the sigmoid, xy = (2 s - .5 + cell) stride, wh = (2 s)^2 anchor; the rest is s. Rows (N, A H W, values). */
static const char *decode(onnx_graph *g, const level *l, const detect_parameters *d)
{
    int k = l->index;
    shape one = shape_of(1, 1, 0, 0, 0);
    float *twice = onnx_hold(g, 1, sizeof *twice);
    if (!twice) return NULL;
    *twice = 2 * d->stride[k];
    const char *s = add_node(g, "Sigmoid", onnx_name(g, "heads.%d.sigmoid", k), l->seen, NULL);
    Onnx__NodeProto *parts =
        onnx_node(g, "Split", onnx_name(g, "heads.%d.parts", k), 3, (const char *const[ONNX_INPUTS]){s});
    onnx_set_int(g, parts, "axis", 4);
    onnx_set_ints(g, parts, "split", 3, (const int64_t[]){2, 2, l->values - 4});
    if (!parts) return NULL;
    const char *scale = onnx_floats(g, onnx_name(g, "heads.%d.stride2", k), &one, twice);
    const char *xy = add_node(g, "Mul", onnx_name(g, "heads.%d.offset", k), parts->output[0], scale);
    xy = add_node(g, "Add", onnx_name(g, "heads.%d.centre", k), xy, add_cells(g, l, d->stride[k]));
    const char *wh = add_node(g, "Mul", onnx_name(g, "heads.%d.square", k), parts->output[1], parts->output[1]);
    wh = add_node(g, "Mul", onnx_name(g, "heads.%d.size", k), wh, add_anchors(g, l, d));
    Onnx__NodeProto *whole = onnx_node(g, "Concat", onnx_name(g, "heads.%d.box", k), 1,
                                       (const char *const[ONNX_INPUTS]){xy, wh, parts->output[2]});
    onnx_set_int(g, whole, "axis", 4);
    const int64_t rows[] = {0, l->anchors * l->height * l->width, l->values};
    const char *to = onnx_ints(g, onnx_name(g, "heads.%d.rows.shape", k), 3, rows);
    return add_node(g, "Reshape", onnx_name(g, "heads.%d.rows", k), whole ? whole->name : NULL, to);
}

static void add_decoded(onnx_graph *g, level *levels, int count)
{
    const char *parts[ONNX_INPUTS] = {0};
    detect_parameters d = model_heads(g->m);
    int64_t rows = 0;
    for (int i = 0; i < count; i++) {
        arrange(g, &levels[i], onnx_name(g, "heads.%d", i));
        parts[i] = decode(g, &levels[i], &d);
        rows += levels[i].anchors * levels[i].height * levels[i].width;
    }
    Onnx__NodeProto *all = onnx_node(g, "Concat", "output", 1, parts);
    onnx_set_int(g, all, "axis", 1);
    onnx_add_output(g, "output", 3, (const int64_t[]){-1, rows, levels[0].values});
}

static void add_raw(onnx_graph *g, level *levels, int count)
{
    for (int i = 0; i < count; i++) {
        level *l = &levels[i];
        arrange(g, l, i ? onnx_name(g, "output%d", i) : "output");
        onnx_add_output(g, l->seen, 5, (const int64_t[]){-1, l->anchors, l->height, l->width, l->values});
    }
}

static status add_all(onnx_graph *g, const onnx_options *o)
{
    graph from;
    graph_ends ends;
    level levels[GRAPH_LEVELS];
    const char *names[GRAPH_LEVELS];
    graph_request request = {.images = 1, .height = o->height, .width = o->width, .raw = true};
    const model_config *c = &g->m->config;
    status s = model_graph(g->m, &request, &from, &ends);
    if (s == OK) s = onnx_add_layers(g, &from, ends.raw, names);
    for (int i = 0; s == OK && i < c->levels; i++) {
        const shape *map = &from.tensors[ends.raw[i]].shape;
        levels[i] = (level){i, c->anchors, 5 + c->classes, map->dim[2], map->dim[3], names[i], NULL};
    }
    graph_free(&from);
    if (s != OK) return s;
    if (o->decode) add_decoded(g, levels, c->levels);
    else add_raw(g, levels, c->levels);
    return g->failed ? FAIL(ERR_MEMORY, "out of memory for an ONNX model") : OK;
}

/* ---- the file ---- */

/* The names of the classes as Python writes a dictionary of them, which is how other tools look for them. */
static char *list_names(onnx_graph *g, const char *const *names)
{
    text list = {0};
    text_add(&list, "{");
    for (int i = 0; i < g->m->config.classes; i++) {
        text_add(&list, "%s%d: '", i ? ", " : "", i);
        for (const char *c = names[i]; *c; c++) text_add(&list, *c == '\'' || *c == '\\' ? "\\%c" : "%c", *c);
        text_add(&list, "'");
    }
    text_add(&list, "}");
    char *held = list.failed ? NULL : onnx_name(g, "%s", text_string(&list));
    if (!held) g->failed = true;
    text_free(&list);
    return held;
}

static float largest_stride(const model *m)
{
    float most = 0;
    for (int i = 0; i < m->config.levels; i++) most = m->stride[i] > most ? m->stride[i] : most;
    return most;
}

static status pack(onnx_graph *g, const onnx_options *o, text *out)
{
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets[] = {&set};
    Onnx__StringStringEntryProto entries[2], *metadata[] = {&entries[0], &entries[1]};
    Onnx__ValueInfoProto *images = onnx_value(g, "images", 4, (const int64_t[]){-1, 3, o->height, o->width});
    for (int i = 0; i < 2; i++) onnx__string_string_entry_proto__init(&entries[i]);
    model.has_ir_version = set.has_version = true;
    model.ir_version = IR_VERSION;
    model.producer_name = (char *)"Mendel";
    model.producer_version = (char *)MENDEL_VERSION;
    model.graph = &graph;
    set.domain = (char *)"";
    set.version = OPERATOR_SET;
    model.opset_import = sets;
    model.n_opset_import = 1;
    entries[0].key = (char *)"stride";
    entries[0].value = onnx_name(g, "%d", (int)largest_stride(g->m));
    entries[1].key = (char *)"names";
    entries[1].value = o->names ? list_names(g, o->names) : NULL;
    model.metadata_props = metadata;
    model.n_metadata_props = o->names ? 2 : 1;
    graph.name = (char *)"detector";
    graph.node = g->nodes;
    graph.n_node = g->node_count;
    graph.initializer = g->tensors;
    graph.n_initializer = g->tensor_count;
    graph.input = &images;
    graph.n_input = 1;
    graph.output = g->outputs;
    graph.n_output = g->output_count;
    if (g->failed) return FAIL(ERR_MEMORY, "out of memory for an ONNX model");
    size_t length = onnx__model_proto__get_packed_size(&model);
    uint8_t *bytes = malloc(length);
    if (!bytes) return FAIL(ERR_MEMORY, "out of memory for an ONNX model of %zu bytes", length);
    onnx__model_proto__pack(&model, bytes);
    text_add_bytes(out, bytes, length);
    free(bytes);
    return text_status(out);
}

status onnx_build(const model *m, const onnx_options *o, text *out)
{
    onnx_graph g = {.m = m};
    status s = add_all(&g, o);
    if (s == OK) s = pack(&g, o, out);
    onnx_graph_free(&g);
    return s;
}

status onnx_write(const model *m, const onnx_options *o, const char *path)
{
    text file = {0};
    status s = onnx_build(m, o, &file);
    if (s == OK) s = fs_write(path, file.bytes, file.length);
    text_free(&file);
    return s;
}
