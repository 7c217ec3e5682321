/* pt_model_write.c and pt_model.c: models of every module as the reference's object, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/text.h"
#include "worker/model/model.h"
#include "worker/model/pt_model.h"
#include "worker/model/pt_model_write.h"
#include "worker/model/test_pt.h"

/* Modules of 2020-08-31; and of later releases, with another activation. */
static const char old_yaml[] = "nc: 80\ndepth_multiple: 1.0\nwidth_multiple: 0.33\nanchors:\n"
                               "  - [10, 13, 16.5, 30]\n  - [116, 90, 156, 198]\n"
                               "backbone:\n"
                               "  - [-1, 1, Focus, [16, 3]]\n"
                               "  - [-1, 2, Conv, [16, 3, 1, None, 1, False]]\n"
                               "  - [-1, 3, BottleneckCSP, [16]]\n"
                               "  - [-1, 1, DWConv, [16, 3, 2]]\n"
                               "  - [-1, 1, Bottleneck, [16, False]]\n"
                               "  - [-1, 1, CrossConv, [16, 3, 1]]\n"
                               "  - [-1, 2, C3, [16]]\n"
                               "  - [-1, 1, MixConv2d, [16, [1, 3]]]\n"
                               "  - [-1, 1, nn.BatchNorm2d, []]\n"
                               "  - [-1, 1, nn.Conv2d, [16, 3, 2, 1]]\n"
                               "  - [-1, 1, SPP, [16, [3, 5]]]\n"
                               "  - [-1, 1, nn.MaxPool2d, [2, 2]]\n"
                               "head:\n"
                               "  - [-1, 1, nn.Upsample, [None, 2, 'nearest']]\n"
                               "  - [[-1, 10], 1, Concat, [1]]\n"
                               "  - [[13, 11], 1, Detect, [nc, anchors]]\n",
                  new_yaml[] = "nc: 2\ndepth_multiple: 0.5\nwidth_multiple: 1.0\nanchors:\n  - [10, 13, 16, 30]\n"
                               "activation: nn.SiLU()\n"
                               "backbone:\n"
                               "  - [-1, 1, Conv, [16, 6, 2, 2]]\n"
                               "  - [-1, 4, C3, [16, False]]\n"
                               "  - [-1, 1, SPPF, [16, 5]]\n"
                               "head:\n"
                               "  - [[2], 1, Detect, [nc, anchors]]\n";

/* ---- there ---- */

static status put_weight(void *state, pt_writer *w, const char *name, bool parameter)
{
    const model *m = state;
    const weight *found = model_find(m, name);
    if (!found) return FAIL(ERR_FORMAT, "no weight %s", name);
    if (found->kind == WEIGHT_COUNTER) pt_put_long_scalar(w, 7);
    else if (parameter) pt_put_parameter(w, PT_FLOAT, found->shape.rank, found->shape.dim, m->arena + found->offset);
    else pt_put_floats(w, PT_FLOAT, found->shape.rank, found->shape.dim, m->arena + found->offset);
    if (parameter != (found->kind == WEIGHT_PARAMETER)) return FAIL(ERR_FORMAT, "%s is of another kind", name);
    return OK;
}

static const char *const names[] = {"disc", "it's, \xc3\xbc", "null"};

static void make_model(const char *yaml_text, int classes, model *m)
{
    model_config config;
    if (model_config_parse("test", yaml_text, classes, &config) != OK || model_create(&config, m) != OK)
        fail_msg("%s", status_message());
    model_init(m, 1);
}

static void write_model(const model *m)
{
    static const pt_named_number hyps[] = {{"lr0", 0.01}, {"cls", 1e-5}};
    pt_model_source from = {m, m->config.classes == 3 ? names : NULL, hyps, 2, (void *)m, put_weight};
    pt_writer *w;
    assert_int_equal(pt_writer_create(&w), OK);
    pt_put_start(w, PT_DICT);
    pt_put_string(w, "model");
    if (pt_put_model(w, &from) != OK) fail_msg("%s", status_message());
    pt_put_end(w);
    assert_int_equal(pt_writer_save(w, path), OK);
    pt_writer_destroy(&w);
}

/* ---- and back ---- */

static void expect_same_state(pt_file *f, const pickle_value *object, const model *m)
{
    pt_state s;
    assert_int_equal(pt_state_of(f, object, &s), OK);
    assert_int_equal(s.count, m->count);
    for (size_t i = 0; i < s.count; i++) {
        const weight *w = &m->weights[i];
        assert_string_equal(s.entries[i].name, w->name);
        assert_int_equal(s.entries[i].parameter, w->kind == WEIGHT_PARAMETER);
        if (w->kind == WEIGHT_COUNTER) continue;
        assert_int_equal(s.entries[i].tensor.count, shape_count(&w->shape));
        float *values = malloc((size_t)s.entries[i].tensor.count * sizeof *values);
        assert_non_null(values);
        assert_int_equal(pt_read(f, &s.entries[i].tensor, values), OK);
        assert_memory_equal(values, m->arena + w->offset, (size_t)s.entries[i].tensor.count * sizeof *values);
        free(values);
    }
    pt_state_free(&s);
}

/* The yaml in the file makes the same layers, of the same classes. */
static void expect_same_yaml(const pt_file *f, const pickle_value *object, const model *m)
{
    text words = {0}, tables[2] = {{0}};
    model again;
    assert_int_equal(pt_model_yaml(f, object, &words), OK);
    make_model(text_string(&words), 0, &again);
    assert_int_equal(again.config.activation, m->config.activation);
    model_table(m, &tables[0]);
    model_table(&again, &tables[1]);
    assert_string_equal(text_string(&tables[0]), text_string(&tables[1]));
    text_free(&words);
    text_free(&tables[0]);
    text_free(&tables[1]);
    model_free(&again);
}

static void there_and_back(const char *yaml_text, int classes)
{
    model m;
    detect_parameters heads, want;
    double number;
    make_model(yaml_text, classes, &m);
    write_model(&m);
    pt_file *f = open_good();
    const pickle_value *object = pickle_get(pt_root(f), "model");
    assert_true(pickle_is(object, "models.yolo.Model") && pt_is_module(object));
    expect_same_state(f, object, &m);
    expect_same_yaml(f, object, &m);
    assert_int_equal(pt_model_heads(f, object, &heads), OK);
    want = model_heads(&m);
    assert_memory_equal(&heads, &want, sizeof want);
    assert_true(pickle_double(pickle_find(object, "hyp/cls"), &number) && number == 1e-5);
    for (int i = 0; i < m.config.classes; i++) {
        char numbered[16];
        snprintf(numbered, sizeof numbered, "c%d", i);
        assert_string_equal(pt_model_class_name(object, i), m.config.classes == 3 ? names[i] : numbered);
    }
    assert_null(pt_model_class_name(object, m.config.classes));
    /* As the reference counts layers and their inputs. */
    const pickle_value *layers = pickle_find(object, "_modules/model/_modules");
    assert_int_equal(layers->count, m.config.count);
    for (size_t i = 0; i < layers->count; i++) {
        int64_t index, parameters;
        assert_true(pickle_int(pickle_get(layers->items[i], "i"), &index) && index == (int64_t)i);
        assert_true(pickle_int(pickle_get(layers->items[i], "np"), &parameters));
        assert_int_equal(parameters, m.config.layers[i].parameters);
    }
    pt_close(&f);
    model_free(&m);
}

static void every_module_goes_there_and_back(void **state)
{
    (void)state;
    there_and_back(old_yaml, 3);
    there_and_back(new_yaml, 0);
}

static void what_cannot_be_put_is_said(void **state)
{
    (void)state;
    model m, other;
    pt_writer *w;
    make_model(new_yaml, 0, &m);
    make_model(old_yaml, 0, &other);
    pt_model_source from = {.m = &m, .state = &other, .tensor = put_weight};
    assert_int_equal(pt_writer_create(&w), OK);
    assert_int_equal(pt_put_model(w, &from), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "no weight model."));
    pt_writer_destroy(&w);
    model_free(&m);
    model_free(&other);
}

/* ---- objects that are made up ---- */

static void put_yaml_of(void (*put)(pt_writer *w))
{
    pt_writer *w;
    assert_int_equal(pt_writer_create(&w), OK);
    pt_put_start(w, PT_DICT);
    pt_put_string(w, "model");
    pt_put_object(w, "models.yolo.Model");
    pt_put_string(w, "_modules");
    pt_put_start(w, PT_DICT);
    pt_put_end(w);
    pt_put_string(w, "yaml");
    pt_put_start(w, PT_DICT);
    pt_put_string(w, "key, [with] 'marks'");
    put(w);
    pt_put_end(w);
    pt_put_end(w);
    pt_put_end(w);
    assert_int_equal(pt_writer_save(w, path), OK);
    pt_writer_destroy(&w);
}

static void put_values(pt_writer *w)
{
    pt_put_start(w, PT_LIST);
    pt_put_string(w, "it's [a], list");
    pt_put_string(w, "true");
    pt_put_bool(w, true);
    pt_put_double(w, 1e-5);
    pt_put_none(w);
    pt_put_end(w);
}

static void put_map(pt_writer *w)
{
    pt_put_start(w, PT_DICT);
    pt_put_end(w);
}

static void put_depth(pt_writer *w)
{
    for (int i = 0; i < 100; i++) pt_put_start(w, PT_LIST);
    for (int i = 0; i < 100; i++) pt_put_end(w);
}

static void any_yaml_is_text_or_refused(void **state)
{
    (void)state;
    static const struct {
        void (*put)(pt_writer *w);
        const char *words; /* in the text, or in the refusal */
        status expected;
    } cases[] = {
        {put_values, "'key, [with] ''marks''': ['it''s [a], list', 'true', true, 1.0e-05, null]\n", OK},
        {put_map, "numbers, texts and lists were expected", ERR_FORMAT},
        {put_depth, "out of all bounds", ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text words = {0};
        put_yaml_of(cases[i].put);
        pt_file *f = open_good();
        const pickle_value *object = pickle_get(pt_root(f), "model");
        assert_int_equal(pt_model_yaml(f, object, &words), cases[i].expected);
        assert_string_equal(cases[i].expected == OK ? text_string(&words) : cases[i].words, cases[i].words);
        if (cases[i].expected != OK) assert_non_null(strstr(status_message(), cases[i].words));
        detect_parameters heads;
        assert_int_equal(pt_model_heads(f, object, &heads), OK);
        assert_int_equal(heads.levels, 0);
        text_free(&words);
        pt_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_module_goes_there_and_back),
        cmocka_unit_test(what_cannot_be_put_is_said),
        cmocka_unit_test(any_yaml_is_text_or_refused),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
