/* kmeans.c: clusters that are there are found. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "worker/data/kmeans.h"

static draw source(int64_t number)
{
    return draw_keyed(1, DRAW_ANCHORS, 0, number);
}

static bool has(const point *centres, size_t k, double x, double y, double within)
{
    for (size_t i = 0; i < k; i++)
        if (fabs(centres[i].x - x) <= within && fabs(centres[i].y - y) <= within) return true;
    return false;
}

static void separate_clusters_are_found(void **state)
{
    (void)state;
    enum { CLUSTERS = 5, EACH = 40 };
    static const point middle[CLUSTERS] = {{0, 0}, {3, 0.5}, {0.5, 3}, {4, 4}, {6, 1}};
    point points[CLUSTERS * EACH], centres[CLUSTERS];
    double distance, want = 0;
    for (int64_t seed = 0; seed < 20; seed++) {
        draw d = source(seed);
        want = 0;
        for (int i = 0; i < CLUSTERS * EACH; i++) {
            point off = {draw_uniform(&d, -0.2, 0.2), draw_uniform(&d, -0.2, 0.2)};
            points[i] = (point){middle[i % CLUSTERS].x + off.x, middle[i % CLUSTERS].y + off.y};
            want += hypot(off.x, off.y) / (CLUSTERS * EACH);
        }
        assert_int_equal(kmeans(&d, points, CLUSTERS * EACH, CLUSTERS, centres, &distance), OK);
        for (int c = 0; c < CLUSTERS; c++) assert_true(has(centres, CLUSTERS, middle[c].x, middle[c].y, 0.1));
        assert_true(fabs(distance - want) < 0.01);
    }
}

static void as_many_centres_as_points_are_the_points(void **state)
{
    (void)state;
    static const point points[] = {{1, 2}, {3, 4}, {5, 6}};
    point centres[3];
    double distance;
    draw d = source(0);
    assert_int_equal(kmeans(&d, points, 3, 3, centres, &distance), OK);
    assert_true(distance == 0);
    for (int i = 0; i < 3; i++) assert_true(has(centres, 3, points[i].x, points[i].y, 0));
    assert_int_equal(kmeans(&d, points, 3, 1, centres, &distance), OK);
    assert_true(centres[0].x == 3 && centres[0].y == 4);
}

/* Most centres can have no point of their own: they stay, and none is lost. */
static void equal_points_do_no_harm(void **state)
{
    (void)state;
    point points[30], centres[9];
    double distance;
    draw d = source(0);
    for (int i = 0; i < 30; i++) points[i] = (point){i < 20 ? 1 : 2, 5};
    memset(centres, 0, sizeof centres);
    assert_int_equal(kmeans(&d, points, 30, 9, centres, &distance), OK);
    assert_true(distance == 0);
    for (int i = 0; i < 9; i++) assert_true((centres[i].x == 1 || centres[i].x == 2) && centres[i].y == 5);
}

static void the_same_draws_give_the_same_centres(void **state)
{
    (void)state;
    point points[200], first[7], again[7];
    double distance;
    draw d = source(5);
    for (int i = 0; i < 200; i++) points[i] = (point){draw_random(&d), draw_random(&d)};
    draw a = source(6), b = source(6);
    assert_int_equal(kmeans(&a, points, 200, 7, first, &distance), OK);
    assert_int_equal(kmeans(&b, points, 200, 7, again, &distance), OK);
    assert_memory_equal(first, again, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separate_clusters_are_found),
        cmocka_unit_test(as_many_centres_as_points_are_the_points),
        cmocka_unit_test(equal_points_do_no_harm),
        cmocka_unit_test(the_same_draws_give_the_same_centres),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
