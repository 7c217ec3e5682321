/* breeding.h - make the next candidate from what is known.
 *
 * A child depends on nothing but the population it saw, its number and the run's seed: its draws come from the two halves of
 * SplitMix64(run seed + number), one for Python's random, one for NumPy's. So any child can be bred again and compared
 * (coordinator verify).
 *
 * Source: the evolve loop of train.py. What strategy `mendel` does otherwise is in docs/DIFFERENCES.md. */
#ifndef COORDINATOR_BREEDING_H
#define COORDINATOR_BREEDING_H

#include "common/rng.h"
#include "coordinator/population.h"

enum { BREEDING_PARENTS = 5 };

typedef enum parent_mode { PARENT_SINGLE, PARENT_WEIGHTED } parent_mode;

typedef struct breeding_options {
    parent_mode parent;
    double probability, sigma; /* of mutation: .9 and .2 */
    double low, high;          /* a factor stays within: .3 and 3 */
} breeding_options;
#define BREEDING_DEFAULTS ((breeding_options){PARENT_SINGLE, 0.9, 0.2, 0.3, 3.0})

/* A child and how it came to be: what the store keeps beside it. */
typedef struct child {
    double hyps[HYP_MAX];
    int64_t parents[BREEDING_PARENTS]; /* candidates it was chosen from, best first; the base hyp is 0 */
    double weights[BREEDING_PARENTS];
    size_t parent_count;
    int64_t parent; /* the one that was drawn; -1 for a weighted mean of them */
    size_t seen;    /* members of the population when it was bred */
    int rounds;     /* of the mutation loop: until a factor was not 1 */
    double factors[HYP_MAX];
} child;

typedef struct strategy strategy;
/* "mendel", "yolov5", "yolov5-as-run", "random"; NULL if there is none of that name. */
const strategy *strategy_find(const char *name);
const char *strategy_name(const strategy *s);
/* Names separated by |, for options and messages. */
extern const char strategy_names[];

/* Breed candidate `number` (1 and up) of a run. Candidate 1 is the base hyp as it is, unless rows were imported; while there
 * is no result, later ones are mutations of the base. Limits and rounding are applied. */
status strategy_breed(const strategy *s, const population *p, const double *base, const breeding_options *options,
                      uint64_t run_seed, int64_t number, child *out);

/* ---- the reference's operators, for strategies and tests ---- */

typedef struct breeding_rng {
    python_rng python;
    numpy_rng numpy;
} breeding_rng;

/* The two seeds of a candidate. */
void breeding_seed(breeding_rng *r, uint64_t run_seed, int64_t number);

/* The best min(5, n) rows by fitness (ties keep their order), weighted by fitness minus the lowest among them; one of them drawn
 * (all weights 0: the last, as up to Python 3.8) or their weighted mean. `rows` in file order. */
void breeding_select(breeding_rng *r, const population *p, const member *rows, size_t count, parent_mode mode,
                     child *out, double *parent_hyps);
/* Factors v = clip(gain (u < probability) z r sigma + 1, low, high), drawn again until one is not 1; child = parent v. */
void breeding_mutate(breeding_rng *r, const hyp_space *space, const breeding_options *options,
                     const double *parent_hyps, child *out);

#endif
