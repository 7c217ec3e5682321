/* coco.c: detections as COCO's tools read them. Those tools themselves are asked in tests/interop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/text.h"
#include "worker/metrics/coco.h"

static char folder[] = "/tmp/mendel-coco-XXXXXX";
static char *path;
static const boxes_placing as_it_is = {1, 0, 0};

static int make_folder(void **state)
{
    (void)state;
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    return mkdtemp(folder) && (path = path_join(folder, "found.json")) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    free(path);
    return fs_remove(folder) == OK ? 0 : -1;
}

static char *read_file(void)
{
    char *bytes;
    size_t length;
    assert_int_equal(fs_read(path, 0, &bytes, &length), OK);
    return bytes;
}

static void assert_file(const char *want)
{
    char *bytes = read_file();
    assert_string_equal(bytes, want);
    free(bytes);
}

static void categories_have_coco_s_gaps(void **state)
{
    (void)state;
    assert_int_equal(coco_category(0), 1);   /* person */
    assert_int_equal(coco_category(10), 11); /* fire hydrant */
    assert_int_equal(coco_category(11), 13); /* stop sign */
    assert_int_equal(coco_category(24), 27); /* backpack */
    assert_int_equal(coco_category(26), 31); /* handbag */
    assert_int_equal(coco_category(39), 44); /* bottle */
    assert_int_equal(coco_category(60), 67); /* dining table */
    assert_int_equal(coco_category(61), 70); /* toilet */
    assert_int_equal(coco_category(72), 82); /* refrigerator */
    assert_int_equal(coco_category(79), 90); /* toothbrush */
    for (int i = 1; i < 80; i++) assert_true(coco_category(i) > coco_category(i - 1));
}

static void boxes_are_corner_and_size_in_the_file_s_pixels(void **state)
{
    (void)state;
    coco_file *f;
    const float boxes[] = {10, 20, 30.5f, 60, 0.123456f, 2, 0, 0, 999, 999, 1, 0};
    const boxes_placing half = {0.5, 4, 8}; /* shrunk to a half, behind borders of 4 and 8 */
    assert_int_equal(coco_start(path, false, &f), OK);
    assert_int_equal(coco_add(f, "pictures/000042.jpg", boxes, 2, &half, 640, 480), OK);
    assert_int_equal(coco_add(f, "pictures/empty.jpg", NULL, 0, &half, 640, 480), OK);
    assert_int_equal(coco_finish(&f, OK), OK);
    assert_null(f);
    assert_file(
        "[\n{\"image_id\": 42, \"category_id\": 2, \"bbox\": [12.000, 24.000, 41.000, 80.000], \"score\": 0.12346},\n"
        "{\"image_id\": 42, \"category_id\": 0, \"bbox\": [0.000, 0.000, 640.000, 480.000], \"score\": 1.00000}\n]\n");
}

static void names_are_numbers_or_texts(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"0.png", "0"},
        {"a/000.png", "0"},
        {"a/0012.tar.png", "\"0012.tar\""},
        {"12a.jpg", "\"12a\""},
        {"\"x\\.bmp", "\"\\\"x\\\\\""},
        {"caf\xe9.jpg", "\"caf?\""},
        {"99999999999999999999.jpg", "99999999999999999999"},
        {"-3.jpg", "\"-3\""},
    };
    const float box[] = {1, 2, 3, 4, 0.5f, 11};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        coco_file *f;
        text want = {0};
        assert_int_equal(coco_start(path, true, &f), OK);
        assert_int_equal(coco_add(f, names[i][0], box, 1, &as_it_is, 10, 10), OK);
        assert_int_equal(coco_finish(&f, OK), OK);
        text_add(&want,
                 "[\n{\"image_id\": %s, \"category_id\": 13, \"bbox\": [1.000, 2.000, 2.000, 2.000], \"score\": "
                 "0.50000}\n]\n",
                 names[i][1]);
        assert_file(want.bytes);
        text_free(&want);
    }
}

static void nothing_found_is_an_empty_list(void **state)
{
    (void)state;
    coco_file *f;
    assert_int_equal(coco_start(path, true, &f), OK);
    assert_int_equal(coco_finish(&f, OK), OK);
    assert_file("[]\n");
}

static void a_long_list_is_written_as_it_grows(void **state)
{
    (void)state;
    coco_file *f;
    const float box[] = {1, 2, 3, 4, 0.5f, 0};
    enum { MANY = 30000 };
    assert_int_equal(coco_start(path, false, &f), OK);
    for (int i = 0; i < MANY; i++) assert_int_equal(coco_add(f, "picture.jpg", box, 1, &as_it_is, 10, 10), OK);
    assert_false(fs_exists(path));
    assert_int_equal(coco_finish(&f, OK), OK);
    char *bytes = read_file();
    int found = 0;
    for (const char *at = bytes; (at = strstr(at, "image_id")); at++) found++;
    assert_int_equal(found, MANY);
    free(bytes);
}

static void what_failed_leaves_nothing_behind(void **state)
{
    (void)state;
    coco_file *f;
    fs_names names;
    assert_int_equal(coco_start(path, false, &f), OK);
    assert_int_equal(coco_finish(&f, ERR_STOPPED), ERR_STOPPED);
    assert_int_equal(fs_list(folder, &names), OK);
    assert_int_equal(names.count, 0);
    fs_names_free(&names);
    char *none = path_join(folder, "none/found.json");
    assert_int_equal(coco_start(none, false, &f), ERR_NOT_FOUND);
    assert_null(f);
    assert_int_equal(coco_finish(&f, OK), OK);
    free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(categories_have_coco_s_gaps),
        cmocka_unit_test_setup_teardown(boxes_are_corner_and_size_in_the_file_s_pixels, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(names_are_numbers_or_texts, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(nothing_found_is_an_empty_list, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_long_list_is_written_as_it_grows, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_failed_leaves_nothing_behind, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
