/* anchors.h - do the anchors fit the boxes, and if not, which do?
 *
 * A box goes with an anchor when neither of its sides is more than anchor_t times longer or shorter than the anchor's; a box that
 * goes with none is never learnt. The part of the boxes that go with one is the best possible recall. When it is too low, k-means
 * and then 1000 generations of mutation look for anchors that fit better.
 *
 * Source: check_anchors() and kmean_anchors() in utils/general.py of the reference, with its order of draws. Mended: boxes that
 * all have the same side, fewer boxes than anchors. For speed, the search looks at ANCHORS_BOXES_MOST boxes drawn from all when
 * there are more; whether its result is better is decided over all. */
#ifndef DATA_ANCHORS_H
#define DATA_ANCHORS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/text.h"
#include "worker/data/dataset.h"
#include "worker/data/draw.h"
#include "worker/data/kmeans.h"

enum { ANCHORS_GENERATIONS = 1000, ANCHORS_BOXES_MOST = 1 << 16 };

/* How n anchors and some boxes go together. The ratio of a box and an anchor is the least of width / width, height / height and
 * their inverses, 0 to 1; it is good above 1 / anchor_t. Float32 as in the reference. All 0 without boxes. */
typedef struct anchors_fit {
    double recall;  /* part of the boxes whose best ratio is good: best possible recall (BPR) */
    double per_box; /* good anchors a box */
    double fitness; /* mean over the boxes of the best ratio, those that are not good counting 0 */
    double best;    /* mean of the best ratios */
    double all;     /* mean of all ratios */
    double good;    /* mean of the good ones */
} anchors_fit;

typedef struct anchors_options { /* zeros are valid in what has a default */
    int image_size;              /* the longer side of every picture becomes this */
    double anchor_t;             /* 1 or more */
    int count;                   /* anchors, at least 1 */
    double recall_least;         /* look for better ones below; 0: .98 (2020-07-20 has .99) */
    int generations;             /* of mutation; 0: ANCHORS_GENERATIONS */
} anchors_options;

typedef struct anchors_result {
    anchors_fit before, after; /* over all boxes; after: with what `pixels` holds in the end */
    size_t boxes;
    bool searched; /* the recall was too low */
    bool changed;  /* and better anchors were found */
} anchors_result;

/* Width and height of every label in pixels, picture by picture; with `scale` each picture's times one draw_uniform_numpy(.9, 1.1).
 * The caller frees *sizes. ERR_MEMORY. */
status anchors_boxes(const dataset *data, int image_size, draw *scale, point **sizes, size_t *count);

/* Measure `count` anchors (width, height in pixels) on boxes. */
anchors_fit anchors_measure(const point *boxes, size_t box_count, const point *anchors, size_t count, double anchor_t);

/* Look for options->count anchors that fit the boxes: found[count], by rising area, no side under 2 px. Boxes that are smaller than
 * 2 px both ways are left out. generations: of mutation, may be 0. ERR_RANGE when there are fewer boxes than anchors; ERR_MEMORY.
 * Says in the log what it does. */
status anchors_find(const anchors_options *options, int generations, draw *d, const point *boxes, size_t box_count,
                    point *found);

/* Measure the anchors in `pixels` (options->count pairs of width, height) on a data set, and replace them, by rising area, when the
 * recall is too low and others have a better one. Log lines as the reference prints them. ERR_MEMORY, ERR_ARGUMENT. */
status anchors_check(const dataset *data, const anchors_options *options, draw *d, float *pixels, anchors_result *out);

/* What the check says first, as the reference prints it: "Analyzing anchors... anchors/target = 6.33, ...". */
void anchors_describe(const anchors_result *result, text *out);

#endif
