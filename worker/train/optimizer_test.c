/* optimizer.c on the CPU, against the formulas of graph.h (update_parameters) written out in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/backend/load.h"
#include "worker/train/optimizer.h"

/* A few hundred elements, so that vectors and their ends are both there; a gap that belongs to nothing; running statistics. */
enum { COUNT = 400, SEGMENTS = 4 };
static const update_segment segments[SEGMENTS] = {{0, 37, 0}, {37, 200, 1}, {250, 50, 2}, {300, 100, -1}};

typedef struct bench {
    const backend_ops *ops;
    device *d;
    buffer *weights, *gradients, *average;
    optimizer *o;
    /* what should be there */
    double p[COUNT], g[COUNT], v[COUNT], s[COUNT], a[COUNT];
} bench;

static void random_values(keyed_rng *r, double *to)
{
    for (int i = 0; i < COUNT; i++) to[i] = (double)(float)(2 * keyed_random(r) - 1);
}

static void write_values(const bench *b, buffer *to, const double *from)
{
    float values[COUNT];
    for (int i = 0; i < COUNT; i++) values[i] = (float)from[i];
    assert_int_equal(b->ops->buffer_write(to, 0, values, sizeof values), OK);
}

/* float32 and some ten operations; Adam divides by the root of the second moment, which makes the rounding of a first moment that
 * nearly cancels as large as its own. */
static double tolerance_of(optimizer_kind kind)
{
    return kind == OPTIMIZER_ADAM ? 1e-5 : 1e-6;
}

static void expect_values(const bench *b, optimizer_kind kind, const char *what, buffer *in, const double *want)
{
    float values[COUNT];
    assert_int_equal(b->ops->buffer_read(in, 0, values, sizeof values), OK);
    for (int i = 0; i < COUNT; i++)
        if (!(fabs((double)values[i] - want[i]) <= tolerance_of(kind)))
            fail_msg("%s of element %d is %.9g, %.9g was expected", what, i, (double)values[i], want[i]);
}

static bench *open_bench(optimizer_kind kind, bool averages)
{
    bench *b = calloc(1, sizeof *b);
    keyed_rng r;
    keyed_seed(&r, 7, 0, 0);
    assert_non_null(b);
    if (backend_load("cpu", &b->ops) != OK) fail_msg("%s", status_message());
    assert_int_equal(b->ops->open(0, &(device_options){.threads = 2}, &b->d), OK);
    buffer **buffers[] = {&b->weights, &b->gradients, &b->average};
    for (int i = 0; i < 3; i++) assert_int_equal(b->ops->buffer_create(b->d, COUNT * sizeof(float), buffers[i]), OK);
    random_values(&r, b->p);
    memcpy(b->a, b->p, sizeof b->a);
    write_values(b, b->weights, b->p);
    write_values(b, b->average, b->a);
    optimizer_options o = {.kind = kind, .segments = segments, .segment_count = SEGMENTS, .arena_count = COUNT};
    o.weights = b->weights;
    o.gradients = b->gradients;
    o.average = averages ? b->average : NULL;
    assert_int_equal(optimizer_create(b->ops, b->d, &o, &b->o), OK);
    return b;
}

static void close_bench(bench *b)
{
    optimizer_destroy(&b->o);
    assert_null(b->o);
    b->ops->buffer_destroy(&b->weights);
    b->ops->buffer_destroy(&b->gradients);
    b->ops->buffer_destroy(&b->average);
    b->ops->close(&b->d);
    free(b);
}

/* A step of the reference's formulas on what should be there. */
static void step_plain(bench *b, optimizer_kind kind, const float *scalars)
{
    double m = (double)scalars[UPDATE_MOMENTUM], decay = (double)scalars[UPDATE_AVERAGE_DECAY];
    double c1 = (double)scalars[UPDATE_CORRECTION_1], c2 = (double)scalars[UPDATE_CORRECTION_2];
    for (int k = 0; k < SEGMENTS; k++)
        for (int64_t i = segments[k].offset; i < segments[k].offset + segments[k].count; i++) {
            int group = segments[k].group;
            if (group >= 0) {
                double lr = (double)scalars[UPDATE_LR + group],
                       g = b->g[i] + (double)scalars[UPDATE_DECAY + group] * b->p[i];
                b->v[i] = kind == OPTIMIZER_ADAM ? m * b->v[i] + (1 - m) * g : m * b->v[i] + g;
                b->s[i] = 0.999 * b->s[i] + 0.001 * g * g;
                b->p[i] -=
                    kind == OPTIMIZER_ADAM ? lr / c1 * b->v[i] / (sqrt(b->s[i] / c2) + 1e-8) : lr * (g + m * b->v[i]);
                b->g[i] = 0;
            }
            if (decay >= 0) b->a[i] = decay * b->a[i] + (1 - decay) * b->p[i];
        }
}

static void run_steps(bench *b, optimizer_kind kind, int from, int to)
{
    for (int n = from; n <= to; n++) {
        keyed_rng r;
        keyed_seed(&r, 8, (uint64_t)n, 0);
        random_values(&r, b->g);
        for (int i = 300; i < COUNT; i++) b->g[i] = 0; /* running statistics have none */
        write_values(b, b->gradients, b->g);
        const float scalars[UPDATE_COUNT] = {[UPDATE_LR] = 0.01f,
                                             0.02f,
                                             0.1f,
                                             [UPDATE_DECAY + 1] = 0.05f,
                                             [UPDATE_MOMENTUM] = 0.9f,
                                             [UPDATE_CORRECTION_1] = (float)(1 - pow(0.9, n)),
                                             [UPDATE_CORRECTION_2] = (float)(1 - pow(0.999, n)),
                                             [UPDATE_AVERAGE_DECAY] = n % 3 ? 0.5f : -1};
        assert_int_equal(optimizer_step(b->o, scalars), OK);
        step_plain(b, kind, scalars);
    }
    assert_int_equal(optimizer_steps(b->o), to);
}

static void it_follows_the_formulas(void **state)
{
    (void)state;
    for (int kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADAM; kind++) {
        bench *b = open_bench((optimizer_kind)kind, true);
        run_steps(b, (optimizer_kind)kind, 1, 7);
        expect_values(b, (optimizer_kind)kind, "weight", b->weights, b->p);
        expect_values(b, (optimizer_kind)kind, "average", b->average, b->a);
        float gradients[COUNT];
        assert_int_equal(b->ops->buffer_read(b->gradients, 0, gradients, sizeof gradients), OK);
        for (int k = 0; k < 3; k++)
            for (int64_t i = segments[k].offset; i < segments[k].offset + segments[k].count; i++)
                assert_true(gradients[i] == 0);
        close_bench(b);
    }
}

static void what_belongs_to_no_segment_is_left_alone(void **state)
{
    (void)state;
    bench *b = open_bench(OPTIMIZER_SGD, true);
    double before[COUNT];
    memcpy(before, b->p, sizeof before);
    run_steps(b, OPTIMIZER_SGD, 1, 3);
    for (int i = 237; i < 250; i++) assert_true(b->p[i] == before[i]);
    expect_values(b, OPTIMIZER_SGD, "weight", b->weights, b->p);
    close_bench(b);
}

static void it_works_without_an_average(void **state)
{
    (void)state;
    bench *b = open_bench(OPTIMIZER_ADAM, false);
    run_steps(b, OPTIMIZER_ADAM, 1, 4);
    expect_values(b, OPTIMIZER_ADAM, "weight", b->weights, b->p);
    close_bench(b);
}

/* What is read after some steps and written into another one makes that one go on as if it had made them. */
static void its_state_can_be_moved(void **state)
{
    (void)state;
    for (int kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADAM; kind++) {
        bench *b = open_bench((optimizer_kind)kind, true), *other = open_bench((optimizer_kind)kind, true);
        float momentum[COUNT], squares[COUNT], values[2][COUNT];
        run_steps(b, (optimizer_kind)kind, 1, 3);
        assert_int_equal(optimizer_read(b->o, momentum, squares), OK);
        assert_int_equal(b->ops->buffer_read(b->weights, 0, values[0], sizeof values[0]), OK);
        assert_int_equal(b->ops->buffer_write(other->weights, 0, values[0], sizeof values[0]), OK);
        assert_int_equal(optimizer_write(other->o, optimizer_steps(b->o), momentum, squares), OK);
        assert_int_equal(optimizer_steps(other->o), 3);
        run_steps(b, (optimizer_kind)kind, 4, 5);
        run_steps(other, (optimizer_kind)kind, 4, 5);
        assert_int_equal(b->ops->buffer_read(b->weights, 0, values[0], sizeof values[0]), OK);
        assert_int_equal(b->ops->buffer_read(other->weights, 0, values[1], sizeof values[1]), OK);
        assert_memory_equal(values[0], values[1], sizeof values[0]);
        close_bench(b);
        close_bench(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_the_formulas),
        cmocka_unit_test(what_belongs_to_no_segment_is_left_alone),
        cmocka_unit_test(it_works_without_an_average),
        cmocka_unit_test(its_state_can_be_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
