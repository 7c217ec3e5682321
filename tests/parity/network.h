/* network.h - the fixtures' networks on the CPU backend: what the folders model, loss and train share. */
#ifndef TESTS_PARITY_NETWORK_H
#define TESTS_PARITY_NETWORK_H

#include "tests/parity/parity.h"
#include "worker/model/model.h"

typedef struct network_run {
    const backend_ops *ops;
    device *d;
    model m;
    buffer *weights, *gradients;
    plan *plan;
    graph_ends ends;
    int images, height, width;
} network_run;

/* The model of model/<name>/ with its recorded weights. False and a failed case when something does not fit. */
bool network_model(parity *p, const char *name, model *m);

/* That model, compiled for pictures like x (N, 3, H, W). `request` says what is wanted besides; its sizes are filled in. Call
 * network_stop whatever comes back. */
bool network_start(parity *p, const char *name, const npy *x, graph_request *request, bool training,
                   precision precision, network_run *run);
/* Put the pictures in and run once. */
bool network_forward(parity *p, network_run *run, const npy *x);
void network_stop(network_run *run);

/* Raw predictions of a level as the reference has them, (N, A, H, W, 5 + C); kept by the parity. NULL and a failed case. */
float *network_raw(parity *p, const network_run *run, int level);
size_t network_raw_count(const network_run *run, int level);
/* A weight as it is in the device's buffer now. */
void network_read_weights(parity *p, const network_run *run, const weight *w, float *to);

/* Compare tensors with recorded samples (index.json and samples.npy in `folder`): elements 0, stride, 2 stride, ... of each
 * tensor one after the other, with its norm and sum. `arena` is laid out as the model's. */
void network_check_samples(parity *p, const model *m, const float *arena, const char *folder, double rel_l2_each,
                           double rel_l2_all);

#endif
