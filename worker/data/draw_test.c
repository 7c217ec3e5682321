/* draw.c: both sources, and what is made of their numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "worker/data/draw.h"

static void a_key_gives_the_same_numbers_and_another_one_others(void **state)
{
    (void)state;
    draw a = draw_keyed(1, DRAW_SAMPLE, 2, 3), b = draw_keyed(1, DRAW_SAMPLE, 2, 3);
    draw others[] = {draw_keyed(2, DRAW_SAMPLE, 2, 3), draw_keyed(1, DRAW_ORDER, 2, 3),
                     draw_keyed(1, DRAW_SAMPLE, 3, 3), draw_keyed(1, DRAW_SAMPLE, 2, 4),
                     draw_keyed(0, DRAW_ORDER, 2, 3)};
    for (int i = 0; i < 100; i++) {
        double x = draw_random(&a);
        assert_true(x >= 0 && x < 1 && x == draw_random(&b));
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) assert_true(draw_random(&others[k]) != x);
    }
    for (int i = 0; i < 1000; i++) {
        assert_true(draw_uniform(&a, -2, 3) >= -2 && draw_uniform_numpy(&a, 5, 6) < 6);
        int64_t n = draw_below(&a, 7);
        assert_true(n >= 0 && n < 7);
        double beta = draw_beta(&a, 8, 8);
        assert_true(beta > 0 && beta < 1);
    }
}

/* np.random.seed(0); np.random.choice(10, 3, replace=False) takes the front of permutation(10). */
static void some_of_many_are_those_of_numpy(void **state)
{
    (void)state;
    static const size_t want[] = {2, 8, 4, 9, 1, 6, 7, 3, 0, 5};
    size_t got[10];
    numpy_rng numpy;
    numpy_seed(&numpy, 0);
    draw d = draw_reference(NULL, &numpy);
    assert_int_equal(draw_some(&d, 10, 3, got), OK);
    assert_memory_equal(got, want, 3 * sizeof *got);
    numpy_seed(&numpy, 0);
    assert_int_equal(draw_some(&d, 10, 10, got), OK);
    assert_memory_equal(got, want, sizeof want);
}

static void some_of_many_are_different_and_each_as_likely(void **state)
{
    (void)state;
    int seen[20] = {0};
    for (int i = 0; i < 2000; i++) {
        size_t some[5];
        draw d = draw_keyed(9, DRAW_ANCHORS, 0, i);
        assert_int_equal(draw_some(&d, 20, 5, some), OK);
        for (int k = 0; k < 5; k++) {
            assert_true(some[k] < 20);
            for (int j = 0; j < k; j++) assert_true(some[j] != some[k]);
            seen[some[k]]++;
        }
    }
    for (int k = 0; k < 20; k++) assert_true(seen[k] > 400 && seen[k] < 600);
}

static void a_shuffle_has_every_number_once(void **state)
{
    (void)state;
    int order[50], seen[50] = {0}, at_home = 0;
    draw d = draw_keyed(1, DRAW_ORDER, 0, 0);
    draw_shuffled(&d, 50, order);
    for (int i = 0; i < 50; i++) {
        seen[order[i]]++;
        at_home += order[i] == i;
    }
    for (int i = 0; i < 50; i++) assert_int_equal(seen[i], 1);
    assert_true(at_home < 10);
    draw_shuffled(&d, 1, order);
    assert_int_equal(order[0], 0);
}

static void weights_decide_how_often(void **state)
{
    (void)state;
    static const double weights[] = {0, 3, 1, 0};
    enum { N = 4, ROUNDS = 2000 };
    int seen[N] = {0}, out[N];
    draw d = draw_keyed(1, DRAW_WEIGHTED, 0, 0);
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(draw_weighted(&d, weights, N, out), OK);
        for (int k = 0; k < N; k++) seen[out[k]]++;
    }
    assert_true(seen[0] == 0 && seen[3] == 0 && seen[1] > 5700 && seen[1] < 6300);
    static const double nothing[N] = {0};
    assert_int_equal(draw_weighted(&d, nothing, N, out), OK);
    for (int k = 0; k < N; k++) assert_int_equal(out[k], N - 1);
}

static void sizes_are_multiples_of_the_stride_around_the_size(void **state)
{
    (void)state;
    int least = 9999, most = 0;
    for (int i = 0; i < 2000; i++) {
        draw d = draw_keyed(1, DRAW_SIZE, 0, i);
        int size = draw_image_size(&d, 320, 32);
        assert_true(size % 32 == 0);
        if (size < least) least = size;
        if (size > most) most = size;
    }
    assert_true(least == 160 && most == 480);
    draw d = draw_keyed(1, DRAW_SIZE, 0, 0);
    for (int i = 0; i < 100; i++) assert_true(draw_image_size(&d, 32, 32) >= 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_gives_the_same_numbers_and_another_one_others),
        cmocka_unit_test(some_of_many_are_those_of_numpy),
        cmocka_unit_test(some_of_many_are_different_and_each_as_likely),
        cmocka_unit_test(a_shuffle_has_every_number_once),
        cmocka_unit_test(weights_decide_how_often),
        cmocka_unit_test(sizes_are_multiples_of_the_stride_around_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
