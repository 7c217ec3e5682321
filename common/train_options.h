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
    int64_t test_every;
    char *bucket;
    bool nosave, notest, noautoanchor, cache_images, image_weights;
    char *name, *device;
    bool exist_ok;
    int64_t patience;
    bool multi_scale, single_cls, adam, sync_bn;
    int optimizer; /* how it was said; `adam` is what it comes to */
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
    int reference;
    bool as_reference;
    int plots, tensorboard;
} train_options;

typedef enum train_precision { TRAIN_AUTO, TRAIN_FP32, TRAIN_BF16, TRAIN_FP16 } train_precision;
typedef enum train_keep { TRAIN_KEEP_AUTO, TRAIN_KEEP_ALWAYS, TRAIN_KEEP_NEVER } train_keep; /* plots, tensorboard */
typedef enum train_optimizer { TRAIN_OPTIMIZER_AUTO, TRAIN_SGD, TRAIN_ADAM } train_optimizer;
typedef enum train_reference { REFERENCE_2020_08_31, REFERENCE_2020_07_20 } train_reference;
typedef enum train_label_rules { LABELS_MENDEL, LABELS_REFERENCE } train_label_rules;

enum { TRAIN_ROWS = 40 };
extern const option_row train_rows[TRAIN_ROWS];

/* A section over `o`; `given` may be NULL or has TRAIN_ROWS flags. */
option_section train_section(train_options *o, bool *given);

/* What follows from what was said: --as-reference sets its parts, weights defaults to '' when cfg is given, a single img
 * size stands for both, --optimizer for --adam, a number for --freeze means so many layers. ERR_ARGUMENT when neither cfg nor
 * weights is there, or options contradict each other. */
status train_options_complete(train_options *o, const bool *given);

/* Replace --data, --cfg, --hyp and --weights by where the files really are (fs_find_file). Errors name the option. */
status train_options_find_files(train_options *o);
/* The hyps that --hyp names, else the defaults with or without weights. HYP_COUNT values of the default space. Under --reference
 * 2020-07-20 the file is laid over the built-in values, and may say the optimizer: then o->adam is set. */
status train_options_hyps(train_options *o, double *hyps);
/* The hyperparameters that this version of the reference has: those of its hyp.yaml and evolve.txt. */
void train_options_space(const train_options *o, hyp_space *space);
/* Append hyp.yaml as it would be read again: `hyps` as train_options_hyps gives them. */
void train_options_write_hyps(const train_options *o, const double *hyps, text *out);

/* The image sizes, train and test, rounded up to multiples of the stride with a warning (check_img_size). */
int64_t train_round_size(int64_t size, int64_t stride);

#endif
