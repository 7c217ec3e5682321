/* checker.h - does what a chaos run has left hold together with what its processes said that they did?
 *
 *   the history itself    record.h: what was committed stays, answers leave after the commit, one lease a candidate, leases last
 *   attempts              each is in the store as the history has it; results are those that its worker has spooled for it
 *   deliveries            what was spooled was acknowledged, or was wanted by nobody, or still lies in the spool
 *   epochs                a worker never obeys an older start of the coordinator
 *   tests/cluster/history exactly N evaluated, the store's rules, evolve.txt as its own projection of the store
 *   coordinator verify    every child can be bred again */
#ifndef CHAOS_CHECKER_H
#define CHAOS_CHECKER_H

#include "tests/chaos/stage.h"

/* What is wrong is added to the stage's faults. Errors: what there is cannot be read. */
status checker_check(stage *s);
/* Fitness of the first row of RUN/evolve.txt; 0 when there is none. A row that is no numbers counts as minus infinity. */
double checker_best_of_file(const char *run);

#endif
