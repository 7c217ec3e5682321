/* Each row of the table breaks one thing in an otherwise valid message. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/test_wire.h"

/* clang-format off */
#define BOUNDS(ROW) \
    ROW(HELLO, b->hello.worker = words) \
    ROW(HELLO, b->hello.worker = "0123456789ABCDEF0123456789abcdef") \
    ROW(HELLO, b->hello.version = SENTENCE) \
    ROW(HELLO, b->hello.host = SENTENCE) \
    ROW(HELLO, b->hello.slots = 0) \
    ROW(HELLO, b->hello.slots = WIRE_SLOTS_MOST + 1) \
    ROW(HELLO, b->hello.device = NULL) \
    ROW(HELLO, b->device.name = SENTENCE) \
    ROW(HELLO, b->device.model = SENTENCE) \
    ROW(HELLO, b->device.precision = SENTENCE) \
    ROW(HELLO, b->device.threads = -1) \
    ROW(HELLO, b->device.threads = (1 << 20) + 1) \
    ROW(HELLO, b->device.memory = -1) \
    ROW(HELLO, b->precisions[1] = SENTENCE) \
    ROW(HELLO, many_precisions(b)) \
    ROW(HELLO, many_digests(b)) \
    ROW(HELLO, b->digest.split = SENTENCE) \
    ROW(HELLO, b->digest.names = words) \
    ROW(HELLO, b->digest.sizes = "") \
    ROW(HELLO, b->digest.labels = "0123456789abcdef0123456789abcdef0") \
    ROW(HELLO, b->token.candidate = 0) \
    ROW(HELLO, many_held(b)) \
    ROW(WELCOME, b->welcome.heartbeat_ms = 0) \
    ROW(WELCOME, b->welcome.heartbeat_ms = DAY_MS + 1) \
    ROW(WELCOME, b->welcome.lease_ms = 0) \
    ROW(WELCOME, b->welcome.lease_ms = DAY_MS + 1) \
    ROW(WELCOME, b->welcome.stall_ms = 0) \
    ROW(WELCOME, b->welcome.retry_ms = -5) \
    ROW(WELCOME, b->welcome.retry_ms = DAY_MS + 1) \
    ROW(WELCOME, b->welcome.name = SENTENCE) \
    ROW(WELCOME, b->welcome.data_yaml = long_text(WIRE_TEXT_MOST + 1)) \
    ROW(WELCOME, b->welcome.data_root = SENTENCE) \
    ROW(WELCOME, b->digest.labels = words) \
    ROW(WELCOME, b->welcome.model_name = SENTENCE) \
    ROW(WELCOME, b->welcome.model_yaml = long_text(WIRE_TEXT_MOST + 1)) \
    ROW(WELCOME, b->welcome.options = LONG_MAP) \
    ROW(WELCOME, b->welcome.base_hyps = LONG_MAP) \
    ROW(WELCOME, b->welcome.weights_path = SENTENCE) \
    ROW(WELCOME, b->welcome.weights_hash = SENTENCE) \
    ROW(WELCOME, b->welcome.weights_hash = "../0123456789abcdef0123456789abc") \
    ROW(WELCOME, b->welcome.weights_path = "a\nb") \
    ROW(WELCOME, b->welcome.weights_bytes = -1) \
    ROW(WELCOME, b->token.attempt = 0) \
    ROW(REFUSED, b->refused.detail = SENTENCE) \
    ROW(WORK_REQUEST, b->work_request.slot = -1) \
    ROW(WORK_REQUEST, b->work_request.slot = WIRE_SLOTS_MOST) \
    ROW(CANDIDATE, b->candidate.slot = WIRE_SLOTS_MOST) \
    ROW(CANDIDATE, b->candidate.token = NULL) \
    ROW(CANDIDATE, b->token.candidate = -1) \
    ROW(CANDIDATE, b->candidate.hyps = LONG_MAP) \
    ROW(CANDIDATE, b->candidate.seed = -1) \
    ROW(CANDIDATE, b->candidate.seed = (int64_t)UINT32_MAX + 1) \
    ROW(CANDIDATE, b->candidate.resume_hash = SENTENCE) \
    ROW(CANDIDATE, b->candidate.resume_path = SENTENCE) \
    ROW(CANDIDATE, b->candidate.resume_epoch = -1) \
    ROW(CANDIDATE, b->candidate.resume_step = -1) \
    ROW(CANDIDATE, b->candidate.resume_hash = words) \
    ROW(CANDIDATE, b->candidate.resume_path = "\x1b[2J") \
    ROW(NO_WORK, b->no_work.slot = -1) \
    ROW(NO_WORK, b->no_work.retry_ms = -1) \
    ROW(NO_WORK, b->no_work.retry_ms = DAY_MS + 1) \
    ROW(NO_WORK, b->no_work.detail = SENTENCE) \
    ROW(ACCEPTED, b->accepted.token = NULL) \
    ROW(ACCEPTED, b->accepted.device = SENTENCE) \
    ROW(ACCEPTED, b->accepted.precision = SENTENCE) \
    ROW(ACCEPTED, b->accepted.threads = -1) \
    ROW(HEARTBEAT, b->token.candidate = 0) \
    ROW(PROGRESS, b->progress.token = NULL) \
    ROW(PROGRESS, b->progress.epoch = -1) \
    ROW(PROGRESS, b->progress.epochs = -1) \
    ROW(PROGRESS, b->progress.step = -1) \
    ROW(PROGRESS, b->progress.steps = -1) \
    ROW(PROGRESS, b->progress.memory = -1) \
    ROW(PROGRESS, b->progress.epochs = (int64_t)INT32_MAX + 1) \
    ROW(PROGRESS, b->progress.metrics = LONG_MAP) \
    ROW(STOP, b->stop.token = NULL) \
    ROW(STOP, b->stop.reason = SENTENCE) \
    ROW(YIELD, b->yield.token = NULL) \
    ROW(YIELD, b->yield.record = NULL) \
    ROW(YIELD, b->yield.epoch = -1) \
    ROW(YIELD, b->yield.step = -1) \
    ROW(YIELD, b->yield.checkpoint_hash = SENTENCE) \
    ROW(YIELD, b->yield.checkpoint_path = SENTENCE) \
    ROW(YIELD, b->yield.checkpoint_bytes = -1) \
    ROW(YIELD, b->yield.checkpoint_bytes = WIRE_FILE_MOST + 1) \
    ROW(FAILED, b->failed.token = NULL) \
    ROW(FAILED, b->failed.record = NULL) \
    ROW(FAILED, b->failed.reason = SENTENCE) \
    ROW(FAILED, b->failed.detail = SENTENCE) \
    ROW(FAILED, b->lines[1] = SENTENCE) \
    ROW(FAILED, many_lines(b)) \
    ROW(RESULT, b->result.token = NULL) \
    ROW(RESULT, b->result.record = NULL) \
    ROW(RESULT, b->result.epoch = -1) \
    ROW(RESULT, b->result.weights_hash = (char *)"../../../../../../etc/passwd....") \
    ROW(RESULT, b->result.weights_bytes = -1) \
    ROW(RESULT, b->result.weights_bytes = WIRE_FILE_MOST + 1) \
    ROW(RESULT, b->result.n_results = RESULT_COUNT - 1) \
    ROW(RESULT, b->result.n_results = RESULT_COUNT + 1) \
    ROW(RESULT, b->result.n_results = 0) \
    ROW(RESULT, b->record.device = SENTENCE) \
    ROW(RESULT, b->record.precision = SENTENCE) \
    ROW(RESULT, b->record.version = SENTENCE) \
    ROW(RESULT, b->record.host = SENTENCE) \
    ROW(RESULT, b->record.threads = -1) \
    ROW(RESULT, b->record.peak_memory = -1) \
    ROW(RESULT, b->record.seconds = -1) \
    ROW(RESULT, b->record.seconds = NAN) \
    ROW(RESULT, b->record.seconds = INFINITY) \
    ROW(RESULT, b->record.seconds = 1e300) \
    ROW(RESULT_ACK, b->result_ack.token = NULL) \
    ROW(BLOB, b->blob.hash = SENTENCE) \
    ROW(BLOB, b->blob.bytes = -1) \
    ROW(BLOB, b->blob.offset = -1) \
    ROW(BLOB, b->blob.offset = 101) \
    ROW(BLOB_ACK, b->blob_ack.hash = SENTENCE) \
    ROW(BLOB_ACK, b->blob_ack.hash = "../../../etc/passwd") \
    ROW(BLOB_ACK, b->blob_ack.offset = -1) \
    ROW(GOODBYE, b->goodbye.reason = SENTENCE) \
    ROW(GOODBYE, b->envelope.run.len = 0) \
    ROW(GOODBYE, b->envelope.run.len = WIRE_ID_BYTES - 1) \
    ROW(HELLO, b->envelope.run.len = WIRE_ID_BYTES - 1) \
    ROW(GOODBYE, b->envelope.session.len = 0) \
    ROW(GOODBYE, b->envelope.session.len = WIRE_ID_BYTES - 1)
/* clang-format on */

/* Words for people are harmless wherever they are printed; texts that are data come as they are. */
static void words_come_clean(void **state)
{
    (void)state;
    static char evil[] = "a\x1b[31m\nb\xff", clean[] = "a?[31m?b?";
    bodies b;
    envelope *e;
    fill(&b, KIND(HELLO));
    b.hello.host = b.hello.version = b.device.name = b.device.model = b.precisions[1] = b.digest.split = evil;
    bytes packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    assert_string_equal(e->hello->host, clean);
    assert_string_equal(e->hello->version, clean);
    assert_string_equal(e->hello->device->name, clean);
    assert_string_equal(e->hello->device->model, clean);
    assert_string_equal(e->hello->device->precisions[1], clean);
    assert_string_equal(e->hello->data[0]->split, clean);
    wire_free(&e);
    bytes_free(&packed);
    fill(&b, KIND(FAILED));
    b.failed.reason = b.failed.detail = b.lines[1] = b.record.host = evil;
    packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    assert_string_equal(e->failed->reason, clean);
    assert_string_equal(e->failed->detail, clean);
    assert_string_equal(e->failed->log[1], clean);
    assert_string_equal(e->failed->record->host, clean);
    wire_free(&e);
    bytes_free(&packed);
    fill(&b, KIND(WELCOME));
    b.welcome.name = evil;
    b.welcome.data_yaml = evil;
    packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    assert_string_equal(e->welcome->name, clean);
    assert_string_equal(e->welcome->data_yaml, evil);
    wire_free(&e);
    bytes_free(&packed);
}

static void *repeat(void *item, size_t count)
{
    void **list = calloc(count, sizeof *list);
    assert_non_null(list);
    for (size_t i = 0; i < count; i++) list[i] = item;
    return list;
}

static void *repeated; /* the list of the row in hand */

static void many_held(bodies *b)
{
    b->hello.n_held = WIRE_HELD_MOST + 1;
    b->hello.held = repeated = repeat(&b->token, b->hello.n_held);
}

static void many_digests(bodies *b)
{
    b->hello.n_data = DATA_SPLITS + 1;
    b->hello.data = repeated = repeat(&b->digest, b->hello.n_data);
}

static void many_precisions(bodies *b)
{
    b->device.n_precisions = 17;
    b->device.precisions = repeated = repeat(words, b->device.n_precisions);
}

static void many_lines(bodies *b)
{
    b->failed.n_log = WIRE_LOG_MOST + 1;
    b->failed.log = repeated = repeat(words, b->failed.n_log);
}

static void refuse(bodies *b, const char *what)
{
    envelope *e;
    bytes packed = pack(&b->envelope);
    status s = wire_unpack(packed.data, packed.count, &e);
    if (s != ERR_PROTOCOL) fail_msg("%s: %s", what, s == OK ? "accepted" : status_message());
    assert_null(e);
    assert_true(*status_message());
    bytes_free(&packed);
    free(repeated);
    repeated = NULL;
}

#define AS_CHECK(kind, change)                                                                                         \
    do {                                                                                                               \
        bodies room, *b = &room;                                                                                       \
        fill(b, KIND(kind));                                                                                           \
        change;                                                                                                        \
        refuse(b, #kind ": " #change);                                                                                 \
    } while (0);

static void what_is_out_of_bounds_is_refused(void **state)
{
    (void)state;
    BOUNDS(AS_CHECK)
}

/* What lies on a bound is fine. */
static void bounds_themselves_are_accepted(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    fill(&b, KIND(WELCOME));
    b.welcome.name = long_text(WIRE_SENTENCE_MOST);
    b.welcome.lease_ms = DAY_MS;
    bytes packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    wire_free(&e);
    bytes_free(&packed);
    fill(&b, KIND(RESULT));
    b.result.stopped = true;
    b.result.n_results = 0;
    packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    wire_free(&e);
    bytes_free(&packed);
    fill(&b, KIND(HELLO));
    b.envelope.run.len = 0; /* a first Hello */
    packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    wire_free(&e);
    bytes_free(&packed);
}

static void numbers_that_are_not_finite_may_be_results(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    fill(&b, KIND(RESULT));
    b.results[2] = NAN;
    bytes packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), OK);
    assert_true(isnan(e->result->results[2]));
    wire_free(&e);
    bytes_free(&packed);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(words_come_clean),
        cmocka_unit_test(what_is_out_of_bounds_is_refused),
        cmocka_unit_test(bounds_themselves_are_accepted),
        cmocka_unit_test(numbers_that_are_not_finite_may_be_results),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
