/* population.h - evaluated candidates, and evolve.txt.
 *
 * The store keeps every candidate in full precision; this is the part of it that breeds: rows of results and hyps in the order
 * in which the results arrived, imported rows first. evolve.txt and hyp_evolved.yaml are written from it, byte for byte as the
 * reference's print_mutation() leaves them.
 *
 * Source: print_mutation() of utils/general.py and the evolve loop of train.py. */
#ifndef COORDINATOR_POPULATION_H
#define COORDINATOR_POPULATION_H

#include <stdint.h>

#include "common/hyp.h"
#include "common/status.h"
#include "common/text.h"

typedef struct member {
    int64_t candidate;            /* its number in the store, 1 and up; imported rows are -1, -2, ... */
    double results[RESULT_COUNT]; /* P R mAP@.5 mAP@.5:.95 box obj cls */
    double hyps[HYP_MAX];         /* in the order of the space */
} member;

/* The best members by fitness, ties in the order of arrival. */
enum { POPULATION_BEST = 5 };
typedef struct population_best {
    size_t index[POPULATION_BEST]; /* of the members, best first */
    double fitness[POPULATION_BEST];
    size_t count, seen; /* members that have been looked at */
} population_best;

/* What follows from the members, kept from call to call: not for two threads at once. */
typedef struct population_known population_known;

/* Members may be taken off its end by lowering `count`. */
typedef struct population {
    const hyp_space *space; /* borrowed */
    double weights[FITNESS_TERMS];
    member *members;
    size_t count, room;
    population_known *known; /* NULL: there was no member yet */
} population;

void population_start(population *p, const hyp_space *space, const double weights[FITNESS_TERMS]);
/* Append a copy. ERR_NOT_FINITE, and nothing added, when the fitness or a hyp is not a finite number: a training that went
 * wrong is no parent (its losses may be NaN, nothing depends on them); ERR_MEMORY. */
status population_add(population *p, const member *m);
void population_free(population *p);

double member_fitness(const population *p, const member *m);

/* Borrowed until the next call. */
const population_best *population_ranked(const population *p);

/* Read an evolve.txt: rows of 7 results and the space's hyps, as np.loadtxt does (any white space between columns, # starts
 * a comment, empty lines count for nothing). ERR_FORMAT naming file, line and column of a bad row; then nothing is added.
 * The rows' candidates count on from the imported ones that are there: -1, -2, ... */
status population_import(population *p, const char *path);
/* The same from `count` bytes with a 0 behind them, which are changed; `name` stands for the file in messages. */
status population_import_text(population *p, const char *name, char *bytes, size_t count);

/* The rows as evolve.txt has them, best fitness first, equal fitness in np.unique's order (ascending rows), duplicates
 * dropped by text. One element a row, the values as they are read back from the file; the caller frees *rows.
 *
 * The reference adds a row with %10.4g results and %10.3g hyps, reads the file back, sorts, and saves all of it with %10.3g.
 * So the newest row is sorted by its fourth digit and printed with three, as the older ones were before it; imported rows
 * are what their file says until the second row of our own has come. */
status population_rows(const population *p, member **rows, size_t *count);
/* Of these rows as many as a choice among the best needs: the first ones, and the newest wherever it stands. */
enum { POPULATION_FIRST = POPULATION_BEST + 2 };
status population_first_rows(const population *p, member rows[POPULATION_FIRST], size_t *count);
/* The texts of evolve.txt and hyp_evolved.yaml; without any member nothing is appended. */
status population_evolve_txt(const population *p, text *out);
status population_hyp_evolved(const population *p, text *out);
/* What print_mutation prints for one result: keys, values, "Evolved fitness: ...". */
status population_console(const population *p, const member *m, text *out);

#endif
