/* resume.h - which training to go on with, and with which options. */
#ifndef TRAIN_RESUME_H
#define TRAIN_RESUME_H

#include "common/train_options.h"

/* Find the checkpoint that --resume means: `given`, or with "true" the newest last*.pt below runs/. Returns its path and the run
 * folder that it belongs to (two above); the caller frees both. ERR_NOT_FOUND. */
status resume_find(const char *given, char **checkpoint, char **folder);

/* Take all options from a run folder's opt.yaml; keys that this version does not know are left out. `weights` becomes the
 * checkpoint, cfg ''. ERR_NOT_FOUND, ERR_FORMAT and so on naming file and line. */
status resume_options(const char *folder, const char *checkpoint, train_options *o);

#endif
