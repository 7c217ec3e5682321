/* decimal.c: the same bits as printing and reading leave. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/decimal.h"
#include "common/rng.h"

static double read_back(const char *format, double value, int count)
{
    char text[512];
    snprintf(text, sizeof text, format, count, value);
    return strtod(text, NULL);
}

static void assert_same(double found, double expected, double value, int count)
{
    if (memcmp(&found, &expected, sizeof found) && !(isnan(found) && isnan(expected)))
        fail_msg("%.17g with %d digits: %.17g was expected, found %.17g", value, count, expected, found);
}

static void both_agree_with_text(double value)
{
    for (int count = 0; count <= 17; count++) {
        assert_same(decimal_round(value, count), read_back("%.*f", value, count), value, count);
        assert_same(decimal_shorten(value, count), read_back("%.*g", value, count), value, count);
    }
}

static void values_of_all_sizes(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 1, 0, 0);
    for (int i = 0; i < 40000; i++) {
        double value = keyed_normal(&r) * pow(10, 50 * keyed_random(&r) - 25);
        both_agree_with_text(value);
    }
}

/* Halves, what lies next to them, and next to powers of ten. */
static void values_between_two_roundings(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 2, 0, 0);
    for (int i = 0; i < 4000; i++) {
        double whole = floor(2000 * keyed_random(&r)), scale = pow(10, floor(16 * keyed_random(&r)) - 10);
        double half = (whole + 0.5) * scale, power = scale;
        for (int step = 0; step < 3; step++) {
            both_agree_with_text(half);
            both_agree_with_text(-half);
            both_agree_with_text(power);
            half = nextafter(half, step ? -DBL_MAX : DBL_MAX);
            power = nextafter(power, step ? -DBL_MAX : DBL_MAX);
        }
    }
}

static void any_bits(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 3, 0, 0);
    for (int i = 0; i < 5000; i++) {
        uint64_t bits = (uint64_t)(keyed_random(&r) * 4294967296.0) << 32 | (uint64_t)(keyed_random(&r) * 4294967296.0);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) both_agree_with_text(value);
    }
}

static void ends_of_the_range(void **state)
{
    (void)state;
    static const double values[] = {0,    -0.0, 1,   -1,  DBL_MIN, DBL_MAX, DBL_TRUE_MIN,
                                    1e22, 1e23, 0.1, 0.5, 2.5,     1e-5,    2147483647.5};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) both_agree_with_text(values[i]);
    assert_true(isnan(decimal_round(NAN, 3)) && isnan(decimal_shorten(NAN, 3)));
    assert_true(decimal_round(-INFINITY, 3) == -INFINITY && decimal_shorten(INFINITY, 3) == INFINITY);
    assert_true(decimal_round(0.123456789, -1) == 0.123456789);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_all_sizes),
        cmocka_unit_test(values_between_two_roundings),
        cmocka_unit_test(any_bits),
        cmocka_unit_test(ends_of_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
