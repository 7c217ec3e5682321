/* trials.h - all candidates and attempts of a run, read from its store at once: for commands that look at a run. */
#ifndef COORDINATOR_TRIALS_H
#define COORDINATOR_TRIALS_H

#include "coordinator/evolve/population.h"
#include "coordinator/store/store.h"

typedef struct trials {
    store_candidate *candidates; /* imported ones first (-1, -2, ...), then by number */
    size_t count, room;
    store_attempt *attempts; /* by candidate, then attempt */
    size_t attempt_count, attempt_room;
    population members; /* in the order in which the run took them in: imported rows, then done candidates by arrival */
} trials;

/* `space` is borrowed as long as the trials live; `fitness` are FITNESS_TERMS weights. On error nothing is held. ERR_NOT_FINITE for a
 * member that cannot breed, and what the store says. */
status trials_read(store *s, const hyp_space *space, const double *fitness, trials *out);
void trials_free(trials *t);

/* The attempt that decided a candidate: the one whose results count, else the last. NULL: it was never leased. */
const store_attempt *trials_attempt(const trials *t, int64_t candidate);
/* The member with the best fitness, the earliest of equals. NULL: there is none. */
const member *trials_best(const trials *t);
/* NULL: no such member. */
const member *trials_member(const trials *t, int64_t candidate);

#endif
