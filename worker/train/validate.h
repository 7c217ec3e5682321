/* validate.h - precision, recall and mAP of a model over a data set.
 *
 * Source: test() of test.py. */
#ifndef TRAIN_VALIDATE_H
#define TRAIN_VALIDATE_H

#include "common/hyp.h"
#include "worker/data/loader.h"
#include "worker/metrics/ap.h"
#include "worker/model/model.h"

typedef struct validator validator;

/* A batch and what was found in it. */
typedef struct validated_batch {
    const batch *batch;
    const float *boxes; /* batch->count times `most` rows of NMS_BOX, in pixels of the batch, clipped to it */
    const int *counts;  /* rows of each picture that are boxes, best score first */
    int most;
} validated_batch;

typedef struct validator_options {
    const backend_ops *ops; /* borrowed, as are all pointers here, until the validator is destroyed */
    device *device;
    const model *model;
    buffer *weights; /* that are validated: the moving average in training */
    precision precision;
    bool no_loss;             /* losses stay 0 */
    loss_parameters loss;     /* without heads */
    float min_score, max_iou; /* .001 and .6 in training, .65 alone */
    bool merge;               /* average the boxes that overlap */
    bool agnostic;            /* boxes of different classes suppress each other */
    const int *only;          /* classes whose boxes count, only_count of them; NULL: all */
    int only_count;
    double
        time_limit; /* seconds of suppression a batch, after which the rest of its pictures counts as empty; 0: none */
    loader *loader; /* rectangular batches, not augmented */
    /* Called after each batch; what it returns but OK ends the validation and is returned. NULL: nobody wants to know. */
    status (*seen)(void *state, const validated_batch *b);
    void *seen_state;
} validator_options;

typedef struct validation {
    double results[RESULT_COUNT]; /* P R mAP@.5 mAP@.5:.95, mean losses box obj cls */
    ap_summary summary;
    double *maps; /* one a class; that over all for classes without targets */
    double seconds, inference_seconds;
} validation;

status validator_create(const validator_options *options, validator **out);
void validator_destroy(validator **v);

/* Go through the whole data set. `between` (NULL: none) is called after each batch; what it returns but OK ends the validation and
 * is returned. Free *out with validation_free, whatever is returned. */
status validator_run(validator *v, status (*between)(void *state), void *state, validation *out);
void validation_free(validation *v);

#endif
