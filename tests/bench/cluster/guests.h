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

typedef struct guests_options {
    const char *endpoint; /* NULL: that of the access file */
    const char *access;   /* NULL: without keys */
    int count, slots;     /* workers, and how many candidates each has at once */
    double trial_s;       /* between a candidate and its result, a tenth more or less */
} guests_options;

/* Workers, welcome at the coordinator. ERR_REFUSED, ERR_TIMEOUT, ERR_IO. */
status guests_create(const guests_options *o, guests **out);
void guests_destroy(guests **g);

/* Work for about so long. ERR_STOPPED when the coordinator has no work. */
status guests_work(guests *g, double seconds, guests_times *out);
void guests_times_free(guests_times *t);

#endif
