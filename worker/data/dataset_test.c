/* dataset.c and scanner.c: what is found in a data set, what is left out, and what is remembered of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "worker/data/dataset.h"
#include "worker/data/scan.h"
#include "worker/data/test_files.h"

enum { PICTURES = 7 };
static char *folder;
static data_yaml yaml;

static int start(void **state)
{
    (void)state;
    folder = test_folder();
    assert_int_equal(setenv("XDG_CACHE_HOME", test_path(folder, "home"), 1), 0);
    log_set_level(LEVEL_ERROR);
    test_data_set(folder, PICTURES);
    test_data_yaml(folder, &yaml);
    return 0;
}

static int end(void **state)
{
    (void)state;
    data_yaml_free(&yaml);
    test_remove(folder);
    return 0;
}

static dataset *create(dataset_options options)
{
    dataset *d;
    if (dataset_create(&yaml, DATA_TRAIN, &options, &d) != OK) fail_msg("%s", status_message());
    return d;
}

static status creation_fails(dataset_options options)
{
    dataset *d = (dataset *)1;
    status s = dataset_create(&yaml, DATA_TRAIN, &options, &d);
    assert_null(d);
    return s;
}

static const dataset_options without_cache = {.needs_labels = true, .no_cache = true};

/* ---- what is found ---- */

static void pictures_and_labels_are_found_in_the_order_of_their_names(void **state)
{
    (void)state;
    dataset *d = create(without_cache);
    assert_true(d->count == PICTURES && d->classes == 3 && d->label_count == 13);
    for (int i = 0; i < PICTURES; i++) {
        const dataset_image *image = &d->images[i];
        assert_string_equal(image->path, test_path(folder, "images/train/a%02d.jpg", i));
        assert_true(image->width == (i % 3 ? 64 + i : 48) && image->height == (i % 3 ? 48 : 64));
        assert_int_equal(image->labels, 1 + i % 3);
        assert_true(dataset_labels(d, i)->cls == (float)(i % 3));
        assert_true(dataset_labels(d, i)->w == (float)(0.2 + 0.01 * i));
    }
    assert_true(d->counts.found == PICTURES && !d->counts.missing && !d->counts.empty && !d->counts.repeated);
    dataset_destroy(&d);
    assert_null(d);
}

static void missing_empty_and_repeated_labels_are_counted(void **state)
{
    (void)state;
    assert_int_equal(unlink(test_path(folder, "labels/train/a00.txt")), 0);
    test_write_text(test_path(folder, "labels/train/a01.txt"), "");
    test_write_text(test_path(folder, "labels/train/a02.txt"), "1 .5 .5 .1 .1\n1 .5 .5 .1 .1\n2 .5 .5 .1 .1\n");
    dataset *d = create(without_cache);
    assert_true(d->counts.missing == 1 && d->counts.empty == 1 && d->counts.found == PICTURES - 2);
    assert_true(d->counts.repeated == 1 && d->images[2].labels == 3 && d->images[0].labels == 0);
    dataset_destroy(&d);
    d = create((dataset_options){.no_cache = true, .drop_repeated = true, .single_class = true});
    assert_true(d->images[2].labels == 2 && d->classes == 1);
    for (size_t i = 0; i < d->label_count; i++) assert_true(d->labels[i].cls == 0);
    dataset_destroy(&d);
}

static void no_labels_at_all_stop_training_and_not_validation(void **state)
{
    (void)state;
    assert_int_equal(fs_remove(test_path(folder, "labels")), OK);
    assert_int_equal(creation_fails(without_cache), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "no labels for the pictures in"));
    dataset *d = create((dataset_options){.no_cache = true});
    assert_true(d->count == PICTURES && d->counts.missing == PICTURES);
    dataset_destroy(&d);
}

static void a_wrong_label_names_file_and_line(void **state)
{
    (void)state;
    test_write_text(test_path(folder, "labels/train/a04.txt"), "0 .5 .5 .1 .1\n\n3 .5 .5 .1 .1\n");
    for (int cached = 0; cached < 2; cached++) { /* the class of a row that was read earlier is checked as well */
        assert_int_equal(creation_fails((dataset_options){.needs_labels = true}), ERR_FORMAT);
        assert_non_null(strstr(status_message(), "labels/train/a04.txt:3: label class 3 exceeds nc=3 in "));
    }
    test_write_text(test_path(folder, "labels/train/a04.txt"), "0 .5 .5 .1\n");
    assert_int_equal(creation_fails(without_cache), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "labels/train/a04.txt:1: 5 numbers were expected"));
}

/* ---- what is left out ---- */

/* Damage to four pictures, each of another kind. */
static void damage_pictures(void)
{
    size_t count;
    char *bytes = test_read(test_path(folder, "images/train/a01.jpg"), &count);
    test_write(test_path(folder, "images/train/a01.jpg"), bytes, count / 2);
    for (size_t i = 2; i + 1 < count; i++)
        if (bytes[i] == '\xff' && bytes[i + 1] == '\xdb') bytes[i + 1] = '\xef'; /* no tables to decode with */
    test_write(test_path(folder, "images/train/a02.jpg"), bytes, count);
    free(bytes);
    test_write_text(test_path(folder, "images/train/a04.jpg"), "not a picture");
    test_jpeg(test_path(folder, "images/train/a05.jpg"), 8, 64, 0);
}

static void pictures_that_cannot_be_decoded_are_left_out_with_a_sentence(void **state)
{
    (void)state;
    static const char *const says[] = {"a01.jpg: the JPEG is cut off (no end marker)\n",
                                       "a02.jpg: broken JPEG: ", "a04.jpg: not a JPEG, PNG or BMP picture\n",
                                       "a05.jpg: 8 x 64 pixels; at least 10 a side are needed\n",
                                       "train: 4 pictures cannot be read and are left out\n"};
    damage_pictures();
    for (int threads = 1; threads <= 4; threads += 3) {
        log_set_level(LEVEL_WARNING);
        int before = test_listen(folder);
        dataset *d = create((dataset_options){.no_cache = true, .needs_labels = true, .threads = threads});
        char *heard = test_heard(folder, before);
        log_set_level(LEVEL_ERROR);
        assert_true(d->count == 3 && d->counts.broken == 4 && d->counts.found == 3);
        assert_string_equal(path_name(d->images[0].path), "a00.jpg");
        assert_string_equal(path_name(d->images[1].path), "a03.jpg");
        assert_string_equal(path_name(d->images[2].path), "a06.jpg");
        assert_true(dataset_labels(d, 1)->w == (float)0.23);
        for (size_t i = 0; i < sizeof says / sizeof *says; i++)
            if (!strstr(heard, says[i])) fail_msg("'%s' is missing in: %s", says[i], heard);
        int lines = 0;
        for (const char *at = heard; (at = strchr(at, '\n')); at++) lines++;
        assert_int_equal(lines, 5);
        free(heard);
        dataset_destroy(&d);
    }
}

static void a_data_set_without_a_single_good_picture_is_an_error(void **state)
{
    (void)state;
    for (int i = 0; i < PICTURES; i++) test_write_text(test_path(folder, "images/train/a%02d.jpg", i), "");
    assert_int_equal(creation_fails(without_cache), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "train: none of the 7 pictures can be read"));
}

/* ---- what is remembered ---- */

/* Make the scan believe that it was taken later, when all files had settled, and mark it: the first label's width becomes .75. */
static void mark_scan(const char *path)
{
    scan s;
    assert_int_equal(scan_load(path, &s), OK);
    s.taken_ms += 3600 * 1000;
    for (size_t i = 0; i < s.count; i++)
        if (!strcmp(s.entries[i].name, "a00.jpg")) s.labels.rows[s.entries[i].first].w = 0.75f;
    assert_int_equal(scan_save(path, &s), OK);
    scan_free(&s);
}

static float first_width(void)
{
    dataset *d = create((dataset_options){.needs_labels = true});
    float width = dataset_labels(d, 0)->w;
    dataset_destroy(&d);
    return width;
}

static void a_scan_is_kept_beside_the_labels_and_believed(void **state)
{
    (void)state;
    const char *path = test_path(folder, "labels/train.train.scan");
    dataset *d = create(without_cache);
    dataset_destroy(&d);
    assert_false(fs_exists(path));
    assert_true(first_width() == 0.2f);
    assert_true(fs_is_file(path));
    mark_scan(path);
    assert_true(first_width() == 0.75f);
    d = create(without_cache);
    assert_true(dataset_labels(d, 0)->w == 0.2f);
    dataset_destroy(&d);
}

static void a_changed_label_file_or_picture_is_looked_at_again(void **state)
{
    (void)state;
    const char *path = test_path(folder, "labels/train.train.scan");
    for (int picture = 0; picture < 2; picture++) {
        assert_true(first_width() == (picture ? 0.5f : 0.2f));
        mark_scan(path);
        assert_true(first_width() == 0.75f);
        test_write_text(test_path(folder, "labels/train/a00.txt"), "0 .5 .5 .5 .5\n");
        if (picture) test_jpeg(test_path(folder, "images/train/a00.jpg"), 40, 30, 1);
        dataset *d = create((dataset_options){.needs_labels = true});
        assert_true(dataset_labels(d, 0)->w == 0.5f);
        assert_int_equal(d->images[0].width, picture ? 40 : 48);
        dataset_destroy(&d);
    }
}

static void pictures_that_come_and_go_are_noticed(void **state)
{
    (void)state;
    const char *path = test_path(folder, "labels/train.train.scan");
    assert_true(first_width() == 0.2f);
    mark_scan(path);
    assert_int_equal(unlink(test_path(folder, "images/train/a03.jpg")), 0);
    test_jpeg(test_path(folder, "images/train/b.jpg"), 30, 30, 0);
    dataset *d = create((dataset_options){.needs_labels = true});
    assert_true(d->count == PICTURES && d->counts.missing == 1 && dataset_labels(d, 0)->w == 0.75f);
    assert_string_equal(path_name(d->images[PICTURES - 1].path), "b.jpg");
    assert_true(dataset_labels(d, 3)->w == 0.24f);
    dataset_destroy(&d);
    scan s; /* and the new state is what is kept */
    assert_int_equal(scan_load(path, &s), OK);
    assert_int_equal(s.count, PICTURES);
    scan_free(&s);
}

static void a_broken_picture_is_remembered_as_such(void **state)
{
    (void)state;
    damage_pictures();
    for (int again = 0; again < 2; again++) {
        dataset *d = create((dataset_options){.needs_labels = true});
        assert_true(d->count == 3 && d->counts.broken == 4);
        dataset_destroy(&d);
        if (!again) mark_scan(test_path(folder, "labels/train.train.scan"));
    }
    test_jpeg(test_path(folder, "images/train/a04.jpg"), 30, 30, 0); /* and noticed when it has been mended */
    dataset *d = create((dataset_options){.needs_labels = true});
    assert_true(d->count == 4 && d->counts.broken == 3 && dataset_labels(d, 0)->w == 0.75f);
    dataset_destroy(&d);
}

static void a_damaged_scan_is_no_scan(void **state)
{
    (void)state;
    assert_true(first_width() == 0.2f);
    mark_scan(test_path(folder, "labels/train.train.scan"));
    size_t count;
    char *bytes = test_read(test_path(folder, "labels/train.train.scan"), &count);
    bytes[count - 1] ^= 1;
    test_write(test_path(folder, "labels/train.train.scan"), bytes, count);
    free(bytes);
    assert_true(first_width() == 0.2f);
}

static void read_only_data_have_their_scan_in_the_users_cache(void **state)
{
    (void)state;
    fs_names names;
    assert_int_equal(chmod(test_path(folder, "labels"), 0555), 0);
    assert_true(first_width() == 0.2f);
    assert_false(fs_exists(test_path(folder, "labels/train.train.scan")));
    assert_int_equal(fs_list(test_path(folder, "home/mendel"), &names), OK);
    assert_int_equal(names.count, 1);
    mark_scan(test_path(folder, "home/mendel/%s", names.names[0]));
    fs_names_free(&names);
    assert_true(first_width() == 0.75f);
    assert_int_equal(chmod(test_path(folder, "labels"), 0755), 0);
}

static void without_any_place_for_a_scan_it_works_as_well(void **state)
{
    (void)state;
    test_write_text(test_path(folder, "home/mendel"), "a file where the folder should be");
    assert_int_equal(chmod(test_path(folder, "labels"), 0555), 0);
    assert_true(first_width() == 0.2f);
    assert_true(first_width() == 0.2f);
    assert_int_equal(chmod(test_path(folder, "labels"), 0755), 0);
}

/* ---- weights ---- */

static void weights_follow_from_the_labels(void **state)
{
    (void)state;
    static const label rows[] = {{0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, {1, 0, 0, 0, 0}};
    dataset_image images[] = {{.labels = 2}, {.first = 2, .labels = 2}, {.first = 4}};
    dataset d = {.images = images, .count = 3, .labels = (label *)rows, .label_count = 4, .classes = 3};
    double classes[3], pictures[3];
    dataset_class_weights(&d, classes); /* 1/3, 1 and, for the class that is not there, 1 */
    assert_true(fabs(classes[0] - 1 / 7.0) < 1e-15 && fabs(classes[1] - 3 / 7.0) < 1e-15 && classes[1] == classes[2]);
    const double maps[] = {0.5, 0, 1};
    assert_int_equal(dataset_image_weights(&d, classes, maps, pictures), OK);
    assert_true(fabs(pictures[0] - 2 * classes[0] / 4) < 1e-15);
    assert_true(fabs(pictures[1] - classes[0] / 4 - classes[1]) < 1e-15);
    assert_true(pictures[2] == 0);
    assert_int_equal(dataset_image_weights(&d, classes, NULL, pictures), OK);
    assert_true(fabs(pictures[0] - 2 * classes[0]) < 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pictures_and_labels_are_found_in_the_order_of_their_names, start, end),
        cmocka_unit_test_setup_teardown(missing_empty_and_repeated_labels_are_counted, start, end),
        cmocka_unit_test_setup_teardown(no_labels_at_all_stop_training_and_not_validation, start, end),
        cmocka_unit_test_setup_teardown(a_wrong_label_names_file_and_line, start, end),
        cmocka_unit_test_setup_teardown(pictures_that_cannot_be_decoded_are_left_out_with_a_sentence, start, end),
        cmocka_unit_test_setup_teardown(a_data_set_without_a_single_good_picture_is_an_error, start, end),
        cmocka_unit_test_setup_teardown(a_scan_is_kept_beside_the_labels_and_believed, start, end),
        cmocka_unit_test_setup_teardown(a_changed_label_file_or_picture_is_looked_at_again, start, end),
        cmocka_unit_test_setup_teardown(pictures_that_come_and_go_are_noticed, start, end),
        cmocka_unit_test_setup_teardown(a_broken_picture_is_remembered_as_such, start, end),
        cmocka_unit_test_setup_teardown(a_damaged_scan_is_no_scan, start, end),
        cmocka_unit_test_setup_teardown(read_only_data_have_their_scan_in_the_users_cache, start, end),
        cmocka_unit_test_setup_teardown(without_any_place_for_a_scan_it_works_as_well, start, end),
        cmocka_unit_test(weights_follow_from_the_labels),
    };
    unsetenv("MENDEL_LOG"); /* what is said is part of the tests */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
