/* dashboard_inner.h - the dashboard's memory, for dashboard.c, http.c, answers.c, events.c and metrics.c. */
#ifndef COORDINATOR_DASHBOARD_INNER_H
#define COORDINATOR_DASHBOARD_INNER_H

#include <microhttpd.h>
#include <pthread.h>

#include "coordinator/dashboard/dashboard.h"
#include "coordinator/dashboard/door.h"
#include "coordinator/dashboard/history.h"
#include "coordinator/dashboard/snapshot.h"

/* What one client may take: connections, in all and from one address; bytes of a request with its headers; streams of events. */
enum { CONNECTIONS_MOST = 128, CONNECTIONS_OF_ONE = 96, REQUEST_BYTES = 16384, SUBSCRIBERS_MOST = 32 };

typedef enum peer_phase { PEER_NEW, PEER_ANSWERED, PEER_IDLE, PEER_PHASE_COUNT } peer_phase;

/* An open connection. */
typedef struct peer peer;
struct peer {
    int socket;
    peer_phase phase;
    int64_t since_ms; /* the phase, or the event that is being sent; INT64_MAX: may wait */
    peer *older, *newer;
};

/* A state as server-sent event, shared by those to whom it is sent. */
typedef struct event {
    int references;
    size_t count;
    char bytes[];
} event;

typedef struct subscriber subscriber;

enum { START_ROOM = 17, CODES_MOST = 16 };

struct dashboard {
    /* fixed from the start */
    char *folder, *name, *strategy, *url;
    char *cookie;              /* its name: browsers keep one jar for all ports of a machine */
    char machine[256], *named; /* Hosts that are ours */
    char token[TOKEN_ROOM];
    char start[START_ROOM]; /* another at each start: pages then begin anew */
    hyp_space space;
    double fitness[FITNESS_TERMS];
    bool is_public;
    int wake; /* eventfd: there is something in the mailbox */
    pthread_t thread;

    /* the mailbox */
    pthread_mutex_t lock;
    snapshot *newest; /* takes the place of one that was not looked at */
    trial *told;      /* a list by ->older, the latest first */
    bool is_to_end;

    /* of the HTTP thread */
    struct MHD_Daemon *http;
    snapshot *shown;
    history history;
    bool has_news; /* since the last event */
    bool ending;
    peer *peers;
    size_t peer_count;
    subscriber *subscribers;
    size_t subscriber_count;
    event *event;
    uint64_t event_number;
    int64_t event_ms;
    struct {
        unsigned code;
        uint64_t count;
    } answered[CODES_MOST];
};

/* ---- http.c ---- */

/* Start answering on a socket (-1: on none, for connections that a test brings). Takes it. */
status http_open(dashboard *d, int listening);
/* Wait for something to do, at most so long, and do it. */
void http_turn(dashboard *d, int most_ms);
void http_close(dashboard *d);
peer *http_peer(struct MHD_Connection *c);

/* ---- answers.c ---- */

typedef struct answer {
    unsigned code;
    const char *type;
    const char *fixed; /* what is never freed; NULL: the body */
    size_t fixed_count;
    text body;
    bool set_cookie, is_events;
} answer;

/* What a path is answered. `has_token`: the request has proved that it may look. */
void answer_path(dashboard *d, struct MHD_Connection *c, const char *path, bool has_token, answer *out);
/* One sentence. */
void answer_words(answer *out, unsigned code, const char *words);

/* ---- events.c ---- */

/* A stream of events for this connection; NULL: there are too many, or no memory. */
struct MHD_Response *events_open(dashboard *d, struct MHD_Connection *c);
/* Send what is new to those that wait. */
void events_turn(dashboard *d, int64_t now_ms);
/* Make the last event: streams end when they have sent it. */
void events_end(dashboard *d, int64_t now_ms);
void events_free(dashboard *d);

/* ---- metrics.c ---- */

void metrics_text(const dashboard *d, int64_t now_ms, text *out);
/* Is the coordinator's loop alive? */
bool dashboard_is_healthy(const dashboard *d, int64_t now_ms);

/* ---- assets.c: files of this folder ---- */

typedef struct asset {
    const char *path, *type, *bytes, *end;
} asset;
/* NULL: there is none. */
const asset *asset_find(const char *path);

#endif
