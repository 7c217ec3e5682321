/* results.c: the lines of results.txt. The reference's own file is in the fixtures (tests/parity/formats.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "worker/train/results.h"

static const results_row example = {
    .epoch = 3,
    .epochs = 300,
    .memory_gb = 3.456,
    .losses = {0.05f, 0.0123456f, 1e-05f, 123456.0f},
    .targets = 14,
    .img_size = 640,
    .metrics = {0.5, 0.25, 0.123456, 0.99995, 1e-05, 0, 7},
};
static const char example_line[] = "     3/299     3.46G      0.05   0.01235     1e-05 1.235e+05        14       640"
                                   "       0.5      0.25    0.1235         1     1e-05         0         7\n";

static void a_line_has_the_columns_of_the_reference(void **state)
{
    (void)state;
    text out = {0};
    results_add_line(&out, &example);
    assert_string_equal(out.bytes, example_line);
    text_free(&out);
}

/* In double precision the mean of the three would be another number. */
static void means_are_rounded_to_float32_at_every_step(void **state)
{
    (void)state;
    loss_means m = {0};
    const float items[3][LOSS_ITEMS] = {{0.1f, 1e8f, 0, 1}, {0.2f, 1, 0, 2}, {0.4f, -1e8f, 0, 3}};
    for (int i = 0; i < 3; i++) loss_means_add(&m, items[i]);
    volatile float first = (0.1f * 1.0f + 0.2f) / 2.0f;
    volatile float product = first * 2.0f;
    volatile float sum = product + 0.4f;
    assert_true(m.items[0] == sum / 3.0f);
    assert_true(m.items[1] == 0); /* the 1 is lost beside 1e8 */
    assert_true(m.items[2] == 0 && m.items[3] == 2);
}

static char *new_folder(char *folder)
{
    assert_non_null(mkdtemp(folder));
    return path_join(folder, "results.txt");
}

static void appended_lines_are_read_back(void **state)
{
    (void)state;
    char folder[] = "/tmp/mendel-results-XXXXXX";
    char *path = new_folder(folder);
    results_row row = example, *rows;
    size_t count;
    for (int e = 0; e < 5; e++) {
        row.epoch = e;
        row.metrics[4] = e ? 0.1 * e : NAN; /* a validation loss may be NaN */
        assert_int_equal(results_append(path, &row), OK);
    }
    assert_int_equal(results_read(path, &rows, &count), OK);
    assert_int_equal(count, 5);
    assert_true(rows[4].epoch == 4 && rows[4].epochs == 300 && rows[4].memory_gb == 3.46);
    assert_true(rows[4].losses[1] == 0.01235f && rows[4].targets == 14 && rows[4].img_size == 640);
    assert_true(rows[4].metrics[2] == 0.1235 && rows[4].metrics[3] == 1 && rows[4].metrics[4] == 0.4);
    assert_true(isnan(rows[0].metrics[4]));
    free(rows);
    free(path);
    fs_remove(folder);
}

static void a_line_is_in_the_file_when_append_returns(void **state)
{
    (void)state;
    char folder[] = "/tmp/mendel-results-XXXXXX", *bytes;
    char *path = new_folder(folder);
    size_t count;
    assert_int_equal(results_append(path, &example), OK);
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    assert_string_equal(bytes, example_line);
    free(bytes);
    free(path);
    fs_remove(folder);
}

/* The disk is full in the middle of the second line. */
static void a_failed_append_leaves_the_file_as_it_was(void **state)
{
    (void)state;
    char folder[] = "/tmp/mendel-results-XXXXXX", *bytes;
    char *path = new_folder(folder);
    size_t count;
    struct rlimit before, small;
    assert_int_equal(results_append(path, &example), OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = sizeof example_line + 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    status s = results_append(path, &example);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(s, OK);
    assert_non_null(strstr(status_message(), path));
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    assert_string_equal(bytes, example_line);
    free(bytes);
    free(path);
    fs_remove(folder);
}

static void a_bad_line_names_file_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *line, *where, *found;
    } bad[] = {
        {"3-299 0G 1 1 1 1 14 640 0 0 0 0 0 0 0\n", "r.txt:2: column 1", "'3-299'"},
        {"9/5 0G 1 1 1 1 14 640 0 0 0 0 0 0 0\n", "r.txt:2: column 1", "'9/5'"},
        {"3/299 0M 1 1 1 1 14 640 0 0 0 0 0 0 0\n", "r.txt:2: column 2", "'0M'"},
        {"3/299 0G 1 x 1 1 14 640 0 0 0 0 0 0 0\n", "r.txt:2: column 4", "'x'"},
        {"3/299 0G 1 1 1 1 -1 640 0 0 0 0 0 0 0\n", "r.txt:2: column 7", "'-1'"},
        {"3/299 0G 1 1 1 1 14 nan 0 0 0 0 0 0 0\n", "r.txt:2: column 8", "'nan'"},
        {"3/299 0G 1 1 1 1 14 640 0 0 0 0 0 0\n", "r.txt:2: column 15", "the end of the line"},
        {"3/299 0G 1 1 1 1 14 640 0 0 0 0 0 0 0 0\n", "r.txt:2: column 16", "'0'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        results_row *rows = (results_row *)bad;
        size_t count = 7;
        text lines = {0};
        text_add(&lines, "%s%s", example_line, bad[i].line);
        assert_int_equal(results_parse("r.txt", lines.bytes, &rows, &count), ERR_FORMAT);
        assert_non_null(strstr(status_message(), bad[i].where));
        assert_non_null(strstr(status_message(), bad[i].found));
        assert_null(rows);
        assert_int_equal(count, 0);
        text_free(&lines);
    }
}

static void an_empty_text_has_no_rows(void **state)
{
    (void)state;
    results_row *rows;
    size_t count;
    assert_int_equal(results_parse("r.txt", "", &rows, &count), OK);
    assert_int_equal(count, 0);
    free(rows);
    assert_int_equal(results_parse("r.txt", "\n  \n", &rows, &count), OK);
    assert_int_equal(count, 0);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_columns_of_the_reference),
        cmocka_unit_test(means_are_rounded_to_float32_at_every_step),
        cmocka_unit_test(appended_lines_are_read_back),
        cmocka_unit_test(a_line_is_in_the_file_when_append_returns),
        cmocka_unit_test(a_failed_append_leaves_the_file_as_it_was),
        cmocka_unit_test(a_bad_line_names_file_line_and_column),
        cmocka_unit_test(an_empty_text_has_no_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
