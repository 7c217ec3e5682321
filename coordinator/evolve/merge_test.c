#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "coordinator/evolve/merge.h"

typedef struct setting {
    hyp_space space;
    population own, fresh;
    merge *merge;
    char path[64];
} setting;

static int start(void **state)
{
    setting *t = calloc(1, sizeof *t);
    if (!t) return -1;
    hyp_add_row(&t->space, "x");
    population_start(&t->own, &t->space, fitness_weights_default);
    population_start(&t->fresh, &t->space, fitness_weights_default);
    strcpy(t->path, "/tmp/merge_test_XXXXXX");
    int file = mkstemp(t->path);
    if (file < 0) return -1;
    close(file);
    *state = t;
    return merge_create(&t->merge) == OK ? 0 : -1;
}

static int end(void **state)
{
    setting *t = *state;
    merge_destroy(&t->merge);
    population_free(&t->own);
    population_free(&t->fresh);
    unlink(t->path);
    free(t);
    return 0;
}

static void add_own(setting *t, int64_t candidate, double map, double x)
{
    member m = {.candidate = candidate, .results = {0.5, 0.5, map, map, 0, 0, 0}};
    m.hyps[0] = x;
    assert_int_equal(population_add(&t->own, &m), OK);
}

/* How many rows of these lines are fresh. */
static size_t read_lines(setting *t, const char *lines)
{
    assert_int_equal(fs_write(t->path, lines, strlen(lines)), OK);
    t->fresh.count = 0;
    if (merge_read(t->merge, &t->own, t->path, &t->fresh) != OK) fail_msg("%s", status_message());
    return t->fresh.count;
}

static void rows_that_are_there_are_not_fresh(void **state)
{
    setting *t = *state;
    add_own(t, 1, 0.123456, 0.98765); /* the file has .123 and .988 */
    add_own(t, 2, 0.2, 1);
    assert_int_equal(read_lines(t, "0.5 0.5\t0.123     0.123 0 0 0   0.988\n"
                                   "\n# a comment\n"
                                   "       0.5        0.5        0.3        0.3          0          0          0       "
                                   "   3\r\n"
                                   "0.5 0.5 0.2 0.2 0 0 0 1 # known\n"),
                     1);
    assert_true(t->fresh.members[0].results[2] == 0.3 && t->fresh.members[0].hyps[0] == 3);
}

static void what_came_once_does_not_come_again(void **state)
{
    setting *t = *state;
    static const char lines[] = "0.5 0.5 0.3 0.3 0 0 0 3\n0.5 0.5 0.3 0.3 0 0 0 3\n0.5 0.5 0.4 0.4 0 0 0 3";
    assert_int_equal(read_lines(t, lines), 2);
    assert_int_equal(read_lines(t, lines), 0);
    merge_forget(t->merge);
    assert_int_equal(read_lines(t, lines), 2);
}

static void own_rows_are_known_when_they_come_back(void **state)
{
    setting *t = *state;
    assert_int_equal(read_lines(t, ""), 0);
    add_own(t, 1, 0.25, 0.75);
    assert_int_equal(read_lines(t, "0.5 0.5 0.25 0.25 0 0 0 0.75\n"), 0);
    t->own.count = 0; /* a turn was taken back */
    assert_int_equal(read_lines(t, "0.5 0.5 0.25 0.25 0 0 0 0.75\n"), 1);
}

static void a_bad_row_is_named_and_nothing_is_taken(void **state)
{
    setting *t = *state;
    add_own(t, 1, 0.25, 0.75);
    static const char bad[] = "0.5 0.5 0.25 0.25 0 0 0 0.75\n0.5 0.5 0.3 0.3 0 0 0 3\n0.5 0.5 0.3 0.3 0 0 0\n";
    assert_int_equal(fs_write(t->path, bad, sizeof bad - 1), OK);
    assert_int_equal(merge_read(t->merge, &t->own, t->path, &t->fresh), ERR_FORMAT);
    assert_int_equal(t->fresh.count, 0);
    if (!strstr(status_message(), ":3: column 8")) fail_msg("%s", status_message());
    assert_int_equal(read_lines(t, "0.5 0.5 0.3 0.3 0 0 0 3\n"), 1); /* once it is mended, all of it comes */
}

static void many_rows_are_told_apart(void **state)
{
    setting *t = *state;
    text lines = {0};
    for (int i = 0; i < 3000; i++) text_add(&lines, "0.5 0.5 0.5 0.5 0 0 0 %d\n", i);
    assert_int_equal(read_lines(t, lines.bytes), 3000);
    text_add(&lines, "0.5 0.5 0.5 0.5 0 0 0 3000\n");
    assert_int_equal(read_lines(t, lines.bytes), 1);
    text_free(&lines);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(rows_that_are_there_are_not_fresh),
        CASE(what_came_once_does_not_come_again),
        CASE(own_rows_are_known_when_they_come_back),
        CASE(a_bad_row_is_named_and_nothing_is_taken),
        CASE(many_rows_are_told_apart),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
