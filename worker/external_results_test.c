#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/text.h"
#include "worker/external_inner.h"

/* ---- lines ---- */

static void expect(const char *line, const double wanted[RESULT_COUNT])
{
    double found[RESULT_COUNT];
    if (!external_results_line(line, found)) fail_msg("'%s' was not understood", line);
    for (int i = 0; i < RESULT_COUNT; i++)
        if (found[i] != wanted[i] && !(isnan(found[i]) && isnan(wanted[i])))
            fail_msg("'%s': number %d is %g, expected %g", line, i, found[i], wanted[i]);
}

static void the_last_seven_words_count(void **state)
{
    (void)state;
    static const double plain[] = {0.1, 0.2, 0.3, 0.4, 5, 6, 7};
    expect("0.1 0.2 0.3 0.4 5 6 7", plain);
    expect("  0.1\t.2,0.3, 4e-1 5 6 7\r", plain);
    expect("       2/2     1.05G    0.0651    0.0283    0.0122     0.106        14       640       0.1       0.2       "
           "0.3"
           "       0.4         5         6         7",
           plain);
    expect("epoch 3: 0.1 0.2 0.3 0.4 5 6 7", plain);
    static const double lost[] = {0.1, 0.2, NAN, 0.4, 5, INFINITY, 7};
    expect("0.1 0.2 nan 0.4 5 inf 7", lost);
}

static void a_single_number_is_the_fitness(void **state)
{
    (void)state;
    static const double single[] = {0.75, 0.75, 0.75, 0.75, 0, 0, 0};
    expect("0.75", single);
    expect(" 7.5e-1 ", single);
    static const double weights[] = {0, 0, 0.1, 0.9};
    assert_true(fabs(fitness(single, weights) - 0.75) < 1e-15);
}

static void anything_else_is_not_understood(void **state)
{
    (void)state;
    double found[RESULT_COUNT];
    static const char *const bad[] =
        {"", "done", "0.1 0.2", "0.1 0.2 0.3 0.4 5 6", "0.1 0.2 0.3 x 5 6 7", ", ,", "1x", "0.1 0.2 0.3 0.4 5 6 7 ."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (external_results_line(bad[i], found)) fail_msg("'%s' was understood", bad[i]);
}

/* ---- files ---- */

typedef struct heard {
    int64_t lines[8];
    double first[8];
    size_t count;
} heard;

static void hear(void *state, int64_t line, const double *results)
{
    heard *h = state;
    assert_true(h->count < 8);
    h->lines[h->count] = line;
    h->first[h->count++] = results[0];
}

/* A file with these contents, read. The caller frees. */
static external_results read_file(const char *contents, bool finished, int64_t from, heard *h)
{
    char path[] = "/tmp/mendel-results-XXXXXX";
    int descriptor = mkstemp(path);
    external_results r;
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_int_equal(fs_write(path, contents, strlen(contents)), OK);
    if (external_results_read(path, finished, from, hear, h, &r) != OK) fail_msg("%s", status_message());
    unlink(path);
    return r;
}

static void a_line_that_is_being_written_is_waited_for(void **state)
{
    (void)state;
    heard h = {0};
    external_results r = read_file("0.1\n\n0.2\n0.3", false, 0, &h);
    assert_int_equal(r.lines, 2);
    assert_true(h.count == 2 && h.lines[1] == 1 && h.first[1] == 0.2 && r.last[0] == 0.2);
    external_results_free(&r);
    h = (heard){0};
    r = read_file("0.1\n\n0.2\n0.3", true, 2, &h);
    assert_int_equal(r.lines, 3);
    assert_true(h.count == 1 && h.lines[0] == 2 && h.first[0] == 0.3);
    external_results_free(&r);
}

static void a_missing_file_has_no_lines(void **state)
{
    (void)state;
    external_results r;
    assert_int_equal(external_results_read("/nowhere/results.txt", true, 0, NULL, NULL, &r), OK);
    assert_true(r.lines == 0 && !r.readable && !r.words);
}

static void expect_fault(const char *contents, status wanted, trainer_reason why, const char *words)
{
    heard h = {0};
    trainer_reason reason;
    external_results r = read_file(contents, true, 0, &h);
    assert_int_equal(external_results_check(&r, "results.txt", &reason), wanted);
    if (wanted != OK) {
        assert_string_equal(trainer_reason_name(reason), trainer_reason_name(why));
        if (!strstr(status_message(), words)) fail_msg("'%s' was expected in: %s", words, status_message());
    }
    external_results_free(&r);
}

static void results_that_cannot_count_say_why(void **state)
{
    (void)state;
    expect_fault("1 1 1 1 0 0 0\n", OK, REASON_ERROR, "");
    expect_fault("0.5 0.5 0.5 0.5 nan 0 0\n", OK, REASON_ERROR, ""); /* losses may be lost */
    expect_fault("", ERR_NOT_FOUND, REASON_ERROR, "wrote no results into results.txt");
    expect_fault("\n \n", ERR_NOT_FOUND, REASON_ERROR, "wrote no results");
    expect_fault("0.5\nfinished \033[1m\n", ERR_FORMAT, REASON_ERROR, "found 'finished ?[1m'");
    expect_fault("0.5 0.5 0.5 nan 0 0 0\n", ERR_NOT_FINITE, REASON_NAN, "not finite");
    expect_fault("nan", ERR_NOT_FINITE, REASON_NAN, "not finite");
    expect_fault("50 50 50 50 0 0 0\n", ERR_RANGE, REASON_ERROR, "from 0 to 1");
    expect_fault("0.5 0.5 0.5 0.5 -1 0 0\n", ERR_RANGE, REASON_ERROR, "losses from 0");
    expect_fault("0.5 0.5 0.5 0.5 inf 0 0\n", ERR_RANGE, REASON_ERROR, "losses from 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_seven_words_count),      cmocka_unit_test(a_single_number_is_the_fitness),
        cmocka_unit_test(anything_else_is_not_understood), cmocka_unit_test(a_line_that_is_being_written_is_waited_for),
        cmocka_unit_test(a_missing_file_has_no_lines),     cmocka_unit_test(results_that_cannot_count_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
