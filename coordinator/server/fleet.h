/* fleet.h - the workers that this coordinator has met since it started: who they are, when they were last heard of, and how far
 * what they train has come. Nothing here outlives the process; the ledger knows what must not be lost. */
#ifndef COORDINATOR_FLEET_H
#define COORDINATOR_FLEET_H

#include "common/status.h"
#include "proto/access.h"
#include "proto/wire.h"

/* A peer's routing id: what the socket puts in front of its messages. */
enum { ROUTING_MOST = 255 };
typedef struct routing {
    uint8_t bytes[ROUTING_MOST];
    size_t count;
} routing;

enum { LABEL_ROOM = 48 };

typedef enum session_state { SESSION_GREETED, SESSION_WELCOME } session_state;

/* How far the attempt in a slot is. */
typedef struct slot_progress {
    token token;     /* candidate 0: nothing */
    token earlier;   /* what was in it before, whose delivery may still be on its way */
    uint64_t number; /* of the request that it was given for */
    int64_t epoch, epochs, step, steps;
    double loss, images_per_s;
    int64_t memory;
} slot_progress;

typedef struct session {
    wire_id id;
    char text[WIRE_ID_ROOM];
    routing to;
    char key[ACCESS_KEY_ROOM]; /* that it came with; "": none */
    bool local;                /* its last message came over this machine's own socket */
    session_state state;
    char worker[WIRE_ID_ROOM]; /* hex */
    char *host, *device, *version;
    char label[LABEL_ROOM]; /* host and the first digits of the worker's id: for people */
    int64_t pid, slots;
    int64_t heard_ms;       /* monotonic */
    uint64_t proof;         /* of the last piece of a file that was sent to it; 0: none */
    slot_progress *running; /* `slots` of them */
} session;

typedef struct fleet {
    session **sessions; /* in the order in which they came, until one goes */
    session **by_id;    /* the same, by their ids */
    size_t count, room, id_room;
} fleet;

void fleet_free(fleet *f);
/* The session of this id; NULL if it is not known. */
session *fleet_find(const fleet *f, const wire_id *id);
/* Add or renew a session from its Hello. An earlier session of the same worker is forgotten: a worker is one process at a time.
 * ERR_BUSY: there are as many sessions, in all or of this key, as there may be. ERR_MEMORY. */
status fleet_greet(fleet *f, const wire_id *id, const char *key, const Mendel__Hello *hello, session **out);
/* Has a session of this worker that came with another key been heard since then? */
bool fleet_is_claimed(const fleet *f, const char *worker, const char *key, int64_t since_ms);
void fleet_forget(fleet *f, session *s);
/* Forget sessions that were silent for longer than this. */
void fleet_forget_silent(fleet *f, int64_t now_ms, int64_t silence_ms);
/* Welcome sessions of other workers than this. */
bool fleet_has_others(const fleet *f, const char *worker);
size_t fleet_welcome_count(const fleet *f);
/* Where an attempt is trained; NULL: nowhere that is known. */
slot_progress *fleet_progress(const session *s, token t);
/* The slot begins with an attempt. */
void fleet_begin(session *s, int64_t slot, token t);

#endif
