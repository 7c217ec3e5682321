/* json.c: every double reads back as itself, and what is short is written short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "coordinator/store/inner.h"

static void assert_reads_back(double value)
{
    text json = {0};
    double back[1];
    size_t count;
    store_write_numbers(&json, &value, 1);
    if (!store_read_numbers(json.bytes, back, 1, &count) || count != 1) fail_msg("%s is no number", json.bytes);
    if (memcmp(back, &value, sizeof value)) fail_msg("%.17g is written as %s", value, json.bytes);
    text_free(&json);
}

static void every_number_reads_back_as_itself(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 1, 0, 0);
    for (int i = 0; i < 300000; i++) {
        double u = keyed_random(&r), scale = 1;
        for (int k = (int)(keyed_random(&r) * 60) - 30; k; k += k < 0 ? 1 : -1) scale *= k < 0 ? 0.5 : 2;
        assert_reads_back(u * scale);
        assert_reads_back(-u * scale);
        assert_reads_back((double)(int64_t)(u * 1e7) / 1e5);
    }
}

static void the_ends_of_the_ranges_too(void **state)
{
    (void)state;
    const double ends[] = {0, 0.25, 8, 2.5e-6, 0.1, 1e-5, 1e-300, 4.9e-324, 9e6, 1e15, 1.7976931348623157e308, 0.3, 3};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        double above = ends[i], below = ends[i];
        for (int k = 0; k < 200; k++) {
            uint64_t bits;
            assert_reads_back(above);
            assert_reads_back(-below);
            memcpy(&bits, &above, sizeof bits);
            if (bits < 0x7fefffffffffffff) bits++;
            memcpy(&above, &bits, sizeof bits);
            memcpy(&bits, &below, sizeof bits);
            if (bits) bits--;
            memcpy(&below, &bits, sizeof bits);
        }
    }
}

static void short_numbers_are_short(void **state)
{
    (void)state;
    const double values[] = {0, 1, -0.5, 0.01, 0.00001, 123.456, 0.937, 5000000};
    text json = {0};
    store_write_numbers(&json, values, sizeof values / sizeof *values);
    assert_string_equal(json.bytes, "[0, 1, -0.5, 0.01, 0.00001, 123.456, 0.937, 5000000]");
    text_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_reads_back_as_itself),
        cmocka_unit_test(the_ends_of_the_ranges_too),
        cmocka_unit_test(short_numbers_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
