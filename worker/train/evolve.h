/* evolve.h - `train --evolve`: the coordinator with the same options, and workers on this machine.
 *
 * Source: --evolve of train.py, which trains candidates one after the other in its own process. */
#ifndef TRAIN_EVOLVE_H
#define TRAIN_EVOLVE_H

#include <stdbool.h>

#include "common/train_options.h"

/* Become the coordinator that lies beside this program: returns only with an error (ERR_NOT_FOUND when there is none). It gets the
 * training options that were given (`given`, TRAIN_ROWS flags); `generations` is what --evolve was said with, "true" for its own
 * default. A worker is started for each device that --device names, else one. */
status evolve_run(const train_options *o, const bool *given, const char *generations);

#endif
