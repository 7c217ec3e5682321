/* merge.h - which rows of another evolve.txt are new to a population.
 *
 * Two rows are the same when their lines are, white space aside: so two runs that share a file agree on it whatever precision each keeps.
 * Lines that were seen are remembered by a hash, so that a file that comes again and again is not understood again and again. */
#ifndef COORDINATOR_MERGE_H
#define COORDINATOR_MERGE_H

#include "coordinator/evolve/population.h"

typedef struct merge merge;

/* ERR_MEMORY. */
status merge_create(merge **out);
void merge_destroy(merge **m);
/* Add the rows of the file at `path` that `own` does not have to `fresh`, a population of the same space. `own` has only grown since the
 * last call, or everything is remembered anew. ERR_FORMAT naming file, line and column of a bad row; then nothing is added. */
status merge_read(merge *m, const population *own, const char *path, population *fresh);
/* Forget what was seen: what was read last was not taken in after all. */
void merge_forget(merge *m);

#endif
