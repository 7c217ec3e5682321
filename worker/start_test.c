#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hyp.h"
#include "common/train_options.h"
#include "worker/start.h"

typedef struct scene {
    hyp_space space;
    double base[HYP_COUNT];
    train_options options;
    bytes base_map, options_map, own_map;
    Mendel__Welcome run;
    Mendel__Candidate candidate;
    start_place place;
    trainer_message made;
} scene;

static int open_scene(void **state)
{
    static scene s; /* one at a time */
    s = (scene){.run = MENDEL__WELCOME__INIT, .candidate = MENDEL__CANDIDATE__INIT};
    option_section section = train_section(&s.options, NULL);
    hyp_space_default(&s.space);
    hyp_defaults(&s.space, false, s.base);
    s.place =
        (start_place){.data_root = "/data", .folder = "/spool/slot-0", .weights = "", .device = "cpu", .threads = 3};
    s.run.data_yaml = (char *)"the data";
    s.run.model_yaml = (char *)"the model";
    s.candidate.seed = 42;
    *state = &s;
    return options_defaults(&section, 1) == OK ? 0 : 1;
}

static int close_scene(void **state)
{
    scene *s = *state;
    option_section section = train_section(&s->options, NULL);
    options_free(&section, 1);
    bytes_free(&s->base_map);
    bytes_free(&s->options_map);
    bytes_free(&s->own_map);
    trainer_message_free(&s->made);
    return 0;
}

static void set(scene *s, const char *name, const char *value)
{
    if (options_set(options_find(train_rows, TRAIN_ROWS, name), &s->options, value, name) != OK)
        fail_msg("%s", status_message());
}

/* The start message for a candidate with these own hyps (pairs, ended by NULL). */
static status make(scene *s, const metrics *own)
{
    assert_int_equal(map_pack_hyps(&s->space, s->base, &s->base_map), OK);
    assert_int_equal(map_pack_options(train_rows, TRAIN_ROWS, &s->options, &s->options_map), OK);
    assert_int_equal(map_pack_metrics(own, &s->own_map), OK);
    s->run.base_hyps = (ProtobufCBinaryData){s->base_map.count, s->base_map.data};
    s->run.options = (ProtobufCBinaryData){s->options_map.count, s->options_map.data};
    s->candidate.hyps = (ProtobufCBinaryData){s->own_map.count, s->own_map.data};
    return start_make(&s->run, &s->candidate, &s->place, &s->made);
}

static void hyps_replace_the_base_key_by_key(void **state)
{
    scene *s = *state;
    metrics own = {0};
    metrics_add(&own, "lr0", 0.0625);
    metrics_add(&own, "mixup", 0.5);
    assert_int_equal(make(s, &own), OK);
    double values[HYP_COUNT];
    assert_int_equal(map_unpack_hyps(s->made.hyps.data, s->made.hyps.count, &s->space, values), OK);
    for (int i = 0; i < HYP_COUNT; i++)
        assert_true(values[i] == (i == HYP_lr0 ? 0.0625 : i == HYP_mixup ? 0.5 : s->base[i]));
    assert_int_equal(s->made.seed, 42);
    assert_string_equal(s->made.data, "the data");
    assert_string_equal(s->made.data_root, "/data");
    assert_string_equal(s->made.model, "the model");
    assert_string_equal(s->made.folder, "/spool/slot-0");
    assert_null(s->made.resume);
}

static void hyps_that_training_cannot_take_are_refused(void **state)
{
    scene *s = *state;
    static const struct {
        const char *key;
        double value;
    } bad[] = {{"shoe_size", 43}, {"lr0", -1}, {"lr0", NAN}, {"momentum", 2}, {"scale", INFINITY}, {"", 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        metrics own = {0};
        metrics_add(&own, bad[i].key, bad[i].value);
        assert_int_not_equal(make(s, &own), OK);
        assert_null(s->made.data);
        bytes_free(&s->base_map), bytes_free(&s->options_map), bytes_free(&s->own_map);
    }
}

static void an_external_trainer_gets_plain_keys_and_finite_numbers(void **state)
{
    scene *s = *state;
    hyp_space any = {.digits = -1};
    double values[HYP_MAX];
    metrics own = {0};
    s->place.external = true;
    metrics_add(&own, "lr0", 43); /* as large as it likes */
    metrics_add(&own, "shoe_size", -1);
    assert_int_equal(make(s, &own), OK);
    assert_int_equal(map_unpack_any_hyps(s->made.hyps.data, s->made.hyps.count, &any, values), OK);
    assert_int_equal(any.count, HYP_COUNT + 1);
    assert_true(values[HYP_lr0] == 43 && values[hyp_find(&any, "shoe_size")] == -1 &&
                values[HYP_mixup] == s->base[HYP_mixup]);
    trainer_message_free(&s->made);
    bytes_free(&s->base_map), bytes_free(&s->options_map), bytes_free(&s->own_map);
    static const struct {
        const char *key;
        double value;
    } bad[] = {{"a b", 1}, {"$(reboot)", 1}, {"../a", 1}, {"1st", 1}, {"", 1}, {"x", NAN}, {"x", INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        own = (metrics){0};
        metrics_add(&own, bad[i].key, bad[i].value);
        assert_int_not_equal(make(s, &own), OK);
        assert_null(s->made.data);
        bytes_free(&s->base_map), bytes_free(&s->options_map), bytes_free(&s->own_map);
    }
}

/* Whatever a coordinator says about files, devices and threads: this machine's answer stands. */
static void files_and_devices_are_not_the_coordinators(void **state)
{
    scene *s = *state;
    static const char *const theirs[] = {"weights", "cfg", "data", "hyp", "resume", "device", "logdir", "name"};
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) set(s, theirs[i], "/etc/passwd");
    set(s, "threads", "4000");
    set(s, "seed", "7");
    set(s, "epochs", "13");
    set(s, "batch-size", "5");
    s->place.weights = "/cache/w.pt";
    s->run.model_name = (char *)"models/yolov5x.yaml"; /* for messages; its text came with it */
    s->place.resume = "/spool/checkpoints/c.pt";
    metrics own = {0};
    assert_int_equal(make(s, &own), OK);
    train_options o = {0};
    option_section section = train_section(&o, NULL);
    assert_int_equal(options_defaults(&section, 1), OK);
    assert_int_equal(map_unpack_options(s->made.options.data, s->made.options.count, train_rows, TRAIN_ROWS, &o, NULL),
                     OK);
    assert_string_equal(o.weights, "/cache/w.pt");
    assert_string_equal(o.cfg, "models/yolov5x.yaml");
    assert_string_equal(o.data, "");
    assert_string_equal(o.hyp, "");
    assert_string_equal(o.resume, "");
    assert_string_equal(o.name, "");
    assert_string_equal(o.device, "cpu");
    assert_string_equal(o.logdir, "/spool/slot-0");
    assert_int_equal(o.threads, 3);
    assert_int_equal(o.seed, 42);
    assert_int_equal(o.epochs, 13);
    assert_int_equal(o.batch_size, 5);
    assert_string_equal(s->made.resume, "/spool/checkpoints/c.pt");
    options_free(&section, 1);
}

/* No option of a training names a file or runs a command without being this machine's to say. A new one has to be
 * thought about: may a coordinator say it, like the parts of parameter names to freeze? */
static void every_text_option_is_known(void **state)
{
    static const char *const ours[] = {"weights", "cfg",    "data", "hyp",    "resume",
                                       "device",  "logdir", "name", "freeze", "bucket"};
    (void)state;
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        bool text = train_rows[i].type == OPTION_STRING || train_rows[i].type == OPTION_MAYBE, known = false;
        for (size_t k = 0; k < sizeof ours / sizeof *ours; k++) known = known || !strcmp(ours[k], train_rows[i].name);
        if (text && !known) fail_msg("--%s takes a text from the wire", train_rows[i].name);
    }
}

static void options_are_checked(void **state)
{
    scene *s = *state;
    metrics own = {0};
    s->options.epochs = -4; /* as no table allows */
    assert_int_not_equal(make(s, &own), OK);
    assert_non_null(strstr(status_message(), "epochs"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(hyps_replace_the_base_key_by_key),
        CASE(hyps_that_training_cannot_take_are_refused),
        CASE(an_external_trainer_gets_plain_keys_and_finite_numbers),
        CASE(files_and_devices_are_not_the_coordinators),
        CASE(every_text_option_is_known),
        CASE(options_are_checked),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
