/* warp.c: the map of a canvas, its inverse, and what becomes of boxes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/warp.h"

static warp drawn(const warp_ranges *ranges, int canvas, int border, int64_t number)
{
    warp w;
    draw d = draw_keyed(1, DRAW_SAMPLE, 0, number);
    warp_draw(&d, ranges, canvas, canvas, border, border, &w);
    return w;
}

static void without_ranges_nothing_moves(void **state)
{
    (void)state;
    warp w = drawn(&(warp_ranges){0}, 100, 0, 0);
    augment_layer layer = {.canvas_width = 100, .canvas_height = 100};
    warp_layer(&w, &layer);
    assert_int_equal(layer.warp, WARP_NONE);
    corners label = {3, 10, 20, 30, 50};
    assert_int_equal(warp_labels(&w, &label, 1), 1);
    assert_true(label.cls == 3 && label.x1 == 10 && label.y1 == 20 && label.x2 == 30 && label.y2 == 50);
}

/* The middle quarter of the canvas, moved to the corner. */
static void a_mosaic_is_cut_to_its_middle(void **state)
{
    (void)state;
    warp w = drawn(&(warp_ranges){0}, 200, -50, 0);
    augment_layer layer = {.canvas_width = 200, .canvas_height = 200};
    warp_layer(&w, &layer);
    assert_true(layer.warp == WARP_AFFINE && w.width == 100 && w.height == 100);
    corners labels[] = {{0, 60, 70, 80, 95}, {1, 0, 0, 40, 40}, {2, 40, 60, 140, 160}};
    assert_int_equal(warp_labels(&w, labels, 3), 2); /* the second is outside */
    assert_true(labels[0].x1 == 10 && labels[0].y1 == 20 && labels[0].x2 == 30 && labels[0].y2 == 45);
    assert_true(labels[1].cls == 2 && labels[1].x1 == 0 && labels[1].y1 == 10 && labels[1].x2 == 90 &&
                labels[1].y2 == 100);
}

static void draws_stay_in_their_ranges(void **state)
{
    (void)state;
    const warp_ranges ranges = {30, 0.1, 0.5, 5, 0.0005};
    double most = 0;
    for (int i = 0; i < 500; i++) {
        warp w = drawn(&ranges, 400, -100, i);
        assert_true(fabs(w.angle) <= 30 && fabs(w.scale - 1) <= 0.5 && w.perspective);
        assert_true(fabs(w.tilt[6]) <= 0.0005 && fabs(w.tilt[7]) <= 0.0005);
        assert_true(fabs(w.shear[1]) <= tan(5 * M_PI / 180) && fabs(w.shear[3]) <= tan(5 * M_PI / 180));
        assert_true(w.shift[2] >= 0.4 * 200 && w.shift[2] <= 0.6 * 200 && w.shift[5] >= 80 && w.shift[5] <= 120);
        most = fmax(most, fabs(w.angle));
    }
    assert_true(most > 25);
    warp a = drawn(&ranges, 400, -100, 7), b = drawn(&ranges, 400, -100, 7);
    assert_memory_equal(a.matrix, b.matrix, sizeof a.matrix);
}

/* What the layer holds leads back to where the matrix came from. */
static void the_inverse_undoes_the_matrix(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        const warp_ranges ranges = {45, 0.2, 0.5, 10, i % 2 ? 0.001 : 0};
        warp w = drawn(&ranges, 320, -80, i);
        augment_layer layer = {.canvas_width = 320, .canvas_height = 320};
        warp_layer(&w, &layer);
        assert_int_equal(layer.warp, i % 2 ? WARP_PERSPECTIVE : WARP_AFFINE);
        const double *m = w.matrix, *n = layer.inverse, x = 111, y = 222;
        double z = m[6] * x + m[7] * y + m[8], u = (m[0] * x + m[1] * y + m[2]) / z,
               v = (m[3] * x + m[4] * y + m[5]) / z;
        double c = n[6] * u + n[7] * v + n[8];
        assert_true(fabs((n[0] * u + n[1] * v + n[2]) / c - x) < 1e-6);
        assert_true(fabs((n[3] * u + n[4] * v + n[5]) / c - y) < 1e-6);
    }
}

static void a_turned_box_is_the_box_around_its_corners(void **state)
{
    (void)state;
    warp w = {.matrix = {0, -1, 100, 1, 0, 0, 0, 0, 1}, .width = 100, .height = 100, .scale = 1}; /* a quarter turn */
    corners label = {0, 10, 20, 30, 50};
    double box[4];
    warp_box(&w, &label, box);
    assert_true(box[0] == 50 && box[1] == 10 && box[2] == 80 && box[3] == 30);
}

static void boxes_that_are_not_worth_it_go(void **state)
{
    (void)state;
    static const float before[] = {0, 0, 10, 10};
    static const struct {
        double after[4];
        bool keeps;
    } cases[] = {
        {{0, 0, 10, 10}, true},  {{0, 0, 2, 10}, false},   {{0, 0, 2.01, 10}, true}, {{0, 0, 10, 2}, false},
        {{0, 0, 3, 3.3}, false}, {{0, 0, 3.4, 3.4}, true}, {{0, 0, 60, 2.9}, false}, {{0, 0, 40, 2.1}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (warp_keeps_box(before, cases[i].after) != cases[i].keeps) fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_ranges_nothing_moves),
        cmocka_unit_test(a_mosaic_is_cut_to_its_middle),
        cmocka_unit_test(draws_stay_in_their_ranges),
        cmocka_unit_test(the_inverse_undoes_the_matrix),
        cmocka_unit_test(a_turned_box_is_the_box_around_its_corners),
        cmocka_unit_test(boxes_that_are_not_worth_it_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
