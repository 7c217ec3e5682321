/* The real worker program told to stop: by its coordinator, by its user, by whoever wants the machine back. */
#include "tests/worker/test_worker.h"

/* ---- stopping ---- */

static void stop_brings_the_last_results(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_TRAIN);
    expect_and_free(s, BODY(PROGRESS));
    stage_stop(s, t, false);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_true(e->result->stopped);
    assert_int_equal(e->result->n_results, 7);
    assert_int_equal(e->result->epoch, 2);
    wire_free(&e);
    stage_ack(s, t);
    finish(s);
}

static void an_unwanted_attempt_ends_without_a_word(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DEAF);
    expect_and_free(s, BODY(PROGRESS));
    pid_t pid = trainer_pid(s);
    stage_stop(s, t, true);
    expect_gone(pid);
    stage_expect_none(s, BODY(RESULT), 200);
    finish(s);
}

static void an_unwanted_delivery_is_dropped(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_and_free(s, BODY(RESULT));
    stage_stop(s, t, true);
    stage_expect_print(s, "not wanted");
    finish(s);
}

static void what_welcome_does_not_want_ends(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DEAF);
    expect_and_free(s, BODY(PROGRESS));
    pid_t pid = trainer_pid(s);
    Mendel__HelloAgain again = MENDEL__HELLO_AGAIN__INIT;
    Mendel__Token body, *list[] = {&body};
    token_write(t, &body);
    stage_say(s, BODY(HELLO_AGAIN), &again);
    expect_and_free(s, BODY(HELLO));
    s->unwanted = list;
    s->unwanted_count = 1;
    stage_welcome(s, false);
    s->unwanted_count = 0;
    expect_gone(pid);
    finish(s);
}

/* ---- signals ---- */

static void an_interrupted_worker_leaves_nothing(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    stage_give(s, 1, FAKE_TRAIN);
    expect_and_free(s, BODY(PROGRESS));
    pid_t pid = trainer_pid(s);
    stage_signal(s, SIGINT);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 130);
    expect_gone(pid);
    assert_int_equal(stage_spooled(s), 0);
}

static void a_preempted_worker_hands_its_candidate_on(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_TRAIN);
    expect_and_free(s, BODY(PROGRESS));
    pid_t pid = trainer_pid(s);
    stage_signal(s, SIGTERM);
    envelope *e = stage_expect_delivery(s, BODY(YIELD), t);
    assert_int_equal(e->yield->epoch, 2);
    char hash[FS_HASH_ROOM];
    assert_int_equal(fs_hash_file(e->yield->checkpoint_path, hash), OK);
    assert_string_equal(e->yield->checkpoint_hash, hash);
    wire_free(&e);
    stage_ack(s, t);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 0);
    expect_gone(pid);
    assert_int_equal(stage_spooled(s), 0);
}

static void a_trainer_that_cannot_save_is_left_behind(void **state)
{
    stage *s = *state;
    stage_start(s, "--coordinator", s->endpoint, "--grace", "1", NULL);
    stage_greet(s);
    stage_give(s, 1, FAKE_DEAF);
    expect_and_free(s, BODY(PROGRESS));
    pid_t pid = trainer_pid(s);
    stage_signal(s, SIGUSR1);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 0);
    expect_gone(pid);
    assert_int_equal(stage_spooled(s), 0);
}

/* Whoever has saved it may remove it as soon as it has been handed over. */
static void a_resumed_candidate_gets_a_checkpoint_of_its_own(void **state)
{
    stage *s = *state;
    char hash[FS_HASH_ROOM], here[FS_HASH_ROOM], *path = stage_path(s, "handed/on.pt");
    stage_write(s, "handed/on.pt", "what another worker has saved");
    assert_int_equal(fs_hash_file(path, hash), OK);
    stage_start_here(s);
    stage_greet(s);
    Mendel__Candidate c = MENDEL__CANDIDATE__INIT;
    Mendel__Token body;
    token t = {1, 2, 5};
    envelope *request = stage_expect(s, BODY(WORK_REQUEST));
    token_write(t, &body);
    c.number = request->work_request->number;
    c.token = &body;
    c.hyps = (ProtobufCBinaryData){1, (uint8_t *)"\x80"};
    c.seed = FAKE_WAIT;
    c.resume_hash = hash;
    c.resume_path = path;
    stage_say(s, BODY(CANDIDATE), &c);
    trainer_pid(s);
    assert_int_equal(unlink(path), 0);
    char *record = stage_read(s, "spool/trials/slot-0/started"), *own = strstr(record, " resume ") + strlen(" resume ");
    assert_string_not_equal(own, path);
    assert_int_equal(fs_hash_file(own, here), OK);
    assert_string_equal(here, hash);
    stage_write(s, "spool/trials/slot-0/go", "");
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_true(e->result->record->resumed);
    wire_free(&request), wire_free(&e);
    free(record), free(path);
    stage_ack(s, t);
    finish(s);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(stop_brings_the_last_results),
        CASE(an_unwanted_attempt_ends_without_a_word),
        CASE(an_unwanted_delivery_is_dropped),
        CASE(what_welcome_does_not_want_ends),
        CASE(an_interrupted_worker_leaves_nothing),
        CASE(a_preempted_worker_hands_its_candidate_on),
        CASE(a_trainer_that_cannot_save_is_left_behind),
        CASE(a_resumed_candidate_gets_a_checkpoint_of_its_own),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
