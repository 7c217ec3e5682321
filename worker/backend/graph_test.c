/* graph.c: a graph that is well formed, and every way in which each of its nodes can be wrong. load.c: a backend that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/backend/graph.h"
#include "worker/backend/load.h"

static int add(graph *g, const char *name, tensor_role role, shape s)
{
    graph_tensor t = {.role = role, .type = DTYPE_F32, .shape = s};
    int index;
    strcpy(t.name, name);
    assert_int_equal(graph_add_tensor(g, &t, &index), OK);
    return index;
}

static void node(graph *g, graph_node n, int out)
{
    n.outputs = 1;
    n.out[0] = out;
    assert_int_equal(graph_add_node(g, &n), OK);
}

static shape map_of(int channels, int side)
{
    return shape_of(4, 2, channels, side, side);
}

/* Nodes, in this order. */
enum { CONV, NORM, ACT, POOL, UP, JOIN, SUM, NODES };

/* x -> conv -> norm -> activation, pool, upsample; concat and add. */
static graph make(void)
{
    graph g = {0};
    int x = add(&g, "x", TENSOR_INPUT, map_of(3, 8)), w = add(&g, "w", TENSOR_STORED, shape_of(4, 6, 3, 3, 3));
    int b = add(&g, "b", TENSOR_STORED, shape_of(1, 6, 0, 0, 0)), y = add(&g, "y", TENSOR_INNER, map_of(6, 4));
    int n = add(&g, "n", TENSOR_INNER, map_of(6, 4)), a = add(&g, "a", TENSOR_INNER, map_of(6, 4));
    int p = add(&g, "p", TENSOR_INNER, map_of(6, 2)), u = add(&g, "u", TENSOR_INNER, map_of(6, 4));
    int c = add(&g, "c", TENSOR_INNER, map_of(12, 4)), s = add(&g, "s", TENSOR_OUTPUT, map_of(12, 4));
    node(&g, (graph_node){.kind = OP_CONV, .inputs = 3, .in = {x, w, b}, .conv = {3, 3, 2, 2, 1, 1, 1}}, y);
    node(&g, (graph_node){.kind = OP_NORM, .inputs = 5, .in = {y, b, b, b, b}}, n);
    node(&g, (graph_node){.kind = OP_ACTIVATION, .inputs = 1, .in = {n}}, a);
    node(&g, (graph_node){.kind = OP_MAXPOOL, .inputs = 1, .in = {a}, .pool = {2, 2, 0}}, p);
    node(&g, (graph_node){.kind = OP_UPSAMPLE, .inputs = 1, .in = {p}}, u);
    node(&g, (graph_node){.kind = OP_CONCAT, .inputs = 2, .in = {a, u}}, c);
    node(&g, (graph_node){.kind = OP_ADD, .inputs = 2, .in = {c, c}}, s);
    return g;
}

static void a_well_formed_graph_passes(void **state)
{
    (void)state;
    graph g = make();
    if (graph_check(&g) != OK) fail_msg("%s", status_message());
    assert_int_equal(graph_find(&g, "u"), 7);
    assert_int_equal(graph_find(&g, "v"), -1);
    graph_free(&g);
    assert_true(!g.tensors && !g.nodes && !g.node_count);
    graph_free(&g);
}

static void refuse(graph *g, const char *words)
{
    assert_int_equal(graph_check(g), ERR_ARGUMENT);
    if (!strstr(status_message(), words)) fail_msg("'%s' does not say '%s'", status_message(), words);
    graph_free(g);
}

/* A graph with one field of a node, or one dimension of a tensor, set to something else. */
static void refuse_field(int index, size_t offset, int value, const char *words)
{
    graph g = make();
    memcpy((char *)&g.nodes[index] + offset, &value, sizeof value);
    refuse(&g, words);
}

static void refuse_dimension(const char *tensor, int dimension, int value, const char *words)
{
    graph g = make();
    g.tensors[graph_find(&g, tensor)].shape.dim[dimension] = value;
    refuse(&g, words);
}

static void links_are_checked(void **state)
{
    (void)state;
    refuse_field(CONV, offsetof(graph_node, kind), 99, "an unknown operation");
    refuse_field(CONV, offsetof(graph_node, inputs), 2, "number of inputs");
    refuse_field(JOIN, offsetof(graph_node, inputs), GRAPH_INPUTS + 1, "number of inputs");
    refuse_field(CONV, offsetof(graph_node, outputs), 0, "number of outputs");
    refuse_field(CONV, offsetof(graph_node, in[0]), -1, "an input that is not there");
    refuse_field(CONV, offsetof(graph_node, in[0]), 1000, "an input that is not there");
    refuse_field(NORM, offsetof(graph_node, in[0]), 5, "an input that is made later");
    refuse_field(NORM, offsetof(graph_node, out[0]), 3, "an output that is there already");
    refuse_field(NORM, offsetof(graph_node, out[0]), 1000, "an output that is not there");
    graph g = make();
    g.nodes[CONV].in[2] = -1; /* a bias may be missing */
    assert_int_equal(graph_check(&g), OK);
    graph_free(&g);
}

static void shapes_are_checked(void **state)
{
    (void)state;
    refuse_field(CONV, offsetof(graph_node, conv.groups), 2, "channels");
    refuse_field(CONV, offsetof(graph_node, conv.groups), 0, "parameters");
    refuse_field(CONV, offsetof(graph_node, conv.stride_h), 1, "the output's shape");
    refuse_field(CONV, offsetof(graph_node, conv.kernel_w), 5, "the kernel's size");
    refuse_field(POOL, offsetof(graph_node, pool.stride), 1, "the output's shape");
    refuse_field(POOL, offsetof(graph_node, pool.pad), 2, "parameters");
    refuse_field(POOL, offsetof(graph_node, pool.size), 9, "the output's shape");
    refuse_dimension("x", 1, 4, "channels");
    refuse_dimension("b", 0, 5, "the bias");
    refuse_dimension("n", 2, 5, "shapes");
    refuse_dimension("p", 1, 5, "shapes");
    refuse_dimension("u", 3, 6, "shapes");
    refuse_dimension("c", 1, 13, "channels");
    refuse_dimension("s", 0, 1, "shapes");
    refuse_dimension("x", 0, 0, "feature maps");
}

static void heads_are_checked(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 5; wrong++) {
        graph g = {0};
        int x = add(&g, "x", TENSOR_INPUT, map_of(wrong == 1 ? 7 : 14, 4));
        int t = add(&g, "t", TENSOR_INPUT, shape_of(2, 10, wrong == 2 ? 5 : 6, 0, 0)),
            n = add(&g, "n", TENSOR_INPUT, shape_of(1, 1, 0, 0, 0));
        int items = add(&g, "items", TENSOR_OUTPUT, shape_of(1, wrong == 3 ? 3 : 4, 0, 0, 0));
        graph_node loss = {.kind = OP_LOSS, .inputs = 3, .in = {x, t, n}};
        loss.loss.detect = (detect_parameters){.levels = 1, .anchors = 2, .classes = wrong == 4 ? 0 : 2};
        node(&g, loss, items);
        assert_int_equal(graph_check(&g), wrong ? ERR_ARGUMENT : OK);
        graph_free(&g);
    }
}

static void a_backend_that_is_not_there_is_named(void **state)
{
    (void)state;
    const backend_ops *ops, *again;
    assert_int_equal(backend_load("tpu", &ops), ERR_NOT_FOUND);
    assert_null(ops);
    assert_non_null(strstr(status_message(), "no backend 'tpu': looked for"));
    assert_int_equal(backend_load("cpu", &ops), OK);
    assert_int_equal(backend_load("cpu", &again), OK);
    assert_ptr_equal(ops, again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_well_formed_graph_passes),
        cmocka_unit_test(links_are_checked),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(heads_are_checked),
        cmocka_unit_test(a_backend_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
