/* The real worker program and its coordinator: finding it, being let in, losing it, and what cannot work. */
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
#include "tests/worker/stage.h"

#define BODY(name) MENDEL__ENVELOPE__BODY_##name

static void expect_and_free(stage *s, envelope_kind kind)
{
    envelope *e = stage_expect(s, kind);
    wire_free(&e);
}

static void finish(stage *s)
{
    stage_no_work(s, MENDEL__NO_WORK_REASON__NO_WORK_FINISHED);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 0);
}

/* The worker ends with this code, having said these words. */
static void expect_end(stage *s, int code, const char *words)
{
    int found = stage_wait(s);
    if (!stage_printed(s, words)) fail_msg("'%s' was expected, found\n%s", words, s->print);
    assert_int_equal(found, code);
}

static void refuse(stage *s, Mendel__RefusedReason reason, const char *detail, bool later)
{
    Mendel__Refused r = MENDEL__REFUSED__INIT;
    expect_and_free(s, BODY(HELLO));
    r.reason = reason;
    r.detail = (char *)detail;
    r.later = later;
    stage_say(s, BODY(REFUSED), &r);
}

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

static void another_data_set_is_named(void **state)
{
    stage *s = *state;
    s->other_data = true;
    stage_start_here(s);
    envelope *e = stage_expect(s, BODY(HELLO));
    stage_welcome(s, true);
    while (!e->hello->n_data) {
        wire_free(&e);
        e = stage_expect(s, BODY(HELLO));
    }
    wire_free(&e);
    refuse(s, MENDEL__REFUSED_REASON__REFUSED_DATA, "another data set", false);
    expect_end(s, 1, "error: another data set: val has 1 images here, 2 there");
}

static void a_missing_data_set_is_named(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    expect_and_free(s, BODY(HELLO));
    s->told_data = "train: data/images/nowhere\nval: data/images/val\nnc: 1\nnames: [thing]\n";
    stage_welcome(s, true);
    expect_end(s, 1, "train: no folder or list file 'data/images/nowhere'");
}

static void a_refusal_is_printed(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    refuse(s, MENDEL__REFUSED_REASON__REFUSED_VERSION, "the worker is version 0, this coordinator 1", false);
    expect_end(s, 1, "error: refused by the coordinator: the worker is version 0, this coordinator 1");
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

static void another_protocol_is_refused_in_words(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    expect_and_free(s, BODY(HELLO));
    Mendel__Envelope e = MENDEL__ENVELOPE__INIT;
    unsigned char packed[256];
    e.version = WIRE_VERSION + 1;
    e.run = (ProtobufCBinaryData){WIRE_ID_BYTES, s->ids.run.bytes};
    e.session = (ProtobufCBinaryData){WIRE_ID_BYTES, s->ids.session.bytes};
    size_t count = mendel__envelope__pack(&e, packed);
    zmq_send(s->router, s->sender, s->sender_size, ZMQ_SNDMORE);
    zmq_send(s->router, packed, count, 0);
    expect_end(s, 1, "use the same version of Mendel");
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

/* ---- weights ---- */

/* Answer requests for pieces of a file until the worker asks for work. */
static void serve(stage *s, const char *contents, size_t piece)
{
    for (bool served = false; !served;) {
        envelope *e = stage_expect(s, BODY(BLOB_ACK));
        Mendel__Blob b = MENDEL__BLOB__INIT;
        size_t length = strlen(contents), offset = (size_t)e->blob_ack->offset, count = length - offset;
        assert_true(offset < length);
        if (count > piece) count = piece;
        b.hash = e->blob_ack->hash;
        b.bytes = (int64_t)length;
        b.offset = (int64_t)offset;
        b.data = (ProtobufCBinaryData){count, (uint8_t *)contents + offset};
        stage_say(s, BODY(BLOB), &b);
        stage_say(s, BODY(BLOB), &b); /* twice does no harm */
        served = offset + count == length;
        wire_free(&e);
    }
}

static void weights_are_fetched_in_pieces(void **state)
{
    stage *s = *state;
    const char *weights = "these are the weights of a large detector";
    fs_hash_bytes(weights, strlen(weights), s->weights_hash);
    s->weights_bytes = (int64_t)strlen(weights);
    stage_start_here(s);
    stage_greet(s);
    serve(s, weights, 10);
    token t = stage_give(s, 1, FAKE_DONE);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    wire_free(&e);
    stage_ack(s, t);
    finish(s);
    char name[128];
    snprintf(name, sizeof name, "cache/mendel/weights/%s.pt", s->weights_hash);
    char *kept = stage_read(s, name);
    assert_string_equal(kept, weights);
    free(kept);
    stage_start_here(s); /* now they are there */
    stage_greet(s);
    finish(s);
}

static void wrong_weights_are_not_taken(void **state)
{
    stage *s = *state;
    fs_hash_bytes("right", 5, s->weights_hash);
    stage_start_here(s);
    stage_greet(s);
    serve(s, "wrong", 10);
    expect_end(s, 1, "is not the one that it named");
}

static void weights_of_the_same_machine_are_used_where_they_are(void **state)
{
    stage *s = *state;
    char *path = stage_path(s, "weights.pt");
    stage_write(s, "weights.pt", "weights");
    fs_hash_bytes("weights", 7, s->weights_hash);
    s->weights_path = path;
    stage_start_here(s);
    stage_greet(s);
    stage_expect_none(s, BODY(BLOB_ACK), 200);
    finish(s);
    free(path);
}

/* ---- what cannot work ---- */

static void tcp_needs_keys(void **state)
{
    stage *s = *state;
    stage_start(s, "--coordinator", "tcp://127.0.0.1:9", NULL);
    expect_end(s, 1, "tcp:// without keys is refused unless --insecure");
    stage_start(s, "--coordinator", "udp://127.0.0.1:9", NULL);
    expect_end(s, 1, "tcp://HOST:PORT or ipc://PATH was expected");
}

static void over_tcp_the_data_stays_below_its_root(void **state)
{
    stage *s = *state;
    char *elsewhere = stage_path(s, "elsewhere");
    assert_int_equal(fs_make_folders(elsewhere, 0700), OK);
    stage_hang_up(s);
    free(s->endpoint);
    s->endpoint = text_copy("tcp://127.0.0.1:*");
    stage_listen(s);
    char bound[128];
    size_t room = sizeof bound;
    zmq_getsockopt(s->router, ZMQ_LAST_ENDPOINT, bound, &room);
    stage_start(s, "--coordinator", bound, "--insecure", "--data-root", elsewhere, NULL);
    expect_and_free(s, BODY(HELLO));
    stage_welcome(s, true);
    expect_end(s, 1, "which is not below the data root");
    stage_start(s, "--coordinator", bound, "--insecure", "--data-root", s->folder, NULL);
    stage_greet(s);
    finish(s);
    free(elsewhere);
}

/* ---- the device ---- */

static void expect_device(stage *s, const char *gpus, const char *option, const char *value, const char *name)
{
    setenv("FAKE_GPUS", gpus, 1);
    stage_start(s, "--coordinator", s->endpoint, "--cpu", "0", option, value, NULL);
    unsetenv("FAKE_GPUS");
    envelope *e = stage_expect(s, BODY(HELLO));
    assert_string_equal(e->hello->device->name, name);
    wire_free(&e);
    stage_signal(s, SIGTERM);
    assert_int_equal(stage_wait(s), 0);
}

static void the_device_is_the_one_that_was_asked_for(void **state)
{
    stage *s = *state;
    expect_device(s, "0", "--slots", "1", "cpu");
    expect_device(s, "2", "--slots", "1", "gpu 0");
    expect_device(s, "2", "--gpu", "1", "gpu 1");
    expect_device(s, "3", "--gpu", "all", "gpu 0,1,2");
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

static void what_is_missing_is_named(void **state)
{
    stage *s = *state;
    stage_start(s, "--train", "/nowhere/train", NULL);
    expect_end(s, 1, "the trainer /nowhere/train is not there");
    stage_start(s, "--data-root", "/nowhere", NULL);
    expect_end(s, 1, "--data-root: no folder /nowhere");
    stage_start(s, "--gpu", "0", "--cpu", "0", NULL);
    expect_end(s, 1, "this machine has no such GPU");
    stage_start(s, "--gpu", "0", NULL);
    expect_end(s, 1, "--cpu and --gpu: a worker has one of them");
    stage_start(s, "--gpu", "0,,1", "--cpu", "0", NULL);
    expect_end(s, 1, "--gpu: a number");
    stage_start(s, "--slots", "0", NULL);
    expect_end(s, 2, "--slots: 1 to 256 was expected");
    stage_start(s, "--banana", NULL);
    expect_end(s, 2, "unknown option --banana");
}

static void a_spool_that_cannot_be_used_is_named(void **state)
{
    stage *s = *state;
    stage_write(s, "spool", "a file where a folder is needed");
    stage_start_here(s);
    expect_end(s, 1, "the worker's spool cannot be used:");
    char *path = stage_path(s, "spool");
    unlink(path);
    free(path);
    stage_start_here(s);
    stage_greet(s);
    pid_t first = s->worker;
    stage_start_here(s); /* beside the first one */
    expect_end(s, 1, "is held by process");
    s->worker = first;
    finish(s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, stage_open, stage_close)
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(hello_tells_who_comes),
        CASE(another_data_set_is_named),
        CASE(a_missing_data_set_is_named),
        CASE(a_refusal_is_printed),
        CASE(a_full_run_is_tried_again),
        CASE(another_protocol_is_refused_in_words),
        CASE(what_is_not_for_it_is_left_out),
        CASE(hello_again_brings_what_it_holds),
        CASE(a_coordinator_that_went_away_is_found_again),
        CASE(silence_is_answered_by_a_new_connection),
        CASE(a_run_of_this_machine_is_met),
        CASE(several_runs_are_listed),
        CASE(the_next_run_is_waited_for),
        CASE(nobody_there_is_given_up),
        CASE(weights_are_fetched_in_pieces),
        CASE(wrong_weights_are_not_taken),
        CASE(weights_of_the_same_machine_are_used_where_they_are),
        CASE(tcp_needs_keys),
        CASE(over_tcp_the_data_stays_below_its_root),
        CASE(the_device_is_the_one_that_was_asked_for),
        CASE(a_worker_goes_with_its_parent),
        CASE(what_is_missing_is_named),
        CASE(a_spool_that_cannot_be_used_is_named),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
