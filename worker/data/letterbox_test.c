/* letterbox.c: sizes and borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/letterbox.h"

static void the_longer_side_becomes_the_size(void **state)
{
    (void)state;
    static const int cases[][5] = {
        /* width, height, size, and what comes out */
        {640, 480, 320, 320, 240}, {480, 640, 320, 240, 320},  {640, 480, 640, 640, 480},
        {100, 50, 640, 640, 320},  {1000, 333, 640, 640, 213}, /* 213.12 */
        {500, 333, 416, 416, 277},                             /* 277.056 */
        {10000, 10, 64, 64, 1},                                /* never 0 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int width, height;
        letterbox_load_size(cases[i][0], cases[i][1], cases[i][2], &width, &height);
        if (width != cases[i][3] || height != cases[i][4])
            fail_msg("%d x %d: %d x %d", cases[i][0], cases[i][1], width, height);
    }
}

static void a_picture_lies_in_the_middle(void **state)
{
    (void)state;
    letterbox l = letterbox_fit(320, 240, 320, 320, (letterbox_options){0});
    assert_true(l.ratio_width == 1 && l.inner_width == 320 && l.inner_height == 240);
    assert_true(l.pad_width == 0 && l.pad_height == 40 && l.left == 0 && l.top == 40);
    assert_true(l.width == 320 && l.height == 320);
    l = letterbox_fit(100, 50, 320, 320, (letterbox_options){0}); /* enlarged */
    assert_true(l.ratio_height == 3.2 && l.inner_width == 320 && l.inner_height == 160 && l.top == 80);
    l = letterbox_fit(100, 50, 320, 320, (letterbox_options){.only_shrink = true});
    assert_true(l.ratio_height == 1 && l.inner_width == 100 && l.left == 110 && l.top == 135);
}

static void of_an_odd_border_the_smaller_part_is_first(void **state)
{
    (void)state;
    letterbox l = letterbox_fit(100, 97, 100, 100, (letterbox_options){0});
    assert_true(l.pad_height == 1.5 && l.top == 1 && l.height == 100);
    l = letterbox_fit(97, 100, 100, 100, (letterbox_options){0});
    assert_true(l.pad_width == 1.5 && l.left == 1 && l.width == 100);
    l = letterbox_fit(100, 99, 100, 100, (letterbox_options){0}); /* half a pixel */
    assert_true(l.pad_height == 0.5 && l.top == 0 && l.height == 100);
}

static void an_automatic_border_goes_to_the_next_64(void **state)
{
    (void)state;
    letterbox l = letterbox_fit(640, 480, 640, 640, (letterbox_options){.automatic = true});
    assert_true(l.width == 640 && l.height == 512 && l.top == 16); /* 160 modulo 64 */
    l = letterbox_fit(640, 512, 640, 640, (letterbox_options){.automatic = true, .fill = true});
    assert_true(l.width == 640 && l.height == 512 && l.inner_height == 512);
}

static void filling_stretches(void **state)
{
    (void)state;
    letterbox l = letterbox_fit(200, 100, 320, 320, (letterbox_options){.fill = true});
    assert_true(l.inner_width == 320 && l.inner_height == 320 && l.left == 0 && l.top == 0);
    assert_true(l.ratio_width == 1.6 && l.ratio_height == 3.2);
}

/* Whatever the sizes: the whole is as large as was asked, and the picture lies within. */
static void every_size_fits(void **state)
{
    (void)state;
    for (int width = 1; width < 700; width += 23)
        for (int height = 1; height < 700; height += 29)
            for (int side = 32; side <= 128; side += 32) {
                letterbox l = letterbox_fit(width, height, side, 96, (letterbox_options){0});
                assert_true(l.width == side && l.height == 96 && l.left >= 0 && l.top >= 0);
                assert_true(l.inner_width >= 1 && l.left + l.inner_width <= l.width);
                assert_true(l.inner_height >= 1 && l.top + l.inner_height <= l.height);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longer_side_becomes_the_size),
        cmocka_unit_test(a_picture_lies_in_the_middle),
        cmocka_unit_test(of_an_odd_border_the_smaller_part_is_first),
        cmocka_unit_test(an_automatic_border_goes_to_the_next_64),
        cmocka_unit_test(filling_stretches),
        cmocka_unit_test(every_size_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
