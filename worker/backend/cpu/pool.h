/* pool.h - one map in blocks from another: maximum pooling, upsampling, and the same channels laid out differently. */
#ifndef CPU_POOL_H
#define CPU_POOL_H

#include "worker/backend/cpu/device.h"
#include "worker/backend/cpu/norm.h"

typedef struct pool pool;

typedef struct pool_options {
    pool_parameters window;            /* of size 0: upsampling times two, or repacking */
    const map *from, *to;              /* repacking: layouts of both; NULL otherwise. Borrowed during the call */
    int images, blocks, height, width; /* of the input */
    int out_height, out_width;
    bool bf16;
    view x, y, dy, dx;
    int threads;
} pool_options;

/* Repacking is a plain loop: it is for networks that nobody is in a hurry with. ERR_MEMORY. */
status pool_create(device *d, const pool_options *options, pool **out);
void pool_destroy(pool **p);
/* `thread`: which room for intermediate values to use when several threads run at once, each with an arena of its own; -1 when
 * this call shares the work out itself. */
void pool_forward_run(pool *p, char *arena, int thread);
void pool_backward_run(pool *p, char *arena);

#endif
