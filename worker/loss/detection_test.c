/* detection.c: matching by hand, gradients against finite differences. The reference's own numbers are in the fixtures
 * (tests/parity/loss.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/loss/detection.h"
#include "worker/loss/iou.h"

enum { IMAGES = 2, CELLS_MOST = IMAGES * 3 * 4 * 6, VALUES_MOST = CELLS_MOST * 8 };

/* Up to four levels; predictions are multiples of 2^-10, so that a step of 2^-8 is exact in float32. */
typedef struct world {
    loss_parameters p;
    loss_level levels[GRAPH_LEVELS];
    float values[GRAPH_LEVELS][VALUES_MOST], gradients[GRAPH_LEVELS][VALUES_MOST];
    float targets[6 * 16];
    size_t count;
} world;

static size_t values_of(const world *w, int level)
{
    return (size_t)(IMAGES * w->p.detect.anchors * w->levels[level].height * w->levels[level].width *
                    (5 + w->p.detect.classes));
}

static void world_start(world *w, int levels, int classes, uint64_t seed)
{
    static const int heights[] = {4, 2, 1, 1}, widths[] = {6, 3, 2, 1};
    keyed_rng r;
    keyed_seed(&r, seed, 0, 0);
    detect_parameters d = {.levels = levels, .anchors = 3, .classes = classes};
    for (int i = 0; i < levels; i++) {
        d.stride[i] = (float)(8 << i);
        for (int a = 0; a < 3; a++)
            for (int k = 0; k < 2; k++) d.anchor[i][a][k] = 0.5f + 0.5f * (float)a;
    }
    memset(w, 0, sizeof *w);
    double hyps[HYP_COUNT];
    hyp_space space;
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyps);
    loss_parameters_from(hyps, &d, &w->p);
    w->p.ratio = 0; /* else the objectness target follows the boxes, which the gradient leaves out */
    for (int i = 0; i < levels; i++) {
        w->levels[i] = (loss_level){w->values[i], w->gradients[i], heights[i], widths[i]};
        for (size_t k = 0; k < values_of(w, i); k++)
            w->values[i][k] = (float)((int)keyed_below(&r, 4097) - 2048) / 1024;
    }
    for (w->count = 0; w->count < 12; w->count++) {
        float *t = w->targets + 6 * w->count;
        t[0] = (float)keyed_below(&r, IMAGES);
        t[1] = (float)keyed_below(&r, (uint64_t)classes);
        for (int k = 2; k < 4; k++) t[k] = (float)keyed_random(&r);
        for (int k = 4; k < 6; k++) t[k] = 0.1f + 0.5f * (float)keyed_random(&r);
    }
}

static void run(world *w, double items[LOSS_ITEMS])
{
    assert_int_equal(loss_detection(&w->p, IMAGES, w->levels, w->targets, w->count, items), OK);
}

/* What is differentiated. */
static double value_of(world *w)
{
    double items[LOSS_ITEMS];
    run(w, items);
    return items[3] * IMAGES * (double)w->p.scale;
}

/* Objectness and class logits of every cell and class, one after the other. */
static void check_slopes(world *w)
{
    const float h = 0x1p-8f;
    size_t row = 5 + (size_t)w->p.detect.classes;
    static float wanted[VALUES_MOST];
    for (int i = 0; i < w->p.detect.levels; i++) {
        double items[LOSS_ITEMS], largest = 0;
        run(w, items);
        memcpy(wanted, w->gradients[i], values_of(w, i) * sizeof *wanted);
        for (size_t k = 0; k < values_of(w, i); k++) largest = fmax(largest, fabs((double)wanted[k]));
        for (size_t k = 0; k < values_of(w, i); k += 1 + k % 3) {
            if (k % row < 4) continue;
            float before = w->values[i][k];
            w->values[i][k] = before + h;
            double up = value_of(w);
            w->values[i][k] = before - h;
            double slope = (up - value_of(w)) / (2 * (double)h);
            w->values[i][k] = before;
            if (!(fabs(slope - (double)wanted[k]) <= 1e-4 * largest))
                fail_msg("level %d, value %zu: %.9g, expected %.9g", i, k, (double)wanted[k], slope);
        }
    }
}

static void gradients_by_scores_agree_with_finite_differences(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    for (int levels = 1; levels <= GRAPH_LEVELS; levels++) {
        world_start(w, levels, 3, (uint64_t)levels);
        w->p.obj_weight = 1.7f;
        w->p.cls_weight = 0.6f;
        w->p.scale = 2;
        check_slopes(w);
        w->p.focal_gamma = 1.5f;
        check_slopes(w);
        w->p.focal_gamma = 0.5f;
        check_slopes(w);
    }
    world_start(w, 3, 1, 9);
    check_slopes(w);
    free(w);
}

/* One target of one cell's size in the middle of a cell matches there alone. */
static void one_target(world *w, float x, float y)
{
    world_start(w, 1, 2, 5);
    const float width = (float)w->levels[0].width, height = (float)w->levels[0].height;
    const float target[6] = {1, 1, x / width, y / height, 0.7f / width, 1.3f / height};
    memcpy(w->targets, target, sizeof target);
    w->count = 1;
    w->p.detect.anchors = 1;
}

/* CIoU of a logit's box with the target, its alpha that of the logits `at`. */
static double frozen_ciou(const world *w, const double logits[4], const double at[4], const double target[4])
{
    double value[2][3], corners[2][4];
    const double *from[2] = {logits, at};
    for (int n = 0; n < 2; n++) {
        double y[4], box[4];
        for (int k = 0; k < 4; k++) y[k] = 1 / (1 + exp(-from[n][k]));
        for (int k = 0; k < 2; k++) {
            box[k] = 2 * y[k] - 0.5;
            box[k + 2] = 4 * y[k + 2] * y[k + 2] * (double)w->p.detect.anchor[0][0][k];
        }
        double apart = atan(target[2] / target[3]) - atan(box[2] / box[3]);
        iou_corners(box, corners[0]);
        iou_corners(target, corners[1]);
        value[n][0] = iou_of(IOU_DISTANCE, corners[0], corners[1], NULL);
        value[n][1] = 4 / (M_PI * M_PI) * apart * apart;
        value[n][2] = value[n][1] / (1 - iou_of(IOU_PLAIN, corners[0], corners[1], NULL) + value[n][1]);
    }
    return value[0][0] - value[1][2] * value[0][1];
}

static void the_gradient_by_a_box_takes_alpha_as_it_is(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    one_target(w, 2.5f, 1.5f);
    double items[LOSS_ITEMS];
    run(w, items);
    size_t cell = ((size_t)w->levels[0].height + 1) * (size_t)w->levels[0].width + 2, at = cell * 7;
    const double target[4] = {0.5, 0.5, (double)0.7f, (double)1.3f}, h = 1e-5;
    double logits[4], factor = (double)w->p.box_gain * 3 * IMAGES;
    for (int k = 0; k < 4; k++) logits[k] = (double)w->values[0][at + (size_t)k];
    for (int k = 0; k < 4; k++) {
        double up[4], down[4];
        memcpy(up, logits, sizeof up);
        memcpy(down, logits, sizeof down);
        up[k] += h;
        down[k] -= h;
        double slope = -(frozen_ciou(w, up, logits, target) - frozen_ciou(w, down, logits, target)) / (2 * h) * factor;
        double got = (double)w->gradients[0][at + (size_t)k];
        if (!(fabs(got - slope) < 1e-6)) fail_msg("box %d: %.9g, expected %.9g", k, got, slope);
        assert_true(got != 0);
    }
    free(w);
}

static size_t matches_at(float x, float y, loss_match *out)
{
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    one_target(w, x, y);
    loss_matches m = {0};
    assert_int_equal(loss_find_matches(&w->p, 0, IMAGES, 4, 6, w->targets, w->count, &m), OK);
    size_t count = m.count;
    assert_true(count <= 5);
    memcpy(out, m.items, count * sizeof *out);
    loss_matches_free(&m);
    free(w);
    return count;
}

static void a_target_matches_its_cell_and_the_two_nearest(void **state)
{
    (void)state;
    loss_match m[5];
    assert_int_equal(matches_at(2.25f, 1.75f, m), 3); /* own, left, below */
    assert_true(m[0].x == 2 && m[0].y == 1 && m[1].x == 1 && m[1].y == 1 && m[2].x == 2 && m[2].y == 2);
    assert_true(m[1].image == 1 && m[1].class == 1 && m[1].anchor == 0);
    assert_true(m[1].box[0] == 1.25f && m[2].box[1] == -0.25f);
}

static void a_centre_on_a_border_has_neighbours_on_both_sides(void **state)
{
    (void)state;
    loss_match m[5];
    assert_int_equal(matches_at(3.0f, 2.5f, m), 3); /* left of 3 and, at distance 0 from both sides, right of it */
    assert_true(m[0].x == 3 && m[1].x == 2 && m[2].x == 3);
}

static void cells_stay_on_the_grid(void **state)
{
    (void)state;
    static const float corners[][2] = {{0, 0}, {6, 4}, {6, 0}, {0.4f, 3.9f}};
    loss_match m[5];
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++) {
        size_t count = matches_at(corners[i][0], corners[i][1], m);
        assert_true(count > 0);
        for (size_t k = 0; k < count; k++) assert_true(m[k].x >= 0 && m[k].x < 6 && m[k].y >= 0 && m[k].y < 4);
    }
}

static void the_last_of_several_matches_on_a_cell_sets_the_objectness(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    double one[LOSS_ITEMS], other[LOSS_ITEMS], both[LOSS_ITEMS], reversed[LOSS_ITEMS];
    one_target(w, 2.5f, 1.5f);
    w->p.ratio = 1;
    run(w, one);
    w->targets[4] *= 2;
    run(w, other);
    assert_true(fabs(one[1] - other[1]) > 1e-6);
    float wide[6];
    memcpy(wide, w->targets, sizeof wide);
    one_target(w, 2.5f, 1.5f);
    w->p.ratio = 1;
    memcpy(w->targets + 6, wide, sizeof wide);
    w->count = 2;
    run(w, both);
    assert_true(both[1] == other[1]);
    memcpy(w->targets + 6, w->targets, sizeof wide);
    memcpy(w->targets, wide, sizeof wide);
    run(w, reversed);
    assert_true(reversed[1] == one[1]);
    free(w);
}

static void a_target_of_no_image_or_class_is_refused_by_name(void **state)
{
    (void)state;
    static const float bad[] = {-1, IMAGES, NAN, INFINITY};
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    double items[LOSS_ITEMS];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int column = 0; column < 2; column++) {
            world_start(w, 2, 2, 3);
            w->targets[6 * 4 + column] = bad[i];
            assert_int_equal(loss_detection(&w->p, IMAGES, w->levels, w->targets, w->count, items), ERR_ARGUMENT);
            assert_non_null(strstr(status_message(), "target 4 "));
        }
    world_start(w, 2, 1, 3); /* with one class the column is not read */
    w->targets[6 * 4 + 1] = 7;
    run(w, items);
    free(w);
}

static void a_prediction_that_is_no_number_shows_in_the_items(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    double items[LOSS_ITEMS];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t k = 0; k < 7; k++) {
            one_target(w, 2.5f, 1.5f);
            size_t cell = ((size_t)w->levels[0].height + 1) * (size_t)w->levels[0].width + 2;
            w->values[0][cell * 7 + k] = bad[i];
            run(w, items);
            bool saturates = k < 4 && isinf(bad[i]); /* a sigmoid of infinity is a box all the same */
            if (!saturates) assert_false(isfinite(items[3]));
        }
    free(w);
}

static void the_class_gain_is_scaled_to_the_number_of_classes(void **state)
{
    (void)state;
    double hyps[HYP_COUNT];
    hyp_space space;
    loss_parameters p;
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyps);
    loss_parameters_from(hyps, &(detect_parameters){.levels = 3, .anchors = 3, .classes = 20}, &p);
    assert_true(p.cls_gain == (float)(hyps[HYP_cls] / 4) && p.box_gain == (float)hyps[HYP_giou]);
    assert_true(p.ratio == 1 && p.scale == 1 && p.detect.classes == 20);
}

/* GIoU in the box loss and as objectness; levels that weigh alike. */
static void the_older_loss_has_giou_and_no_balance(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    double items[2][LOSS_ITEMS], logits[4], box[4], corners[2][4];
    const double target[4] = {0.5, 0.5, (double)0.7f, (double)1.3f};
    one_target(w, 2.5f, 1.5f);
    w->p.ratio = 1;
    run(w, items[0]);
    loss_parameters_as_of_2020_07_20(&w->p);
    run(w, items[1]);
    size_t cell = ((size_t)w->levels[0].height + 1) * (size_t)w->levels[0].width + 2;
    for (int k = 0; k < 4; k++) {
        logits[k] = 1 / (1 + exp(-(double)w->values[0][cell * 7 + (size_t)k]));
        box[k] = k < 2 ? 2 * logits[k] - 0.5 : 4 * logits[k] * logits[k] * (double)w->p.detect.anchor[0][0][k - 2];
    }
    iou_corners(box, corners[0]);
    iou_corners(target, corners[1]);
    double giou = iou_of(IOU_GENERAL, corners[0], corners[1], NULL);
    assert_true(fabs(items[1][0] - 3 * (double)w->p.box_gain * (1 - giou)) < 1e-9);
    double was = items[0][1] / 4, now = items[1][1]; /* objectness differs by the target of one of 24 cells alone */
    assert_true(fabs(was - now) < 0.1 * fabs(now) && was != now);
    world_start(w, 4, 3, 4);
    loss_parameters_as_of_2020_07_20(&w->p);
    for (int i = 0; i < GRAPH_LEVELS; i++) assert_true(w->p.balance[i] == 1);
    check_slopes(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_by_scores_agree_with_finite_differences),
        cmocka_unit_test(the_gradient_by_a_box_takes_alpha_as_it_is),
        cmocka_unit_test(a_target_matches_its_cell_and_the_two_nearest),
        cmocka_unit_test(a_centre_on_a_border_has_neighbours_on_both_sides),
        cmocka_unit_test(cells_stay_on_the_grid),
        cmocka_unit_test(the_last_of_several_matches_on_a_cell_sets_the_objectness),
        cmocka_unit_test(a_target_of_no_image_or_class_is_refused_by_name),
        cmocka_unit_test(a_prediction_that_is_no_number_shows_in_the_items),
        cmocka_unit_test(the_class_gain_is_scaled_to_the_number_of_classes),
        cmocka_unit_test(the_older_loss_has_giou_and_no_balance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
