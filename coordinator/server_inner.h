/* server_inner.h - the server's memory, for server.c, server_hello.c and server_work.c. */
#ifndef COORDINATOR_SERVER_INNER_H
#define COORDINATOR_SERVER_INNER_H

#include <czmq.h>

#include "coordinator/fleet.h"
#include "coordinator/pace.h"
#include "coordinator/server.h"
#include "coordinator/view.h"

/* An answer that waits for the commit. */
typedef struct reply {
    routing to;
    bytes message;
} reply;

struct server {
    run *run;
    server_options o;
    zsock_t *socket;
    fleet fleet;
    bytes options, base; /* of every Welcome: MessagePack */
    view *view;          /* NULL: nothing is drawn */

    reply *replies;
    size_t reply_count, reply_room;

    bool paused, full;       /* by a person; because the disk is full */
    int64_t now_ms, wall_ms; /* of this turn */
    int64_t try_disk_ms, look_at_store_ms, report_ms, plot_ms, view_ms;
    bool report_due;
    int64_t refused_messages;

    pace pace; /* for the dashboard, as the next three */
    int64_t publish_ms;
    bool imported_told, stopping;
};

/* What has come in: the envelope and where from. */
typedef struct incoming {
    const envelope *e;
    routing from;
    wire_id session;
} incoming;

/* Queue an answer until the commit. `kind` and `body` as wire_envelope. ERR_MEMORY. */
status server_reply(server *s, const routing *to, const wire_id *session, envelope_kind kind, void *body);

/* ---- server_hello.c ---- */

status server_hello(server *s, const incoming *in);
status server_hello_again(server *s, const incoming *in);
status server_refuse(server *s, const incoming *in, Mendel__RefusedReason reason, const char *detail);
status server_goodbye(server *s, session *from);

/* ---- server_show.c ---- */

/* Draw how the run stands, if it is time to. */
void server_show(server *s);
/* What holds the run up, one sentence; NULL: nothing. Borrowed. */
const char *server_notice(const server *s);

/* ---- server_dashboard.c ---- */

/* Tell the dashboard how the run stands, if it is time to, or `now`. */
void server_publish(server *s, bool now);

/* ---- server_work.c: messages of welcome sessions ---- */

status server_work_request(server *s, session *from, const Mendel__WorkRequest *r);
status server_accepted(server *s, session *from, const Mendel__Accepted *a);
status server_progress(server *s, session *from, const Mendel__Progress *p);
status server_heartbeat(server *s, session *from, const Mendel__Heartbeat *h);
status server_delivery(server *s, session *from, const envelope *e);
status server_blob_wanted(server *s, session *from, const Mendel__BlobAck *b);
/* Tell sessions about attempts that have become needless. */
status server_stop_unwanted(server *s);

#endif
