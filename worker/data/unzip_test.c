/* unzip.c with archives made here, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zip.h>

#include "common/fs.h"
#include "common/log.h"
#include "worker/data/unzip.h"

static char root[] = "/tmp/mendel-unzip-XXXXXX";
static char *archive, *target;

static int start(void **state)
{
    (void)state;
    log_set_level(LEVEL_SILENT);
    strcpy(strrchr(root, '-') + 1, "XXXXXX");
    if (!mkdtemp(root)) return -1;
    archive = path_join(root, "a.zip");
    target = path_join(root, "target");
    return archive && target ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    free(archive);
    free(target);
    return fs_remove(root) == OK ? 0 : -1;
}

typedef struct entry {
    const char *name, *contents; /* contents NULL: a folder */
    mode_t kind;                 /* of Unix; 0: not said */
} entry;

static void make_archive(const entry *entries)
{
    unlink(archive);
    zip_t *z = zip_open(archive, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(z);
    for (; entries->name; entries++) {
        zip_int64_t index;
        if (entries->contents) {
            zip_source_t *s = zip_source_buffer(z, entries->contents, strlen(entries->contents), 0);
            assert_non_null(s);
            index = zip_file_add(z, entries->name, s, 0);
        } else index = zip_dir_add(z, entries->name, 0);
        assert_true(index >= 0);
        if (entries->kind)
            assert_int_equal(zip_file_set_external_attributes(z, (zip_uint64_t)index, 0, ZIP_OPSYS_UNIX,
                                                              (zip_uint32_t)(entries->kind | 0644) << 16),
                             0);
    }
    assert_int_equal(zip_close(z), 0);
}

static void expect_file(const char *name, const char *contents)
{
    char *path = path_join(target, name), *bytes;
    size_t count;
    if (fs_read(path, 0, &bytes, &count) != OK) fail_msg("%s", status_message());
    assert_string_equal(bytes, contents);
    free(bytes);
    free(path);
}

static size_t entries_of(const char *folder)
{
    fs_names names;
    assert_int_equal(fs_list(folder, &names), OK);
    size_t count = names.count;
    fs_names_free(&names);
    return count;
}

static void expect_top(const char *name)
{
    char *top;
    assert_int_equal(unzip_top(archive, &top), OK);
    assert_string_equal(top, name);
    free(top);
}

static void files_and_folders_come_to_their_places(void **state)
{
    (void)state;
    make_archive((const entry[]){{"set/", NULL, 0},
                                 {"set/images/a.txt", "a", S_IFREG},
                                 {"set/labels/b.txt", "", 0},
                                 {"set/empty/", NULL, S_IFDIR},
                                 {"set/..name", "two dots", 0},
                                 {NULL, NULL, 0}});
    assert_int_equal(unzip(archive, target), OK);
    expect_file("set/images/a.txt", "a");
    expect_file("set/labels/b.txt", "");
    expect_file("set/..name", "two dots");
    char *empty = path_join(target, "set/empty");
    assert_true(fs_is_folder(empty));
    free(empty);
    assert_int_equal(entries_of(target), 1);
    expect_top("set");
}

static void what_is_there_is_filled_up(void **state)
{
    (void)state;
    make_archive((const entry[]){{"set/a.txt", "new", 0}, {"set/c/d.txt", "d", 0}, {NULL, NULL, 0}});
    char *folder = path_join(target, "set/c"), *old = path_join(target, "set/a.txt"), *own = path_join(folder, "own");
    assert_int_equal(fs_make_folders(folder, 0777), OK);
    assert_int_equal(fs_write(old, "old", 3), OK);
    assert_int_equal(fs_write(own, "own", 3), OK);
    assert_int_equal(unzip(archive, target), OK);
    expect_file("set/a.txt", "new");
    expect_file("set/c/d.txt", "d");
    expect_file("set/c/own", "own");
    free(folder), free(old), free(own);
}

static void names_that_lead_out_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"../out.txt", "set/../../out.txt", "/tmp/mendel-out.txt",
                                        "..",         "a\\..\\b",          "set/.."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        make_archive((const entry[]){{"set/good.txt", "good", 0}, {names[i], "bad", 0}, {NULL, NULL, 0}});
        assert_int_equal(unzip(archive, target), ERR_FORMAT);
        if (!strstr(status_message(), names[i])) fail_msg("%s: %s", names[i], status_message());
        assert_false(fs_exists(target));
        assert_int_equal(entries_of(root), 1);
        char *top;
        assert_int_equal(unzip_top(archive, &top), ERR_FORMAT);
        assert_null(top);
    }
    assert_false(fs_exists("/tmp/mendel-out.txt"));
}

static void links_are_refused(void **state)
{
    (void)state;
    static const mode_t kinds[] = {S_IFLNK, S_IFIFO, S_IFCHR};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make_archive((const entry[]){{"set/link", "/etc", kinds[i]}, {"set/link/passwd", "x", 0}, {NULL, NULL, 0}});
        assert_int_equal(unzip(archive, target), ERR_FORMAT);
        assert_non_null(strstr(status_message(), "set/link"));
        assert_false(fs_exists(target));
    }
}

static void an_archive_that_breaks_off_leaves_nothing(void **state)
{
    (void)state;
    char *bytes;
    size_t count;
    make_archive((const entry[]){{"set/a.txt", "the contents of the first file", 0},
                                 {"set/b.txt", "the contents of the second file, which will not be as they were", 0},
                                 {NULL, NULL, 0}});
    assert_int_equal(fs_read(archive, 0, &bytes, &count), OK);
    char *at = memmem(bytes, count, "set/b.txt", 9); /* in its local header; its data follow */
    assert_non_null(at);
    at[9 + 10] ^= 0x55;
    assert_int_equal(fs_write(archive, bytes, count), OK);
    assert_int_equal(unzip(archive, target), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "b.txt"));
    assert_int_equal(entries_of(target), 0);
    for (size_t cut = 0; cut < count; cut += 17) {
        assert_int_equal(fs_write(archive, bytes, cut), OK);
        assert_int_not_equal(unzip(archive, target), OK);
        assert_int_equal(entries_of(target), 0);
    }
    free(bytes);
}

static void a_file_in_the_way_of_a_folder_is_an_error(void **state)
{
    (void)state;
    make_archive((const entry[]){{"a", "file", 0}, {"a/b", "below it", 0}, {NULL, NULL, 0}});
    assert_int_not_equal(unzip(archive, target), OK);
    assert_int_equal(entries_of(target), 0);
}

static void a_common_folder_is_found_where_there_is_one(void **state)
{
    (void)state;
    char *top;
    make_archive((const entry[]){{"a/x", "", 0}, {"b/x", "", 0}, {NULL, NULL, 0}});
    expect_top("");
    make_archive((const entry[]){{"a/x", "", 0}, {"ab/x", "", 0}, {NULL, NULL, 0}});
    expect_top("");
    make_archive((const entry[]){{"a", "", 0}, {NULL, NULL, 0}});
    expect_top("");
    assert_int_equal(fs_write(archive, "no archive", 10), OK);
    assert_int_equal(unzip_top(archive, &top), ERR_FORMAT);
    assert_int_equal(unzip("/nonexistent.zip", target), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "/nonexistent.zip"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(files_and_folders_come_to_their_places),
        CASE(what_is_there_is_filled_up),
        CASE(names_that_lead_out_are_refused),
        CASE(links_are_refused),
        CASE(an_archive_that_breaks_off_leaves_nothing),
        CASE(a_file_in_the_way_of_a_folder_is_an_error),
        CASE(a_common_folder_is_found_where_there_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
