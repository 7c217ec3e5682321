/* devices.h - what --device names: '' for the best there is, cpu, or several with commas between them, a rank on each. */
#ifndef TRAIN_DEVICES_H
#define TRAIN_DEVICES_H

#include "worker/backend/backend.h"

/* How many devices a list names, at least 1. ERR_ARGUMENT for an empty place in it, or more than TEAM_RANKS. */
status devices_count(const char *list, int *count);

/* Open the device at `place` of a list (one alone stands for all places), with its share of `threads` compute threads (0:
 * OMP_NUM_THREADS, else all cores this process may use) when `sharers` processes share them. */
status devices_open(const char *list, int place, int sharers, int64_t threads, const backend_ops **ops, device **out);

/* What a device is called where `count` of them train together: "2 x cpu ...". */
void devices_describe(int count, device_info *info);

/* What --precision means on a device: ERR_UNSUPPORTED if it cannot. */
status devices_choose_precision(const device_info *device, int wish, precision *out);
const char *precision_name(precision p);

#endif
