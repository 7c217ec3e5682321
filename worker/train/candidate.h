/* candidate.h - a training that a worker has started: the other end of proto/trainer.h. */
#ifndef TRAIN_CANDIDATE_H
#define TRAIN_CANDIDATE_H

#include "common/status.h"

/* Wait for `start` on the descriptor, train, and report. `device` and `threads` are this machine's share, as given on the command
 * line ("" and 0: what there is). When the pipe closes the process ends at once; INT, TERM and USR1 do nothing, for it is the worker
 * who answers them. OK once done, stopped or failed has been sent, whatever became of the training. */
status candidate_run(int descriptor, const char *device, long long threads);

#endif
