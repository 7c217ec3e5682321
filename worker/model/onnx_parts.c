/* onnx_parts.c - the messages of an ONNX graph. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/model/onnx_inner.h"

/* ONNX's raw data are little endian, and so are our arrays where this is built. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they lie in memory");

/* ---- memory ---- */

static void *keep(onnx_graph *g, void *memory)
{
    if (memory && array_room(&g->held, &g->held_room, g->held_count + 1) == OK)
        return g->held[g->held_count++] = memory;
    free(memory);
    g->failed = true;
    return NULL;
}

void *onnx_hold(onnx_graph *g, size_t count, size_t size)
{
    return keep(g, calloc(count ? count : 1, size));
}

char *onnx_name(onnx_graph *g, const char *format, ...)
{
    char *name;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&name, format, arguments);
    va_end(arguments);
    return keep(g, length < 0 ? NULL : name);
}

void onnx_graph_free(onnx_graph *g)
{
    for (size_t i = 0; i < g->held_count; i++) free(g->held[i]);
    free(g->held);
    free(g->nodes);
    free(g->tensors);
    free(g->outputs);
    *g = (onnx_graph){0};
}

static void *copy(onnx_graph *g, const void *from, size_t count, size_t size)
{
    void *to = onnx_hold(g, count, size);
    if (to && count) memcpy(to, from, count * size);
    return to;
}

/* ---- nodes ---- */

Onnx__NodeProto *onnx_node(onnx_graph *g, const char *type, const char *name, int outputs,
                           const char *const inputs[ONNX_INPUTS])
{
    Onnx__NodeProto *n = onnx_hold(g, 1, sizeof *n);
    if (!n || array_room(&g->nodes, &g->node_room, g->node_count + 1) != OK) {
        g->failed = true;
        return NULL;
    }
    onnx__node_proto__init(n);
    while (n->n_input < ONNX_INPUTS && inputs[n->n_input]) n->n_input++;
    n->input = copy(g, inputs, n->n_input, sizeof *inputs);
    n->output = onnx_hold(g, (size_t)outputs, sizeof *n->output);
    n->name = onnx_name(g, "%s", name);
    n->op_type = (char *)type;
    for (int i = 0; i < outputs && !g->failed; i++) n->output[i] = i ? onnx_name(g, "%s_%d", name, i) : n->name;
    n->n_output = (size_t)outputs;
    if (!g->failed) g->nodes[g->node_count++] = n;
    return g->failed ? NULL : n;
}

static Onnx__AttributeProto *add_attribute(onnx_graph *g, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    if (!node || g->failed) return NULL;
    Onnx__AttributeProto *a = onnx_hold(g, 1, sizeof *a);
    Onnx__AttributeProto **all = onnx_hold(g, node->n_attribute + 1, sizeof *all);
    if (!a || !all) return NULL;
    onnx__attribute_proto__init(a);
    a->name = (char *)name;
    a->has_type = true;
    a->type = type;
    if (node->n_attribute) memcpy(all, node->attribute, node->n_attribute * sizeof *all);
    all[node->n_attribute++] = a;
    node->attribute = all;
    return a;
}

void onnx_set_int(onnx_graph *g, Onnx__NodeProto *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *a = add_attribute(g, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a) return;
    a->has_i = true;
    a->i = value;
}

void onnx_set_ints(onnx_graph *g, Onnx__NodeProto *node, const char *name, size_t count, const int64_t *values)
{
    Onnx__AttributeProto *a = add_attribute(g, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!a) return;
    a->ints = copy(g, values, count, sizeof *values);
    a->n_ints = a->ints ? count : 0;
}

void onnx_set_float(onnx_graph *g, Onnx__NodeProto *node, const char *name, float value)
{
    Onnx__AttributeProto *a = add_attribute(g, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a) return;
    a->has_f = true;
    a->f = value;
}

void onnx_set_text(onnx_graph *g, Onnx__NodeProto *node, const char *name, const char *value)
{
    Onnx__AttributeProto *a = add_attribute(g, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!a) return;
    a->has_s = true;
    a->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
}

/* ---- initializers ---- */

static const char *add_tensor(onnx_graph *g, const char *name, int type, size_t rank, const int64_t *dims,
                              const void *values, size_t bytes)
{
    Onnx__TensorProto *t = onnx_hold(g, 1, sizeof *t);
    if (!t || array_room(&g->tensors, &g->tensor_room, g->tensor_count + 1) != OK) {
        g->failed = true;
        return NULL;
    }
    onnx__tensor_proto__init(t);
    t->dims = copy(g, dims, rank, sizeof *dims);
    t->n_dims = t->dims ? rank : 0;
    t->has_data_type = true;
    t->data_type = type;
    t->name = onnx_name(g, "%s", name);
    t->has_raw_data = true;
    t->raw_data = (ProtobufCBinaryData){bytes, (uint8_t *)values};
    g->tensors[g->tensor_count++] = t;
    return t->name;
}

const char *onnx_floats(onnx_graph *g, const char *name, const shape *s, const float *values)
{
    return add_tensor(g, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, (size_t)s->rank, s->dim, values,
                      (size_t)shape_count(s) * sizeof *values);
}

const char *onnx_ints(onnx_graph *g, const char *name, size_t count, const int64_t *values)
{
    int64_t dim = (int64_t)count;
    const int64_t *own = copy(g, values, count, sizeof *values);
    if (!own) return NULL;
    return add_tensor(g, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, &dim, own, count * sizeof *values);
}

/* ---- inputs and outputs ---- */

static Onnx__TensorShapeProto *make_shape(onnx_graph *g, int rank, const int64_t *dims)
{
    Onnx__TensorShapeProto *s = onnx_hold(g, 1, sizeof *s);
    Onnx__TensorShapeProto__Dimension **all = onnx_hold(g, (size_t)rank, sizeof *all);
    if (!s || !all) return NULL;
    onnx__tensor_shape_proto__init(s);
    s->n_dim = (size_t)rank;
    s->dim = all;
    for (int i = 0; i < rank; i++) {
        all[i] = onnx_hold(g, 1, sizeof *all[i]);
        if (!all[i]) return NULL;
        onnx__tensor_shape_proto__dimension__init(all[i]);
        if (dims[i] >= 0) {
            all[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            all[i]->dim_value = dims[i];
        } else {
            all[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            all[i]->dim_param = (char *)"batch";
        }
    }
    return s;
}

Onnx__ValueInfoProto *onnx_value(onnx_graph *g, const char *name, int rank, const int64_t *dims)
{
    Onnx__ValueInfoProto *v = onnx_hold(g, 1, sizeof *v);
    Onnx__TypeProto *type = onnx_hold(g, 1, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = onnx_hold(g, 1, sizeof *tensor);
    if (g->failed) return NULL;
    onnx__value_info_proto__init(v);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    v->name = (char *)name;
    v->type = type;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = make_shape(g, rank, dims);
    return g->failed ? NULL : v;
}

void onnx_add_output(onnx_graph *g, const char *name, int rank, const int64_t *dims)
{
    Onnx__ValueInfoProto *v = onnx_value(g, name, rank, dims);
    if (!v || array_room(&g->outputs, &g->output_room, g->output_count + 1) != OK) g->failed = true;
    else g->outputs[g->output_count++] = v;
}
