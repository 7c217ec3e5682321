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
#include "coordinator/evolve/population.h"

enum { BREEDING_PARENTS = POPULATION_BEST };

typedef enum parent_mode { PARENT_SINGLE, PARENT_WEIGHTED } parent_mode;

typedef struct breeding_options {
    parent_mode parent;
    double probability, sigma; /* of mutation: .9 and .2 */
    double low, high;          /* a factor stays within: .3 and 3 */
} breeding_options;
#define BREEDING_DEFAULTS ((breeding_options){PARENT_SINGLE, 0.9, 0.2, 0.3, 3.0})

/* The parent of a child that was made from the weighted mean of several; no candidate has this number. */
#define PARENT_MEAN INT64_MIN

/* A child and how it came to be: what the store keeps beside it. */
typedef struct child {
    double hyps[HYP_MAX];              /* limits and rounding applied */
    int64_t parents[BREEDING_PARENTS]; /* candidates it was chosen from, best first; the base hyp is 0 */
    double weights[BREEDING_PARENTS];  /* of the draw or the mean */
    size_t parent_count;               /* 0: made without one (candidate 1, strategy random) */
    int64_t parent;                    /* the one that was drawn, or PARENT_MEAN */
    size_t seen;                       /* members of the population when it was bred */
    int rounds;                        /* of the mutation loop: until something changed */
    double factors[HYP_MAX];           /* of the mutation, 1: none; strategy random: its uniform draws */
} child;

typedef struct strategy strategy;
/* "mendel", "yolov5", "yolov5-as-run", "random"; NULL if there is none of that name. */
const strategy *strategy_find(const char *name);
const char *strategy_name(const strategy *s);
/* Names separated by |, for options and messages. */
extern const char strategy_names[];

/* Breed candidate `number` (1 and up) of a run. `base` has the space's values. Candidate 1 is the base hyp as it is, unless
 * rows were imported; while there is no result, later ones are mutations of the base. Limits and rounding are applied.
 * The same arguments give the same child, to the last bit. ERR_MEMORY is the only error; but where the weighted mean of equally
 * good rows is asked for, the hyps of `yolov5` and `yolov5-as-run` are NaN, as the reference's are. */
status strategy_breed(const strategy *s, const population *p, const double *base, const breeding_options *options,
                      uint64_t run_seed, int64_t number, child *out);

/* ---- the reference's operators, for strategies and tests ---- */

typedef struct breeding_rng {
    python_rng python;
    numpy_rng numpy;
} breeding_rng;

/* The two seeds of a candidate: of the first output of SplitMix64 started at run_seed + number, the upper half seeds Python's
 * random, the lower half NumPy's. */
void breeding_seed(breeding_rng *r, uint64_t run_seed, int64_t number);

/* The best min(5, n) rows by fitness, ties in the order given. */
typedef struct ranking {
    const member *rows[BREEDING_PARENTS]; /* borrowed, best first */
    double weights[BREEDING_PARENTS];     /* fitness minus the lowest among them */
    size_t count;
} ranking;
/* `rows` in file order, at least one. */
void breeding_rank(const population *p, const member *rows, size_t count, ranking *out);
/* The same of all members, at least one. */
void breeding_rank_members(const population *p, ranking *out);
/* One of the ranked rows by a weighted draw (weights all 0: the last, as up to Python 3.8), or their weighted mean (weights all
 * 0: NaN); a row alone is itself the parent. Says in *out which, and fills parent_hyps. */
void breeding_choose(breeding_rng *r, const hyp_space *space, const ranking *from, parent_mode mode, child *out,
                     double *parent_hyps);
/* Both: the reference's parent selection. */
void breeding_select(breeding_rng *r, const population *p, const member *rows, size_t count, parent_mode mode,
                     child *out, double *parent_hyps);

/* Factors v = clip(gain (u < probability) z r sigma + 1, low, high), drawn again until one is not 1; child = parent v, neither
 * clipped nor rounded yet. Where no factor can change (all gains 0, say) it gives up after BREEDING_ROUNDS_MOST rounds. */
enum { BREEDING_ROUNDS_MOST = 1000 };
void breeding_mutate(breeding_rng *r, const hyp_space *space, const breeding_options *options,
                     const double *parent_hyps, child *out);

#endif
