/* detect.h - OP_LOSS, OP_DECODE and OP_NMS on the processor, over predictions as they lie in a plan's memory.
 *
 * The formulas are those of worker/backend/graph.h; worker/loss/ and the tests hold plain versions of the same. Loss and
 * suppression are created with a plan and run many times: detect_loss_run allocates nothing, detect_nms_run only until its
 * lists have grown to what the data need. Results depend neither on the layout nor on the number of threads.
 *
 * Source: build_targets(), compute_loss() and non_max_suppression() of utils/general.py, Detect.forward() of models/yolo.py,
 * and torchvision's nms. */
#ifndef CPU_DETECT_H
#define CPU_DETECT_H

#include <stdint.h>

#include "common/status.h"
#include "worker/backend/graph.h"

/* One level's raw predictions in memory: image n, channel c, cell (y, x) lies at
 *     value[n * image_stride + (c / block) * block_stride + (y * width + x) * block + c % block]
 * which is nChw8c or nChw16c for a block of 8 or 16 (channels padded up to whole blocks), and plain NHWC for a block of all
 * channels. Channels are anchors * (5 + classes), anchor by anchor. Borrowed. */
typedef struct detect_view {
    float *value;
    float *gradient; /* as value; NULL in inference, else fully written: 0 where nothing flows, padding included */
    int images, height, width;
    int64_t image_stride, block_stride;
    int block;
} detect_view;

/* ---- loss ---- */

typedef struct detect_loss detect_loss;

/* `views`: one a level, all of the same number of images; copied, the memory they point to must stay. `targets_most` is the
 * most targets of a batch. ERR_ARGUMENT for views that cannot be (a block below 1, levels that differ in images), ERR_MEMORY. */
status detect_loss_create(const loss_parameters *p, const detect_view *views, int targets_most, int threads,
                          detect_loss **out);
void detect_loss_destroy(detect_loss **l);

/* The loss of what lies in the views, and its gradient where they have one. `targets`: `count` rows of (image, class, x, y,
 * w, h), the boxes normalized. A non-finite prediction where the loss reads it gives non-finite items, never an error.
 * ERR_ARGUMENT, naming the row, for more targets than room, an image outside the batch or, with several classes, a class
 * that the model does not have; then nothing is written. */
status detect_loss_run(detect_loss *l, const float *targets, int count, float items[LOSS_ITEMS]);

/* ---- decoding ---- */

/* Rows that the levels have together: anchors * height * width each. */
int64_t detect_rows(const detect_view *views, const detect_parameters *p);
/* Raw predictions to (images, rows, 5 + classes): x y w h in pixels, objectness, classes; rows of a level run over anchor,
 * y, x. */
void detect_decode(const detect_view *views, const detect_parameters *p, int threads, float *out);

/* ---- suppression ---- */

typedef struct detect_nms detect_nms;

/* `p->only` is borrowed. ERR_ARGUMENT for `most` or `classes` below 1 or a negative threshold, ERR_MEMORY. */
status detect_nms_create(const nms_parameters *p, int classes, int threads, detect_nms **out);
void detect_nms_destroy(detect_nms **n);

/* Thin decoded predictions (images, rows, 5 + classes) out: `boxes` (images, most, 6), best score first, ties in the order
 * of the rows, unclipped; `counts` (images) says how many there are, the rest of an image's boxes is 0. ERR_MEMORY. */
status detect_nms_run(detect_nms *n, const float *decoded, int images, int64_t rows, float *boxes, int *counts);
/* The same from raw predictions, to the bit what detect_decode and detect_nms_run give one after the other; rows below the
 * score threshold are never decoded. `p->classes` must be that of the creation. */
status detect_nms_find(detect_nms *n, const detect_view *views, const detect_parameters *p, float *boxes, int *counts);

#endif
