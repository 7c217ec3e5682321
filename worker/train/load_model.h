/* load_model.h - a trained model out of its checkpoint, for use. */
#ifndef TRAIN_LOAD_MODEL_H
#define TRAIN_LOAD_MODEL_H

#include "worker/model/model.h"
#include "worker/train/checkpoint.h"

/* Load the weights at `path` into a model of the checkpoint's own yaml, or of that at `cfg` where it has none ("": there is no such
 * file). `classes`: as many as the data set has; 0: as many as the checkpoint has. The caller frees *m with model_free, also after an
 * error, and *c, unless `c` is NULL, with checkpoint_destroy. */
status load_model(const char *path, const char *cfg, int classes, model *m, checkpoint **c);

#endif
