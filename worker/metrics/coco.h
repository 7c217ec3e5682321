/* coco.h - what a detector has found, as COCO's tools read it: a JSON list of
 *
 *     {"image_id": 42, "category_id": 18, "bbox": [258.15, 41.29, 348.26, 243.78], "score": 0.236}
 *
 * The image is the file's name without its extension, a number where it is one; a box is its left upper corner, width and height in
 * pixels of the file.
 *
 * Source: save_json in test.py. There categories are always COCO's own; here they are for COCO's 80 classes, and a class's number
 * otherwise. */
#ifndef METRICS_COCO_H
#define METRICS_COCO_H

#include <stdbool.h>

#include "common/status.h"
#include "worker/metrics/boxes.h"

typedef struct coco_file coco_file;

/* The category of a class, 0 to 79, of COCO's 80: 1 to 90, with gaps. */
int coco_category(int class);

/* Start the file; `coco` chooses the categories. What is there stays until coco_finish. On error *out is NULL. */
status coco_start(const char *path, bool coco, coco_file **out);
/* Add the boxes of a picture: `count` rows of x1, y1, x2, y2, score, class, the corners in pixels of the network's input, in which the
 * picture, width x height in its file, lies as `placing` says. */
status coco_add(coco_file *f, const char *picture, const float *boxes, size_t count, const boxes_placing *placing,
                int width, int height);
/* Put the file in its place, when `result` is OK, and free *f, in any case. Returns `result`, or what went wrong. */
status coco_finish(coco_file **f, status result);

#endif
