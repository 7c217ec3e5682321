/* onnx_inner.h - an ONNX graph in the making, for onnx.c, onnx_nodes.c and onnx_parts.c alone.
 *
 * What a part cannot get memory for is remembered: later calls do nothing but return NULL, and the end asks onnx_graph.failed. */
#ifndef MODEL_ONNX_INNER_H
#define MODEL_ONNX_INNER_H

#include "proto/onnx.pb-c.h"
#include "worker/model/onnx.h"

typedef struct onnx_graph {
    const model *m;
    Onnx__NodeProto **nodes;
    size_t node_count, node_room;
    Onnx__TensorProto **tensors; /* initializers */
    size_t tensor_count, tensor_room;
    Onnx__ValueInfoProto **outputs;
    size_t output_count, output_room;
    void **held; /* all memory that the messages point to, the model's arena apart */
    size_t held_count, held_room;
    bool failed;
} onnx_graph;

/* ---- onnx_parts.c ---- */

/* `count` times `size` bytes of zeros that live as long as the graph; and a text. NULL once memory is short. */
void *onnx_hold(onnx_graph *g, size_t count, size_t size);
char *onnx_name(onnx_graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
void onnx_graph_free(onnx_graph *g);

enum { ONNX_INPUTS = 8 };

/* A node with one output, or `outputs` of them, named `name`, then name_1, ...; returns the node. The inputs are names, up to the first
 * NULL. Attributes are added to it. */
Onnx__NodeProto *onnx_node(onnx_graph *g, const char *type, const char *name, int outputs,
                           const char *const inputs[ONNX_INPUTS]);
void onnx_set_int(onnx_graph *g, Onnx__NodeProto *node, const char *name, int64_t value);
void onnx_set_ints(onnx_graph *g, Onnx__NodeProto *node, const char *name, size_t count, const int64_t *values);
void onnx_set_float(onnx_graph *g, Onnx__NodeProto *node, const char *name, float value);
void onnx_set_text(onnx_graph *g, Onnx__NodeProto *node, const char *name, const char *value);

/* Initializers; both return the name. Values are borrowed: they are the model's or held. */
const char *onnx_floats(onnx_graph *g, const char *name, const shape *s, const float *values);
const char *onnx_ints(onnx_graph *g, const char *name, size_t count, const int64_t *values);

/* An input or output: dimensions of -1 are the free batch. */
Onnx__ValueInfoProto *onnx_value(onnx_graph *g, const char *name, int rank, const int64_t *dims);
void onnx_add_output(onnx_graph *g, const char *name, int rank, const int64_t *dims);

/* ---- onnx_nodes.c ---- */

/* All operations of the model's graph, from the value `images` to `heads` (N, anchors * (5 + classes), H, W): names of values. */
status onnx_add_layers(onnx_graph *g, const graph *from, const int heads[GRAPH_LEVELS],
                       const char *names[GRAPH_LEVELS]);

#endif
