/* spool_inner.h - the spool's memory, for spool.c and spool_files.c. */
#ifndef WORKER_SPOOL_INNER_H
#define WORKER_SPOOL_INNER_H

#include "worker/spool.h"

struct spool {
    char *folder;
    char id[WIRE_ID_ROOM];
    int lock;
    delivery *items;
    size_t count, room;
    uint64_t next_number;
    bool complained; /* of a disk that takes nothing, until it takes something again */
};

/* Remove files that nobody needs: weights that no delivery names, checkpoints of long ago. */
void spool_clean_shelves(const spool *s);
/* Remove the file that a delivery names, unless another one names it, too: its weights, or with `handed_over` also a checkpoint. */
void spool_remove_file(const spool *s, const delivery *of, bool handed_over);

#endif
