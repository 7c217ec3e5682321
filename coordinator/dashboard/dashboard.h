/* dashboard.h - a run in the browser, and for Prometheus.
 *
 * A thread of its own speaks HTTP (libmicrohttpd). The coordinator's thread hands it copies and never waits for it: what both
 * touch is a mailbox whose lock is held for the exchange of pointers. So no client, however slow or hostile, can hold up the run, and
 * the HTTP thread knows neither the ledger nor the store.
 *
 * Everything is read-only. Every path but /healthz wants the token of the run, which is made once and kept in RUN/dashboard.token
 * (0600): as `Authorization: Bearer TOKEN`, as ?token=TOKEN, or as the cookie that the page's first visit sets.
 *
 *   /                        the page; /?token=TOKEN sets the cookie and leads here
 *   /api/run                 what does not change: name, search space, weights of the fitness
 *   /api/state               how the run stands: counts, best, time left, workers and what they train
 *   /api/trials?since=N      trials that have changed since change N (0: all), the oldest change first, at most &limit=N (500)
 *   /api/log?candidate=N&attempt=N    the last lines of a trainer that failed
 *   /api/events              the same as /api/state whenever it changes, as server-sent events
 *   /metrics                 Prometheus text
 *   /healthz                 200 while the coordinator's loop turns, else 503 */
#ifndef COORDINATOR_DASHBOARD_H
#define COORDINATOR_DASHBOARD_H

#include "common/hyp.h"
#include "coordinator/store/store.h"

typedef struct dashboard dashboard;

/* Everything is borrowed for the call. */
typedef struct dashboard_options {
    const char *folder; /* of the run: has dashboard.token and dashboard.url (both 0600) */
    const char
        *listen;    /* [ADDRESS:]PORT, port 0: any; "": 127.0.0.1 and the port of last time if it is free, else any */
    const char *id; /* of the run, letters and digits */
    const char *name, *strategy;
    const hyp_space *space;
    const double *fitness; /* FITNESS_TERMS weights */
} dashboard_options;

/* ---- a snapshot: everything in it is borrowed for the call ---- */

typedef struct dashboard_slot {
    int64_t candidate, attempt;         /* 0: waits for work */
    int64_t epoch, epochs, step, steps; /* from 0 as the trainer counts; epochs 0: nothing was heard yet */
    double loss, images_per_s;          /* NAN: not known */
    int64_t memory;                     /* bytes; 0: not known */
} dashboard_slot;

typedef struct dashboard_worker {
    const char *id;            /* hex */
    const char *host, *device; /* as the worker says; need not be trusted, nor be UTF-8 */
    double silent_s;           /* since it was heard */
    const dashboard_slot *slots;
    size_t slot_count;
} dashboard_worker;

#define DASHBOARD_PHASES(ROW)                                                                                          \
    ROW(DASHBOARD_RUNNING, "running")                                                                                  \
    ROW(DASHBOARD_PAUSED, "paused")     /* by a person */                                                              \
    ROW(DASHBOARD_FULL, "full")         /* no space on the disk */                                                     \
    ROW(DASHBOARD_FINISHED, "finished") /* the number of generations is reached */                                     \
    ROW(DASHBOARD_BROKEN, "broken")     /* ended with a reason */                                                      \
    ROW(DASHBOARD_STOPPED, "stopped")   /* by a signal */
#define DASHBOARD_PHASE_AS_ID(id, name) id,
typedef enum dashboard_phase { DASHBOARD_PHASES(DASHBOARD_PHASE_AS_ID) DASHBOARD_PHASE_COUNT } dashboard_phase;

typedef struct dashboard_state {
    dashboard_phase phase;
    const char *notice; /* what holds the run up, one sentence; NULL: nothing */
    int64_t generations, evaluated, bred, running, waiting, failed, imported;
    int64_t best;                      /* candidate, imported rows below 0; 0: none yet */
    double best_fitness, base_fitness; /* NAN: none; the second of candidate 1 */
    double seconds_left;               /* NAN: not known */
    int64_t refused_messages, commits;
    const dashboard_worker *workers;
    size_t worker_count;
} dashboard_state;

/* Listen, make or read the token, write RUN/dashboard.url, start the thread. Errors: ERR_ARGUMENT for an address that is none, ERR_BUSY
 * when the port is in use, ERR_IO; then nothing runs and *out is NULL. */
status dashboard_start(const dashboard_options *o, dashboard **out);
/* "http://127.0.0.1:40123/?token=...", a secret. Borrowed. */
const char *dashboard_url(const dashboard *d);
/* Does everybody reach the address, rather than this machine alone? */
bool dashboard_is_public(const dashboard *d);
/* A trial has changed: it and its attempts 1 ... `count` are copied. Only what was committed. Without memory it is left out. */
void dashboard_tell(dashboard *d, const store_candidate *c, const store_attempt *const *attempts, size_t count);
/* How the run stands now. A few times a second is enough. */
void dashboard_publish(dashboard *d, const dashboard_state *s);
/* Browsers get the last snapshot, within a moment. Ends the thread, frees everything, sets *d to NULL. */
void dashboard_stop(dashboard **d);

#endif
