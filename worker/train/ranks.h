/* ranks.h - the processes of one training on several devices.
 *
 * A rank is a process with a device of its own. Rank 0 is the one that was started: it alone reports, validates and saves, and decides
 * what happens next; the others do as it does, batch by batch. Gradients and batch-norm go through a team (backend.h); what is said
 * here goes over a socket between rank 0 and each other rank: rank 0's words to all, and their bytes to it.
 *
 * Ranks are forked (--device cpu,cpu) or started by a launcher, which tells each its number (RANK, WORLD_SIZE, MASTER_ADDR,
 * MASTER_PORT, as torch.distributed has them). Nobody outlives the others: a rank whose rank 0 is gone leaves at once, and rank 0 ends
 * with what the first rank that failed has said, or with how it died.
 *
 * NULL stands everywhere for a process that trains alone, which is rank 0 of 1. */
#ifndef TRAIN_RANKS_H
#define TRAIN_RANKS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

typedef struct ranks ranks;

/* Fork ranks 1 to count - 1 and return in all of them. Before this process has a second thread. `closed` is a descriptor that only rank
 * 0 may keep, -1: none. With a count of 1 *out is NULL. */
status ranks_fork(int count, int closed, ranks **out);

/* Is this process one of several of a launcher? Then find the others: rank 0 waits for all of them at MASTER_ADDR:MASTER_PORT. *out is
 * NULL when it is not. ERR_ARGUMENT names a variable that makes no sense; ERR_TIMEOUT when not all have come. */
status ranks_launched(ranks **out);

int ranks_number(const ranks *r);
int ranks_count(const ranks *r);
/* Which of this machine's ranks it is, and how many there are here: the launcher's LOCAL_RANK and LOCAL_WORLD_SIZE, else its number
 * and their count. */
int ranks_local(const ranks *r);
int ranks_here(const ranks *r);

/* Rank 0's bytes to everyone; the others wait for them. All ranks call it, with the same count. ERR_STOPPED in a rank whose rank 0 has
 * ended, ERR_DEVICE on rank 0 when a rank is gone (ranks_explain says why). */
status ranks_tell(ranks *r, void *bytes, size_t count);
/* The others wait until rank 0 has got here. */
status ranks_wait_for_first(ranks *r); /* called by them; nothing on rank 0 */
status ranks_first_is_ready(ranks *r); /* called by rank 0; nothing on the others */
/* Bytes of rank `from` to rank 0, where they come to `bytes`; all ranks call it, and it does nothing on others. */
status ranks_bring(ranks *r, int from, void *bytes, size_t count);

/* From now on watch the other processes from a thread: on rank 0 `lost` is called, once, from that thread, when one is gone; a rank
 * whose rank 0 is gone ends the process. */
status ranks_watch(ranks *r, void (*lost)(void *state), void *state);
/* No call of `lost` after this. */
void ranks_unwatch(ranks *r);

/* On rank 0, after a failure: when another rank was the first to fail, its status and words instead of `s`. */
status ranks_explain(ranks *r, status s);

/* The end. Rank 0: let the others go, wait for those that were forked. Others: tell rank 0 what went wrong, if anything, wait for its
 * end, and leave the process: it does not return there. */
void ranks_end(ranks **r, status s);

#endif
