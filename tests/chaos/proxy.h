/* proxy.h - a process between the sockets that loses messages, says them twice, and holds them back so that others overtake them. */
#ifndef CHAOS_PROXY_H
#define CHAOS_PROXY_H

#include <stdint.h>
#include <sys/types.h>

#include "common/status.h"

typedef struct proxy_options {
    const char *front; /* endpoint for the workers */
    const char *back;  /* of the coordinator */
    const char *history;
    uint64_t seed;
    int lost, doubled, delayed; /* of a hundred messages */
    int64_t until_ms;           /* monotonic; from then on all goes through */
} proxy_options;

/* Start it. It ends with the process that started it, or is killed. */
status proxy_start(const proxy_options *o, pid_t *out);

#endif
