/* boxes.h - boxes as centre and size, as corners, and in the pixels of another picture.
 *
 * float32, operation by operation as the reference. Source: xyxy2xywh(), xywh2xyxy(), scale_coords(), clip_coords() and
 * box_iou() of utils/general.py. */
#ifndef METRICS_BOXES_H
#define METRICS_BOXES_H

#include <stddef.h>

enum { BOX_X1, BOX_Y1, BOX_X2, BOX_Y2 };

/* (x1, y1, x2, y2) to (centre x, centre y, width, height) and back. `to` may be `from`. */
void boxes_to_centre(const float from[4], float to[4]);
void boxes_to_corners(const float from[4], float to[4]);

/* Clip corners to a picture. NaN stays. */
void boxes_clip(float corners[4], int width, int height);

/* How a picture lies in a network input: scaled by gain, then moved by (pad_x, pad_y). */
typedef struct boxes_placing {
    double gain, pad_x, pad_y;
} boxes_placing;

/* The placing of a letterboxed picture of width x height centred in an input of input_width x input_height. */
boxes_placing boxes_letterbox(int input_width, int input_height, int width, int height);

/* `count` boxes, `step` floats apart, from corners in the input to corners in the picture, clipped to it. */
void boxes_scale(float *corners, size_t count, size_t step, const boxes_placing *placing, int width, int height);

/* Intersection over union of corners; NaN for two boxes without area. */
float boxes_iou(const float a[4], const float b[4]);

#endif
