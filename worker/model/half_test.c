/* half.c: every number of 16 bits there and back, and rounding to the nearest, ties to even. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/model/half.h"

/* The value that the bits stand for, by their definition. */
static double value_of(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
    double size = exponent == 31 ? fraction ? NAN : INFINITY
                  : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                 : ldexp(fraction, -24);
    return bits >> 15 ? -size : size;
}

static void every_half_comes_back(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 65536; bits++) {
        float value = half_to_float((uint16_t)bits);
        double want = value_of(bits);
        if (isnan(want)) {
            assert_true(isnan(value) && isnan(half_to_float(half_from_float(value))));
            continue;
        }
        if ((double)value != want || !signbit(value) != !signbit(want))
            fail_msg("%04x is %g, not %g", bits, (double)value, want);
        assert_int_equal(half_from_float(value), bits);
    }
}

static void others_are_rounded_to_the_nearest(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 0x7bff; bits++) { /* between each two neighbours */
        float low = half_to_float((uint16_t)bits), high = half_to_float((uint16_t)(bits + 1)),
              middle = (low + high) / 2;
        assert_int_equal(half_from_float(nextafterf(middle, low)), bits);
        assert_int_equal(half_from_float(nextafterf(middle, high)), bits + 1);
        assert_int_equal(half_from_float(middle), bits % 2 ? bits + 1 : bits);
        assert_int_equal(half_from_float(-middle), 0x8000 | (bits % 2 ? bits + 1 : bits));
    }
}

static void what_is_too_large_is_infinite(void **state)
{
    (void)state;
    assert_int_equal(half_from_float(65504), 0x7bff);
    assert_int_equal(half_from_float(65519.996f), 0x7bff);
    assert_int_equal(half_from_float(65520), 0x7c00);
    assert_int_equal(half_from_float(-1e30f), 0xfc00);
    assert_int_equal(half_from_float(INFINITY), 0x7c00);
    assert_int_equal(half_from_float(1e-30f), 0);
}

static void bfloat16_is_the_upper_half_of_a_float(void **state)
{
    (void)state;
    assert_true(bfloat16_to_float(0x3f80) == 1 && bfloat16_to_float(0xc040) == -3 && isinf(bfloat16_to_float(0x7f80)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(others_are_rounded_to_the_nearest),
        cmocka_unit_test(what_is_too_large_is_infinite),
        cmocka_unit_test(bfloat16_is_the_upper_half_of_a_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
