/* store.c, rows.c, json.c: what goes in comes out, in order, and only what was committed. Files that are no store
 * are in open_test.c, failing disks and power cuts in faults_test.c. */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/rng.h"
#include "coordinator/store/bench.h"

/* ---- visits ---- */

typedef struct gathered {
    size_t count;
    store_candidate candidates[16];
    store_attempt attempts[16];
} gathered;

static status keep_candidate(void *state, store_candidate *c)
{
    gathered *g = state;
    assert_true(g->count < 16);
    g->candidates[g->count++] = *c;
    c->reason = c->detail = c->checkpoint_path = c->checkpoint_hash = NULL;
    return OK;
}

static status keep_attempt(void *state, store_attempt *a)
{
    gathered *g = state;
    assert_true(g->count < 16);
    g->attempts[g->count++] = *a;
    a->host = a->device = a->precision = a->version = a->reason = a->detail = a->log = NULL;
    return OK;
}

static void drop(gathered *g)
{
    for (size_t i = 0; i < g->count; i++) {
        store_candidate_free(&g->candidates[i]);
        store_attempt_free(&g->attempts[i]);
    }
    *g = (gathered){0};
}

static void assert_same_text(const char *a, const char *b)
{
    if (!a || !b) assert_true(a == b);
    else assert_string_equal(a, b);
}

/* The same bits, but for NaN, whose bits mean nothing. */
static void assert_same_doubles(const double *a, const double *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("number %zu: %a became %a", i, a[i], b[i]);
}

static void assert_same_candidate(const bench *b, const store_candidate *x, const store_candidate *y)
{
    assert_int_equal(x->number, y->number);
    assert_int_equal(x->state, y->state);
    assert_int_equal(x->bred_ms, y->bred_ms);
    assert_int_equal(x->ended_ms, y->ended_ms);
    assert_int_equal(x->attempts, y->attempts);
    assert_int_equal(x->lost, y->lost);
    assert_int_equal(x->crashes, y->crashes);
    assert_int_equal(x->arrival, y->arrival);
    assert_int_equal(x->result_count, y->result_count);
    assert_same_doubles(x->results, y->results, (size_t)x->result_count);
    assert_int_equal(x->epoch, y->epoch);
    assert_same_text(x->reason, y->reason);
    assert_same_text(x->detail, y->detail);
    assert_same_text(x->checkpoint_path, y->checkpoint_path);
    assert_same_text(x->checkpoint_hash, y->checkpoint_hash);
    assert_int_equal(x->checkpoint_step, y->checkpoint_step);
    assert_same_doubles(x->made.hyps, y->made.hyps, b->space.count);
    assert_same_doubles(x->made.factors, y->made.factors, b->space.count);
    assert_int_equal(x->made.parent_count, y->made.parent_count);
    assert_memory_equal(x->made.parents, y->made.parents, sizeof x->made.parents);
    assert_same_doubles(x->made.weights, y->made.weights, x->made.parent_count);
    assert_int_equal(x->made.parent, y->made.parent);
    assert_int_equal(x->made.seen, y->made.seen);
    assert_int_equal(x->made.rounds, y->made.rounds);
}

/* ---- round trips ---- */

static void every_field_of_a_candidate_survives(void **state)
{
    bench *b = *state;
    store_candidate full = {
        .number = 7,
        .state = CANDIDATE_YIELDED,
        .made = {.hyps = {NAN, INFINITY, -INFINITY},
                 .parents = {3, -1, 0, INT64_MAX, 9},
                 .weights = {0.1 + 0.2, 0, -0.0, DBL_MIN / 8, DBL_MAX},
                 .parent_count = 5,
                 .parent = PARENT_MEAN,
                 .seen = 12,
                 .rounds = 1000,
                 .factors = {0.3, 1.0 / 3, 3}},
        .bred_ms = 1700000000123,
        .ended_ms = INT64_MAX,
        .attempts = 4,
        .lost = 2,
        .crashes = 1,
        .arrival = 5,
        .result_count = 7,
        .results = {0.5, 0, 1, 5e-324, NAN, INFINITY, 0.1},
        .epoch = 17,
        .reason = "",
        .detail = "a 'sentence' with \"quotes\"\nand \303\251 and \377",
        .checkpoint_path = "/somewhere/last.pt",
        .checkpoint_hash = "00ff",
        .checkpoint_step = 1234567890123,
    };
    store_candidate bare = {.number = 8};
    store *s = open_store(b);
    assert_ok(store_put_candidate(s, &b->space, &full));
    assert_ok(store_put_candidate(s, &b->space, &bare));
    assert_ok(store_commit(s));
    store_close(&s);
    assert_null(s);
    s = open_store(b);
    gathered g = {0};
    assert_ok(store_each_candidate(s, &b->space, keep_candidate, &g));
    assert_int_equal(g.count, 2);
    assert_same_candidate(b, &full, &g.candidates[0]);
    assert_same_candidate(b, &bare, &g.candidates[1]);
    drop(&g);

    full.state = CANDIDATE_DONE; /* replaced as a whole */
    full.detail = NULL;
    full.made.parent = 3;
    full.result_count = 0;
    assert_ok(store_put_candidate(s, &b->space, &full));
    assert_ok(store_each_candidate(s, &b->space, keep_candidate, &g));
    assert_int_equal(g.count, 2);
    assert_same_candidate(b, &full, &g.candidates[0]);
    drop(&g);
    store_close(&s);
}

static void every_field_of_an_attempt_survives(void **state)
{
    bench *b = *state;
    store_attempt full = {
        .candidate = 1,
        .attempt = 2,
        .epoch = UINT64_MAX,
        .session = "0123456789abcdef0123456789abcdef",
        .worker = "ab",
        .slot = 3,
        .number = UINT64_MAX - 1,
        .state = ATTEMPT_LATE,
        .leased_ms = 5,
        .ended_ms = 6,
        .host = "node",
        .device = "cuda 0",
        .precision = "bf16",
        .version = "",
        .threads = 8,
        .peak_memory = INT64_C(1) << 40,
        .seconds = NAN,
        .resumed = true,
        .reason = "crash",
        .detail = "signal 11",
        .log = "one\ntwo\n",
        .result_count = 7,
        .results = {1, 2, 3, 4, NAN, 6, 7},
    };
    store_attempt bare = {.candidate = 1, .attempt = 1, .seconds = 0.1};
    store *s = open_store(b);
    put_plain(s, b, 1);
    assert_ok(store_put_attempt(s, &full));
    assert_ok(store_put_attempt(s, &bare));
    assert_ok(store_commit(s));
    store_close(&s);
    s = open_store(b);
    gathered g = {0};
    assert_ok(store_each_attempt(s, 0, keep_attempt, &g));
    assert_int_equal(g.count, 2);
    store_attempt *x = &g.attempts[0], *y = &g.attempts[1];
    assert_int_equal(x->attempt, 1);
    assert_true(x->seconds == 0.1 && !x->host && !x->log && !x->result_count && !x->resumed);
    assert_string_equal(x->session, "");
    assert_int_equal(y->attempt, 2);
    assert_true(y->epoch == UINT64_MAX && y->number == UINT64_MAX - 1);
    assert_string_equal(y->session, full.session);
    assert_string_equal(y->worker, "ab");
    assert_int_equal(y->slot, 3);
    assert_int_equal(y->state, ATTEMPT_LATE);
    assert_true(y->leased_ms == 5 && y->ended_ms == 6);
    assert_string_equal(y->host, "node");
    assert_string_equal(y->device, "cuda 0");
    assert_string_equal(y->precision, "bf16");
    assert_string_equal(y->version, "");
    assert_int_equal(y->threads, 8);
    assert_true(y->peak_memory == INT64_C(1) << 40 && isnan(y->seconds) && y->resumed);
    assert_string_equal(y->reason, "crash");
    assert_string_equal(y->detail, "signal 11");
    assert_string_equal(y->log, "one\ntwo\n");
    assert_int_equal(y->result_count, 7);
    assert_same_doubles(y->results, full.results, 7);
    drop(&g);
    store_close(&s);
}

/* Numbers of all sizes, drawn as bits. */
static void any_double_survives(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    store_candidate c = plain_candidate(1);
    gathered g = {0};
    for (uint64_t n = 0; n < 500; n++) {
        for (uint64_t i = 0; i < 3; i++) {
            uint64_t bits = splitmix64(n * 3 + i);
            memcpy(&c.made.hyps[i], &bits, sizeof bits);
            bits = splitmix64(~(n * 3 + i));
            memcpy(&c.made.factors[i], &bits, sizeof bits);
        }
        assert_ok(store_put_candidate(s, &b->space, &c));
        assert_ok(store_each_candidate(s, &b->space, keep_candidate, &g));
        assert_same_candidate(b, &c, &g.candidates[0]);
        drop(&g);
    }
    store_close(&s);
}

static void settings_are_texts_by_name(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    char *value = "set";
    assert_ok(store_get(s, "name", &value));
    assert_null(value);
    assert_ok(store_set(s, "name", ""));
    assert_ok(store_set(s, "yaml", "nc: 3\nnames: ['a', \"b\"]\n"));
    assert_ok(store_set_int(s, "epoch", INT64_MIN));
    assert_ok(store_commit(s));
    assert_ok(store_set(s, "yaml", "nc: 1\n"));
    assert_ok(store_commit(s));
    store_close(&s);
    s = open_store(b);
    assert_ok(store_get(s, "name", &value));
    assert_string_equal(value, "");
    free(value);
    assert_ok(store_get(s, "yaml", &value));
    assert_string_equal(value, "nc: 1\n");
    free(value);
    int64_t number;
    assert_ok(store_get_int(s, "epoch", 0, &number));
    assert_true(number == INT64_MIN);
    assert_ok(store_get_int(s, "missing", 42, &number));
    assert_int_equal(number, 42);
    assert_refused(store_get_int(s, "yaml", 0, &number), ERR_FORMAT, "yaml");
    assert_ok(store_add_event(s, 5, "start", "the run began"));
    assert_ok(store_commit(s));
    store_close(&s);
}

/* ---- visits ---- */

static status stop_at_two(void *state, store_candidate *c)
{
    (void)c;
    return ++*(size_t *)state == 2 ? ERR_END : OK;
}

static void visits_come_in_order(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    static const int64_t put[] = {10, 2, -2, 1, -1, -10}, expected[] = {-1, -2, -10, 1, 2, 10};
    for (size_t i = 0; i < 6; i++) put_plain(s, b, put[i]);
    for (int64_t i = 0; i < 4; i++) {
        store_attempt a = {.candidate = i < 2 ? 10 : 2, .attempt = 3 - i};
        assert_ok(store_put_attempt(s, &a));
    }
    gathered g = {0};
    assert_ok(store_each_candidate(s, &b->space, keep_candidate, &g));
    assert_int_equal(g.count, 6);
    for (size_t i = 0; i < 6; i++) assert_int_equal(g.candidates[i].number, expected[i]);
    drop(&g);
    assert_ok(store_each_attempt(s, 0, keep_attempt, &g));
    assert_int_equal(g.count, 4);
    static const int64_t pairs[4][2] = {{2, 0}, {2, 1}, {10, 2}, {10, 3}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(g.attempts[i].candidate, pairs[i][0]);
        assert_int_equal(g.attempts[i].attempt, pairs[i][1]);
    }
    drop(&g);
    assert_ok(store_each_attempt(s, 2, keep_attempt, &g));
    assert_int_equal(g.count, 2);
    drop(&g);
    size_t count = 0;
    assert_int_equal(store_each_candidate(s, &b->space, stop_at_two, &count), ERR_END);
    assert_int_equal(count, 2);
    store_close(&s);
}

/* ---- commits ---- */

static void a_rollback_forgets_and_a_commit_keeps(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    assert_false(store_dirty(s));
    assert_ok(store_commit(s));
    put_plain(s, b, 1);
    assert_true(store_dirty(s));
    assert_ok(store_commit(s));
    assert_false(store_dirty(s));
    put_plain(s, b, 2);
    assert_int_equal(count_candidates(s, b), 2);
    store_rollback(s);
    assert_false(store_dirty(s));
    assert_int_equal(count_candidates(s, b), 1);
    put_plain(s, b, 3);
    store_close(&s); /* what was not committed is gone */
    s = open_store(b);
    assert_int_equal(count_candidates(s, b), 1);
    store_close(&s);
}

/* What comes after a failed write must not be committed without it. */
static void a_failed_write_dooms_its_commit(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    put_plain(s, b, 1);
    store_attempt orphan = {.candidate = 2, .attempt = 1};
    assert_int_not_equal(store_put_attempt(s, &orphan), OK);
    store_candidate c = plain_candidate(2);
    assert_int_not_equal(store_put_candidate(s, &b->space, &c), OK);
    assert_true(store_dirty(s));
    assert_int_not_equal(store_commit(s), OK);
    assert_false(store_dirty(s));
    assert_int_equal(count_candidates(s, b), 0);
    put_plain(s, b, 2);
    assert_ok(store_put_attempt(s, &orphan));
    assert_ok(store_commit(s));
    assert_int_equal(count_candidates(s, b), 1);
    store_close(&s);
}

static void a_reader_sees_what_is_committed(void **state)
{
    bench *b = *state;
    store *s = open_store(b), *reader;
    put_plain(s, b, 1);
    assert_ok(store_commit(s));
    assert_ok(store_open_reading(b->folder, &reader));
    put_plain(s, b, 2);
    assert_int_equal(count_candidates(reader, b), 1);
    assert_ok(store_commit(s));
    assert_int_equal(count_candidates(reader, b), 2);
    store_checkpoint(s);
    put_plain(s, b, 3);
    assert_ok(store_commit(s));
    assert_int_equal(count_candidates(reader, b), 3);
    store_close(&s);
    assert_int_equal(count_candidates(reader, b), 3);
    store_close(&reader);
}

static void another_process_may_set_something(void **state)
{
    bench *b = *state;
    store *s = open_store(b), *control;
    put_plain(s, b, 1);
    assert_ok(store_commit(s));
    int64_t version = store_version(s);
    assert_int_equal(store_version(s), version);
    put_plain(s, b, 2);
    assert_ok(store_commit(s));
    assert_int_equal(store_version(s), version); /* our own commits do not count */
    assert_ok(store_open_control(b->folder, &control));
    assert_ok(store_set_int(control, "paused", 1));
    assert_ok(store_commit(control));
    store_close(&control);
    assert_int_not_equal(store_version(s), version);
    int64_t paused;
    assert_ok(store_get_int(s, "paused", 0, &paused));
    assert_int_equal(paused, 1);
    put_plain(s, b, 3);
    assert_ok(store_commit(s));
    store_close(&s);
}

static int64_t size_of(const bench *b, const char *name)
{
    char *path = path_in(b, name);
    struct stat information;
    int64_t size = stat(path, &information) ? -1 : (int64_t)information.st_size;
    free(path);
    return size;
}

/* Even where nobody calls store_checkpoint, and beside a reader that comes and goes. */
static void the_log_does_not_grow_for_ever(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    char *long_text = malloc(200001);
    assert_non_null(long_text);
    memset(long_text, 'x', 200000);
    long_text[200000] = '\0';
    for (int n = 0; n < 250; n++) {
        long_text[n] = 'y';
        assert_ok(store_set(s, "long", long_text));
        assert_ok(store_commit(s));
    }
    free(long_text);
    assert_in_range(size_of(b, "store.sqlite-wal"), 1 << 20, 18 << 20);
    store_checkpoint(s);
    assert_in_range(size_of(b, "store.sqlite"), 200000, 1 << 20);
    store_close(&s);
    assert_int_equal(size_of(b, "store.sqlite-wal"), -1);
}

/* ---- size ---- */

static void ten_thousand_candidates_load_at_once(void **state)
{
    bench *b = *state;
    hyp_space_default(&b->space);
    store *s = open_store(b);
    for (int n = 1; n <= 10000; n++) {
        store_candidate c = {.number = n, .state = CANDIDATE_DONE, .result_count = 7};
        c.made.parent_count = 5;
        for (size_t i = 0; i < b->space.count; i++) {
            c.made.hyps[i] = (double)(splitmix64((uint64_t)n + i) % 100000) / 1e5;
            c.made.factors[i] = (double)splitmix64((uint64_t)n + i) / 1e19;
        }
        for (int i = 0; i < 7; i++) c.results[i] = 1.0 / (n + i);
        assert_ok(store_put_candidate(s, &b->space, &c));
    }
    assert_ok(store_commit(s));
    store_close(&s);
    double started = clock_seconds();
    s = open_store(b);
    assert_int_equal(count_candidates(s, b), 10000);
    double seconds = clock_seconds() - started;
    store_close(&s);
    if (seconds > 2) fail_msg("10,000 candidates took %.2f s to load", seconds); /* .2 s where nothing else runs */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_field_of_a_candidate_survives),
        CASE(every_field_of_an_attempt_survives),
        CASE(any_double_survives),
        CASE(settings_are_texts_by_name),
        CASE(visits_come_in_order),
        CASE(a_rollback_forgets_and_a_commit_keeps),
        CASE(a_failed_write_dooms_its_commit),
        CASE(a_reader_sees_what_is_committed),
        CASE(another_process_may_set_something),
        CASE(the_log_does_not_grow_for_ever),
        CASE(ten_thousand_candidates_load_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
