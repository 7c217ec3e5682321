/* terminal.h - a training as people watch it: the reference's progress lines on standard error. */
#ifndef TRAIN_TERMINAL_H
#define TRAIN_TERMINAL_H

#include "common/progress.h"
#include "worker/train/share.h"
#include "worker/train/training.h"

typedef struct terminal {
    progress bar;
    share *share; /* hears of epochs; may be NULL */
} terminal;

/* `t` must stay while the watch is used. Its wish is to save and stop once a signal was seen. `share` is borrowed; NULL: none. */
training_watch terminal_watch(terminal *t, share *share);

#endif
