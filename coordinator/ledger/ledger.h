/* ledger.h - what became of every candidate, and who trains what.
 *
 * The rules of the protocol about candidates and attempts, without sockets and without a clock: time comes in as an argument, and
 * every decision goes to the store before it is answered (the server commits, then sends). What the ledger holds in memory is
 * what the store holds; after a failed commit it is opened anew.
 *
 * Rules (cluster.proto has the table of states):
 *   - candidates that wait (lost, yielded, after a crash) go before new ones; new ones are bred when a worker asks
 *   - candidates in hand and evaluated ones together never exceed the number of generations
 *   - the first valid result of a candidate counts, whichever attempt it came from; failures come on top of the generations
 *   - nan and refused fail at once; anything else gets one more attempt, elsewhere if there is an elsewhere
 *   - candidate 1 failing, three failures in a row for one reason, or more than max_failures end the run with a reason */
#ifndef COORDINATOR_LEDGER_H
#define COORDINATOR_LEDGER_H

#include "coordinator/spec/spec.h"
#include "proto/wire.h"

typedef struct ledger ledger;

typedef struct ledger_options {
    int64_t generations, max_lost, max_failures;
    int64_t lease_ms;
    uint64_t epoch; /* of this start */
    bool
        fixed; /* nothing is bred: the run is over when the candidates of its store have ended, some maybe as failures */
} ledger_options;

/* Read a run from its store. Every attempt that is leased there gets one full lease time from `now_ms` (monotonic). `s` and
 * `spec` are borrowed and must outlive the ledger. ERR_FORMAT for a store that contradicts itself. */
status ledger_open(store *s, const run_spec *spec, const ledger_options *options, int64_t now_ms, ledger **out);
void ledger_close(ledger **l);
/* A new run's start: the rows of an evolve.txt become imported candidates. ERR_FORMAT as population_import. */
status ledger_import(ledger *l, const char *path, int64_t wall_ms);
/* Rows of another run, found now: they breed from here on, and do not count. Their numbers in `rows` are not used. */
status ledger_merge(ledger *l, const population *rows, int64_t wall_ms);
/* Candidate 1 failed and nothing has come of the run yet: try it again, since its user has started the run again. */
status ledger_try_first_again(ledger *l);

/* ---- work ---- */

typedef struct lease_request {
    const char *worker, *session; /* hex */
    const char *host, *device;
    int64_t slot;
    uint64_t number;
    bool elsewhere; /* are there workers beside this one? */
} lease_request;

typedef enum lease_answer {
    LEASE_GIVEN,
    LEASE_NOTHING,  /* everything is in hands: ask again */
    LEASE_FINISHED, /* the run is over */
    LEASE_STALE,    /* a request that was answered long ago, with what is over by now: ask anew */
} lease_answer;

/* Give a candidate to a worker's slot. The same request gets the same attempt. *candidate and *attempt are borrowed until the
 * next call. ERR_MEMORY, or what the store says. */
status ledger_lease(ledger *l, const lease_request *r, int64_t now_ms, int64_t wall_ms, lease_answer *answer,
                    const store_candidate **candidate, const store_attempt **attempt);
/* A sign of life of the session that holds this attempt. An attempt that was written off is taken back if nobody else has its
 * candidate. False: it is not wanted any more (its candidate has ended, or there is no such attempt). */
bool ledger_renew(ledger *l, token t, const char *session, int64_t now_ms);
/* Time that passed while the coordinator did not run (stopped, swapped out, its machine suspended): nobody's silence counts. */
void ledger_forgive(ledger *l, int64_t ms);
/* Take back the leases that have run out. */
status ledger_expire(ledger *l, int64_t now_ms, int64_t wall_ms);
/* When the next lease runs out; INT64_MAX: none. */
int64_t ledger_next_expiry(const ledger *l);
/* A worker's session began or ended: what it held, except `held` (tokens it still has), is lost at once. */
status ledger_release(ledger *l, const char *worker, const char *session, const token *held, size_t held_count,
                      int64_t wall_ms);

/* ---- deliveries ---- */

typedef struct delivery {
    token token;
    const char *session;
    const Mendel__Record *record;
} delivery;

/* A whole or stopped training. Results out of range count as a failure of the attempt (VERDICT_INVALID). */
status ledger_result(ledger *l, const delivery *d, const Mendel__Result *result, int64_t wall_ms,
                     Mendel__Verdict *verdict);
status ledger_failed(ledger *l, const delivery *d, const Mendel__Failed *failed, int64_t wall_ms,
                     Mendel__Verdict *verdict);
status ledger_yielded(ledger *l, const delivery *d, const Mendel__Yield *yielded, int64_t wall_ms,
                      Mendel__Verdict *verdict);

/* While the checkpoint of a candidate is on its way here the candidate is not leased. Not remembered by the store. */
void ledger_set_arriving(ledger *l, int64_t candidate, bool arriving);
/* A checkpoint of a candidate that waits has come: its next attempt goes on from there. */
status ledger_set_checkpoint(ledger *l, int64_t candidate, const char *hash, int64_t epoch, int64_t step);

/* ---- how it stands ---- */

typedef struct ledger_counts {
    int64_t generations;
    int64_t evaluated; /* done and stopped */
    int64_t bred, leased, waiting, failed, imported;
    int64_t best;        /* candidate, 0: none */
    double best_fitness; /* NAN: none */
    double base_fitness; /* of candidate 1, NAN: not known */
} ledger_counts;
void ledger_count(const ledger *l, ledger_counts *out);
bool ledger_finished(const ledger *l);
/* The reason for which the run must stop, one sentence; NULL: none. Borrowed. */
const char *ledger_broken(const ledger *l);
/* Done and imported candidates in the order of their arrival. Borrowed. */
const population *ledger_population(const ledger *l);
/* NULL if there is none. Borrowed until the next call that changes the ledger. */
const store_candidate *ledger_candidate(const ledger *l, int64_t number);
const store_attempt *ledger_attempt(const ledger *l, token t);
/* Live attempts, for the view: *index starts at 0; NULL at the end. */
const store_attempt *ledger_next_live(const ledger *l, size_t *index);
/* Attempt 1, 2, ... of a candidate; NULL: there is none. Borrowed as well. */
const store_attempt *ledger_attempt_of(const ledger *l, int64_t candidate, int64_t attempt);
/* A candidate of which, or of whose attempts, something has changed since it was named here last, in no order; of a ledger that has
 * just been opened all are. 0: none. For those who keep a copy: look after a commit, since what was not committed may be undone by
 * opening the ledger anew. */
int64_t ledger_pop_changed(ledger *l);
/* An attempt that has just become needless, since its candidate has ended or the run is over: its session is to be told once. NULL:
 * none. (Should that message be lost, ledger_renew says the same at the next heartbeat.) */
const store_attempt *ledger_pop_unwanted(ledger *l);

#endif
