/* door.h - who may come in: the token, and the Host that a browser names. */
#ifndef COORDINATOR_DASHBOARD_DOOR_H
#define COORDINATOR_DASHBOARD_DOOR_H

#include <stdbool.h>

#include "common/status.h"

/* 256 random bits in hex. */
enum { TOKEN_DIGITS = 64, TOKEN_ROOM = TOKEN_DIGITS + 1 };

/* The token that `path` keeps, made on first use. One that others may read is replaced. ERR_IO. */
status door_token(const char *path, char token[TOKEN_ROOM]);
/* Takes the same time wherever they differ. `given` may be NULL. */
bool door_token_equal(const char *given, const char token[TOKEN_ROOM]);
/* The token in an Authorization header ("Bearer TOKEN"); NULL: none. Borrowed. */
const char *door_bearer(const char *authorization);

/* Does a Host header name this machine? A page of somebody else's, whose name is made to resolve to this machine (DNS rebinding),
 * has a name of its own there; so an address of digits will do, localhost, and the two names that are given ("" or NULL: none). */
bool door_host_is_ours(const char *host, const char *machine, const char *named);

#endif
