/* The real worker program: files that its deliveries name, until somebody else has them. */
#include "tests/worker/test_worker.h"

#include "common/text.h"

static const Mendel__FileFate WANTED = MENDEL__FILE_FATE__FILE_WANTED, TAKEN = MENDEL__FILE_FATE__FILE_TAKEN;

static void start_keeping(stage *s)
{
    s->keep_weights = true;
    stage_start_here(s);
    stage_greet(s);
}

/* The Result of an attempt, with the fake's weights. */
static void expect_result(stage *s, token t)
{
    char hash[FS_HASH_ROOM];
    fs_hash_bytes(FAKE_WEIGHTS, strlen(FAKE_WEIGHTS), hash);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_string_equal(e->result->weights_hash, hash);
    assert_int_equal(e->result->weights_bytes, strlen(FAKE_WEIGHTS));
    wire_free(&e);
}

static void ask_piece(stage *s, const char *hash, int64_t offset)
{
    Mendel__BlobAck ask = MENDEL__BLOB_ACK__INIT;
    ask.hash = (char *)hash;
    ask.offset = offset;
    stage_say(s, BODY(BLOB_ACK), &ask);
}

/* Ask for the rest of a file from there: it comes in one piece. */
static void expect_piece(stage *s, const char *contents, size_t offset)
{
    char hash[FS_HASH_ROOM];
    fs_hash_bytes(contents, strlen(contents), hash);
    ask_piece(s, hash, (int64_t)offset);
    envelope *e = stage_expect(s, BODY(BLOB));
    assert_string_equal(e->blob->hash, hash);
    assert_int_equal(e->blob->bytes, strlen(contents));
    assert_int_equal(e->blob->offset, offset);
    assert_int_equal(e->blob->data.len, strlen(contents) - offset);
    assert_memory_equal(e->blob->data.data, contents + offset, strlen(contents) - offset);
    wire_free(&e);
}

static void expect_no_file(stage *s, const char *hash)
{
    ask_piece(s, hash, 0);
    envelope *e = stage_expect(s, BODY(BLOB));
    assert_string_equal(e->blob->hash, hash);
    assert_int_equal(e->blob->bytes, 0);
    assert_int_equal(e->blob->data.len, 0);
    wire_free(&e);
}

static size_t count_files(const stage *s, const char *shelf)
{
    fs_names names;
    char *path = path_join(s->spool, shelf);
    size_t count = fs_is_folder(path) && fs_list(path, &names) == OK ? names.count : 0;
    if (count) fs_names_free(&names);
    free(path);
    return count;
}

/* ---- trained weights ---- */

static void weights_wait_until_they_are_taken(void **state)
{
    stage *s = *state;
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_result(s, t);
    stage_ack_file(s, t, WANTED);
    expect_piece(s, FAKE_WEIGHTS, 0);
    expect_piece(s, FAKE_WEIGHTS, 7); /* as often as anybody asks */
    assert_int_equal(stage_spooled(s), 1);
    stage_ack_file(s, t, TAKEN);
    finish(s);
    assert_int_equal(count_files(s, "weights"), 0);
}

static void weights_that_nobody_wants_are_dropped(void **state)
{
    stage *s = *state;
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_result(s, t);
    stage_ack(s, t);
    finish(s);
    assert_int_equal(count_files(s, "weights"), 0);
}

static void weights_come_only_where_they_are_kept(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = stage_give(s, 1, FAKE_DONE);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_string_equal(e->result->weights_hash, "");
    wire_free(&e);
    stage_ack_file(s, t, WANTED); /* there is nothing to wait for */
    finish(s);
}

static void a_trainer_that_leaves_no_weights_has_its_result(void **state)
{
    stage *s = *state;
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_NO_WEIGHTS);
    envelope *e = stage_expect_delivery(s, BODY(RESULT), t);
    assert_string_equal(e->result->weights_hash, "");
    assert_int_equal(e->result->n_results, RESULT_COUNT);
    wire_free(&e);
    stage_ack(s, t);
    finish(s);
}

/* Work goes on while they wait, and what has come of a result is not asked for again as if it were lost. */
static void nothing_waits_for_weights(void **state)
{
    stage *s = *state;
    start_keeping(s);
    token first = stage_give(s, 1, FAKE_DONE);
    expect_result(s, first);
    stage_ack_file(s, first, WANTED);
    token second = stage_give(s, 2, FAKE_TRAIN);
    expect_and_free(s, BODY(PROGRESS));
    envelope *e = stage_expect(s, BODY(HEARTBEAT));
    wire_free(&e);
    e = stage_expect(s, BODY(HEARTBEAT));
    assert_int_equal(e->heartbeat->n_held, 1);
    assert_true(token_equal(token_read(e->heartbeat->held[0]), second));
    wire_free(&e);
    expect_piece(s, FAKE_WEIGHTS, 3);
    stage_ack_file(s, first, TAKEN);
    stage_stop(s, second, true);
    finish(s);
}

static void a_killed_worker_names_its_weights_again(void **state)
{
    stage *s = *state;
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_result(s, t);
    stage_ack_file(s, t, WANTED);
    expect_piece(s, FAKE_WEIGHTS, 0);
    stage_signal(s, SIGKILL);
    assert_int_equal(stage_wait(s), -SIGKILL);
    stage_start_here(s);
    stage_greet(s);
    expect_result(s, t);
    stage_ack_file(s, t, WANTED);
    expect_piece(s, FAKE_WEIGHTS, 20); /* what has come is not sent again */
    stage_ack_file(s, t, TAKEN);
    finish(s);
    assert_int_equal(count_files(s, "weights"), 0);
}

/* A coordinator that was started again knows nothing of them: they are named as soon as it is found. */
static void a_new_coordinator_hears_of_weights_that_wait(void **state)
{
    stage *s = *state;
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_result(s, t);
    stage_ack_file(s, t, WANTED);
    Mendel__HelloAgain again = MENDEL__HELLO_AGAIN__INIT;
    stage_say(s, BODY(HELLO_AGAIN), &again);
    expect_and_free(s, BODY(HELLO));
    stage_welcome(s, false);
    expect_result(s, t);
    stage_ack_file(s, t, TAKEN);
    finish(s);
}

static void a_worker_stays_while_its_weights_are_fetched(void **state)
{
    stage *s = *state;
    s->lease_ms = 500;
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_result(s, t);
    stage_ack_file(s, t, WANTED);
    stage_no_work(s, MENDEL__NO_WORK_REASON__NO_WORK_FINISHED);
    stage_expect_print(s, "the run is over");
    int64_t ends = clock_ms() + 2 * s->lease_ms;
    while (clock_ms() < ends) expect_piece(s, FAKE_WEIGHTS, 1); /* longer than it would wait in silence */
    stage_ack_file(s, t, TAKEN);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 0);
    assert_int_equal(stage_spooled(s), 0);
}

/* ---- checkpoints ---- */

/* A candidate is in training when the worker is told to go. Its Yield, which names the fake's checkpoint. */
static token yield(stage *s, int signal)
{
    char hash[FS_HASH_ROOM];
    token t = stage_give(s, 1, FAKE_TRAIN);
    expect_and_free(s, BODY(PROGRESS));
    stage_signal(s, signal);
    fs_hash_bytes(FAKE_CHECKPOINT, strlen(FAKE_CHECKPOINT), hash);
    envelope *e = stage_expect_delivery(s, BODY(YIELD), t);
    assert_string_equal(e->yield->checkpoint_hash, hash);
    assert_int_equal(e->yield->checkpoint_bytes, strlen(FAKE_CHECKPOINT));
    wire_free(&e);
    return t;
}

static void a_checkpoint_is_handed_over_before_the_worker_leaves(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = yield(s, SIGTERM);
    stage_ack_file(s, t, WANTED);
    expect_piece(s, FAKE_CHECKPOINT, 0);
    stage_ack_file(s, t, TAKEN);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 0);
    assert_int_equal(stage_spooled(s), 0);
    assert_int_equal(count_files(s, "checkpoints"), 0);
}

/* Somebody else may have been told where it is. */
static void a_checkpoint_that_is_left_stays_in_the_spool(void **state)
{
    stage *s = *state;
    stage_start_here(s);
    stage_greet(s);
    token t = yield(s, SIGUSR1);
    stage_ack(s, t);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 0);
    assert_int_equal(stage_spooled(s), 0);
    assert_int_equal(count_files(s, "checkpoints"), 1);
}

static void a_worker_leaves_in_its_grace_time_whoever_asks(void **state)
{
    stage *s = *state;
    char hash[FS_HASH_ROOM];
    stage_start(s, "--coordinator", s->endpoint, "--grace", "1", NULL);
    stage_greet(s);
    token t = yield(s, SIGTERM);
    stage_ack_file(s, t, WANTED);
    fs_hash_bytes(FAKE_CHECKPOINT, strlen(FAKE_CHECKPOINT), hash);
    for (bool gone = false; !gone;) { /* a file without end */
        ask_piece(s, hash, 0);
        envelope *e = stage_hear(s, 50);
        gone = e && e->body_case == BODY(GOODBYE);
        wire_free(&e);
    }
    assert_int_equal(stage_wait(s), 0);
    assert_int_equal(stage_spooled(s), 1);
    stage_start_here(s); /* and says so when it is back */
    stage_greet(s);
    envelope *e = stage_expect_delivery(s, BODY(YIELD), t);
    wire_free(&e);
    stage_ack_file(s, t, WANTED);
    expect_piece(s, FAKE_CHECKPOINT, 5);
    stage_ack_file(s, t, TAKEN);
    finish(s);
    assert_int_equal(count_files(s, "checkpoints"), 0);
}

/* ---- what cannot be asked for ---- */

static void nothing_but_what_is_named_can_be_fetched(void **state)
{
    stage *s = *state;
    char hash[FS_HASH_ROOM], *id = NULL;
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_result(s, t);
    stage_ack_file(s, t, WANTED);
    id = stage_read(s, "spool/worker-id"); /* a file of the spool, by its content */
    assert_non_null(id);
    fs_hash_bytes(id, strlen(id), hash);
    expect_no_file(s, hash);
    expect_no_file(s, "00000000000000000000000000000000");
    fs_hash_bytes(FAKE_WEIGHTS, strlen(FAKE_WEIGHTS), hash);
    ask_piece(s, hash, 1000000); /* behind its end */
    stage_expect_none(s, BODY(BLOB), 200);
    stage_ack(s, t);
    finish(s);
    free(id);
}

static void weights_that_have_vanished_are_given_up(void **state)
{
    stage *s = *state;
    char hash[FS_HASH_ROOM];
    start_keeping(s);
    token t = stage_give(s, 1, FAKE_DONE);
    expect_result(s, t);
    char *shelf = path_join(s->spool, "weights");
    assert_int_equal(fs_remove(shelf), OK);
    stage_ack_file(s, t, WANTED);
    fs_hash_bytes(FAKE_WEIGHTS, strlen(FAKE_WEIGHTS), hash);
    expect_no_file(s, hash);
    stage_ack(s, t);
    finish(s);
    free(shelf);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(weights_wait_until_they_are_taken),
        CASE(weights_that_nobody_wants_are_dropped),
        CASE(weights_come_only_where_they_are_kept),
        CASE(a_trainer_that_leaves_no_weights_has_its_result),
        CASE(nothing_waits_for_weights),
        CASE(a_killed_worker_names_its_weights_again),
        CASE(a_new_coordinator_hears_of_weights_that_wait),
        CASE(a_worker_stays_while_its_weights_are_fetched),
        CASE(a_checkpoint_is_handed_over_before_the_worker_leaves),
        CASE(a_checkpoint_that_is_left_stays_in_the_spool),
        CASE(a_worker_leaves_in_its_grace_time_whoever_asks),
        CASE(nothing_but_what_is_named_can_be_fetched),
        CASE(weights_that_have_vanished_are_given_up),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
