/* share.h - what a training leaves, copied to a folder elsewhere (--bucket): with --name results.txt to results/resultsNAME.txt after each
 * epoch, and at the end last.pt and best.pt to weights/.
 *
 * Copies are processes beside the training, which never waits for one; a remote that is away is tried again, and at the end for a while. */
#ifndef TRAIN_SHARE_H
#define TRAIN_SHARE_H

#include <stdint.h>

#include "common/status.h"

typedef struct share share;

/* For a training with results in `folder`; texts are copied. *out is NULL when there is no address. ERR_MEMORY; ERR_ARGUMENT,
 * ERR_NOT_FOUND as remote_check. */
status share_create(const char *address, const char *name, const char *folder, share **out);
/* Results of another epoch are there. NULL: nothing to do. */
void share_epoch(share *s);
/* The training is through: share what is left, and wait for it; for patience_ms where the remote is away. Says what is not there then.
 * NULL: nothing to do. */
void share_finish(share *s, int64_t patience_ms);
/* Sets *s to NULL. */
void share_destroy(share **s);

#endif
