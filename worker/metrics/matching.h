/* matching.h - which detections are right: the statistics that validation collects, picture by picture.
 *
 * Source: the loop "Statistics per image" of test.py. */
#ifndef METRICS_MATCHING_H
#define METRICS_MATCHING_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/* Overlaps that a detection is tried at: .5, .55, ... .95 as torch.linspace gives them in float32. */
enum { MATCHING_OVERLAPS = 10 };
void matching_overlaps(float overlaps[MATCHING_OVERLAPS]);

enum { MATCHING_BOX = 6, MATCHING_TARGET = 6 };

/* {0} is an empty one; free with matching_free. */
typedef struct matching {
    int64_t images;       /* seen, with or without anything in them */
    uint8_t *correct;     /* (count, MATCHING_OVERLAPS) */
    float *score, *class; /* count each, in the order in which they were added */
    size_t count;
    float *target_class; /* of every target in the pictures */
    size_t target_count;
    size_t correct_room, score_room, class_room, target_room;
} matching;

/* Add one picture. `boxes`: `count` detections (x1, y1, x2, y2, score, class) in pixels, best score first; they are clipped to
 * the picture, width x height, in place. `targets`: rows of (image, class, x, y, w, h), the boxes normalized, of which those
 * of `image` count. A detection is right at an overlap when it exceeds that with the target of its class that it fits best,
 * and no earlier one has taken that target. ERR_MEMORY. */
status matching_add(matching *m, float *boxes, size_t count, const float *targets, size_t target_count, int image,
                    int width, int height);
void matching_free(matching *m);

#endif
