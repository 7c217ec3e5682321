/* file_rows.c: rows that are kept as members arrive are those that are made at once; looked at as evolve.txt and as those who breed do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "coordinator/evolve/breeding.h"

enum { RUNS = 60, MEMBERS = 40 };

static hyp_space small_space(void)
{
    hyp_space space = {.count = 2, .digits = 5}, full;
    hyp_space_default(&full);
    space.rows[0] = full.rows[HYP_lr0];
    space.rows[1] = full.rows[HYP_weight_decay];
    return space;
}

/* Values so coarse that rows are equal in fitness, in text, in the fourth digit only, or altogether. */
static double coarse(keyed_rng *r, double step)
{
    static const double fourth[] = {0, 0, 4e-4, -4e-4, 6e-4};
    double value = (1 + (int)(keyed_random(r) * 3)) * step;
    return value * (1 + fourth[(int)(keyed_random(r) * 5)]);
}

static member draw(keyed_rng *r, int64_t candidate)
{
    member m = {.candidate = candidate};
    for (int i = 0; i < RESULT_COUNT; i++) m.results[i] = i == 2 || i == 3 ? coarse(r, 0.1) : 0.5;
    if (keyed_random(r) < 0.2) m.results[4] = keyed_random(r) < 0.5 ? -0.0 : 0.0;
    m.hyps[0] = coarse(r, 0.01);
    m.hyps[1] = keyed_random(r) < 0.5 ? 0.0005 : 0.0006;
    return m;
}

static void add(population *p, const member *m)
{
    assert_int_equal(population_add(p, m), OK);
}

/* The same members, seen for the first time. */
static void assert_as_anew(const population *kept)
{
    population anew;
    text there = {0}, here = {0}, best_there = {0}, best_here = {0};
    population_start(&anew, kept->space, kept->weights);
    for (size_t i = 0; i < kept->count; i++) add(&anew, &kept->members[i]);
    assert_int_equal(population_evolve_txt(kept, &here), OK);
    assert_int_equal(population_evolve_txt(&anew, &there), OK);
    assert_string_equal(text_string(&here), text_string(&there));
    assert_int_equal(population_hyp_evolved(kept, &best_here), OK);
    assert_int_equal(population_hyp_evolved(&anew, &best_there), OK);
    assert_string_equal(text_string(&best_here), text_string(&best_there));
    text_free(&here);
    text_free(&there);
    text_free(&best_here);
    text_free(&best_there);
    population_free(&anew);
}

static void assert_same_ranking(const ranking *a, const ranking *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->rows[i]->candidate, b->rows[i]->candidate);
        assert_true(a->weights[i] == b->weights[i]);
        assert_memory_equal(a->rows[i]->hyps, b->rows[i]->hyps, 2 * sizeof(double));
    }
}

/* Who breeds from a few rows, or from what is known of the best, chooses as from all. */
static void assert_same_best(const population *p)
{
    member first[POPULATION_FIRST], *rows;
    size_t first_count, count;
    ranking few, all;
    assert_int_equal(population_first_rows(p, first, &first_count), OK);
    assert_int_equal(population_rows(p, &rows, &count), OK);
    assert_true(first_count <= count);
    breeding_rank(p, first, first_count, &few);
    breeding_rank(p, rows, count, &all);
    assert_same_ranking(&few, &all);
    free(rows);
    breeding_rank_members(p, &few);
    breeding_rank(p, p->members, p->count, &all);
    assert_same_ranking(&few, &all);
}

static void rows_that_are_kept_are_those_that_are_made_at_once(void **state)
{
    (void)state;
    hyp_space space = small_space();
    for (uint64_t run = 0; run < RUNS; run++) {
        keyed_rng r;
        population p;
        keyed_seed(&r, run, 0, 0);
        population_start(&p, &space, fitness_weights_default);
        size_t imported = run % 3 ? (size_t)(keyed_random(&r) * 6) : 0;
        for (size_t i = 0; i < MEMBERS; i++) {
            member m = draw(&r, i < imported ? -1 - (int64_t)i : (int64_t)i);
            add(&p, &m);
            assert_as_anew(&p);
            assert_same_best(&p);
        }
        population_free(&p);
    }
}

static void members_may_be_taken_off_the_end(void **state)
{
    (void)state;
    hyp_space space = small_space();
    keyed_rng r;
    population p;
    keyed_seed(&r, 7, 0, 0);
    population_start(&p, &space, fitness_weights_default);
    for (int i = 1; i <= MEMBERS; i++) {
        member m = draw(&r, i);
        add(&p, &m);
    }
    const size_t counts[] = {MEMBERS, 3, 9, 1, MEMBERS};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        p.count = counts[i];
        assert_as_anew(&p);
        assert_same_best(&p);
    }
    population_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_are_kept_are_those_that_are_made_at_once),
        cmocka_unit_test(members_may_be_taken_off_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
