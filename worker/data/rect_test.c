/* rect.c: order and shapes of rectangular batches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/rect.h"

static void pictures_go_by_shape_and_stay_in_order_where_equal(void **state)
{
    (void)state;
    dataset_image images[] = {{.width = 100, .height = 100}, {.width = 200, .height = 100},
                              {.width = 50, .height = 100},  {.width = 40, .height = 40},
                              {.width = 400, .height = 200}, {.width = 300, .height = 100}};
    dataset d = {.images = images, .count = 6};
    static const int want[] = {5, 1, 4, 0, 3, 2};
    int order[6];
    rect_shape shapes[6];
    assert_int_equal(rect_plan(&d, 1, 320, 32, 0, order, shapes), OK);
    assert_memory_equal(order, want, sizeof want);
    assert_true(shapes[0].width == 320 && shapes[0].height == 128); /* 106.7 */
    assert_true(shapes[1].width == 320 && shapes[1].height == 160);
    assert_true(shapes[3].width == 320 && shapes[3].height == 320);
    assert_true(shapes[5].width == 160 && shapes[5].height == 320);
}

static void a_batch_is_as_large_as_its_pictures_need(void **state)
{
    (void)state;
    dataset_image images[] = {{.width = 200, .height = 100},
                              {.width = 200, .height = 150},
                              {.width = 100, .height = 150},
                              {.width = 100, .height = 200},
                              {.width = 90, .height = 100}};
    dataset d = {.images = images, .count = 5};
    int order[5];
    rect_shape shapes[3];
    assert_int_equal(rect_batches(5, 2), 3);
    assert_int_equal(rect_plan(&d, 2, 320, 32, 0, order, shapes), OK);
    assert_true(order[0] == 0 && order[1] == 1 && order[2] == 4 && order[3] == 2 && order[4] == 3);
    assert_true(shapes[0].width == 320 && shapes[0].height == 256); /* .75: 240 */
    assert_true(shapes[1].width == 288 && shapes[1].height == 320); /* at least 1.11: 288 */
    assert_true(shapes[2].width == 160 && shapes[2].height == 320); /* the last one alone */
    assert_int_equal(rect_plan(&d, 5, 320, 32, 0, order, shapes), OK);
    assert_true(shapes[0].width == 320 && shapes[0].height == 320); /* lying and upright ones together */
}

static void the_border_is_added_before_rounding_up(void **state)
{
    (void)state;
    dataset_image images[] = {{.width = 200, .height = 100}, {.width = 640, .height = 480}};
    dataset d = {.images = images, .count = 2};
    int order[2];
    rect_shape shapes[2];
    assert_int_equal(rect_plan(&d, 1, 320, 32, 0.5, order, shapes), OK);
    assert_true(shapes[0].width == 352 && shapes[0].height == 192); /* 10.5 and 5.5 strides */
    assert_true(shapes[1].width == 352 && shapes[1].height == 256); /* 8: 7.5 and half a stride */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_go_by_shape_and_stay_in_order_where_equal),
        cmocka_unit_test(a_batch_is_as_large_as_its_pictures_need),
        cmocka_unit_test(the_border_is_added_before_rounding_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
