/* checkpoint.h - last.pt and best.pt: a training as it stands, for going on, and its model, for use.
 *
 * A file is a torch file (worker/model/pt.h) of one dictionary:
 *
 *     epoch             the last one done; -1 in a stripped file
 *     best_fitness      of all epochs so far
 *     training_results  text of results.txt, or None
 *     model             the averaged model: the reference's object (worker/model/pt_model_write.h); float32, half in a stripped file
 *     optimizer         None, or {state: {0: {momentum_buffer} or {step, exp_avg, exp_avg_sq}, 1: ...}, param_groups: [...]},
 *                       as torch's SGD and Adam save and load it; parameters are numbered through the groups
 *     mendel            what going on exactly needs besides: format, parameters (names in the optimizer's order), weights (the
 *                       raw model), arrays, numbers, texts; not in a stripped file
 *
 * In the plain form, which torch.load(path) opens without any code, the model is an OrderedDict, its state_dict under the
 * reference's names (num_batches_tracked as int64), and with it come yaml (a text), names, nc, stride, anchors (in pixels, one list
 * a level).
 *
 * Files of the reference load too, those of later releases as far as these keys go, and a state_dict by itself. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "worker/model/pt_model_write.h"

enum { CHECKPOINT_FORMAT = 1 }; /* of what is under "mendel" */

/* One named tensor: float32 values in C order, or one integer. */
typedef struct checkpoint_array {
    const char *name;
    int rank;
    int64_t shape[TENSOR_RANK];
    const float *values; /* NULL: `integer` is the value, rank 0 */
    int64_t integer;
} checkpoint_array;

typedef struct checkpoint_arrays {
    const checkpoint_array *items;
    size_t count;
} checkpoint_arrays;

typedef pt_named_number checkpoint_number;

typedef struct checkpoint_text {
    const char *name, *value;
} checkpoint_text;

typedef struct checkpoint_group {
    double lr, initial_lr, weight_decay;
    double momentum; /* of SGD; beta1 of Adam */
    size_t count;    /* parameters in it */
} checkpoint_group;

/* Parameters are in the optimizer's order: those of group 0, of group 1, of group 2, each in the model's order. */
typedef struct checkpoint_optimizer {
    optimizer_kind kind;
    int64_t steps; /* made so far: Adam's t */
    checkpoint_group groups[UPDATE_GROUPS];
    checkpoint_arrays momentum; /* SGD's velocity, Adam's first moment: one a parameter; none before the first step */
    checkpoint_arrays squares;  /* Adam's second moment */
} checkpoint_optimizer;

typedef struct checkpoint {
    int64_t epoch;
    double best_fitness;
    const char *training_results;  /* NULL: None */
    const char *yaml;              /* NULL: not there */
    const char *const *names;      /* of the classes: heads.classes of them, or NULL */
    detect_parameters heads;       /* no levels: not there */
    const checkpoint_number *hyps; /* hyperparameters, as the reference's model carries them */
    size_t hyp_count;
    bool is_object;       /* of a loaded one: its model was the reference's object */
    const model *network; /* for saving it as that object: its layers; NULL: the plain form. NULL in a loaded one */
    checkpoint_arrays model;
    bool has_optimizer;
    checkpoint_optimizer optimizer;
    bool has_progress; /* the four below: what is under "mendel" */
    checkpoint_arrays weights;
    checkpoint_arrays arrays;
    const checkpoint_number *numbers;
    size_t number_count;
    const checkpoint_text *texts;
    size_t text_count;
} checkpoint;

/* Write the file; all that `c` points to is borrowed. Atomic: a crash or a power cut leaves the old file or the new one. */
status checkpoint_save(const checkpoint *c, const char *path);
/* Read it; everything in *out belongs to it. ERR_FORMAT, one sentence naming the file, for one that is cut short, damaged or no
 * checkpoint; ERR_NOT_FOUND, ERR_IO, ERR_MEMORY. */
status checkpoint_load(const char *path, checkpoint **out);
void checkpoint_destroy(checkpoint **c);
/* Write the model alone: a state_dict() of float32, which torch.load(path, weights_only=True) opens. Atomic. */
status checkpoint_save_state(const checkpoint *c, const char *path);
/* Turn a checkpoint into what is kept of a finished training: half precision, epoch -1, no optimizer, no training_results, no
 * progress. Atomic. */
status checkpoint_strip(const char *path);

/* The array of that name, NULL if there is none. The value of that name: `fallback` or NULL if there is none. */
const checkpoint_array *checkpoint_find(const checkpoint_arrays *arrays, const char *name);
double checkpoint_get_number(const checkpoint *c, const char *name, double fallback);
const char *checkpoint_get_text(const checkpoint *c, const char *name);

#endif
