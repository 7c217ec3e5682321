/* mosaic.c: four pictures around a point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/data/mosaic.h"

enum { SIZE = 64, CANVAS = 2 * SIZE };

static const label rows[] = {{0, 0.5f, 0.5f, 1, 1}, {1, 0.25f, 0.25f, 0.1f, 0.1f}, {2, 1, 1, 0.5f, 0.5f}};
static dataset_image images[] = {{.width = 64, .height = 48, .labels = 2},
                                 {.width = 30, .height = 60, .first = 2, .labels = 1},
                                 {.width = 500, .height = 20, .first = 3},
                                 {.width = 64, .height = 64, .first = 3}};
static const dataset data = {.images = images, .count = 4, .labels = (label *)rows, .label_count = 3, .classes = 3};

static mosaic drawn(int64_t number)
{
    mosaic m;
    draw d = draw_keyed(5, DRAW_SAMPLE, 0, number);
    mosaic_draw(&d, &data, SIZE, 1, &m);
    return m;
}

static void the_first_picture_is_the_one_asked_for(void **state)
{
    (void)state;
    int seen[4] = {0};
    for (int i = 0; i < 400; i++) {
        mosaic m = drawn(i);
        assert_int_equal(m.picture[0], 1);
        assert_true(m.width[0] == 32 && m.height[0] == 64); /* loaded at the size */
        assert_true(m.center_x >= SIZE / 2 && m.center_x < CANVAS - SIZE / 2);
        assert_true(m.center_y >= SIZE / 2 && m.center_y < CANVAS - SIZE / 2);
        for (int k = 1; k < 4; k++) seen[m.picture[k]]++;
    }
    for (int k = 0; k < 4; k++) assert_true(seen[k] > 200 && seen[k] < 400);
}

static void tiles_lie_on_the_canvas_and_in_their_pictures(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++) {
        mosaic m = drawn(i);
        augment_layer l;
        mosaic_layer(&m, &l);
        assert_true(l.tiles == 4 && l.canvas_width == CANVAS && l.canvas_height == CANVAS);
        for (int k = 0; k < 4; k++) {
            const augment_tile *t = &l.tile[k];
            assert_true(t->x1 >= 0 && t->x1 <= t->x2 && t->x2 <= CANVAS);
            assert_true(t->y1 >= 0 && t->y1 <= t->y2 && t->y2 <= CANVAS);
            assert_true(t->from_x >= 0 && t->from_x + t->x2 - t->x1 <= t->width);
            assert_true(t->from_y >= 0 && t->from_y + t->y2 - t->y1 <= t->height);
            assert_int_equal(k % 2 ? t->x1 : t->x2, m.center_x); /* all four meet there */
            assert_int_equal(k / 2 ? t->y1 : t->y2, m.center_y);
        }
    }
}

static void labels_go_with_their_pictures_and_are_cut_to_the_canvas(void **state)
{
    (void)state;
    mosaic m = {.size = SIZE, .center_x = 40, .center_y = 50};
    static const int picture[] = {0, 1, 2, 3}, width[] = {64, 32, 64, 64}, height[] = {48, 64, 2, 64};
    for (int k = 0; k < 4; k++) {
        m.picture[k] = picture[k];
        m.width[k] = width[k];
        m.height[k] = height[k];
    }
    corner_list l = {0};
    assert_int_equal(mosaic_labels(&m, &data, &l), OK);
    assert_int_equal(l.count, 3);
    const corners *whole = &l.rows[0], *small = &l.rows[1], *corner = &l.rows[2];
    /* 64 x 48 that ends at (40, 50) begins at (-24, 2) */
    assert_true(whole->x1 == 0 && whole->y1 == 2 && whole->x2 == 40 && whole->y2 == 50);
    assert_true(small->cls == 1 && small->x1 == 0 && small->x2 == 0 && small->y1 > 11 && small->y2 < 17);
    /* 32 x 64 from x 40, ending at y 50: the box is 16 x 32 around its lower right corner */
    assert_true(corner->x1 == 64 && corner->x2 == 80 && corner->y1 == 34 && corner->y2 == 66);
    free(l.rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_picture_is_the_one_asked_for),
        cmocka_unit_test(tiles_lie_on_the_canvas_and_in_their_pictures),
        cmocka_unit_test(labels_go_with_their_pictures_and_are_cut_to_the_canvas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
