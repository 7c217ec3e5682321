/* fuse.h - from a graph's small operations to what the CPU computes together.
 *
 *   input    image, resize, focus: from the caller's pixels to the first feature map
 *   conv     one convolution, or several of one shape over the same map computed as one (the two entries of a CSP stage)
 *   point    everything between two convolutions, pixel by pixel: batch-norm over one map or over several that a concat would
 *            have joined, activation, addition; writes its result wherever it is wanted
 *   upsample, pool, concat (nothing to compute: its members are written in place), heads (loss, decode)
 *   repack   a map laid out as another one
 *
 * A feature map lies in blocks of 8 or 16 channels (kernels.h). When a concat joins maps whose channels do not fill whole
 * blocks, the joined map has holes: `run` says how logical channels are laid out. Holes hold zeros, and weights that meet
 * them are zero, so no operation needs to know, but for additions of maps with other holes: one is repacked before. */
#ifndef CPU_FUSE_H
#define CPU_FUSE_H

#include "worker/backend/graph.h"

enum { RUNS_MOST = 32, FILTERS_MOST = 4 };

typedef struct channel_run {
    int logical, physical; /* physical: rounded up to whole blocks */
} channel_run;

/* A feature map: index i < graph's tensor_count is the graph's tensor i; later ones were put in between. */
typedef struct map {
    int images, channels, height, width;
    int blocks; /* of channels, holes included */
    int runs;
    channel_run run[RUNS_MOST];
    int made_by; /* operation, -1: the caller's input */
    bool is_map; /* rank 4 and part of the network; the rest is unused */
    bool wants_gradient;
    bool output; /* the caller reads it */
} map;

typedef enum fused_kind {
    FUSED_INPUT,
    FUSED_CONV,
    FUSED_POINT,
    FUSED_UPSAMPLE,
    FUSED_POOL,
    FUSED_REPACK,
    FUSED_CONCAT,
    FUSED_LOSS,
    FUSED_DECODE,
    FUSED_NMS,
} fused_kind;

typedef struct fused_filter {
    int weight, bias; /* graph tensors; bias -1: none */
    int out;          /* map */
} fused_filter;

typedef struct fused_norm {
    bool there;
    int gamma, beta, mean, variance; /* graph tensors */
    float eps, momentum;
} fused_norm;

typedef struct fused {
    fused_kind kind;
    int inputs, in[GRAPH_INPUTS]; /* maps; of a loss or decode: the heads */
    int out;                      /* map; of a conv: that of the first filter */
    conv_parameters conv;
    int filters;
    fused_filter filter[FILTERS_MOST];
    fused_norm norm;      /* FUSED_POINT */
    int activation;       /* FUSED_POINT: enum activation or ACTIVATION_NONE */
    int add;              /* FUSED_POINT: map, -1: none */
    int like;             /* FUSED_REPACK: the map whose layout the result has */
    pool_parameters pool; /* FUSED_POOL */
    bool focus, resize;   /* FUSED_INPUT */
    int resize_height, resize_width;
    graph_node node; /* FUSED_LOSS, FUSED_DECODE, FUSED_NMS: its parameters and other tensors */
} fused;

typedef struct network {
    const graph *g; /* borrowed while the plan is made */
    bool training;
    int block;
    fused *ops; /* in an order in which they can run */
    size_t op_count, op_room;
    map *maps;
    size_t map_count, map_room;
} network;

/* ERR_UNSUPPORTED names what this backend cannot do. Free with network_free, also after an error. */
status network_create(const graph *g, bool training, int block, network *out);
void network_free(network *n);

/* How an operation uses a map. USE_POOL: to make another map of it, a panel at a time. */
typedef enum map_use { USE_CONV, USE_SEGMENT, USE_ADD, USE_CONCAT, USE_UPSAMPLE, USE_POOL, USE_HEAD } map_use;

typedef struct map_user {
    int op;
    map_use use;
    int slot; /* which of the operation's inputs */
} map_user;

enum { USERS_MOST = 32 };
/* Everyone who uses a map, in order; the number of them. */
int network_users(const network *n, int map, map_user users[USERS_MOST]);
/* Block at which input `slot` of a concat or point begins. */
int network_slot_block(const network *n, const fused *op, int slot);
/* Elements of one image of a map, holes included. */
int64_t map_image_size(const map *m, int block);

#endif
