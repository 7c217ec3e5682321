/* client_inner.h - the state that the parts of the client share.
 *
 *   client.c    the loop: polling, receiving, time, leaving
 *   contact.c   the connection: finding a coordinator, losing it, giving up
 *   greeting.c  Hello and Welcome: comparing data, getting weights
 *   work.c      slots: asking for candidates, training them
 *   report.c    what a trial says, on its way to the coordinator; deliveries until they are acknowledged
 *   files.c     pieces of files, both ways */
#ifndef WORKER_CLIENT_INNER_H
#define WORKER_CLIENT_INNER_H

#include "common/rng.h"
#include "worker/check.h"
#include "worker/client.h"
#include "worker/dealer.h"
#include "worker/need.h"
#include "worker/trial.h"

/* Different warnings of trainers that a worker repeats. */
enum { WARNINGS_MOST = 200 };
enum { LEFT_UNSENT_MS = 50 }; /* what could not be sent is tried again after this */

typedef enum client_state {
    CLIENT_SEEKING,  /* no endpoint yet */
    CLIENT_GREETING, /* Hello is repeated until it is answered */
    CLIENT_CHECKING, /* the data set is being read */
    CLIENT_WELCOME,
} client_state;

typedef enum slot_state {
    SLOT_FREE,     /* asks at next_ms */
    SLOT_ASKING,   /* request `number` is repeated at next_ms */
    SLOT_WAITING,  /* has a candidate, not yet the checkpoint to go on from */
    SLOT_TRAINING, /* until its process is gone */
} slot_state;

typedef struct slot {
    slot_state state;
    uint64_t number; /* of its latest request */
    int64_t next_ms;
    envelope *given; /* the Candidate; owned */
    token token;
    need resume;
    trial *trial;
    bool ended;    /* what became of it is known */
    bool unwanted; /* nothing is to be delivered */
    bool leaving;  /* stopped because the worker ends, not by a rule: another worker trains it anew, or goes on */
    bool resumed;
    int64_t started_ms, epoch, epochs;
    char *device, *precision; /* as the trainer says; NULL before */
    char *weights;            /* where it leaves the trained ones; NULL: nowhere */
    int64_t threads;
    size_t lines_heard; /* of what it prints */
} slot;

typedef enum client_leaving { LEAVING_NOT, LEAVING_YIELD, LEAVING_INTERRUPTED } client_leaving;

typedef struct client {
    const client_options *o;
    const client_place *place;
    spool *spool;
    char *host;
    int64_t now_ms; /* one reading of the clock a turn */

    /* contact */
    dealer *dealer;
    char *endpoint;
    bool local; /* ipc: the coordinator's machine, and its user */
    client_state state;
    keyed_rng jitter;
    size_t address;                         /* of the access file's: which one is tried */
    const char *trouble;                    /* with connecting, that has been mentioned */
    int64_t started_ms, idle_ms;            /* when it began; since when nothing trains */
    int64_t seek_ms, reopen_ms, backoff_ms; /* when to look or connect again */
    int64_t heard_ms;
    bool lost, waiting_said, answered; /* answered: a Welcome has come, ever */

    /* greeting */
    wire_ids ids;
    uint64_t epoch;             /* the highest of the run */
    envelope *welcomed;         /* the latest Welcome; owned */
    const Mendel__Welcome *run; /* in it; NULL before */
    int64_t hello_ms;           /* when to say Hello (again) */
    check *check;
    bool checked; /* `data` is what lies here for `checked_yaml` */
    char *checked_yaml, *difference;
    check_findings data;
    need weights;
    uint64_t proof; /* of the last piece of a file that has come */

    /* work */
    slot *slots;
    uint64_t warned[WARNINGS_MOST]; /* hashes of what trainers have warned of */
    size_t warned_count;
    int64_t beat_ms, spool_ms; /* when to send a heartbeat, and to try the disk again */
    bool finished;             /* the run is over */
    client_leaving leaving;
    int64_t leave_ms;   /* when what still trains is killed, or acks are waited for no longer */
    int64_t quiet_ms;   /* leaving: the same, unless something is heard of them; 0: something trains */
    bool misunderstood; /* a message that made no sense has been mentioned */

    bool over;
    status result;
    char *words; /* of a result that is not OK */
} client;

/* ---- client.c ---- */
/* End the loop: OK, or a status whose sentence is kept. The first call counts. */
void client_end(client *c, status result);
/* Put a body into an envelope of this run and session, and send it. ERR_BUSY when it cannot leave now. */
status client_send(client *c, envelope_kind kind, void *body);
/* From Welcome, with defaults before it. */
int64_t client_retry_ms(const client *c);
int64_t client_lease_ms(const client *c);
int64_t client_heartbeat_ms(const client *c);

/* ---- contact.c ---- */
void contact_follow(client *c); /* look, connect, connect again, give up */
void contact_heard(client *c);  /* something came */
/* Begin anew, as a worker that has just been started; what was learnt about the run is forgotten. */
void contact_restart(client *c, int64_t after_ms);

/* ---- greeting.c ---- */
void greeting_follow(client *c);
void greeting_on_welcome(client *c, envelope **e);
void greeting_on_refused(client *c, envelope **e);
void greeting_on_hello_again(client *c, envelope **e);
void greeting_forget(client *c); /* the run, its data and weights */
/* Is the data set that Welcome names one that may be trained on: looked at here, or named by this machine's own coordinator? */
bool greeting_knows_data(const client *c);

/* ---- work.c ---- */
void work_follow(client *c); /* start, listen */
void work_ask(client *c);    /* after what has ended was reported, so that a child is bred from it too */
void work_on_candidate(client *c, envelope **e);
void work_on_no_work(client *c, envelope **e);
void work_on_stop(client *c, envelope **e);
void work_unwanted(client *c, token t); /* an attempt that nothing is to be delivered of */
void work_again(client *c);             /* open requests are due */
bool work_idle(const client *c);        /* no slot has a candidate */
bool work_may_ask(const client *c);     /* a free slot may ask for one */
void work_leave(client *c, client_leaving how);
void work_clear(client *c);

/* ---- report.c ---- */
void report_message(client *c, slot *s, const trainer_message *m); /* Accepted, Progress, Result, Failed, Yield */
/* What trainers warn of is said here, once: every candidate of a run warns of the same pictures. */
void report_warnings(client *c, slot *s);
void report_failed(client *c, slot *s, trainer_reason reason, const char *detail);
void report_follow(client *c); /* heartbeats, deliveries that are due */
void report_on_result_ack(client *c, envelope **e);
/* Somebody takes care of what is to be delivered: that is worth staying for. */
void report_heard(client *c);
/* Attempts that this worker has in hand or in its spool, as tokens in `list`, each with a pointer in `out`. At most
 * WIRE_HELD_MOST; how many. The caller frees both. */
status report_held(const client *c, Mendel__Token **list, Mendel__Token ***out, size_t *count);
void report_again(client *c); /* after a Welcome: all deliveries of the run are due, and what trains is said anew */

/* ---- files.c ---- */
/* What is acknowledged but for its file is said again after this, should nobody ask for that. */
enum { FILE_AGAIN_MS = 5000 };
void files_follow(client *c); /* ask for what is needed */
void files_on_blob(client *c, envelope **e);
void files_on_blob_ack(client *c, envelope **e);

#endif
