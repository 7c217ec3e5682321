/* plan.h - what the kinds of plans have in common.
 *
 *   train   a network, forward and backward, a batch at a time (train.c)
 *   infer   a network forward, an image a thread (infer.c)
 *   update  one optimizer step (update.c)
 *   augment pictures (pictures.c) */
#ifndef CPU_PLAN_H
#define CPU_PLAN_H

#include "worker/backend/cpu/device.h"

/* Inputs and outputs that are no feature maps (pixels, targets, loss items, boxes ...), and everything the caller may write
 * or read: plain arrays in the graph's order. */
typedef struct plan_array {
    graph_tensor tensor; /* a copy */
    void *memory;        /* NULL: a feature map, or nothing the caller may touch */
    size_t bytes;
} plan_array;

typedef struct plan_kind {
    const char *name;
    status (*run)(plan *p);
    /* Copy a feature map, or the gradient of one, in or out; `bytes` has been checked. ERR_ARGUMENT if it has none. */
    status (*copy_map)(plan *p, plan_side side, int tensor, bool in, void *memory);
    int64_t (*memory)(const plan *p);
    /* Seconds of each operation of the last runs are collected while p->profiling is set; append them. */
    void (*report)(const plan *p, int runs, text *out);
    void (*destroy)(plan *p);
} plan_kind;

struct plan {
    device *d;
    const plan_kind *kind;
    void *state; /* of the kind */
    precision precision;
    buffer *buffers[ARENA_COUNT];
    team *team;         /* of norms in training; NULL: none */
    plan_array *arrays; /* one a tensor of the graph */
    size_t array_count;
    graph_node *convs; /* for the ceiling: nodes and the shapes of x and w */
    shape (*conv_shapes)[2];
    bool *conv_first; /* its input wants no gradient */
    size_t conv_count;
    bool profiling;
};

status train_plan_create(plan *p, const graph *g, const plan *share);
status infer_plan_create(plan *p, const graph *g, const plan *share);
status update_plan_create(plan *p, const graph *g);
status augment_plan_create(plan *p, const graph *g);

/* Address of a stored tensor in a buffer, checked when the plan is made. */
float *plan_stored(const plan *p, const graph *g, arena which, int tensor);

#endif
