/* place.h - which device a worker trains on, and how its trainings share the machine. */
#ifndef WORKER_PLACE_H
#define WORKER_PLACE_H

#include "common/status.h"
#include "worker/client.h"

typedef struct place_wishes {
    const char *gpu; /* "0", "0,1" (one training on both), "all"; "": not said */
    int64_t cpu;     /* threads; 0: not said */
    int64_t cores;   /* that there are for this worker, of whatever device; 0: all that this process may use */
    int64_t slots;
    int64_t ranks; /* of the CPU that one training is split over, as it is over several GPUs; 0: not said */
    bool shared;   /* GPUs may be another worker's, too */
} place_wishes;

/* Ask the trainer `program` about the device that is wished for, lock it, and share the cores out. With neither gpu nor cpu: the first
 * GPU that no other worker has, counting from the one with this task's number where Slurm has started several on this node; the cores
 * where there is no GPU. ERR_ARGUMENT: both, or a malformed list; ERR_DEVICE: the device cannot be had, in the trainer's words;
 * ERR_BUSY: another worker has it. The caller frees *out with place_free, which lets go of the device. */
status place_choose(const char *program, const place_wishes *wishes, client_place *out);
void place_free(client_place *p);

#endif
