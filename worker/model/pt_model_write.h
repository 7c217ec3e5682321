/* pt_model_write.h - write a model as the reference's own object: models.yolo.Model with all modules in it, as pickling one leaves
 * it. The reference's code of 2020-08-31 loads and runs it, with torch of its day and of today.
 *
 * Source: models/yolo.py, models/common.py, models/experimental.py; the attributes of torch.nn.modules. */
#ifndef MODEL_PT_MODEL_WRITE_H
#define MODEL_PT_MODEL_WRITE_H

#include "worker/model/model.h"
#include "worker/model/pt_write.h"

typedef struct pt_named_number {
    const char *name;
    double value;
} pt_named_number;

/* What an object has besides its layers. Everything is borrowed. */
typedef struct pt_model_source {
    const model *m;              /* layers and strides; its weights are not looked at */
    const char *const *names;    /* of the classes; NULL: c0, c1, ... */
    const pt_named_number *hyps; /* hyperparameters, which the reference's loss looks up in the model */
    size_t hyp_count;
    void *state;
    /* Put the tensor of this name, as a parameter or as it is. */
    status (*tensor)(void *state, pt_writer *w, const char *name, bool parameter);
} pt_model_source;

/* Put the object. ERR_MEMORY, and what `tensor` says. */
status pt_put_model(pt_writer *w, const pt_model_source *from);

#endif
