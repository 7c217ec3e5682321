/* server.h - the coordinator's socket: receives, decides by the ledger, commits, and only then answers.
 *
 * One thread, one ROUTER. A turn takes what has come in, lets the ledger decide, writes it all with one commit, and sends the
 * answers; so one fsync carries everything that arrived meanwhile. What one worker may ask for is limited (limits.h), and who comes
 * over TCP is on the list of keys (gate.h). While the disk is full nothing is leased or acknowledged, and
 * workers go on training; a failed write or fsync of any other kind ends the process. */
#ifndef COORDINATOR_SERVER_H
#define COORDINATOR_SERVER_H

#include "coordinator/dashboard/dashboard.h"
#include "coordinator/server/gate.h"
#include "coordinator/local.h"
#include "coordinator/run.h"

typedef struct server server;

typedef struct server_options {
    const char *endpoint; /* ipc:// to bind; NULL: none */
    const char *tcp;      /* tcp:// to bind; NULL: none */
    gate *gate;           /* who comes in there: borrowed; NULL: everybody */
    int64_t heartbeat_ms, lease_ms, stall_ms;
    bool show;              /* draw how it stands on standard error */
    dashboard *dashboard;   /* is told how it stands; borrowed; NULL: none */
    run_describe *describe; /* what `status` prints; NULL: a shared folder gets no RUN/status */
} server_options;

/* Bind. `r` is borrowed and must outlive the server. ERR_BUSY naming the endpoint when it is in use, ERR_ARGUMENT when it is
 * none. */
status server_create(run *r, const server_options *options, server **out);
void server_destroy(server **s);
/* Where it listens at TCP, with the address and port that it really has; NULL: nowhere. Borrowed. */
const char *server_tcp_endpoint(const server *s);

typedef enum server_end {
    SERVER_FINISHED, /* the number of generations is reached */
    SERVER_BROKEN,   /* ledger_broken says why */
    SERVER_STOPPED,  /* a signal */
} server_end;

/* Serve until the run ends or a signal comes. `workers` are looked after (NULL: none). Errors are those of the store: then the
 * process has to end. */
status server_run(server *s, local_workers *workers, server_end *end);

#endif
