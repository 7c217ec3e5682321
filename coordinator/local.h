/* local.h - workers that a coordinator starts itself, on its own machine.
 *
 * Each is a `worker` process beside the coordinator's own program, on a GPU of its own where there are GPUs, with a share of the cores,
 * its spool in RUN/workers/N and its log in RUN/workers/N.log. They end with the coordinator, however it ends; what they had not delivered lies in their spools and
 * is delivered when the same command is given again. */
#ifndef COORDINATOR_LOCAL_H
#define COORDINATOR_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

typedef struct local_workers local_workers;

/* Start `count` workers for the coordinator at `endpoint`, with `trainer` as their --trainer ("": none). The texts are copied.
 * ERR_NOT_FOUND when there is no worker program. */
status local_start(const char *run_folder, const char *endpoint, const char *trainer, int64_t count,
                   local_workers **out);
/* Reap those that have ended, and start one that died again, at most a few times a minute. False when none is left and none will
 * be started again; then *why says so (borrowed). */
bool local_look_after(local_workers *w, int64_t now_ms, const char **why);
/* No worker is started again from now on. `signal` is sent to all that live; 0: none. */
void local_stop(local_workers *w, int signal);
/* How many live. */
int64_t local_alive(const local_workers *w);
/* Kills what is left. */
void local_destroy(local_workers **w);

#endif
