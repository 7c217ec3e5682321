#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/data_yaml.h"
#include "common/text.h"

/* A folder with two pictures (their contents do not matter here) and one label file. */
typedef struct fixture {
    char folder[40];
} fixture;

static void put(const fixture *f, const char *name, const char *value)
{
    char *path = path_join(f->folder, name), *folder = path_folder(path);
    if (fs_make_folders(folder, 0755) != OK || fs_write(path, value, strlen(value)) != OK)
        fail_msg("%s", status_message());
    free(path), free(folder);
}

static int start(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (!f) return 1;
    strcpy(f->folder, "/tmp/mendel-data-XXXXXX");
    *state = f;
    if (!mkdtemp(f->folder)) return 1;
    put(f, "images/train/b.jpg", "two");
    put(f, "images/train/a.PNG", "one");
    put(f, "images/train/notes.txt", "no picture");
    put(f, "images/val/c.jpeg", "three");
    put(f, "labels/train/a.txt", "0 .5 .5 .1 .1\n");
    return 0;
}

static int stop(void **state)
{
    fixture *f = *state;
    status s = fs_remove(f->folder);
    free(f);
    return s == OK ? 0 : 1;
}

static status read_text(const fixture *f, const char *yaml_text, data_yaml *out)
{
    return data_yaml_parse("data.yaml", yaml_text, f->folder, out);
}

static const char good[] = "train: images/train\nval: images/val\nnc: 2\nnames: [a, b]\n";

static void folders_lists_and_mixtures_are_read(void **state)
{
    fixture *f = *state;
    data_yaml d;
    fs_names images;
    assert_int_equal(read_text(f, good, &d), OK);
    assert_int_equal(d.classes, 2);
    assert_int_equal(data_yaml_images(&d, DATA_TRAIN, &images), OK);
    assert_int_equal(images.count, 2); /* sorted, the text left out */
    assert_string_equal(path_name(images.names[0]), "a.PNG");
    fs_names_free(&images);
    assert_int_equal(data_yaml_images(&d, DATA_TEST, &images), ERR_NOT_FOUND);
    data_yaml_free(&d);
    put(f, "list.txt", "./images/val/c.jpeg\n\n./images/train/b.jpg\r\n");
    assert_int_equal(read_text(f, "train: [list.txt, images/train]\nval: list.txt\nnc: 1\nnames: [x]\n", &d), OK);
    assert_int_equal(data_yaml_images(&d, DATA_TRAIN, &images), OK);
    assert_int_equal(images.count, 4);
    fs_names_free(&images);
    data_yaml_free(&d);
}

static void what_is_wrong_is_named(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *yaml_text, *words;
    } cases[] = {
        {"val: images/val\nnc: 1\nnames: [a]\n", "train: a folder or list file of pictures is missing"},
        {"train: images/train\nnc: 1\nnames: [a]\n", "val: a folder or list file"},
        {"train: nowhere\nval: images/val\nnc: 1\nnames: [a]\n",
         "data.yaml:1: train: no folder or list file 'nowhere'"},
        {"train: images/train\nval: images/val\nnc: 3\nnames: [a]\n",
         "data.yaml:4: names: 3 names were expected (nc), found 1"},
        {"train: images/train\nval: images/val\nnames: [a]\n", "nc: the number of classes is missing"},
        {"train: images/train\nval: images/val\nnc: 0\nnames: []\n", "nc: 1 to"},
        {"- 1\n", "train, val, nc and names were expected"},
        {"train: [images/train\n", "malformed YAML"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_yaml d;
        assert_int_equal(read_text(f, cases[i].yaml_text, &d), ERR_FORMAT);
        if (!strstr(status_message(), cases[i].words))
            fail_msg("'%s' does not say '%s'", status_message(), cases[i].words);
        assert_null(d.names);
    }
}

static void a_folder_without_pictures_is_an_error(void **state)
{
    fixture *f = *state;
    data_yaml d;
    fs_names images;
    put(f, "images/empty/readme.txt", "");
    assert_int_equal(read_text(f, "train: images/empty\nval: images/val\nnc: 1\nnames: [a]\n", &d), OK);
    assert_int_equal(data_yaml_images(&d, DATA_TRAIN, &images), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "no picture"));
    data_yaml_free(&d);
}

static void labels_lie_beside_the_last_images_folder(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a/images/train/x.jpg", "a/labels/train/x.txt"},
        {"images/x.y.png", "labels/x.y.txt"},
        {"images/old/images/x.jpg", "images/old/labels/x.txt"},
        {"my_images/x.jpg", "my_images/x.txt"},
        {"x.jpg", "x.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *label = data_label_path(cases[i][0]);
        assert_string_equal(label, cases[i][1]);
        free(label);
    }
}

static void digests_name_the_first_difference(void **state)
{
    fixture *f = *state;
    data_yaml d;
    data_digest a, b;
    assert_int_equal(read_text(f, good, &d), OK);
    assert_int_equal(data_yaml_digest(&d, DATA_TRAIN, &a), OK);
    assert_int_equal(data_yaml_digest(&d, DATA_TRAIN, &b), OK);
    assert_int_equal(data_digest_compare("train", &a, &b), OK);
    put(f, "labels/train/a.txt", "1 .5 .5 .1 .1\n"); /* as long as before */
    assert_int_equal(data_yaml_digest(&d, DATA_TRAIN, &b), OK);
    assert_int_equal(data_digest_compare("train", &a, &b), ERR_REFUSED);
    assert_non_null(strstr(status_message(), "contents of the labels"));
    put(f, "images/train/d.jpg", "four");
    assert_int_equal(data_yaml_digest(&d, DATA_TRAIN, &b), OK);
    assert_int_equal(data_digest_compare("train", &a, &b), ERR_REFUSED);
    assert_non_null(strstr(status_message(), "train has 2 images here, 3 there"));
    data_yaml_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_lists_and_mixtures_are_read, start, stop),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named, start, stop),
        cmocka_unit_test_setup_teardown(a_folder_without_pictures_is_an_error, start, stop),
        cmocka_unit_test(labels_lie_beside_the_last_images_folder),
        cmocka_unit_test_setup_teardown(digests_name_the_first_difference, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
