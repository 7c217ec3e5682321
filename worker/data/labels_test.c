/* labels.c: what label files may hold, and what is said when they hold something else. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/labels.h"
#include "worker/data/test_files.h"

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = test_folder();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_remove(folder);
    return 0;
}

static status read_text(const char *text, int classes, label_list *out)
{
    const char *path = test_path(folder, "a.txt");
    test_write_text(path, text);
    return labels_read(path, classes, "data.yaml", out);
}

static void rows_are_appended_in_the_order_of_the_file(void **state)
{
    (void)state;
    label_list l = {0};
    assert_int_equal(read_text("0 0.5 0.25 0.125 1\n", 3, &l), OK);
    assert_int_equal(read_text("\n  2\t.5 5e-1 0 1.0 \r\n\r\n1.0 1 1 1 1", 3, &l), OK);
    assert_int_equal(l.count, 3);
    const label want[] = {{0, 0.5f, 0.25f, 0.125f, 1}, {2, 0.5f, 0.5f, 0, 1}, {1, 1, 1, 1, 1}};
    assert_memory_equal(l.rows, want, sizeof want);
    labels_free(&l);
    assert_null(l.rows);
}

static void mistakes_name_file_and_line_and_add_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"0 .5 .5 .1\n", "a.txt:1: 5 numbers were expected (class x y width height), found 4"},
        {"0 .5 .5 .1 .1\n0 .5 .5 .1 .1 .9\n", "a.txt:2: 5 numbers were expected (class x y width height), found 6"},
        {"\n\n0 .5 .5 x .1\n", "a.txt:3: a number was expected, found 'x'"},
        {"0 .5 .5 .1 .1,\n", "a.txt:1: a number was expected, found '.1,'"},
        {"-1 .5 .5 .1 .1\n", "a.txt:1: a class is a whole number from 0 up, found -1"},
        {"1.5 .5 .5 .1 .1\n", "a.txt:1: a class is a whole number from 0 up, found 1.5"},
        {"nan .5 .5 .1 .1\n", "a.txt:1: a class is a whole number from 0 up, found nan"},
        {"1e300 .5 .5 .1 .1\n", "a.txt:1: a class is a whole number"},
        {"0 -.5 .5 .1 .1\n", "a.txt:1: the x has to be a part of the picture, 0 to 1; found -0.5"},
        {"0 .5 1.01 .1 .1\n", "a.txt:1: the y has to be a part of the picture, 0 to 1; found 1.01"},
        {"0 .5 .5 320 .1\n", "a.txt:1: the width has to be a part of the picture, 0 to 1; found 320"},
        {"0 .5 .5 .1 nan\n", "a.txt:1: the height has to be a part of the picture, 0 to 1; found nan"},
        {"0 .5 .5 .1 inf\n", "a.txt:1: the height has to be"},
        {"2 .5 .5 .1 .1\n3 .5 .5 .1 .1\n",
         "a.txt:2: label class 3 exceeds nc=3 in data.yaml; possible class labels are 0-2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        label_list l = {0};
        assert_int_equal(read_text("1 .5 .5 .5 .5\n", 3, &l), OK);
        assert_int_equal(read_text(bad[i].text, 3, &l), ERR_FORMAT);
        if (!strstr(status_message(), bad[i].says)) fail_msg("%s: %s", bad[i].text, status_message());
        assert_non_null(strstr(status_message(), folder));
        assert_int_equal(l.count, 1);
        labels_free(&l);
    }
}

static void limits_are_those_of_float32(void **state)
{
    (void)state;
    label_list l = {0};
    assert_int_equal(read_text("0 1.00000001 .5 .1 -1e-60\n", 3, &l), OK);
    assert_true(l.rows[0].x == 1 && l.rows[0].h == 0);
    assert_int_equal(read_text("0 1.0001 .5 .1 .1\n", 3, &l), ERR_FORMAT);
    labels_free(&l);
}

static void any_class_goes_without_a_number_of_classes(void **state)
{
    (void)state;
    label_list l = {0};
    assert_int_equal(read_text("16777215 .5 .5 .1 .1\n", 0, &l), OK);
    assert_int_equal(read_text("16777216 .5 .5 .1 .1\n", 0, &l), ERR_FORMAT);
    labels_free(&l);
}

static void an_empty_file_has_no_rows_and_a_missing_one_is_an_error(void **state)
{
    (void)state;
    label_list l = {0};
    assert_int_equal(read_text("", 3, &l), OK);
    assert_int_equal(read_text(" \n\n\t\n", 3, &l), OK);
    assert_int_equal(l.count, 0);
    assert_int_equal(labels_read(test_path(folder, "none.txt"), 3, "data.yaml", &l), ERR_NOT_FOUND);
    labels_free(&l);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    label_list l = {0};
    const char *path = test_path(folder, "b.txt");
    test_write(path, "0 .5 .5 .1 .1\n\0 1", 17);
    assert_int_equal(labels_read(path, 3, "data.yaml", &l), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "b.txt: not a text file"));
    test_write(path, "\xff\xd8\xff\xe0 \x01\x02", 7);
    assert_int_equal(labels_read(path, 3, "data.yaml", &l), ERR_FORMAT);
    assert_int_equal(l.count, 0);
    labels_free(&l);
}

static void only_the_second_of_equal_rows_is_marked(void **state)
{
    (void)state;
    const label rows[] = {{1, .5f, .5f, .1f, .1f}, {0, .5f, .5f, .1f, .1f}, {1, .5f, .5f, .1f, .1f},
                          {1, .5f, .5f, .1f, .2f}, {0, .5f, .5f, .1f, .1f}, {1, .5f, .5f, .1f, .1f}};
    const bool want[] = {false, false, true, false, true, true};
    bool got[6];
    size_t count;
    assert_int_equal(labels_find_repeated(rows, 6, got, &count), OK);
    assert_int_equal(count, 3);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(labels_find_repeated(rows, 0, got, &count), OK);
    assert_int_equal(count, 0);
}

static void rows_from_elsewhere_can_be_checked(void **state)
{
    (void)state;
    const label good = {2, 0, 1, .5f, 1};
    assert_true(label_is_valid(&good));
    const label bad[] = {{-1, 0, 0, 0, 0},   {.5f, 0, 0, 0, 0},  {NAN, 0, 0, 0, 0}, {2e7f, 0, 0, 0, 0},
                         {0, -.1f, 0, 0, 0}, {0, 0, 1.1f, 0, 0}, {0, 0, 0, NAN, 0}, {0, 0, 0, 0, INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(label_is_valid(&bad[i]));
}

static void the_place_of_labels_follows_the_rules(void **state)
{
    (void)state;
    static const struct {
        const char *image, *mendel, *reference;
    } cases[] = {
        {"d/images/a.jpg", "d/labels/a.txt", "d/labels/a.txt"},
        {"images/x/images/a.png", "images/x/labels/a.txt", "labels/x/labels/a.txt"},
        {"d/images/a.jpg.jpg", "d/labels/a.jpg.txt", "d/labels/a.txt.txt"},
        {"d/myimages/a.bmp", NULL, "d/mylabels/a.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *mendel = labels_path(cases[i].image, LABELS_MENDEL),
             *reference = labels_path(cases[i].image, LABELS_REFERENCE);
        if (cases[i].mendel) assert_string_equal(mendel, cases[i].mendel);
        assert_string_equal(reference, cases[i].reference);
        free(mendel);
        free(reference);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_appended_in_the_order_of_the_file),
        cmocka_unit_test(mistakes_name_file_and_line_and_add_nothing),
        cmocka_unit_test(limits_are_those_of_float32),
        cmocka_unit_test(any_class_goes_without_a_number_of_classes),
        cmocka_unit_test(an_empty_file_has_no_rows_and_a_missing_one_is_an_error),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(only_the_second_of_equal_rows_is_marked),
        cmocka_unit_test(rows_from_elsewhere_can_be_checked),
        cmocka_unit_test(the_place_of_labels_follows_the_rules),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
