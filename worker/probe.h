/* probe.h - what a device is and can do, as the trainer says: `train --probe`. */
#ifndef WORKER_PROBE_H
#define WORKER_PROBE_H

#include <stdint.h>

#include "common/fs.h"
#include "common/status.h"

typedef struct probe {
    char *model;         /* what the hardware calls itself */
    char *precision;     /* what `auto` means there */
    fs_names precisions; /* that it can do */
    int64_t threads, memory;
    char *id; /* what tells it from others of the machine, as its driver does; "": not known */
} probe;

/* Run `program --probe --device DEVICE --threads N`. ERR_NOT_FOUND when there is no such program; ERR_DEVICE with the
 * program's own sentence when the device cannot be had; ERR_TIMEOUT when it does not answer. The caller frees *out with
 * probe_free. */
status probe_run(const char *program, const char *device, int64_t threads, probe *out);
void probe_free(probe *p);

#endif
