/* confirm_open.c, confirm_table.c: what is to be trained again, and what has come of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "coordinator/commands/confirm.h"

typedef struct setting {
    char folder[64];
    coordinator_options o;
} setting;

/* ---- a run of an external trainer with two hyps ---- */

static status fill_spec(run_spec *spec)
{
    option_section section = train_section(&spec->train, NULL);
    TRY(options_defaults(&section, 1));
    spec->external = true;
    for (int i = 0; i < 2; i++) {
        hyp_row *row = hyp_add_row(&spec->space, i ? "y" : "x");
        row->gain = 1, row->low = 0, row->high = 1;
    }
    spec->space.digits = 5;
    spec->trained = spec->space;
    memcpy(spec->fitness, fitness_weights_default, sizeof spec->fitness);
    spec->strategy = strategy_find("mendel");
    spec->breeding = BREEDING_DEFAULTS;
    spec->base[0] = spec->hyps[0] = 0.5;
    spec->base[1] = spec->hyps[1] = 0.5;
    char **const texts[] = {&spec->data_yaml, &spec->data_root, &spec->model_yaml, &spec->weights_path,
                            &spec->weights_hash};
    for (size_t i = 0; i < 5; i++)
        if (!(*texts[i] = text_copy(""))) return ERR_MEMORY;
    return OK;
}

static status put_done(store *s, const hyp_space *space, int64_t number, double x, double map)
{
    store_candidate c = {.number = number, .state = CANDIDATE_DONE, .arrival = number, .result_count = RESULT_COUNT};
    memcpy(c.results, (double[]){0.5, 0.5, map, map, 0, 0, 0}, sizeof c.results);
    c.made.hyps[0] = x;
    c.made.hyps[1] = 0.5;
    return store_put_candidate(s, space, &c);
}

/* Fitness .1 for the start, then .4, .3 and .2; candidate 5 is 2 once more. */
static status make_parent(const char *folder)
{
    static const double rows[][2] = {{0.5, 0.1}, {0.6, 0.4}, {0.7, 0.3}, {0.8, 0.2}, {0.6, 0.4}};
    run_spec spec = {0};
    store *s;
    TRY(store_open(folder, &s));
    status result = fill_spec(&spec);
    if (result == OK) result = store_set(s, "run_id", "00112233445566778899aabbccddeeff");
    if (result == OK) result = spec_save(s, &spec);
    for (int i = 0; result == OK && i < 5; i++) result = put_done(s, &spec.space, i + 1, rows[i][0], rows[i][1]);
    if (result == OK) result = store_commit(s);
    store_close(&s);
    spec_free(&spec);
    return result;
}

static int start(void **state)
{
    setting *t = calloc(1, sizeof *t);
    if (!t) return -1;
    log_set_level(LEVEL_SILENT);
    strcpy(t->folder, "/tmp/confirm_test_XXXXXX");
    if (!mkdtemp(t->folder)) return -1;
    t->o = (coordinator_options){.max_lost = 5, .max_failures = 10, .lease_s = 30};
    *state = t;
    return make_parent(t->folder) == OK ? 0 : -1;
}

static int end(void **state)
{
    setting *t = *state;
    fs_remove(t->folder);
    free(t);
    return 0;
}

/* ---- shorthands ---- */

static run open_confirm(setting *t, int64_t top, int64_t seeds)
{
    run r;
    if (confirm_open(t->folder, &t->o, top, seeds, 0, 1000, &r) != OK) fail_msg("%s", status_message());
    return r;
}

static void expect_pairings(const run *r, const int64_t (*wanted)[2], size_t count)
{
    ledger_counts c;
    ledger_count(r->ledger, &c);
    assert_int_equal(c.bred, count);
    for (size_t i = 0; i < count; i++) {
        const store_candidate *at = ledger_candidate(r->ledger, (int64_t)i + 1);
        assert_int_equal(at->made.parent_count, 1);
        assert_int_equal(at->made.parents[0], wanted[i][0]);
        assert_int_equal(run_training_seed(r, (int64_t)i + 1), wanted[i][1]);
    }
}

/* What a candidate of the confirmation has come to. */
static void settle(const run *r, int64_t number, candidate_state state, double map)
{
    store_candidate c = *ledger_candidate(r->ledger, number);
    c.state = state;
    c.arrival = number;
    c.result_count = state == CANDIDATE_DONE ? RESULT_COUNT : 0;
    memcpy(c.results, (double[]){0.5, 0.5, map, map, 0, 0, 0}, sizeof c.results);
    if (state == CANDIDATE_FAILED) c.reason = (char *)"crash", c.crashes = 2;
    assert_int_equal(store_put_candidate(r->store, &r->spec.space, &c), OK);
    assert_int_equal(store_commit(r->store), OK);
}

/* ---- cases ---- */

static void the_best_and_the_start_are_trained_with_other_seeds(void **state)
{
    setting *t = *state;
    run r = open_confirm(t, 2, 2);
    /* Seed by seed; the start has number 0 whether or not it was a candidate; equal rows are one. */
    static const int64_t wanted[][2] = {{0, 2}, {2, 2}, {3, 2}, {0, 3}, {2, 3}, {3, 3}};
    expect_pairings(&r, wanted, 6);
    assert_true(ledger_candidate(r.ledger, 1)->made.hyps[0] == 0.5 &&
                ledger_candidate(r.ledger, 2)->made.hyps[0] == 0.6);
    assert_false(ledger_finished(r.ledger));
    run_close(&r);
}

static void more_of_it_adds_only_what_is_missing(void **state)
{
    setting *t = *state;
    run r = open_confirm(t, 1, 2);
    settle(&r, 1, CANDIDATE_DONE, 0.1);
    settle(&r, 2, CANDIDATE_FAILED, 0);
    run_close(&r);
    r = open_confirm(t, 2, 2);
    static const int64_t wanted[][2] = {{0, 2}, {2, 2}, {0, 3}, {2, 3}, {3, 2}, {3, 3}};
    expect_pairings(&r, wanted, 6);
    assert_int_equal(ledger_candidate(r.ledger, 1)->state, CANDIDATE_DONE);
    assert_int_equal(ledger_candidate(r.ledger, 2)->state, CANDIDATE_BRED); /* asked for again, it is tried again */
    assert_int_equal(ledger_candidate(r.ledger, 2)->crashes, 0);
    run_close(&r);
    r = open_confirm(t, 99, 1); /* there are only four different rows */
    ledger_counts c;
    ledger_count(r.ledger, &c);
    assert_int_equal(c.bred, 7);
    run_close(&r);
}

static void nothing_is_bred_and_the_end_is_that_of_all(void **state)
{
    setting *t = *state;
    run r = open_confirm(t, 1, 1);
    lease_request request = {"w", "s", "host", "cpu", 0, 1, false};
    lease_answer answer;
    const store_candidate *c;
    const store_attempt *a;
    for (uint64_t i = 1; i <= 3; i++) {
        request.slot = (int64_t)i;
        request.number = i;
        assert_int_equal(ledger_lease(r.ledger, &request, 0, 0, &answer, &c, &a), OK);
        assert_int_equal(answer, i <= 2 ? LEASE_GIVEN : LEASE_NOTHING);
    }
    settle(&r, 1, CANDIDATE_DONE, 0.2);
    settle(&r, 2, CANDIDATE_FAILED, 0);
    assert_int_equal(run_reload(&r, 0), OK);
    assert_true(ledger_finished(r.ledger));
    run_close(&r);
}

static void a_run_at_work_and_a_folder_without_one_are_refused(void **state)
{
    setting *t = *state;
    run r, other, holder = {.lock = -1};
    assert_int_equal(run_lock(t->folder, false, &holder), OK);
    assert_false(holder.was_over);
    assert_int_equal(confirm_open(t->folder, &t->o, 1, 1, 0, 0, &r), ERR_BUSY);
    run_close(&holder);
    assert_int_equal(confirm_open("/nowhere", &t->o, 1, 1, 0, 0, &other), ERR_NOT_FOUND);
    char *confirm = path_join(t->folder, "confirm");
    assert_false(fs_exists(confirm));
    free(confirm);
}

static confirm_table read_table(setting *t)
{
    run_spec spec;
    trials parent;
    confirm_table table;
    store *s;
    assert_int_equal(store_open_reading(t->folder, &s), OK);
    assert_int_equal(spec_load(s, &spec), OK);
    assert_int_equal(trials_read(s, &spec.space, spec.fitness, &parent), OK);
    store_close(&s);
    if (confirm_read(t->folder, &spec, &parent, &table) != OK) fail_msg("%s", status_message());
    if (table.count) assert_int_equal(confirm_write_best(t->folder, &spec, &table), OK);
    trials_free(&parent);
    spec_free(&spec);
    return table;
}

static void the_table_has_means_and_what_follows(void **state)
{
    setting *t = *state;
    confirm_table table = read_table(t);
    assert_int_equal(table.count, 0);
    run r = open_confirm(t, 2, 2);
    static const double maps[] = {0.10, 0.30, 0.35, 0.12, 0.32, 0.37};
    for (int64_t i = 1; i <= 6; i++) settle(&r, i, CANDIDATE_DONE, maps[i - 1]);
    run_close(&r);
    table = read_table(t);
    assert_int_equal(table.count, 3);
    assert_int_equal(table.rows[0].candidate, 3);
    assert_true(fabs(table.rows[0].fitness.mean - 0.36) < 1e-12 && fabs(table.rows[0].single - 0.3) < 1e-12);
    assert_int_equal(table.rows[1].candidate, 2);
    assert_true(table.rows[2].candidate == 0 && fabs(table.rows[2].single - 0.1) < 1e-12);
    text words = {0};
    assert_int_equal(confirm_words(&table, 2, "# ", &words), OK);
    static const char *const lines[] =
        {"#   * candidate 3 ",
         "0.3600 +/- 0.0141",
         "+0.2500 +/- ",
         ", stands out",
         "#     the start ",
         "0.1000 in the run",
         "# the best by its mean is candidate 3; with the run's seed it was candidate 2\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(words.bytes, lines[i])) fail_msg("'%s' is not in:\n%s", lines[i], words.bytes);
    text_free(&words);
    confirm_free(&table);
    char *path = path_join(t->folder, "hyp_confirmed.yaml"), *bytes;
    size_t count;
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    assert_non_null(strstr(bytes, "\nx: 0.7\ny: 0.5\n"));
    free(bytes);
    free(path);
}

static void what_is_missing_is_said(void **state)
{
    setting *t = *state;
    run r = open_confirm(t, 1, 3);
    settle(&r, 1, CANDIDATE_DONE, 0.1);
    settle(&r, 2, CANDIDATE_DONE, 0.2);
    settle(&r, 3, CANDIDATE_FAILED, 0);
    run_close(&r);
    confirm_table table = read_table(t);
    text words = {0};
    assert_int_equal(confirm_words(&table, 2, "", &words), OK);
    static const char *const lines[] = {"(1 seed, 2 to come;", "(1 seed, 1 to come, 1 failed;", "+0.1000\n",
                                        "one seed does not tell a gain from noise"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(words.bytes, lines[i])) fail_msg("'%s' is not in:\n%s", lines[i], words.bytes);
    text_free(&words);
    confirm_free(&table);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_best_and_the_start_are_trained_with_other_seeds),
        CASE(more_of_it_adds_only_what_is_missing),
        CASE(nothing_is_bred_and_the_end_is_that_of_all),
        CASE(a_run_at_work_and_a_folder_without_one_are_refused),
        CASE(the_table_has_means_and_what_follows),
        CASE(what_is_missing_is_said),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
