/* iou.c: values that are known, and gradients against finite differences. The reference's own are in the fixtures
 * (tests/parity/loss.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/loss/iou.h"

static void assert_near(double got, double want, double most)
{
    if (!(fabs(got - want) <= most)) fail_msg("%.12g, expected %.12g", got, want);
}

static void boxes_that_are_easy_to_reckon_have_the_overlaps_reckoned(void **state)
{
    (void)state;
    const double a[4] = {0, 0, 2, 2}, b[4] = {1, 0, 3, 2}, far[4] = {4, 0, 6, 2}, wide[4] = {0, 0, 4, 1};
    assert_near(iou_of(IOU_PLAIN, a, b, NULL), 1.0 / 3, 1e-8);
    assert_near(iou_of(IOU_GENERAL, a, b, NULL), 1.0 / 3, 1e-8); /* what encloses both is covered */
    assert_near(iou_of(IOU_DISTANCE, a, b, NULL), 1.0 / 3 - 1.0 / 13, 1e-8);
    assert_near(iou_of(IOU_COMPLETE, a, b, NULL), 1.0 / 3 - 1.0 / 13, 1e-8); /* both are squares */
    assert_near(iou_of(IOU_PLAIN, a, far, NULL), 0, 1e-8);
    assert_near(iou_of(IOU_GENERAL, a, far, NULL), -1.0 / 3, 1e-8);
    double v = 4 / (M_PI * M_PI) * pow(atan(4.0) - atan(1.0), 2), iou = 2.0 / 6;
    double distance = (1 * 1 + 0.5 * 0.5) / (4 * 4 + 2 * 2);
    assert_near(iou_of(IOU_COMPLETE, a, wide, NULL), iou - distance - v * v / (1 - iou + v), 1e-8);
}

/* The reference's float32 comes to 0 / 0 here. */
static void equal_boxes_overlap_by_1_with_no_gradient(void **state)
{
    (void)state;
    const double a[4] = {0.25, -1, 3, 2};
    for (iou_kind kind = IOU_PLAIN; kind <= IOU_COMPLETE; kind++) {
        double gradient[4];
        assert_near(iou_of(kind, a, a, gradient), 1, 1e-9);
        for (int k = 0; k < 4; k++) assert_near(gradient[k], 0, 1e-8);
    }
}

static void random_box(keyed_rng *r, double box[4])
{
    box[0] = keyed_random(r) * 4;
    box[1] = keyed_random(r) * 4;
    box[2] = box[0] + 0.2 + keyed_random(r) * 3;
    box[3] = box[1] + 0.2 + keyed_random(r) * 3;
}

static double aspect_of(const double a[4], const double b[4])
{
    double apart = atan((b[2] - b[0]) / (b[3] - b[1])) - atan((a[2] - a[0]) / (a[3] - a[1]));
    return 4 / (M_PI * M_PI) * apart * apart;
}

/* Of CIoU what the gradient is of: alpha as it is at `at`. */
static double frozen(iou_kind kind, const double a[4], const double b[4], const double at[4])
{
    if (kind != IOU_COMPLETE) return iou_of(kind, a, b, NULL);
    double v = aspect_of(at, b), alpha = v / (1 - iou_of(IOU_PLAIN, at, b, NULL) + v);
    return iou_of(IOU_DISTANCE, a, b, NULL) - alpha * aspect_of(a, b);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 1, 2, 3);
    const double h = 1e-6;
    for (int n = 0; n < 2000; n++) {
        double a[4], b[4], gradient[4];
        random_box(&r, a);
        random_box(&r, b);
        for (iou_kind kind = IOU_PLAIN; kind <= IOU_COMPLETE; kind++) {
            iou_of(kind, a, b, gradient);
            for (int k = 0; k < 4; k++) {
                double up[4], down[4];
                memcpy(up, a, sizeof up);
                memcpy(down, a, sizeof down);
                up[k] += h;
                down[k] -= h;
                double slope = (frozen(kind, up, b, a) - frozen(kind, down, b, a)) / (2 * h);
                if (!(fabs(slope - gradient[k]) < 1e-6))
                    fail_msg("kind %d, side %d: %.9g, expected %.9g", kind, k, gradient[k], slope);
            }
        }
    }
}

static void centres_become_corners_and_their_gradients_come_back(void **state)
{
    (void)state;
    const double centre[4] = {3, 4, 2, 6}, by_corners[4] = {1, 10, 100, 1000};
    double corners[4], by_centre[4];
    iou_corners(centre, corners);
    assert_memory_equal(corners, ((double[4]){2, 1, 4, 7}), sizeof corners);
    iou_gradient_by_centre(by_corners, by_centre);
    assert_memory_equal(by_centre, ((double[4]){101, 1010, 49.5, 495}), sizeof by_centre);
}

static void a_box_that_is_no_number_has_no_overlap_that_is_one(void **state)
{
    (void)state;
    const double a[4] = {0, 0, 2, 2};
    for (int k = 0; k < 4; k++) {
        double b[4] = {1, 1, 3, 3}, gradient[4];
        b[k] = NAN;
        for (iou_kind kind = IOU_PLAIN; kind <= IOU_COMPLETE; kind++) {
            assert_true(isnan(iou_of(kind, b, a, gradient)));
            assert_true(isnan(iou_of(kind, a, b, gradient)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_that_are_easy_to_reckon_have_the_overlaps_reckoned),
        cmocka_unit_test(equal_boxes_overlap_by_1_with_no_gradient),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(centres_become_corners_and_their_gradients_come_back),
        cmocka_unit_test(a_box_that_is_no_number_has_no_overlap_that_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
