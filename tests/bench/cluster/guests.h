/* guests.h - workers that train nothing: they ask for work, invent results, deliver them, and ask again.
 *
 * They speak cluster.proto with a real coordinator, each over a socket and as a worker of its own, all in one thread. */
#ifndef TESTS_BENCH_GUESTS_H
#define TESTS_BENCH_GUESTS_H

#include <stddef.h>

#include "common/status.h"

typedef struct guests guests;

/* Seconds that answers took, in the order in which they came. */
typedef struct guests_times {
    double *lease, *deliver; /* WorkRequest to Candidate; Result to ResultAck */
    size_t lease_count, deliver_count, lease_room, deliver_room;
    double seconds; /* that they worked */
} guests_times;

/* `count` workers, welcome at the coordinator of this endpoint. ERR_REFUSED, ERR_TIMEOUT, ERR_IO. */
status guests_create(const char *endpoint, int count, guests **out);
void guests_destroy(guests **g);

/* Work for about so long. ERR_STOPPED when the coordinator has no work. */
status guests_work(guests *g, double seconds, guests_times *out);
void guests_times_free(guests_times *t);

#endif
