/* boxes.c. The reference's own numbers are in the fixtures (tests/parity/metrics.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/metrics/boxes.h"

static void corners_and_centres_are_each_others_inverse(void **state)
{
    (void)state;
    const float corners[4] = {10, 20, 30, 60};
    float box[4];
    boxes_to_centre(corners, box);
    assert_memory_equal(box, ((float[4]){20, 40, 20, 40}), sizeof box);
    boxes_to_corners(box, box); /* in place */
    assert_memory_equal(box, corners, sizeof box);
    boxes_to_centre(box, box);
    assert_memory_equal(box, ((float[4]){20, 40, 20, 40}), sizeof box);
}

static void clipping_keeps_what_lies_inside_and_what_is_no_number(void **state)
{
    (void)state;
    float box[4] = {-5, 3, 700, NAN};
    boxes_clip(box, 640, 480);
    assert_true(box[0] == 0 && box[1] == 3 && box[2] == 640 && isnan(box[3]));
    float below[4] = {INFINITY, 481, -INFINITY, -1};
    boxes_clip(below, 640, 480);
    assert_memory_equal(below, ((float[4]){640, 480, 0, 0}), sizeof below);
}

static void boxes_of_a_letterboxed_picture_return_to_its_pixels(void **state)
{
    (void)state;
    /* 640 x 480 in 320 x 320: half the size, 40 pixels of padding above and below. */
    boxes_placing p = boxes_letterbox(320, 320, 640, 480);
    assert_true(p.gain == 0.5 && p.pad_x == 0 && p.pad_y == 40);
    float rows[2][6] = {{10, 50, 20, 60, 0.5f, 1}, {-10, 30, 400, 300, 0.25f, 2}};
    boxes_scale(rows[0], 2, 6, &p, 640, 480);
    assert_memory_equal(rows[0], ((float[6]){20, 20, 40, 40, 0.5f, 1}), sizeof rows[0]);
    assert_memory_equal(rows[1], ((float[6]){0, 0, 640, 480, 0.25f, 2}), sizeof rows[1]);
}

static void overlap_is_shared_area_over_joint_area(void **state)
{
    (void)state;
    const float a[4] = {0, 0, 2, 2}, b[4] = {1, 0, 3, 2}, far[4] = {5, 5, 6, 6}, none[4] = {1, 1, 1, 1};
    assert_true(boxes_iou(a, a) == 1);
    assert_true(boxes_iou(a, b) == 2.0f / 6);
    assert_true(boxes_iou(a, far) == 0);
    assert_true(boxes_iou(a, none) == 0);
    assert_true(isnan(boxes_iou(none, none)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corners_and_centres_are_each_others_inverse),
        cmocka_unit_test(clipping_keeps_what_lies_inside_and_what_is_no_number),
        cmocka_unit_test(boxes_of_a_letterboxed_picture_return_to_its_pixels),
        cmocka_unit_test(overlap_is_shared_area_over_joint_area),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
