/* detection.h - the detection loss: which targets meet which predictions, and what that costs.
 *
 * loss_parameters_from makes the parameters of OP_LOSS (worker/backend/graph.h has the formula). The rest is the plain
 * version that backends are compared with: matching in float32, since a rounding decides which cell a target falls into,
 * everything else in double.
 *
 * Source: build_targets() and compute_loss() of utils/general.py. Mended: cells are clamped to the grid (a centre of exactly
 * 1.0 lies past it), the CIoU of two equal boxes is no 0 / 0, and the focal loss's gradient stays finite where float32
 * rounds 1 - p to 0 or 1. */
#ifndef LOSS_DETECTION_H
#define LOSS_DETECTION_H

#include "common/hyp.h"
#include "common/status.h"
#include "worker/backend/graph.h"

/* The loss of these heads under these hyps: `hyps` in the order of hyp_space_default. The class gain, tuned for 80 classes,
 * is taken times classes / 80 as train.py does; ratio and scale are 1. */
void loss_parameters_from(const double *hyps, const detect_parameters *heads, loss_parameters *out);

/* The same as YOLOv5 of 2020-07-20 had it: GIoU, and levels that weigh alike. */
void loss_parameters_as_of_2020_07_20(loss_parameters *p);

/* A target at one cell and anchor of a level. */
typedef struct loss_match {
    int image, class, anchor, y, x;
    float box[4]; /* the target: centre from the cell's corner (-0.5 to 1.5), width and height, in cells */
} loss_match;

typedef struct loss_matches {
    loss_match *items;
    size_t count, room;
} loss_matches;

/* The matches of one level in the reference's order: by neighbour (own cell, left, above, right, below), then anchor, then
 * target. `targets`: rows of (image, class, x, y, w, h). Appends to `out`, which the caller frees with loss_matches_free,
 * also after an error. ERR_ARGUMENT, naming the row, for an image not in 0..images-1 or, with several classes, a class
 * not in 0..classes-1. */
status loss_find_matches(const loss_parameters *p, int level, int images, int height, int width, const float *targets,
                         size_t count, loss_matches *out);
void loss_matches_free(loss_matches *m);

/* The raw predictions of one level, (images, anchors, height, width, 5 + classes) in C order, and where the gradient by them
 * goes; it is overwritten, and may be NULL. Borrowed. */
typedef struct loss_level {
    const float *value;
    float *gradient;
    int height, width;
} loss_level;

/* The loss of a batch. `levels` as many as the parameters have. A non-finite prediction where the loss reads it gives
 * non-finite items. Errors as loss_find_matches, and ERR_MEMORY. */
status loss_detection(const loss_parameters *p, int images, const loss_level *levels, const float *targets,
                      size_t count, double items[LOSS_ITEMS]);

#endif
