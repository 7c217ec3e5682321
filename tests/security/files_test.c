/* A coordinator that listens over TCP, and guests with keys who hand files on: what is taken from them, and who gets it. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"
#include "coordinator/server/limits.h"
#include "tests/security/scene.h"

#define BODY(name) MENDEL__ENVELOPE__BODY_##name
#define TAKEN      MENDEL__VERDICT__VERDICT_TAKEN

static const char saved[] = "what a training has come to";
enum { SAVED = sizeof saved - 1 };

/* What a guest hands on: at most as much as it says. */
typedef struct parcel {
    const char *contents;
    int64_t bytes;
    char hash[FS_HASH_ROOM];
} parcel;

static parcel pack(const char *contents, size_t count)
{
    parcel p = {contents, (int64_t)count, ""};
    fs_hash_bytes(contents, count, p.hash);
    return p;
}

static void expect_fate(guest *g, token t, Mendel__FileFate fate)
{
    envelope *e = guest_expect(g, BODY(RESULT_ACK));
    assert_true(token_equal(token_read(e->result_ack->token), t));
    assert_int_equal(e->result_ack->verdict, TAKEN);
    assert_int_equal(e->result_ack->file, fate);
    wire_free(&e);
}

/* Hand a candidate on, with a checkpoint at step 7 of epoch 5. */
static void yield(guest *g, token t, const parcel *p, const char *path)
{
    Mendel__Yield y = MENDEL__YIELD__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token name;
    token_write(t, &name);
    y.token = &name;
    y.record = &record;
    y.epoch = 5;
    y.step = 7;
    y.checkpoint_hash = (char *)p->hash;
    y.checkpoint_bytes = p->bytes;
    y.checkpoint_path = (char *)path;
    guest_say(g, BODY(YIELD), &y);
}

static int64_t expect_question(guest *g, const parcel *p)
{
    envelope *e = guest_expect(g, BODY(BLOB_ACK));
    assert_string_equal(e->blob_ack->hash, p->hash);
    int64_t offset = e->blob_ack->offset;
    wire_free(&e);
    return offset;
}

static void send_piece(guest *g, const parcel *p, int64_t offset, size_t count)
{
    Mendel__Blob b = MENDEL__BLOB__INIT;
    b.hash = (char *)p->hash;
    b.bytes = p->bytes;
    b.offset = offset;
    b.data = (ProtobufCBinaryData){count, (uint8_t *)p->contents + offset};
    guest_say(g, BODY(BLOB), &b);
}

static void send_all(guest *g, const parcel *p, size_t piece)
{
    for (int64_t at = 0; at < p->bytes;) {
        assert_int_equal(expect_question(g, p), at);
        size_t count = (size_t)(p->bytes - at) < piece ? (size_t)(p->bytes - at) : piece;
        send_piece(g, p, at, count);
        at += (int64_t)count;
    }
}

/* The next candidate of slot 0. The caller frees it. */
static envelope *lease(guest *g)
{
    guest_ask(g, 0);
    return guest_expect(g, BODY(CANDIDATE));
}

/* What lies in a folder of the run, below its name. */
static size_t count_files(const scene *s, const char *name)
{
    fs_names names = {0};
    char *run = path_join(s->run, name);
    if (fs_is_folder(run)) need(fs_list(run, &names));
    size_t count = names.count;
    fs_names_free(&names);
    free(run);
    return count;
}

/* ---- as it should be ---- */

static void a_checkpoint_goes_from_worker_to_worker(void **state)
{
    scene *s = *state;
    token t;
    parcel p = pack(saved, SAVED);
    guest *first = guest_at_work(s, &s->access, &t), *second = guest_create(s, &s->access);
    guest_greet(second);
    yield(first, t, &p, "");
    expect_fate(first, t, MENDEL__FILE_FATE__FILE_WANTED);
    send_all(first, &p, 10);
    expect_fate(first, t, MENDEL__FILE_FATE__FILE_TAKEN);
    yield(first, t, &p, ""); /* the word was lost, say */
    expect_fate(first, t, MENDEL__FILE_FATE__FILE_TAKEN);
    envelope *e = lease(second);
    assert_int_equal(e->candidate->token->candidate, t.candidate);
    assert_string_equal(e->candidate->resume_hash, p.hash);
    assert_string_equal(e->candidate->resume_path, "");
    assert_int_equal(e->candidate->resume_epoch, 5);
    assert_int_equal(e->candidate->resume_step, 7);
    token given = token_read(e->candidate->token);
    wire_free(&e);
    Mendel__BlobAck ask = MENDEL__BLOB_ACK__INIT;
    ask.hash = p.hash;
    guest_say(first, BODY(BLOB_ACK), &ask); /* it has the candidate no more */
    guest_expect_silence(first);
    guest_say(second, BODY(BLOB_ACK), &ask);
    e = guest_expect(second, BODY(BLOB));
    assert_int_equal(e->blob->bytes, SAVED);
    assert_int_equal(e->blob->data.len, SAVED);
    assert_memory_equal(e->blob->data.data, saved, SAVED);
    wire_free(&e);
    assert_int_equal(count_files(s, "checkpoints"), 1);
    assert_int_equal(guest_deliver(second, given), TAKEN);
    int64_t ends = clock_ms() + 10000;
    while (count_files(s, "checkpoints")) { /* nobody needs it any more */
        if (clock_ms() > ends) fail_msg("a checkpoint is left");
        clock_sleep_ms(5);
    }
    guest_destroy(&first);
    guest_destroy(&second);
}

/* What is asked for is no flood: it comes as fast as it is sent. */
static void a_large_file_is_not_held_up_by_limits(void **state)
{
    enum { LARGE = 24 << 20 };
    scene *s = *state;
    token t;
    char *contents = calloc(1, LARGE);
    assert_non_null(contents);
    for (size_t i = 0; i < LARGE; i++) contents[i] = (char)(i * 2654435761u >> 24);
    parcel p = pack(contents, LARGE);
    guest *g = guest_at_work(s, &s->access, &t);
    yield(g, t, &p, "");
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_WANTED);
    send_all(g, &p, WIRE_PIECE_MOST); /* many times the burst that the limit has; each piece is asked for once */
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_TAKEN);
    assert_false(scene_printed(s, "more messages than a worker needs"));
    guest_destroy(&g);
    free(contents);
}

static void a_candidate_waits_for_its_checkpoint(void **state)
{
    scene *s = *state;
    token t;
    parcel p = pack(saved, SAVED);
    guest *first = guest_at_work(s, &s->access, &t), *second = guest_create(s, &s->access);
    guest_greet(second);
    yield(first, t, &p, "");
    expect_fate(first, t, MENDEL__FILE_FATE__FILE_WANTED);
    assert_int_equal(expect_question(first, &p), 0);
    send_piece(first, &p, 0, 5);
    assert_int_equal(expect_question(first, &p), 5);
    token other = guest_lease(second, 0); /* it is still coming */
    assert_int_not_equal(other.candidate, t.candidate);
    Mendel__Goodbye goodbye = MENDEL__GOODBYE__INIT;
    guest_say(first, BODY(GOODBYE), &goodbye);
    scene_expect_print(s, "has left");
    envelope *e = lease(second); /* and comes no more */
    assert_int_equal(e->candidate->token->candidate, t.candidate);
    assert_string_equal(e->candidate->resume_hash, "");
    wire_free(&e);
    guest_destroy(&first);
    guest_destroy(&second);
}

/* A file system that both workers see, and the coordinator does not. */
static void a_place_in_a_spool_is_told(void **state)
{
    scene *s = *state;
    token t;
    text path = {0};
    parcel p = pack(saved, SAVED);
    guest *g = guest_at_work(s, &s->access, &t);
    text_add(&path, "/shared/spool/3/checkpoints/%s.pt", p.hash);
    yield(g, t, &p, path.bytes);
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_WANTED);
    Mendel__Blob none = MENDEL__BLOB__INIT;
    none.hash = p.hash; /* it is in a hurry */
    expect_question(g, &p);
    guest_say(g, BODY(BLOB), &none);
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_LEFT);
    envelope *e = lease(g);
    assert_int_equal(e->candidate->token->candidate, t.candidate);
    assert_string_equal(e->candidate->resume_hash, p.hash);
    assert_string_equal(e->candidate->resume_path, path.bytes);
    wire_free(&e);
    Mendel__BlobAck ask = MENDEL__BLOB_ACK__INIT;
    ask.hash = p.hash;
    guest_say(g, BODY(BLOB_ACK), &ask);
    e = guest_expect(g, BODY(BLOB)); /* the coordinator does not have it, and says so */
    assert_int_equal(e->blob->bytes, 0);
    wire_free(&e);
    guest_destroy(&g);
    text_free(&path);
}

/* ---- as it should not be ---- */

static void another_file_than_was_announced_is_let_go(void **state)
{
    scene *s = *state;
    token t;
    parcel p = pack(saved, SAVED);
    guest *g = guest_at_work(s, &s->access, &t);
    p.contents = "what another training came to"; /* long enough */
    yield(g, t, &p, "");
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_WANTED);
    send_all(g, &p, SAVED);
    send_all(g, &p, SAVED); /* it may have been damaged on the way: once more */
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_LEFT);
    scene_expect_print(s, "is not the file");
    assert_int_equal(count_files(s, "checkpoints"), 0);
    assert_int_equal(count_files(s, "parts"), 0);
    envelope *e = lease(g);
    assert_int_equal(e->candidate->token->candidate, t.candidate);
    assert_string_equal(e->candidate->resume_hash, "");
    wire_free(&e);
    guest_destroy(&g);
}

static void pieces_that_nobody_asked_for_are_left_out(void **state)
{
    scene *s = *state;
    token t, others;
    parcel p = pack(saved, SAVED), longer = p, elsewhere = pack("another file", 12);
    guest *g = guest_at_work(s, &s->access, &t), *other = guest_at_work(s, &s->access, &others);
    send_piece(g, &p, 0, SAVED); /* of nothing */
    yield(g, t, &p, "");
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_WANTED);
    assert_int_equal(expect_question(g, &p), 0);
    send_piece(g, &p, 3, 5); /* not what was asked for */
    send_piece(g, &elsewhere, 0, 12);
    longer.bytes = SAVED + 1;
    send_piece(g, &longer, 0, 5);
    send_piece(other, &p, 0, 5); /* not who was asked */
    send_piece(g, &p, 0, 5);
    assert_int_equal(expect_question(g, &p), 5);
    send_piece(g, &p, 0, 5); /* again */
    send_piece(g, &p, 5, SAVED - 5);
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_TAKEN);
    assert_int_equal(count_files(s, "checkpoints"), 1);
    guest_destroy(&g);
    guest_destroy(&other);
}

static void weights_that_are_not_kept_are_not_asked_for(void **state)
{
    scene *s = *state;
    token t;
    Mendel__Result r = MENDEL__RESULT__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token name;
    double results[RESULT_COUNT] = {0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1};
    parcel p = pack(saved, SAVED);
    guest *g = guest_at_work(s, &s->access, &t);
    token_write(t, &name);
    r.token = &name;
    r.record = &record;
    r.results = results;
    r.n_results = RESULT_COUNT;
    r.weights_hash = p.hash;
    r.weights_bytes = p.bytes;
    guest_say(g, BODY(RESULT), &r);
    expect_fate(g, t, MENDEL__FILE_FATE__FILE_LEFT);
    guest_expect_silence(g);
    assert_int_equal(count_files(s, "weights"), 0);
    guest_destroy(&g);
}

/* What another worker was given is none of its business. */
static void a_file_of_anothers_attempt_is_not_taken(void **state)
{
    scene *s = *state;
    token t;
    parcel p = pack(saved, SAVED);
    guest *g = guest_at_work(s, &s->access, &t), *other = guest_create(s, &s->access);
    guest_greet(other);
    yield(other, t, &p, "");
    envelope *e = guest_expect(other, BODY(RESULT_ACK));
    assert_int_equal(e->result_ack->verdict, MENDEL__VERDICT__VERDICT_UNKNOWN);
    assert_int_equal(e->result_ack->file, MENDEL__FILE_FATE__FILE_LEFT);
    wire_free(&e);
    assert_int_equal(guest_deliver(g, t), TAKEN);
    guest_destroy(&g);
    guest_destroy(&other);
}

int main(int argc, char **argv)
{
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest tests[] = {
        IN_A_SCENE(a_checkpoint_goes_from_worker_to_worker),     IN_A_SCENE(a_large_file_is_not_held_up_by_limits),
        IN_A_SCENE(a_candidate_waits_for_its_checkpoint),        IN_A_SCENE(a_place_in_a_spool_is_told),
        IN_A_SCENE(another_file_than_was_announced_is_let_go),   IN_A_SCENE(pieces_that_nobody_asked_for_are_left_out),
        IN_A_SCENE(weights_that_are_not_kept_are_not_asked_for), IN_A_SCENE(a_file_of_anothers_attempt_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
