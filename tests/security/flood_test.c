/* A coordinator that listens over TCP, and a guest with a key that asks for more than a worker can need: of its time, its memory, its
 * candidates, its files. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "coordinator/server/limits.h"
#include "tests/security/scene.h"

#define BODY(name) MENDEL__ENVELOPE__BODY_##name
#define TAKEN      MENDEL__VERDICT__VERDICT_TAKEN

/* ---- floods ---- */

typedef enum flood_kind { FLOOD_HEARTBEATS, FLOOD_REQUESTS, FLOOD_HELLOS, FLOOD_NOISE, FLOOD_BLOBS, FLOODS } flood_kind;

typedef struct flood {
    scene *scene;
    const access_file *keys;
    flood_kind kind;
    atomic_bool stop, flows;
    atomic_long sent;
} flood;

static void send_noise(guest *g)
{
    uint8_t noise[2048];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(i * 7 + (size_t)g->number);
    g->number++;
    zmq_send(zsock_resolve(g->socket), noise, sizeof noise, 0);
}

static void *run_flood(void *state)
{
    flood *f = state;
    enum { HELD = 1000 };
    static token held[HELD]; /* attempts that there never were: each would be worth an answer */
    for (size_t i = 0; i < HELD; i++) held[i] = (token){(int64_t)i + 1, 7, 1};
    guest *g = guest_create(f->scene, f->keys);
    guest_greet(g);
    g->careless = true;
    zsock_set_sndtimeo(g->socket, 100);
    while (!f->stop) {
        switch (f->kind) {
        case FLOOD_HEARTBEATS: guest_heartbeat(g, held, HELD); break;
        case FLOOD_REQUESTS: guest_ask(g, 0); break;
        case FLOOD_HELLOS: guest_hello(g, true); break;
        case FLOOD_NOISE: send_noise(g); break;
        default: guest_ask_piece(g, (int64_t)(f->sent % 3) << 20, 0); break;
        }
        f->sent++; /* and nothing that is answered is read */
        f->flows = f->sent > 1000;
    }
    guest_destroy(&g);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    return *(const int64_t *)a < *(const int64_t *)b ? -1 : *(const int64_t *)a > *(const int64_t *)b;
}

/* Milliseconds from WorkRequest to Candidate in nine cases of ten, of a worker that does its work. */
static int64_t usual_wait(guest *g)
{
    enum { TIMES = 40 };
    int64_t took[TIMES];
    for (int i = 0; i < TIMES; i++) {
        int64_t before = clock_ms();
        token t = guest_lease(g, 0);
        took[i] = clock_ms() - before;
        assert_int_equal(guest_deliver(g, t), TAKEN);
    }
    qsort(took, TIMES, sizeof *took, by_value);
    return took[TIMES * 9 / 10];
}

static void a_flood_does_not_keep_others_waiting(void **state)
{
    scene *s = *state;
    access_file keys;
    scene_add_key(s, "flood", &keys);
    guest *worker = guest_create(s, &s->access);
    guest_greet(worker);
    int64_t calm = usual_wait(worker), memory = scene_memory(s);
    for (flood_kind kind = 0; kind < FLOODS; kind++) {
        flood f = {.scene = s, .keys = &keys, .kind = kind};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_flood, &f), 0);
        int64_t ends = clock_ms() + 5000 * s->slower;
        while (!f.flows && clock_ms() < ends) clock_sleep_ms(5);
        int64_t busy = usual_wait(worker);
        f.stop = true;
        pthread_join(thread, NULL);
        print_message("flood %d: %ld messages, %lld ms to wait, %lld before; %lld MB more\n", kind, (long)f.sent,
                      (long long)busy, (long long)calm, (long long)(scene_memory(s) - memory) >> 20);
        assert_true(f.flows);
        assert_true(busy <= 10 * calm + 1000 * s->slower); /* a machine may have other things to do as well */
    }
    assert_true(scene_printed(s, "more messages than a worker needs") || scene_printed(s, "more greetings"));
    assert_true(scene_memory(s) - memory < (int64_t)s->slower * 200 << 20);
    guest_destroy(&worker);
    access_free(&keys);
}

/* ---- sizes ---- */

static void too_large_a_message_ends_its_connection_alone(void **state)
{
    scene *s = *state;
    token lease;
    guest *worker = guest_at_work(s, &s->access, &lease), *large = guest_create(s, &s->access);
    enum { BYTES = 3 << 20 };
    char *bytes = calloc(1, BYTES);
    assert_non_null(bytes);
    guest_greet(large);
    assert_true((int)BYTES > (int)LIMIT_MESSAGE_BYTES);
    zmq_send(zsock_resolve(large->socket), bytes, BYTES, 0);
    assert_int_equal(guest_deliver(worker, lease), TAKEN);
    guest_greet(large); /* it may come back, as anybody */
    guest_destroy(&large);
    guest_destroy(&worker);
    free(bytes);
}

/* Two frames, no frame, an envelope cut short: counted, and nothing else. */
static void malformed_messages_are_left_out(void **state)
{
    scene *s = *state;
    token lease;
    guest *g = guest_at_work(s, &s->access, &lease);
    void *raw = zsock_resolve(g->socket);
    zmq_send(raw, "a", 1, ZMQ_SNDMORE);
    zmq_send(raw, "b", 1, 0);
    zmq_send(raw, "", 0, 0);
    zmq_send(raw, "\x08\x01\x12\xff", 4, 0);
    assert_int_equal(guest_deliver(g, lease), TAKEN);
    guest_destroy(&g);
}

static void a_slot_does_not_hoard(void **state)
{
    scene *s = *state;
    guest *g = guest_create(s, &s->access);
    guest_greet(g);
    token first = guest_lease(g, 0), second = guest_lease(g, 0); /* the delivery of the first might be on its way */
    guest_ask(g, 0);
    envelope *e = guest_expect(g, BODY(NO_WORK));
    assert_int_equal(e->no_work->reason, MENDEL__NO_WORK_REASON__NO_WORK_WAIT);
    wire_free(&e);
    assert_int_equal(guest_deliver(g, first), TAKEN);
    token third = guest_lease(g, 0);
    assert_int_equal(third.candidate, second.candidate + 1);
    guest_destroy(&g);
}

/* ---- files ---- */

static void large_pieces_are_for_those_who_read(void **state)
{
    scene *s = *state;
    guest *g = guest_create(s, &s->access);
    guest_greet(g);
    uint64_t proof = 0;
    int64_t offset = 0, first = 0;
    while (offset < WEIGHTS_BYTES) {
        guest_ask_piece(g, offset, proof);
        envelope *e = guest_expect(g, BODY(BLOB));
        assert_int_equal(e->blob->offset, offset);
        if (!first) first = (int64_t)e->blob->data.len;
        proof = e->blob->proof;
        offset += (int64_t)e->blob->data.len;
        wire_free(&e);
    }
    assert_int_equal(first, 1 << 16);
    guest_ask_piece(g, 0, proof ^ 2); /* a proof that is none */
    envelope *e = guest_expect(g, BODY(BLOB));
    assert_int_equal(e->blob->data.len, 1 << 16);
    wire_free(&e);
    guest_destroy(&g);
}

static void no_file_can_be_asked_for_but_the_weights(void **state)
{
    scene *s = *state;
    guest *g = guest_create(s, &s->access);
    char *path = scene_path(s, "data.yaml"), hash[FS_HASH_ROOM];
    need(fs_hash_file(path, hash));
    guest_greet(g);
    const char *const wishes[] = {hash, "", "/etc/passwd", "00000000000000000000000000000000"};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        Mendel__BlobAck ask = MENDEL__BLOB_ACK__INIT;
        ask.hash = (char *)wishes[i];
        guest_say(g, BODY(BLOB_ACK), &ask);
    }
    guest_ask_piece(g, WEIGHTS_BYTES, 0); /* its end, and beyond */
    guest_ask_piece(g, INT64_MAX, 0);
    guest_expect_silence(g);
    guest_destroy(&g);
    free(path);
}

int main(void)
{
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        IN_A_SCENE(a_flood_does_not_keep_others_waiting), IN_A_SCENE(too_large_a_message_ends_its_connection_alone),
        IN_A_SCENE(malformed_messages_are_left_out),      IN_A_SCENE(a_slot_does_not_hoard),
        IN_A_SCENE(large_pieces_are_for_those_who_read),  IN_A_SCENE(no_file_can_be_asked_for_but_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
