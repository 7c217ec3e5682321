/* plain.h - graphs computed by plain loops in double: what backends are compared with.
 *
 * Covers the operations of a network: image, conv, norm, activation, add, concat, upsample, maxpool. Nothing here is fast. */
#ifndef TESTS_BACKEND_PLAIN_H
#define TESTS_BACKEND_PLAIN_H

#include "worker/backend/graph.h"

typedef struct plain {
    const graph *g;
    bool training;
    double **value, **gradient; /* one array a tensor, (N, C, H, W) or as stored */
} plain;

/* Allocate; stored tensors take their values from `weights` (by offset). Aborts without memory: this is a test. */
void plain_create(const graph *g, bool training, const float *weights, plain *out);
void plain_free(plain *p);
/* Forward from the inputs' values; running statistics of norms move in training. */
void plain_forward(plain *p);
/* Backward from the outputs' gradients; all others are zeroed first. */
void plain_backward(plain *p);
size_t plain_count(const plain *p, int tensor);

#endif
