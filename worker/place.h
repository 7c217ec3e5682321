/* place.h - which device a worker trains on, and how its trainings share the machine. */
#ifndef WORKER_PLACE_H
#define WORKER_PLACE_H

#include "common/status.h"
#include "worker/client.h"

/* Ask the trainer `program` about the device that the options name, and share the cores out.
 *   gpu    "0", "0,1" (one training on both), "all"; "": not given
 *   cpu    threads; 0: not given. With neither: the first GPU if there is one, else all cores.
 * ERR_ARGUMENT: both, or a malformed list; ERR_DEVICE: the device cannot be had, in the trainer's words. The caller
 * frees *out with place_free. */
status place_choose(const char *program, const char *gpu, int64_t cpu, int64_t slots, client_place *out);
void place_free(client_place *p);

#endif
