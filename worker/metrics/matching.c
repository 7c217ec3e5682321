#include "worker/metrics/matching.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/array.h"
#include "worker/metrics/boxes.h"

void matching_overlaps(float overlaps[MATCHING_OVERLAPS])
{
    const float first = 0.5f, last = 0.95f, step = (last - first) / (MATCHING_OVERLAPS - 1);
    for (int i = 0; i < MATCHING_OVERLAPS; i++) /* torch counts from the nearer end */
        overlaps[i] =
            i < MATCHING_OVERLAPS / 2 ? first + step * (float)i : last - step * (float)(MATCHING_OVERLAPS - 1 - i);
}

void matching_free(matching *m)
{
    free(m->correct);
    free(m->score);
    free(m->class);
    free(m->target_class);
    *m = (matching){0};
}

/* A target of the picture in hand. */
typedef struct picture_target {
    float class, corners[4];
    bool taken;
} picture_target;

static status read_targets(matching *m, const float *targets, size_t target_count, int image, int width, int height,
                           picture_target *out, size_t *count)
{
    const float scale[4] = {(float)width, (float)height, (float)width, (float)height};
    *count = 0;
    for (size_t i = 0; i < target_count; i++) {
        const float *t = targets + MATCHING_TARGET * i;
        if (t[0] != (float)image) continue;
        TRY(array_room(&m->target_class, &m->target_room, m->target_count + 1));
        m->target_class[m->target_count++] = t[1];
        picture_target *own = &out[(*count)++];
        *own = (picture_target){.class = t[1]};
        boxes_to_corners(t + 2, own->corners);
        for (int k = 0; k < 4; k++) own->corners[k] *= scale[k];
    }
    return OK;
}

/* The target of the box's class that it overlaps most, the first of equals; NULL if there is none. */
static picture_target *best_target(const float *box, picture_target *targets, size_t count, float *overlap)
{
    picture_target *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (targets[i].class != box[5]) continue;
        float iou = boxes_iou(box, targets[i].corners);
        if (best && !(iou > *overlap || isnan(iou))) continue; /* NaN wins, as in torch's max, and fits nothing */
        best = &targets[i];
        *overlap = iou;
    }
    return best;
}

static status add_boxes(matching *m, float *boxes, size_t count, picture_target *targets, size_t target_count,
                        int width, int height)
{
    float overlaps[MATCHING_OVERLAPS];
    matching_overlaps(overlaps);
    TRY(array_room(&m->correct, &m->correct_room, (m->count + count) * MATCHING_OVERLAPS));
    TRY(array_room(&m->score, &m->score_room, m->count + count));
    TRY(array_room(&m->class, &m->class_room, m->count + count));
    for (size_t i = 0; i < count; i++, m->count++) {
        float *box = boxes + MATCHING_BOX * i, overlap = 0;
        boxes_clip(box, width, height);
        m->score[m->count] = box[4];
        m->class[m->count] = box[5];
        picture_target *t = best_target(box, targets, target_count, &overlap);
        bool right = t && !t->taken && overlap > overlaps[0];
        for (int k = 0; k < MATCHING_OVERLAPS; k++)
            m->correct[m->count * MATCHING_OVERLAPS + (size_t)k] = right && overlap > overlaps[k];
        if (right) t->taken = true;
    }
    return OK;
}

status matching_add(matching *m, float *boxes, size_t count, const float *targets, size_t target_count, int image,
                    int width, int height)
{
    picture_target *own;
    size_t own_count;
    TRY(array_new(&own, target_count));
    status s = read_targets(m, targets, target_count, image, width, height, own, &own_count);
    if (s == OK) s = add_boxes(m, boxes, count, own, own_count, width, height);
    if (s == OK) m->images++;
    free(own);
    return s;
}
