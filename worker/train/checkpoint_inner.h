/* checkpoint_inner.h - a checkpoint being read, for checkpoint*.c alone. */
#ifndef TRAIN_CHECKPOINT_INNER_H
#define TRAIN_CHECKPOINT_INNER_H

#include "worker/model/pt.h"
#include "worker/train/checkpoint.h"

/* A checkpoint that owns what it points to. `c` comes first: its address is that of the whole. */
typedef struct checkpoint_loaded {
    checkpoint c;
    void **memory;
    size_t memory_count, memory_room;
} checkpoint_loaded;

typedef struct checkpoint_reader {
    const char *path;
    pt_file *f;
    checkpoint_loaded *l;
} checkpoint_reader;

/* ERR_FORMAT in one sentence that names the file. */
status checkpoint_bad(const checkpoint_reader *r, const char *what);
/* `count` times `size` bytes of zeros, or a copy of a text, that belong to the checkpoint. */
status checkpoint_hold(checkpoint_reader *r, size_t count, size_t size, void *out);
status checkpoint_hold_text(checkpoint_reader *r, const char *value, const char **out);
/* A tensor with its numbers. */
status checkpoint_load_array(checkpoint_reader *r, const char *name, const pt_tensor *t, checkpoint_array *out);

/* The optimizer. `names` are those of its parameters in its order, NULL: the file has none, and they are those of `model`, a module,
 * as the reference groups them. Where these do not go together the optimizer is left out, with a warning. */
status checkpoint_load_optimizer(checkpoint_reader *r, const pickle_value *v, const pickle_value *names,
                                 const pickle_value *model);

/* yaml, nc, names, stride and anchors, hyperparameters: from the keys of a plain dictionary, or from the model's attributes. */
status checkpoint_load_plain(checkpoint_reader *r, const pickle_value *root);
status checkpoint_load_module(checkpoint_reader *r, const pickle_value *model);

#endif
