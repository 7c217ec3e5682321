/* verify.h - breed every child of a run again and compare.
 *
 * A child depends on nothing but the population it saw, its number and the run's seed, all of which the store has. So whatever
 * happened to the run (restarts, lost leases, another machine), its children can be checked to the last bit. */
#ifndef COORDINATOR_VERIFY_H
#define COORDINATOR_VERIFY_H

#include <stdio.h>

#include "coordinator/evolve/breeding.h"
#include "coordinator/store/store.h"

/* What children were bred with. Everything is borrowed. */
typedef struct verify_task {
    const hyp_space *space;
    const double *base;    /* of the space, before limits and rounding */
    const double *fitness; /* FITNESS_TERMS weights */
    const strategy *strategy;
    breeding_options breeding;
    uint64_t seed;
} verify_task;

/* Breed each candidate from 1 up again: from the imported rows and the done candidates in the order of their arrival, the first
 * `seen` of them. Compared are hyps, parents, weights, the parent drawn, rounds and factors, bit for bit (any NaN is like any
 * other). Writes a line for each difference and a closing one. Returns what reading says; *compared children, *differ of them. */
status verify_children(store *s, const verify_task *task, FILE *to, int64_t *compared, int64_t *differ);
/* The same with what the run's own specification says. */
status verify_run(store *s, FILE *to, int64_t *compared, int64_t *differ);

#endif
