/* warp.h - the random affine or perspective map of a picture and its boxes.
 *
 * Source: random_perspective() and box_candidates() in utils/datasets.py of the reference; cv2.getRotationMatrix2D(), and how
 * cv2.warpAffine() and warpPerspective() invert a matrix. */
#ifndef DATA_WARP_H
#define DATA_WARP_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/backend/augment.h"
#include "worker/data/draw.h"

typedef struct warp_ranges {
    double degrees, translate, scale, shear, perspective; /* each +/-; translate a part of the output, scale of 1 */
} warp_ranges;

/* A canvas seen through `matrix`: canvas (x, y, 1) to output, row by row. */
typedef struct warp {
    double matrix[9];
    double center[9], tilt[9], turn[9], shear[9], shift[9]; /* its factors C, P, R, S, T: matrix = T S R P C */
    double angle, scale;                                    /* of R: degrees and gain */
    bool perspective;                                       /* else the last row is 0 0 1 */
    int width, height;                                      /* of the output */
} warp;

/* Eight of draw_uniform. The output is the canvas less `border` (0 or negative: -canvas / 4 for a mosaic) on every side. */
void warp_draw(draw *d, const warp_ranges *ranges, int canvas_width, int canvas_height, int border_x, int border_y,
               warp *out);

/* Fill in warp and inverse of a layer whose canvas it is; WARP_NONE when nothing would change. */
void warp_layer(const warp *w, augment_layer *out);

typedef struct corners { /* a label in pixels */
    float cls, x1, y1, x2, y2;
} corners;

/* Map labels in place: each becomes the upright box around its four mapped corners, cut to the output; those that
 * warp_keeps_box rejects are dropped. Returns how many are left, in their order. */
size_t warp_labels(const warp *w, corners *labels, size_t count);
/* The box (x1, y1, x2, y2) of one label after mapping and cutting. */
void warp_box(const warp *w, const corners *label, double box[4]);

/* Is a box worth keeping? Wider and higher than 2 px, sides' ratio under 20, and more than a tenth of the area that it had
 * before (with the map's gain). before: x1, y1, x2, y2 times the gain, float32 as in the reference. */
bool warp_keeps_box(const float before[4], const double after[4]);

#endif
