/* hsv.c: gains and tables of the colour jitter. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/hsv.h"

static void gains_of_1_change_nothing(void **state)
{
    (void)state;
    augment_sample s = {0};
    hsv_tables((const double[]){1, 1, 1}, &s);
    assert_true(s.colour);
    for (int x = 0; x < 256; x++) {
        assert_int_equal(s.hue[x], x % 180);
        assert_int_equal(s.saturation[x], x);
        assert_int_equal(s.value[x], x);
    }
}

static void hue_turns_and_the_others_saturate(void **state)
{
    (void)state;
    augment_sample s = {0};
    hsv_tables((const double[]){1.5, 1.7, 0.5}, &s);
    assert_true(s.hue[100] == 150 && s.hue[121] == 1 /* 181.5 */ && s.hue[179] == 88);
    assert_true(s.saturation[100] == 170 && s.saturation[151] == 255 && s.saturation[3] == 5);
    assert_true(s.value[255] == 127 && s.value[1] == 0);
    hsv_tables((const double[]){0, 0, 0}, &s);
    assert_true(s.hue[179] == 0 && s.saturation[255] == 0 && s.value[255] == 0);
}

static void gains_stay_in_their_ranges(void **state)
{
    (void)state;
    double least = 2, most = 0;
    for (int i = 0; i < 1000; i++) {
        double gains[3];
        draw d = draw_keyed(3, DRAW_SAMPLE, 0, i);
        hsv_draw(&d, 0.015, 0.7, 0, gains);
        assert_true(fabs(gains[0] - 1) <= 0.015 && fabs(gains[1] - 1) <= 0.7 && gains[2] == 1);
        least = fmin(least, gains[1]);
        most = fmax(most, gains[1]);
    }
    assert_true(least < 0.35 && most > 1.65);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gains_of_1_change_nothing),
        cmocka_unit_test(hue_turns_and_the_others_saturate),
        cmocka_unit_test(gains_stay_in_their_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
