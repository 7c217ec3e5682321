#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/text.h"
#include "worker/model/config.h"

/* A small model; %s stands where a test puts its own line. */
static const char good_head[] = "nc: 3\n"
                                "depth_multiple: 0.33\n"
                                "width_multiple: 0.5\n"
                                "anchors:\n"
                                "  - [10,13, 16,30]\n"
                                "  - [30,61, 62,45]\n";
static const char good_layers[] = "backbone:\n"
                                  "  [[-1, 1, Focus, [64, 3]],\n"
                                  "   [-1, 1, Conv, [128, 3, 2]],\n"
                                  "   [-1, 9, BottleneckCSP, [128]],\n"
                                  "   [-1, 1, Conv, [256, 3, 2]]]\n"
                                  "head:\n"
                                  "  [[-1, 1, nn.Upsample, [None, 2, 'nearest']],\n"
                                  "   [[-1, 2], 1, Concat, [1]],\n"
                                  "   [[5, 3], 1, Detect, [nc, anchors]]]\n";

static status parse(const char *head, const char *layers, int classes, model_config *out)
{
    text whole = {0};
    text_add(&whole, "%s%s", head, layers);
    status s = model_config_parse("model.yaml", text_string(&whole), classes, out);
    text_free(&whole);
    return s;
}

static void expect_refused(const char *head, const char *layers, const char *words)
{
    model_config c;
    assert_int_equal(parse(head, layers, 0, &c), ERR_FORMAT);
    if (!strstr(status_message(), words)) fail_msg("'%s' does not say '%s'", status_message(), words);
    assert_null(c.layers);
}

static void layers_are_scaled_as_the_reference_does(void **state)
{
    (void)state;
    model_config c;
    assert_int_equal(parse(good_head, good_layers, 0, &c), OK);
    assert_int_equal(c.count, 7);
    assert_int_equal(c.layers[0].out, 32);  /* 64 * .5 */
    assert_int_equal(c.layers[2].inner, 3); /* round(9 * .33) */
    assert_int_equal(c.layers[2].repeats, 1);
    assert_int_equal(c.layers[5].out, 128 + 64);
    assert_int_equal(c.layers[5].from[0], 4);
    assert_int_equal(c.layers[5].from[1], 2);
    assert_string_equal(c.layers[1].arguments, "[32, 64, 3, 2]");
    assert_string_equal(c.layers[4].arguments, "[None, 2, 'nearest']");
    assert_string_equal(c.layers[6].arguments, "[3, [[10, 13, 16, 30], [30, 61, 62, 45]], [192, 128]]");
    assert_int_equal(c.levels, 2);
    assert_int_equal(c.anchors, 2);
    model_config_free(&c);
}

static void the_number_of_classes_can_be_overridden(void **state)
{
    (void)state;
    model_config c;
    assert_int_equal(parse(good_head, good_layers, 20, &c), OK);
    assert_int_equal(c.classes, 20);
    model_config_free(&c);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    expect_refused("nc: 3\n", good_layers, "depth_multiple is missing");
    expect_refused("", good_layers, "nc is missing");
    expect_refused("nc: none\n", good_layers, "model.yaml:1: nc: a whole number was expected, found none");
    expect_refused(good_head, "backbone: []\n", "head: a list of layers was expected");
    expect_refused(good_head, "backbone:\n  [[-1, 1, Focus, [64, 3]],\n   [-1, 1, Transformer, [64]]]\nhead: []\n",
                   "model.yaml:9: unknown module 'Transformer'");
    expect_refused(good_head, "backbone:\n  [[-1, 1, Conv, [64, 3]],\n   [7, 1, Conv, [64]]]\nhead: []\n",
                   "model.yaml:9: from");
    expect_refused(good_head, "backbone:\n  [[-1, 1, Conv, [64, 3]],\n   [-1, 1, Conv]]\nhead: []\n",
                   "a layer is [from, number, module, args]");
    expect_refused(good_head, "backbone:\n  [[-1, 1, Conv, [64, 3, 2, 1, 1, True, 5]]]\nhead: []\n",
                   "more arguments than Conv has");
    expect_refused(good_head, "backbone:\n  [[-1, 1, Conv, [64, 'a']]]\nhead: []\n",
                   "kernel: a whole number was expected");
    expect_refused(good_head, "backbone:\n  [[-1, 1, Conv, [64, 3]]]\nhead: []\n", "the last layer has to be Detect");
    expect_refused(good_head, "backbone:\n  [[-1, 1, Conv, [64, 3]]]\nhead:\n  [[[0], 1, Detect, [nc, anchors]]]\n",
                   "Detect reads 1 layers, but there are anchors for 2");
    expect_refused(good_head, "backbone:\n  [[-1, 1, SPP, [64, [5, 8]]]]\nhead: []\n", "an odd number was expected");
    expect_refused("nc: 3\ndepth_multiple: 1\nwidth_multiple: 1\nanchors: [[1,2,3]]\n", good_layers,
                   "pairs of width and height");
    expect_refused("nc: 3\ndepth_multiple: 1\nwidth_multiple: -1\n", good_layers, "a number above 0 was expected");
    expect_refused("nc: [\n", "", "malformed YAML");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_scaled_as_the_reference_does),
        cmocka_unit_test(the_number_of_classes_can_be_overridden),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
