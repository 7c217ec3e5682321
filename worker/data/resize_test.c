/* resize.c: what a resize has to be whatever the numbers; to the last bit it is compared with recorded ones in tests/parity. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/resize.h"
#include "worker/data/test_files.h"

static const resize_kind kinds[] = {RESIZE_LINEAR, RESIZE_AREA};

static image make(int width, int height)
{
    image i = {0};
    assert_int_equal(image_shape(&i, width, height), OK);
    return i;
}

static int red(const image *i, int x, int y)
{
    return i->pixels[image_bytes(i->width, y) + 3 * (size_t)x];
}

static image grey_row(const uint8_t *values, int width, int height)
{
    image i = make(width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) memset(i.pixels + image_bytes(width, y) + 3 * (size_t)x, values[x], 3);
    return i;
}

static void one_colour_stays_one_colour(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1},   {2, 2},    {7, 31},  {40, 30}, {41, 30},
                                   {80, 60}, {133, 90}, {3, 200}, {39, 29}};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        image from = make(40, 30), to = {0};
        for (size_t k = 0; k < image_bytes(40, 30); k++)
            from.pixels[k] = (uint8_t)(k % 3 == 0 ? 255 : k % 3 == 1 ? 7 : 128);
        const int *size = sizes[i / 2];
        assert_int_equal(image_resize(&from, kinds[i % 2], size[0], size[1], &to), OK);
        assert_true(to.width == size[0] && to.height == size[1]);
        for (size_t k = 0; k < image_bytes(size[0], size[1]); k++)
            assert_int_equal(to.pixels[k], k % 3 == 0 ? 255 : k % 3 == 1 ? 7 : 128);
        image_free(&from);
        image_free(&to);
    }
}

static void the_same_size_is_a_copy(void **state)
{
    (void)state;
    image from = make(13, 11), to = {0};
    test_pixels(13, 11, 5, from.pixels);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(image_resize(&from, kinds[k], 13, 11, &to), OK);
        assert_memory_equal(from.pixels, to.pixels, image_bytes(13, 11));
    }
    image_free(&from);
    image_free(&to);
}

static void linear_takes_the_two_nearest_by_distance(void **state)
{
    (void)state;
    static const uint8_t two[] = {0, 100};
    static const int want[] = {0, 25, 75, 100};
    image from = grey_row(two, 2, 2), to = {0};
    assert_int_equal(image_resize(&from, RESIZE_LINEAR, 4, 4, &to), OK);
    for (int x = 0; x < 4; x++) assert_int_equal(red(&to, x, 2), want[x]);
    image_free(&from);
    image_free(&to);
}

/* Against the formula in double precision, at sizes where nothing divides. */
static void linear_is_near_the_exact_value(void **state)
{
    (void)state;
    image from = make(37, 23), to = {0};
    for (size_t k = 0; k < image_bytes(37, 23); k++) from.pixels[k] = (uint8_t)(k * k * 31 % 251);
    assert_int_equal(image_resize(&from, RESIZE_LINEAR, 50, 17, &to), OK);
    for (int y = 0; y < 17; y++)
        for (int x = 0; x < 50; x++) {
            double u = fmin(fmax((x + 0.5) * 37 / 50 - 0.5, 0), 36), v = fmin(fmax((y + 0.5) * 23 / 17 - 0.5, 0), 22);
            int x0 = (int)u, y0 = (int)v, x1 = x0 < 36 ? x0 + 1 : x0, y1 = y0 < 22 ? y0 + 1 : y0;
            double top = red(&from, x0, y0) * (1 - u + x0) + red(&from, x1, y0) * (u - x0);
            double low = red(&from, x0, y1) * (1 - u + x0) + red(&from, x1, y1) * (u - x0);
            double want = top * (1 - v + y0) + low * (v - y0);
            if (fabs(red(&to, x, y) - want) > 1) fail_msg("(%d, %d): %d, expected %g", x, y, red(&to, x, y), want);
        }
    image_free(&from);
    image_free(&to);
}

static void area_is_the_mean_of_what_a_pixel_covers(void **state)
{
    (void)state;
    static const uint8_t six[] = {0, 30, 60, 100, 110, 120};
    image from = grey_row(six, 6, 6), to = {0};
    assert_int_equal(image_resize(&from, RESIZE_AREA, 2, 2, &to), OK); /* by 3 */
    assert_true(red(&to, 0, 0) == 30 && red(&to, 1, 1) == 110);
    assert_int_equal(image_resize(&from, RESIZE_AREA, 3, 3, &to), OK); /* by 2 */
    assert_true(red(&to, 0, 0) == 15 && red(&to, 1, 0) == 80 && red(&to, 2, 0) == 115);
    assert_int_equal(image_resize(&from, RESIZE_AREA, 4, 4, &to), OK); /* by 1.5 */
    assert_true(red(&to, 0, 0) == 10 && red(&to, 1, 0) == 50 && red(&to, 2, 0) == 103 && red(&to, 3, 0) == 117);
    image_free(&from);
    image_free(&to);
}

/* By whole factors the mean is exact before it is rounded. */
static void area_by_whole_factors_is_the_rounded_mean(void **state)
{
    (void)state;
    static const int cases[][3] = {{5, 5, 13}, {3, 4, 11}, {7, 1, 9}, {1, 6, 40}, {2, 3, 1}, {40, 30, 2}, {1, 300, 2}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        int fx = cases[n][0], fy = cases[n][1], width = cases[n][2], height = 3;
        image from = make(fx * width, fy * height), to = {0};
        for (size_t k = 0; k < image_bytes(from.width, from.height); k++) from.pixels[k] = (uint8_t)(k * k * 31 % 251);
        assert_int_equal(image_resize(&from, RESIZE_AREA, width, height, &to), OK);
        for (int i = 0; i < 3 * width * height; i++) {
            int x = i / 3 % width, y = i / 3 / width, sum = 0;
            for (int k = 0; k < fx * fy; k++)
                sum += from.pixels[image_bytes(from.width, y * fy + k / fx) + (size_t)(3 * (x * fx + k % fx) + i % 3)];
            if (fabs(to.pixels[i] - (double)sum / (fx * fy)) > 0.5001)
                fail_msg("by %d x %d, value %d: %d, expected %g", fx, fy, i, to.pixels[i], (double)sum / (fx * fy));
        }
        image_free(&from);
        image_free(&to);
    }
}

/* As OpenCV does: enlarging by area is linear, halving is area. */
static void the_kind_gives_way_where_opencv_has_it_so(void **state)
{
    (void)state;
    image from = make(12, 10), a = {0}, b = {0};
    for (size_t k = 0; k < image_bytes(12, 10); k++) from.pixels[k] = (uint8_t)(k * 77 % 256);
    static const int sizes[][2] = {{6, 5}, {24, 20}, {12, 20}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(image_resize(&from, RESIZE_LINEAR, sizes[i][0], sizes[i][1], &a), OK);
        assert_int_equal(image_resize(&from, RESIZE_AREA, sizes[i][0], sizes[i][1], &b), OK);
        assert_memory_equal(a.pixels, b.pixels, image_bytes(sizes[i][0], sizes[i][1]));
    }
    image_free(&from);
    image_free(&a);
    image_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_colour_stays_one_colour),
        cmocka_unit_test(the_same_size_is_a_copy),
        cmocka_unit_test(linear_takes_the_two_nearest_by_distance),
        cmocka_unit_test(linear_is_near_the_exact_value),
        cmocka_unit_test(area_is_the_mean_of_what_a_pixel_covers),
        cmocka_unit_test(area_by_whole_factors_is_the_rounded_mean),
        cmocka_unit_test(the_kind_gives_way_where_opencv_has_it_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
