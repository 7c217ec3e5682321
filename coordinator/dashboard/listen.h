/* listen.h - the address on which the dashboard listens. */
#ifndef COORDINATOR_DASHBOARD_LISTEN_H
#define COORDINATOR_DASHBOARD_LISTEN_H

#include <stdbool.h>

#include "common/status.h"

/* "[ADDRESS:]PORT", where an IPv6 address stands in brackets. The caller frees *address, which is "" when there is none.
 * ERR_ARGUMENT. */
status listen_read(const char *said, char **address, int *port);
/* A socket that listens there; a port of 0 becomes the one that was found. ERR_BUSY, ERR_ARGUMENT, ERR_IO. */
status listen_open(const char *address, int *port, int *listening);
/* 0.0.0.0 or ::, every address of the machine? */
bool listen_is_any(const char *address);
/* Is it reached from this machine alone? */
bool listen_is_loopback(int listening);

#endif
