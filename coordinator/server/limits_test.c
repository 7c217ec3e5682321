#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/server/limits.h"

/* How many of `wishes` are granted, a message each `step_ms`. */
static int granted(limits *l, limit_kind kind, const char *who, int wishes, int64_t *now_ms, double step_ms)
{
    int count = 0;
    double at = (double)*now_ms;
    for (int i = 0; i < wishes; i++, at += step_ms)
        count += limits_take(l, kind, who, strlen(who), 1, (int64_t)at) == LIMIT_FINE;
    *now_ms = (int64_t)at;
    return count;
}

static void a_burst_is_granted_and_then_a_rate(void **state)
{
    (void)state;
    limits *l;
    int64_t now = 1000;
    assert_int_equal(limits_create(&l), OK);
    assert_int_equal(granted(l, LIMIT_HELLOS, "a", 50, &now, 0), 10);
    now += 3000;
    assert_int_equal(granted(l, LIMIT_HELLOS, "a", 50, &now, 0), 3);
    now += 3600 * 1000;
    assert_int_equal(granted(l, LIMIT_HELLOS, "a", 50, &now, 0), 10); /* no more than the burst is saved up */
    now += 10000;
    int flood =
        granted(l, LIMIT_MESSAGES, "a", 100000, &now, 0.01); /* of one second, whose last millisecond is not over */
    assert_in_range(flood, 16000 + 8000 - 10, 16000 + 8000);
    limits_destroy(&l);
    assert_null(l);
}

static void connections_do_not_take_from_each_other(void **state)
{
    (void)state;
    limits *l;
    int64_t now = 1000;
    int untouched = 0;
    assert_int_equal(limits_create(&l), OK);
    granted(l, LIMIT_HELLOS, "the flood", 1000, &now, 0);
    for (int i = 0; i < 100; i++) {
        char who[32];
        snprintf(who, sizeof who, "worker %d", i);
        untouched += granted(l, LIMIT_HELLOS, who, 10, &now, 0) == 10;
    }
    assert_true(untouched >= 95); /* a few may share a bucket */
    limits_destroy(&l);
}

static void a_limit_of_all_is_shared(void **state)
{
    (void)state;
    limits *l;
    int64_t now = 1000;
    assert_int_equal(limits_create(&l), OK);
    assert_int_equal(granted(l, LIMIT_PIECES, "a", 200, &now, 0), 200);
    assert_int_equal(granted(l, LIMIT_PIECES, "b", 200, &now, 0), 56);
    limits_destroy(&l);
}

static void size_costs(void **state)
{
    (void)state;
    limits *l;
    assert_int_equal(limits_create(&l), OK);
    assert_int_equal(limits_take(l, LIMIT_MESSAGES, "a", 1, 16000, 5), LIMIT_FINE);
    assert_int_not_equal(limits_take(l, LIMIT_MESSAGES, "a", 1, 1, 5), LIMIT_FINE);
    assert_int_equal(limits_take(l, LIMIT_MESSAGES, "a", 1, 8000, 1005), LIMIT_FINE);
    assert_int_not_equal(limits_take(l, LIMIT_MESSAGES, "b", 1, 16001, 5), LIMIT_FINE);
    limits_destroy(&l);
}

static void too_much_is_worth_one_word(void **state)
{
    (void)state;
    limits *l;
    assert_int_equal(limits_create(&l), OK);
    for (int i = 0; i < 10; i++) assert_int_equal(limits_take(l, LIMIT_HELLOS, "a", 1, 1, 5), LIMIT_FINE);
    assert_int_equal(limits_take(l, LIMIT_HELLOS, "a", 1, 1, 5), LIMIT_OVER_FIRST);
    for (int i = 0; i < 10; i++) assert_int_equal(limits_take(l, LIMIT_HELLOS, "a", 1, 1, 6), LIMIT_OVER);
    assert_int_equal(limits_take(l, LIMIT_HELLOS, "a", 1, 100, 5 + LIMIT_TELL_MS), LIMIT_OVER_FIRST);
    limits_destroy(&l);
}

static void a_clock_that_goes_back_gives_nothing_away(void **state)
{
    (void)state;
    limits *l;
    int64_t now = 100000;
    assert_int_equal(limits_create(&l), OK);
    granted(l, LIMIT_HELLOS, "a", 10, &now, 0);
    now -= 50000;
    assert_int_equal(granted(l, LIMIT_HELLOS, "a", 10, &now, 0), 0);
    limits_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_granted_and_then_a_rate),
        cmocka_unit_test(connections_do_not_take_from_each_other),
        cmocka_unit_test(a_limit_of_all_is_shared),
        cmocka_unit_test(size_costs),
        cmocka_unit_test(too_much_is_worth_one_word),
        cmocka_unit_test(a_clock_that_goes_back_gives_nothing_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
