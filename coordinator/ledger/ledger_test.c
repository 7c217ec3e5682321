/* The rules of candidates and attempts, on a real store and an invented clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/log.h"
#include "coordinator/ledger/ledger.h"

#define TAKEN   MENDEL__VERDICT__VERDICT_TAKEN
#define LATE    MENDEL__VERDICT__VERDICT_LATE
#define UNKNOWN MENDEL__VERDICT__VERDICT_UNKNOWN
#define INVALID MENDEL__VERDICT__VERDICT_INVALID

enum { LEASE_MS = 1000 };

typedef struct setting {
    char folder[64];
    run_spec spec;
    store *store;
    ledger *ledger;
    ledger_options options;
} setting;

static void open_ledger(setting *t, int64_t now)
{
    assert_int_equal(ledger_open(t->store, &t->spec, &t->options, now, &t->ledger), OK);
}

/* As after a kill -9: what was committed is there, under the next epoch. */
static void restart(setting *t, int64_t now)
{
    assert_int_equal(store_commit(t->store), OK);
    ledger_close(&t->ledger);
    store_close(&t->store);
    assert_int_equal(store_open(t->folder, &t->store), OK);
    t->options.epoch++;
    open_ledger(t, now);
}

static int start(void **state)
{
    setting *t = calloc(1, sizeof *t);
    if (!t) return -1;
    log_set_level(LEVEL_SILENT);
    strcpy(t->folder, "/tmp/ledger_test_XXXXXX");
    if (!mkdtemp(t->folder)) return -1;
    hyp_space_default(&t->spec.space);
    hyp_defaults(&t->spec.space, false, t->spec.base);
    memcpy(t->spec.fitness, fitness_weights_default, sizeof t->spec.fitness);
    t->spec.strategy = strategy_find("mendel");
    t->spec.breeding = BREEDING_DEFAULTS;
    t->spec.seed = 3;
    t->options =
        (ledger_options){.generations = 4, .max_lost = 2, .max_failures = 10, .lease_ms = LEASE_MS, .epoch = 1};
    if (store_open(t->folder, &t->store) != OK) return -1;
    if (ledger_open(t->store, &t->spec, &t->options, 0, &t->ledger) != OK) return -1;
    *state = t;
    return 0;
}

static int end(void **state)
{
    setting *t = *state;
    ledger_close(&t->ledger);
    store_close(&t->store);
    fs_remove(t->folder);
    free(t);
    return 0;
}

/* ---- shorthands ---- */

static lease_answer ask_as(setting *t, const char *worker, const char *session, int64_t slot, uint64_t number,
                           int64_t now, token *given)
{
    lease_request r = {worker, session, "host", "cpu", slot, number, true};
    const store_candidate *c;
    const store_attempt *a;
    lease_answer answer;
    assert_int_equal(ledger_lease(t->ledger, &r, now, now, &answer, &c, &a), OK);
    if (answer == LEASE_GIVEN && given) *given = (token){a->candidate, a->attempt, a->epoch};
    return answer;
}

/* A worker of one slot whose session bears its name. */
static token ask(setting *t, const char *worker, uint64_t number, int64_t now)
{
    token given = {0};
    assert_int_equal(ask_as(t, worker, worker, 0, number, now, &given), LEASE_GIVEN);
    return given;
}

static Mendel__Verdict give(setting *t, token name, double map)
{
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Result r = MENDEL__RESULT__INIT;
    double results[RESULT_COUNT] = {0.5, 0.5, map, map, 0.1, 0.1, 0.1};
    Mendel__Verdict verdict;
    record.seconds = 2.5;
    record.device = (char *)"cpu";
    r.results = results;
    r.n_results = RESULT_COUNT;
    delivery d = {name, "a", &record};
    assert_int_equal(ledger_result(t->ledger, &d, &r, 99, &verdict), OK);
    return verdict;
}

static Mendel__Verdict fail_with(setting *t, token name, const char *reason)
{
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Failed f = MENDEL__FAILED__INIT;
    char *log[] = {(char *)"one", (char *)"two"};
    Mendel__Verdict verdict;
    f.reason = (char *)reason;
    f.detail = (char *)"it broke";
    f.log = log;
    f.n_log = 2;
    delivery d = {name, "a", &record};
    assert_int_equal(ledger_failed(t->ledger, &d, &f, 99, &verdict), OK);
    return verdict;
}

static candidate_state state_of(setting *t, int64_t number)
{
    return ledger_candidate(t->ledger, number)->state;
}

static ledger_counts count(setting *t)
{
    ledger_counts c;
    ledger_count(t->ledger, &c);
    return c;
}

/* ---- cases ---- */

static void the_same_request_gets_the_same_attempt(void **state)
{
    setting *t = *state;
    token first = ask(t, "a", 1, 0), again = ask(t, "a", 1, 10), other = ask(t, "b", 1, 10);
    assert_true(token_equal(first, again));
    assert_false(token_equal(first, other));
    restart(t, 0);
    assert_true(token_equal(first, ask(t, "a", 1, 20))); /* also after the coordinator was killed */
    assert_int_equal(count(t).bred, 2);
}

static void an_answered_request_is_not_leased_again(void **state)
{
    setting *t = *state;
    token first = ask(t, "a", 1, 0);
    assert_int_equal(give(t, first, 0.4), TAKEN);
    assert_int_equal(ask_as(t, "a", "a", 0, 1, 5, NULL), LEASE_STALE); /* a duplicate that was long on its way */
    assert_int_equal(count(t).bred, 1);
}

static void slots_and_sessions_have_numbers_of_their_own(void **state)
{
    setting *t = *state;
    token one, two, three;
    assert_int_equal(ask_as(t, "a", "s1", 0, 1, 0, &one), LEASE_GIVEN);
    assert_int_equal(ask_as(t, "a", "s1", 1, 1, 0, &two), LEASE_GIVEN);
    assert_int_equal(ask_as(t, "a", "s2", 0, 1, 0, &three), LEASE_GIVEN);
    assert_int_equal(one.candidate, 1);
    assert_int_equal(two.candidate, 2);
    assert_int_equal(three.candidate, 3);
}

static void exactly_as_many_as_asked_for_are_evaluated(void **state)
{
    setting *t = *state;
    token held[4];
    for (int i = 0; i < 4; i++) held[i] = ask(t, "a", (uint64_t)i + 1, 0);
    assert_int_equal(ask_as(t, "b", "b", 0, 1, 0, NULL), LEASE_NOTHING);
    for (int i = 0; i < 3; i++) assert_int_equal(give(t, held[i], 0.1 * i), TAKEN);
    assert_false(ledger_finished(t->ledger));
    assert_int_equal(give(t, held[3], 0.9), TAKEN);
    assert_true(ledger_finished(t->ledger));
    assert_int_equal(ask_as(t, "b", "b", 0, 2, 0, NULL), LEASE_FINISHED);
    assert_int_equal(count(t).best, 4);
    assert_int_equal(count(t).bred, 4);
}

static void a_result_counts_once(void **state)
{
    setting *t = *state;
    token first = ask(t, "a", 1, 0);
    assert_int_equal(give(t, first, 0.3), TAKEN);
    assert_int_equal(give(t, first, 0.9), TAKEN); /* the ack was lost: the same answer, nothing changes */
    assert_true(ledger_candidate(t->ledger, 1)->results[2] == 0.3);
    restart(t, 0);
    assert_int_equal(give(t, first, 0.9), TAKEN);
    assert_true(ledger_candidate(t->ledger, 1)->results[2] == 0.3);
    assert_int_equal(count(t).evaluated, 1);
    assert_int_equal(ledger_population(t->ledger)->count, 1);
}

static void a_lost_lease_is_given_to_another(void **state)
{
    setting *t = *state;
    token first = ask(t, "a", 1, 0);
    assert_int_equal(ledger_next_expiry(t->ledger), LEASE_MS);
    assert_true(ledger_renew(t->ledger, first, "a", 500));
    assert_int_equal(ledger_expire(t->ledger, 1400, 1400), OK);
    assert_int_equal(state_of(t, 1), CANDIDATE_LEASED);
    assert_int_equal(ledger_expire(t->ledger, 1500, 1500), OK);
    assert_int_equal(state_of(t, 1), CANDIDATE_LOST);
    token second = ask(t, "b", 1, 1600);
    assert_int_equal(second.candidate, 1);
    assert_int_equal(second.attempt, 2);
}

static void the_first_result_counts_whichever_attempt_it_is_from(void **state)
{
    setting *t = *state;
    token first = ask(t, "a", 1, 0);
    assert_int_equal(ledger_expire(t->ledger, LEASE_MS, 0), OK);
    token second = ask(t, "b", 1, 0);
    assert_int_equal(give(t, first, 0.25), TAKEN);
    const store_attempt *unwanted = ledger_pop_unwanted(t->ledger);
    assert_non_null(unwanted);
    assert_string_equal(unwanted->session, "b");
    assert_null(ledger_pop_unwanted(t->ledger));
    assert_false(ledger_renew(t->ledger, second, "b", 10));
    assert_int_equal(give(t, second, 0.75), LATE);
    assert_true(ledger_candidate(t->ledger, 1)->results[2] == 0.25);
}

static void a_worker_that_comes_back_keeps_its_candidate(void **state)
{
    setting *t = *state;
    token first = ask(t, "a", 1, 0);
    assert_int_equal(ledger_expire(t->ledger, LEASE_MS, 0), OK);
    assert_true(ledger_renew(t->ledger, first, "a", 1100));
    assert_int_equal(state_of(t, 1), CANDIDATE_LEASED);
    assert_int_equal(ask(t, "b", 1, 1100).candidate, 2); /* nobody else gets it */
    restart(t, 0);
    assert_int_equal(state_of(t, 1), CANDIDATE_LEASED);
}

static void every_lease_gets_a_full_time_after_a_restart(void **state)
{
    setting *t = *state;
    ask(t, "a", 1, 0);
    restart(t, 5000);
    assert_int_equal(ledger_next_expiry(t->ledger), 5000 + LEASE_MS);
}

static void while_the_coordinator_does_not_run_no_lease_runs_out(void **state)
{
    setting *t = *state;
    ask(t, "a", 1, 0);
    ledger_forgive(t->ledger, 5000);
    assert_int_equal(ledger_expire(t->ledger, 5000 + LEASE_MS - 1, 0), OK);
    assert_int_equal(state_of(t, 1), CANDIDATE_LEASED);
    assert_int_equal(ledger_expire(t->ledger, 5000 + LEASE_MS, 0), OK);
    assert_int_equal(state_of(t, 1), CANDIDATE_LOST);
}

static void too_many_losses_fail_a_candidate_and_it_can_still_be_done(void **state)
{
    setting *t = *state;
    t->options.max_lost = 2;
    token last = {0}, first = ask(t, "x", 1, 0);
    assert_int_equal(ledger_expire(t->ledger, LEASE_MS, 0), OK);
    for (uint64_t i = 2; i < 4; i++) {
        last = ask(t, "x", i, 0);
        assert_int_equal(last.candidate, 1);
        assert_int_equal(ledger_expire(t->ledger, LEASE_MS, 0), OK);
    }
    assert_int_equal(state_of(t, 1), CANDIDATE_FAILED);
    assert_string_equal(ledger_candidate(t->ledger, 1)->reason, "lost");
    assert_true(ledger_renew(t->ledger, first, "x", 0)); /* its spool may bring it */
    assert_int_equal(give(t, first, 0.5), TAKEN);
    assert_int_equal(state_of(t, 1), CANDIDATE_DONE);
    assert_null(ledger_candidate(t->ledger, 1)->reason);
}

static void a_crash_gets_one_more_attempt_elsewhere(void **state)
{
    setting *t = *state;
    assert_int_equal(give(t, ask(t, "b", 1, 0), 0.2), TAKEN); /* candidate 1, so that the run is not broken */
    token first = ask(t, "a", 1, 0);
    assert_int_equal(fail_with(t, first, "crash"), TAKEN);
    assert_int_equal(state_of(t, 2), CANDIDATE_BRED);
    assert_int_equal(ask(t, "a", 2, 0).candidate, 3); /* not here again */
    token second = ask(t, "b", 2, 0);
    assert_int_equal(second.candidate, 2);
    assert_int_equal(fail_with(t, second, "stall"), TAKEN);
    assert_int_equal(state_of(t, 2), CANDIDATE_FAILED);
    assert_string_equal(ledger_candidate(t->ledger, 2)->reason, "stall");
    assert_string_equal(ledger_attempt(t->ledger, second)->log, "one\ntwo\n");
    assert_null(ledger_broken(t->ledger));
    assert_int_equal(count(t).failed, 1);
    assert_int_equal(ask(t, "b", 3, 0).candidate, 4); /* failures come on top */
    assert_int_equal(ask(t, "b", 4, 0).candidate, 5);
    assert_int_equal(ask_as(t, "b", "b", 0, 5, 0, NULL), LEASE_NOTHING);
}

static void nan_fails_at_once(void **state)
{
    setting *t = *state;
    assert_int_equal(give(t, ask(t, "a", 1, 0), 0.2), TAKEN);
    assert_int_equal(fail_with(t, ask(t, "a", 2, 0), "nan"), TAKEN);
    assert_int_equal(state_of(t, 2), CANDIDATE_FAILED);
    assert_int_equal(give(t, ask(t, "a", 3, 0), NAN), INVALID); /* diverged without noticing */
    assert_string_equal(ledger_candidate(t->ledger, 3)->reason, "nan");
    assert_int_equal(ledger_population(t->ledger)->count, 1);
}

static void results_that_make_no_sense_are_refused(void **state)
{
    setting *t = *state;
    assert_int_equal(give(t, ask(t, "a", 1, 0), 0.2), TAKEN);
    token name = ask(t, "a", 2, 0);
    assert_int_equal(give(t, name, 1.5), INVALID);
    assert_int_equal(state_of(t, 2), CANDIDATE_BRED); /* one more attempt, with somebody else */
    assert_int_equal(give(t, (token){2, 7, 1}, 0.5), UNKNOWN);
    assert_int_equal(give(t, (token){9, 1, 1}, 0.5), UNKNOWN);
    assert_int_equal(give(t, (token){2, 1, 5}, 0.5), UNKNOWN);
}

static void a_broken_set_up_ends_the_run_and_the_first_candidate_is_tried_again(void **state)
{
    setting *t = *state;
    assert_int_equal(fail_with(t, ask(t, "a", 1, 0), "refused"), TAKEN);
    assert_non_null(ledger_broken(t->ledger));
    assert_non_null(strstr(ledger_broken(t->ledger), "first candidate failed (refused): it broke"));
    restart(t, 0);
    assert_null(ledger_broken(t->ledger));
    assert_int_equal(ledger_try_first_again(t->ledger), OK);
    assert_int_equal(ask(t, "a", 2, 0).candidate, 1);
}

static void three_failures_in_a_row_end_the_run(void **state)
{
    setting *t = *state;
    assert_int_equal(give(t, ask(t, "a", 1, 0), 0.2), TAKEN);
    assert_int_equal(fail_with(t, ask(t, "a", 2, 0), "nan"), TAKEN);
    assert_int_equal(fail_with(t, ask(t, "a", 3, 0), "nan"), TAKEN);
    assert_int_equal(give(t, ask(t, "a", 4, 0), 0.2), TAKEN);
    assert_int_equal(fail_with(t, ask(t, "a", 5, 0), "nan"), TAKEN);
    assert_int_equal(fail_with(t, ask(t, "a", 6, 0), "nan"), TAKEN);
    assert_null(ledger_broken(t->ledger));
    assert_int_equal(fail_with(t, ask(t, "a", 7, 0), "nan"), TAKEN);
    assert_non_null(strstr(ledger_broken(t->ledger), "3 candidates in a row failed (nan)"));
}

static void a_finished_run_can_be_extended(void **state)
{
    setting *t = *state;
    t->options.generations = 1;
    restart(t, 0);
    token first = ask(t, "a", 1, 0);
    assert_int_equal(ledger_expire(t->ledger, LEASE_MS, 0), OK);
    token second = ask(t, "b", 1, 0);
    assert_int_equal(give(t, second, 0.5), TAKEN);
    assert_true(ledger_finished(t->ledger));
    assert_int_equal(give(t, first, 0.6), LATE);
    assert_int_equal(count(t).evaluated, 1);
    t->options.generations = 2;
    restart(t, 0);
    assert_false(ledger_finished(t->ledger));
    assert_int_equal(ask(t, "a", 2, 0).candidate, 2);
}

static void a_new_session_loses_what_the_old_one_held(void **state)
{
    setting *t = *state;
    token one, two;
    assert_int_equal(ask_as(t, "w", "s1", 0, 1, 0, &one), LEASE_GIVEN);
    assert_int_equal(ask_as(t, "w", "s1", 1, 1, 0, &two), LEASE_GIVEN);
    assert_int_equal(ledger_release(t->ledger, "w", "s2", &two, 1, 0), OK); /* two lies in its spool */
    assert_int_equal(state_of(t, 1), CANDIDATE_LOST);
    assert_int_equal(state_of(t, 2), CANDIDATE_LEASED);
    assert_int_equal(give(t, two, 0.5), TAKEN);
    /* The same session again (a reconnect) loses nothing: its candidate may be on its way. */
    token three;
    assert_int_equal(ask_as(t, "w", "s2", 0, 1, 0, &three), LEASE_GIVEN);
    assert_int_equal(ledger_release(t->ledger, "w", "s2", NULL, 0, 0), OK);
    assert_int_equal(state_of(t, three.candidate), CANDIDATE_LEASED);
}

static void what_a_new_session_takes_over_answers_none_of_its_requests(void **state)
{
    setting *t = *state;
    token one, two;
    assert_int_equal(ask_as(t, "w", "s1", 0, 1, 0, &one), LEASE_GIVEN);
    assert_int_equal(ledger_release(t->ledger, "w", "s2", &one, 1, 0), OK); /* it lies in its spool */
    assert_true(ledger_renew(t->ledger, one, "s2", 0));
    assert_int_equal(give(t, one, 0.5), TAKEN);
    restart(t, 0);
    assert_int_equal(ask_as(t, "w", "s2", 0, 1, 0, &two), LEASE_GIVEN);
    assert_int_equal(two.candidate, 2);
    restart(t, 0);
    token again;
    assert_int_equal(ask_as(t, "w", "s2", 0, 1, 0, &again), LEASE_GIVEN);
    assert_true(token_equal(two, again));
}

static void a_candidate_is_not_handed_on_for_ever(void **state)
{
    setting *t = *state;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Yield y = MENDEL__YIELD__INIT;
    Mendel__Verdict verdict;
    give(t, ask(t, "a", 1, 0), 0.5); /* not the first candidate, whose failure would end the run */
    y.record = &record;
    int64_t times = 0;
    for (; ledger_candidate(t->ledger, 2) == NULL || ledger_candidate(t->ledger, 2)->state != CANDIDATE_FAILED;
         times++) {
        token given = ask(t, "a", (uint64_t)times + 2, 0);
        assert_int_equal(given.candidate, 2);
        assert_int_equal(ledger_yielded(t->ledger, &(delivery){given, "a", &record}, &y, 5, &verdict), OK);
        assert_in_range(times, 0, 1000);
    }
    assert_int_equal(times, 200);
    assert_string_equal(ledger_candidate(t->ledger, 2)->reason, "lost");
    assert_int_equal(ask(t, "a", (uint64_t)times + 2, 0).candidate, 3);
}

static void a_yielded_candidate_goes_on_from_its_checkpoint(void **state)
{
    setting *t = *state;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Yield y = MENDEL__YIELD__INIT;
    Mendel__Verdict verdict;
    token first = ask(t, "a", 1, 0);
    y.epoch = 3;
    y.step = 7;
    y.checkpoint_path = (char *)"/somewhere/last.pt";
    y.checkpoint_hash = (char *)"00";
    assert_int_equal(ledger_yielded(t->ledger, &(delivery){first, "a", &record}, &y, 5, &verdict), OK);
    assert_int_equal(verdict, TAKEN);
    assert_int_equal(state_of(t, 1), CANDIDATE_YIELDED);
    restart(t, 0);
    token second = ask(t, "b", 1, 0);
    assert_int_equal(second.candidate, 1);
    assert_string_equal(ledger_candidate(t->ledger, 1)->checkpoint_path, "/somewhere/last.pt");
    assert_int_equal(ledger_candidate(t->ledger, 1)->epoch, 3);
    assert_int_equal(ledger_candidate(t->ledger, 1)->lost, 0);
}

static void a_candidate_is_not_leased_while_its_checkpoint_arrives(void **state)
{
    setting *t = *state;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Yield y = MENDEL__YIELD__INIT;
    Mendel__Verdict verdict;
    token first = ask(t, "a", 1, 0);
    y.epoch = 3;
    y.step = 7;
    y.checkpoint_hash = y.checkpoint_path = (char *)"";
    assert_int_equal(ledger_yielded(t->ledger, &(delivery){first, "a", &record}, &y, 5, &verdict), OK);
    assert_null(ledger_candidate(t->ledger, 1)->checkpoint_hash);
    ledger_set_arriving(t->ledger, 1, true);
    assert_int_equal(ask(t, "b", 1, 0).candidate, 2);
    assert_int_equal(ledger_set_checkpoint(t->ledger, 1, "new", 3, 7), OK);
    ledger_set_arriving(t->ledger, 1, false);
    assert_int_equal(ledger_set_checkpoint(t->ledger, 1, "old", 3, 6), OK); /* it came late, and no further */
    assert_string_equal(ledger_candidate(t->ledger, 1)->checkpoint_hash, "new");
    assert_int_equal(ledger_candidate(t->ledger, 1)->checkpoint_step, 7);
    assert_int_equal(ledger_set_checkpoint(t->ledger, 1, "newer", 4, 0), OK);
    restart(t, 0);
    assert_string_equal(ledger_candidate(t->ledger, 1)->checkpoint_hash, "newer");
    assert_int_equal(ask(t, "b", 2, 0).candidate, 1);
    assert_int_equal(ledger_set_checkpoint(t->ledger, 1, "newest", 9, 0), OK); /* somebody trains it already */
    assert_string_equal(ledger_candidate(t->ledger, 1)->checkpoint_hash, "newer");
    ledger_set_arriving(t->ledger, 7, true); /* there is none */
    assert_int_equal(ledger_set_checkpoint(t->ledger, 7, "x", 1, 1), OK);
}

static void children_see_what_had_arrived(void **state)
{
    setting *t = *state;
    token one = ask(t, "a", 1, 0), two = ask(t, "b", 1, 0);
    assert_int_equal(ledger_candidate(t->ledger, 2)->made.seen, 0);
    assert_int_equal(give(t, two, 0.3), TAKEN);
    assert_int_equal(give(t, one, 0.2), TAKEN);
    token three = ask(t, "a", 2, 0);
    assert_int_equal(ledger_candidate(t->ledger, three.candidate)->made.seen, 2);
    child before = ledger_candidate(t->ledger, 3)->made, again;
    restart(t, 0);
    const population *p = ledger_population(t->ledger);
    assert_int_equal(p->members[0].candidate, 2); /* the order of arrival, not of numbers */
    assert_int_equal(strategy_breed(t->spec.strategy, p, t->spec.base, &t->spec.breeding, t->spec.seed, 3, &again), OK);
    assert_memory_equal(before.hyps, again.hyps, t->spec.space.count * sizeof *again.hyps);
}

static void imported_rows_breed_and_do_not_count(void **state)
{
    setting *t = *state;
    char path[128];
    text row = {0};
    for (int r = 0; r < 2; r++) {
        text_add(&row, ".5 .5 .%d .%d .1 .1 .1", r + 1, r + 1);
        for (size_t i = 0; i < t->spec.space.count; i++) text_add(&row, " %g", t->spec.base[i]);
        text_add(&row, "\n");
    }
    snprintf(path, sizeof path, "%s/evolve.txt", t->folder);
    assert_int_equal(fs_write(path, row.bytes, row.length), OK);
    text_free(&row);
    assert_int_equal(ledger_import(t->ledger, path, 1), OK);
    restart(t, 0);
    assert_int_equal(ledger_population(t->ledger)->count, 2);
    assert_int_equal(count(t).evaluated, 0);
    assert_int_equal(count(t).imported, 2);
    assert_int_equal(ask(t, "a", 1, 0).candidate, 1);
    assert_int_equal(ledger_candidate(t->ledger, 1)->made.seen, 2); /* bred like the others */
    assert_true(ledger_candidate(t->ledger, 1)->made.parent_count > 0);
}

static void changes_are_told_once_and_all_of_them_after_a_restart(void **state)
{
    setting *t = *state;
    assert_int_equal(ledger_pop_changed(t->ledger), 0);
    token first = ask(t, "a", 1, 0);
    assert_int_equal(ledger_pop_changed(t->ledger), 1);
    assert_int_equal(ledger_pop_changed(t->ledger), 0);
    token second = ask(t, "b", 1, 0);
    assert_int_equal(fail_with(t, first, "crash"), TAKEN);
    assert_int_equal(ledger_pop_changed(t->ledger) + ledger_pop_changed(t->ledger), 3);
    assert_int_equal(ledger_pop_changed(t->ledger), 0);
    assert_int_equal(ledger_attempt_of(t->ledger, 1, 1)->state, ATTEMPT_FAILED);
    assert_null(ledger_attempt_of(t->ledger, 1, 0));
    assert_null(ledger_attempt_of(t->ledger, 1, 2));
    assert_null(ledger_attempt_of(t->ledger, 3, 1));
    assert_int_equal(give(t, second, 0.5), TAKEN);
    assert_int_equal(ledger_pop_changed(t->ledger), 2);
    restart(t, 0);
    assert_int_equal(ledger_pop_changed(t->ledger) + ledger_pop_changed(t->ledger), 3);
    assert_int_equal(ledger_pop_changed(t->ledger), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

/* Rows that come in the midst of a run breed from there on, and are in their place when it is read again. */
static void rows_of_another_run_are_members_from_now_on(void **state)
{
    setting *t = *state;
    population rows;
    population_start(&rows, &t->spec.space, t->spec.fitness);
    member m = {.results = {0.5, 0.5, 0.9, 0.9, 0, 0, 0}};
    memcpy(m.hyps, t->spec.base, sizeof m.hyps);
    assert_int_equal(population_add(&rows, &m), OK);
    assert_int_equal(give(t, ask(t, "a", 1, 0), 0.1), TAKEN);
    assert_int_equal(ledger_merge(t->ledger, &rows, 5), OK);
    assert_int_equal(give(t, ask(t, "a", 2, 0), 0.2), TAKEN);
    assert_int_equal(ledger_merge(t->ledger, &rows, 5), OK); /* whether it is new is for others to say */
    population_free(&rows);
    for (int times = 0; times < 2; times++) {
        static const int64_t order[] = {1, -1, 2, -2};
        const population *p = ledger_population(t->ledger);
        assert_int_equal(p->count, 4);
        for (size_t i = 0; i < 4; i++) assert_int_equal(p->members[i].candidate, order[i]);
        assert_int_equal(count(t).imported, 2);
        assert_int_equal(count(t).evaluated, 2);
        restart(t, 0);
    }
    token third = ask(t, "a", 3, 0);
    assert_int_equal(ledger_candidate(t->ledger, third.candidate)->made.seen, 4);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_same_request_gets_the_same_attempt),
        CASE(an_answered_request_is_not_leased_again),
        CASE(slots_and_sessions_have_numbers_of_their_own),
        CASE(exactly_as_many_as_asked_for_are_evaluated),
        CASE(a_result_counts_once),
        CASE(a_lost_lease_is_given_to_another),
        CASE(the_first_result_counts_whichever_attempt_it_is_from),
        CASE(a_worker_that_comes_back_keeps_its_candidate),
        CASE(every_lease_gets_a_full_time_after_a_restart),
        CASE(while_the_coordinator_does_not_run_no_lease_runs_out),
        CASE(too_many_losses_fail_a_candidate_and_it_can_still_be_done),
        CASE(a_crash_gets_one_more_attempt_elsewhere),
        CASE(nan_fails_at_once),
        CASE(results_that_make_no_sense_are_refused),
        CASE(a_broken_set_up_ends_the_run_and_the_first_candidate_is_tried_again),
        CASE(three_failures_in_a_row_end_the_run),
        CASE(a_finished_run_can_be_extended),
        CASE(a_new_session_loses_what_the_old_one_held),
        CASE(what_a_new_session_takes_over_answers_none_of_its_requests),
        CASE(a_yielded_candidate_goes_on_from_its_checkpoint),
        CASE(a_candidate_is_not_leased_while_its_checkpoint_arrives),
        CASE(a_candidate_is_not_handed_on_for_ever),
        CASE(children_see_what_had_arrived),
        CASE(imported_rows_breed_and_do_not_count),
        CASE(rows_of_another_run_are_members_from_now_on),
        CASE(changes_are_told_once_and_all_of_them_after_a_restart),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
