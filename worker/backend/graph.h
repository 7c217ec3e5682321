/* graph.h - what is to be computed: a flat list of operations on named tensors.
 *
 * A graph is plain data: building it touches no device. A backend compiles it into a plan for one shape and precision.
 * Operations are small and standard; what is fused, laid out or recomputed is the plan's decision, so each node is defined
 * here by its formula alone. Feature maps are (N, C, H, W) in these definitions, whatever order a device keeps them in.
 *
 * In a training plan the backward pass is derived: every operation below knows its gradient, gradients of weights are
 * added to the gradients buffer, gradients of feature maps live inside the plan. */
#ifndef BACKEND_GRAPH_H
#define BACKEND_GRAPH_H

#include <stdbool.h>

#include "common/status.h"
#include "worker/backend/augment.h"
#include "worker/backend/tensor.h"

typedef enum tensor_role {
    TENSOR_INNER,  /* made and used inside a run; the plan plans its memory */
    TENSOR_INPUT,  /* written with plan_write before a run */
    TENSOR_OUTPUT, /* an inner one that plan_read can read after a run */
    TENSOR_STORED, /* lies in one of the plan's buffers and outlives it */
} tensor_role;

/* Buffers that a plan works on, given when it is created. All but IMAGES are float32 and, with the exception of
 * GRADIENTS, hold the same tensors at the same offsets. */
typedef enum arena {
    ARENA_WEIGHTS,   /* parameters and running statistics */
    ARENA_GRADIENTS, /* sums of gradients since the last update */
    ARENA_MOMENTUM,  /* SGD's velocity, Adam's first moment */
    ARENA_SQUARES,   /* Adam's second moment */
    ARENA_AVERAGE,   /* exponential moving average of WEIGHTS */
    ARENA_IMAGES,    /* decoded pictures, uint8 */
    ARENA_COUNT,
} arena;

enum { TENSOR_NAME_ROOM = 96 };

typedef struct graph_tensor {
    char name[TENSOR_NAME_ROOM]; /* for stored ones the reference's: model.0.conv.conv.weight */
    tensor_role role;
    dtype type;
    shape shape;
    arena arena;    /* TENSOR_STORED */
    int64_t offset; /* TENSOR_STORED: in elements */
    bool trained;   /* TENSOR_STORED: a parameter that gets a gradient */
} graph_tensor;

typedef enum op_kind {
    OP_IMAGE,  /* x -> y: uint8 (N, H, W, 3) times 1/255, or float32 (N, 3, H, W) as it is */
    OP_RESIZE, /* x -> y: bilinear to y's height and width, align_corners false; no gradient (it follows OP_IMAGE) */
    OP_FOCUS,  /* x -> y: (N, C, H, W) to (N, 4C, H/2, W/2): pixels (even row, even column), (odd, even), (even, odd),
                      (odd, odd), in this order of channel groups */
    OP_CONV,   /* x, weight (O, I/groups, kh, kw), bias (O) or none -> y: cross-correlation with zero padding */
    OP_NORM,   /* x, gamma, beta, running mean, running variance (C each) -> y = (x - m) / sqrt(v + eps) * gamma + beta.
                      Training: m and v of the batch, with a team of those of all ranks (v by 1/n); running = (1 - momentum)
                      running + momentum batch, with the variance by 1/(n - 1) there. Inference: the running ones */
    OP_ACTIVATION, /* x -> y elementwise */
    OP_ADD,        /* a, b -> y */
    OP_CONCAT,     /* a, b, ... -> y along C */
    OP_UPSAMPLE,   /* x -> y: nearest, times two */
    OP_MAXPOOL, /* x -> y: the maximum of each window, x padded with minus infinity; the gradient goes to the first maximum of a
                      window, row by row */
    OP_LOSS,   /* raw predictions of each level (N, A * (5 + classes), H, W), targets (room, 6), count (1) -> items (4);
                      see loss_parameters */
    OP_DECODE, /* raw predictions of each level -> (N, rows, 5 + classes): boxes x y w h in pixels of the input,
                      objectness, classes; rows of a level run over anchor, y, x */
    OP_NMS,    /* decoded (N, rows, 5 + classes) -> boxes (N, most, 6: x1 y1 x2 y2 score class), counts (N) int32 */
    OP_AUGMENT, /* samples (uint8, N augment_samples), pictures in ARENA_IMAGES -> uint8 (N, H, W, 3), RGB */
    OP_UPDATE,  /* scalars (UPDATE_COUNT) -> the arenas move on by one optimizer step; see update_parameters */
} op_kind;

typedef enum activation { ACTIVATION_HARDSWISH, ACTIVATION_LEAKY_RELU, ACTIVATION_SILU, ACTIVATION_RELU } activation;
static const float leaky_relu_slope = 0.1f;

enum { GRAPH_LEVELS = 4, GRAPH_ANCHORS = 8, GRAPH_INPUTS = 8 };

typedef struct conv_parameters {
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, groups;
} conv_parameters;

/* Square windows; pad is at most half a window, so that each meets a pixel. Size k odd, stride 1, pad k / 2 keeps the size. */
typedef struct pool_parameters {
    int size, stride, pad;
} pool_parameters;

/* The detection heads: what OP_LOSS and OP_DECODE have in common. */
typedef struct detect_parameters {
    int levels, anchors, classes;
    float stride[GRAPH_LEVELS];
    float anchor[GRAPH_LEVELS][GRAPH_ANCHORS][2]; /* width, height in grid cells; times the stride: pixels */
} detect_parameters;

/* compute_loss() and build_targets() of utils/general.py. Targets are rows of (image, class, x, y, w, h), the boxes
 * normalized to 0..1; `count` of them are valid. Items: box, objectness and class loss with their gains, and their sum;
 * the value that is differentiated is the sum times the batch size times `scale`.
 *   match     level by level, a target is assigned to anchor a when max(w/aw, aw/w, h/ah, ah/h) < anchor_t, in its own cell
 *             and in the up to two neighbours nearer than half a cell; float32 as in the reference, cells clamped to the grid
 *   box       1 - overlap, mean over the level's matches
 *   obj       BCE with logits against (1 - ratio) + ratio * max(overlap, 0) where matched (of several targets on one cell and
 *             anchor the last sets it), 0 elsewhere; mean over all cells; times the level's balance
 *   cls       BCE of the matches' class scores, mean; none when classes is 1
 * Positives weigh cls_weight and obj_weight; focal_gamma > 0 turns both BCEs into focal losses with alpha .25. With L levels
 * the gains are times 3 / L. */
typedef enum overlap_kind { OVERLAP_CIOU, OVERLAP_GIOU } overlap_kind;

typedef struct loss_parameters {
    detect_parameters detect;
    overlap_kind overlap;
    double balance[GRAPH_LEVELS];
    float box_gain, obj_gain, cls_gain, obj_weight, cls_weight, focal_gamma, anchor_t, ratio, scale;
} loss_parameters;

enum { LOSS_ITEMS = 4 }; /* what OP_LOSS gives: box, objectness, class, their sum */

/* non_max_suppression() of utils/general.py. */
typedef struct nms_parameters {
    float min_score;
    double max_iou;   /* torchvision compares float32 overlaps with a double */
    int most;         /* boxes kept an image (300) */
    bool multi_label; /* several labels a box; the reference: when classes > 1 */
    bool agnostic;    /* boxes of different classes suppress each other */
    bool merge;       /* average the boxes that overlap */
    float time_limit; /* seconds for a batch, after which its other images count as empty; 0: none */
    const int *only;  /* classes wanted, NULL: all. Borrowed by the node */
    int only_count;
} nms_parameters;

enum { NMS_BOX = 6 }; /* what OP_NMS gives for each box: x1, y1, x2, y2, score, class */

typedef enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAM } optimizer_kind;

enum { UPDATE_GROUPS = 3 };

/* A run of elements that are updated alike, at the same offset in every arena. */
typedef struct update_segment {
    int64_t offset, count;
    int group; /* 0 norm weights, 1 weights with decay, 2 biases; -1: running statistics, averaged only */
} update_segment;

/* With p weights, g gradients, per group lr and wd:
 *   g += wd p
 *   SGD (Nesterov)  v = momentum v + g;  p -= lr (g + momentum v)
 *   Adam            m = b1 m + (1-b1) g;  s = b2 s + (1-b2) g^2;  p -= lr / c1 * m / (sqrt(s / c2) + 1e-8), b2 = .999
 *   average = d average + (1-d) p, where UPDATE_AVERAGE_DECAY is d; d < 0: left alone
 *   g = 0 */
typedef struct update_parameters {
    optimizer_kind kind;
    int segments;
    const update_segment *segment; /* borrowed by the node; covers what is to be updated, in order, without overlap */
} update_parameters;

enum update_scalar {                                                 /* the input of OP_UPDATE: float32 each */
                     UPDATE_LR,                                      /* three: one a group */
                     UPDATE_DECAY = UPDATE_LR + UPDATE_GROUPS,       /* three: wd of each group */
                     UPDATE_MOMENTUM = UPDATE_DECAY + UPDATE_GROUPS, /* momentum of SGD, b1 of Adam */
                     UPDATE_CORRECTION_1,                            /* Adam: c1 = 1 - b1^t */
                     UPDATE_CORRECTION_2,                            /* Adam: c2 = 1 - b2^t */
                     UPDATE_AVERAGE_DECAY,
                     UPDATE_COUNT,
};

typedef struct graph_node {
    op_kind kind;
    int inputs, outputs;
    int in[GRAPH_INPUTS], out[2]; /* tensors by index */
    union {
        conv_parameters conv;
        struct {
            float eps, momentum;
        } norm;
        activation activation;
        pool_parameters pool;
        loss_parameters loss;
        detect_parameters detect;
        nms_parameters nms;
        update_parameters update;
    };
} graph_node;

typedef struct graph {
    graph_tensor *tensors;
    size_t tensor_count, tensor_room;
    graph_node *nodes; /* in an order in which they can run */
    size_t node_count, node_room;
} graph;

/* Append; *out is the index. The caller frees the graph with graph_free, also after an error. ERR_MEMORY. */
status graph_add_tensor(graph *g, const graph_tensor *tensor, int *out);
status graph_add_node(graph *g, const graph_node *node);
/* Index of the tensor of that name, -1 if there is none. */
int graph_find(const graph *g, const char *name);
void graph_free(graph *g);

/* Check that every node has the inputs, outputs and shapes that its definition asks for and comes after what it reads:
 * ERR_ARGUMENT naming the node. Backends call it first, so that a plan never meets a malformed graph. */
status graph_check(const graph *g);
const char *op_name(op_kind kind);

#endif
