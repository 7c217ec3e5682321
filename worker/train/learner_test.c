/* learner.c on the CPU: gradients add up over batches, plans come and go with shapes and targets, steps move weights and average.
 * That the numbers themselves are the reference's is the parity runner's to show. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hyp.h"
#include "common/rng.h"
#include "worker/backend/load.h"
#include "worker/loss/detection.h"
#include "worker/train/learner.h"
#include "worker/train/test_model.h"

typedef struct bench {
    const backend_ops *ops;
    device *d;
    model m;
    learner *l;
    size_t count; /* of the arena */
    float *before, *after;
} bench;

enum { IMAGES = 4, SIDE = 64, TARGETS_MOST = 300 };

static bench *open_bench(int target_room)
{
    bench *b = calloc(1, sizeof *b);
    model_config config;
    hyp_space space;
    double hyps[HYP_COUNT];
    assert_non_null(b);
    if (backend_load("cpu", &b->ops) != OK) fail_msg("%s", status_message());
    assert_int_equal(b->ops->open(0, &(device_options){.threads = 1}, &b->d), OK);
    assert_int_equal(model_config_parse("model", test_model, 2, &config), OK);
    assert_int_equal(model_create(&config, &b->m), OK);
    model_init(&b->m, 1);
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyps);
    learner_options o = {.precision = PRECISION_FP32, .kind = OPTIMIZER_SGD, .target_room = target_room};
    detect_parameters heads = model_heads(&b->m);
    loss_parameters_from(hyps, &heads, &o.loss);
    o.largest = (learner_batch){.bytes = true, .images = IMAGES, .height = SIDE, .width = SIDE};
    assert_int_equal(learner_create(b->ops, b->d, &b->m, &o, &b->l), OK);
    b->count = (size_t)b->m.arena_count;
    b->before = calloc(b->count, sizeof *b->before);
    b->after = calloc(b->count, sizeof *b->after);
    assert_true(b->before && b->after);
    return b;
}

static void close_bench(bench *b)
{
    learner_destroy(&b->l);
    assert_null(b->l);
    model_free(&b->m);
    b->ops->close(&b->d);
    free(b->before);
    free(b->after);
    free(b);
}

/* Run a batch of noise with so many targets; the same seed gives the same batch. */
static float run_items(bench *b, uint64_t seed, int images, int height, int width, int targets, float items[LOSS_ITEMS])
{
    static uint8_t pixels[IMAGES * SIDE * SIDE * 3];
    static float rows[TARGETS_MOST * 6];
    keyed_rng r;
    keyed_seed(&r, seed, 0, 0);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)keyed_below(&r, 256);
    for (int i = 0; i < targets; i++) {
        const float row[6] = {(float)keyed_below(&r, (uint64_t)images),
                              (float)keyed_below(&r, 2),
                              (float)keyed_random(&r),
                              (float)keyed_random(&r),
                              0.2f,
                              0.2f};
        memcpy(rows + i * 6, row, sizeof row);
    }
    learner_batch batch = {.pixels = pixels, .bytes = true, .images = images, .height = height, .width = width};
    batch.targets = rows;
    batch.target_count = targets;
    if (learner_run(b->l, &batch, items) != OK) fail_msg("%s", status_message());
    assert_true(isfinite(items[3]) && fabsf(items[0] + items[1] + items[2] - items[3]) < 1e-4f * items[3]);
    return items[3];
}

static float run(bench *b, uint64_t seed, int images, int height, int width, int targets)
{
    float items[LOSS_ITEMS];
    return run_items(b, seed, images, height, width, targets, items);
}

static void read_arena(const bench *b, arena which, float *to)
{
    assert_int_equal(learner_read(b->l, which, to), OK);
}

static double norm(const bench *b, const float *values)
{
    double sum = 0;
    for (size_t i = 0; i < b->count; i++) sum += (double)values[i] * (double)values[i];
    return sqrt(sum);
}

static void gradients_add_up_until_they_are_dropped(void **state)
{
    (void)state;
    bench *b = open_bench(64);
    run(b, 1, IMAGES, SIDE, SIDE, 10);
    read_arena(b, ARENA_GRADIENTS, b->before);
    assert_true(norm(b, b->before) > 0);
    run(b, 1, IMAGES, SIDE, SIDE, 10); /* the weights have not moved: the same again, but for summation */
    read_arena(b, ARENA_GRADIENTS, b->after);
    for (size_t i = 0; i < b->count; i++) b->after[i] -= 2 * b->before[i];
    assert_true(norm(b, b->after) < 1e-5 * norm(b, b->before));
    assert_int_equal(learner_clear(b->l), OK);
    read_arena(b, ARENA_GRADIENTS, b->after);
    assert_true(norm(b, b->after) == 0);
    close_bench(b);
}

static void every_shape_and_number_of_targets_will_do(void **state)
{
    (void)state;
    bench *b = open_bench(8);
    float whole = run(b, 1, IMAGES, SIDE, SIDE, 5), part = run(b, 2, 1, SIDE, SIDE / 2, 3);
    int64_t memory = learner_memory(b->l);
    assert_true(memory > 0);
    assert_true(run(b, 1, IMAGES, SIDE, SIDE, 5) == whole);
    assert_true(run(b, 2, 1, SIDE, SIDE / 2, 3) == part);
    assert_int_equal(learner_memory(b->l), memory); /* plans are kept */
    run(b, 3, 1, SIDE, SIDE / 2, 100);              /* more targets than there was room for, in a lesser plan ... */
    run(b, 4, IMAGES, SIDE, SIDE, TARGETS_MOST);    /* ... and in the one whose memory the others use */
    assert_true(run(b, 1, IMAGES, SIDE, SIDE, 5) == whole);
    assert_true(run(b, 2, 1, SIDE, SIDE / 2, 3) == part);
    run(b, 5, IMAGES, SIDE, SIDE, 0);
    close_bench(b);
}

static void a_size_that_is_no_multiple_of_the_stride_is_refused(void **state)
{
    (void)state;
    bench *b = open_bench(8);
    learner_batch batch = {.pixels = "", .bytes = true, .images = 1, .height = 60, .width = 64};
    float items[LOSS_ITEMS];
    assert_int_equal(learner_run(b->l, &batch, items), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "multiples of the largest stride"));
    close_bench(b);
}

static void a_step_moves_weights_and_average(void **state)
{
    (void)state;
    bench *b = open_bench(64);
    const float scalars[UPDATE_COUNT] = {[UPDATE_LR] = 1e-3f,
                                         1e-3f,
                                         1e-3f,
                                         [UPDATE_MOMENTUM] = 0.9f,
                                         [UPDATE_CORRECTION_1] = 1,
                                         [UPDATE_CORRECTION_2] = 1,
                                         [UPDATE_AVERAGE_DECAY] = 0.75f};
    read_arena(b, ARENA_WEIGHTS, b->before);
    read_arena(b, ARENA_AVERAGE, b->after);
    assert_memory_equal(b->before, b->after, b->count * sizeof *b->after); /* it starts as a copy */
    float first[LOSS_ITEMS], last[LOSS_ITEMS];
    run_items(b, 1, IMAGES, SIDE, SIDE, 10, first);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(learner_update(b->l, scalars), OK);
        run_items(b, 1, IMAGES, SIDE, SIDE, 10, last);
    }
    assert_true(last[0] < 0.98f * first[0]); /* its boxes come nearer (which raises what objectness is to say) */
    assert_int_equal(optimizer_steps(learner_optimizer(b->l)), 20);
    read_arena(b, ARENA_AVERAGE, b->after);
    const weight *anchors = NULL;
    for (size_t i = 0; i < b->m.count; i++) {
        const weight *w = &b->m.weights[i];
        bool same = w->offset < 0 || !memcmp(b->before + w->offset, b->after + w->offset,
                                             (size_t)shape_count(&w->shape) * sizeof *b->after);
        if (w->kind == WEIGHT_ANCHORS) anchors = w;
        if (w->offset >= 0) assert_int_equal(same, w->kind == WEIGHT_ANCHORS);
    }
    assert_non_null(anchors);
    close_bench(b);
}

static void weights_can_be_put_back(void **state)
{
    (void)state;
    bench *b = open_bench(64);
    const float scalars[UPDATE_COUNT] =
        {[UPDATE_LR] = 0.01f, 0.01f, 0.01f, [UPDATE_CORRECTION_1] = 1, [UPDATE_CORRECTION_2] = 1};
    read_arena(b, ARENA_WEIGHTS, b->before);
    float first = run(b, 1, IMAGES, SIDE, SIDE, 10);
    assert_int_equal(learner_update(b->l, scalars), OK);
    assert_true(run(b, 1, IMAGES, SIDE, SIDE, 10) != first);
    assert_int_equal(learner_write(b->l, ARENA_WEIGHTS, b->before), OK);
    assert_true(run(b, 1, IMAGES, SIDE, SIDE, 10) == first); /* packed copies of the weights are made anew */
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_add_up_until_they_are_dropped),
        cmocka_unit_test(every_shape_and_number_of_targets_will_do),
        cmocka_unit_test(a_size_that_is_no_multiple_of_the_stride_is_refused),
        cmocka_unit_test(a_step_moves_weights_and_average),
        cmocka_unit_test(weights_can_be_put_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
