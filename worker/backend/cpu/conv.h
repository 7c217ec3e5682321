/* conv.h - convolutions by oneDNN: forward, both gradients, and the packed copies of their weights.
 *
 * Weights at rest are float32 in the reference's order (O, I, kh, kw). Each convolution keeps copies in the orders and the
 * type that oneDNN wants for this shape, made anew when the weights have changed. Gradients of weights come out packed and
 * are added to the gradients at rest, all at once after the backward pass. */
#ifndef CPU_CONV_H
#define CPU_CONV_H

#include "worker/backend/cpu/device.h"
#include "worker/backend/cpu/fuse.h"

typedef struct conv conv;

/* Where one filter's weights lie at rest. */
typedef struct conv_filter {
    const float *weight, *bias;             /* bias NULL: none */
    float *weight_gradient, *bias_gradient; /* training */
    const map *out;
    /* Inference: batch-norm folded into the weights, `channels` values each; NULL: none. */
    const float *gamma, *beta, *mean, *variance;
    float eps;
} conv_filter;

typedef struct conv_options {
    conv_parameters shape;
    int images; /* at once: 1 in inference */
    const map *in;
    int filters;
    conv_filter filter[FILTERS_MOST]; /* their outputs follow each other in channel blocks */
    bool training, data_gradient;     /* data_gradient: the input wants one */
    bool bf16, out_fp32;              /* type of maps; a head's output stays fp32 */
    int activation;                   /* inference: applied to the output; ACTIVATION_NONE in training */
    int threads;                      /* that will run it */
} conv_options;

/* ERR_UNSUPPORTED, ERR_MEMORY. */
status conv_create(device *d, const conv_options *options, conv **out);
void conv_destroy(conv **c);
/* Bytes of scratch memory that a run needs (shared by all; 64-byte aligned). */
size_t conv_scratch(const conv *c);
/* Bytes of the packed weights. */
int64_t conv_memory(const conv *c);

/* Take the weights anew. Call when they have changed, before the next run. */
status conv_pack(conv *c);
/* Add the gradients that the last backward pass has left to those at rest. */
status conv_collect(conv *c);

/* Run on memory that lies as the maps say. conv_forward may be called from several threads at once with their own scratch. */
status conv_forward(const conv *c, const void *x, void *y, void *scratch);
/* dy has y's layout, in the maps' type also for a head. dx may be NULL when data_gradient is false. The gradients of weights stay
 * packed until conv_collect. */
status conv_backward(conv *c, const void *x, const void *dy, void *dx, void *scratch);

/* The name of the implementation oneDNN chose for the forward pass: for profiles. */
const char *conv_implementation(const conv *c);

/* Best of several runs of one convolution alone, in seconds, over blocked and channels-last layouts: forward, and with
 * `gradients` both of them besides (data gradients only when `data_gradient`). */
status conv_best_time(device *d, const conv_parameters *p, const shape *x, const shape *w, bool bf16, bool gradients,
                      bool data_gradient, double *seconds);

#endif
