/* norm.h - everything between two convolutions, pixel by pixel: batch-norm, activation, addition.
 *
 *     y = act(norm(x)) + add
 *
 * where each part may be missing, x may be several maps side by side (what a concat would have joined), and y goes to several
 * places at once. In training two passes over x: its statistics, then y. Backward two passes over x and dy: the sums that the
 * gradient of batch-norm needs, then dx, which may take x's place. When a block of channels stays in one thread the second
 * pass finds it in the cache.
 *
 * Sums are kept for each block of channels and image and added up in a fixed order: the same result for any number of
 * threads. The ranks of a team exchange theirs between the passes. */
#ifndef CPU_NORM_H
#define CPU_NORM_H

#include "worker/backend/cpu/device.h"
#include "worker/backend/cpu/fuse.h"

/* Where a map's first block lies, from the arena's base; the blocks of one image follow each other. */
typedef struct view {
    int64_t offset, image_stride; /* bytes */
} view;

typedef struct point point;

typedef struct point_options {
    int segments;
    const map *segment[GRAPH_INPUTS];
    view x[GRAPH_INPUTS];
    const map *out;
    int images; /* at once: 1 in inference */
    bool training, bf16;
    int activation;
    bool norm;
    float eps, momentum;
    const float *gamma, *beta;             /* a value each channel of `out` */
    float *mean, *variance;                /* running; moved in training */
    float *gamma_gradient, *beta_gradient; /* training: added to */
    team *team;                            /* training: statistics are those of all its ranks; NULL: of this one */
    bool has_add;
    view add;
    int places;
    view place[POINT_OUTPUTS];
    /* backward */
    int gradients;
    view gradient[POINT_GRADIENTS]; /* their sum is dy */
    bool keep_sum;                  /* write dy's sum over gradient[0] */
    bool has_dx[GRAPH_INPUTS];
    view dx[GRAPH_INPUTS];
    int threads;
} point_options;

/* Only the options' maps are borrowed during the call. ERR_MEMORY. */
status point_create(device *d, const point_options *options, point **out);
void point_destroy(point **p);
/* Inference: take gamma, beta and the running statistics anew, if it has a norm. */
void point_refresh(point *p);
/* May run in several threads at once, with an arena each, when not training. ERR_DEVICE when another rank is gone. */
status point_forward_run(point *p, char *arena);
status point_backward_run(point *p, char *arena);

#endif
