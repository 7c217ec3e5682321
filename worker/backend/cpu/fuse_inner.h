/* fuse_inner.h - between fuse.c and fuse_take.c. */
#ifndef CPU_FUSE_INNER_H
#define CPU_FUSE_INNER_H

#include "worker/backend/cpu/fuse.h"
#include "worker/backend/cpu/kernels.h"

/* An operation that reads and makes nothing yet. */
fused fused_empty(fused_kind kind);

/* The operations of n->g, in order, into n->ops. ERR_UNSUPPORTED, ERR_MEMORY. */
status network_take_apart(network *n);

#endif
