/* model.h - a detector: its layers, its weights under the reference's names, its heads; and the graphs that compute it.
 *
 * All weights lie in one arena of float32, in the order of the reference's state_dict: parameters, running statistics, and the
 * heads' anchors. Optimizer state, gradients and the moving average are arenas of the same layout.
 *
 * Source: Model in models/yolo.py, models/common.py. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "worker/model/config.h"

typedef enum weight_kind {
    WEIGHT_PARAMETER, /* trained */
    WEIGHT_STATE,     /* running mean and variance: moved by training, averaged */
    WEIGHT_COUNTER,   /* num_batches_tracked: no float, not in the arena; all are the same number */
    WEIGHT_ANCHORS,   /* Detect's anchors (grid cells) and anchor_grid (pixels) */
} weight_kind;

typedef struct weight {
    char name[TENSOR_NAME_ROOM]; /* model.0.conv.conv.weight */
    weight_kind kind;
    shape shape;
    int64_t offset; /* in the arena, in elements; of a counter -1 */
    int layer;
    bool frozen; /* a parameter that is not trained */
} weight;

typedef struct model {
    model_config config;
    weight *weights; /* in state_dict order; parameters among them in the optimizer's order */
    size_t count, room;
    int64_t arena_count; /* elements */
    float *arena;        /* the weights on the host: what training starts from */
    int64_t batches_tracked;
    float stride[GRAPH_LEVELS]; /* pixels a grid cell */
} model;

/* Lay out a model of this configuration, which it takes (freed with the model, also after an error). Weights are zero, norms
 * 1 and 0; anchors and strides are set, in the order of the strides (check_anchor_order). */
status model_create(model_config *takes, model *out);
void model_free(model *m);

/* Initial weights as torch makes them from torch.manual_seed(seed): uniform within 1 / sqrt(fan in), drawn in state_dict order
 * from its MT19937; then Detect's biases for 8 objects an image of 640 px and classes of equal frequency, and the running
 * statistics as the constructor's stride-finding pass over zeros leaves them. */
void model_init(model *m, uint64_t seed);
/* What model_init adds to the bias of value `v` (x y w h objectness classes...) of an anchor on this level. */
float model_bias_prior(const model *m, int level, int v);

/* The weight of that name, NULL if there is none. */
const weight *model_find(const model *m, const char *name);
/* Optimizer group of a parameter: 0 norm weights, 1 other weights (with decay), 2 biases. By name, as train.py does. */
int model_group(const weight *w);
/* The heads, with anchors in grid cells as they are in the arena now. */
detect_parameters model_heads(const model *m);
/* Set all anchors (pixels; levels x anchors x 2). */
void model_set_anchors(model *m, const float *pixels);
/* Keep parameters as they are: those with one of the parts in their names, which are separated by commas (train.py's `freeze`, which
 * undoes it a few lines further on). Norms inside still move their running statistics. ERR_ARGUMENT for a part that is in no name,
 * or when nothing is left to train. */
status model_freeze(model *m, const char *parts);
/* Runs of weights that are updated alike, for OP_UPDATE. The caller frees *segments. ERR_MEMORY. */
status model_segments(const model *m, update_segment **segments, int *count);

/* ---- graphs ---- */

typedef struct graph_request {
    int images, height, width;       /* of the batch as it comes */
    bool bytes;                      /* pixels: uint8 (N, H, W, 3), else float32 (N, 3, H, W) */
    int resize_height, resize_width; /* multi-scale: resized to this first; 0: not */
    bool loss;                       /* with targets, their count, and loss items */
    loss_parameters loss_parameters; /* its heads are filled in */
    int target_room;                 /* rows of targets */
    bool decode, nms;                /* rows of predictions as an output; boxes */
    nms_parameters nms_parameters;
    bool raw; /* raw predictions as outputs */
} graph_request;

/* Where the graph's inputs and outputs are; -1: not asked for. */
typedef struct graph_ends {
    int pixels, targets, target_count; /* inputs; target_count: one int32 */
    int raw[GRAPH_LEVELS], items, decoded, boxes, box_counts;
} graph_ends;

/* ERR_ARGUMENT if height or width are no multiple of the largest stride. The caller frees the graph. */
status model_graph(const model *m, const graph_request *request, graph *out, graph_ends *ends);

/* ---- words ---- */

/* The table that the reference prints when it makes a model, and the line "Model Summary: ...". */
status model_table(const model *m, text *out);
status model_summary(const model *m, text *out);
/* 1e9 floating point operations of one image forward: two for each multiplication of the convolutions. */
double model_gflops(const model *m, int height, int width);

#endif
