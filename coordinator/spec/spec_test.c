/* A run's specification: made from options, kept in a store, compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "coordinator/spec/inner.h"

typedef struct setting {
    char folder[64], *cwd;
    coordinator_options own;
    train_options train;
    bool given[COORDINATOR_ROWS], train_given[TRAIN_ROWS];
    option_section sections[2];
} setting;

static void put(const char *path, const char *words)
{
    assert_int_equal(fs_write(path, words, strlen(words)), OK);
}

/* A data set of one picture in a folder that is the working directory. */
static int start(void **state)
{
    setting *t = calloc(1, sizeof *t);
    if (!t) return -1;
    log_set_level(LEVEL_SILENT);
    strcpy(t->folder, "/tmp/spec_test_XXXXXX");
    t->cwd = path_real(".");
    if (!t->cwd || !mkdtemp(t->folder) || chdir(t->folder)) return -1;
    if (fs_make_folders("set/images", 0777) != OK || fs_make_folders("set/labels", 0777) != OK) return -1;
    put("set/images/a.jpg", "a picture");
    put("set/labels/a.txt", "0 .5 .5 .1 .1\n");
    put("data.yaml", "train: set/images\nval: set/images\nnc: 1\nnames: [a]\n");
    put("model.yaml", "nc: 1\n");
    t->sections[0] = coordinator_section(&t->own, t->given);
    t->sections[1] = train_section(&t->train, t->train_given);
    *state = t;
    return 0;
}

static int end(void **state)
{
    setting *t = *state;
    options_free(t->sections, 2);
    if (chdir(t->cwd)) return -1;
    free(t->cwd);
    fs_remove(t->folder);
    free(t);
    return 0;
}

/* The specification of a command line: words separated by spaces after the data and the model. */
static status make(setting *t, const char *words, run_spec *out)
{
    char *line = text_copy(words), *rest = NULL;
    char *argv[32] = {(char *)"coordinator", (char *)"--data", (char *)"data.yaml", (char *)"--cfg",
                      (char *)"model.yaml"};
    int argc = 5;
    assert_non_null(line);
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) argv[argc++] = word;
    options_free(t->sections, 2);
    memset(t->given, 0, sizeof t->given);
    memset(t->train_given, 0, sizeof t->train_given);
    assert_int_equal(options_defaults(t->sections, 2), OK);
    status s = options_parse(t->sections, 2, argc, argv, NULL);
    if (s == OK) s = spec_make(&t->own, &t->train, t->train_given, out);
    free(line);
    return s;
}

static void must_make(setting *t, const char *words, run_spec *out)
{
    status s = make(t, words, out);
    if (s != OK) fail_msg("%s: %s", words, status_message());
}

/* What the comparison with the plain command says. */
static void expect_difference(setting *t, const char *words, const char *sentence)
{
    run_spec kept, asked;
    must_make(t, "", &kept);
    must_make(t, words, &asked);
    assert_int_equal(spec_compare(&kept, &asked), ERR_REFUSED);
    if (!strstr(status_message(), sentence)) fail_msg("%s: \"%s\"", words, status_message());
    spec_free(&kept);
    spec_free(&asked);
}

/* As if a setting had never been written. */
static void forget(const setting *t, const char *name)
{
    char path[128], sql[128];
    sqlite3 *database;
    snprintf(path, sizeof path, "%s/store.sqlite", t->folder);
    snprintf(sql, sizeof sql, "delete from settings where name = '%s'", name);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(database), 1);
    sqlite3_close(database);
}

/* ---- cases ---- */

static void what_is_kept_comes_back(void **state)
{
    setting *t = *state;
    run_spec kept, back;
    store *s;
    must_make(t,
              "--epochs 3 --img-size 64 96 --adam --run-seed 12345678901 --sigma .3 --parent weighted --strategy "
              "random",
              &kept);
    assert_int_equal(store_open(t->folder, &s), OK);
    assert_int_equal(spec_save(s, &kept), OK);
    assert_int_equal(store_commit(s), OK);
    assert_int_equal(spec_load(s, &back), OK);
    assert_int_equal(spec_compare(&kept, &back), OK);
    assert_int_equal(back.seed, 12345678901);
    assert_true(back.train.adam && back.train.nosave && back.train.notest);
    assert_int_equal(back.train.img_size.values[1], 96);
    assert_ptr_equal(back.strategy, strategy_find("random"));
    assert_memory_equal(back.base, kept.base, kept.space.count * sizeof *kept.base);
    assert_string_equal(back.data_yaml, kept.data_yaml);
    assert_string_equal(back.data_root, kept.data_root);
    assert_int_equal(data_digest_compare("train", &back.digests[DATA_TRAIN], &kept.digests[DATA_TRAIN]), OK);
    spec_free(&kept);
    spec_free(&back);
    store_close(&s);
}

static void an_option_younger_than_the_run_has_its_default(void **state)
{
    setting *t = *state;
    run_spec kept, back;
    store *s;
    must_make(t, "", &kept);
    assert_int_equal(store_open(t->folder, &s), OK);
    assert_int_equal(spec_save(s, &kept), OK);
    assert_int_equal(store_set(s, "spec option batch_size", "8"), OK);
    assert_int_equal(store_commit(s), OK);
    forget(t, "spec option epochs");
    assert_int_equal(spec_load(s, &back), OK);
    assert_int_equal(back.train.batch_size, 8);
    assert_int_equal(back.train.epochs, 300);
    spec_free(&kept);
    spec_free(&back);
    store_close(&s);
}

static void what_is_no_part_of_it_may_change(void **state)
{
    setting *t = *state;
    run_spec kept, asked;
    must_make(t, "", &kept);
    must_make(t, "--generations 500 --local-workers 3 --workers 2 --threads 1 --lease 9 --name other --device cpu",
              &asked);
    assert_int_equal(spec_compare(&kept, &asked), OK);
    spec_free(&kept);
    spec_free(&asked);
}

static void differences_are_named(void **state)
{
    setting *t = *state;
    expect_difference(t, "--epochs 3", "--epochs is '3', the run was started with '300'");
    expect_difference(t, "--batch-size 8", "--batch-size is '8'");
    expect_difference(t, "--strategy yolov5", "strategy is 'yolov5', the run was started with 'mendel'");
    expect_difference(t, "--run-seed 9", "run-seed is '9'");
}

static void another_data_set_is_another_run(void **state)
{
    setting *t = *state;
    run_spec kept, asked;
    must_make(t, "", &kept);
    put("set/labels/a.txt", "0 .5 .5 .1 .2\n");
    must_make(t, "", &asked);
    assert_int_equal(spec_compare(&kept, &asked), ERR_REFUSED);
    assert_non_null(strstr(status_message(), "contents of the labels of train differ"));
    spec_free(&asked);
    put("data.yaml", "train: set/images\nval: set/images\nnc: 1\nnames: [b]\n");
    must_make(t, "", &asked);
    assert_int_equal(spec_compare(&kept, &asked), ERR_REFUSED);
    assert_non_null(strstr(status_message(), "another data yaml"));
    spec_free(&asked);
    spec_free(&kept);
}

static void precision_that_was_settled_is_no_difference(void **state)
{
    setting *t = *state;
    run_spec kept, asked;
    must_make(t, "", &kept);
    must_make(t, "", &asked);
    kept.train.precision = TRAIN_BF16;
    assert_int_equal(spec_compare(&kept, &asked), OK);
    asked.train.precision = TRAIN_FP32;
    assert_int_equal(spec_compare(&kept, &asked), ERR_REFUSED);
    spec_free(&kept);
    spec_free(&asked);
}

static void what_cannot_be_is_refused_with_words(void **state)
{
    setting *t = *state;
    run_spec out;
    assert_int_equal(make(t, "--resume", &out), ERR_ARGUMENT);
    put("meta.yaml", "lr0: [1, 0, 1]\nbeauty: [1, 0, 1]\n");
    assert_int_equal(make(t, "--meta meta.yaml", &out), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "'beauty' is no hyperparameter of this trainer"));
    put("hyp.yaml", "lr0: 0.01\n");
    assert_int_equal(make(t, "--hyp hyp.yaml", &out), ERR_FORMAT);
    put("data.yaml", "train: nowhere\nval: set/images\nnc: 1\nnames: [a]\n");
    assert_int_equal(make(t, "", &out), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "data.yaml:1: train: no folder or list file 'nowhere'"));
}

static void fitness_is_of_four_weights(void **state)
{
    (void)state;
    static const double expected[FITNESS_TERMS] = {0, 0.5, 1e-3, 2};
    static const char *const bad[] = {"", "0 0 .1", "0 0 .1 .9 1", "0 0 0 0", "a b c d", "0 0 nan 1", "0,0,.1,.9"};
    double weights[FITNESS_TERMS];
    assert_int_equal(spec_read_fitness("0 .5 1e-3 2", weights), OK);
    assert_memory_equal(weights, expected, sizeof expected);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (spec_read_fitness(bad[i], weights) != ERR_ARGUMENT) fail_msg("'%s' was taken", bad[i]);
}

static void a_smaller_space_evolves_a_part(void **state)
{
    setting *t = *state;
    run_spec out;
    put("meta.yaml", "momentum: [0.5, 0.6, 0.9]\nlr0: [1, 0.001, 0.1]\n");
    must_make(t, "--meta meta.yaml", &out);
    assert_int_equal(out.space.count, 2);
    assert_string_equal(out.space.rows[0].key, "momentum");
    assert_true(out.base[0] == 0.937 && out.base[1] == 0.01); /* of hyp.scratch; limits come at breeding */
    assert_true(out.hyps[HYP_obj] == 1.0);
    double whole[HYP_COUNT];
    spec_whole_hyps(&out, (double[]){0.7, 0.02}, whole);
    assert_true(whole[HYP_momentum] == 0.7 && whole[HYP_lr0] == 0.02 && whole[HYP_obj] == 1.0);
    assert_string_equal(spec_best_file(&out), "hyp_best.yaml");
    spec_free(&out);
    must_make(t, "", &out);
    assert_string_equal(spec_best_file(&out), "hyp_evolved.yaml");
    spec_free(&out);
}

/* What a run of an external trainer is, made and compared with what its store gives back. */
static run_spec make_external(setting *t, const char *words)
{
    run_spec made, back;
    store *s;
    must_make(t, words, &made);
    assert_true(made.external);
    fs_remove("run");
    assert_int_equal(fs_make_folders("run", 0777), OK);
    assert_int_equal(store_open("run", &s), OK);
    assert_int_equal(spec_save(s, &made), OK);
    assert_int_equal(store_commit(s), OK);
    assert_int_equal(spec_load(s, &back), OK);
    store_close(&s);
    if (spec_compare(&back, &made) != OK) fail_msg("%s", status_message());
    assert_true(back.external && back.trained.count == made.trained.count);
    for (size_t i = 0; i < made.trained.count; i++) {
        assert_string_equal(back.trained.rows[i].key, made.trained.rows[i].key);
        assert_true(back.hyps[i] == made.hyps[i]);
    }
    spec_free(&made);
    return back;
}

static void an_external_trainer_has_any_hyps(void **state)
{
    setting *t = *state;
    put("meta.yaml", "depth: {gain: 1, low: 1, high: 9, start: 3}\nwidth: [1, 0, 1]\n");
    run_spec spec = make_external(t, "--external --meta meta.yaml --data= --cfg=");
    assert_true(spec.base[0] == 3 && spec.base[1] == 0.5 && spec.trained.count == 2);
    assert_true(!*spec.data_yaml && !*spec.model_yaml && !*spec.weights_path && !spec.has_data);
    assert_string_equal(spec_best_file(&spec), "hyp_evolved.yaml");
    spec_free(&spec);
    put("hyp.yaml", "width: 0.25\nsmoothing: 7\ndepth: 2\n");
    spec = make_external(t, "--external --meta meta.yaml --hyp hyp.yaml");
    assert_true(spec.has_data && spec.base[0] == 2 && spec.base[1] == 0.25 && spec.trained.count == 3);
    assert_string_equal(spec_best_file(&spec), "hyp_best.yaml");
    double whole[HYP_MAX];
    spec_whole_hyps(&spec, (double[]){8, 0.75}, whole);
    assert_true(whole[0] == 0.75 && whole[1] == 7 && whole[2] == 8);
    spec_free(&spec);
    put("hyp.yaml", "box: 0.25\nmixup: 0.5\nlr0: 0.02\n"); /* those that are YOLOv5's evolve */
    spec = make_external(t, "--trainer sh --hyp hyp.yaml");
    assert_true(spec.space.count == 2 && spec.trained.count == 3 && spec.base[0] == 0.02 && spec.base[1] == 0.5);
    spec_free(&spec);
    spec = make_external(t, "--external");
    assert_true(spec.space.count == HYP_COUNT && spec.trained.count == HYP_COUNT && spec.hyps[HYP_lr0] == 0.01);
    spec_free(&spec);
}

static void hyps_that_an_external_trainer_lacks_are_named(void **state)
{
    setting *t = *state;
    run_spec out;
    put("meta.yaml", "depth: [1, 0, 1]\n");
    put("hyp.yaml", "width: 0.25\n");
    assert_int_equal(make(t, "--external --meta meta.yaml --hyp hyp.yaml", &out), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "'depth' is not in hyp.yaml"));
    assert_int_equal(make(t, "--external --hyp hyp.yaml", &out), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "--meta"));
    put("meta.yaml", "depth: [1, 0, 1]\ndepth: [1, 0, 2]\n");
    assert_int_equal(make(t, "--external --meta meta.yaml", &out), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "twice"));
    expect_difference(t, "--external", "trainer is 'external'");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

/* --reference 2020-07-20: its hyps alone evolve, and are all that a trainer of that version reads. */
static void an_older_version_evolves_its_own_hyps(void **state)
{
    setting *t = *state;
    run_spec s;
    double whole[HYP_COUNT];
    must_make(t, "--reference 2020-07-20", &s);
    coordinator_options_complete(&t->own, t->given, &t->train);
    assert_int_equal(t->own.generations, 10);
    assert_int_equal(s.space.count, 18);
    assert_true(s.space.digits == -1 && spec_evolves_all(&s));
    assert_true(s.base[hyp_find(&s.space, "cls")] == 0.58 && s.hyps[HYP_lrf] == 0.1 && s.hyps[HYP_fliplr] == 0.5);
    s.base[0] = 0.005;
    spec_whole_hyps(&s, s.base, whole);
    assert_true(whole[HYP_lr0] == 0.005 && whole[HYP_lrf] == 0.1);
    spec_free(&s);
    expect_difference(t, "--reference 2020-07-20", "run was started with");
    must_make(t, "--as-reference", &s);
    coordinator_options_complete(&t->own, t->given, &t->train);
    assert_true(t->own.strategy == STRATEGY_YOLOV5 && t->own.generations == 300);
    spec_free(&s);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(what_is_kept_comes_back),
        CASE(an_option_younger_than_the_run_has_its_default),
        CASE(what_is_no_part_of_it_may_change),
        CASE(differences_are_named),
        CASE(another_data_set_is_another_run),
        CASE(precision_that_was_settled_is_no_difference),
        CASE(what_cannot_be_is_refused_with_words),
        CASE(fitness_is_of_four_weights),
        CASE(a_smaller_space_evolves_a_part),
        CASE(an_older_version_evolves_its_own_hyps),
        CASE(an_external_trainer_has_any_hyps),
        CASE(hyps_that_an_external_trainer_lacks_are_named),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
