/* ap.c. The reference's own numbers are in the fixtures (tests/parity/metrics.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/metrics/ap.h"

enum { DETECTIONS_MOST = 16 };

/* Statistics written down by hand: each detection right at all overlaps or at none. */
typedef struct world {
    matching m;
    uint8_t correct[DETECTIONS_MOST * MATCHING_OVERLAPS];
    float score[DETECTIONS_MOST], class[DETECTIONS_MOST], target_class[DETECTIONS_MOST];
} world;

static void world_start(world *w)
{
    memset(w, 0, sizeof *w);
    w->m = (matching){.images = 5,
                      .correct = w->correct,
                      .score = w->score,
                      .class = w->class,
                      .target_class = w->target_class};
}

static void detect(world *w, float class, float score, bool right)
{
    memset(w->correct + w->m.count * MATCHING_OVERLAPS, right, MATCHING_OVERLAPS);
    w->score[w->m.count] = score;
    w->class[w->m.count++] = class;
}

static void targets(world *w, float class, int count)
{
    while (count--) w->target_class[w->m.target_count++] = class;
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9)) fail_msg("%.12g, expected %.12g", got, want);
}

static void perfect_detections_have_precision_and_recall_1(void **state)
{
    (void)state;
    world w;
    ap_table t;
    world_start(&w);
    targets(&w, 3, 2);
    detect(&w, 3, 0.9f, true);
    detect(&w, 3, 0.8f, true);
    assert_int_equal(ap_per_class(&w.m, &t), OK);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.rows[0].class, 3);
    assert_int_equal(t.rows[0].targets, 2);
    assert_near(t.rows[0].precision, 1);
    assert_near(t.rows[0].recall, 1);
    assert_near(t.rows[0].f1, 1);
    assert_near(t.rows[0].ap[9], 0.995); /* at recall 1 itself the reference's envelope has dropped to 0 */
    ap_table_free(&t);
}

static void precision_and_recall_are_read_off_at_score_a_tenth(void **state)
{
    (void)state;
    world w;
    ap_table t;
    world_start(&w);
    targets(&w, 0, 4);
    detect(&w, 0, 0.15f, false); /* out of order on purpose */
    detect(&w, 0, 0.9f, true);
    detect(&w, 0, 0.05f, true);
    assert_int_equal(ap_per_class(&w.m, &t), OK);
    /* Between .15 (1 of 2 right, 1 of 4 found) and .05 (2 of 3, 2 of 4), in the middle. */
    assert_true(fabs(t.rows[0].precision - (1.0 / 2 + 2.0 / 3) / 2) < 1e-6);
    assert_true(fabs(t.rows[0].recall - (1.0 / 4 + 2.0 / 4) / 2) < 1e-6);
    ap_table_free(&t);
}

static void the_area_is_under_the_envelope(void **state)
{
    (void)state;
    world w;
    ap_table t;
    world_start(&w);
    targets(&w, 0, 2);
    detect(&w, 0, 0.9f, false);
    detect(&w, 0, 0.8f, true);
    detect(&w, 0, 0.7f, true);
    assert_int_equal(ap_per_class(&w.m, &t), OK);
    /* Precision 0, 1/2, 2/3 at recall 0, 1/2, 1: the envelope is 2/3 all along, but for the last of 100 steps. */
    assert_near(t.rows[0].ap[0], 2.0 / 3 * 0.995);
    assert_near(t.rows[0].mean, 2.0 / 3 * 0.995);
    ap_table_free(&t);
}

/* Trapezoids under its points have the area that is the AP. */
static void the_curve_is_what_the_area_is_of(void **state)
{
    (void)state;
    world w;
    ap_table t;
    world_start(&w);
    targets(&w, 0, 8);
    for (int i = 0; i < 12; i++) detect(&w, 0, 0.9f - 0.05f * (float)i, i % 3 != 1);
    assert_int_equal(ap_per_class(&w.m, &t), OK);
    double area = 0;
    for (int k = 1; k < AP_CURVE_POINTS; k++) {
        area += ((double)t.rows[0].curve[k - 1] + (double)t.rows[0].curve[k]) / 2 / (AP_CURVE_POINTS - 1);
        assert_true(t.rows[0].curve[k] <= t.rows[0].curve[k - 1]);
    }
    assert_true(fabs(area - t.rows[0].ap[0]) < 1e-6);
    assert_true(t.rows[0].curve[0] == 1);
    ap_table_free(&t);
}

static void classes_without_detections_count_as_0_and_those_without_targets_not_at_all(void **state)
{
    (void)state;
    world w;
    ap_summary s;
    world_start(&w);
    targets(&w, 2, 1);
    targets(&w, 0, 3);
    detect(&w, 2, 0.9f, true);
    detect(&w, 7, 0.8f, false);
    assert_int_equal(ap_summarize(&w.m, &s), OK);
    assert_int_equal(s.table.count, 2);
    assert_true(s.table.rows[0].class == 0 && s.table.rows[1].class == 2);
    assert_near(s.precision, 0.5);
    assert_near(s.recall, 0.5);
    assert_near(s.map50, 0.995 / 2);
    assert_near(s.map, 0.995 / 2);
    assert_int_equal(s.targets, 4);
    assert_int_equal(s.images, 5);
    double maps[4];
    ap_maps(&s, 4, maps);
    assert_near(maps[0], 0);
    assert_near(maps[1], 0.995 / 2); /* of no class with targets: the mean of all */
    assert_near(maps[2], 0.995);
    assert_near(maps[3], 0.995 / 2);
    ap_summary_free(&s);
}

static void without_one_right_detection_everything_is_0(void **state)
{
    (void)state;
    world w;
    ap_summary s;
    double maps[2] = {7, 7};
    text out = {0};
    world_start(&w);
    targets(&w, 1, 2);
    detect(&w, 1, 0.9f, false);
    assert_int_equal(ap_summarize(&w.m, &s), OK);
    assert_near(s.precision + s.recall + s.map50 + s.map, 0);
    ap_maps(&s, 2, maps);
    assert_near(maps[0] + maps[1], 0);
    ap_print(&s, (char *[]){"a", "b"}, 2, true, &out);
    assert_string_equal(text_string(&out), "                 all           5           0           0           0       "
                                           "    0           0\n");
    text_free(&out);
    ap_summary_free(&s);
    world_start(&w);
    assert_int_equal(ap_summarize(&w.m, &s), OK);
    ap_summary_free(&s);
}

static void equal_scores_keep_their_order(void **state)
{
    (void)state;
    world w;
    ap_table first, second;
    world_start(&w);
    targets(&w, 0, 8);
    for (int i = 0; i < 12; i++) detect(&w, 0, 0.5f, i < 6);
    assert_int_equal(ap_per_class(&w.m, &first), OK);
    world_start(&w);
    targets(&w, 0, 8);
    for (int i = 0; i < 12; i++) detect(&w, 0, 0.5f, i >= 6);
    assert_int_equal(ap_per_class(&w.m, &second), OK);
    assert_near(first.rows[0].ap[0], 0.75); /* six right ones first: precision 1 up to recall 6/8 */
    assert_true(second.rows[0].ap[0] < 0.5);
    ap_table_free(&first);
    ap_table_free(&second);
}

static void a_target_of_no_class_is_refused(void **state)
{
    (void)state;
    static const float bad[] = {-1, NAN, INFINITY, 3e9f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        world w;
        ap_table t;
        world_start(&w);
        targets(&w, bad[i], 1);
        detect(&w, 0, 0.5f, false);
        assert_int_equal(ap_per_class(&w.m, &t), ERR_ARGUMENT);
        assert_null(t.rows);
    }
}

static void the_table_has_a_line_for_all_and_one_a_class(void **state)
{
    (void)state;
    world w;
    ap_summary s;
    text out = {0};
    char *names[] = {"plane", "ship", "car"};
    world_start(&w);
    targets(&w, 0, 1);
    targets(&w, 2, 1);
    detect(&w, 2, 0.9f, true);
    assert_int_equal(ap_summarize(&w.m, &s), OK);
    ap_heading(&out);
    ap_print(&s, names, 3, true, &out);
    assert_string_equal(text_string(&out),
                        "               Class      Images     Targets           P           R      mAP@.5  mAP@.5:.95\n"
                        "                 all           5           2         0.5         0.5       0.497       0.497\n"
                        "               plane           5           1           0           0           0           0\n"
                        "                 car           5           1           1           1       0.995       "
                        "0.995\n");
    text_clear(&out);
    ap_print(&s, names, 3, false, &out);
    assert_int_equal(out.length, 93);
    text_free(&out);
    ap_summary_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perfect_detections_have_precision_and_recall_1),
        cmocka_unit_test(precision_and_recall_are_read_off_at_score_a_tenth),
        cmocka_unit_test(the_area_is_under_the_envelope),
        cmocka_unit_test(the_curve_is_what_the_area_is_of),
        cmocka_unit_test(classes_without_detections_count_as_0_and_those_without_targets_not_at_all),
        cmocka_unit_test(without_one_right_detection_everything_is_0),
        cmocka_unit_test(equal_scores_keep_their_order),
        cmocka_unit_test(a_target_of_no_class_is_refused),
        cmocka_unit_test(the_table_has_a_line_for_all_and_one_a_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
