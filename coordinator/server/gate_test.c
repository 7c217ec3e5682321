/* The gate with real sockets: a ROUTER that listens at both kinds of endpoints, and clients that may or may not get in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "coordinator/server/gate.h"

/* How long somebody who may come in has to get here, and how long is waited for somebody who may not. */
enum { PATIENCE_MS = 5000, SILENCE_MS = 300, ENDPOINT_ROOM = 256 };

typedef struct scene {
    char run[64];
    gate *gate;
    zsock_t *router;
    char tcp[ENDPOINT_ROOM], ipc[ENDPOINT_ROOM];
    access_file access;
} scene;

static void need(status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

static void publish(scene *s)
{
    fs_names addresses = {0};
    bool has_access;
    text path = {0};
    need(fs_names_add(&addresses, s->tcp));
    need(keys_publish(s->run, gate_keys(s->gate), &addresses, 0, &has_access));
    text_add(&path, "%s/access", s->run);
    need(access_read(path.bytes, &s->access));
    text_free(&path);
    fs_names_free(&addresses);
}

static int open_scene(void **state)
{
    static scene s; /* one at a time */
    s = (scene){.run = "/tmp/mendel-gate-XXXXXX"};
    *state = &s;
    if (!mkdtemp(s.run)) return 1;
    zsys_handler_set(NULL);
    need(gate_create(s.run, &s.gate));
    s.router = zsock_new(ZMQ_ROUTER);
    snprintf(s.ipc, sizeof s.ipc, "ipc://%s/socket", s.run);
    assert_int_equal(zmq_bind(zsock_resolve(s.router), s.ipc), 0);
    gate_guard(s.gate, s.router);
    assert_int_equal(zmq_bind(zsock_resolve(s.router), "tcp://127.0.0.1:*"), 0);
    size_t room = sizeof s.tcp;
    assert_int_equal(zmq_getsockopt(zsock_resolve(s.router), ZMQ_LAST_ENDPOINT, s.tcp, &room), 0);
    publish(&s);
    return 0;
}

static int close_scene(void **state)
{
    scene *s = *state;
    zsock_destroy(&s->router);
    gate_destroy(&s->gate);
    access_free(&s->access);
    return fs_remove(s->run) == OK ? 0 : 1;
}

static zsock_t *make_client(void)
{
    zsock_t *client = zsock_new(ZMQ_DEALER);
    assert_non_null(client);
    zsock_set_linger(client, 0);
    return client;
}

static void connect_and_speak(zsock_t *client, const char *endpoint)
{
    assert_int_equal(zsock_connect(client, "%s", endpoint), 0);
    assert_int_equal(zstr_send(client, "hello"), 0);
}

static zsock_t *call_with(const char *endpoint, const char *server, const char *public_key, const char *secret_key)
{
    zsock_t *client = make_client();
    zsock_set_curve_serverkey(client, server);
    zsock_set_curve_publickey(client, public_key);
    zsock_set_curve_secretkey(client, secret_key);
    connect_and_speak(client, endpoint);
    return client;
}

/* The next message's peer; false: none came in time. */
static bool hear(scene *s, int64_t for_ms, peer *out)
{
    zmq_pollitem_t item = {zsock_resolve(s->router), 0, ZMQ_POLLIN, 0};
    if (zmq_poll(&item, 1, (long)for_ms) <= 0) return false;
    zmsg_t *m = zmsg_recv(s->router);
    assert_non_null(m);
    assert_int_equal(zmsg_size(m), 2);
    *out = peer_of(zmsg_last(m));
    zmsg_destroy(&m);
    return true;
}

/* Nothing of this client's arrives. */
static void expect_silence(scene *s, zsock_t *client)
{
    peer p;
    assert_false(hear(s, SILENCE_MS, &p));
    zsock_destroy(&client);
}

static int64_t wait_for_away(scene *s, char *from, size_t room)
{
    int64_t ends = clock_ms() + PATIENCE_MS, count = 0;
    while (!count && clock_ms() < ends) {
        count = gate_turned_away(s->gate, from, room);
        clock_sleep_ms(5);
    }
    return count;
}

/* ---- cases ---- */

static void a_key_of_the_list_comes_in_with_its_name_on_every_message(void **state)
{
    scene *s = *state;
    peer p;
    zsock_t *client = call_with(s->tcp, s->access.server, s->access.public_key, s->access.secret_key);
    for (int i = 0; i < 3; i++) {
        assert_true(hear(s, PATIENCE_MS, &p));
        assert_false(p.local);
        assert_string_equal(p.key, s->access.public_key);
        assert_true(gate_admits(s->gate, &p));
        zstr_send(client, "again");
    }
    zsock_destroy(&client);
}

static void the_own_machine_needs_no_key(void **state)
{
    scene *s = *state;
    peer p;
    zsock_t *client = make_client();
    connect_and_speak(client, s->ipc);
    assert_true(hear(s, PATIENCE_MS, &p));
    assert_true(p.local);
    assert_string_equal(p.key, "");
    assert_true(gate_admits(s->gate, &p));
    zsock_destroy(&client);
}

static void who_has_no_key_stays_out(void **state)
{
    scene *s = *state;
    zsock_t *client = make_client();
    connect_and_speak(client, s->tcp);
    expect_silence(s, client);
    client = make_client();
    zsock_set_plain_username(client, "admin");
    zsock_set_plain_password(client, "admin");
    connect_and_speak(client, s->tcp);
    expect_silence(s, client);
}

static void an_unknown_key_stays_out_and_is_counted(void **state)
{
    scene *s = *state;
    key_pair other;
    char from[64] = "";
    need(keys_make_pair(&other));
    expect_silence(s, call_with(s->tcp, s->access.server, other.public_key, other.secret_key));
    assert_true(wait_for_away(s, from, sizeof from) >= 1);
    assert_string_equal(from, "127.0.0.1");
    /* The public key of somebody who may come in, without its secret one. */
    expect_silence(s, call_with(s->tcp, s->access.server, s->access.public_key, other.secret_key));
}

static void a_client_that_expects_another_server_stays_out(void **state)
{
    scene *s = *state;
    key_pair other;
    need(keys_make_pair(&other));
    expect_silence(s, call_with(s->tcp, other.public_key, s->access.public_key, s->access.secret_key));
}

static void a_revoked_key_is_shut_out_while_it_is_connected(void **state)
{
    scene *s = *state;
    peer p;
    const char *problem;
    zsock_t *client = call_with(s->tcp, s->access.server, s->access.public_key, s->access.secret_key);
    assert_true(hear(s, PATIENCE_MS, &p));
    assert_true(gate_admits(s->gate, &p));
    gate_changed(s->gate, &problem);
    assert_false(gate_changed(s->gate, &problem));
    need(keys_revoke(s->run, "default"));
    assert_true(gate_changed(s->gate, &problem));
    assert_null(problem);
    assert_false(gate_admits_key(s->gate, s->access.public_key));
    zstr_send(client, "still here");
    assert_true(hear(s, PATIENCE_MS, &p)); /* its connection stands, so the server has to look */
    assert_false(gate_admits(s->gate, &p));
    zsock_destroy(&client);
    expect_silence(s, call_with(s->tcp, s->access.server, s->access.public_key, s->access.secret_key));
}

static void a_key_that_is_added_comes_in_at_once(void **state)
{
    scene *s = *state;
    peer p;
    access_file added;
    text path = {0};
    text_add(&path, "%s/added", s->run);
    need(keys_add(s->run, "added", path.bytes, 0));
    need(access_read(path.bytes, &added));
    zsock_t *client = call_with(s->tcp, added.server, added.public_key, added.secret_key);
    assert_true(hear(s, PATIENCE_MS, &p));
    assert_string_equal(p.key, added.public_key);
    assert_true(gate_admits(s->gate, &p));
    zsock_destroy(&client);
    access_free(&added);
    text_free(&path);
}

/* What a message without a key and not from this machine's socket would look like; and that a key cannot be made up. */
static void only_what_the_gate_has_seen_is_admitted(void **state)
{
    scene *s = *state;
    peer nobody = {0}, made_up = {0};
    strcpy(made_up.key, s->access.server);
    assert_false(gate_admits(s->gate, &nobody));
    assert_false(gate_admits(s->gate, &made_up));
    assert_true(gate_admits(NULL, &nobody));
    assert_true(gate_admits_key(s->gate, ""));
}

static void there_is_one_gate_a_process(void **state)
{
    scene *s = *state;
    gate *second;
    assert_int_equal(gate_create(s->run, &second), ERR_BUSY);
    assert_null(second);
}

/* Should the handler be gone, ZeroMQ asks nobody; then messages have no key, and are not admitted. */
static void without_its_handler_nobody_has_a_key(void **state)
{
    scene *s = *state;
    peer p;
    gate_destroy(&s->gate);
    zsock_t *client = call_with(s->tcp, s->access.server, s->access.public_key, s->access.secret_key);
    if (hear(s, PATIENCE_MS, &p)) {
        assert_string_equal(p.key, "");
        assert_false(p.local);
    }
    zsock_destroy(&client);
}

int main(void)
{
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)
    const struct CMUnitTest tests[] = {
        IN_A_SCENE(a_key_of_the_list_comes_in_with_its_name_on_every_message),
        IN_A_SCENE(the_own_machine_needs_no_key),
        IN_A_SCENE(who_has_no_key_stays_out),
        IN_A_SCENE(an_unknown_key_stays_out_and_is_counted),
        IN_A_SCENE(a_client_that_expects_another_server_stays_out),
        IN_A_SCENE(a_revoked_key_is_shut_out_while_it_is_connected),
        IN_A_SCENE(a_key_that_is_added_comes_in_at_once),
        IN_A_SCENE(only_what_the_gate_has_seen_is_admitted),
        IN_A_SCENE(there_is_one_gate_a_process),
        IN_A_SCENE(without_its_handler_nobody_has_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
