/* The real worker program with fake trainers, talked to by a coordinator that follows a script: work and deliveries. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "tests/worker/test_worker.h"

/* ---- work ---- */

static void a_candidate_is_trained_and_delivered(void **state)
{
    stage *s = *state;
    static const double want[] = FAKE_RESULTS;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    envelope *accepted = stage_expect(s, BODY(ACCEPTED));
    assert_string_equal(accepted->accepted->precision, "bf16");
    assert_int_equal(accepted->accepted->threads, 2);
    envelope *progress = stage_expect(s, BODY(PROGRESS));
    assert_int_equal(progress->progress->epochs, 3);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_false(e->result->stopped);
    assert_int_equal(e->result->n_results, 7);
    for (int i = 0; i < 7; i++) assert_true(e->result->results[i] == want[i]);
    assert_int_equal(e->result->epoch, 3);
    assert_int_equal(e->result->record->peak_memory, 12345);
    stage_ack(s, t);
    wire_free(&accepted), wire_free(&progress), wire_free(&e);
    finish(s);
}

static void an_unanswered_request_is_repeated_unchanged(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    uint64_t number = 0;
    for (int i = 0; i < 3; i++) {
        envelope *e = stage_expect(s, BODY(WORK_REQUEST));
        if (i) assert_int_equal(e->work_request->number, number);
        number = e->work_request->number;
        wire_free(&e);
    }
    stage_no_work(s, MENDEL__NO_WORK_REASON__NO_WORK_WAIT);
    envelope *e;
    do e = stage_expect(s, BODY(WORK_REQUEST)); /* some were under way when it was answered */
    while (e->work_request->number == number && (wire_free(&e), true));
    assert_int_equal(e->work_request->number, number + 1);
    wire_free(&e);
    finish(s);
}

static void a_result_goes_before_the_next_request(void **state)
{
    stage *s = *state;
    s->retry_ms = 60000; /* a request that came too early does not come again */
    stage_start_here(s);
    stage_greet(s);
    for (int64_t candidate = 1; candidate <= 20; candidate++)
        expect_and_ack(s, BODY(RESULT), stage_give(s, candidate, FAKE_DONE));
    finish(s);
}

static void a_candidate_that_comes_twice_is_trained_once(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token first = {1, 1, 5}, second = {2, 1, 5};
    envelope *request = stage_expect(s, BODY(WORK_REQUEST));
    stage_answer(s, request->work_request, first, FAKE_WAIT);
    stage_answer(s, request->work_request, first, FAKE_WAIT);
    stage_answer(s, request->work_request, second, FAKE_DONE);
    pid_t pid = trainer_pid(s);
    stage_expect_none(s, BODY(RESULT), 200);
    assert_int_equal(trainer_pid(s), pid);
    stage_write(s, "spool/trials/slot-0/go", "");
    expect_and_ack(s, BODY(RESULT), first);
    stage_answer(s, request->work_request, first, FAKE_DONE); /* long answered */
    wire_free(&request);
    stage_expect_none(s, BODY(RESULT), 200);
    finish(s);
}

static void slots_train_side_by_side(void **state)
{
    stage *s = *state;
    stage_start(s, "--coordinator", s->endpoint, "--slots", "2", NULL);
    stage_greet(s);
    envelope *a = stage_expect(s, BODY(WORK_REQUEST)), *b;
    do b = stage_expect(s, BODY(WORK_REQUEST));
    while (b->work_request->slot == a->work_request->slot && (wire_free(&b), true));
    token first = {1, 1, 5}, second = {2, 1, 5};
    stage_answer(s, a->work_request, first, FAKE_WAIT);
    stage_answer(s, b->work_request, second, FAKE_WAIT);
    stage_wait_for_file(s, "spool/trials/slot-0/started");
    stage_wait_for_file(s, "spool/trials/slot-1/started");
    char go[64];
    snprintf(go, sizeof go, "spool/trials/slot-%d/go", (int)b->work_request->slot);
    stage_write(s, go, "");
    expect_and_ack(s, BODY(RESULT), second);
    snprintf(go, sizeof go, "spool/trials/slot-%d/go", (int)a->work_request->slot);
    stage_write(s, go, "");
    expect_and_ack(s, BODY(RESULT), first);
    wire_free(&a), wire_free(&b);
    finish(s);
}

static void the_trainer_gets_its_share_and_nothing_of_the_wire(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_and_ack(s, BODY(RESULT), t);
    char *record = stage_read(s, "spool/trials/slot-0/started");
    long pid, group;
    assert_int_equal(sscanf(record, "pid %ld group %ld", &pid, &group), 2);
    assert_int_equal(pid, group);
    assert_non_null(strstr(record, " omp 1 --candidate-fd 3 --device cpu --threads 1 resume none"));
    free(record);
    finish(s);
}

/* ---- failures ---- */

static void expect_failure(stage *s, int64_t candidate, fake behaviour, const char *reason, const char *words,
                           const char *log)
{
    token t = stage_give(s, candidate, behaviour);
    envelope *e = stage_expect_delivery(s, BODY(FAILED), t);
    assert_string_equal(e->failed->reason, reason);
    if (!strstr(e->failed->detail, words)) fail_msg("'%s' was expected, found '%s'", words, e->failed->detail);
    bool found = !log;
    for (size_t i = 0; log && i < e->failed->n_log; i++) found = found || !strcmp(e->failed->log[i], log);
    if (!found) fail_msg("the log does not say '%s'", log);
    wire_free(&e);
    stage_ack(s, t);
}

static void failures_are_delivered_with_reason_and_log(void **state)
{
    stage *s = *state;
    s->stall_ms = 500;
    stage_start_here(s);
    stage_greet(s);
    expect_failure(s, 1, FAKE_ABORT, "crash", "signal 6", NULL);
    expect_failure(s, 2, FAKE_EXIT, "crash", "exit code 7", "this is why");
    expect_failure(s, 3, FAKE_KILLED, "crash", "out of memory", NULL);
    expect_failure(s, 4, FAKE_STALL, "stall", "nothing was heard", NULL);
    expect_failure(s, 5, FAKE_PARTIAL, "nan", "not finite", "half a li");
    expect_failure(s, 6, FAKE_NONSENSE, "error", "a map", NULL);
    finish(s);
}

static void results_that_are_not_finite_are_delivered(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_NOT_FINITE);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_true(isnan(e->result->results[2]));
    wire_free(&e);
    stage_ack(s, t);
    finish(s);
}

static void hyps_that_nobody_knows_are_refused(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    Mendel__Candidate c = MENDEL__CANDIDATE__INIT;
    Mendel__Token body;
    metrics own = {0};
    bytes hyps;
    token t = {1, 1, 5};
    metrics_add(&own, "shoe_size", 43);
    assert_int_equal(map_pack_metrics(&own, &hyps), OK);
    envelope *request = stage_expect(s, BODY(WORK_REQUEST));
    token_write(t, &body);
    c.number = request->work_request->number;
    c.token = &body;
    c.hyps = (ProtobufCBinaryData){hyps.count, hyps.data};
    stage_say(s, BODY(CANDIDATE), &c);
    envelope *e = stage_expect_delivery(s, BODY(FAILED), t);
    assert_string_equal(e->failed->reason, "refused");
    assert_non_null(strstr(e->failed->detail, "shoe_size"));
    wire_free(&request), wire_free(&e);
    bytes_free(&hyps);
    stage_ack(s, t);
    finish(s);
}

/* ---- deliveries ---- */

static void a_delivery_is_repeated_until_it_is_acknowledged(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    for (int i = 0; i < 3; i++) {
        envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
        wire_free(&e);
        assert_int_equal(stage_spooled(s), 1);
    }
    stage_ack(s, (token){1, 2, 5}); /* of another attempt */
    expect_and_ack(s, BODY(RESULT), t);
    finish(s);
}

static void a_delivery_outlives_its_worker(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    wire_id first = s->ids.session;
    wire_free(&e);
    stage_signal(s, SIGKILL);
    assert_int_equal(stage_wait(s), -SIGKILL);
    assert_int_equal(stage_spooled(s), 1);

    stage_start_here(s);
    e = stage_expect(s, BODY(HELLO));
    while (wire_id_equal(&s->ids.session, &first)) { /* of the one that is gone */
        wire_free(&e);
        e = stage_expect(s, BODY(HELLO));
    }
    stage_welcome(s, true);
    while (!e->hello->n_data) {
        wire_free(&e);
        e = stage_expect(s, BODY(HELLO));
    }
    assert_int_equal(e->hello->n_held, 1);
    assert_true(token_equal(token_read(e->hello->held[0]), t));
    stage_welcome(s, false);
    wire_free(&e);
    expect_and_ack(s, BODY(RESULT), t);
    finish(s);
}

static void deliveries_of_another_run_wait_for_it(void **state)
{
    stage *s = *state;
    wire_id mine = s->ids.run;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_and_free(s, BODY(RESULT));
    stage_signal(s, SIGKILL);
    stage_wait(s);

    assert_int_equal(wire_id_make(&s->ids.run), OK); /* another run at the same place */
    stage_start_here(s);
    stage_greet(s);
    stage_expect_none(s, BODY(RESULT), 300);
    stage_no_work(s, MENDEL__NO_WORK_REASON__NO_WORK_FINISHED);
    assert_int_equal(stage_wait(s), 0);
    assert_int_equal(stage_spooled(s), 1);

    s->ids.run = mine;
    stage_start_here(s);
    stage_greet(s);
    expect_and_ack(s, BODY(RESULT), t);
    finish(s);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(a_candidate_is_trained_and_delivered),
        CASE(an_unanswered_request_is_repeated_unchanged),
        CASE(a_result_goes_before_the_next_request),
        CASE(a_candidate_that_comes_twice_is_trained_once),
        CASE(slots_train_side_by_side),
        CASE(the_trainer_gets_its_share_and_nothing_of_the_wire),
        CASE(failures_are_delivered_with_reason_and_log),
        CASE(results_that_are_not_finite_are_delivered),
        CASE(hyps_that_nobody_knows_are_refused),
        CASE(a_delivery_is_repeated_until_it_is_acknowledged),
        CASE(a_delivery_outlives_its_worker),
        CASE(deliveries_of_another_run_wait_for_it),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
