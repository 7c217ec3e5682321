#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/decimal.h"
#include "common/fs.h"
#include "common/hyp.h"
#include "common/text.h"

static char *scratch_yaml(void)
{
    hyp_space space;
    double values[HYP_MAX];
    text out = {0};
    hyp_space_default(&space);
    hyp_defaults(&space, false, values);
    hyp_write(&out, &space, values);
    return text_take(&out);
}

static status parse(const char *yaml_text, double *values)
{
    hyp_space space;
    hyp_space_default(&space);
    return hyp_parse("hyp.yaml", yaml_text, &space, values);
}

static void expect_refused(const char *yaml_text, const char *words)
{
    double values[HYP_MAX];
    assert_int_equal(parse(yaml_text, values), ERR_FORMAT);
    if (!strstr(status_message(), words)) fail_msg("'%s' does not say '%s'", status_message(), words);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char *yaml_text = scratch_yaml();
    double values[HYP_MAX];
    assert_int_equal(parse(yaml_text, values), OK);
    assert_true(values[HYP_lr0] == 0.01 && values[HYP_fliplr] == 0.5 && values[HYP_mixup] == 0);
    free(yaml_text);
}

static void errors_name_file_line_and_key(void **state)
{
    (void)state;
    expect_refused("lr0: 0.01\nlrf: 0.2\nspeed: 3\n", "hyp.yaml:3: unknown hyperparameter 'speed'");
    expect_refused("lr0: fast\n", "hyp.yaml:1: lr0: a number was expected, found fast");
    expect_refused("lr0: -1\n", "hyp.yaml:1: lr0 is -1, expected 0 to 10");
    expect_refused("lr0: .nan\n", "lr0 is nan");
    expect_refused("lr0: 0.01\nlr0: 0.02\n", "hyp.yaml:2: lr0 stands here twice");
    expect_refused("lr0: 0.01\n", "hyperparameter 'lrf' is missing");
    expect_refused("- 1\n", "a map of hyperparameters was expected");
    expect_refused("lr0: [1]\n", "found a list");
}

static void numbers_may_lack_a_point(void **state)
{
    (void)state;
    char *yaml_text = scratch_yaml(), *at = strstr(yaml_text, "lr0: 0.01");
    double values[HYP_MAX];
    memcpy(at, "lr0: 1e-5", 9); /* a string to YAML 1.1 */
    assert_int_equal(parse(yaml_text, values), OK);
    assert_true(values[HYP_lr0] == 1e-5);
    free(yaml_text);
}

static void limits_and_rounding_are_the_reference_s(void **state)
{
    (void)state;
    hyp_space space;
    double values[HYP_MAX];
    hyp_space_default(&space);
    hyp_defaults(&space, false, values);
    values[HYP_lr0] = 5;
    values[HYP_lrf] = 0.123456789;
    values[HYP_giou] = 0.000001;
    values[HYP_degrees] = NAN;
    hyp_constrain(&space, values);
    assert_true(values[HYP_lr0] == 0.1 && values[HYP_lrf] == 0.12346 && values[HYP_giou] == 0.02 &&
                isnan(values[HYP_degrees]));
    assert_true(decimal_round(0.5, 0) == 0 && decimal_round(1.5, 0) == 2 && decimal_round(2.675, 2) == 2.67 &&
                decimal_round(1e300, 5) == 1e300);
    hyp_space old;
    hyp_space_2020_07_20(&old);
    assert_int_equal(old.count, 18);
    assert_true(decimal_round(0.123456789, old.digits) == 0.123456789);
    assert_int_equal(hyp_find(&old, "mixup"), -1);
}

static void a_space_can_be_read(void **state)
{
    (void)state;
    char path[] = "/tmp/mendel-hyp-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    hyp_space space;
    static const char good[] = "speed: [1, 0.5, 2]\ndepth: {gain: 0.1, low: 1, high: 9, start: 3}\n";
    assert_int_equal(fs_write(path, good, sizeof good - 1), OK);
    assert_int_equal(hyp_space_read(path, &space), OK);
    assert_int_equal(space.count, 2);
    assert_true(space.rows[0].scratch == 1.25 && space.rows[1].scratch == 3 && space.rows[1].gain == 0.1);
    static const char *const bad[] = {"speed: [1, 2]\n",
                                      "speed: [1, 3, 2]\n",
                                      "speed: [-1, 0, 2]\n",
                                      "speed: 1\n",
                                      "- 1\n",
                                      "",
                                      "speed: {gain: 1, low: 0, high: 1, start: 2}\n",
                                      "speed: {gain: 1, low: 0, high: 1}\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fs_write(path, bad[i], strlen(bad[i])), OK);
        assert_int_equal(hyp_space_read(path, &space), ERR_FORMAT);
        assert_non_null(strstr(status_message(), path));
    }
    unlink(path);
}

static void any_numbers_can_be_read(void **state)
{
    (void)state;
    char path[] = "/tmp/mendel-hyp-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    hyp_space space;
    double values[HYP_MAX];
    static const char good[] = "# of another trainer\nbox: 0.05\nx-1.y_2: -3\nlr0: 1e-5\n";
    assert_int_equal(fs_write(path, good, sizeof good - 1), OK);
    assert_int_equal(hyp_read_any(path, &space, values), OK);
    assert_int_equal(space.count, 3);
    assert_true(hyp_find(&space, "x-1.y_2") == 1 && values[0] == 0.05 && values[1] == -3 && values[2] == 1e-5);
    assert_int_equal(hyp_check(&space, values), OK);
    static const char *const bad[] = {"a: b\n",      "a: 1\na: 2\n", "a b: 1\n", "'a: b': 1\n", "- 1\n", "a: .nan\n",
                                      "a: [1, 2]\n", "a:\n",         "",         "a$: 1\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fs_write(path, bad[i], strlen(bad[i])), OK);
        if (hyp_read_any(path, &space, values) != ERR_FORMAT) fail_msg("'%s' was taken", bad[i]);
        assert_non_null(strstr(status_message(), path));
    }
    text many = {0};
    for (int i = 0; i <= HYP_MAX; i++) text_add(&many, "k%d: 1\n", i);
    assert_int_equal(fs_write(path, many.bytes, many.length), OK);
    assert_int_equal(hyp_read_any(path, &space, values), ERR_FORMAT);
    text_free(&many);
    unlink(path);
}

/* Whole numbers of halves, so that the sums are exact. */
static void fitness_weighs_four_results(void **state)
{
    (void)state;
    static const double results[7] = {0.5, 0.25, 0.75, 0.125, 9, 9, 9}, own[FITNESS_TERMS] = {1, 2, 4, 8};
    assert_true(fitness(results, own) == 0.5 + 0.5 + 3 + 1);
    assert_true(fabs(fitness(results, fitness_weights_default) - (0.1 * 0.75 + 0.9 * 0.125)) < 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),     cmocka_unit_test(errors_name_file_line_and_key),
        cmocka_unit_test(numbers_may_lack_a_point),    cmocka_unit_test(limits_and_rounding_are_the_reference_s),
        cmocka_unit_test(a_space_can_be_read),         cmocka_unit_test(any_numbers_can_be_read),
        cmocka_unit_test(fitness_weighs_four_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
