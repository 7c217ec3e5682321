/* train_options.h - the options of one training: what `train` takes, what a coordinator passes to every candidate.
 *
 * Names, order and defaults are those of the reference's train.py at 2020-08-31; later spellings are aliases. What Mendel
 * does better by default has an option that turns it back, and --as-reference turns back all of them. */
#ifndef COMMON_TRAIN_OPTIONS_H
#define COMMON_TRAIN_OPTIONS_H

#include "common/hyp.h"
#include "common/options.h"

typedef struct train_options {
    char *weights, *cfg, *data, *hyp;
    int64_t epochs, batch_size;
    int_list img_size;
    bool rect;
    char *resume;
    bool nosave, notest, noautoanchor, cache_images, image_weights;
    char *name, *device;
    bool multi_scale, single_cls, adam;
    char *freeze;
    char *logdir;
    int64_t workers;
    int64_t seed, threads;
    int precision;
    bool no_shuffle;
    double warmup_cap;
    int label_rules;
    bool drop_duplicates;
    double nms_time_limit;
    bool as_reference;
    int plots, tensorboard;
} train_options;

typedef enum train_precision { TRAIN_AUTO, TRAIN_FP32, TRAIN_BF16, TRAIN_FP16 } train_precision;
typedef enum train_keep { TRAIN_KEEP_AUTO, TRAIN_KEEP_ALWAYS, TRAIN_KEEP_NEVER } train_keep; /* plots, tensorboard */
typedef enum train_label_rules { LABELS_MENDEL, LABELS_REFERENCE } train_label_rules;

enum { TRAIN_ROWS = 33 };
extern const option_row train_rows[TRAIN_ROWS];

/* A section over `o`; `given` may be NULL or has TRAIN_ROWS flags. */
option_section train_section(train_options *o, bool *given);

/* What follows from what was said: --as-reference sets its parts, weights defaults to '' when cfg is given, a single img
 * size stands for both. ERR_ARGUMENT when neither cfg nor weights is there. */
status train_options_complete(train_options *o, const bool *given);

/* Replace --data, --cfg, --hyp and --weights by where the files really are (fs_find_file). Errors name the option. */
status train_options_find_files(train_options *o);
/* The hyps that --hyp names, else the defaults with or without weights. HYP_COUNT values of the default space. */
status train_options_hyps(const train_options *o, double *hyps);

/* The image sizes, train and test, rounded up to multiples of the stride with a warning (check_img_size). */
int64_t train_round_size(int64_t size, int64_t stride);

#endif
