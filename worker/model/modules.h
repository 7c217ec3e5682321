/* modules.h - what the layers are made of. Each module is described once, as a walk over its convolutions and norms; the walk
 * either declares their weights (in the reference's order of registration) or adds the operations to a graph. */
#ifndef MODEL_MODULES_H
#define MODEL_MODULES_H

#include "worker/model/model.h"

/* Declare the weights of a layer, appending to the model's. ERR_MEMORY. */
status module_declare(model *m, int layer);

/* Add the operations of a layer that reads tensors `in` to a graph; *out is what it makes. Detect makes none: its raw
 * predictions are returned in heads. */
typedef struct module_graph {
    const model *m;
    graph *g;
} module_graph;
status module_emit(const module_graph *c, int layer, const int *in, int *out, int heads[GRAPH_LEVELS]);

/* Elements of batch-norm as the reference sets them. */
static const float norm_eps = 1e-3f, norm_momentum = 0.03f;

#endif
