/* wire.h - two networks with nothing between them but a wire, which delays, loses and is cut without either end being told.
 *
 * Each network is a namespace with its own loopback and one TUN device; a process carries packets from one device to the other. */
#ifndef CHAOS_WIRE_H
#define CHAOS_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/status.h"

#define WIRE_ADDRESS_A "10.77.0.1"
#define WIRE_ADDRESS_B "10.77.0.2"

/* Shared with the process that carries; what is written here counts at once. */
typedef struct wire_state {
    volatile bool cut_ab, cut_ba;     /* nothing comes from a to b, from b to a */
    volatile int delay_ms, jitter_ms; /* of each packet */
    volatile int loss;                /* of a hundred packets */
} wire_state;

typedef struct wire {
    int a, b; /* namespaces, for setns */
    pid_t pid;
    wire_state *state;
} wire;

/* What a wire needs and is not here; NULL: nothing. */
const char *wire_needs(void);
/* This process stays in its own network. The wire's process ends with it, or is killed. */
status wire_make(uint64_t seed, wire *out);

#endif
