/* The real worker program: what it needs, and what it says where that is missing. */
#include <unistd.h>
#include <zmq.h>

#include "common/text.h"
#include "tests/worker/test_worker.h"

/* ---- refused ---- */

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

static void a_gpu_has_one_worker(void **state)
{
    stage *s = *state;
    setenv("FAKE_GPUS", "1", 1);
    stage_start(s, "--coordinator", s->endpoint, "--cpu", "0", "--gpu", "0", NULL);
    stage_greet(s);
    pid_t first = s->worker;
    char *spool = stage_path(s, "another"), words[128];
    stage_start(s, "--coordinator", s->endpoint, "--cpu", "0", "--gpu", "0", "--spool", spool, NULL);
    snprintf(words, sizeof words, "GPU 0 is in use: another worker, process %ld, trains on it", (long)first);
    expect_end(s, 1, words);
    stage_start(s, "--coordinator", s->endpoint, "--cpu", "0", "--spool", spool, NULL);
    expect_end(s, 1, "other workers train on all GPUs that this one can see");
    s->worker = first;
    stage_signal(s, SIGKILL); /* and what it leaves is free */
    assert_int_equal(stage_wait(s), -SIGKILL);
    stage_start(s, "--coordinator", s->endpoint, "--cpu", "0", "--gpu", "0", "--spool", spool, NULL);
    stage_greet(s);
    unsetenv("FAKE_GPUS");
    finish(s);
    free(spool);
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

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(another_data_set_is_named),
        CASE(a_missing_data_set_is_named),
        CASE(a_refusal_is_printed),
        CASE(another_protocol_is_refused_in_words),
        CASE(weights_are_fetched_in_pieces),
        CASE(wrong_weights_are_not_taken),
        CASE(weights_of_the_same_machine_are_used_where_they_are),
        CASE(tcp_needs_keys),
        CASE(over_tcp_the_data_stays_below_its_root),
        CASE(the_device_is_the_one_that_was_asked_for),
        CASE(a_gpu_has_one_worker),
        CASE(what_is_missing_is_named),
        CASE(a_spool_that_cannot_be_used_is_named),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
