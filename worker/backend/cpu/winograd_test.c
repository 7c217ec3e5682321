/* Convolutions of 3 x 3 as a training step runs them, in the way that the rule chooses, against sums in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/backend/cpu/winograd.h"

extern const backend_ops backend;

typedef struct shape_case {
    int images, in, out, height, width;
} shape_case;

/* Maps in the graph's order (N, C, H, W), weights (O, I, 3, 3). */
typedef struct layer {
    shape_case s;
    int x, y; /* tensors of the graph */
    float *in, *weights, *dy;
    double *out, *dx, *dw;
    size_t in_count, out_count, weight_count;
} layer;

static float *random_values(keyed_rng *r, size_t count, double most)
{
    float *v = malloc(count * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < count; i++) v[i] = (float)(most * (2 * keyed_random(r) - 1));
    return v;
}

static void make_layer(layer *l, const shape_case *s)
{
    keyed_rng r;
    keyed_seed(&r, 5, 0, 0);
    size_t pixels = (size_t)s->images * (size_t)s->height * (size_t)s->width;
    *l = (layer){.s = *s};
    l->in_count = pixels * (size_t)s->in;
    l->out_count = pixels * (size_t)s->out;
    l->weight_count = (size_t)s->in * (size_t)s->out * 9;
    l->in = random_values(&r, l->in_count, 1);
    l->weights = random_values(&r, l->weight_count, 1 / sqrt(9.0 * s->in));
    l->dy = random_values(&r, l->out_count, 1);
    l->out = calloc(l->out_count, sizeof *l->out);
    l->dx = calloc(l->in_count, sizeof *l->dx);
    l->dw = calloc(l->weight_count, sizeof *l->dw);
    assert_true(l->out && l->dx && l->dw);
}

static void free_layer(layer *l)
{
    free(l->in);
    free(l->weights);
    free(l->dy);
    free(l->out);
    free(l->dx);
    free(l->dw);
}

/* What one channel of one image has to do with another: y += w * x, dx += w * dy, and dw. */
static void add_channels(layer *l, size_t x, size_t y, size_t w)
{
    int height = l->s.height, width = l->s.width;
    for (int ky = 0; ky < 3; ky++)
        for (int kx = 0; kx < 3; kx++) {
            double weight = l->weights[w + (size_t)(3 * ky + kx)], sum = 0;
            int top = ky ? 0 : 1, left = kx ? 0 : 1, bottom = ky < 2 ? height : height - 1,
                right = kx < 2 ? width : width - 1;
            for (int i = top; i < bottom; i++)
                for (int j = left; j < right; j++) {
                    size_t from = x + (size_t)((i + ky - 1) * width + j + kx - 1), to = y + (size_t)(i * width + j);
                    l->out[to] += weight * l->in[from];
                    l->dx[from] += weight * l->dy[to];
                    sum += (double)l->in[from] * l->dy[to];
                }
            l->dw[w + (size_t)(3 * ky + kx)] += sum;
        }
}

static void compute(layer *l)
{
    const shape_case *s = &l->s;
    size_t pixels = (size_t)s->height * (size_t)s->width;
    for (size_t n = 0; n < (size_t)s->images; n++)
        for (size_t o = 0; o < (size_t)s->out; o++)
            for (size_t i = 0; i < (size_t)s->in; i++)
                add_channels(l, (n * (size_t)s->in + i) * pixels, (n * (size_t)s->out + o) * pixels,
                             (o * (size_t)s->in + i) * 9);
}

/* Rounding of the transforms: some 1e-5 of the largest value; a direct convolution has a tenth of that. */
static const double tolerance = 3e-5;

static void check_near(const float *got, const double *want, size_t count, const char *what)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs(want[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= tolerance * most))
            fail_msg("%s %zu: %.8g, expected %.8g; the largest is %g", what, i, (double)got[i], want[i], most);
}

static void build_graph(layer *l, graph *g)
{
    const shape_case *s = &l->s;
    graph_tensor x = {.name = "x", .role = TENSOR_INPUT, .type = DTYPE_F32},
                 w = {.name = "w", .role = TENSOR_STORED, .type = DTYPE_F32, .trained = true},
                 y = {.name = "y", .role = TENSOR_OUTPUT, .type = DTYPE_F32};
    int weights;
    x.shape = shape_of(4, s->images, s->in, s->height, s->width);
    w.shape = shape_of(4, s->out, s->in, 3, 3);
    y.shape = shape_of(4, s->images, s->out, s->height, s->width);
    assert_int_equal(graph_add_tensor(g, &x, &l->x), OK);
    assert_int_equal(graph_add_tensor(g, &w, &weights), OK);
    assert_int_equal(graph_add_tensor(g, &y, &l->y), OK);
    graph_node n = {.kind = OP_CONV, .inputs = 3, .in = {l->x, weights, -1}, .outputs = 1, .out = {l->y}};
    n.conv = (conv_parameters){3, 3, 1, 1, 1, 1, 1};
    assert_int_equal(graph_add_node(g, &n), OK);
}

static void read_and_check(plan *p, const layer *l)
{
    float *got = malloc((l->in_count > l->out_count ? l->in_count : l->out_count) * sizeof *got);
    assert_non_null(got);
    assert_int_equal(backend.plan_read(p, PLAN_VALUE, l->y, got, l->out_count * sizeof *got), OK);
    check_near(got, l->out, l->out_count, "output");
    assert_int_equal(backend.plan_read(p, PLAN_GRADIENT, l->x, got, l->in_count * sizeof *got), OK);
    check_near(got, l->dx, l->in_count, "gradient of the input");
    free(got);
}

static void run_and_check(layer *l, int threads)
{
    device *d;
    buffer *weights, *gradients;
    plan *p;
    graph g = {0};
    plan_options options = {.training = true, .precision = PRECISION_FP32};
    size_t bytes = l->weight_count * sizeof *l->weights;
    float *dw = malloc(bytes);
    assert_int_equal(backend.open(0, &(device_options){.threads = threads}, &d), OK);
    assert_int_equal(backend.buffer_create(d, bytes, &weights), OK);
    assert_int_equal(backend.buffer_create(d, bytes, &gradients), OK);
    assert_int_equal(backend.buffer_write(weights, 0, l->weights, bytes), OK);
    options.buffers[ARENA_WEIGHTS] = weights;
    options.buffers[ARENA_GRADIENTS] = gradients;
    build_graph(l, &g);
    assert_int_equal(backend.plan_create(d, &g, &options, &p), OK);
    assert_int_equal(backend.plan_write(p, PLAN_VALUE, l->x, l->in, l->in_count * sizeof *l->in), OK);
    assert_int_equal(backend.plan_write(p, PLAN_GRADIENT, l->y, l->dy, l->out_count * sizeof *l->dy), OK);
    assert_int_equal(backend.plan_run(p), OK);
    read_and_check(p, l);
    assert_int_equal(backend.buffer_read(gradients, 0, dw, bytes), OK);
    check_near(dw, l->dw, l->weight_count, "gradient of the weights");
    free(dw);
    graph_free(&g);
    backend.plan_destroy(&p);
    backend.buffer_destroy(&weights);
    backend.buffer_destroy(&gradients);
    backend.close(&d);
}

/* Whole tiles and cut ones, channels that fill a block and those that do not. */
static const shape_case cases[] = {
    {4, 48, 48, 32, 32}, {16, 64, 64, 13, 11}, {8, 72, 40, 26, 18}, {16, 128, 64, 8, 8}, {2, 16, 16, 9, 7},
};

static void convolutions_equal_plain_sums(void **state)
{
    (void)state;
    layer l;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_layer(&l, &cases[i]);
        compute(&l);
        for (int threads = 1; threads <= 2; threads++) run_and_check(&l, threads);
        free_layer(&l);
    }
}

/* What the rule was measured for, and kernels that it must leave alone. */
static void the_rule_takes_large_maps_of_many_channels(void **state)
{
    (void)state;
    conv_parameters k = {3, 3, 1, 1, 1, 1, 1}, strided = {3, 3, 2, 2, 1, 1, 1}, grouped = {3, 3, 1, 1, 1, 1, 2},
                    point = {1, 1, 1, 1, 0, 0, 1}, bare = {3, 3, 1, 1, 0, 0, 1};
    for (int pass = PASS_FORWARD; pass <= PASS_WEIGHTS; pass++) {
        assert_true(winograd_pays(&k, (conv_pass)pass, 16, 64, 64, 40, 40));
        assert_true(winograd_pays(&k, (conv_pass)pass, 16, 256, 256, 10, 10));
        assert_false(winograd_pays(&k, (conv_pass)pass, 16, 16, 64, 40, 40));
        assert_false(winograd_pays(&k, (conv_pass)pass, 16, 512, 512, 4, 4));
        const conv_parameters *others[] = {&strided, &grouped, &point, &bare};
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            assert_false(winograd_pays(others[i], (conv_pass)pass, 16, 64, 64, 40, 40));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_equal_plain_sums),
        cmocka_unit_test(the_rule_takes_large_maps_of_many_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
