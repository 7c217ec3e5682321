#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/options.h"
#include "common/train_options.h"

typedef struct parsed {
    train_options o;
    bool given[TRAIN_ROWS];
    option_section section;
} parsed;

static status parse(parsed *p, int count, char **words)
{
    p->section = train_section(&p->o, p->given);
    assert_int_equal(options_defaults(&p->section, 1), OK);
    return options_parse(&p->section, 1, count, words, NULL);
}

#define PARSE(p, ...)                                                                                                  \
    parse(p, (int)(sizeof((char *[]){"train", __VA_ARGS__}) / sizeof(char *)), (char *[]){"train", __VA_ARGS__})

static void expect_refused(parsed *p, status s, const char *words)
{
    assert_int_equal(s, ERR_ARGUMENT);
    if (!strstr(status_message(), words)) fail_msg("'%s' does not say '%s'", status_message(), words);
    options_free(&p->section, 1);
}

static void options_are_read_as_argparse_does(void **state)
{
    (void)state;
    parsed p;
    assert_int_equal(PARSE(&p, "--img", "320", "640", "--batch=8", "--rect", "--weights", "", "--name", "x", "--epochs",
                           "3"),
                     OK);
    assert_int_equal(p.o.img_size.count, 2);
    assert_int_equal(p.o.img_size.values[1], 640);
    assert_int_equal(p.o.batch_size, 8);
    assert_true(p.o.rect);
    assert_string_equal(p.o.weights, "");
    assert_string_equal(p.o.name, "x");
    options_free(&p.section, 1);
    assert_int_equal(PARSE(&p, "--imgsz", "128", "--cache", "--project", "out", "--batch_size", "4"),
                     OK); /* later spellings */
    assert_int_equal(p.o.img_size.values[0], 128);
    assert_true(p.o.cache_images);
    assert_string_equal(p.o.logdir, "out");
    assert_int_equal(p.o.batch_size, 4);
    options_free(&p.section, 1);
}

static void resume_may_stand_alone(void **state)
{
    (void)state;
    parsed p;
    assert_int_equal(PARSE(&p, "--resume", "--rect"), OK);
    assert_string_equal(p.o.resume, "true");
    options_free(&p.section, 1);
    assert_int_equal(PARSE(&p, "--resume", "runs/exp0/weights/last.pt"), OK);
    assert_string_equal(p.o.resume, "runs/exp0/weights/last.pt");
    options_free(&p.section, 1);
}

static void what_is_wrong_is_said_in_a_sentence(void **state)
{
    (void)state;
    parsed p;
    expect_refused(&p, PARSE(&p, "--epoch", "x"), "--epochs: a whole number was expected, found 'x'");
    expect_refused(&p, PARSE(&p, "--epochs", "0"), "--epochs: 1 to 1000000 was expected, found 0");
    expect_refused(&p, PARSE(&p, "--epochs"), "--epochs needs a value");
    expect_refused(&p, PARSE(&p, "--nonsense"), "unknown option --nonsense");
    expect_refused(&p, PARSE(&p, "--no", "1"), "is ambiguous");
    expect_refused(&p, PARSE(&p, "-x"), "unknown option -x");
    expect_refused(&p, PARSE(&p, "stray"), "unexpected 'stray'");
    expect_refused(&p, PARSE(&p, "--precision", "fp8"), "one of auto|fp32|bf16|fp16 was expected, found 'fp8'");
    expect_refused(&p, PARSE(&p, "--img", "1", "2", "3", "4", "5", "6", "7", "8", "9"), "");
    expect_refused(&p, PARSE(&p, "--warmup-cap", "nan"), "0 to 1 was expected");
}

static void values_survive_being_written(void **state)
{
    (void)state;
    parsed a, b;
    assert_int_equal(PARSE(&a, "--cfg", "a b.yaml", "--img", "64", "96", "--warmup-cap", "0.25", "--adam",
                           "--precision", "bf16"),
                     OK);
    assert_int_equal(PARSE(&b, "--rect"), OK);
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        text value = {0};
        options_get(&train_rows[i], &a.o, &value);
        assert_int_equal(options_set(&train_rows[i], &b.o, text_string(&value), "test"), OK);
        text_free(&value);
    }
    text x = {0}, y = {0};
    options_write_yaml(train_rows, TRAIN_ROWS, &a.o, &x);
    options_write_yaml(train_rows, TRAIN_ROWS, &b.o, &y);
    assert_string_equal(text_string(&x), text_string(&y));
    assert_non_null(strstr(text_string(&x), "img_size:\n- 64\n- 96\n"));
    assert_non_null(strstr(text_string(&x), "warmup_cap: 0.25\n"));
    text_free(&x);
    text_free(&y);
    options_free(&a.section, 1);
    options_free(&b.section, 1);
}

static void as_reference_turns_its_parts(void **state)
{
    (void)state;
    parsed p;
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--as-reference", "--nms-time-limit", "3", "--img", "64"), OK);
    assert_int_equal(train_options_complete(&p.o, p.given), OK);
    assert_true(p.o.no_shuffle);
    assert_true(p.o.warmup_cap == 0);
    assert_int_equal(p.o.label_rules, LABELS_REFERENCE);
    assert_true(p.o.nms_time_limit == 3); /* what is said wins */
    assert_string_equal(p.o.weights, ""); /* --cfg alone trains from scratch */
    assert_int_equal(p.o.img_size.count, 2);
    options_free(&p.section, 1);
    assert_int_equal(PARSE(&p, "--weights", ""), OK);
    assert_int_equal(train_options_complete(&p.o, p.given), ERR_ARGUMENT);
    options_free(&p.section, 1);
}

static void later_spellings_mean_the_same(void **state)
{
    (void)state;
    parsed p;
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--imgsz", "64", "--project", "here", "--noval", "--cache",
                           "--optimizer", "Adam", "--freeze", "3", "--exist-ok", "--patience", "7"),
                     OK);
    assert_int_equal(train_options_complete(&p.o, p.given), OK);
    assert_true(p.o.adam && p.o.notest && p.o.cache_images && p.o.exist_ok && p.o.patience == 7);
    assert_true(p.o.img_size.values[0] == 64 && p.o.img_size.values[1] == 64);
    assert_string_equal(p.o.logdir, "here");
    assert_string_equal(p.o.freeze, "model.0.,model.1.,model.2.");
    assert_int_equal(train_options_complete(&p.o, p.given), OK); /* once more changes nothing */
    assert_true(p.o.adam);
    options_free(&p.section, 1);
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--optimizer", "SGD", "--freeze", "0"), OK);
    assert_int_equal(train_options_complete(&p.o, p.given), OK);
    assert_false(p.o.adam);
    assert_string_equal(p.o.freeze, "");
    options_free(&p.section, 1);
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--optimizer", "SGD", "--adam"), OK);
    assert_int_equal(train_options_complete(&p.o, p.given), ERR_ARGUMENT);
    options_free(&p.section, 1);
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--freeze", "-1"), OK);
    assert_int_equal(train_options_complete(&p.o, p.given), ERR_ARGUMENT);
    options_free(&p.section, 1);
}

/* What 2020-07-20 reads lies over what it has built in; what later versions evolve is fixed. */
static void hyps_are_those_of_the_version(void **state)
{
    (void)state;
    parsed p;
    double hyps[HYP_COUNT], again[HYP_COUNT];
    char path[] = "/tmp/mendel-hyps-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    static const char over[] = "optimizer: adam\nlr0: 0.002\nshear: 3.0\n";
    assert_int_equal(fs_write(path, over, sizeof over - 1), OK);
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--reference", "2020-07-20", "--hyp", path), OK);
    assert_int_equal(train_options_hyps(&p.o, hyps), OK);
    assert_true(p.o.adam && hyps[HYP_lr0] == 0.002 && hyps[HYP_shear] == 3 && hyps[HYP_cls] == 0.58);
    assert_true(hyps[HYP_lrf] == 0.1 && hyps[HYP_fliplr] == 0.5 && hyps[HYP_mixup] == 0 && hyps[HYP_flipud] == 0);
    text yaml = {0};
    train_options_write_hyps(&p.o, hyps, &yaml);
    assert_true(text_starts_with(text_string(&yaml), "optimizer: adam\nlr0: 0.002\n"));
    assert_null(strstr(text_string(&yaml), "lrf"));
    assert_int_equal(fs_write(path, yaml.bytes, yaml.length), OK);
    assert_int_equal(train_options_hyps(&p.o, again), OK);
    assert_memory_equal(hyps, again, sizeof hyps);
    static const char wrong[] = "optimizer: rmsprop\n", later[] = "lr0: 0.01\nmixup: 0.5\n";
    assert_int_equal(fs_write(path, wrong, sizeof wrong - 1), OK);
    assert_int_equal(train_options_hyps(&p.o, again), ERR_FORMAT);
    assert_int_equal(fs_write(path, later, sizeof later - 1), OK);
    assert_int_equal(train_options_hyps(&p.o, again), ERR_FORMAT);
    assert_non_null(strstr(status_message(), ":2: unknown hyperparameter 'mixup'"));
    p.o.reference = REFERENCE_2020_08_31; /* a file is whole there */
    assert_int_equal(train_options_hyps(&p.o, again), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "is missing"));
    unlink(path);
    text_free(&yaml);
    options_free(&p.section, 1);
}

static void without_a_file_hyps_fit_the_weights(void **state)
{
    (void)state;
    parsed p;
    double hyps[HYP_COUNT];
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--weights", ""), OK);
    assert_int_equal(train_options_hyps(&p.o, hyps), OK);
    assert_true(hyps[HYP_lr0] == 0.01 && hyps[HYP_mixup] == 0);
    options_free(&p.section, 1);
    assert_int_equal(PARSE(&p, "--cfg", "m.yaml", "--weights", "some.pt"), OK);
    assert_int_equal(train_options_hyps(&p.o, hyps), OK);
    assert_true(hyps[HYP_lr0] == 0.00447 && hyps[HYP_mixup] > 0);
    options_free(&p.section, 1);
}

static void sizes_are_rounded_up_to_the_stride(void **state)
{
    (void)state;
    log_set_level(LEVEL_SILENT);
    assert_int_equal(train_round_size(640, 32), 640);
    assert_int_equal(train_round_size(641, 32), 672);
    assert_int_equal(train_round_size(31, 32), 32);
}

/* --help and the man page come from the same rows: every option with words stands in both. */
static void help_and_man_page_name_every_option(void **state)
{
    (void)state;
    parsed p;
    assert_int_equal(PARSE(&p, "--rect"), OK);
    char *pages[2];
    size_t sizes[2];
    FILE *f = open_memstream(&pages[0], &sizes[0]);
    assert_non_null(f);
    options_help(&p.section, 1, "train", "about", f);
    fclose(f);
    f = open_memstream(&pages[1], &sizes[1]);
    assert_non_null(f);
    options_man(&p.section, 1, "train", "train", "about", f);
    fclose(f);
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        text dashed = {0}, troff = {0};
        text_add(&dashed, "--%s", train_rows[i].name);
        for (const char *c = text_string(&dashed); *c; c++) text_add(&troff, *c == '-' ? "\\-" : "%c", *c);
        assert_non_null(strstr(pages[0], text_string(&dashed)));
        assert_non_null(strstr(pages[1], text_string(&troff)));
        text_free(&dashed);
        text_free(&troff);
    }
    free(pages[0]);
    free(pages[1]);
    options_free(&p.section, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_read_as_argparse_does),   cmocka_unit_test(resume_may_stand_alone),
        cmocka_unit_test(what_is_wrong_is_said_in_a_sentence), cmocka_unit_test(values_survive_being_written),
        cmocka_unit_test(as_reference_turns_its_parts),        cmocka_unit_test(sizes_are_rounded_up_to_the_stride),
        cmocka_unit_test(help_and_man_page_name_every_option), cmocka_unit_test(later_spellings_mean_the_same),
        cmocka_unit_test(hyps_are_those_of_the_version),       cmocka_unit_test(without_a_file_hyps_fit_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
