#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/evolve/spread.h"

static void expect_near(double found, double wanted, double tolerance)
{
    if (!(fabs(found - wanted) <= tolerance)) fail_msg("%.9g was expected, found %.9g", wanted, found);
}

static void mean_and_deviation_are_those_of_a_sample(void **state)
{
    (void)state;
    spread s = spread_of((double[]){2, 4, 4, 4, 5, 5, 7, 9}, 8);
    expect_near(s.mean, 5, 1e-12);
    expect_near(s.deviation, sqrt(32.0 / 7), 1e-12);
    s = spread_of((double[]){0.3}, 1);
    assert_true(s.mean == 0.3 && isnan(s.deviation));
    s = spread_of(NULL, 0);
    assert_true(isnan(s.mean) && isnan(s.deviation));
}

/* Values of printed tables. */
static void t_is_that_of_the_tables(void **state)
{
    (void)state;
    static const double known[][2] = {{1, 12.706}, {2, 4.303},  {3, 3.182},   {4, 2.776},  {5, 2.571},
                                      {8, 2.306},  {10, 2.228}, {11, 2.201},  {15, 2.131}, {20, 2.086},
                                      {30, 2.042}, {60, 2.000}, {120, 1.980}, {1e9, 1.960}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        expect_near(spread_t975(known[i][0]), known[i][1], 0.001 * known[i][1]);
    for (double d = 1; d < 40; d += 0.25) assert_true(spread_t975(d + 0.25) < spread_t975(d));
}

/* Student's own sleep data, as R's t.test(extra ~ group) gives it: t = -1.8608, df = 17.776, -3.3655 to 0.2055. */
static void a_difference_is_welchs(void **state)
{
    (void)state;
    static const double one[] = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
    static const double two[] = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
    spread a = spread_of(one, 10), b = spread_of(two, 10);
    difference d = spread_difference(&a, &b);
    expect_near(d.mean - d.half, -3.3655, 0.005);
    expect_near(d.mean + d.half, 0.2055, 0.005);
    assert_false(d.stands_out);
}

static void what_was_measured_once_says_nothing(void **state)
{
    (void)state;
    spread a = spread_of((double[]){0.5}, 1), b = spread_of((double[]){0.1, 0.1}, 2);
    difference d = spread_difference(&a, &b);
    expect_near(d.mean, 0.4, 1e-12);
    assert_true(isnan(d.half) && !d.stands_out);
}

static void a_clear_difference_stands_out(void **state)
{
    (void)state;
    spread a = spread_of((double[]){0.50, 0.51, 0.52}, 3), b = spread_of((double[]){0.40, 0.41, 0.42}, 3);
    difference d = spread_difference(&a, &b);
    assert_true(d.stands_out && d.half > 0);
    d = spread_difference(&b, &a);
    assert_true(d.stands_out && d.mean < 0);
    spread same = spread_of((double[]){0.3, 0.3, 0.3}, 3);
    d = spread_difference(&same, &same);
    assert_true(d.half == 0 && !d.stands_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_and_deviation_are_those_of_a_sample),
        cmocka_unit_test(t_is_that_of_the_tables),
        cmocka_unit_test(a_difference_is_welchs),
        cmocka_unit_test(what_was_measured_once_says_nothing),
        cmocka_unit_test(a_clear_difference_stands_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
