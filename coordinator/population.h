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
    int64_t candidate;            /* its number in the store; negative for imported rows */
    double results[RESULT_COUNT]; /* P R mAP@.5 mAP@.5:.95 box obj cls */
    double hyps[HYP_MAX];         /* in the order of the space */
} member;

typedef struct population {
    const hyp_space *space; /* borrowed */
    double weights[FITNESS_TERMS];
    member *members;
    size_t count, room;
} population;

void population_start(population *p, const hyp_space *space, const double weights[FITNESS_TERMS]);
status population_add(population *p, const member *m);
void population_free(population *p);

double member_fitness(const population *p, const member *m);

/* Read an evolve.txt: rows of 7 results and the space's hyps. ERR_FORMAT naming file, line and column of a bad row; then
 * nothing is added. */
status population_import(population *p, const char *path);

/* The rows as evolve.txt has them: each printed as the reference writes a new row (%10.4g results, %10.3g hyps), read back,
 * printed as %10.3g; duplicates dropped by text; best fitness first, equal fitness in np.unique's order (ascending rows).
 * One element a row, the values as they are read back from the file. The caller frees *rows. */
status population_rows(const population *p, member **rows, size_t *count);
/* The texts of evolve.txt and hyp_evolved.yaml. */
status population_evolve_txt(const population *p, text *out);
status population_hyp_evolved(const population *p, text *out);
/* What print_mutation prints for one result: keys, values, "Evolved fitness: ...". */
status population_console(const population *p, const member *m, text *out);

#endif
