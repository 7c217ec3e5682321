/* Going on with a training: which one, with which options, and to the last bit.
 *
 * The trainings are real ones on a few pictures that are made here. Each is interrupted at a given batch (or in a validation),
 * and must end up as the training that was left alone: the same results.txt, and a last checkpoint with the same bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/train/checkpoint.h"
#include "worker/train/devices.h"
#include "worker/train/resume.h"
#include "worker/train/test_model.h"
#include "worker/train/training.h"

enum { PICTURES = 96, SIDE = 32, EPOCHS = 3, BATCHES = 6 };

static char root[] = "/tmp/mendel-resume-XXXXXX";

static char *below(const char *name)
{
    char *path = path_join(root, name);
    assert_non_null(path);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t count)
{
    char *path = below(name), *folder = path_folder(path);
    assert_int_equal(fs_make_folders(folder, 0777), OK);
    assert_int_equal(fs_write(path, bytes, count), OK);
    free(folder);
    free(path);
}

static void write_text(const char *name, const char *words)
{
    write_file(name, words, strlen(words));
}

/* ---- data ---- */

/* A square of another colour on a plain ground, as an uncompressed BMP. */
static void write_picture(int number)
{
    enum { HEAD = 54, BYTES = HEAD + SIDE * SIDE * 3 };
    static const unsigned char head[HEAD] =
        {'B', 'M', [10] = HEAD, [14] = 40, [18] = SIDE, [22] = SIDE, [26] = 1, [28] = 24};
    unsigned char bytes[BYTES];
    char name[64], label[64];
    int size = 8 + number % 13, left = number % 11, top = 2 * number % 9;
    memcpy(bytes, head, HEAD);
    bytes[2] = BYTES & 255;
    bytes[3] = BYTES >> 8;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            bool inside = x >= left && x < left + size && y >= top && y < top + size;
            unsigned char *p = bytes + HEAD + ((SIDE - 1 - y) * SIDE + x) * 3;
            p[0] = (unsigned char)(inside ? 200 : 40 + number);
            p[1] = (unsigned char)(2 * number);
            p[2] = (unsigned char)(inside ? 30 : x * 5);
        }
    const char *split = number < PICTURES ? "train" : "val";
    snprintf(name, sizeof name, "images/%s/%03d.bmp", split, number);
    write_file(name, bytes, BYTES);
    snprintf(name, sizeof name, "labels/%s/%03d.txt", split, number);
    snprintf(label, sizeof label, "%d %g %g %g %g\n", number % 2, (left + size / 2.0) / SIDE, (top + size / 2.0) / SIDE,
             (double)size / SIDE, (double)size / SIDE);
    write_text(name, label);
}

static int make_data(void **state)
{
    (void)state;
    log_set_level(LEVEL_WARNING);
    if (!mkdtemp(root)) return -1;
    for (int i = 0; i < PICTURES + 5; i++) write_picture(i);
    write_text("data.yaml", "train: images/train\nval: images/val\nnc: 2\nnames: [a, b]\n");
    return 0;
}

static int remove_data(void **state)
{
    (void)state;
    return fs_remove(root) == OK ? 0 : -1;
}

/* ---- trainings that are interrupted ---- */

typedef struct interruption {
    int64_t epoch, step; /* after so many batches of an epoch ... */
    bool validating;     /* ... or, after all of them, in its validation */
    unsigned wish;
    int64_t now_epoch, now_step;
    bool now_validating;
    int saved;
    training_saved last;
} interruption;

static void on_opened(void *state, const device_info *device, precision p)
{
    (void)state;
    assert_true(device->threads >= 1 && p == PRECISION_FP32);
}

static void on_epoch(void *state, int64_t epoch, int64_t batches)
{
    interruption *i = state;
    assert_int_equal(batches, BATCHES);
    i->now_epoch = epoch;
    i->now_step = 0;
    i->now_validating = false;
}

static void on_progress(void *state, const training_progress *p)
{
    ((interruption *)state)->now_step = p->step;
}

static void on_validating(void *state)
{
    ((interruption *)state)->now_validating = true;
}

static void on_validated(void *state, const training_validated *v)
{
    (void)state;
    assert_true(v->fitness >= 0);
}

static void on_saved(void *state, const training_saved *s)
{
    interruption *i = state;
    i->saved++;
    i->last = *s;
}

static unsigned on_wish(void *state)
{
    const interruption *i = state;
    bool here =
        i->now_epoch == i->epoch && i->now_validating == i->validating && (i->validating || i->now_step == i->step);
    return here ? i->wish : WISH_NONE;
}

typedef struct setting {
    train_options options;
    option_section section;
    double hyps[HYP_COUNT];
    data_yaml data;
} setting;

static void set(setting *s, const char *name, const char *value)
{
    assert_int_equal(options_set(options_find(train_rows, TRAIN_ROWS, name), &s->options, value, name), OK);
}

/* Batches of 16 pictures, of which 4 make an update by the end of the warm-up, so that gradients wait at many a batch. */
static void make_setting(setting *s, const char *const *extra)
{
    hyp_space space;
    *s = (setting){.section = train_section(&s->options, NULL)};
    assert_int_equal(options_defaults(&s->section, 1), OK);
    static const char *const values[][2] = {{"weights", ""},       {"epochs", "3"},         {"img-size", "32 32"},
                                            {"batch-size", "16"},  {"workers", "1"},        {"threads", "1"},
                                            {"precision", "fp32"}, {"noautoanchor", "true"}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) set(s, values[i][0], values[i][1]);
    for (; *extra; extra += 2) set(s, extra[0], extra[1]);
    hyp_space_default(&space);
    hyp_defaults(&space, false, s->hyps);
    s->hyps[HYP_lr0] = 0.1; /* so that what goes wrong shows */
    char *path = below("data.yaml");
    assert_int_equal(data_yaml_read(path, &s->data), OK);
    free(path);
}

static void free_setting(setting *s)
{
    data_yaml_free(&s->data);
    options_free(&s->section, 1);
}

/* Train in the folder from the start, or where the checkpoint `from` stands; wishes are saved to `to`. On a rank for each device. */
static status train(setting *s, const char *folder, const char *from, const char *to, interruption *i,
                    training_result *result)
{
    training_watch watch = {i, on_opened, on_epoch, on_progress, on_validating, on_validated, on_saved, on_wish};
    training_request request = {.options = &s->options, .hyps = s->hyps, .data = &s->data, .candidate = true};
    request.folder = folder;
    request.checkpoint = to;
    request.resume = from;
    request.model_name = "model";
    request.model_yaml = from ? NULL : test_model;
    set(s, "weights", from ? from : "");
    set(s, "cfg", from ? "" : "model");
    trainer_reason reason;
    int devices;
    assert_int_equal(devices_count(s->options.device, &devices), OK);
    assert_int_equal(ranks_fork(devices, -1, &request.ranks), OK);
    status ended = training_run(&request, &watch, result, &reason);
    ranks_end(&request.ranks, ended);
    return ended;
}

/* Train to the end, with a checkpoint from the last validation in the folder. */
static void train_to_the_end(setting *s, const char *name, const char *from, training_result *result)
{
    interruption end = {.epoch = EPOCHS - 1, .validating = true, .wish = WISH_SAVE};
    char *folder = below(name), *to = path_join(folder, "end.pt");
    if (train(s, folder, from, to, &end, result) != OK) fail_msg("%s", status_message());
    assert_true(end.saved > 0);
    free(folder);
    free(to);
}

static void expect_same_file(const char *name)
{
    char *paths[2] = {below("whole"), below("interrupted")}, *bytes[2];
    size_t counts[2];
    for (int i = 0; i < 2; i++) {
        char *path = path_join(paths[i], name);
        assert_int_equal(fs_read(path, 0, &bytes[i], &counts[i]), OK);
        free(path);
        free(paths[i]);
    }
    if (counts[0] != counts[1] || memcmp(bytes[0], bytes[1], counts[0])) fail_msg("%s is not the same", name);
    free(bytes[0]);
    free(bytes[1]);
}

/* One checkpoint after the other, each training going on from the last: as many as there are places. */
static void expect_same_end(const char *const *extra, const interruption *places, int count)
{
    setting s;
    training_result whole, result;
    interruption at;
    int64_t step = 0;
    char *checkpoint = below("checkpoint.pt"), *folder = below("interrupted");
    const char *from = NULL;
    make_setting(&s, extra);
    write_text("whole/note", "");
    write_text("interrupted/note", "");
    train_to_the_end(&s, "whole", NULL, &whole);
    for (int k = 0; k < count; k++, from = checkpoint) {
        at = places[k];
        at.wish = WISH_SAVE | WISH_STOP;
        if (train(&s, folder, from, checkpoint, &at, &result) != ERR_STOPPED)
            fail_msg("not stopped: %s", status_message());
        assert_int_equal(at.saved, 1);
        assert_int_equal(at.last.epoch, places[k].epoch);
        step = places[k].validating ? BATCHES : places[k].step ? places[k].step : step;
        assert_int_equal(at.last.step, step);
        assert_string_equal(at.last.path, checkpoint);
    }
    train_to_the_end(&s, "interrupted", from, &result);
    expect_same_file("results.txt");
    expect_same_file("end.pt");
    assert_memory_equal(result.results, whole.results, sizeof whole.results);
    assert_true(result.best_fitness == whole.best_fitness && result.validated);
    free_setting(&s);
    free(checkpoint);
    free(folder);
}

static const char *const plain[] = {"nosave", "true", NULL};

static void it_goes_on_from_any_batch(void **state)
{
    (void)state;
    static const interruption places[] = {{0, 0, .validating = false}, {0, 1, .validating = false},
                                          {0, 4, .validating = false}, {1, 0, .validating = false},
                                          {1, 5, .validating = false}, {2, 3, .validating = false}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) expect_same_end(plain, &places[i], 1);
}

static void it_goes_on_from_a_validation(void **state)
{
    (void)state;
    static const interruption places[] = {{.epoch = 0, .validating = true}, {.epoch = EPOCHS - 1, .validating = true}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) expect_same_end(plain, &places[i], 1);
}

static void it_goes_on_again_and_again(void **state)
{
    (void)state;
    static const interruption places[] = {
        {0, 2, .validating = false},      {0, 0, .validating = false}, /* at once, where it was: step 2 again */
        {0, 5, .validating = false},      {1, 1, .validating = false},
        {.epoch = 1, .validating = true}, {2, 6, .validating = false},
    };
    expect_same_end(plain, places, 6);
}

static void so_does_every_kind_of_training(void **state)
{
    (void)state;
    static const char *const kinds[][7] = {{"adam", "true", "nosave", "true", NULL},
                                           {"multi-scale", "true", "nosave", "true", NULL},
                                           {"image-weights", "true", "nosave", "true", NULL},
                                           {"notest", "true", "nosave", "true", NULL},
                                           {"rect", "true", "nosave", "true", NULL},
                                           {"reference", "2020-07-20", "nosave", "true", NULL}};
    static const interruption place = {1, 3, .validating = false}, between = {1, 0, .validating = false};
    size_t count = sizeof kinds / sizeof *kinds;
    for (size_t i = 0; i < count; i++) expect_same_end(kinds[i], &place, 1);
    expect_same_end(kinds[count - 1], &between, 1); /* gradients wait from one epoch to the next */
}

static void so_do_ranks(void **state)
{
    (void)state;
    static const char *const kinds[][7] = {{"device", "cpu,cpu", "nosave", "true", NULL},
                                           {"device", "cpu,cpu", "sync-bn", "true", "image-weights", "true", NULL},
                                           {"device", "cpu,cpu", "reference", "2020-07-20", "rect", "true", NULL}};
    static const interruption places[] = {{1, 3, .validating = false}, {1, 0, .validating = false}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) expect_same_end(kinds[i], &places[k], 1);
    expect_same_end(kinds[0], &(interruption){.epoch = 1, .validating = true}, 1);
}

/* What waits on all ranks is not lost when they become fewer or more; only the last digits are others. */
static void ranks_may_become_others(void **state)
{
    (void)state;
    static const char *const devices[] = {"cpu,cpu", "cpu", "cpu,cpu,cpu,cpu"};
    static const char *const gentle[] = {"nosave", "true", "sync-bn", "true", NULL};
    setting s;
    training_result result;
    double losses[3];
    char *checkpoint = below("checkpoint.pt"), *folder = below("changing");
    interruption at = {.epoch = 1, .step = 3, .wish = WISH_SAVE | WISH_STOP}, never = {.epoch = -1};
    assert_int_equal(fs_make_folders(folder, 0777), OK);
    make_setting(&s, gentle);
    s.hyps[HYP_lr0] = 0.01;
    set(&s, "device", devices[0]);
    assert_int_equal(train(&s, folder, NULL, checkpoint, &at, &result), ERR_STOPPED);
    for (size_t i = 0; i < 3; i++) {
        set(&s, "device", devices[i]);
        if (train(&s, folder, checkpoint, NULL, &never, &result) != OK) fail_msg("%s", status_message());
        losses[i] = result.results[4] + result.results[5] + result.results[6];
    }
    for (int i = 1; i < 3; i++)
        if (!(fabs(losses[i] / losses[0] - 1) < 1e-3)) fail_msg("%s: %g, not %g", devices[i], losses[i], losses[0]);
    free_setting(&s);
    free(checkpoint);
    free(folder);
}

static void a_finished_training_is_not_resumed(void **state)
{
    (void)state;
    static const char *const saves[] = {"name", "", NULL};
    setting s;
    training_result result;
    interruption never = {.epoch = -1};
    char *folder = below("finished"), *last = below("finished/weights/last.pt");
    assert_int_equal(fs_make_folders(folder, 0777), OK);
    make_setting(&s, saves);
    assert_int_equal(train(&s, folder, NULL, NULL, &never, &result), OK);
    assert_int_equal(train(&s, folder, last, NULL, &never, &result), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "is finished, there is nothing to resume"));
    assert_int_equal(fs_remove(folder), OK);
    free_setting(&s);
    free(folder);
    free(last);
}

static void a_smaller_data_set_is_noticed(void **state)
{
    (void)state;
    setting s;
    training_result result;
    interruption at = {.epoch = 0, .step = 5, .wish = WISH_SAVE | WISH_STOP};
    char *checkpoint = below("checkpoint.pt"), *folder = below("smaller");
    assert_int_equal(fs_make_folders(folder, 0777), OK);
    make_setting(&s, plain);
    assert_int_equal(train(&s, folder, NULL, checkpoint, &at, &result), ERR_STOPPED);
    set(&s, "batch-size", "48"); /* 2 batches an epoch */
    assert_int_equal(train(&s, folder, checkpoint, checkpoint, &at, &result), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "after batch 5 of an epoch that has 2 now"));
    free_setting(&s);
    free(checkpoint);
    free(folder);
}

/* ---- which one, with which options ---- */

static void the_newest_last_pt_below_runs_is_found(void **state)
{
    (void)state;
    char *before = getcwd(NULL, 0), *checkpoint, *folder;
    assert_int_equal(chdir(root), 0);
    assert_int_equal(resume_find("true", &checkpoint, &folder), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "below runs/"));
    write_text("runs/exp1/weights/last.pt", "");
    write_text("runs/exp0/weights/best.pt", "");
    usleep(20000); /* file times are as fine as the kernel's tick */
    write_text("runs/exp0/weights/last_name.pt", "");
    write_text("runs/exp2/weights/last.txt", "");
    assert_int_equal(resume_find("true", &checkpoint, &folder), OK);
    assert_string_equal(checkpoint, "runs/exp0/weights/last_name.pt");
    assert_string_equal(folder, "runs/exp0");
    free(checkpoint);
    free(folder);
    assert_int_equal(resume_find("runs/exp1/weights/last.pt", &checkpoint, &folder), OK);
    assert_string_equal(folder, "runs/exp1");
    free(checkpoint);
    free(folder);
    assert_int_equal(resume_find("runs/exp7/weights/last.pt", &checkpoint, &folder), ERR_NOT_FOUND);
    assert_int_equal(chdir(before), 0);
    free(before);
}

static void options_come_from_opt_yaml(void **state)
{
    (void)state;
    train_options o;
    option_section section = train_section(&o, NULL);
    char *folder = below("run");
    assert_int_equal(options_defaults(&section, 1), OK);
    write_text("run/opt.yaml", "weights: yolov5s.pt\ncfg: models/yolov5s.yaml\nepochs: 7\nimg_size:\n- 320\n- 416\n"
                               "rect: true\nname: ''\nbucket: ''\nworld_size: 1\n");
    assert_int_equal(resume_options(folder, "run/weights/last.pt", &o), OK);
    assert_int_equal(o.epochs, 7);
    assert_int_equal(o.img_size.count, 2);
    assert_int_equal(o.img_size.values[1], 416);
    assert_true(o.rect);
    assert_string_equal(o.weights, "run/weights/last.pt");
    assert_string_equal(o.cfg, "");
    write_text("run/opt.yaml", "rect: true\nepochs: many\n");
    assert_int_not_equal(resume_options(folder, "last.pt", &o), OK);
    assert_non_null(strstr(status_message(), "opt.yaml:2: epochs"));
    write_text("run/opt.yaml", "- 1\n");
    assert_int_equal(resume_options(folder, "last.pt", &o), ERR_FORMAT);
    free(folder);
    folder = below("no-run");
    assert_int_equal(resume_options(folder, "last.pt", &o), ERR_NOT_FOUND);
    options_free(&section, 1);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_on_from_any_batch),
        cmocka_unit_test(it_goes_on_from_a_validation),
        cmocka_unit_test(it_goes_on_again_and_again),
        cmocka_unit_test(so_does_every_kind_of_training),
        cmocka_unit_test(so_do_ranks),
        cmocka_unit_test(ranks_may_become_others),
        cmocka_unit_test(a_finished_training_is_not_resumed),
        cmocka_unit_test(a_smaller_data_set_is_noticed),
        cmocka_unit_test(the_newest_last_pt_below_runs_is_found),
        cmocka_unit_test(options_come_from_opt_yaml),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
