/* The real worker program and its coordinator: finding it, being let in, losing it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/meeting.h"
#include "common/text.h"
#include "tests/worker/test_worker.h"

/* ---- being let in ---- */

static void hello_tells_who_comes(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    envelope *e = stage_expect(s, BODY(HELLO));
    assert_int_equal(e->run.len, 0);
    assert_string_equal(e->hello->version, MENDEL_VERSION);
    assert_string_equal(e->hello->device->name, "cpu");
    assert_string_equal(e->hello->device->model, "Fake 9000, cpu");
    assert_string_equal(e->hello->device->precision, "bf16");
    assert_int_equal(e->hello->device->n_precisions, 2);
    assert_string_equal(e->hello->device->precisions[1], "bf16");
    assert_int_equal(e->hello->slots, 1);
    assert_int_equal(e->hello->n_data, 0);
    assert_int_equal(s->sender_size, 32); /* the routing id is the worker's id, which its spool keeps */
    assert_memory_equal(s->sender, e->hello->worker, 32);
    char *kept = stage_read(s, "spool/worker-id");
    assert_memory_equal(kept, e->hello->worker, 32);
    free(kept);
    wire_free(&e);
    stage_greet(s);
    finish(s);
}

static void a_full_run_is_tried_again(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    refuse(s, MENDEL__REFUSED_REASON__REFUSED_FULL, "no more workers", true);
    stage_expect_print(s, "not now: no more workers");
    stage_greet(s);
    finish(s);
}

/* ---- which messages count ---- */

static void what_is_not_for_it_is_left_out(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_WAIT);
    expect_and_free(s, BODY(PROGRESS));
    wire_ids mine = s->ids;
    s->ids.epoch = mine.epoch - 1; /* a coordinator that another one has replaced */
    stage_stop(s, t, true);
    s->ids = mine;
    assert_int_equal(wire_id_make(&s->ids.run), OK);
    stage_stop(s, t, true);
    s->ids = mine;
    assert_int_equal(wire_id_make(&s->ids.session), OK);
    stage_stop(s, t, true);
    s->ids = mine;
    zmq_send(s->router, s->sender, s->sender_size, ZMQ_SNDMORE);
    zmq_send(s->router, "nonsense", 8, 0);
    zmq_send(s->router, s->sender, s->sender_size, ZMQ_SNDMORE);
    zmq_send(s->router, "two", 3, ZMQ_SNDMORE);
    zmq_send(s->router, "frames", 6, 0);
    stage_expect_print(s, "makes no sense");
    s->ids.epoch++; /* a restarted one is obeyed, for its predecessor's attempts too */
    stage_write(s, "spool/trials/slot-0/go", "");
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    wire_free(&e);
    stage_ack(s, t);
    finish(s);
    assert_false(stage_printed(s, "not wanted"));
}

/* What was sent over a connection that broke may be lost, and waiting for the next try would be long. */
static void a_new_connection_is_asked_again(void **state)
{
    stage *s = *state;
    s->retry_ms = s->lease_ms = 600000;
    stage_start_here(s);
    stage_greet(s);
    expect_and_free(s, BODY(WORK_REQUEST));
    stage_hang_up(s);
    stage_listen(s);
    stage_no_work(s, MENDEL__NO_WORK_REASON__NO_WORK_FINISHED); /* the answer to the same request */
    assert_int_equal(stage_wait(s), 0);
}

static void hello_again_brings_what_it_holds(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_WAIT);
    expect_and_free(s, BODY(PROGRESS));
    s->ids.epoch++;
    Mendel__HelloAgain again = MENDEL__HELLO_AGAIN__INIT;
    stage_say(s, BODY(HELLO_AGAIN), &again);
    envelope *e = stage_expect(s, BODY(HELLO));
    assert_int_equal(e->hello->n_held, 1);
    assert_true(token_equal(token_read(e->hello->held[0]), t));
    assert_int_equal(e->hello->n_data, 2); /* it has not forgotten what it has read */
    assert_int_equal(e->hello->epoch_seen, s->ids.epoch);
    wire_free(&e);
    stage_welcome(s, false);
    envelope *accepted = stage_expect(s, BODY(ACCEPTED)); /* said anew, since nobody may know */
    assert_true(token_equal(token_read(accepted->accepted->token), t));
    wire_free(&accepted);
    stage_write(s, "spool/trials/slot-0/go", "");
    e = stage_expect_delivery(s, BODY(RESULT), t);
    wire_free(&e);
    stage_ack(s, t);
    finish(s);
}

/* ---- losing it ---- */

static void a_coordinator_that_went_away_is_found_again(void **state)
{
    stage *s = *state;
    s->lease_ms = 500;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_WAIT);
    expect_and_free(s, BODY(PROGRESS));
    stage_hang_up(s);
    stage_expect_print(s, "lost the coordinator, training on");
    stage_write(s, "spool/trials/slot-0/go", "");
    stage_expect_print(s, "candidate 1 done");
    s->ids.epoch++;
    stage_listen(s);
    envelope *e = stage_expect(s, BODY(HELLO));
    assert_int_equal(e->hello->n_held, 1);
    wire_free(&e);
    stage_welcome(s, false);
    e = stage_expect_delivery(s, BODY(RESULT), t);
    wire_free(&e);
    stage_expect_print(s, "back again");
    stage_ack(s, t);
    finish(s);
}

static void silence_is_answered_by_a_new_connection(void **state)
{
    stage *s = *state;
    s->lease_ms = 500;
    stage_start_here(s);
    stage_greet(s);
    stage_give(s, 1, FAKE_WAIT);
    s->silent = true;
    expect_and_free(s, BODY(HELLO)); /* says who it is on the new one */
    stage_expect_print(s, "lost the coordinator");
    s->silent = false;
    stage_welcome(s, false);
    stage_expect_print(s, "back again");
}

/* ---- finding it ---- */

static void a_run_of_this_machine_is_met(void **state)
{
    stage *s = *state;
    char *folder = stage_path(s, "evolve");
    meeting *m;
    assert_int_equal(fs_make_folders(folder, 0700), OK);
    stage_start(s, "--run", folder, NULL); /* it comes first, and waits */
    stage_expect_print(s, "no coordinator is running in");
    assert_int_equal(meeting_offer("0123456789abcdef", folder, &m), OK);
    stage_hang_up(s);
    free(s->endpoint);
    s->endpoint = text_copy(meeting_endpoint(m));
    stage_listen(s);
    stage_greet(s);
    finish(s);
    meeting_withdraw(&m);
    free(folder);
}

static void several_runs_are_listed(void **state)
{
    stage *s = *state;
    char *a = stage_path(s, "a"), *b = stage_path(s, "b");
    meeting *first, *second;
    assert_int_equal(fs_make_folders(a, 0700), OK);
    assert_int_equal(fs_make_folders(b, 0700), OK);
    assert_int_equal(meeting_offer("aaaa", a, &first), OK);
    assert_int_equal(meeting_offer("bbbb", b, &second), OK);
    stage_start(s, NULL);
    expect_end(s, 1, "several runs are live on this machine; choose one with --run:");
    assert_true(stage_printed(s, a) && stage_printed(s, b));
    meeting_withdraw(&first);
    meeting_withdraw(&second);
    free(a), free(b);
}

static void the_next_run_is_waited_for(void **state)
{
    stage *s = *state;
    stage_start(s, "--coordinator", s->endpoint, "--stay", NULL);
    stage_greet(s);
    stage_no_work(s, MENDEL__NO_WORK_REASON__NO_WORK_FINISHED);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(wire_id_make(&s->ids.run), OK);
    s->ids.epoch = 1; /* lower than the last run's, and no matter */
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    wire_free(&e);
    stage_ack(s, t);
}

static void nobody_there_is_given_up(void **state)
{
    stage *s = *state;
    stage_hang_up(s);
    stage_start(s, "--coordinator", s->endpoint, "--give-up", "1", NULL);
    expect_end(s, 1, "no coordinator answers at");
    char *folder = stage_path(s, "evolve");
    assert_int_equal(fs_make_folders(folder, 0700), OK);
    stage_start(s, "--run", folder, "--give-up", "1", NULL);
    expect_end(s, 1, "no coordinator has been running in");
    free(folder);
}

/* ---- the parent ---- */

static void a_worker_goes_with_its_parent(void **state)
{
    stage *s = *state;
    int pipes[2];
    pid_t child;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* so that the orphan can be waited for */
    assert_int_equal(pipe(pipes), 0);
    pid_t parent = fork();
    if (parent == 0) {
        stage_start(s, "--coordinator", s->endpoint, "--with-parent", NULL);
        if (write(pipes[1], &s->worker, sizeof s->worker) != sizeof s->worker) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(pipes[0], &child, sizeof child), sizeof child);
    stage_greet(s);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    s->worker = child;
    assert_int_equal(stage_wait(s), 0);
    close(pipes[0]), close(pipes[1]);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(hello_tells_who_comes),
        CASE(a_full_run_is_tried_again),
        CASE(what_is_not_for_it_is_left_out),
        CASE(a_new_connection_is_asked_again),
        CASE(hello_again_brings_what_it_holds),
        CASE(a_coordinator_that_went_away_is_found_again),
        CASE(silence_is_answered_by_a_new_connection),
        CASE(a_run_of_this_machine_is_met),
        CASE(several_runs_are_listed),
        CASE(the_next_run_is_waited_for),
        CASE(nobody_there_is_given_up),
        CASE(a_worker_goes_with_its_parent),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
