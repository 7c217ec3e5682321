/* onnx.c: exported models, read back and run by the slow operators of test_onnx.h, beside the model itself on the CPU.
 * onnxruntime runs them in tests/interop. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/rng.h"
#include "worker/backend/load.h"
#include "worker/model/onnx.h"
#include "worker/model/test_onnx.h"

enum { BATCH = 2, HEIGHT = 64, WIDTH = 96 };

#define FRONT                                                                                                          \
    "nc: 3\ndepth_multiple: 0.33\nwidth_multiple: 0.125\nanchors: [[10,13, 16,30, 33,23], [30,61, 62,45, 59,119]]\n"

static const char every_yaml[] = FRONT "backbone:\n"
                                       "  - [-1, 1, Focus, [32, 3]]\n"
                                       "  - [-1, 1, nn.MaxPool2d, [2, 2]]\n"
                                       "  - [-1, 1, CrossConv, [32, 3, 1, 1, 1.0, True]]\n"
                                       "  - [-1, 1, MixConv2d, [32]]\n"
                                       "  - [-1, 3, C3, [64]]\n"
                                       "  - [-1, 1, DWConv, [64, 3, 2]]\n"
                                       "  - [-1, 1, nn.BatchNorm2d, []]\n"
                                       "  - [-1, 1, Bottleneck, [64]]\n"
                                       "  - [-1, 1, Conv, [64, 3, 2, 1, 1, False]]\n"
                                       "  - [-1, 1, SPP, [64, [3, 5]]]\n"
                                       "head:\n"
                                       "  - [-1, 1, nn.Conv2d, [64, 1, 1]]\n"
                                       "  - [-1, 1, nn.Upsample, [None, 2, nearest]]\n"
                                       "  - [[-1, 7], 1, Concat, [1]]\n"
                                       "  - [-1, 1, BottleneckCSP, [64, False]]\n"
                                       "  - [[13, 9], 1, Detect, [nc, anchors]]\n";
#define LATER(activation)                                                                                              \
    FRONT "activation: " activation "\nbackbone:\n"                                                                    \
          "  - [-1, 1, Conv, [32, 6, 2, 2]]\n"                                                                         \
          "  - [-1, 1, Conv, [64, 3, 2]]\n"                                                                            \
          "  - [-1, 3, C3, [64]]\n"                                                                                    \
          "  - [-1, 1, Conv, [64, 3, 2]]\n"                                                                            \
          "  - [-1, 1, SPPF, [64, 3]]\n"                                                                               \
          "head:\n"                                                                                                    \
          "  - [[2, 4], 1, Detect, [nc, anchors]]\n"
static const char *const yamls[] = {every_yaml, LATER("SiLU"), LATER("ReLU"), LATER("LeakyReLU"), LATER("Hardswish")};
enum { YAMLS = sizeof yamls / sizeof *yamls };

/* Weights and statistics such that no term is trivial. */
static void make_model(const char *yaml, model *m)
{
    model_config config;
    keyed_rng r;
    if (model_config_parse("test", yaml, 0, &config) != OK) fail_msg("%s", status_message());
    if (model_create(&config, m) != OK) fail_msg("%s", status_message());
    model_init(m, 5);
    keyed_seed(&r, 3, 0, 0);
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        bool norm = strstr(w->name, "running") || (w->shape.rank == 1 && w->kind == WEIGHT_PARAMETER);
        for (int64_t k = 0; norm && k < shape_count(&w->shape); k++) {
            bool positive = strstr(w->name, "var") || strstr(w->name, "weight");
            m->arena[w->offset + k] = (float)(positive ? 0.4 + keyed_random(&r) : keyed_random(&r) - 0.5);
        }
    }
}

static Onnx__ModelProto *export(const model *m, const onnx_options *o)
{
    text file = {0};
    if (onnx_build(m, o, &file) != OK) fail_msg("%s", status_message());
    Onnx__ModelProto *back = onnx__model_proto__unpack(NULL, file.length, (const uint8_t *)file.bytes);
    assert_non_null(back);
    text_free(&file);
    return back;
}

/* What the model itself makes of the images: all raw heads (N, A (5 + C), H, W) one after the other, or the rows. */
static float *run_model(const model *m, const float *images, bool decode, size_t *count)
{
    const backend_ops *ops;
    device *d;
    buffer *weights;
    plan *p;
    graph g;
    graph_ends ends;
    graph_request request = {BATCH, HEIGHT, WIDTH, .raw = !decode, .decode = decode};
    if (backend_load("cpu", &ops) != OK) fail_msg("%s", status_message());
    assert_int_equal(ops->open(0, &(device_options){.threads = 1}, &d), OK);
    assert_int_equal(ops->buffer_create(d, (size_t)m->arena_count * sizeof(float), &weights), OK);
    assert_int_equal(ops->buffer_write(weights, 0, m->arena, (size_t)m->arena_count * sizeof(float)), OK);
    assert_int_equal(model_graph(m, &request, &g, &ends), OK);
    plan_options o = {.precision = PRECISION_FP32};
    o.buffers[ARENA_WEIGHTS] = weights;
    if (ops->plan_create(d, &g, &o, &p) != OK) fail_msg("%s", status_message());
    assert_int_equal(ops->plan_write(p, PLAN_VALUE, ends.pixels, images, BATCH * 3 * HEIGHT * WIDTH * sizeof *images),
                     OK);
    assert_int_equal(ops->plan_run(p), OK);
    float *out = NULL;
    *count = 0;
    for (int i = 0; i < (decode ? 1 : m->config.levels); i++) {
        int end = decode ? ends.decoded : ends.raw[i];
        size_t here = (size_t)shape_count(&g.tensors[end].shape);
        out = realloc(out, (*count + here) * sizeof *out);
        assert_int_equal(ops->plan_read(p, PLAN_VALUE, end, out + *count, here * sizeof *out), OK);
        *count += here;
    }
    ops->plan_destroy(&p);
    graph_free(&g);
    ops->buffer_destroy(&weights);
    ops->close(&d);
    return out;
}

static float *make_images(void)
{
    keyed_rng r;
    float *images = calloc(BATCH * 3 * HEIGHT * WIDTH, sizeof *images);
    assert_non_null(images);
    keyed_seed(&r, 9, 0, 0);
    for (int i = 0; i < BATCH * 3 * HEIGHT * WIDTH; i++) images[i] = (float)keyed_random(&r);
    return images;
}

static void assert_alike(double got, double want, const char *what)
{
    if (!(fabs(got - want) <= 1e-4 * (1 + fabs(want)))) fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

static void raw_heads_are_the_model_s(void **state)
{
    (void)state;
    static const char *const names[] = {"output", "output1"};
    float *images = make_images();
    for (int i = 0; i < YAMLS; i++) {
        model m;
        size_t count, at = 0;
        make_model(yamls[i], &m);
        Onnx__ModelProto *onnx = export(&m, &(onnx_options){.height = HEIGHT, .width = WIDTH});
        onnx_run *r = onnx_run_model(onnx, images, BATCH, HEIGHT, WIDTH);
        float *want = run_model(&m, images, false, &count);
        for (int level = 0; level < 2; level++) {
            const onnx_tensor *t = onnx_find(r, names[level]);
            int64_t values = t->dim[4], area = t->dim[2] * t->dim[3];
            assert_true(t->rank == 5 && t->dim[0] == BATCH && t->dim[1] == 3 && values == 8);
            for (int64_t k = 0; k < onnx_elements(t); k++) { /* there: ... values, H, W */
                int64_t value = k % values, place = k / values % area, head = k / values / area;
                assert_alike((double)t->f[k], (double)want[at + (size_t)((head * values + value) * area + place)],
                             "head");
            }
            at += (size_t)onnx_elements(t);
        }
        assert_int_equal(at, count);
        free(want);
        onnx_run_free(r);
        onnx__model_proto__free_unpacked(onnx, NULL);
        model_free(&m);
    }
    free(images);
}

static void decoded_boxes_are_the_model_s(void **state)
{
    (void)state;
    float *images = make_images();
    for (int i = 0; i < 2; i++) {
        model m;
        size_t count;
        make_model(yamls[i], &m);
        Onnx__ModelProto *onnx = export(&m, &(onnx_options){.height = HEIGHT, .width = WIDTH, .decode = true});
        onnx_run *r = onnx_run_model(onnx, images, BATCH, HEIGHT, WIDTH);
        float *want = run_model(&m, images, true, &count);
        const onnx_tensor *t = onnx_find(r, "output");
        assert_true(t->rank == 3 && t->dim[0] == BATCH && t->dim[2] == 8);
        assert_int_equal(onnx_elements(t), count);
        for (size_t k = 0; k < count; k++) assert_alike((double)t->f[k], (double)want[k], "row");
        free(want);
        onnx_run_free(r);
        onnx__model_proto__free_unpacked(onnx, NULL);
        model_free(&m);
    }
    free(images);
}

static int count_nodes(const Onnx__ModelProto *m, const char *type)
{
    int count = 0;
    for (size_t i = 0; i < m->graph->n_node; i++) count += !strcmp(m->graph->node[i]->op_type, type);
    return count;
}

static void assert_shape(const Onnx__ValueInfoProto *v, const char *name, int rank, const int64_t *dims)
{
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
    assert_string_equal(v->name, name);
    assert_int_equal(t->elem_type, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    assert_int_equal(t->shape->n_dim, rank);
    assert_int_equal(t->shape->dim[0]->value_case, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM);
    assert_string_equal(t->shape->dim[0]->dim_param, "batch");
    for (int i = 1; i < rank; i++) assert_int_equal(t->shape->dim[i]->dim_value, dims[i]);
}

static void a_file_says_what_it_is(void **state)
{
    (void)state;
    static const char *const names[] = {"disc", "it's", "back\\slash"};
    model m;
    make_model(every_yaml, &m);
    Onnx__ModelProto *onnx = export(&m, &(onnx_options){.height = HEIGHT, .width = WIDTH, .names = names});
    assert_int_equal(onnx->ir_version, 7);
    assert_int_equal(onnx->n_opset_import, 1);
    assert_int_equal(onnx->opset_import[0]->version, 12);
    assert_string_equal(onnx->opset_import[0]->domain, "");
    assert_int_equal(onnx->n_metadata_props, 2);
    assert_string_equal(onnx->metadata_props[0]->value, "16");
    assert_string_equal(onnx->metadata_props[1]->value, "{0: 'disc', 1: 'it\\'s', 2: 'back\\\\slash'}");
    assert_int_equal(onnx->graph->n_input, 1);
    assert_shape(onnx->graph->input[0], "images", 4, (int64_t[]){0, 3, HEIGHT, WIDTH});
    assert_int_equal(onnx->graph->n_output, 2);
    assert_shape(onnx->graph->output[0], "output", 5, (int64_t[]){0, 3, HEIGHT / 8, WIDTH / 8, 8});
    assert_shape(onnx->graph->output[1], "output1", 5, (int64_t[]){0, 3, HEIGHT / 16, WIDTH / 16, 8});
    onnx__model_proto__free_unpacked(onnx, NULL);
    onnx = export(&m, &(onnx_options){.height = HEIGHT, .width = WIDTH, .decode = true});
    assert_int_equal(onnx->n_metadata_props, 1);
    assert_int_equal(onnx->graph->n_output, 1);
    int64_t cells = HEIGHT / 8 * (WIDTH / 8) + HEIGHT / 16 * (WIDTH / 16);
    assert_shape(onnx->graph->output[0], "output", 3, (int64_t[]){0, 3 * cells, 8});
    onnx__model_proto__free_unpacked(onnx, NULL);
    model_free(&m);
}

/* What is left of the norms: those behind a concatenation, and the one that stands alone behind a layer. */
static void norms_behind_convolutions_are_folded(void **state)
{
    (void)state;
    model m;
    make_model(every_yaml, &m);
    Onnx__ModelProto *onnx = export(&m, &(onnx_options){.height = HEIGHT, .width = WIDTH});
    assert_int_equal(count_nodes(onnx, "BatchNormalization"), 4); /* MixConv2d, C3, nn.BatchNorm2d, BottleneckCSP */
    for (size_t i = 0; i < onnx->graph->n_initializer; i++)
        assert_null(strstr(onnx->graph->initializer[i]->name, "cv1.bn"));
    onnx__model_proto__free_unpacked(onnx, NULL);
    model_free(&m);
    make_model(LATER("SiLU"), &m);
    onnx = export(&m, &(onnx_options){.height = HEIGHT, .width = WIDTH});
    assert_int_equal(count_nodes(onnx, "BatchNormalization"), 0);
    assert_int_equal(count_nodes(onnx, "Sigmoid"), count_nodes(onnx, "Mul"));
    onnx__model_proto__free_unpacked(onnx, NULL);
    model_free(&m);
}

static void a_size_that_does_not_go_is_refused(void **state)
{
    (void)state;
    model m;
    text file = {0};
    make_model(every_yaml, &m);
    assert_int_equal(onnx_build(&m, &(onnx_options){.height = 60, .width = 64}, &file), ERR_ARGUMENT);
    assert_int_equal(file.length, 0);
    assert_int_equal(onnx_write(&m, &(onnx_options){.height = 64, .width = 64}, "/nowhere/model.onnx"), ERR_NOT_FOUND);
    text_free(&file);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_heads_are_the_model_s),
        cmocka_unit_test(decoded_boxes_are_the_model_s),
        cmocka_unit_test(a_file_says_what_it_is),
        cmocka_unit_test(norms_behind_convolutions_are_folded),
        cmocka_unit_test(a_size_that_does_not_go_is_refused),
    };
    log_set_level(LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
