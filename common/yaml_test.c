#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/yaml.h"

static yaml *parse(const char *yaml_text)
{
    yaml *file;
    if (yaml_parse("test.yaml", yaml_text, strlen(yaml_text), &file) != OK) fail_msg("%s", status_message());
    return file;
}

static void expect_refused(const char *yaml_text, const char *words)
{
    yaml *file;
    assert_int_equal(yaml_parse("test.yaml", yaml_text, strlen(yaml_text), &file), ERR_FORMAT);
    assert_null(file);
    if (!strstr(status_message(), words)) fail_msg("'%s' does not say '%s'", status_message(), words);
}

/* Kinds as PyYAML's FullLoader resolves them. */
static void plain_scalars_have_the_types_of_yaml_1_1(void **state)
{
    (void)state;
    static const struct {
        const char *plain;
        yaml_kind kind;
        double number;
    } cases[] = {
        {"1", YAML_INT, 1},
        {"-17", YAML_INT, -17},
        {"0x1F", YAML_INT, 31},
        {"017", YAML_INT, 15},
        {"0b101", YAML_INT, 5},
        {"1_000", YAML_INT, 1000},
        {"1:30", YAML_INT, 90},
        {"1.5", YAML_FLOAT, 1.5},
        {"1.0e-05", YAML_FLOAT, 1e-5},
        {"1e-05", YAML_STRING, 0},
        {".5", YAML_FLOAT, .5},
        {"-.inf", YAML_FLOAT, -INFINITY},
        {"1.e+3", YAML_FLOAT, 1000},
        {"true", YAML_BOOL, 1},
        {"No", YAML_BOOL, 0},
        {"on", YAML_BOOL, 1},
        {"~", YAML_NULL, 0},
        {"null", YAML_NULL, 0},
        {"nearest", YAML_STRING, 0},
        {"1.2.3", YAML_STRING, 0},
        {"09", YAML_STRING, 0},
        {"tRue", YAML_STRING, 0},
        {"99999999999999999999", YAML_FLOAT, 1e20},
        {"-1000000000000000000:30", YAML_FLOAT, -6e19},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        yaml *file = parse(cases[i].plain);
        const yaml_node *n = yaml_root(file);
        if (n->kind != cases[i].kind) fail_msg("%s is of kind %d", cases[i].plain, n->kind);
        double value = n->kind == YAML_INT     ? (double)n->integer
                       : n->kind == YAML_FLOAT ? n->number
                                               : n->kind == YAML_BOOL && n->boolean;
        if (value != cases[i].number) fail_msg("%s is %g", cases[i].plain, value);
        yaml_destroy(&file);
    }
    yaml *quoted = parse("'1'");
    assert_int_equal(yaml_root(quoted)->kind, YAML_STRING);
    yaml_destroy(&quoted);
}

static void nodes_know_their_lines(void **state)
{
    (void)state;
    yaml *file = parse("a: 1\nb:\n  - x\n  - [2, 3]\nc: {d: 4}\n");
    const yaml_node *root = yaml_root(file), *b = yaml_get(root, "b");
    assert_int_equal(root->count, 3);
    assert_int_equal(b->items[1].line, 4);
    assert_int_equal(b->items[1].items[1].integer, 3);
    assert_int_equal(yaml_get(yaml_get(root, "c"), "d")->line, 5);
    assert_null(yaml_get(root, "z"));
    assert_null(yaml_get(b, "z"));
    double value;
    assert_int_equal(yaml_need_double(file, &b->items[0], "b", &value), ERR_FORMAT);
    assert_string_equal(status_message(), "test.yaml:3: b: a number was expected, found x");
    int64_t whole;
    assert_int_equal(yaml_need_int(file, yaml_get(root, "a"), "a", 5, 9, &whole), ERR_FORMAT);
    assert_string_equal(status_message(), "test.yaml:1: a: 5 to 9 was expected, found 1");
    yaml_destroy(&file);
}

static void what_is_malformed_is_refused_with_its_line(void **state)
{
    (void)state;
    expect_refused("a: [1, 2\nb: 3\n", "test.yaml:2");
    expect_refused("a: &x 1\n", "anchors and tags");
    expect_refused("a: *x\n", "aliases");
    expect_refused("--- 1\n--- 2\n", "a second document");
    expect_refused("a: !!python/object:os.system 1\n", "anchors and tags");
    char deep[400] = "";
    for (int i = 0; i < 200; i++) strcat(deep, "[");
    expect_refused(deep, "nested deeper");
    yaml *empty = parse("# nothing\n");
    assert_int_equal(yaml_root(empty)->kind, YAML_NULL);
    yaml_destroy(&empty);
}

/* What yaml.dump() prints. */
static void strings_are_quoted_as_pyyaml_does(void **state)
{
    (void)state;
    static const struct {
        const char *value, *written;
    } cases[] = {
        {"", "''"},
        {"a", "a"},
        {"1", "'1'"},
        {"true", "'true'"},
        {"yes", "'yes'"},
        {"1e-05", "1e-05"},
        {"1.0", "'1.0'"},
        {"a: b", "'a: b'"},
        {"a #b", "'a #b'"},
        {"- a", "'- a'"},
        {"-a", "-a"},
        {"it's", "it's"},
        {"'q'", "'''q'''"},
        {"null", "'null'"},
        {"runs/exp0", "runs/exp0"},
        {"2020-08-31", "'2020-08-31'"},
        {" a", "' a'"},
        {"a\nb", "\"a\\nb\""},
        {"\xc3\xa9", "\"\\xE9\""},
        {"~", "'~'"},
        {"a:", "'a:'"},
        {"*x", "'*x'"},
        {"[x", "'[x'"},
        {"x]", "x]"},
        {"=", "'='"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text out = {0};
        yaml_write_string(&out, cases[i].value);
        assert_string_equal(text_string(&out), cases[i].written);
        text_free(&out);
    }
}

static void what_is_read_can_be_written_again(void **state)
{
    (void)state;
    static const char whole[] =
        "weights: ''\nepochs: 12\nlr: 1.0e-05\nimg_size:\n- 640\n- 640\nrect: false\nempty: []\n"
        "inner:\n  a: 1\n  b:\n  - x\n  - - 1\n    - 2\nnothing: null\n";
    yaml *file = parse(whole);
    text out = {0};
    yaml_write(&out, yaml_root(file));
    assert_string_equal(text_string(&out), whole);
    text_free(&out);
    yaml_destroy(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_have_the_types_of_yaml_1_1),
        cmocka_unit_test(nodes_know_their_lines),
        cmocka_unit_test(what_is_malformed_is_refused_with_its_line),
        cmocka_unit_test(strings_are_quoted_as_pyyaml_does),
        cmocka_unit_test(what_is_read_can_be_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
