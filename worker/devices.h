/* devices.h - which GPUs this process may use, and that no two workers of a machine train on one.
 *
 * A GPU is named as CUDA does it: its number counts what CUDA_VISIBLE_DEVICES lists, or all there are. Who trains on it holds a lock,
 * a file for each GPU in a folder that all users of the machine share: /run/lock/mendel, else /tmp/mendel-locks ($MENDEL_LOCKS is
 * another, for tests). What a container has of its own is not seen by others. */
#ifndef WORKER_DEVICES_H
#define WORKER_DEVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

/* How many GPUs CUDA_VISIBLE_DEVICES lists; -1: it says nothing, so that all can be used. */
int devices_visible(void);
/* The number of this task on its node, of several that Slurm has started; 0 elsewhere. */
int devices_task(void);

/* What tells GPU `number` from others of the machine, for a file's name: `id` as its driver tells it, if it does (""), else what is
 * known of it from outside: what CUDA_VISIBLE_DEVICES calls it, or its number, which inside of a Slurm job means something in that job
 * alone. The caller frees; NULL without memory. */
char *devices_key(int number, const char *id);

/* Take the lock of a GPU for as long as *descriptor stays open. ERR_BUSY: another worker has it; *holder is its process, 0 if that is
 * not known. Where no lock can be had at all (a folder that cannot be written, say) it is done without: OK, and *descriptor is -1. */
status devices_lock(const char *key, int *descriptor, long *holder);

#endif
