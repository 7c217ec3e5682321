/* listening.h - where a coordinator listens, and what that takes.
 *
 *   nothing said            a socket of this machine (common/meeting.h)
 *   --bind ipc://PATH       that socket
 *   --bind tcp://...        the machine's own socket, for workers here, and the address, behind the gate (gate.h): keys are made, and
 *                           access files say where it is
 *   ... --insecure          the same without gate and keys */
#ifndef COORDINATOR_LISTENING_H
#define COORDINATOR_LISTENING_H

#include "common/meeting.h"
#include "coordinator/server/server.h"

typedef struct listening {
    meeting *meeting; /* NULL: none */
    gate *gate;       /* NULL: none */
} listening;

/* What the options say makes sense? To be asked before anything is started. ERR_ARGUMENT. */
status listening_check(const coordinator_options *o);
/* Prepare, and tell the server: *to gets what it binds, borrowed from `o` and *l. */
status listening_open(const coordinator_options *o, const run *r, listening *l, server_options *to);
/* Once the server is bound: write access files. Words for people about where workers connect to are added to *where. */
status listening_publish(const listening *l, const coordinator_options *o, const run *r, const server *s,
                         int64_t wall_ms, text *where);
/* After the server's end. */
void listening_close(listening *l);

#endif
