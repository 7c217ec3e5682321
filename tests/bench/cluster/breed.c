/* breed.c - how fast children are bred, by strategy and size of the population. */
#include <string.h>

#include "common/rng.h"
#include "coordinator/evolve/breeding.h"
#include "tests/bench/bench.h"
#include "tests/bench/rate.h"

typedef struct breed_options {
    int_list sizes;
    double seconds;
} breed_options;

#define ROWS(ROW)                                                                                                      \
    ROW(breed_options, sizes, INTS, "population", "", "10 300 10000", 1, 1e6, "N",                                     \
        "results that children are bred from")                                                                         \
    ROW(breed_options, seconds, DOUBLE, "seconds", "", "0.5", 0.01, 1000, "S", "that each figure is measured for")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

static const char *const names[] = {"mendel", "yolov5", "yolov5-as-run", "random"};
enum { NAMES = sizeof names / sizeof *names };

typedef struct breeding {
    const strategy *strategy;
    population population;
    hyp_space space;
    double base[HYP_MAX];
    breeding_options options;
    uint64_t mark; /* so that no work is left out */
} breeding;

/* Results as of real candidates: all different, hyps within their limits. */
static status fill(breeding *b, int64_t count)
{
    for (int64_t i = 1; i <= count; i++) {
        member m = {.candidate = i};
        keyed_rng r;
        keyed_seed(&r, 1, (uint64_t)i, 0);
        for (int k = 0; k < RESULT_COUNT; k++) m.results[k] = keyed_random(&r);
        for (size_t k = 0; k < b->space.count; k++) {
            const hyp_row *row = &b->space.rows[k];
            m.hyps[k] = row->low + (row->high - row->low) * keyed_random(&r);
        }
        TRY(population_add(&b->population, &m));
    }
    return OK;
}

static status breed_one(void *state, int thread, int64_t number)
{
    (void)thread;
    breeding *b = state;
    child made;
    int64_t candidate = (int64_t)b->population.count + 1 + number;
    TRY(strategy_breed(b->strategy, &b->population, b->base, &b->options, 0, candidate, &made));
    b->mark += made.seen;
    return OK;
}

/* What no strategy can do without: the two generators of a child, seeded. */
static status seed_one(void *state, int thread, int64_t number)
{
    (void)thread;
    breeding *b = state;
    breeding_rng r;
    breeding_seed(&r, 0, number);
    b->mark += (uint64_t)r.python.mt.position + r.numpy.mt.state[number % MT_STATE];
    return OK;
}

static status run_size(breeding *b, int64_t count, double seconds, const rate *seeding)
{
    static const double weights[FITNESS_TERMS] = {0, 0, 0.1, 0.9};
    population_start(&b->population, &b->space, weights);
    status s = fill(b, count);
    for (int i = 0; s == OK && i < NAMES; i++) {
        rate bred;
        b->strategy = strategy_find(names[i]);
        s = rate_measure(1, seconds, breed_one, b, &bred);
        if (s != OK) break;
        bench_figure(rate_per_s(&bred), "children/s", "breed.%s.%lld", names[i], (long long)count);
        bench_figure(rate_part(&bred, seeding), "of seeding alone", "breed.%s.%lld.of_ceiling", names[i],
                     (long long)count);
    }
    population_free(&b->population);
    return s;
}

static status run(const void *options)
{
    const breed_options *o = options;
    breeding b = {.options = BREEDING_DEFAULTS};
    rate seeding;
    hyp_space_default(&b.space);
    hyp_defaults(&b.space, false, b.base);
    TRY(rate_measure(1, o->seconds, seed_one, &b, &seeding));
    bench_figure(rate_per_s(&seeding), "seedings/s of a child's two generators", "breed.ceiling");
    status s = OK;
    for (size_t i = 0; s == OK && i < o->sizes.count; i++) s = run_size(&b, o->sizes.values[i], o->seconds, &seeding);
    return s;
}

BENCHMARK(7, breed, "children/s by strategy and size of the population", breed_options, rows, run)
