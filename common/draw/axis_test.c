/* axis.c: scales that hold their data and have readable ticks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "common/draw/axis.h"

static void expect_labels(const axis *a, const char *const *labels, size_t count)
{
    assert_int_equal(a->count, count);
    for (size_t i = 0; i < count; i++) {
        char label[AXIS_LABEL_ROOM];
        axis_label(a, i, label);
        assert_string_equal(label, labels[i]);
    }
}

static void ticks_are_round_numbers(void **state)
{
    (void)state;
    axis a;
    axis_make(&a, (double[]){0.013, 0.249}, 2, 5, false);
    expect_labels(&a, (const char *const[]){"0", "0.1", "0.2"}, 3);
    axis_make(&a, (double[]){0.013, 0.249}, 2, 6, false);
    expect_labels(&a, (const char *const[]){"0", "0.05", "0.1", "0.15", "0.2", "0.25"}, 6);
    axis_make(&a, (double[]){-0.3, 0.1}, 2, 5, false);
    expect_labels(&a, (const char *const[]){"-0.3", "-0.2", "-0.1", "0", "0.1"}, 5); /* and no -0 or 5.55e-17 */
    axis_make(&a, (double[]){1000, 9000}, 2, 5, false);
    expect_labels(&a, (const char *const[]){"2000", "4000", "6000", "8000"}, 4);
}

static void equal_values_lie_in_the_middle(void **state)
{
    (void)state;
    static const double constants[] = {0, 0.2, -3, 1e-5, 1e300};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        double values[] = {constants[i], constants[i], constants[i]};
        axis a;
        axis_make(&a, values, 3, 5, true);
        assert_float_equal(axis_place(&a, constants[i]), 0.5, 1e-9);
        assert_true(a.count >= 2 && a.low < a.high);
    }
}

static void decades_get_a_logarithmic_scale(void **state)
{
    (void)state;
    axis a;
    axis_make(&a, (double[]){1e-5, 0.1}, 2, 5, true);
    assert_true(a.logarithmic);
    expect_labels(&a, (const char *const[]){"1e-05", "0.0001", "0.001", "0.01", "0.1"}, 5);
    assert_float_equal(axis_place(&a, 1e-3), 0.5, 1e-9);
    axis_make(&a, (double[]){1e-5, 0.1}, 2, 5, false);
    assert_false(a.logarithmic);
    axis_make(&a, (double[]){0, 0.1}, 2, 5, true);
    assert_false(a.logarithmic);
    axis_make(&a, (double[]){0.01, 0.02}, 2, 5, true);
    assert_false(a.logarithmic);
}

/* Any data: all of it on the scale, ticks on it too, ascending, at least two and no more than asked for. */
static void a_scale_holds_its_data_and_its_ticks(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 1, 0, 0);
    for (int n = 0; n < 20000; n++) {
        double values[3], size = pow(10, 20 * keyed_random(&r) - 10);
        for (int i = 0; i < 3; i++) values[i] = size * keyed_normal(&r) + (n % 2 ? 0 : 100 * size);
        for (int i = 0; i < 3 && n % 3 == 0; i++) values[i] = exp(keyed_normal(&r) * 5);
        axis a;
        size_t wish = AXIS_TICKS_LEAST + keyed_below(&r, AXIS_TICKS_MOST - AXIS_TICKS_LEAST + 1);
        axis_make(&a, values, 3, wish, n % 3 == 0);
        for (int i = 0; i < 3; i++) assert_true(axis_place(&a, values[i]) > 0 && axis_place(&a, values[i]) < 1);
        if (a.count < 2 || a.count > wish)
            fail_msg("%zu of %zu ticks for %g %g %g", a.count, wish, values[0], values[1], values[2]);
        for (size_t i = 0; i < a.count; i++) {
            assert_true(axis_place(&a, a.ticks[i]) >= 0 && axis_place(&a, a.ticks[i]) <= 1);
            assert_true(i == 0 || a.ticks[i] > a.ticks[i - 1]);
        }
    }
}

static void a_scale_between_ends_keeps_them(void **state)
{
    (void)state;
    axis a;
    axis_between(&a, 0, 1, 6);
    assert_true(axis_place(&a, 0) == 0 && axis_place(&a, 1) == 1);
    expect_labels(&a, (const char *const[]){"0", "0.2", "0.4", "0.6", "0.8", "1"}, 6);
    axis_between(&a, -0.5, 2.5, 5);
    expect_labels(&a, (const char *const[]){"0", "1", "2"}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round_numbers),         cmocka_unit_test(equal_values_lie_in_the_middle),
        cmocka_unit_test(decades_get_a_logarithmic_scale), cmocka_unit_test(a_scale_holds_its_data_and_its_ticks),
        cmocka_unit_test(a_scale_between_ends_keeps_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
