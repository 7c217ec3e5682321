/* journal.c: what is left in a run's folder, at which moments, and that nothing of it can end a training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "worker/plots/test_pictures.h"
#include "worker/train/journal.h"
#include "worker/train/test_events.h"

enum { SIZE = 64, IMAGES = 2, MOST = 300 };

static char folder[] = "/tmp/mendel-journal-XXXXXX";
static char *names[] = {"disc", "square"};
static label labels[] = {{0, 0.5f, 0.5f, 0.25f, 0.25f}, {1, 0.25f, 0.25f, 0.5f, 0.5f}, {1, 0.5f, 0.5f, 1, 1}};
static dataset_image pictures[] = {
    {.path = "pictures/a.jpg", .width = SIZE, .height = SIZE, .first = 0, .labels = 1},
    {.path = "pictures/b.jpg", .width = SIZE, .height = SIZE, .first = 1, .labels = 2},
};
static const dataset data = {.images = pictures, .count = IMAGES, .labels = labels, .label_count = 3, .classes = 2};
static uint8_t pixels[IMAGES * SIZE * SIZE * 3];
static const float targets[] = {0, 0, 0.5f, 0.5f, 0.25f, 0.25f, 1, 1, 0.25f, 0.25f, 0.5f, 0.5f};
static const int order[IMAGES] = {1, 0};
static const batch a_batch = {pixels, IMAGES, SIZE, SIZE, targets, 2, order, NULL};
static const journal_options everything = {folder, true, true, &data, &data, names, 2};

static int make_folder(void **state)
{
    (void)state;
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    log_set_level(LEVEL_SILENT);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove(folder) == OK ? 0 : -1;
}

static bool is_there(const char *name)
{
    char *path = path_join(folder, name);
    bool there = fs_is_file(path);
    free(path);
    return there;
}

static size_t count_files(void)
{
    fs_names list;
    assert_int_equal(fs_list(folder, &list), OK);
    size_t count = list.count;
    fs_names_free(&list);
    return count;
}

static void remove_file(const char *name)
{
    char *path = path_join(folder, name);
    assert_int_equal(remove(path), 0);
    free(path);
}

/* Two boxes in each picture, of which only the first is good enough to be shown. */
static void validate(journal *j, double now, bool last)
{
    static float boxes[IMAGES * MOST * NMS_BOX];
    static const int counts[IMAGES] = {2, 2};
    validated_batch v = {&a_batch, boxes, counts, MOST};
    ap_summary nothing = {0};
    for (int i = 0; i < IMAGES; i++) {
        memcpy(boxes + i * MOST * NMS_BOX, (float[]){8, 8, 56, 56, 0.9f, 0}, NMS_BOX * sizeof(float));
        memcpy(boxes + (i * MOST + 1) * NMS_BOX, (float[]){0, 0, 64, 64, 0.2f, 1}, NMS_BOX * sizeof(float));
    }
    journal_validating(j, now, last);
    for (int i = 0; i < 3; i++) assert_int_equal(journal_seen(j, &v), OK);
    journal_validated(j, &nothing);
}

static void each_moment_leaves_its_files(void **state)
{
    (void)state;
    journal *j = journal_start(&everything);
    assert_true(is_there("labels.png") && is_there("labels_correlogram.png"));
    assert_int_equal(count_files(), 3);
    for (int64_t i = 0; i < 5; i++) journal_batch(j, &a_batch, i, 0);
    assert_true(is_there("train_batch0.jpg") && is_there("train_batch1.jpg") && is_there("train_batch2.jpg"));
    assert_int_equal(count_files(), 6);
    validate(j, 0, false);
    assert_true(is_there("test_batch0_gt.jpg") && is_there("test_batch0_pred.jpg"));
    assert_true(is_there("precision_recall_curve.png"));
    assert_int_equal(count_files(), 9);
    results_row row = {.epochs = 1};
    char *results = path_join(folder, "results.txt");
    assert_int_equal(results_append(results, &row), OK);
    journal_epoch(j, &row, (double[]){1, 2, 3});
    journal_results(j, results);
    assert_true(is_there("results.png"));
    assert_int_equal(count_files(), 11);
    free(results);
    journal_end(&j);
    assert_null(j);
}

static void tensorboard_gets_classes_pictures_and_numbers(void **state)
{
    (void)state;
    journal *j = journal_start(&everything);
    event_list list;
    results_row row = {.epochs = 1};
    for (int64_t i = 0; i < 5; i++) journal_batch(j, &a_batch, i, 7);
    journal_epoch(j, &row, (double[]){1, 2, 3});
    char *path = test_events_find(folder), tag[256]; /* while it is still written */
    assert_int_equal(test_events_read(path, &list), OK);
    assert_int_equal(list.count, 1 + 1 + 3 + 13);
    assert_string_equal(list.items[1]->summary->value[0]->tag, "classes");
    assert_true(list.items[1]->summary->value[0]->histo->num == 3);
    for (int i = 0; i < 3; i++) {
        snprintf(tag, sizeof tag, "%s/train_batch%d.jpg", folder, i);
        assert_string_equal(list.items[2 + i]->summary->value[0]->tag, tag);
        assert_int_equal(list.items[2 + i]->step, 7);
    }
    test_events_free(&list);
    free(path);
    journal_end(&j);
}

static bool predictions_were_drawn(void)
{
    bool drawn = is_there("test_batch0_pred.jpg");
    assert_int_equal(is_there("precision_recall_curve.png"), drawn);
    if (!drawn) return false;
    remove_file("test_batch0_pred.jpg");
    remove_file("precision_recall_curve.png");
    return true;
}

static void predictions_are_drawn_first_and_last_and_every_half_minute(void **state)
{
    (void)state;
    journal *j = journal_start(&everything);
    validate(j, 100, false);
    assert_true(predictions_were_drawn());
    remove_file("test_batch0_gt.jpg");
    validate(j, 129, false);
    assert_false(predictions_were_drawn());
    validate(j, 131, false);
    assert_true(predictions_were_drawn());
    validate(j, 150, false);
    assert_false(predictions_were_drawn());
    validate(j, 151, true);
    assert_true(predictions_were_drawn());
    assert_false(is_there("test_batch0_gt.jpg")); /* labels stay what they are */
    journal_end(&j);
}

static void only_boxes_of_some_score_are_shown(void **state)
{
    (void)state;
    static const int blue[3] = {31, 120, 181}, orange[3] = {255, 128, 13};
    journal *j = journal_start(&everything);
    image seen;
    char *path = path_join(folder, "test_batch0_pred.jpg");
    validate(j, 1, true);
    assert_true(test_picture_read(path, &seen));
    assert_true(test_picture_count(&seen, blue, 60, 0, 0, seen.width, seen.height) > 100);
    assert_int_equal(test_picture_count(&seen, orange, 60, 0, 0, seen.width, seen.height), 0);
    image_free(&seen);
    free(path);
    journal_end(&j);
}

static void what_is_not_wanted_is_not_written(void **state)
{
    (void)state;
    journal_options o = everything;
    assert_true(journal_wanted(TRAIN_KEEP_AUTO, false) && !journal_wanted(TRAIN_KEEP_AUTO, true));
    assert_true(journal_wanted(TRAIN_KEEP_ALWAYS, true) && !journal_wanted(TRAIN_KEEP_NEVER, false));
    o.plots = o.tensorboard = false;
    journal *j = journal_start(&o);
    assert_null(j);
    journal_batch(j, &a_batch, 0, 0);
    validate(j, 1, true);
    journal_results(j, "none");
    assert_int_equal(count_files(), 0);
    o.tensorboard = true;
    j = journal_start(&o);
    journal_batch(j, &a_batch, 0, 0);
    validate(j, 1, true);
    assert_int_equal(count_files(), 1);
    journal_end(&j);
    o.tensorboard = false;
    o.plots = true;
    j = journal_start(&o);
    assert_int_equal(count_files(), 3);
    journal_end(&j);
}

/* The folder is taken away at any moment: a training goes on. */
static void a_folder_that_has_gone_does_no_harm(void **state)
{
    (void)state;
    for (int moment = 0; moment < 3; moment++) {
        journal *j = NULL;
        results_row row = {.epochs = 1};
        if (moment > 0) j = journal_start(&everything);
        if (moment > 1) journal_batch(j, &a_batch, 0, 0);
        assert_int_equal(fs_remove(folder), OK);
        if (moment == 0) j = journal_start(&everything);
        journal_batch(j, &a_batch, 1, 0);
        validate(j, 1, true);
        journal_epoch(j, &row, (double[]){1, 2, 3});
        journal_results(j, "none");
        journal_end(&j);
        assert_false(fs_exists(folder));
        assert_int_equal(fs_make_folders(folder, 0700), OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_moment_leaves_its_files, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(tensorboard_gets_classes_pictures_and_numbers, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(predictions_are_drawn_first_and_last_and_every_half_minute, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(only_boxes_of_some_score_are_shown, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_not_wanted_is_not_written, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_has_gone_does_no_harm, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
