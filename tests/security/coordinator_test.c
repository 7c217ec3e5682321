/* A coordinator that listens over TCP, and guests that have a key but mean it badly, or have none. What a well-behaved worker sees is in
 * tests/cluster; here it only has to go on working meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/text.h"
#include "coordinator/server/limits.h"
#include "tests/security/scene.h"

#define BODY(name) MENDEL__ENVELOPE__BODY_##name
#define TAKEN      MENDEL__VERDICT__VERDICT_TAKEN
#define UNKNOWN    MENDEL__VERDICT__VERDICT_UNKNOWN

static void expect_refused(guest *g, Mendel__RefusedReason reason, const char *words)
{
    envelope *e = guest_expect(g, BODY(REFUSED));
    assert_int_equal(e->refused->reason, reason);
    if (!strstr(e->refused->detail, words)) fail_msg("'%s' was expected, found '%s'", words, e->refused->detail);
    wire_free(&e);
}

/* ---- without a key ---- */

static void nobody_is_answered_without_a_key_of_the_list(void **state)
{
    scene *s = *state;
    access_file other_server = s->access, stranger = s->access, half = s->access;
    char public_key[ACCESS_KEY_ROOM], secret_key[ACCESS_KEY_ROOM];
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    strcpy(other_server.server, public_key);
    strcpy(stranger.public_key, public_key);
    strcpy(stranger.secret_key, secret_key);
    strcpy(half.secret_key, secret_key); /* a public key is no secret, and not enough */
    const access_file *const all[] = {NULL, &other_server, &stranger, &half};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        guest *g = guest_create(s, all[i]);
        guest_hello(g, false);
        guest_expect_silence(g);
        guest_destroy(&g);
    }
    guest *plain = guest_create(s, NULL);
    zsock_set_plain_username(plain->socket, "admin");
    zsock_set_plain_password(plain->socket, "admin");
    assert_int_equal(zsock_connect(plain->socket, "%s", s->endpoint), 0);
    guest_hello(plain, false);
    guest_expect_silence(plain);
    guest_destroy(&plain);
    scene_expect_print(s, "a peer at 127.0.0.1 was turned away");
    guest *good = guest_create(s, &s->access);
    guest_greet(good);
    guest_destroy(&good);
}

/* ---- with the key of one, against another ---- */

static void a_worker_is_heard_only_about_what_it_was_given(void **state)
{
    scene *s = *state;
    token lease, others;
    access_file keys;
    scene_add_key(s, "second", &keys);
    guest *owner = guest_at_work(s, &s->access, &lease), *thief = guest_at_work(s, &keys, &others);
    assert_int_equal(guest_deliver(thief, lease), UNKNOWN); /* a result for another's attempt */
    guest_heartbeat(thief, &lease, 1);                      /* taking its lease over */
    envelope *e = guest_expect(thief, BODY(STOP));
    assert_true(token_equal(token_read(e->stop->token), lease));
    wire_free(&e);
    assert_int_equal(guest_deliver(owner, lease), TAKEN); /* all that changed nothing */
    assert_int_equal(guest_deliver(thief, others), TAKEN);
    guest_destroy(&owner);
    guest_destroy(&thief);
    access_free(&keys);
}

static void another_workers_id_and_session_cannot_be_taken(void **state)
{
    scene *s = *state;
    token lease;
    access_file keys;
    scene_add_key(s, "second", &keys);
    guest *owner = guest_at_work(s, &s->access, &lease);
    guest *thief = guest_create(s, &keys);
    strcpy(thief->worker, owner->worker); /* the id, which an outsider would have to guess */
    guest_hello(thief, false);
    expect_refused(thief, MENDEL__REFUSED_REASON__REFUSED_KEY, "another key");
    thief->ids = owner->ids; /* the session, with the worker's id and with an own one */
    guest_hello(thief, false);
    expect_refused(thief, MENDEL__REFUSED_REASON__REFUSED_KEY, "another key");
    strcpy(thief->worker, "0123456789abcdef0123456789abcdef");
    guest_hello(thief, false);
    expect_refused(thief, MENDEL__REFUSED_REASON__REFUSED_KEY, "another key");
    guest_ask(thief, 0);
    guest_heartbeat(thief, &lease, 1);
    guest_expect_silence(thief);
    guest_heartbeat(owner, &lease, 1);
    envelope *e = guest_expect(owner, BODY(HEARTBEAT));
    wire_free(&e);
    assert_int_equal(guest_deliver(owner, lease), TAKEN);
    guest_destroy(&owner);
    guest_destroy(&thief);
    access_free(&keys);
}

/* ---- revoked ---- */

static void a_revoked_worker_is_told_once_and_its_candidate_goes_to_another(void **state)
{
    scene *s = *state;
    token lease;
    access_file keys;
    scene_add_key(s, "second", &keys);
    guest *gone = guest_at_work(s, &s->access, &lease);
    guest *other = guest_create(s, &keys);
    guest_greet(other);
    scene_keys(s, "revoke", "default", NULL);
    guest_heartbeat(gone, &lease, 1); /* its next message */
    expect_refused(gone, MENDEL__REFUSED_REASON__REFUSED_KEY, "taken off the list");
    guest_heartbeat(gone, &lease, 1);
    guest_ask(gone, 0);
    guest_hello(gone, false);
    guest_expect_silence(gone);
    token again = guest_lease(other, 0); /* the lease of 60 s was not waited for */
    assert_int_equal(again.candidate, lease.candidate);
    assert_int_equal(again.attempt, lease.attempt + 1);
    assert_int_equal(guest_deliver(other, again), TAKEN);
    scene_expect_print(s, "is shut out");
    guest_destroy(&gone);
    guest_destroy(&other);
    access_free(&keys);
}

static void a_silent_worker_that_is_revoked_is_told_without_asking(void **state)
{
    scene *s = *state;
    token lease;
    guest *gone = guest_at_work(s, &s->access, &lease);
    scene_keys(s, "revoke", "default", NULL);
    expect_refused(gone, MENDEL__REFUSED_REASON__REFUSED_KEY, "taken off the list");
    guest_destroy(&gone);
}

static void without_a_readable_list_nobody_is_heard(void **state)
{
    scene *s = *state;
    token lease;
    guest *g = guest_at_work(s, &s->access, &lease);
    char *list = scene_path(s, "run/keys/workers");
    need(fs_write_mode(list, "nonsense\n", 9, 0600));
    expect_refused(g, MENDEL__REFUSED_REASON__REFUSED_KEY, "list");
    scene_expect_print(s, "keys/workers:1");
    guest_ask(g, 0);
    guest_expect_silence(g);
    guest_destroy(&g);
    free(list);
}

/* ---- what is kept ---- */

typedef struct kept {
    size_t log, attempts;
    char detail[256];
} kept;

static status look_at_attempt(void *state, store_attempt *a)
{
    kept *k = state;
    k->attempts++;
    if (a->log) k->log = strlen(a->log);
    if (a->detail) snprintf(k->detail, sizeof k->detail, "%s", a->detail);
    return OK;
}

static status look_at_candidate(void *state, store_candidate *c)
{
    bool *has_path = state;
    *has_path = *has_path || c->checkpoint_path || c->checkpoint_hash;
    return OK;
}

static void logs_are_kept_in_part_and_harmless(void **state)
{
    scene *s = *state;
    token lease;
    Mendel__Failed f = MENDEL__FAILED__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token name;
    char line[WIRE_SENTENCE_MOST + 1], *lines[WIRE_LOG_MOST];
    kept k = {0};
    store *store;
    guest *g = guest_create(s, &s->access);
    g->host = "\x1b]0;owned\x07\nnode";
    guest_greet(g);
    lease = guest_lease(g, 0);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    for (size_t i = 0; i < WIRE_LOG_MOST; i++) lines[i] = line;
    token_write(lease, &name);
    f.token = &name;
    f.record = &record;
    f.reason = (char *)"error";
    f.detail = (char *)"\x1b[2J 12:00:00 coordinator: all is well\n12:00:00 coordinator: really";
    f.log = lines;
    f.n_log = WIRE_LOG_MOST;
    guest_say(g, BODY(FAILED), &f);
    envelope *e = guest_expect(g, BODY(RESULT_ACK));
    wire_free(&e);
    guest_destroy(&g);
    scene_stop(s);
    need(store_open_reading(s->run, &store));
    need(store_each_attempt(store, 0, look_at_attempt, &k));
    store_close(&store);
    assert_int_equal(k.attempts, 1);
    assert_in_range(k.log, 1, LIMIT_LOG_BYTES);
    assert_string_equal(k.detail, "?[2J 12:00:00 coordinator: all is well?12:00:00 coordinator: really");
    assert_null(strchr(s->print, '\x1b'));
    assert_null(strstr(s->print, "\n12:00:00 coordinator: really"));
    assert_true(scene_printed(s, "?]0;owned??node"));
}

/* A worker elsewhere that hands a candidate on names a file of its own machine: nobody here is to open it. */
static void a_path_from_elsewhere_is_not_kept(void **state)
{
    scene *s = *state;
    token lease;
    Mendel__Yield y = MENDEL__YIELD__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token name;
    store *store;
    bool has_path = false;
    guest *g = guest_at_work(s, &s->access, &lease);
    token_write(lease, &name);
    y.token = &name;
    y.record = &record;
    y.epoch = 5;
    y.checkpoint_path = (char *)"/proc/kcore";
    y.checkpoint_hash = (char *)"00000000000000000000000000000000";
    guest_say(g, BODY(YIELD), &y);
    envelope *e = guest_expect(g, BODY(RESULT_ACK));
    assert_int_equal(e->result_ack->verdict, TAKEN);
    wire_free(&e);
    guest_ask(g, 0);
    e = guest_expect(g, BODY(CANDIDATE));
    assert_int_equal(e->candidate->token->candidate, lease.candidate);
    assert_string_equal(e->candidate->resume_path, "");
    assert_string_equal(e->candidate->resume_hash, "");
    wire_free(&e);
    guest_destroy(&g);
    scene_stop(s);
    need(store_open_reading(s->run, &store));
    hyp_space space;
    hyp_space_default(&space);
    need(store_each_candidate(store, &space, look_at_candidate, &has_path));
    store_close(&store);
    assert_false(has_path);
}

int main(void)
{
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        IN_A_SCENE(nobody_is_answered_without_a_key_of_the_list),
        IN_A_SCENE(a_worker_is_heard_only_about_what_it_was_given),
        IN_A_SCENE(another_workers_id_and_session_cannot_be_taken),
        IN_A_SCENE(a_revoked_worker_is_told_once_and_its_candidate_goes_to_another),
        IN_A_SCENE(a_silent_worker_that_is_revoked_is_told_without_asking),
        IN_A_SCENE(without_a_readable_list_nobody_is_heard),
        IN_A_SCENE(logs_are_kept_in_part_and_harmless),
        IN_A_SCENE(a_path_from_elsewhere_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
