#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"

static int make_folder(void **state)
{
    char *folder = strdup("/tmp/mendel-fs-XXXXXX");
    *state = folder;
    return folder && mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
    status s = fs_remove(*state);
    free(*state);
    return s == OK ? 0 : 1;
}

static void write_text(const char *path, const char *value)
{
    if (fs_write(path, value, strlen(value)) != OK) fail_msg("%s", status_message());
}

static void expect_contents(const char *path, const char *want)
{
    char *bytes;
    size_t count;
    if (fs_read(path, 0, &bytes, &count) != OK) fail_msg("%s", status_message());
    assert_string_equal(bytes, want);
    free(bytes);
}

static void names_are_taken_apart(void **state)
{
    (void)state;
    char *joined = path_join("a/b", "c.txt"), *rooted = path_join("a", "/c"), *plain = path_join("", "c");
    assert_string_equal(joined, "a/b/c.txt");
    assert_string_equal(rooted, "/c");
    assert_string_equal(plain, "c");
    char *folder = path_folder(joined), *here = path_folder("c"), *top = path_folder("/c");
    assert_string_equal(folder, "a/b");
    assert_string_equal(here, ".");
    assert_string_equal(top, "/");
    assert_string_equal(path_extension("a.b/c"), "");
    assert_string_equal(path_extension("a/.hidden"), "");
    assert_string_equal(path_extension("a/c.tar.gz"), ".gz");
    free(joined), free(rooted), free(plain), free(folder), free(here), free(top);
}

static void a_file_is_replaced_whole(void **state)
{
    char *path = path_join(*state, "f");
    write_text(path, "one");
    assert_int_equal(chmod(path, 0600), 0);
    write_text(path, "two");
    expect_contents(path, "two");
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600); /* replacing keeps the mode */
    fs_names inside;
    assert_int_equal(fs_list(*state, &inside), OK);
    assert_int_equal(inside.count, 1); /* nothing half-written is left */
    fs_names_free(&inside);
    free(path);
}

static void a_failed_replacement_leaves_the_old_file(void **state)
{
    char *path = path_join(*state, "f"), *part;
    int descriptor;
    write_text(path, "old");
    assert_int_equal(fs_replace_start(path, 0644, &descriptor, &part), OK);
    assert_int_equal(fs_write_all(descriptor, "new", 3, path), OK);
    assert_int_equal(fs_replace_finish(path, descriptor, part, ERR_NO_SPACE), ERR_NO_SPACE);
    expect_contents(path, "old");
    assert_false(fs_exists(part));
    free(part);
    free(path);
    char *nowhere = path_join(*state, "missing/f");
    assert_int_equal(fs_write(nowhere, "x", 1), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "missing/f"));
    free(nowhere);
}

static void reading_has_a_limit(void **state)
{
    char *path = path_join(*state, "f"), *bytes;
    size_t count;
    write_text(path, "12345");
    assert_int_equal(fs_read(path, 4, &bytes, &count), ERR_RANGE);
    assert_null(bytes);
    assert_int_equal(fs_read(path, 5, &bytes, &count), OK);
    assert_int_equal(count, 5);
    free(bytes);
    assert_int_equal(fs_read("/nowhere/at/all", 0, &bytes, &count), ERR_NOT_FOUND);
    free(path);
}

static void folders_are_made_copied_and_removed(void **state)
{
    char *deep = path_join(*state, "a/b/c"), *file = path_join(*state, "a/b/c/f"), *a = path_join(*state, "a"),
         *copy = path_join(*state, "copy"), *copied = path_join(*state, "copy/b/c/f");
    assert_int_equal(fs_make_folders(deep, 0755), OK);
    assert_int_equal(fs_make_folders(deep, 0755), OK);
    write_text(file, "x");
    assert_int_equal(fs_copy(a, copy), OK);
    expect_contents(copied, "x");
    assert_int_equal(fs_copy(a, copy), ERR_EXISTS);
    assert_int_equal(fs_make_folders(file, 0755), ERR_EXISTS);
    assert_int_equal(fs_remove(copy), OK);
    assert_false(fs_exists(copy));
    assert_int_equal(fs_remove(copy), OK);
    free(deep), free(file), free(a), free(copy), free(copied);
}

static void files_are_found_by_name(void **state)
{
    char *start = getcwd(NULL, 0), *found;
    assert_int_equal(chdir(*state), 0);
    assert_int_equal(fs_make_folders("x/y", 0755), OK);
    assert_int_equal(fs_make_folders("z", 0755), OK);
    write_text("x/y/only.yaml", "1");
    write_text("x/both.yaml", "1");
    write_text("z/both.yaml", "2");
    assert_int_equal(fs_find_file("only.yaml", &found), OK);
    assert_string_equal(found, "x/y/only.yaml");
    free(found);
    assert_int_equal(fs_find_file("y/only.yaml", &found), OK);
    free(found);
    assert_int_equal(fs_find_file("z/both.yaml", &found), OK);
    free(found);
    assert_int_equal(fs_find_file("both.yaml", &found), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "x/both.yaml and z/both.yaml"));
    assert_int_equal(fs_find_file("none.yaml", &found), ERR_NOT_FOUND);
    assert_null(found);
    assert_int_equal(chdir(start), 0);
    free(start);
}

static void one_process_holds_a_lock(void **state)
{
    char *path = path_join(*state, "lock");
    int mine, other;
    assert_int_equal(fs_lock(path, &mine), OK);
    pid_t child = fork();
    if (child == 0) _exit(fs_lock(path, &other) == ERR_BUSY && strstr(status_message(), "held by process") ? 0 : 1);
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    close(mine);
    assert_int_equal(fs_lock(path, &mine), OK);
    close(mine);
    free(path);
}

static void hashes_depend_on_contents_alone(void **state)
{
    char *a = path_join(*state, "a"), *b = path_join(*state, "b"), x[FS_HASH_ROOM], y[FS_HASH_ROOM];
    write_text(a, "same");
    write_text(b, "same");
    assert_int_equal(fs_hash_file(a, x), OK);
    assert_int_equal(fs_hash_file(b, y), OK);
    assert_string_equal(x, y);
    fs_hash_bytes("same", 4, y);
    assert_string_equal(x, y);
    fs_hash_bytes("Same", 4, y);
    assert_string_not_equal(x, y);
    free(a), free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_apart),
        cmocka_unit_test_setup_teardown(a_file_is_replaced_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_failed_replacement_leaves_the_old_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reading_has_a_limit, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(folders_are_made_copied_and_removed, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(files_are_found_by_name, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(one_process_holds_a_lock, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(hashes_depend_on_contents_alone, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
