/* terminal.h - a training as people watch it: the reference's progress lines on standard error. */
#ifndef TRAIN_TERMINAL_H
#define TRAIN_TERMINAL_H

#include "common/progress.h"
#include "worker/train/training.h"

typedef struct terminal {
    progress bar;
    int64_t batches;
    bool in_epoch; /* a progress line is being drawn */
} terminal;

/* `t` must stay while the watch is used. Its wish is to stop once a signal was seen. */
training_watch terminal_watch(terminal *t);

#endif
