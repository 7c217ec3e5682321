/* run_folder.c: names that count up, and races for them. The reference's own cases are in the fixtures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/text.h"
#include "worker/train/run_folder.h"

static char root[] = "/tmp/mendel-runs-XXXXXX";

static int make_root(void **state)
{
    (void)state;
    strcpy(strrchr(root, '-') + 1, "XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return fs_remove(root) == OK ? 0 : -1;
}

static void add_folder(const char *name)
{
    char *path = path_join(root, name);
    assert_int_equal(mkdir(path, 0777), 0);
    free(path);
}

/* The name of the next folder. */
static void expect_next(const char *name, const char *expected)
{
    char *path;
    assert_int_equal(run_folder_make(root, name, &path), OK);
    assert_string_equal(path_name(path), expected);
    assert_true(fs_is_folder(path));
    free(path);
}

static void numbers_count_up_with_and_without_names(void **state)
{
    (void)state;
    expect_next("", "exp0");
    expect_next("first", "exp1_first");
    expect_next("with_an_underscore", "exp2_with_an_underscore");
    add_folder("exp41_x");
    expect_next("", "exp42");
}

static void one_that_is_there_can_be_taken(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char *path;
        assert_int_equal(run_folder_take(root, i ? "mine" : "", &path), OK);
        assert_string_equal(path_name(path), i ? "mine" : "exp");
        char *again, *file = path_join(path, "results.txt");
        assert_int_equal(fs_write(file, "x", 1), OK);
        assert_int_equal(run_folder_take(root, i ? "mine" : "", &again), OK);
        assert_string_equal(path, again);
        assert_true(fs_is_file(file));
        free(path), free(again), free(file);
    }
    char *path;
    assert_int_equal(run_folder_take(root, "a/b", &path), ERR_ARGUMENT);
    assert_null(path);
}

static void names_without_a_number_are_ignored(void **state)
{
    (void)state;
    static const char *const names[] = {"exp",
                                        "exp_7",
                                        "expX",
                                        "exp1.bak",
                                        "exp ",
                                        "export9",
                                        "other9",
                                        "exp99999999999999999999",
                                        "exp9223372036854775807"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) add_folder(names[i]);
    expect_next("", "exp0");
    add_folder("exp-12");
    add_folder("exp 4 ");
    expect_next("", "exp5");
}

static void a_file_of_that_name_counts_too(void **state)
{
    (void)state;
    char *path = path_join(root, "exp3");
    assert_int_equal(fs_write(path, "", 0), OK);
    free(path);
    expect_next("", "exp4");
}

static void the_log_folder_is_made_and_may_hold_underscores(void **state)
{
    (void)state;
    char *below = path_join(root, "my_runs/deep_er/"), *path;
    assert_int_equal(run_folder_make(below, "n", &path), OK);
    assert_true(text_ends_with(path, "/my_runs/deep_er/exp0_n"));
    free(path);
    assert_int_equal(run_folder_make(below, "", &path), OK);
    assert_true(text_ends_with(path, "/my_runs/deep_er/exp1"));
    free(path);
    free(below);
}

static void what_cannot_be_made_is_an_error_in_words(void **state)
{
    (void)state;
    char *path;
    assert_int_equal(run_folder_make(root, "a/b", &path), ERR_ARGUMENT);
    assert_null(path);
    assert_non_null(strstr(status_message(), "'a/b'"));
    char *file = path_join(root, "file");
    assert_int_equal(fs_write(file, "", 0), OK);
    assert_int_not_equal(run_folder_make(file, "", &path), OK);
    assert_null(path);
    assert_non_null(strstr(status_message(), file));
    free(file);
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(run_folder_make(root, name, &path), ERR_IO); /* longer than a name may be */
    assert_null(path);
}

/* 8 processes make 25 folders each at once; every one has to be made by one of them alone. */
static void trainings_that_start_together_get_different_folders(void **state)
{
    (void)state;
    enum { PROCESSES = 8, EACH = 25 };
    pid_t pids[PROCESSES];
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i]) continue;
        char go;
        close(gate[1]);
        int bad = read(gate[0], &go, 1) != 0; /* returns when the parent closes the other end */
        for (int n = 0; n < EACH; n++) {
            char *path = NULL, *mark;
            bad = bad || run_folder_make(root, "", &path) != OK;
            mark = path ? path_join(path, "mine") : NULL;
            bad = bad || !mark || mkdir(mark, 0777); /* fails when another got the same folder */
            free(mark);
            free(path);
        }
        _exit(bad);
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < PROCESSES; i++) {
        int how;
        assert_int_equal(waitpid(pids[i], &how, 0), pids[i]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    expect_next("", "exp200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_count_up_with_and_without_names, make_root, remove_root),
        cmocka_unit_test_setup_teardown(one_that_is_there_can_be_taken, make_root, remove_root),
        cmocka_unit_test_setup_teardown(names_without_a_number_are_ignored, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_file_of_that_name_counts_too, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_log_folder_is_made_and_may_hold_underscores, make_root, remove_root),
        cmocka_unit_test_setup_teardown(what_cannot_be_made_is_an_error_in_words, make_root, remove_root),
        cmocka_unit_test_setup_teardown(trainings_that_start_together_get_different_folders, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
