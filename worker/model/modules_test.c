/* modules.c and modules_graph.c: the weights that each module registers, in its constructor's order, and the operations that it
 * stands for. What they compute is compared with the reference by the parity runner, as far as its models have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/text.h"
#include "worker/model/model.h"

/* A model of one layer under test between two that are always the same; it reads 32 channels. */
static status make(const char *top, const char *module, model *out)
{
    text yaml = {0};
    model_config config;
    text_add(&yaml,
             "nc: 1\ndepth_multiple: 1.0\nwidth_multiple: 1.0\nanchors: [[8,8]]\n%sbackbone:\n"
             "  - [-1, 1, Conv, [32, 3, 2]]\n  - %s\nhead:\n  - [[-1], 1, Detect, [nc, anchors]]\n",
             top, module);
    *out = (model){0};
    status s = model_config_parse("model.yaml", text_string(&yaml), 0, &config);
    text_free(&yaml);
    return s == OK ? model_create(&config, out) : s;
}

/* "name shape; ..." of the weights of layer 1, without those of the norms but for a * where one is. */
static void describe_weights(const model *m, text *out)
{
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        if (w->layer != 1 || w->kind != WEIGHT_PARAMETER) continue;
        bool norm = w->shape.rank == 1 && i + 1 < m->count && strstr(m->weights[i + 1].name, ".bias") &&
                    strstr(w->name, ".weight");
        if (strstr(w->name, ".bias") && m->weights[i - 1].shape.rank == 1) continue;
        text_add(out, "%s%s", out->length ? " " : "", w->name + strlen("model.1."));
        if (norm) text_add(out, "*%lld", (long long)w->shape.dim[0]);
        for (int d = 0; !norm && d < w->shape.rank; d++)
            text_add(out, d ? "x%lld" : ":%lld", (long long)w->shape.dim[d]);
    }
}

/* The operations between the first layer's activation and the head's convolution. */
static void describe_operations(const model *m, text *out)
{
    graph g;
    graph_ends ends;
    graph_request r = {.images = 2, .height = 64, .width = 64, .raw = true};
    if (model_graph(m, &r, &g, &ends) != OK || graph_check(&g) != OK) fail_msg("%s", status_message());
    for (size_t i = 4; i + 1 < g.node_count; i++) {
        const graph_node *n = &g.nodes[i];
        text_add(out, "%s%s", out->length ? " " : "", op_name(n->kind));
        if (n->kind == OP_CONV) {
            const conv_parameters *k = &n->conv;
            text_add(out, "%dx%d/%dx%d+%dx%d", k->kernel_h, k->kernel_w, k->stride_h, k->stride_w, k->pad_h, k->pad_w);
            if (k->groups > 1) text_add(out, ",%d", k->groups);
        }
        if (n->kind == OP_ACTIVATION) text_add(out, "%d", n->activation);
        if (n->kind == OP_MAXPOOL) text_add(out, "%d/%d+%d", n->pool.size, n->pool.stride, n->pool.pad);
    }
    graph_free(&g);
}

typedef struct expectation {
    const char *top, *module, *weights, *operations;
} expectation;

static void expect(const expectation *e)
{
    model m;
    text weights = {0}, operations = {0};
    if (make(e->top, e->module, &m) != OK) fail_msg("%s: %s", e->module, status_message());
    describe_weights(&m, &weights);
    describe_operations(&m, &operations);
    if (strcmp(text_string(&weights), e->weights)) fail_msg("%s has the weights %s", e->module, text_string(&weights));
    if (strcmp(text_string(&operations), e->operations))
        fail_msg("%s computes %s", e->module, text_string(&operations));
    text_free(&weights);
    text_free(&operations);
    model_free(&m);
}

/* Activations: 0 Hardswish, 1 LeakyReLU, 2 SiLU, 3 ReLU. Weights: name:shape, of a norm name*channels. */
static void modules_are_made_of_the_reference_s_parts(void **state)
{
    (void)state;
    static const expectation modules[] = {
        {"", "[-1, 1, Conv, [16, 3, 2]]", "conv.weight:16x32x3x3 bn.weight*16", "conv3x3/2x2+1x1 norm activation0"},
        {"", "[-1, 1, Conv, [16, 6, 2, 2, 1, False]]", "conv.weight:16x32x6x6 bn.weight*16", "conv6x6/2x2+2x2 norm"},
        {"", "[-1, 1, DWConv, [48, 3]]", "conv.weight:48x2x3x3 bn.weight*48", "conv3x3/1x1+1x1,16 norm activation0"},
        {"", "[-1, 1, Bottleneck, [32]]",
         "cv1.conv.weight:16x32x1x1 cv1.bn.weight*16 cv2.conv.weight:32x16x3x3 cv2.bn.weight*32",
         "conv1x1/1x1+0x0 norm activation0 conv3x3/1x1+1x1 norm activation0 add"},
        {"", "[-1, 1, Bottleneck, [32, False, 2, 1.0]]",
         "cv1.conv.weight:32x32x1x1 cv1.bn.weight*32 cv2.conv.weight:32x16x3x3 cv2.bn.weight*32",
         "conv1x1/1x1+0x0 norm activation0 conv3x3/1x1+1x1,2 norm activation0"},
        {"", "[-1, 1, BottleneckCSP, [16, False]]",
         "cv1.conv.weight:8x32x1x1 cv1.bn.weight*8 cv2.weight:8x32x1x1 cv3.weight:8x8x1x1 cv4.conv.weight:16x16x1x1 "
         "cv4.bn.weight*16 "
         "bn.weight*16 m.0.cv1.conv.weight:8x8x1x1 m.0.cv1.bn.weight*8 m.0.cv2.conv.weight:8x8x3x3 m.0.cv2.bn.weight*8",
         "conv1x1/1x1+0x0 norm activation0 conv1x1/1x1+0x0 conv1x1/1x1+0x0 norm activation0 conv3x3/1x1+1x1 norm "
         "activation0 "
         "conv1x1/1x1+0x0 concat norm activation1 conv1x1/1x1+0x0 norm activation0"},
        {"", "[-1, 1, CrossConv, [32, 3, 1, 1, 1.0, True]]",
         "cv1.conv.weight:32x32x1x3 cv1.bn.weight*32 cv2.conv.weight:32x32x3x1 cv2.bn.weight*32",
         "conv1x3/1x1+0x1 norm activation0 conv3x1/1x1+1x0 norm activation0 add"},
        {"", "[-1, 1, CrossConv, [16, 5, 2, 4, 0.5]]",
         "cv1.conv.weight:8x32x1x5 cv1.bn.weight*8 cv2.conv.weight:16x2x5x1 cv2.bn.weight*16",
         "conv1x5/1x2+0x2 norm activation0 conv5x1/2x1+2x0,4 norm activation0"},
        {"", "[-1, 1, C3, [32]]",
         "cv1.conv.weight:16x32x1x1 cv1.bn.weight*16 cv2.weight:16x32x1x1 cv3.weight:16x16x1x1 "
         "cv4.conv.weight:32x32x1x1 "
         "cv4.bn.weight*32 bn.weight*32 m.0.cv1.conv.weight:16x16x1x3 m.0.cv1.bn.weight*16 "
         "m.0.cv2.conv.weight:16x16x3x1 "
         "m.0.cv2.bn.weight*16",
         "conv1x1/1x1+0x0 norm activation0 conv1x1/1x1+0x0 conv1x3/1x1+0x1 norm activation0 conv3x1/1x1+1x0 norm "
         "activation0 add "
         "conv1x1/1x1+0x0 concat norm activation1 conv1x1/1x1+0x0 norm activation0"},
        {"activation: nn.SiLU()\n", "[-1, 2, C3, [32, False]]",
         "cv1.conv.weight:16x32x1x1 cv1.bn.weight*16 cv2.conv.weight:16x32x1x1 cv2.bn.weight*16 "
         "cv3.conv.weight:32x32x1x1 "
         "cv3.bn.weight*32 m.0.cv1.conv.weight:16x16x1x1 m.0.cv1.bn.weight*16 m.0.cv2.conv.weight:16x16x3x3 "
         "m.0.cv2.bn.weight*16 "
         "m.1.cv1.conv.weight:16x16x1x1 m.1.cv1.bn.weight*16 m.1.cv2.conv.weight:16x16x3x3 m.1.cv2.bn.weight*16",
         "conv1x1/1x1+0x0 norm activation2 conv1x1/1x1+0x0 norm activation2 conv1x1/1x1+0x0 norm activation2 "
         "conv3x3/1x1+1x1 norm "
         "activation2 conv1x1/1x1+0x0 norm activation2 conv3x3/1x1+1x1 norm activation2 concat conv1x1/1x1+0x0 norm "
         "activation2"},
        {"", "[-1, 1, MixConv2d, [32]]", "m.0.weight:16x32x1x1 m.1.weight:16x32x3x3 bn.weight*32",
         "conv1x1/1x1+0x0 conv3x3/1x1+1x1 concat norm activation1 add"},
        {"", "[-1, 1, MixConv2d, [32, [1, 3, 5], 1, False]]",
         "m.0.weight:28x32x1x1 m.1.weight:3x32x3x3 m.2.weight:1x32x5x5 bn.weight*32",
         "conv1x1/1x1+0x0 conv3x3/1x1+1x1 conv5x5/1x1+2x2 concat norm activation1 add"},
        {"", "[-1, 1, SPP, [16]]",
         "cv1.conv.weight:16x32x1x1 cv1.bn.weight*16 cv2.conv.weight:16x64x1x1 cv2.bn.weight*16",
         "conv1x1/1x1+0x0 norm activation0 maxpool5/1+2 maxpool9/1+4 maxpool13/1+6 concat conv1x1/1x1+0x0 norm "
         "activation0"},
        {"activation: ReLU\n", "[-1, 1, SPPF, [16, 5]]",
         "cv1.conv.weight:16x32x1x1 cv1.bn.weight*16 cv2.conv.weight:16x64x1x1 cv2.bn.weight*16",
         "conv1x1/1x1+0x0 norm activation3 maxpool5/1+2 maxpool5/1+2 maxpool5/1+2 concat conv1x1/1x1+0x0 norm "
         "activation3"},
        {"", "[-1, 1, nn.Conv2d, [16, 3, 2]]", "weight:16x32x3x3 bias:16", "conv3x3/2x2+0x0"},
        {"", "[-1, 1, nn.BatchNorm2d, []]", "weight*32", "norm"},
        {"", "[-1, 1, nn.MaxPool2d, [2]]", "", "maxpool2/2+0"},
        {"", "[-1, 1, nn.MaxPool2d, [3, 1, 1]]", "", "maxpool3/1+1"},
        {"", "[-1, 1, nn.Upsample, [None, 2, 'nearest']]", "", "upsample"},
    };
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) expect(&modules[i]);
}

/* A torch.nn.Sequential: weights are numbered. */
static void repeated_modules_are_numbered(void **state)
{
    (void)state;
    static const expectation twice = {"", "[-1, 2, Conv, [16]]",
                                      "0.conv.weight:16x32x1x1 0.bn.weight*16 1.conv.weight:16x16x1x1 1.bn.weight*16",
                                      "conv1x1/1x1+0x0 norm activation0 conv1x1/1x1+0x0 norm activation0"};
    expect(&twice);
}

/* MixConv2d with 48 channels for 3 kernels: torch.linspace(0, 3 - 1e-6, 48).floor() */
static void mixed_kernels_share_the_channels(void **state)
{
    (void)state;
    static const struct {
        int channels, parts[3];
    } cases[] = {{48, {16, 16, 16}}, {32, {11, 10, 11}}, {40, {14, 13, 13}}, {8, {3, 2, 3}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model_config c;
        text yaml = {0};
        text_add(&yaml,
                 "nc: 1\ndepth_multiple: 1.0\nwidth_multiple: 1.0\nanchors: [[8,8]]\nbackbone:\n  - [-1, 1, Conv, [%d, "
                 "3, 2]]\n"
                 "  - [-1, 1, MixConv2d, [%d, [1, 3, 5]]]\nhead:\n  - [[-1], 1, Detect, [nc, anchors]]\n",
                 cases[i].channels, cases[i].channels);
        assert_int_equal(model_config_parse("model.yaml", text_string(&yaml), 0, &c), OK);
        for (int k = 0; k < 3; k++)
            if (c.layers[1].part[k] != cases[i].parts[k])
                fail_msg("%d channels: part %d is %d", cases[i].channels, k, c.layers[1].part[k]);
        model_config_free(&c);
        text_free(&yaml);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *top, *module, *words;
    } cases[] = {
        {"activation: Mish\n", "[-1, 1, Conv, [16]]", "model.yaml:5: activation: Hardswish, SiLU, ReLU or LeakyReLU"},
        {"activation: nn.ReLU(inplace)\n", "[-1, 1, Conv, [16]]", "model.yaml:5: activation"},
        {"", "[-1, 1, MixConv2d, [16]]", "model.yaml:7: MixConv2d adds its input: 32 channels"},
        {"", "[-1, 1, MixConv2d, [32, [2, 3]]]", "model.yaml:7: kernel: an odd number"},
        {"", "[-1, 1, MixConv2d, [32, [1, 63], 1, False]]", "no channels are left for kernel 63"},
        {"", "[-1, 1, nn.MaxPool2d, [3, 1, 2]]", "model.yaml:7: nn.MaxPool2d: padding of at most half"},
        {"", "[-1, 1, nn.MaxPool2d, [2, 2, 0, 1]]", "model.yaml:7: more arguments than nn.MaxPool2d has"},
        {"", "[-1, 1, Conv, [16, 3, 1, 1, 5]]",
         "layer 1 (line 7 of the model yaml): 5 groups do not divide 32 and 16 channels"},
        {"", "[-1, 1, BottleneckCSP, [16, True, 3]]", "3 groups do not divide 8 and 8 channels"},
        {"", "[-1, 1, Bottleneck, [32, True, 1, 0.01]]", "model.yaml:7: expansion"},
        {"", "[-1, 1, Bottleneck, [32, True, 1, .nan]]", "model.yaml:7: expansion"},
        {"", "[-1, 1, CrossConv, [32, 3, 2, 1, 1.0, True]]", "maps of different shape are added"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model m;
        assert_int_not_equal(make(cases[i].top, cases[i].module, &m), OK);
        if (!strstr(status_message(), cases[i].words))
            fail_msg("'%s' does not say '%s'", status_message(), cases[i].words);
        model_free(&m);
    }
}

/* ---- models of later releases ---- */

static int64_t parameters_of(const char *front, double depth, double width, const char *backbone)
{
    text yaml = {0};
    model_config config;
    model m;
    int64_t count = 0;
    text_add(&yaml,
             "nc: 80\ndepth_multiple: %g\nwidth_multiple: %g\nactivation: nn.SiLU()\n"
             "anchors:\n  - [10,13, 16,30, 33,23]\n  - [30,61, 62,45, 59,119]\n  - [116,90, 156,198, 373,326]\n"
             "backbone:\n  [%s,\n   [-1, 1, Conv, [128, 3, 2]],\n%s]\n"
             "head:\n  [[-1, 1, Conv, [512, 1, 1]], [-1, 1, nn.Upsample, [None, 2, 'nearest']], [[-1, 6], 1, Concat, "
             "[1]],\n"
             "   [-1, 3, C3, [512, False]], [-1, 1, Conv, [256, 1, 1]], [-1, 1, nn.Upsample, [None, 2, 'nearest']],\n"
             "   [[-1, 4], 1, Concat, [1]], [-1, 3, C3, [256, False]], [-1, 1, Conv, [256, 3, 2]], [[-1, 14], 1, "
             "Concat, [1]],\n"
             "   [-1, 3, C3, [512, False]], [-1, 1, Conv, [512, 3, 2]], [[-1, 10], 1, Concat, [1]],\n"
             "   [-1, 3, C3, [1024, False]], [[17, 20, 23], 1, Detect, [nc, anchors]]]\n",
             depth, width, front, backbone);
    if (model_config_parse("later.yaml", text_string(&yaml), 0, &config) != OK || model_create(&config, &m) != OK)
        fail_msg("%s", status_message());
    assert_int_equal((int)m.stride[0], 8);
    for (size_t i = 0; i < m.count; i++)
        if (m.weights[i].kind == WEIGHT_PARAMETER) count += shape_count(&m.weights[i].shape);
    text_free(&yaml);
    model_free(&m);
    return count;
}

/* The numbers that releases 5.0 and 6.0 print for their own files. */
static void later_models_have_their_parameters(void **state)
{
    (void)state;
    static const char five[] = "   [-1, 3, C3, [128]], [-1, 1, Conv, [256, 3, 2]], [-1, 9, C3, [256]],\n"
                               "   [-1, 1, Conv, [512, 3, 2]], [-1, 9, C3, [512]], [-1, 1, Conv, [1024, 3, 2]],\n"
                               "   [-1, 1, SPP, [1024, [5, 9, 13]]], [-1, 3, C3, [1024, False]]";
    static const char six[] = "   [-1, 3, C3, [128]], [-1, 1, Conv, [256, 3, 2]], [-1, 6, C3, [256]],\n"
                              "   [-1, 1, Conv, [512, 3, 2]], [-1, 9, C3, [512]], [-1, 1, Conv, [1024, 3, 2]],\n"
                              "   [-1, 3, C3, [1024]], [-1, 1, SPPF, [1024, 5]]";
    assert_int_equal(parameters_of("[-1, 1, Focus, [64, 3]]", 0.33, 0.5, five), 7276605);
    assert_int_equal(parameters_of("[-1, 1, Conv, [64, 6, 2, 2]]", 0.33, 0.25, six), 1872157);
    assert_int_equal(parameters_of("[-1, 1, Conv, [64, 6, 2, 2]]", 0.33, 0.5, six), 7235389);
    assert_int_equal(parameters_of("[-1, 1, Conv, [64, 6, 2, 2]]", 0.67, 0.75, six), 21190557);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_are_made_of_the_reference_s_parts), cmocka_unit_test(repeated_modules_are_numbered),
        cmocka_unit_test(mixed_kernels_share_the_channels),          cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(later_models_have_their_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
