/* external.h - any trainer behind the trainer pipe: what `worker --trainer CMD` starts in `train`'s place.
 *
 * The worker starts itself once more (`worker --candidate-fd N --trainer CMD`). That process writes what a candidate is into the
 * trial's folder, starts the command, and speaks proto/trainer.h for it: a trial sees no difference. docs/TRAINERS.md is the contract
 * with the command. What runs is the worker's own command line and nothing from the wire: hyps and options reach the command as
 * files and variables, after they were read against their tables. */
#ifndef WORKER_EXTERNAL_H
#define WORKER_EXTERNAL_H

#include <stdint.h>

#include "common/status.h"

typedef struct external_options {
    const char *command, *device;
    int64_t threads;
} external_options;

/* Print what `train --probe` prints. What an external trainer can do is its own business; that the device is there is looked at.
 * ERR_DEVICE. */
status external_probe(const external_options *o);
/* Train one candidate over the pipe. Returns when the last message is sent; when the pipe closes before, all processes of this
 * group are killed, this one included. */
status external_run(int descriptor, const external_options *o);

#endif
