/* store.h - everything a run must not lose, in one SQLite file.
 *
 * The store keeps the run's settings, every candidate with how it was bred and what became of it, and every attempt. It knows
 * nothing of sockets, time or strategies: the ledger decides, the store remembers.
 *
 * Writes gather in one transaction until store_commit, which returns when they are on the disk (WAL, synchronous=FULL). Nothing
 * that depends on a write may leave the process before its commit. A failed commit leaves the store as it was before the
 * transaction: the ledger then reads it again.
 *
 * The schema is schema.sql; its version is checked when a store is opened. Readers (status, trials, verify) open it beside a
 * running coordinator and never block it. */
#ifndef COORDINATOR_STORE_H
#define COORDINATOR_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/hyp.h"
#include "common/status.h"
#include "coordinator/evolve/breeding.h"
#include "proto/trainer.h"

typedef struct store store;

/* Open RUN/store.sqlite for the one process that writes, making it when there is none. ERR_FORMAT: no store of ours, damaged, or
 * of another version, with a sentence; ERR_NO_SPACE, ERR_IO. */
status store_open(const char *run_folder, store **out);
/* Open an existing one beside the process that writes, for one short commit of a setting (pause, resume). ERR_NOT_FOUND;
 * ERR_BUSY when the writer has it for itself, as on a network file system. */
status store_open_control(const char *run_folder, store **out);
/* Open an existing one for reading only. ERR_NOT_FOUND. */
status store_open_reading(const char *run_folder, store **out);
void store_close(store **s);
bool store_exists(const char *run_folder);

/* Put what was written since the last commit on the disk. ERR_NO_SPACE: nothing of it is there, try again later. ERR_IO: a failed
 * write or fsync; nobody knows what the disk holds, so the process must end. Nothing written: OK at once, no fsync. */
status store_commit(store *s);
/* How many commits this process has put on the disk. */
int64_t store_commits(const store *s);
/* Forget what was written since the last commit. */
void store_rollback(store *s);
/* Anything waiting for a commit? */
bool store_dirty(const store *s);
/* Copy what the log holds into the database file, when there is nothing better to do (never on the way of a commit). */
void store_checkpoint(store *s);
/* A number that changes when another process has committed (pause and resume do). */
int64_t store_version(store *s);

/* ---- settings: texts by name ---- */

status store_set(store *s, const char *name, const char *value);
/* The caller frees *value; NULL when there is none of that name. */
status store_get(store *s, const char *name, char **value);
status store_set_int(store *s, const char *name, int64_t value);
status store_get_int(store *s, const char *name, int64_t missing, int64_t *value);

/* ---- candidates ---- */

#define CANDIDATE_STATES(ROW)                                                                                          \
    ROW(CANDIDATE_BRED, "bred")         /* waits for its first lease, or for another after a crash */                  \
    ROW(CANDIDATE_LEASED, "leased")     /* one attempt is live */                                                      \
    ROW(CANDIDATE_LOST, "lost")         /* its lease was lost: waits */                                                \
    ROW(CANDIDATE_YIELDED, "yielded")   /* handed back by a preempted worker: waits */                                 \
    ROW(CANDIDATE_DONE, "done")         /* has its results */                                                          \
    ROW(CANDIDATE_STOPPED, "stopped")   /* ended early by rule: evaluated, not in the population */                    \
    ROW(CANDIDATE_FAILED, "failed")     /* given up, with a reason */                                                  \
    ROW(CANDIDATE_IMPORTED, "imported") /* a row of an evolve.txt: number -1, -2, ... */
#define CANDIDATE_AS_ID(id, name) id,
typedef enum candidate_state { CANDIDATE_STATES(CANDIDATE_AS_ID) CANDIDATE_STATE_COUNT } candidate_state;
const char *candidate_state_name(candidate_state s);

typedef struct store_candidate {
    int64_t number; /* 1 and up; imported rows -1, -2, ... */
    candidate_state state;
    child made;                      /* hyps in the run's space, and how they came to be */
    int64_t bred_ms, ended_ms;       /* wall clock; 0: not yet */
    int64_t attempts, lost, crashes; /* leased so far; leases lost; attempts that failed */
    int64_t arrival;                 /* 1 and up in the order in which results were committed; 0: none */
    int result_count;                /* 7, or 0 */
    double results[RESULT_COUNT];
    int64_t epoch;                           /* epochs trained, of results; or reached, when yielded */
    char *reason, *detail;                   /* failed: why (trainer_reason_name, or "lost"); else NULL */
    char *checkpoint_path, *checkpoint_hash; /* yielded: what to go on from; NULL: nothing */
    int64_t checkpoint_step;
} store_candidate;
/* Frees the texts. */
void store_candidate_free(store_candidate *c);

/* Add one, or replace the one of that number. Texts are copied. */
status store_put_candidate(store *s, const hyp_space *space, const store_candidate *c);
/* What became of one that is there: all but how it was bred. */
status store_update_candidate(store *s, const store_candidate *c);
/* Call `visit` for every candidate by number, imported ones first (-1, -2, ...). What it is given is valid during the call; it may
 * take the texts by setting them to NULL. Stops at the first status that is not OK and returns it. */
status store_each_candidate(store *s, const hyp_space *space, status (*visit)(void *state, store_candidate *c),
                            void *state);
/* The same without the factors of the mutations, which are the longest part to read. */
status store_each_candidate_short(store *s, const hyp_space *space, status (*visit)(void *state, store_candidate *c),
                                  void *state);

/* ---- attempts ---- */

#define ATTEMPT_STATES(ROW)                                                                                            \
    ROW(ATTEMPT_LEASED, "leased")                                                                                      \
    ROW(ATTEMPT_DONE, "done")                                                                                          \
    ROW(ATTEMPT_STOPPED, "stopped")                                                                                    \
    ROW(ATTEMPT_FAILED, "failed")                                                                                      \
    ROW(ATTEMPT_LOST, "lost")                                                                                          \
    ROW(ATTEMPT_YIELDED, "yielded")                                                                                    \
    ROW(ATTEMPT_LATE, "late") /* delivered after another result counted, or unwanted before it was delivered */
#define ATTEMPT_AS_ID(id, name) id,
typedef enum attempt_state { ATTEMPT_STATES(ATTEMPT_AS_ID) ATTEMPT_STATE_COUNT } attempt_state;
const char *attempt_state_name(attempt_state s);

typedef struct store_attempt {
    int64_t candidate, attempt;
    uint64_t epoch;               /* of the run, when it was leased */
    char session[33], worker[33]; /* hex */
    int64_t slot;
    uint64_t number; /* of the WorkRequest that it answered; 0: taken over by a later session */
    attempt_state state;
    int64_t leased_ms, ended_ms;               /* wall clock */
    char *host, *device, *precision, *version; /* as the worker reported; may be NULL */
    int64_t threads, peak_memory;
    double seconds;
    bool resumed;
    char *reason, *detail, *log; /* failed: why, and the trainer's last lines; may be NULL */
    int result_count;            /* what it delivered, even when it did not count */
    double results[RESULT_COUNT];
} store_attempt;
void store_attempt_free(store_attempt *a);

status store_put_attempt(store *s, const store_attempt *a);
/* By candidate, then attempt. `only` > 0: of that candidate alone. */
status store_each_attempt(store *s, int64_t only, status (*visit)(void *state, store_attempt *a), void *state_of_visit);

/* ---- looks: what candidates had on their way ---- */

/* A candidate's fitness after an epoch, counted from 0; told again it is replaced. */
status store_put_look(store *s, int64_t candidate, int64_t epoch, double fitness);
/* All of them, by candidate, then epoch. Stops at the first status that is not OK and returns it. */
status store_each_look(store *s, status (*visit)(void *state, int64_t candidate, int64_t epoch, double fitness),
                       void *state);

/* ---- events: what happened, for people and for a checker ---- */

/* `kind` is one word ("start", "worker", "pause"), `words` one sentence. */
status store_add_event(store *s, int64_t wall_ms, const char *kind, const char *words);
/* A person's wish: the setting "paused", and the event that tells of it. */
status store_set_paused(store *s, int64_t wall_ms, bool paused);

#endif
