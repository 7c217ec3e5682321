/* breeding.c and the strategies. The reference's numbers themselves are in the fixtures (tests/parity/evolve.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/decimal.h"
#include "coordinator/evolve/breeding.h"

static const char *const every_name[] = {"mendel", "yolov5", "yolov5-as-run", "random"};
enum { NAMES = sizeof every_name / sizeof *every_name };

typedef struct world {
    hyp_space space;
    double base[HYP_MAX];
    population p;
    breeding_options options;
} world;

static void world_start(world *w)
{
    hyp_space_default(&w->space);
    hyp_defaults(&w->space, false, w->base);
    population_start(&w->p, &w->space, fitness_weights_default);
    w->options = BREEDING_DEFAULTS;
}

static void world_add(world *w, int64_t candidate, double map, const double *hyps)
{
    member m = {.candidate = candidate, .results = {0.5, 0.5, map, map / 2, 0.1, 0.1, 0.1}};
    memcpy(m.hyps, hyps, w->space.count * sizeof *hyps);
    assert_int_equal(population_add(&w->p, &m), OK);
}

static child breed(const world *w, const char *name, uint64_t run_seed, int64_t number)
{
    child c;
    assert_int_equal(strategy_breed(strategy_find(name), &w->p, w->base, &w->options, run_seed, number, &c), OK);
    return c;
}

/* A search space that is not YOLOv5's: a sign, a single point, a range far from 0, no rounding. */
static void custom_space(world *w)
{
    world_start(w);
    hyp_space *s = &w->space;
    *s = (hyp_space){.count = 4, .digits = -1};
    static const double numbers[][4] = {{1, -1, 1, 0}, {1, 3, 3, 3}, {0.5, 1000, 2000, 1999.5}, {0, 0, 1, 0.25}};
    for (size_t i = 0; i < s->count; i++) {
        hyp_row *row = &s->rows[i];
        *row = (hyp_row){.gain = numbers[i][0], .low = numbers[i][1], .high = numbers[i][2]};
        row->valid_low = row->low;
        row->valid_high = row->high;
        snprintf(row->key, sizeof row->key, "gene%zu", i);
        w->base[i] = numbers[i][3];
    }
}

static void check_limits(const world *w, const char *name, const child *c)
{
    for (size_t k = 0; k < w->space.count; k++) {
        const hyp_row *row = &w->space.rows[k];
        if (!(c->hyps[k] >= row->low && c->hyps[k] <= row->high)) /* NaN fails too */
            fail_msg("%s: %s = %g, limits %g and %g", name, row->key, c->hyps[k], row->low, row->high);
    }
}

static void a_child_stays_inside_the_limits(void **state)
{
    (void)state;
    for (int n = 0; n < NAMES; n++)
        for (int custom = 0; custom < 2; custom++) {
            world w;
            if (custom) custom_space(&w);
            else world_start(&w);
            double edge[HYP_MAX];
            for (size_t k = 0; k < w.space.count; k++) edge[k] = w.space.rows[k].high;
            world_add(&w, 1, 0.5, w.base);
            world_add(&w, 2, 0.6, edge);
            for (size_t k = 0; k < w.space.count; k++) edge[k] = w.space.rows[k].low;
            world_add(&w, 3, 0.7, edge);
            for (int64_t number = 4; number < 10004; number++) {
                child c = breed(&w, every_name[n], 7, number);
                check_limits(&w, every_name[n], &c);
            }
            population_free(&w.p);
        }
}

static void assert_same_child(const world *w, const child *a, const child *b)
{
    assert_memory_equal(a->hyps, b->hyps, w->space.count * sizeof *a->hyps);
    assert_memory_equal(a->factors, b->factors, w->space.count * sizeof *a->factors);
    assert_int_equal(a->parent, b->parent);
    assert_int_equal(a->parent_count, b->parent_count);
    assert_memory_equal(a->parents, b->parents, a->parent_count * sizeof *a->parents);
    assert_memory_equal(a->weights, b->weights, a->parent_count * sizeof *a->weights);
    assert_int_equal(a->seen, b->seen);
    assert_int_equal(a->rounds, b->rounds);
}

static void the_same_seed_and_number_give_the_same_child(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    world_add(&w, 1, 0.5, w.base);
    w.base[HYP_lr0] = 0.02;
    world_add(&w, 2, 0.4, w.base);
    for (int n = 0; n < NAMES; n++) {
        child a = breed(&w, every_name[n], 1, 3), b = breed(&w, every_name[n], 1, 3);
        assert_same_child(&w, &a, &b);
        child other_number = breed(&w, every_name[n], 1, 4), other_seed = breed(&w, every_name[n], 77, 3);
        assert_memory_not_equal(a.hyps, other_number.hyps, sizeof a.hyps);
        assert_memory_not_equal(a.hyps, other_seed.hyps, sizeof a.hyps);
    }
    population_free(&w.p);
}

static void candidate_1_is_the_base_clipped_and_rounded(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    w.base[HYP_momentum] = 0.999;   /* above .98 */
    w.base[HYP_lr0] = 0.0123456789; /* 5 decimals stay */
    for (int n = 0; n < NAMES; n++) {
        child c = breed(&w, every_name[n], 1, 1);
        assert_true(c.hyps[HYP_momentum] == 0.98 && c.hyps[HYP_lr0] == 0.01235 && c.hyps[HYP_cls] == 0.5);
        assert_int_equal(c.parent, 0);
        assert_int_equal(c.parent_count, 0);
        assert_int_equal(c.seen, 0);
        assert_int_equal(c.rounds, 0);
    }
}

static void without_a_result_later_candidates_mutate_the_base(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    for (int n = 0; n < NAMES; n++) {
        child c = breed(&w, every_name[n], 1, 2);
        assert_int_equal(c.parent, 0);
        assert_int_equal(c.seen, 0);
        child first = breed(&w, every_name[n], 1, 1);
        assert_memory_not_equal(c.hyps, first.hyps, sizeof c.hyps);
        assert_true(c.hyps[HYP_fliplr] == first.hyps[HYP_fliplr]); /* gain 0 */
        if (strcmp(every_name[n], "random"))
            for (size_t k = 0; k < w.space.count; k++) {
                double moved = decimal_round(fmin(first.hyps[k] * c.factors[k], w.space.rows[k].high), 5);
                if (first.hyps[k] > 0.2 * w.space.rows[k].high) assert_true(c.hyps[k] == moved);
            }
    }
}

static void with_imported_rows_candidate_1_is_bred_from_them(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    double other[HYP_MAX];
    hyp_defaults(&w.space, true, other);
    world_add(&w, -1, 0.5, other);
    for (int n = 0; n < 3; n++) {
        child c = breed(&w, every_name[n], 1, 1);
        assert_int_equal(c.parent, -1);
        assert_int_equal(c.seen, 1);
        assert_true(c.hyps[HYP_cls] < 0.4); /* .211 mutated, not .5 */
    }
    population_free(&w.p);
}

static void the_two_seeds_are_the_halves_of_splitmix64(void **state)
{
    (void)state;
    /* First output of SplitMix64 started at 0: e220a8397b1dcdaf (the generator's published test value). */
    breeding_rng got, want;
    breeding_seed(&got, (uint64_t)-5, 5);
    python_seed(&want.python, 0xe220a839u);
    numpy_seed(&want.numpy, 0x7b1dcdafu);
    assert_memory_equal(&got.python, &want.python, sizeof got.python);
    assert_memory_equal(&got.numpy.mt, &want.numpy.mt, sizeof got.numpy.mt);
}

/* Values of three digits, none of them near 0 in its range. */
static void mendel_differs_from_yolov5_only_by_its_repairs(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    for (size_t k = 0; k < w.space.count; k++) /* nothing near 0 */
        if (w.base[k] < 0.2 * w.space.rows[k].high) w.base[k] = 0.25 * w.space.rows[k].high;
    w.base[HYP_degrees] = 11.2; /* 11.25 would have four digits, which the rows of yolov5 do not keep */
    world_add(&w, 1, 0.5, w.base);
    w.base[HYP_cls] = 0.75;
    world_add(&w, 2, 0.25, w.base);
    for (int64_t number = 3; number < 300; number++) {
        child a = breed(&w, "mendel", 9, number), b = breed(&w, "yolov5", 9, number);
        assert_same_child(&w, &a, &b);
    }
    population_free(&w.p);
}

static void mendel_lets_genes_leave_0(void **state)
{
    (void)state;
    static const int zeros[] = {HYP_degrees, HYP_shear, HYP_flipud, HYP_mixup};
    world w;
    world_start(&w);
    world_add(&w, 1, 0.5, w.base);
    for (size_t z = 0; z < sizeof zeros / sizeof *zeros; z++) {
        const hyp_row *row = &w.space.rows[zeros[z]];
        int left = 0;
        double sum = 0;
        for (int64_t number = 2; number < 1002; number++) {
            double got = breed(&w, "mendel", 3, number).hyps[zeros[z]];
            left += got > 0;
            sum += got;
            assert_true(breed(&w, "yolov5", 3, number).hyps[zeros[z]] == 0); /* else this test shows nothing */
        }
        /* .9 are mutated, half of them upwards; v - 1 has a mean of .08 when it is positive, times .2 of the range */
        assert_in_range(left, 350, 550);
        double mean = sum / left / (row->high - row->low);
        if (!(mean > 0.008 && mean < 0.03)) fail_msg("%s: mean %g of the range", row->key, mean);
    }
    assert_true(breed(&w, "mendel", 3, 2).hyps[HYP_fl_gamma] == 0); /* gain 0: stays */
    population_free(&w.p);
}

static void mendel_leaves_0_towards_both_signs_where_the_range_has_them(void **state)
{
    (void)state;
    world w;
    custom_space(&w);
    world_add(&w, 1, 0.5, w.base);
    int below = 0, above = 0;
    for (int64_t number = 2; number < 202; number++) {
        double got = breed(&w, "mendel", 3, number).hyps[0];
        below += got < 0;
        above += got > 0;
    }
    assert_true(below > 50 && above > 50);
    population_free(&w.p);
}

static void mendel_stays_valid_where_evolution_has_no_limits(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    hyp_space_2020_07_20(&w.space);
    hyp_defaults(&w.space, false, w.base);
    world_add(&w, 1, 0.5, w.base);
    int left = 0, shear = hyp_find(&w.space, "shear");
    for (int64_t number = 2; number < 1002; number++) {
        child c = breed(&w, "mendel", 3, number);
        assert_int_equal(hyp_check(&w.space, c.hyps), OK);
        left += c.hyps[shear] > 0;
    }
    assert_true(left > 350);
    population_free(&w.p);
}

static void mendel_never_breeds_the_parent_again(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    w.space.count = 1; /* lr0 at its upper limit: half of all factors would be clipped back to it */
    w.base[0] = 0.1;
    world_add(&w, 1, 0.5, w.base);
    int same = 0;
    for (int64_t number = 2; number < 302; number++) {
        assert_true(breed(&w, "mendel", 3, number).hyps[0] < 0.1);
        same += breed(&w, "yolov5", 3, number).hyps[0] == 0.1;
    }
    assert_true(same > 100);
    population_free(&w.p);
}

/* How often each of candidates 1 to `candidates` became the parent in 1000 children. */
static void count_parents(const world *w, const char *name, int candidates, int *times)
{
    for (int i = 0; i <= candidates; i++) times[i] = 0;
    for (int64_t number = 100; number < 1100; number++) {
        child c = breed(w, name, 5, number);
        assert_in_range(c.parent, 1, candidates);
        times[c.parent]++;
    }
}

static void equally_good_parents_are_drawn_alike_by_mendel_and_the_last_by_yolov5(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    for (int i = 1; i <= 5; i++) {
        w.base[HYP_lr0] = 0.01 * i;
        world_add(&w, i, 0.5, w.base);
    }
    int times[6];
    count_parents(&w, "mendel", 5, times);
    for (int i = 1; i <= 5; i++) assert_in_range(times[i], 150, 250);
    count_parents(&w, "yolov5", 5, times);
    assert_int_equal(times[5], 1000);
    w.options.parent = PARENT_WEIGHTED;
    child mean = breed(&w, "mendel", 5, 6);
    assert_true(mean.parent == PARENT_MEAN);
    assert_float_equal(mean.hyps[HYP_lr0] / mean.factors[HYP_lr0], 0.03, 1e-3);
    assert_true(isnan(breed(&w, "yolov5", 5, 6).hyps[HYP_lr0]));
    population_free(&w.p);
}

static void a_parent_is_drawn_by_its_distance_to_the_lowest_of_five(void **state)
{
    (void)state;
    static const double maps[] = {0.1, 0.3, 0.2, 0.5, 0.4, 0.1, 0.6}; /* the best five: .6 .5 .4 .3 .2 */
    world w;
    world_start(&w);
    for (int i = 0; i < 7; i++) world_add(&w, i + 1, maps[i], w.base);
    int times[8];
    count_parents(&w, "mendel", 7, times);
    assert_int_equal(times[1] + times[6] + times[3], 0); /* out of the five, or the lowest of them */
    assert_in_range(times[7], 350, 450);
    assert_in_range(times[4], 250, 350);
    assert_in_range(times[5], 150, 250);
    assert_in_range(times[2], 60, 140);
    child c = breed(&w, "mendel", 5, 8);
    static const int64_t best_first[] = {7, 4, 5, 2, 3};
    assert_memory_equal(c.parents, best_first, sizeof best_first);
    assert_int_equal(c.parent_count, 5);
    assert_true(c.weights[4] == 0 && c.weights[0] > c.weights[1]);
    population_free(&w.p);
}

static void yolov5_as_run_always_takes_the_best_row(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    /* The best row's share of the weights is smallest when all but the last are nearly as good. */
    static const double maps[] = {0.2, 0.6, 0.599, 0.598, 0.597};
    for (int i = 0; i < 5; i++) {
        w.base[HYP_lr0] = 0.01 * (i + 1);
        world_add(&w, i + 1, maps[i], w.base);
    }
    int times[6];
    count_parents(&w, "yolov5-as-run", 5, times);
    assert_int_equal(times[2], 1000);
    count_parents(&w, "yolov5", 5, times);
    assert_true(times[2] < 400);
    /* Only the choice is the same every time: mutations differ. */
    child a = breed(&w, "yolov5-as-run", 5, 6), b = breed(&w, "yolov5-as-run", 5, 7);
    assert_memory_not_equal(a.hyps, b.hyps, sizeof a.hyps);
    population_free(&w.p);
}

static void yolov5_breeds_from_what_evolve_txt_says(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    w.base[HYP_cls] = 0.51234;
    world_add(&w, 1, 0.5, w.base);
    child y = breed(&w, "yolov5", 1, 2), m = breed(&w, "mendel", 1, 2);
    assert_true(y.hyps[HYP_cls] == decimal_round(0.512 * y.factors[HYP_cls], 5));
    assert_true(m.hyps[HYP_cls] == decimal_round(0.51234 * m.factors[HYP_cls], 5));
    population_free(&w.p);
}

static void a_space_in_which_nothing_can_change_comes_to_an_end(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    for (size_t k = 0; k < w.space.count; k++) w.space.rows[k].gain = 0;
    world_add(&w, 1, 0.5, w.base);
    for (int n = 0; n < NAMES; n++) {
        child c = breed(&w, every_name[n], 1, 2);
        assert_memory_equal(c.hyps, w.base, w.space.count * sizeof *w.base);
        assert_true(c.rounds <= BREEDING_ROUNDS_MOST);
    }
    population_free(&w.p);
}

static void random_covers_the_range_and_decades_alike(void **state)
{
    (void)state;
    world w;
    world_start(&w);
    int low_decade = 0, low_half = 0;
    for (int64_t number = 2; number < 1002; number++) {
        child c = breed(&w, "random", 1, number);
        low_decade += c.hyps[HYP_lr0] < 1e-4; /* one of the four decades from 1e-5 to .1 */
        low_half += c.hyps[HYP_momentum] < (0.6 + 0.98) / 2;
        assert_true(c.hyps[HYP_iou_t] == w.base[HYP_iou_t]); /* gain 0 */
        assert_int_equal(c.parent_count, 0);
    }
    assert_in_range(low_decade, 200, 300);
    assert_in_range(low_half, 440, 560);
}

static void every_name_finds_its_strategy(void **state)
{
    (void)state;
    text names = {0};
    for (int n = 0; n < NAMES; n++) {
        assert_non_null(strategy_find(every_name[n]));
        assert_string_equal(strategy_name(strategy_find(every_name[n])), every_name[n]);
        text_add(&names, n ? "|%s" : "%s", every_name[n]);
    }
    assert_string_equal(text_string(&names), strategy_names);
    assert_null(strategy_find("yolo"));
    text_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_stays_inside_the_limits),
        cmocka_unit_test(the_same_seed_and_number_give_the_same_child),
        cmocka_unit_test(candidate_1_is_the_base_clipped_and_rounded),
        cmocka_unit_test(without_a_result_later_candidates_mutate_the_base),
        cmocka_unit_test(with_imported_rows_candidate_1_is_bred_from_them),
        cmocka_unit_test(the_two_seeds_are_the_halves_of_splitmix64),
        cmocka_unit_test(mendel_differs_from_yolov5_only_by_its_repairs),
        cmocka_unit_test(mendel_lets_genes_leave_0),
        cmocka_unit_test(mendel_leaves_0_towards_both_signs_where_the_range_has_them),
        cmocka_unit_test(mendel_stays_valid_where_evolution_has_no_limits),
        cmocka_unit_test(mendel_never_breeds_the_parent_again),
        cmocka_unit_test(equally_good_parents_are_drawn_alike_by_mendel_and_the_last_by_yolov5),
        cmocka_unit_test(a_parent_is_drawn_by_its_distance_to_the_lowest_of_five),
        cmocka_unit_test(yolov5_as_run_always_takes_the_best_row),
        cmocka_unit_test(yolov5_breeds_from_what_evolve_txt_says),
        cmocka_unit_test(a_space_in_which_nothing_can_change_comes_to_an_end),
        cmocka_unit_test(random_covers_the_range_and_decades_alike),
        cmocka_unit_test(every_name_finds_its_strategy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
