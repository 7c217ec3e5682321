/* inner.h - the server's memory, for server.c and the files of this folder that answer for it. */
#ifndef COORDINATOR_SERVER_INNER_H
#define COORDINATOR_SERVER_INNER_H

#include <czmq.h>

#include "coordinator/bucket.h"
#include "coordinator/server/fleet.h"
#include "coordinator/server/limits.h"
#include "coordinator/evolve/merge.h"
#include "coordinator/report/pace.h"
#include "coordinator/report/reporter.h"
#include "coordinator/server/server.h"
#include "coordinator/report/view.h"

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

    bool served;             /* this process has led the run while it was not finished */
    bool paused, full;       /* by a person; because the disk is full */
    int64_t now_ms, wall_ms; /* of this turn */
    int64_t try_disk_ms, look_at_store_ms, view_ms;
    reporter *reporter;
    bool report_due;          /* there is something that it has not been told */
    int64_t refused_messages; /* that made no sense */

    struct transfers *transfers; /* files that come from workers */
    pruning *pruning;            /* NULL: nobody is stopped early */
    bucket *bucket;              /* NULL: nothing is shared */
    merge *merge;
    size_t merged; /* members that have to be in the files before they are shared; 0: none */
    limits *limits;
    char *tcp;              /* that is bound; NULL: none */
    int64_t dropped;        /* messages: over a limit, or of somebody who may not speak */
    int64_t away, away_ms;  /* peers turned away that the log does not know of; when it was told last */
    int64_t logs_kept;      /* attempts' logs that went into the store */
    int64_t words_left_out; /* for the log */

    pace pace; /* for the dashboard, as the next three */
    int64_t publish_ms;
    size_t members_told;
    bool stopping;

    int64_t describe_ms; /* when RUN/status is due */
};

/* What has come in: the envelope and where from. */
typedef struct incoming {
    const envelope *e;
    routing from;
    peer peer;
    wire_id session;
    size_t bytes; /* of the message */
} incoming;

/* Queue an answer until the commit. `kind` and `body` as wire_envelope. ERR_MEMORY. */
status server_reply(server *s, const routing *to, const wire_id *session, envelope_kind kind, void *body);

/* ---- guard.c: who may say how much ---- */

/* Is a message of so many bytes to be looked at? */
bool server_lets_in(server *s, const incoming *in, size_t count);
/* Is a Hello? */
bool server_hears_hello(server *s, const incoming *in);
/* Is this one more thing about workers that the log and the store are to be told? Those that are not are counted. */
bool server_may_tell(server *s);
/* End the sessions whose keys are on the list no more, say who was turned away. */
status server_shut_out(server *s);
/* The attempt, if it was given to this session's worker; NULL: it is none of its business. Borrowed. */
const store_attempt *server_attempt_of(const server *s, const session *of, token t);
/* ledger_renew for such an attempt. */
bool server_renew(server *s, const session *of, token t);
/* And for all that a heartbeat names. */
void server_renew_held(server *s, const session *of, const Mendel__Heartbeat *h);

/* ---- shared.c: a run folder that several machines see ---- */

/* Is this process still the one that leads the run? Before anything is decided. ERR_REFUSED: nothing may be written any more. */
status server_lead(server *s);
/* Write what others may see of the run, since the store is this process's alone, if it is time to. After a commit. */
void server_show_shared(server *s);
/* Nobody keeps RUN/status up to date any more. */
void server_forget_shared(server *s);
/* What RUN/wish says, as `pause` and `resume` leave it there. Before the commit. */
status server_hear_wish(server *s, bool paused);

/* ---- hello.c ---- */

status server_hello(server *s, const incoming *in);
status server_hello_again(server *s, const incoming *in);
status server_refuse(server *s, const incoming *in, Mendel__RefusedReason reason, const char *detail);
status server_goodbye(server *s, session *from);

/* ---- show.c ---- */

/* Draw how the run stands, if it is time to. */
void server_show(server *s);
/* What holds the run up, one sentence; NULL: nothing. Borrowed. */
const char *server_notice(const server *s);

/* ---- dashboard.c ---- */

/* Tell the dashboard how the run stands, if it is time to, or `now`. */
void server_publish(server *s, bool now);

/* ---- work.c: messages of welcome sessions ---- */

status server_work_request(server *s, session *from, const Mendel__WorkRequest *r);
status server_accepted(server *s, session *from, const Mendel__Accepted *a);
status server_progress(server *s, session *from, const Mendel__Progress *p);
status server_heartbeat(server *s, session *from, const Mendel__Heartbeat *h);
status server_delivery(server *s, session *from, const envelope *e);
/* Tell sessions about attempts that have become needless. */
status server_stop_unwanted(server *s);
/* Tell a session to end an attempt: `unwanted`, or with what it has. */
status server_stop(server *s, const session *to, token t, const char *reason, bool unwanted);

/* ---- bucket.c ---- */

status server_share_create(server *s);
/* Go on with sharing: before the commit, since rows may be taken in. */
status server_share(server *s);
/* Something new is in the files, or soon will be. */
void server_share_due(server *s);
/* This turn was taken back. */
void server_share_forget(server *s);
/* Is anything still to be shared? */
bool server_shares(const server *s);
void server_share_destroy(server *s);

/* ---- prune.c ---- */

/* Before the first message: what the store knows of candidates on their way. */
status server_prune_create(server *s);
/* A candidate was validated on its way: remember it, and stop it if it has fallen behind. */
status server_look(server *s, session *from, const Mendel__Progress *p);

/* ---- files.c: files that workers need ---- */

/* A worker asks for a piece. */
status server_blob_wanted(server *s, session *from, const Mendel__BlobAck *b);
/* Has the run a checkpoint of this candidate here, whole? */
bool server_has_checkpoint(const server *s, const store_candidate *c);
/* Put what this candidate is to go on from, if anything, into a Candidate. *path is to be freed once that is sent. */
status server_name_checkpoint(server *s, const session *to, const store_candidate *c, Mendel__Candidate *m,
                              char **path);

/* ---- transfers.c: files that deliveries name ---- */

status server_transfers_create(server *s);
void server_transfers_destroy(server *s);
/* A turn was taken back: nothing is on its way any more, until it is named again. */
void server_transfers_forget(server *s);
/* What becomes of the file that a delivery names, whose attempt counts. */
Mendel__FileFate server_file_of(server *s, session *from, const envelope *delivery);
/* Has this attempt ended well, and are its weights still to come? Then its worker keeps its delivery. */
bool server_awaits_weights(const server *s, const store_attempt *a);
/* A worker brings a piece, in a message of so many bytes. */
status server_blob(server *s, session *from, const Mendel__Blob *b, size_t message_bytes);
/* Ask for what is to come, take what has come. Before the commit. */
status server_transfers_follow(server *s);
/* When to look again; INT64_MAX: no need to. */
int64_t server_transfers_deadline(const server *s);
/* Is anything coming, or about to? */
bool server_transfers_busy(const server *s);
/* Has anything come whole that is still to be put in its place? */
bool server_transfers_settling(const server *s);

#endif
