/* checkpoints.h - the reference's own .pt files among the fixtures. */
#ifndef TESTS_PARITY_CHECKPOINTS_H
#define TESTS_PARITY_CHECKPOINTS_H

#include "tests/parity/parity.h"

/* model/<name>/<file>: the weights recorded beside it, in float32 or half, with the yaml and the heads. */
void checkpoints_weights(parity *p, const char *name, const char *file);
/* train/checkpoint: a training that was saved on its way, and what was kept when it was finished. */
void checkpoints_training(parity *p, const char *folder);

#endif
