/* kernels.h - the inner loops over feature maps, one table for each instruction set.
 *
 * A feature map lies in blocks of `block` channels (oneDNN's nChwBc): one image and one block of channels are a panel of
 * height * width vectors of `block` lanes, contiguous in memory. A kernel works on one panel; lane l of every vector is the
 * same channel. Channels that only fill up a block are zero everywhere and stay so.
 *
 * kernels.c is compiled once for each instruction set; kernels_choose takes the best one this processor has. */
#ifndef CPU_KERNELS_H
#define CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/backend/graph.h"

enum { BLOCK_MOST = 16, POINT_OUTPUTS = 3, POINT_GRADIENTS = 16, ACTIVATION_NONE = -1 };

/* y = act(x * scale + shift) + add, to up to POINT_OUTPUTS places. */
typedef struct point_forward {
    const void *x;
    const void *add; /* NULL: nothing is added */
    void *out[POINT_OUTPUTS];
    int outs;
    const float *scale, *shift; /* a lane each; NULL: 1 and 0 */
    int activation;             /* enum activation or ACTIVATION_NONE */
} point_forward;

/* The way back: dz = dy * act'(x * scale + shift), where dy is the sum of up to POINT_GRADIENTS gradients. */
typedef struct point_backward {
    void *x; /* the forward input */
    const void *dy[POINT_GRADIENTS];
    int dys;
    void *sum;                  /* where dy's sum is written, NULL: nowhere. May be one of dy */
    void *dx;                   /* of backward_apply: a * dz + b * x + c; may be x; NULL: only the sum is wanted */
    const float *scale, *shift; /* as in the forward pass */
    int activation;
    const float *mean;      /* of backward_stats */
    const float *a, *b, *c; /* of backward_apply, a lane each; NULL (no batch-norm): dx = dz */
} point_backward;

/* One optimizer step over `count` elements; see OP_UPDATE. */
typedef struct update_run {
    float *weights, *gradients, *momentum, *squares, *average; /* squares: Adam; average: NULL if there is none */
    float lr, decay, beta1, correction1, correction2, average_decay;
    bool adam, trained; /* not trained: only averaged */
} update_run;

typedef struct pool_shape {
    pool_parameters window;
    int height, width, out_height, out_width;
} pool_shape;

typedef struct kernels {
    const char *name;
    int block;

    /* Add to sum and squares, lane by lane, x - shift and its square over the panel. */
    void (*stats)(const void *x, bool bf16, int64_t pixels, const float *shift, double *sum, double *squares);
    void (*forward)(const point_forward *p, bool bf16, int64_t pixels);
    /* Add to sum the dz of the panel, to product dz * (x - mean). Writes dy's sum if asked. */
    void (*backward_stats)(const point_backward *p, bool bf16, int64_t pixels, double *sum, double *product);
    void (*backward_apply)(const point_backward *p, bool bf16, int64_t pixels);

    /* Nearest times two: y has 2h * 2w pixels; and dx = the sum of each four of dy. */
    void (*upsample)(const void *x, void *y, bool bf16, int height, int width);
    void (*upsample_backward)(const void *dy, void *dx, bool bf16, int height, int width);
    /* The maximum of each window. `room`: height * max(width, out_width) vectors of float. */
    void (*pool)(const void *x, void *y, bool bf16, const pool_shape *s, float *room);
    /* dx = dy at the first maximum of each window. */
    void (*pool_backward)(const void *x, const void *y, const void *dy, void *dx, bool bf16, const pool_shape *s,
                          float *room);
    void (*to_bf16)(const float *from, uint16_t *to, int64_t count);
    void (*from_bf16)(const uint16_t *from, float *to, int64_t count);
    void (*update)(const update_run *u, int64_t first, int64_t end);
} kernels;

/* The kernels for this processor: blocks of 16 with AVX-512, else of 8. Never NULL. */
const kernels *kernels_choose(void);

#endif
