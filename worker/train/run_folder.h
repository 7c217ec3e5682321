/* run_folder.h - a folder of its own for every training: runs/exp0, runs/exp1_name, ...
 *
 * Source: increment_dir() of utils/general.py. Mended: an underscore in the path before the name does no harm; names without
 * a number (exp_foo, expX, exp1.bak) are ignored; the folder is made here, so that two trainings that start together never
 * share one. */
#ifndef WORKER_TRAIN_RUN_FOLDER_H
#define WORKER_TRAIN_RUN_FOLDER_H

#include "common/status.h"

/* Make the next folder in `logdir` (which is made when missing): exp and the largest number there + 1, or 0; and _name unless
 * that is "". Among the names in logdir that start with exp, the number is what stands between exp and the first underscore,
 * as Python's int() reads it (" 4" is 4, "-3" is -3).
 *   path  of the folder, below logdir as it was given; the caller frees. NULL on error.
 * ERR_ARGUMENT when name holds a slash; ERR_IO, ERR_NO_SPACE and so on when it cannot be made. */
status run_folder_make(const char *logdir, const char *name, char **path);

/* The folder logdir/name (exp without a name), made when missing, whatever is in it: --exist-ok of later releases. */
status run_folder_take(const char *logdir, const char *name, char **path);

#endif
