/* Plans against plain loops: random networks with odd numbers of channels, concatenations of concatenations, maps with many
 * readers, additions, pooling. Whatever the fusing and the laying out of memory do, the numbers have to be the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/backend/plain.h"
#include "worker/backend/backend.h"

extern const backend_ops backend;

/* ---- random networks ---- */

enum { MAPS_MOST = 24, WEIGHTS_MOST = 1 << 16 };

typedef struct maker {
    keyed_rng r;
    graph g;
    int maps[MAPS_MOST], count;
    int64_t weights;
    float *values;
} maker;

static int below(maker *m, int n)
{
    return (int)keyed_below(&m->r, (uint64_t)n);
}

static int add_tensor(maker *m, tensor_role role, shape s)
{
    int index;
    graph_tensor t = {.role = role, .shape = s};
    snprintf(t.name, sizeof t.name, "t%zu", m->g.tensor_count);
    assert_int_equal(graph_add_tensor(&m->g, &t, &index), OK);
    return index;
}

static int add_weight(maker *m, shape s, double low, double high, bool trained)
{
    int index = add_tensor(m, TENSOR_STORED, s);
    m->g.tensors[index].offset = m->weights;
    m->g.tensors[index].trained = trained;
    for (int64_t i = 0; i < shape_count(&s); i++)
        m->values[m->weights++] = (float)(low + (high - low) * keyed_random(&m->r));
    assert_true(m->weights < WEIGHTS_MOST);
    return index;
}

static shape shape_at(const maker *m, int tensor)
{
    return m->g.tensors[tensor].shape;
}

static int add_node(maker *m, graph_node n, shape out)
{
    n.out[0] = add_tensor(m, TENSOR_INNER, out);
    n.outputs = 1;
    assert_int_equal(graph_add_node(&m->g, &n), OK);
    return n.out[0];
}

static int add_conv_of(maker *m, int x, int channels, conv_parameters k, bool bias)
{
    shape s = shape_at(m, x);
    double bound = 1.5 / sqrt((double)(s.dim[1] / k.groups * k.kernel_h * k.kernel_w));
    graph_node n = {.kind = OP_CONV, .inputs = 3, .in = {x, -1, -1}, .conv = k};
    n.in[1] = add_weight(m, shape_of(4, channels, s.dim[1] / k.groups, k.kernel_h, k.kernel_w), -bound, bound, true);
    if (bias) n.in[2] = add_weight(m, shape_of(1, channels, 0, 0, 0), -0.5, 0.5, true);
    s.dim[1] = channels;
    s.dim[2] = (s.dim[2] + 2 * k.pad_h - k.kernel_h) / k.stride_h + 1;
    s.dim[3] = (s.dim[3] + 2 * k.pad_w - k.kernel_w) / k.stride_w + 1;
    return add_node(m, n, s);
}

static int add_conv(maker *m, int x, int channels, int kernel, int stride, int groups, bool bias)
{
    return add_conv_of(m, x, channels,
                       (conv_parameters){kernel, kernel, stride, stride, kernel / 2, kernel / 2, groups}, bias);
}

static int add_norm(maker *m, int x)
{
    shape s = shape_at(m, x), c = shape_of(1, s.dim[1], 0, 0, 0);
    graph_node n = {.kind = OP_NORM, .inputs = 5, .in = {x}, .norm = {1e-3f, 0.03f}};
    n.in[1] = add_weight(m, c, 0.5, 1.5, true);
    n.in[2] = add_weight(m, c, -0.5, 0.5, true);
    n.in[3] = add_weight(m, c, -0.2, 0.2, false);
    n.in[4] = add_weight(m, c, 0.5, 1.5, false);
    return add_node(m, n, s);
}

static int add_activation(maker *m, int x)
{
    graph_node n = {.kind = OP_ACTIVATION, .inputs = 1, .in = {x}, .activation = (activation)below(m, 4)};
    return add_node(m, n, shape_at(m, x));
}

static bool same_size(const maker *m, int a, int b)
{
    shape x = shape_at(m, a), y = shape_at(m, b);
    return x.dim[2] == y.dim[2] && x.dim[3] == y.dim[3];
}

/* Up to four maps of the size of x, x first. */
static int add_concat(maker *m, int x)
{
    graph_node n = {.kind = OP_CONCAT, .inputs = 1, .in = {x}};
    shape s = shape_at(m, x);
    for (int i = 0; i < m->count && n.inputs < 4; i++)
        if (m->maps[i] != x && same_size(m, m->maps[i], x) && below(m, 2)) {
            s.dim[1] += shape_at(m, m->maps[i]).dim[1];
            n.in[n.inputs++] = m->maps[i];
        }
    return add_node(m, n, s);
}

/* A map with x's shape, put together as it may be; -1 if there is none. */
static int find_like(const maker *m, int x)
{
    for (int i = m->count - 1; i >= 0; i--) {
        shape a = shape_at(m, m->maps[i]), b = shape_at(m, x);
        if (m->maps[i] != x && shape_equal(&a, &b)) return m->maps[i];
    }
    return -1;
}

static int add_layer(maker *m)
{
    int x = m->maps[below(m, m->count)];
    shape s = shape_at(m, x);
    static const int channels[] = {4, 8, 16, 24, 32, 5};
    switch (below(m, 12)) {
    case 0: return add_conv(m, x, channels[below(m, 6)], 1, 1, 1, true);
    case 1:
    case 2: return add_activation(m, add_norm(m, add_conv(m, x, channels[below(m, 6)], 3, 1 + below(m, 2), 1, false)));
    case 3: return add_activation(m, add_norm(m, add_conv(m, x, channels[below(m, 6)], 1, 1, 1, false)));
    case 4: return add_concat(m, x);
    case 5: { /* what a CSP stage does */
        int a = add_conv(m, x, 8, 1, 1, 1, false), b = add_conv(m, x, 12, 1, 1, 1, false);
        graph_node n = {.kind = OP_CONCAT, .inputs = 2, .in = {a, b}};
        s.dim[1] = 20;
        return add_activation(m, add_norm(m, add_node(m, n, s)));
    }
    case 6: { /* a bottleneck */
        int y = add_activation(m, add_norm(m, add_conv(m, x, (int)s.dim[1], 3, 1, 1, false))), like = find_like(m, y);
        graph_node n = {.kind = OP_ADD, .inputs = 2, .in = {like, y}};
        return like >= 0 && below(m, 3) ? add_node(m, n, shape_at(m, y)) : y;
    }
    case 7: {
        static const pool_parameters pools[] = {{3, 1, 1}, {5, 1, 2}, {2, 2, 0}, {3, 2, 1}, {2, 1, 1}, {3, 3, 0}};
        graph_node n = {.kind = OP_MAXPOOL,
                        .inputs = 1,
                        .in = {x},
                        .pool = pools[below(m, s.dim[2] < 4 || s.dim[3] < 4 ? 2 : 6)]};
        for (int i = 2; i < 4; i++) s.dim[i] = (s.dim[i] + 2 * n.pool.pad - n.pool.size) / n.pool.stride + 1;
        return add_node(m, n, s);
    }
    case 8: {
        if (s.dim[2] > 8) return add_activation(m, x);
        graph_node n = {.kind = OP_UPSAMPLE, .inputs = 1, .in = {x}};
        s.dim[2] *= 2;
        s.dim[3] *= 2;
        return add_node(m, n, s);
    }
    case 9: { /* across, then down */
        int stride = 1 + below(m, 2);
        int y = add_conv_of(m, x, 8, (conv_parameters){1, 3, 1, stride, 0, 1, 1}, false);
        y = add_activation(m, add_norm(m, y));
        y = add_conv_of(m, y, channels[below(m, 5)], (conv_parameters){3, 1, stride, 1, 1, 0, 1 + below(m, 2)}, false);
        return add_activation(m, add_norm(m, y));
    }
    case 10: { /* kernels of several sizes share the channels, whose parts need not fill blocks */
        int first = 1 + below(m, (int)s.dim[1]), rest = (int)s.dim[1] - first;
        graph_node n = {.kind = OP_CONCAT, .inputs = 1, .in = {add_conv(m, x, first, 3, 1, 1, false)}};
        if (rest) n.in[n.inputs++] = add_conv(m, x, rest, 1, 1, 1, false);
        graph_node add = {.kind = OP_ADD, .inputs = 2, .in = {x}};
        add.in[1] = add_activation(m, add_norm(m, add_node(m, n, s)));
        return add_node(m, add, s);
    }
    default: return add_activation(m, add_norm(m, x));
    }
}

static int readers(const graph *g, int tensor)
{
    int count = 0;
    for (size_t i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].inputs; k++) count += g->nodes[i].in[k] == tensor;
    return count;
}

static void make_network(maker *m, uint64_t seed)
{
    *m = (maker){.values = calloc(WEIGHTS_MOST, sizeof *m->values)};
    assert_non_null(m->values);
    keyed_seed(&m->r, seed, 0, 0);
    /* Two images at least: a norm over a single pixel has no variance. */
    shape s = shape_of(4, 2 + below(m, 2), 3 + below(m, 6), 6 + below(m, 5), 6 + below(m, 5));
    m->maps[m->count++] = add_tensor(m, TENSOR_INPUT, s);
    int layers = 3 + below(m, 9);
    while (m->count <= layers) {
        int made = add_layer(m);
        m->maps[m->count++] = made;
    }
    for (size_t i = 0; i < m->g.tensor_count; i++) /* what nobody reads is an output; some others are, too */
        if (m->g.tensors[i].role == TENSOR_INNER && (!readers(&m->g, (int)i) || !below(m, 8)))
            m->g.tensors[i].role = TENSOR_OUTPUT;
}

static void free_network(maker *m)
{
    graph_free(&m->g);
    free(m->values);
}

/* ---- comparing ---- */

typedef struct runner {
    device *d;
    buffer *weights, *gradients;
    plan *p;
} runner;

static void start(runner *run, const maker *m, bool training, precision precision, int threads)
{
    device_options o = {.threads = threads};
    *run = (runner){0};
    assert_int_equal(backend.open(0, &o, &run->d), OK);
    assert_int_equal(backend.buffer_create(run->d, WEIGHTS_MOST * 4, &run->weights), OK);
    assert_int_equal(backend.buffer_create(run->d, WEIGHTS_MOST * 4, &run->gradients), OK);
    assert_int_equal(backend.buffer_write(run->weights, 0, m->values, WEIGHTS_MOST * 4), OK);
    plan_options options = {.training = training, .precision = precision};
    options.buffers[ARENA_WEIGHTS] = run->weights;
    options.buffers[ARENA_GRADIENTS] = training ? run->gradients : NULL;
    if (backend.plan_create(run->d, &m->g, &options, &run->p) != OK) fail_msg("%s", status_message());
}

static void stop(runner *run)
{
    backend.plan_destroy(&run->p);
    backend.buffer_destroy(&run->weights);
    backend.buffer_destroy(&run->gradients);
    backend.close(&run->d);
}

/* Relative, but for what cancels: the gradient of a bias in front of a norm is 0, and float32 leaves rounding in its place. */
static double error_of(const float *got, const double *want, size_t count)
{
    double square = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        square += pow((double)got[i] - want[i], 2);
        norm += want[i] * want[i];
    }
    return sqrt(square) / (sqrt(norm) + 1e-2 * sqrt((double)count));
}

static void expect_close(const char *what, int tensor, uint64_t seed, const float *got, const double *want,
                         size_t count, double most)
{
    double error = error_of(got, want, count);
    if (!(error <= most))
        fail_msg("seed %llu, tensor %d, %s: rel L2 %g", (unsigned long long)seed, tensor, what, error);
}

static void give(runner *run, plain *plain_run, maker *m, plan_side side, tensor_role role)
{
    for (size_t i = 0; i < m->g.tensor_count; i++) {
        if (m->g.tensors[i].role != role) continue;
        size_t count = plain_count(plain_run, (int)i);
        float *values = malloc(count * sizeof *values);
        assert_non_null(values);
        double *to = side == PLAN_VALUE ? plain_run->value[i] : plain_run->gradient[i];
        for (size_t k = 0; k < count; k++) to[k] = (double)(values[k] = (float)(2 * keyed_random(&m->r) - 1));
        if (backend.plan_write(run->p, side, (int)i, values, count * sizeof *values) != OK)
            fail_msg("%s", status_message());
        free(values);
    }
}

/* An output that others read, too, gets its gradient from them: the caller gives none. */
static bool gives_gradient(const maker *m, int tensor)
{
    return readers(&m->g, tensor) == 0;
}

static void compare_maps(runner *run, const plain *plain_run, const maker *m, plan_side side, uint64_t seed,
                         double most)
{
    for (size_t i = 0; i < m->g.tensor_count; i++) {
        tensor_role role = m->g.tensors[i].role;
        if (role != (side == PLAN_VALUE ? TENSOR_OUTPUT : TENSOR_INPUT)) continue;
        size_t count = plain_count(plain_run, (int)i);
        float *got = malloc(count * sizeof *got);
        assert_non_null(got);
        if (backend.plan_read(run->p, side, (int)i, got, count * sizeof *got) != OK) fail_msg("%s", status_message());
        expect_close(side ? "gradient" : "value", (int)i, seed, got,
                     side ? plain_run->gradient[i] : plain_run->value[i], count, most);
        free(got);
    }
}

static void compare_stored(runner *run, const plain *plain_run, const maker *m, uint64_t seed, double most)
{
    float *weights = malloc(WEIGHTS_MOST * 4), *gradients = malloc(WEIGHTS_MOST * 4);
    assert_true(weights && gradients);
    assert_int_equal(backend.buffer_read(run->weights, 0, weights, WEIGHTS_MOST * 4), OK);
    assert_int_equal(backend.buffer_read(run->gradients, 0, gradients, WEIGHTS_MOST * 4), OK);
    for (size_t i = 0; i < m->g.tensor_count; i++) {
        const graph_tensor *t = &m->g.tensors[i];
        if (t->role != TENSOR_STORED) continue;
        size_t count = plain_count(plain_run, (int)i);
        if (t->trained)
            expect_close("weight gradient", (int)i, seed, gradients + t->offset, plain_run->gradient[i], count, most);
        else expect_close("running statistics", (int)i, seed, weights + t->offset, plain_run->value[i], count, most);
    }
    free(weights);
    free(gradients);
}

/* Outputs that are read elsewhere as well keep the gradient that comes from there. */
static void give_gradients(runner *run, plain *plain_run, maker *m)
{
    for (size_t i = 0; i < m->g.tensor_count; i++) {
        if (m->g.tensors[i].role != TENSOR_OUTPUT) continue;
        size_t count = plain_count(plain_run, (int)i);
        float *values = calloc(count, sizeof *values);
        assert_non_null(values);
        memset(plain_run->gradient[i], 0, count * sizeof(double));
        if (gives_gradient(m, (int)i)) {
            for (size_t k = 0; k < count; k++)
                plain_run->gradient[i][k] = (double)(values[k] = (float)(2 * keyed_random(&m->r) - 1));
            if (backend.plan_write(run->p, PLAN_GRADIENT, (int)i, values, count * sizeof *values) != OK)
                fail_msg("%s", status_message());
        }
        free(values);
    }
}

static void train_networks(uint64_t first, uint64_t last, int threads)
{
    for (uint64_t seed = first; seed < last; seed++) {
        maker m;
        runner run;
        plain p;
        make_network(&m, seed);
        start(&run, &m, true, PRECISION_FP32, threads);
        plain_create(&m.g, true, m.values, &p);
        for (int round = 0; round < 2; round++) { /* twice: memory of the first run must not shine through */
            give(&run, &p, &m, PLAN_VALUE, TENSOR_INPUT);
            give_gradients(&run, &p, &m);
            assert_int_equal(backend.buffer_clear(run.gradients), OK);
            if (backend.plan_run(run.p) != OK) fail_msg("%s", status_message());
            plain_forward(&p);
            plain_backward(&p);
            compare_maps(&run, &p, &m, PLAN_VALUE, seed, 1e-4);
            compare_maps(&run, &p, &m, PLAN_GRADIENT, seed, 1e-3);
            compare_stored(&run, &p, &m, seed, 1e-3);
        }
        plain_free(&p);
        stop(&run);
        free_network(&m);
    }
}

static void training_plans_equal_plain_loops(void **state)
{
    (void)state;
    train_networks(1, 120, 2);
}

static void training_plans_do_not_depend_on_the_threads(void **state)
{
    (void)state;
    train_networks(200, 220, 1);
    train_networks(200, 220, 3);
}

/* Other weights, for the device and for the plain loops: what was packed or folded has to be made anew. */
static void change_weights(runner *run, plain *plain_run, maker *m)
{
    for (size_t i = 0; i < m->g.tensor_count; i++) {
        if (m->g.tensors[i].role != TENSOR_STORED) continue;
        for (size_t k = 0; k < plain_count(plain_run, (int)i); k++)
            plain_run->value[i][k] = (double)(m->values[m->g.tensors[i].offset + (int64_t)k] *= 1.25f);
    }
    assert_int_equal(backend.buffer_write(run->weights, 0, m->values, WEIGHTS_MOST * 4), OK);
}

static void infer_networks(uint64_t first, uint64_t last, precision precision, double most)
{
    for (uint64_t seed = first; seed < last; seed++) {
        maker m;
        runner run;
        plain p;
        make_network(&m, seed);
        start(&run, &m, false, precision, 2);
        plain_create(&m.g, false, m.values, &p);
        for (int round = 0; round < 2; round++) {
            give(&run, &p, &m, PLAN_VALUE, TENSOR_INPUT);
            if (backend.plan_run(run.p) != OK) fail_msg("%s", status_message());
            plain_forward(&p);
            compare_maps(&run, &p, &m, PLAN_VALUE, seed, most);
            change_weights(&run, &p, &m);
        }
        plain_free(&p);
        stop(&run);
        free_network(&m);
    }
}

static void inference_plans_equal_plain_loops(void **state)
{
    (void)state;
    infer_networks(300, 420, PRECISION_FP32, 1e-4);
}

static void bf16_plans_are_near(void **state)
{
    (void)state;
    device *d;
    device_info info;
    assert_int_equal(backend.open(0, &(device_options){.threads = 1}, &d), OK);
    backend.info(d, &info);
    backend.close(&d);
    if (info.supports[PRECISION_BF16])
        infer_networks(500, 540, PRECISION_BF16, 0.1); /* 2^-8 a rounding, a dozen in a row */
    else print_message("skipped: needs a processor with bf16\n");
}

static void every_slot_of_the_table_is_filled(void **state)
{
    (void)state;
    const void *const *slots = (const void *const *)(const void *)&backend.name;
    size_t count = (sizeof backend - offsetof(backend_ops, name)) / sizeof *slots;
    for (size_t i = 0; i < count; i++) assert_non_null(slots[i]);
    assert_int_equal(backend.abi, BACKEND_ABI);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    maker m;
    runner run;
    float one = 0;
    make_network(&m, 7);
    start(&run, &m, true, PRECISION_FP32, 1);
    assert_int_equal(backend.plan_write(run.p, PLAN_VALUE, m.maps[0], &one, sizeof one), ERR_ARGUMENT);
    assert_int_equal(backend.plan_write(run.p, PLAN_VALUE, 100000, &one, sizeof one), ERR_ARGUMENT);
    assert_int_equal(backend.plan_read(run.p, PLAN_VALUE, -1, &one, sizeof one), ERR_ARGUMENT);
    assert_int_equal(backend.buffer_read(run.weights, WEIGHTS_MOST * 4, &one, 1), ERR_ARGUMENT);
    assert_int_equal(backend.buffer_write(run.weights, SIZE_MAX, &one, 2), ERR_ARGUMENT);
    plan *none;
    plan_options options = {.precision = PRECISION_FP32}; /* no buffer for the weights */
    assert_int_equal(backend.plan_create(run.d, &m.g, &options, &none), ERR_ARGUMENT);
    assert_null(none);
    m.g.nodes[0].in[0] = 100000;
    assert_int_equal(backend.plan_create(run.d, &m.g, &options, &none), ERR_ARGUMENT);
    stop(&run);
    free_network(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_plans_equal_plain_loops),
        cmocka_unit_test(training_plans_do_not_depend_on_the_threads),
        cmocka_unit_test(inference_plans_equal_plain_loops),
        cmocka_unit_test(bf16_plans_are_near),
        cmocka_unit_test(every_slot_of_the_table_is_filled),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
