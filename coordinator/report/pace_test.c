#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>

#include <cmocka.h>

#include "coordinator/report/pace.h"

static void nothing_is_known_before_the_first_result(void **state)
{
    (void)state;
    pace p = PACE_START;
    assert_true(isnan(pace_seconds_left(&p, 10, 1, 1000)));
    pace_note(&p, 3, 1000); /* of an earlier start */
    assert_true(isnan(pace_seconds_left(&p, 10, 1, 5000)));
}

static void what_remains_takes_as_long_as_what_came(void **state)
{
    (void)state;
    pace p = PACE_START;
    pace_note(&p, 0, 0);
    for (int n = 1; n <= 20; n++) pace_note(&p, n, n * 2000);
    assert_float_equal(pace_seconds_left(&p, 50, 1, 40000), 60, 1e-9);
    assert_float_equal(pace_seconds_left(&p, 50, 1, 41000), 59, 1e-9);
    assert_float_equal(pace_seconds_left(&p, 50, 1, 90000), 58, 1e-9); /* a late result makes it no shorter than that */
    assert_true(isnan(pace_seconds_left(&p, 20, 1, 40000)));
}

static void bursts_are_taken_together(void **state)
{
    (void)state;
    pace p = PACE_START;
    pace_note(&p, 0, 0);
    for (int n = 1; n <= 10; n++) pace_note(&p, n * 8, n * 16000); /* eight every 16 s */
    assert_float_equal(pace_seconds_left(&p, 180, 8, 160000), 200, 1);
}

static void a_long_run_keeps_only_its_end_in_mind(void **state)
{
    (void)state;
    pace p = PACE_START;
    pace_note(&p, 0, 0);
    for (int n = 1; n <= 1000; n++) pace_note(&p, n, n * 10);
    for (int n = 1; n <= 500; n++) pace_note(&p, 1000 + n, 10000 + n * 1000);
    assert_float_equal(pace_seconds_left(&p, 1600, 1000, 510000), 100, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before_the_first_result),
        cmocka_unit_test(what_remains_takes_as_long_as_what_came),
        cmocka_unit_test(bursts_are_taken_together),
        cmocka_unit_test(a_long_run_keeps_only_its_end_in_mind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
