/* hyp.h - the search space: one table of hyperparameters that everything else is derived from.
 *
 * Limits, mutation, hyp.yaml, the columns of evolve.txt, plots, --help and the docs come from these rows. A set of values
 * is an array of doubles in row order; for YOLOv5's own space hyp[HYP_lr0] names one.
 *
 * Source: `meta` of train.py at 2020-08-31 (the default) and 2020-07-20, data/hyp.scratch.yaml, data/hyp.finetune.yaml. */
#ifndef COMMON_HYP_H
#define COMMON_HYP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

/*      key           gain low   high   valid         scratch finetune meaning
 * gain scales the mutation, 0: never mutated. Evolution stays in low..high; training accepts what makes sense (valid). */
/* clang-format off */
#define HYP_SPACE(ROW)                                                                                                      \
    ROW(lr0,          1.0, 1e-5, 0.1,   0.0, 10.0,   0.01,   0.00447, "learning rate at the start (SGD .01, Adam .001)")    \
    ROW(lrf,          1.0, 0.01, 1.0,   0.0, 1.0,    0.2,    0.114,   "learning rate at the end, as a fraction of lr0")     \
    ROW(momentum,     0.1, 0.6,  0.98,  0.0, 0.9999, 0.937,  0.873,   "momentum of SGD, beta1 of Adam")                     \
    ROW(weight_decay, 1.0, 0.0,  0.001, 0.0, 1.0,    0.0005, 0.00047, "L2 decay of convolution weights, for a batch of 64") \
    ROW(giou,         1.0, 0.02, 0.2,   0.0, 100.0,  0.05,   0.0306,  "gain of the box loss")                               \
    ROW(cls,          1.0, 0.2,  4.0,   0.0, 100.0,  0.5,    0.211,   "gain of the class loss, for 80 classes")             \
    ROW(cls_pw,       1.0, 0.5,  2.0,   0.0, 100.0,  1.0,    0.546,   "weight of positives in the class loss")              \
    ROW(obj,          1.0, 0.2,  4.0,   0.0, 100.0,  1.0,    0.421,   "gain of the objectness loss")                        \
    ROW(obj_pw,       1.0, 0.5,  2.0,   0.0, 100.0,  1.0,    0.972,   "weight of positives in the objectness loss")         \
    ROW(iou_t,        0.0, 0.1,  0.7,   0.0, 1.0,    0.2,    0.2,     "IoU threshold of targets; read by nothing")          \
    ROW(anchor_t,     1.0, 2.0,  8.0,   1.0, 1000.0, 4.0,    2.26,    "largest ratio of a box to its anchor")               \
    ROW(fl_gamma,     0.0, 0.0,  2.0,   0.0, 10.0,   0.0,    0.0,     "gamma of the focal loss, 0: none")                   \
    ROW(hsv_h,        1.0, 0.0,  0.1,   0.0, 1.0,    0.015,  0.0154,  "hue jitter, +/- fraction")                           \
    ROW(hsv_s,        1.0, 0.0,  0.9,   0.0, 1.0,    0.7,    0.9,     "saturation jitter, +/- fraction")                    \
    ROW(hsv_v,        1.0, 0.0,  0.9,   0.0, 1.0,    0.4,    0.619,   "value jitter, +/- fraction")                         \
    ROW(degrees,      1.0, 0.0,  45.0,  0.0, 180.0,  0.0,    0.404,   "rotation, +/- degrees")                              \
    ROW(translate,    1.0, 0.0,  0.9,   0.0, 1.0,    0.1,    0.206,   "translation, +/- fraction")                          \
    ROW(scale,        1.0, 0.0,  0.9,   0.0, 0.99,   0.5,    0.86,    "scale, +/- gain")                                    \
    ROW(shear,        1.0, 0.0,  10.0,  0.0, 89.0,   0.0,    0.795,   "shear, +/- degrees")                                 \
    ROW(perspective,  0.0, 0.0,  0.001, 0.0, 0.01,   0.0,    0.0,     "perspective, +/- fraction")                          \
    ROW(flipud,       1.0, 0.0,  1.0,   0.0, 1.0,    0.0,    0.00756, "probability of an up-down flip")                     \
    ROW(fliplr,       0.0, 0.0,  1.0,   0.0, 1.0,    0.5,    0.5,     "probability of a left-right flip")                   \
    ROW(mixup,        1.0, 0.0,  1.0,   0.0, 1.0,    0.0,    0.153,   "probability of mix-up")
/* clang-format on */

#define HYP_AS_ID(key, ...) HYP_##key,
enum { HYP_SPACE(HYP_AS_ID) HYP_COUNT };

/* A set of values can have at most this many (a search space from --meta included). */
enum { HYP_MAX = 64, HYP_KEY_ROOM = 64 };

typedef struct hyp_row {
    char key[HYP_KEY_ROOM];
    double gain, low, high;       /* evolution: size of mutation, limits; low -inf / high inf: no limit */
    double valid_low, valid_high; /* what training accepts */
    double scratch, finetune;     /* defaults without and with pretrained weights */
    const char *meaning;          /* borrowed, a literal */
} hyp_row;

typedef struct hyp_space {
    hyp_row rows[HYP_MAX];
    size_t count;
    int digits; /* candidates are rounded to this many decimals; -1: not at all */
} hyp_space;

/* YOLOv5 of 2020-08-31: the rows above, 5 decimals. */
void hyp_space_default(hyp_space *space);
/* YOLOv5 of 2020-07-20: 18 rows (lr0 to shear), limits on nine of them, no rounding; gains by position over the 18. */
void hyp_space_2020_07_20(hyp_space *space);
/* Read a search space from a yaml file: `key: [gain, low, high]` a line, or `key: {gain: g, low: l, high: h, start: v}`.
 * Errors name the file and line. */
status hyp_space_read(const char *path, hyp_space *space);
/* What YOLOv5 of 2020-07-20 has built in where that of 2020-08-31 has a hyperparameter (lrf, perspective, flips, mixup): written
 * into HYP_COUNT values. */
void hyp_fix_2020_07_20(double *values);
/* Row of a key, or -1. */
int hyp_find(const hyp_space *space, const char *key);

/* Read a hyp.yaml: every key of the space once, a number each, in the range that training accepts; anything else is
 * an error naming file, line and key. `values` gets space->count numbers in row order. */
status hyp_read(const char *path, const hyp_space *space, double *values);
/* The same, but keys may be missing: `values` keep what they are there. 2020-07-20 has its optimizer among them ('SGD', 'adam' or
 * none); *adam is set when the file has that key. */
status hyp_read_over(const char *path, const hyp_space *space, double *values, bool *adam);
/* hyp_read from text; `name` stands for the file in messages. */
status hyp_parse(const char *name, const char *yaml_text, const hyp_space *space, double *values);
/* Read a yaml of any `key: number` lines: a space of these keys without limits, and their values in its order (room for HYP_MAX).
 * ERR_FORMAT names file and line. */
status hyp_read_any(const char *path, hyp_space *space, double *values);
/* Is it a letter or _ and then letters, digits, _, - and ., less than HYP_KEY_ROOM in all, so that it means the same in every file? */
bool hyp_key_is_plain(const char *key);
/* Add a row of this key without gain and limits. NULL: the space is full. The key is plain. */
hyp_row *hyp_add_row(hyp_space *space, const char *key);
/* Check values against the valid range: ERR_RANGE naming the key. */
status hyp_check(const hyp_space *space, const double *values);
void hyp_defaults(const hyp_space *space, bool finetune, double *values);

struct text;
/* Append `key: value` lines as the reference's yaml.dump does. */
void hyp_write(struct text *out, const hyp_space *space, const double *values);

/* Clip to low..high, then round: what the reference does to every candidate, the first included. NaN stays NaN. */
void hyp_constrain(const hyp_space *space, double *values);

/* fitness = .1 mAP@.5 + .9 mAP@.5:.95 of results P R mAP@.5 mAP@.5:.95 ..., summed left to right. */
enum { FITNESS_TERMS = 4, RESULT_COUNT = 7 };
extern const double fitness_weights_default[FITNESS_TERMS];
double fitness(const double *results, const double weights[FITNESS_TERMS]);

#endif
