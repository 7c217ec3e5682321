/* scan.c: the file in which a scan is kept. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "worker/data/scan.h"
#include "worker/data/test_files.h"

static const int64_t now_ms = 1700000000000;
static const file_stamp old_file = {7, 1234, 1600000000000000000, 1600000000000000001};

static scan example(void)
{
    scan s = {.taken_ms = now_ms};
    label rows[] = {{0, .1f, .2f, .3f, .4f}, {1, .5f, .5f, .5f, .5f}, {2, .6f, .7f, .8f, .9f}};
    scan_entry a = {.name = "b.jpg", .image = old_file, .labels = old_file, .width = 640, .height = 480, .count = 2};
    scan_entry b = {.name = "a.jpg", .image = old_file, .problem = "a.jpg: empty file", .first = 2, .count = 1};
    a.image.inode = 9;
    assert_int_equal(scan_add(&s, &a), OK);
    assert_int_equal(scan_add(&s, &b), OK);
    s.labels.rows = malloc(sizeof rows);
    assert_non_null(s.labels.rows);
    memcpy(s.labels.rows, rows, sizeof rows);
    s.labels.count = s.labels.room = 3;
    return s;
}

static void what_is_saved_is_loaded_again(void **state)
{
    (void)state;
    char *folder = test_folder();
    scan s = example(), back;
    const char *path = test_path(folder, "x.scan");
    assert_int_equal(scan_save(path, &s), OK);
    assert_int_equal(scan_load(path, &back), OK);
    assert_true(back.count == 2 && back.labels.count == 3 && back.taken_ms == now_ms);
    assert_memory_equal(back.labels.rows, s.labels.rows, 3 * sizeof(label));
    const scan_entry *b = scan_find(&back, "b.jpg", &s.entries[0].image, &old_file);
    assert_non_null(b);
    assert_true(b->width == 640 && b->height == 480 && b->first == 0 && b->count == 2 && !b->problem);
    const scan_entry *a = scan_find(&back, "a.jpg", &old_file, &(file_stamp){0});
    assert_non_null(a);
    assert_string_equal(a->problem, "a.jpg: empty file");
    scan_free(&back);
    scan_free(&s);
    test_remove(folder);
}

static void a_file_that_has_changed_is_not_found(void **state)
{
    (void)state;
    char *folder = test_folder();
    scan s = example(), back;
    const char *path = test_path(folder, "x.scan");
    assert_int_equal(scan_save(path, &s), OK);
    assert_int_equal(scan_load(path, &back), OK);
    for (int i = 0; i < 8; i++) {
        file_stamp image = s.entries[0].image, labels = old_file, *changed = i < 4 ? &image : &labels;
        if (i % 4 == 0) changed->inode++;
        if (i % 4 == 1) changed->size++;
        if (i % 4 == 2) changed->modified_ns++;
        if (i % 4 == 3) changed->changed_ns++;
        assert_null(scan_find(&back, "b.jpg", &image, &labels));
    }
    assert_null(scan_find(&back, "c.jpg", &s.entries[0].image, &old_file));
    scan_free(&back);
    scan_free(&s);
    test_remove(folder);
}

/* It could change once more within the clock's grain, and look the same. */
static void a_file_changed_right_before_the_scan_is_not_believed(void **state)
{
    (void)state;
    char *folder = test_folder();
    const char *path = test_path(folder, "x.scan");
    for (int young = 0; young < 2; young++) {
        scan s = example(), back;
        s.entries[0].image.changed_ns = (now_ms - SCAN_TRUST_MS) * 1000000 - (young ? 0 : 1);
        assert_int_equal(scan_save(path, &s), OK);
        assert_int_equal(scan_load(path, &back), OK);
        const scan_entry *found = scan_find(&back, "b.jpg", &s.entries[0].image, &old_file);
        assert_true(young ? !found : !!found);
        scan_free(&back);
        scan_free(&s);
    }
    test_remove(folder);
}

static void damage_anywhere_counts_as_no_scan(void **state)
{
    (void)state;
    char *folder = test_folder();
    scan s = example(), back;
    size_t count;
    const char *path = test_path(folder, "x.scan"), *other = test_path(folder, "y.scan");
    assert_int_equal(scan_save(path, &s), OK);
    char *bytes = test_read(path, &count);
    for (size_t i = 0; i < count; i++) {
        test_write(other, bytes, i); /* cut off */
        assert_int_equal(scan_load(other, &back), ERR_FORMAT);
        assert_true(back.count == 0 && !back.entries);
        bytes[i] ^= 0x10;
        test_write(other, bytes, count);
        assert_int_equal(scan_load(other, &back), ERR_FORMAT);
        bytes[i] ^= 0x10;
    }
    free(bytes);
    assert_int_equal(scan_load(test_path(folder, "none"), &back), ERR_NOT_FOUND);
    scan_free(&s);
    test_remove(folder);
}

/* The disk is full in the middle of the file. */
static void a_failed_save_leaves_the_old_scan(void **state)
{
    (void)state;
    char *folder = test_folder();
    const char *path = test_path(folder, "x.scan");
    scan s = example(), back;
    struct rlimit before, small;
    fs_names names;
    assert_int_equal(scan_save(path, &s), OK);
    s.taken_ms++;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    status result = scan_save(path, &s);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(result, OK);
    assert_int_equal(scan_load(path, &back), OK);
    assert_true(back.taken_ms == now_ms);
    assert_int_equal(fs_list(folder, &names), OK);
    assert_int_equal(names.count, 1); /* no part is left behind */
    fs_names_free(&names);
    scan_free(&back);
    scan_free(&s);
    test_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_loaded_again),
        cmocka_unit_test(a_file_that_has_changed_is_not_found),
        cmocka_unit_test(a_file_changed_right_before_the_scan_is_not_believed),
        cmocka_unit_test(damage_anywhere_counts_as_no_scan),
        cmocka_unit_test(a_failed_save_leaves_the_old_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
