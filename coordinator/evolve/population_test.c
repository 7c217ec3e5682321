/* population.c: rows as the reference's print_mutation leaves them, and the import of its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "coordinator/evolve/population.h"

/* Two hyperparameters are enough to see an order. */
static hyp_space small_space(void)
{
    hyp_space space = {.count = 2, .digits = 5};
    hyp_space full;
    hyp_space_default(&full);
    space.rows[0] = full.rows[HYP_lr0];
    space.rows[1] = full.rows[HYP_weight_decay];
    return space;
}

static member make_member(int64_t candidate, double map, double lr0)
{
    member m = {.candidate = candidate, .results = {0.5, 0.25, map, map / 2, 0.01, 0.02, 0.03}};
    m.hyps[0] = lr0;
    m.hyps[1] = 0.0005;
    return m;
}

static void add(population *p, member m)
{
    assert_int_equal(population_add(p, &m), OK);
}

/* A file in a folder of its own; the caller removes the folder. */
static char *write_file(char *folder, const char *contents, size_t count)
{
    assert_non_null(mkdtemp(folder));
    char *path = path_join(folder, "evolve.txt");
    assert_non_null(path);
    assert_int_equal(fs_write(path, contents, count), OK);
    return path;
}

static void the_best_row_comes_first(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    add(&p, make_member(1, 0.25, 0.01));
    add(&p, make_member(2, 0.75, 0.02));
    add(&p, make_member(3, 0.5, 0.03));
    text out = {0};
    assert_int_equal(population_evolve_txt(&p, &out), OK);
    assert_string_equal(
        out.bytes,
        "       0.5       0.25       0.75      0.375       0.01       0.02       0.03       0.02     0.0005\n"
        "       0.5       0.25        0.5       0.25       0.01       0.02       0.03       0.03     0.0005\n"
        "       0.5       0.25       0.25      0.125       0.01       0.02       0.03       0.01     0.0005\n");
    text_free(&out);
    population_free(&p);
}

static void equal_fitness_is_ordered_by_ascending_rows(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    add(&p, make_member(1, 0.5, 0.03));
    add(&p, make_member(2, 0.5, 0.01));
    add(&p, make_member(3, 0.5, 0.02));
    member *rows;
    size_t count;
    assert_int_equal(population_rows(&p, &rows, &count), OK);
    assert_int_equal(count, 3);
    assert_int_equal(rows[0].candidate, 2);
    assert_int_equal(rows[1].candidate, 3);
    assert_int_equal(rows[2].candidate, 1);
    free(rows);
    population_free(&p);
}

static void rows_that_print_alike_stand_once(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    add(&p, make_member(1, 0.5, 0.01));
    add(&p, make_member(2, 0.500001, 0.010001));
    add(&p, make_member(3, 0.5, 0.02));
    text out = {0};
    assert_int_equal(population_hyp_evolved(&p, &out), OK);
    assert_non_null(strstr(out.bytes, "# Generations: 2\n"));
    text_free(&out);
    population_free(&p);
}

static void a_value_is_rounded_twice(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    member m = make_member(1, 0.5, 0.01);
    m.results[0] = 0.10046; /* .1005 with four digits, and that is .101 with three; at once it would be .1 */
    m.hyps[0] = 0.010046;   /* hyps have three digits from the start */
    add(&p, m);
    member *rows;
    size_t count;
    assert_int_equal(population_rows(&p, &rows, &count), OK);
    assert_true(rows[0].results[0] == 0.101);
    assert_true(rows[0].hyps[0] == 0.01);
    free(rows);
    population_free(&p);
}

/* The newest row is sorted by four digits, the older ones by the three that the file has of them. */
static void the_newest_row_is_sorted_by_its_fourth_digit(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    add(&p, make_member(1, 0.5004, 0.01));
    add(&p, make_member(2, 0.5002, 0.02)); /* .5002 against the .5 that is left of .5004 */
    text out = {0};
    assert_int_equal(population_hyp_evolved(&p, &out), OK);
    assert_non_null(strstr(out.bytes, "# Metrics:        0.5      0.25    0.5002    0.2501"));
    assert_non_null(strstr(out.bytes, "\n\nlr0: 0.02\nweight_decay: 0.0005\n"));
    add(&p, make_member(3, 0.1, 0.03)); /* now both have three digits and tie */
    text_clear(&out);
    assert_int_equal(population_hyp_evolved(&p, &out), OK);
    assert_non_null(strstr(out.bytes, "# Metrics:        0.5      0.25       0.5      0.25"));
    assert_non_null(strstr(out.bytes, "\n\nlr0: 0.01\n"));
    text_free(&out);
    population_free(&p);
}

static void a_population_without_members_has_no_text(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    text out = {0};
    assert_int_equal(population_evolve_txt(&p, &out), OK);
    assert_int_equal(population_hyp_evolved(&p, &out), OK);
    assert_string_equal(text_string(&out), "");
    member *rows;
    size_t count;
    assert_int_equal(population_rows(&p, &rows, &count), OK);
    assert_int_equal(count, 0);
    free(rows);
    text_free(&out);
    population_free(&p);
}

static void a_candidate_without_a_finite_fitness_is_no_member(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    member m = make_member(7, strtod("nan", NULL), 0.01);
    assert_int_equal(population_add(&p, &m), ERR_NOT_FINITE);
    assert_non_null(strstr(status_message(), "candidate 7"));
    m = make_member(8, 0.5, strtod("inf", NULL));
    assert_int_equal(population_add(&p, &m), ERR_NOT_FINITE);
    assert_non_null(strstr(status_message(), "lr0"));
    assert_int_equal(p.count, 0);
    m = make_member(9, 0.5, 0.01);
    m.results[5] = strtod("nan", NULL); /* a loss is not part of the fitness */
    add(&p, m);
    population_free(&p);
}

static const char good_rows[] = "# P R mAP ...\n"
                                "0.1 0.2 0.3 0.15 0.01 0.02 0.03 0.01 0.0005\n"
                                "\n"
                                "  0.1\t0.2 0.4 0.2 nan inf 0.03 1e-05 5e-4 # the second\r\n"
                                "0.1 0.2 0.2 0.1 0.01 0.02 0.03 0.02 0";

static void an_imported_file_gives_its_rows_in_order(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    char folder[] = "/tmp/mendel-population-XXXXXX";
    char *path = write_file(folder, good_rows, sizeof good_rows - 1);
    assert_int_equal(population_import(&p, path), OK);
    assert_int_equal(p.count, 3);
    assert_int_equal(p.members[0].candidate, -1);
    assert_int_equal(p.members[2].candidate, -3);
    assert_true(p.members[1].results[2] == 0.4 && p.members[1].hyps[0] == 1e-5 && p.members[1].hyps[1] == 5e-4);
    assert_true(p.members[2].hyps[1] == 0);
    assert_int_equal(population_import(&p, path), OK); /* a second file counts on */
    assert_int_equal(p.members[3].candidate, -4);
    free(path);
    fs_remove(folder);
    population_free(&p);
}

static void a_bad_row_names_file_line_and_column_and_adds_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *rows, *line, *column, *found;
    } bad[] = {
        {"0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.01 0.0005\n0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.01 x5\n", ":2:", "column 9", "'x5'"},
        {"0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.01\n", ":1:", "column 9", "9 columns"},
        {"\n0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.01 0.0005 0.3\n", ":2:", "column 10", "9 columns"},
        {"0.1 0.2 nan 0.4 0.5 0.6 0.7 0.01 0.0005\n", ":1:", "column 3", "'nan'"},
        {"0.1 0.2 0.3 0.4 0.5 0.6 0.7 inf 0.0005\n", ":1:", "column 8", "'inf'"},
        {"0.1 0.2 0.3 0.4 0.5 0.6 0.7 0,01 0.0005\n", ":1:", "column 8", "'0,01'"},
    };
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    add(&p, make_member(1, 0.5, 0.01));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char folder[] = "/tmp/mendel-population-XXXXXX";
        char *path = write_file(folder, bad[i].rows, strlen(bad[i].rows));
        assert_int_equal(population_import(&p, path), ERR_FORMAT);
        assert_non_null(strstr(status_message(), path));
        assert_non_null(strstr(status_message(), bad[i].line));
        assert_non_null(strstr(status_message(), bad[i].column));
        assert_non_null(strstr(status_message(), bad[i].found));
        assert_int_equal(p.count, 1);
        free(path);
        fs_remove(folder);
    }
    population_free(&p);
}

static void a_binary_file_or_none_is_refused(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    char folder[] = "/tmp/mendel-population-XXXXXX";
    char *path = write_file(folder, "0.1\0 0.2\n", 9);
    assert_int_equal(population_import(&p, path), ERR_FORMAT);
    assert_non_null(strstr(status_message(), ":1:"));
    fs_remove(folder);
    assert_int_equal(population_import(&p, path), ERR_NOT_FOUND);
    free(path);
    population_free(&p);
}

/* What is written is read as the same rows, so a run folder's own evolve.txt is a warm start. */
static void a_written_file_is_imported_as_it_was(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p, again;
    population_start(&p, &space, fitness_weights_default);
    population_start(&again, &space, fitness_weights_default);
    for (int i = 1; i <= 20; i++) add(&p, make_member(i, 0.3 + 0.01234 * i, 0.0012345 * i));
    text first = {0}, second = {0};
    assert_int_equal(population_evolve_txt(&p, &first), OK);
    char folder[] = "/tmp/mendel-population-XXXXXX";
    char *path = write_file(folder, first.bytes, first.length);
    assert_int_equal(population_import(&again, path), OK);
    assert_int_equal(population_evolve_txt(&again, &second), OK);
    assert_string_equal(first.bytes, second.bytes);
    free(path);
    fs_remove(folder);
    text_free(&first);
    text_free(&second);
    population_free(&p);
    population_free(&again);
}

static void the_console_shows_keys_values_and_results(void **state)
{
    (void)state;
    hyp_space space = small_space();
    population p;
    population_start(&p, &space, fitness_weights_default);
    member m = make_member(1, 0.123456, 0.0123456);
    text out = {0};
    assert_int_equal(population_console(&p, &m, &out), OK);
    assert_string_equal(out.bytes,
                        "\n       lr0weight_decay\n    0.0123    0.0005\nEvolved fitness:        0.5      0.25"
                        "    0.1235   0.06173      0.01      0.02      0.03\n\n");
    text_free(&out);
    population_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_row_comes_first),
        cmocka_unit_test(equal_fitness_is_ordered_by_ascending_rows),
        cmocka_unit_test(rows_that_print_alike_stand_once),
        cmocka_unit_test(a_value_is_rounded_twice),
        cmocka_unit_test(the_newest_row_is_sorted_by_its_fourth_digit),
        cmocka_unit_test(a_population_without_members_has_no_text),
        cmocka_unit_test(a_candidate_without_a_finite_fitness_is_no_member),
        cmocka_unit_test(an_imported_file_gives_its_rows_in_order),
        cmocka_unit_test(a_bad_row_names_file_line_and_column_and_adds_nothing),
        cmocka_unit_test(a_binary_file_or_none_is_refused),
        cmocka_unit_test(a_written_file_is_imported_as_it_was),
        cmocka_unit_test(the_console_shows_keys_values_and_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
