#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/evolve/pruning.h"

/* Candidates 2, 3, ... had these values after an epoch. */
static void tell_all(pruning *p, int64_t epoch, const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) assert_int_equal(pruning_tell(p, (int64_t)i + 2, epoch, values[i]), OK);
}

static pruning *make(double warmup, int64_t least)
{
    pruning *p;
    prune_options o = {prune_rule_find("median"), warmup, least};
    assert_int_equal(pruning_create(&o, &p), OK);
    return p;
}

static void who_is_below_the_median_is_stopped(void **state)
{
    (void)state;
    pruning *p = make(0, 1);
    tell_all(p, 4, (double[]){0.3, 0.1, 0.2}, 3);
    text why = {0};
    assert_true(pruning_stops(p, 9, 4, 10, 0.19, &why));
    assert_string_equal(text_string(&why), "fitness 0.19 after epoch 5 of 10 is below the median of 3 others");
    text_free(&why);
    assert_false(pruning_stops(p, 9, 4, 10, 0.2, NULL));
    assert_int_equal(pruning_tell(p, 5, 4, 0.4), OK); /* four: the middle of .2 and .3 */
    assert_true(pruning_stops(p, 9, 4, 10, 0.2499, NULL));
    assert_false(pruning_stops(p, 9, 4, 10, 0.25, NULL));
    pruning_destroy(&p);
    assert_null(p);
}

static void only_the_same_epoch_counts(void **state)
{
    (void)state;
    pruning *p = make(0, 1);
    tell_all(p, 9, (double[]){0.9}, 1);
    tell_all(p, 1, (double[]){0.1}, 1);
    tell_all(p, 5, (double[]){0.5}, 1);
    assert_false(pruning_stops(p, 9, 1, 20, 0.2, NULL));
    assert_true(pruning_stops(p, 9, 5, 20, 0.2, NULL));
    assert_false(pruning_stops(p, 9, 7, 20, 0, NULL));
    pruning_destroy(&p);
}

static void nobody_is_stopped_too_early(void **state)
{
    (void)state;
    pruning *p = make(0.5, 3);
    for (int64_t epoch = 0; epoch < 10; epoch++) tell_all(p, epoch, (double[]){0.5, 0.5, 0.5}, epoch == 8 ? 2 : 3);
    assert_false(pruning_stops(p, 9, 3, 10, 0, NULL)); /* of 10 epochs 4 are done */
    assert_true(pruning_stops(p, 9, 4, 10, 0, NULL));
    assert_false(pruning_stops(p, 1, 4, 10, 0, NULL)); /* what the gain is counted from */
    assert_false(pruning_stops(p, 9, 8, 10, 0, NULL)); /* two others are too few */
    assert_false(pruning_stops(p, 9, 9, 10, 0, NULL)); /* it is through */
    pruning_destroy(&p);
}

static void nobody_is_compared_with_itself(void **state)
{
    (void)state;
    pruning *p = make(0, 1);
    assert_int_equal(pruning_tell(p, 2, 0, 0.5), OK);
    assert_false(pruning_stops(p, 2, 0, 10, 0.1, NULL));
    assert_int_equal(pruning_tell(p, 3, 0, 0.3), OK);
    assert_int_equal(pruning_tell(p, 2, 0, 0.2), OK); /* told again: it replaces */
    assert_true(pruning_stops(p, 2, 0, 10, 0.2, NULL));
    assert_false(pruning_stops(p, 3, 0, 10, 0.3, NULL));
    assert_false(pruning_stops(p, 9, 0, 10, 0.25, NULL)); /* the median of .2 and .3 */
    pruning_destroy(&p);
}

static void the_rule_none_stops_nobody(void **state)
{
    (void)state;
    pruning *p;
    prune_options o = {prune_rule_find("none"), 0, 1};
    assert_false(prune_active(&o));
    assert_int_equal(pruning_create(&o, &p), OK);
    tell_all(p, 0, (double[]){1, 1, 1}, 3);
    assert_false(pruning_stops(p, 9, 0, 10, 0, NULL));
    pruning_destroy(&p);
    assert_null(prune_rule_find("mean"));
    char names[64] = "";
    for (int i = 0; prune_rule_at(i); i++) {
        if (i) strcat(names, "|");
        strcat(names, prune_rule_at(i)->name);
    }
    assert_string_equal(names, PRUNE_NAMES);
}

/* Against a plain count over many. */
static void order_is_kept_among_many(void **state)
{
    (void)state;
    pruning *p = make(0, 1);
    for (int64_t i = 0; i < 1001; i++) assert_int_equal(pruning_tell(p, i + 2, 3, (double)((i * 577) % 1001)), OK);
    assert_true(pruning_stops(p, 5000, 3, 10, 499.5, NULL));
    assert_false(pruning_stops(p, 5000, 3, 10, 500, NULL));
    pruning_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_below_the_median_is_stopped), cmocka_unit_test(only_the_same_epoch_counts),
        cmocka_unit_test(nobody_is_stopped_too_early),        cmocka_unit_test(nobody_is_compared_with_itself),
        cmocka_unit_test(the_rule_none_stops_nobody),         cmocka_unit_test(order_is_kept_among_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
