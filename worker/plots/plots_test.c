/* Plots. That they are good to look at is for eyes; here they are looked at for what must be in them, with data of any size. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/rng.h"
#include "worker/plots/curve_plot.h"
#include "worker/plots/labels_plot.h"
#include "worker/plots/results_plot.h"
#include "worker/plots/test_pictures.h"

static char folder[] = "/tmp/mendel-plots-XXXXXX";
static const int blue[3] = {31, 120, 181}, orange[3] = {255, 128, 13}, grey[3] = {158, 158, 158},
                 thick[3] = {8, 48, 184};

enum { CLASSES_MOST = 100 };
static char *names[CLASSES_MOST], words[CLASSES_MOST][32];

static int make_folder(void **state)
{
    (void)state;
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    for (int i = 0; i < CLASSES_MOST; i++) {
        snprintf(words[i], sizeof words[i], i % 3 ? "class %d" : "a longer name of %d", i);
        names[i] = words[i];
    }
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove(folder) == OK ? 0 : -1;
}

static image see(const char *name)
{
    image i;
    char *path = path_join(folder, name);
    assert_true(test_picture_read(path, &i));
    free(path);
    return i;
}

static size_t count_files(void)
{
    fs_names list;
    assert_int_equal(fs_list(folder, &list), OK);
    size_t count = list.count;
    fs_names_free(&list);
    return count;
}

/* ---- labels ---- */

static dataset make_labels(int classes, size_t count)
{
    keyed_rng r;
    dataset d = {.classes = classes, .label_count = count};
    keyed_seed(&r, 1, 0, 0);
    assert_int_equal(array_new(&d.labels, count), OK);
    for (size_t i = 0; i < count; i++) {
        label *l = &d.labels[i];
        *l = (label){(float)keyed_below(&r, (uint32_t)classes), 0.5f, 0.5f, (float)keyed_random(&r), 0};
        l->h = l->w;
    }
    return d;
}

static void labels_of_any_number_are_drawn(void **state)
{
    (void)state;
    static const struct {
        int classes;
        size_t count;
    } cases[] = {{1, 1}, {2, 100}, {20, 3000}, {100, 100000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dataset d = make_labels(cases[i].classes, cases[i].count);
        assert_int_equal(plot_labels(&d, names, folder), OK);
        image all = see("labels.png"), pairs = see("labels_correlogram.png");
        assert_in_range(all.width, 800, 1200);
        assert_in_range(pairs.width, 800, 1200);
        assert_true(test_picture_count(&all, blue, 3, 0, 0, all.width / 2, all.height / 2) > 100); /* the first bar */
        image_free(&all);
        image_free(&pairs);
        free(d.labels);
    }
    assert_int_equal(count_files(), 2);
}

/* Of all values at one place the map has one dark bin, and the histogram one bar. */
static void values_lie_where_they_are(void **state)
{
    (void)state;
    static const int dark[3] = {8, 48, 107}, bar[3] = {84, 117, 160};
    dataset d = make_labels(1, 50);
    for (size_t i = 0; i < d.label_count; i++) d.labels[i] = (label){0, 0.25f, 0.75f, 0.5f, 0.5f};
    assert_int_equal(plot_labels(&d, names, folder), OK);
    image pairs = see("labels_correlogram.png");
    /* x against y: second row, first column; its frame begins at 70, 17 + 236, and is 220 wide and high */
    assert_int_equal(test_picture_count(&pairs, dark, 8, 70 + 50, 253 + 50, 70 + 60, 253 + 60), 16);
    assert_int_equal(test_picture_count(&pairs, dark, 8, 72, 255, 288, 470), 16);
    assert_true(test_picture_count(&pairs, bar, 8, 70 + 50, 17, 70 + 60, 237) > 4 * 190); /* x by itself */
    assert_int_equal(test_picture_count(&pairs, bar, 8, 70 + 62, 19, 288, 235), 0);
    image_free(&pairs);
    free(d.labels);
}

static void without_labels_nothing_is_drawn(void **state)
{
    (void)state;
    dataset d = {.classes = 3};
    assert_int_equal(plot_labels(&d, names, folder), OK);
    assert_int_equal(count_files(), 0);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    dataset d = make_labels(2, 10);
    ap_summary s = {0};
    results_row row = {.epochs = 1};
    char *none = path_join(folder, "none"), *file = path_join(folder, "none/plot.png");
    assert_int_equal(plot_labels(&d, names, none), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "none/labels.png"));
    assert_int_equal(plot_results(&row, 1, file), ERR_NOT_FOUND);
    assert_int_equal(plot_precision_recall(&s, names, 2, file), ERR_NOT_FOUND);
    free(none);
    free(file);
    free(d.labels);
}

/* ---- results ---- */

/* Blue pixels of a panel, counted by column and row. */
static int blue_of(const image *i, int column, int row)
{
    return test_picture_count(i, blue, 60, column * 290, row * 270, (column + 1) * 290, (row + 1) * 270);
}

static void every_number_of_results_has_its_curve(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 60, 1000};
    char *path = path_join(folder, "results.png");
    results_row *rows;
    assert_int_equal(array_new(&rows, 1000), OK);
    for (int64_t i = 0; i < 1000; i++) {
        rows[i] = (results_row){.epoch = i, .epochs = 1000};
        for (int k = 0; k < LOSS_ITEMS; k++) rows[i].losses[k] = 1 / (1 + (float)i);
        for (int k = 0; k < RESULT_COUNT; k++) rows[i].metrics[k] = (double)i / 1000;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        assert_int_equal(plot_results(rows, counts[i], path), OK);
        image seen = see("results.png");
        assert_int_equal(seen.width, 5 * 290);
        for (int panel = 0; panel < 10; panel++) /* validation losses of the first row are 0: none */
            if (counts[i] > 1 || panel < 5 || panel > 7) assert_true(blue_of(&seen, panel % 5, panel / 5) > 8);
            else assert_int_equal(blue_of(&seen, panel % 5, panel / 5), 0);
        image_free(&seen);
    }
    free(rows);
    free(path);
}

static void losses_that_are_not_there_are_gaps(void **state)
{
    (void)state;
    char *path = path_join(folder, "results.png");
    results_row rows[9];
    for (int64_t i = 0; i < 9; i++) {
        rows[i] = (results_row){.epoch = i, .epochs = 9, .losses = {NAN, INFINITY, 1, 1}, .metrics = {NAN, 0.5, 0, 0}};
        if (i % 2) rows[i].metrics[4] = 0.5; /* every other one: dots alone */
    }
    assert_int_equal(plot_results(rows, 9, path), OK);
    image seen = see("results.png");
    assert_int_equal(blue_of(&seen, 0, 0), 0);
    assert_int_equal(blue_of(&seen, 1, 0), 0);
    assert_int_equal(blue_of(&seen, 3, 0), 0);
    assert_true(blue_of(&seen, 2, 0) > 200);
    assert_in_range(blue_of(&seen, 0, 1), 20, 150);
    assert_int_equal(plot_results(rows, 0, path), OK);
    image_free(&seen);
    free(path);
}

/* ---- precision and recall ---- */

static void a_curve_for_each_class_and_their_mean(void **state)
{
    (void)state;
    char *path = path_join(folder, "curve.png");
    static ap_class rows[CLASSES_MOST];
    for (int i = 0; i < CLASSES_MOST; i++) {
        rows[i].class = i;
        for (int k = 0; k < AP_CURVE_POINTS; k++) rows[i].curve[k] = i % 2 ? 0.75f : 0.25f;
    }
    ap_summary s = {.table = {rows, 2}, .map50 = 0.5};
    assert_int_equal(plot_precision_recall(&s, names, CLASSES_MOST, path), OK);
    image seen = see("curve.png"); /* the frame begins at 64, 20, and is 480 wide and high */
    assert_true(test_picture_count(&seen, blue, 90, 70, 20 + 355, 540, 20 + 365) > 300);
    assert_true(test_picture_count(&seen, orange, 90, 70, 20 + 115, 540, 20 + 125) > 300);
    assert_true(test_picture_count(&seen, thick, 40, 70, 20 + 235, 540, 20 + 245) > 900);
    assert_int_equal(test_picture_count(&seen, thick, 40, 70, 20, 540, 20 + 230), 0);
    image_free(&seen);
    s.table.count = CLASSES_MOST; /* too many to tell apart */
    assert_int_equal(plot_precision_recall(&s, names, CLASSES_MOST, path), OK);
    seen = see("curve.png");
    assert_int_equal(test_picture_count(&seen, orange, 90, 64, 20, 544, 500), 0);
    assert_true(test_picture_count(&seen, grey, 60, 70, 20 + 115, 540, 20 + 125) > 300);
    image_free(&seen);
    s = (ap_summary){0}; /* nothing was right */
    assert_int_equal(plot_precision_recall(&s, names, 0, path), OK);
    seen = see("curve.png");
    assert_true(test_picture_count(&seen, thick, 40, 70, 490, 540, 505) > 400);
    image_free(&seen);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(labels_of_any_number_are_drawn, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(values_lie_where_they_are, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(without_labels_nothing_is_drawn, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_an_error, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(every_number_of_results_has_its_curve, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(losses_that_are_not_there_are_gaps, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_curve_for_each_class_and_their_mean, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
