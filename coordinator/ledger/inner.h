/* inner.h - the ledger's memory, for ledger.c, lease.c and deliver.c. */
#ifndef COORDINATOR_LEDGER_INNER_H
#define COORDINATOR_LEDGER_INNER_H

#include "coordinator/ledger/ledger.h"

typedef struct attempt {
    store_attempt kept;
    int64_t deadline_ms; /* monotonic; of live ones */
    bool delivered;      /* its session has said what became of it */
} attempt;

typedef struct entry { /* a candidate and its attempts */
    store_candidate kept;
    attempt *attempts;
    size_t count, room;
    bool changed;            /* is in the ledger's list of those */
    bool stored;             /* the store has it, as it was bred */
    candidate_state counted; /* the state that the ledger's counts have of it, once it is stored */
    bool arriving;           /* its checkpoint is on its way */
} entry;

/* A request that has been answered with an attempt. */
typedef struct answered {
    uint64_t hash; /* of session, slot and number */
    int64_t candidate, attempt;
    size_t next; /* with the same place in the table: its index + 1; 0: none */
} answered;

struct ledger {
    store *store;
    const run_spec *spec;
    ledger_options o;
    population population;
    entry *entries; /* of candidates 1, 2, ... */
    size_t count, room;
    size_t first_open; /* all before it have ended; see ledger_first_open */
    int64_t imported, arrivals, evaluated;
    int64_t counts[CANDIDATE_STATE_COUNT]; /* of entries, as they are stored */

    answered *answers; /* in the order of their leases */
    size_t answer_count, answer_room;
    size_t *places, place_count; /* by hash: the last answer's index + 1; a power of two of them */

    size_t unwanted_count, unwanted_room;
    token *unwanted;

    int64_t *changed; /* candidates, for those who keep a copy */
    size_t changed_count, changed_room;

    /* why the run should stop */
    int64_t failures, in_a_row;
    char *last_reason;
    text broken;
};

/* NULL if there is none. */
entry *ledger_entry(const ledger *l, int64_t candidate);
attempt *ledger_find(const ledger *l, token t);
status ledger_put_candidate(ledger *l, entry *e);
status ledger_put_attempt(ledger *l, attempt *a, attempt_state state, int64_t wall_ms);
/* Candidates before this one have ended, so that nothing of them is live or waits. */
size_t ledger_first_open(ledger *l);
uint64_t request_hash(const char *session, int64_t slot, uint64_t number);
status ledger_remember_answer(ledger *l, const store_attempt *a);
/* Answers to requests of this hash, the latest first; `after` NULL: the first. NULL: no further one. */
const answered *ledger_next_answer(const ledger *l, uint64_t hash, const answered *after);
/* Room for one attempt more; nearly all have only one. */
status entry_make_room(entry *e);
/* Is one of its attempts live? */
bool entry_is_leased(const entry *e);
/* Waits for a lease: bred, lost or yielded. */
bool entry_waits(const entry *e);
/* How many do. */
int64_t ledger_waiting(const ledger *l);
bool candidate_has_ended(const store_candidate *c);
/* The candidate's live attempts but for this one are needless. */
status ledger_release_others(ledger *l, entry *e, const attempt *but, int64_t wall_ms);
/* A candidate is given up. */
status ledger_fail(ledger *l, entry *e, const char *reason, const char *detail, int64_t wall_ms);
/* The attempt ended without a result that could count: the candidate waits again, unless another attempt is live. */
status ledger_wait_again(ledger *l, entry *e, candidate_state state);
status ledger_set_text(char **at, const char *value);
/* The run has its number: what is still in hands is needless. */
status ledger_finish(ledger *l, int64_t wall_ms);

#endif
