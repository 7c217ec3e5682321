/* matching.c. A whole validation of the reference is in the fixtures (tests/parity/validation.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/metrics/matching.h"

enum { WIDTH = 200, HEIGHT = 100 };

/* A target of image 0 from corners in pixels. */
static void target(float *row, float class, float x1, float y1, float x2, float y2)
{
    const float made[] =
        {0, class, (x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT};
    memcpy(row, made, sizeof made);
}

/* How many of the overlaps a detection is right at. */
static int right_at(const matching *m, size_t i)
{
    int count = 0;
    for (size_t k = 0; k < MATCHING_OVERLAPS; k++) {
        count += m->correct[i * MATCHING_OVERLAPS + k];
        if (k) assert_true(m->correct[i * MATCHING_OVERLAPS + k] <= m->correct[i * MATCHING_OVERLAPS + k - 1]);
    }
    return count;
}

static void add(matching *m, float *boxes, size_t count, const float *targets, size_t target_count)
{
    assert_int_equal(matching_add(m, boxes, count, targets, target_count, 0, WIDTH, HEIGHT), OK);
}

static void a_detection_is_right_up_to_its_overlap_with_a_target_of_its_class(void **state)
{
    (void)state;
    matching m = {0};
    float targets[2 * 6], boxes[4][6] = {
                              {10, 10, 50, 50, 0.9f, 1},   /* exact */
                              {110, 10, 150, 38, 0.8f, 0}, /* 40 x 28 of 40 x 40: .7 */
                              {110, 10, 150, 50, 0.7f, 1}, /* exact, but of another class */
                              {10, 60, 50, 90, 0.6f, 1},   /* where nothing is */
                          };
    target(targets, 1, 10, 10, 50, 50);
    target(targets + 6, 0, 110, 10, 150, 50);
    add(&m, boxes[0], 4, targets, 2);
    assert_int_equal(m.count, 4);
    assert_int_equal(m.images, 1);
    assert_int_equal(m.target_count, 2);
    assert_int_equal(right_at(&m, 0), 10);
    assert_true(right_at(&m, 1) == 4 || right_at(&m, 1) == 5); /* .7 itself is a matter of rounding */
    assert_int_equal(right_at(&m, 2), 0);
    assert_int_equal(right_at(&m, 3), 0);
    assert_true(m.score[2] == 0.7f && m.class[2] == 1);
    matching_free(&m);
}

static void a_target_is_found_once_by_the_first_that_fits_it_best(void **state)
{
    (void)state;
    matching m = {0};
    float targets[2 * 6],
        boxes[3][6] = {
            {12, 10, 50, 50, 0.9f, 0}, /* fits the first target best */
            {10, 10, 50, 50, 0.8f, 0}, /* fits it even better, too late; the second is no substitute */
            {20, 10, 60, 50, 0.7f, 0}, /* the second, exactly */
        };
    target(targets, 0, 10, 10, 50, 50);
    target(targets + 6, 0, 20, 10, 60, 50);
    add(&m, boxes[0], 3, targets, 2);
    assert_int_equal(right_at(&m, 0), 9);
    assert_int_equal(right_at(&m, 1), 0);
    assert_int_equal(right_at(&m, 2), 10);
    matching_free(&m);
}

static void a_detection_below_the_least_overlap_takes_no_target(void **state)
{
    (void)state;
    matching m = {0};
    float targets[6], boxes[2][6] = {{10, 10, 50, 26, 0.9f, 0}, {10, 10, 50, 50, 0.8f, 0}};
    target(targets, 0, 10, 10, 50, 50);
    add(&m, boxes[0], 2, targets, 1);
    assert_int_equal(right_at(&m, 0), 0);
    assert_int_equal(right_at(&m, 1), 10);
    matching_free(&m);
}

static void boxes_are_clipped_to_the_picture_first(void **state)
{
    (void)state;
    matching m = {0};
    float targets[6], box[6] = {-100, -100, 50, 50, 0.9f, 0};
    target(targets, 0, 0, 0, 50, 50);
    add(&m, box, 1, targets, 1);
    assert_int_equal(right_at(&m, 0), 10);
    assert_memory_equal(box, ((float[6]){0, 0, 50, 50, 0.9f, 0}), sizeof box);
    matching_free(&m);
}

static void targets_of_other_images_do_not_count(void **state)
{
    (void)state;
    matching m = {0};
    float targets[2 * 6], box[6] = {10, 10, 50, 50, 0.9f, 0};
    target(targets, 0, 10, 10, 50, 50);
    target(targets + 6, 3, 10, 10, 50, 50);
    targets[0] = 1;
    add(&m, box, 1, targets, 2);
    assert_int_equal(right_at(&m, 0), 0);
    assert_int_equal(m.target_count, 1);
    assert_true(m.target_class[0] == 3);
    matching_free(&m);
}

static void pictures_without_detections_or_targets_are_seen_all_the_same(void **state)
{
    (void)state;
    matching m = {0};
    float targets[6], box[6] = {10, 10, 50, 50, 0.9f, 0};
    target(targets, 2, 10, 10, 50, 50);
    add(&m, NULL, 0, NULL, 0);
    add(&m, NULL, 0, targets, 1);
    add(&m, box, 1, NULL, 0);
    assert_int_equal(m.images, 3);
    assert_int_equal(m.target_count, 1);
    assert_int_equal(m.count, 1);
    assert_int_equal(right_at(&m, 0), 0);
    matching_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detection_is_right_up_to_its_overlap_with_a_target_of_its_class),
        cmocka_unit_test(a_target_is_found_once_by_the_first_that_fits_it_best),
        cmocka_unit_test(a_detection_below_the_least_overlap_takes_no_target),
        cmocka_unit_test(boxes_are_clipped_to_the_picture_first),
        cmocka_unit_test(targets_of_other_images_do_not_count),
        cmocka_unit_test(pictures_without_detections_or_targets_are_seen_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
