#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hyp.h"
#include "common/rng.h"
#include "proto/wire.h"

#define KIND(name) MENDEL__ENVELOPE__BODY_##name

/* ---- one valid body of every kind ---- */

typedef struct bodies {
    Mendel__Token token, *tokens[2];
    Mendel__Digest digest, *digests[2];
    Mendel__Device device;
    Mendel__Record record;
    Mendel__Hello hello;
    Mendel__Welcome welcome;
    Mendel__Refused refused;
    Mendel__HelloAgain hello_again;
    Mendel__WorkRequest work_request;
    Mendel__Candidate candidate;
    Mendel__NoWork no_work;
    Mendel__Accepted accepted;
    Mendel__Heartbeat heartbeat;
    Mendel__Progress progress;
    Mendel__Stop stop;
    Mendel__Yield yield;
    Mendel__Failed failed;
    Mendel__Result result;
    Mendel__ResultAck result_ack;
    Mendel__Blob blob;
    Mendel__BlobAck blob_ack;
    Mendel__Goodbye goodbye;
    double results[RESULT_COUNT + 1];
    char *lines[2], *precisions[2];
    wire_ids ids;
    envelope envelope;
} bodies;

static char hash[] = "0123456789abcdef0123456789abcdef", words[] = "words";

static void fill_parts(bodies *b)
{
    b->token = (Mendel__Token)MENDEL__TOKEN__INIT;
    b->token.candidate = 7;
    b->token.attempt = 2;
    b->token.epoch = UINT64_MAX;
    b->tokens[0] = b->tokens[1] = &b->token;
    b->digest = (Mendel__Digest)MENDEL__DIGEST__INIT;
    b->digest.split = words;
    b->digest.names = b->digest.sizes = b->digest.labels = hash;
    b->digests[0] = b->digests[1] = &b->digest;
    b->device = (Mendel__Device)MENDEL__DEVICE__INIT;
    b->device.name = b->device.model = b->device.precision = words;
    b->device.precisions = b->precisions;
    b->device.n_precisions = 2;
    b->precisions[0] = b->precisions[1] = b->lines[0] = b->lines[1] = words;
    b->record = (Mendel__Record)MENDEL__RECORD__INIT;
    b->record.seconds = 1.5;
    for (int i = 0; i < RESULT_COUNT; i++) b->results[i] = i / 8.0;
}

static void fill_greetings(bodies *b)
{
    b->hello = (Mendel__Hello)MENDEL__HELLO__INIT;
    b->hello.worker = hash;
    b->hello.slots = 1;
    b->hello.device = &b->device;
    b->hello.data = b->digests;
    b->hello.n_data = 2;
    b->hello.held = b->tokens;
    b->hello.n_held = 2;
    b->welcome = (Mendel__Welcome)MENDEL__WELCOME__INIT;
    b->welcome.heartbeat_ms = b->welcome.lease_ms = b->welcome.stall_ms = b->welcome.retry_ms = 1000;
    b->welcome.data = b->digests;
    b->welcome.n_data = 2;
    b->welcome.unwanted = b->tokens;
    b->welcome.n_unwanted = 1;
    b->refused = (Mendel__Refused)MENDEL__REFUSED__INIT;
    b->refused.detail = words;
    b->hello_again = (Mendel__HelloAgain)MENDEL__HELLO_AGAIN__INIT;
    b->goodbye = (Mendel__Goodbye)MENDEL__GOODBYE__INIT;
    b->goodbye.reason = words;
}

static void fill_work(bodies *b)
{
    b->work_request = (Mendel__WorkRequest)MENDEL__WORK_REQUEST__INIT;
    b->work_request.slot = WIRE_SLOTS_MOST - 1;
    b->work_request.number = 9;
    b->candidate = (Mendel__Candidate)MENDEL__CANDIDATE__INIT;
    b->candidate.token = &b->token;
    b->candidate.seed = UINT32_MAX;
    b->no_work = (Mendel__NoWork)MENDEL__NO_WORK__INIT;
    b->no_work.retry_ms = 1000;
    b->accepted = (Mendel__Accepted)MENDEL__ACCEPTED__INIT;
    b->accepted.token = &b->token;
    b->heartbeat = (Mendel__Heartbeat)MENDEL__HEARTBEAT__INIT;
    b->heartbeat.held = b->tokens;
    b->heartbeat.n_held = 2;
    b->progress = (Mendel__Progress)MENDEL__PROGRESS__INIT;
    b->progress.token = &b->token;
    b->stop = (Mendel__Stop)MENDEL__STOP__INIT;
    b->stop.token = &b->token;
}

static void fill_deliveries(bodies *b)
{
    b->yield = (Mendel__Yield)MENDEL__YIELD__INIT;
    b->yield.token = &b->token;
    b->yield.record = &b->record;
    b->failed = (Mendel__Failed)MENDEL__FAILED__INIT;
    b->failed.token = &b->token;
    b->failed.record = &b->record;
    b->failed.log = b->lines;
    b->failed.n_log = 2;
    b->result = (Mendel__Result)MENDEL__RESULT__INIT;
    b->result.token = &b->token;
    b->result.record = &b->record;
    b->result.results = b->results;
    b->result.n_results = RESULT_COUNT;
    b->result_ack = (Mendel__ResultAck)MENDEL__RESULT_ACK__INIT;
    b->result_ack.token = &b->token;
    b->blob = (Mendel__Blob)MENDEL__BLOB__INIT;
    b->blob.hash = hash;
    b->blob.bytes = 100;
    b->blob.offset = 95;
    b->blob.data = (ProtobufCBinaryData){5, (uint8_t *)"bytes"};
    b->blob_ack = (Mendel__BlobAck)MENDEL__BLOB_ACK__INIT;
    b->blob_ack.hash = hash;
}

static void *body_of(bodies *b, envelope_kind kind)
{
    switch (kind) {
    case KIND(HELLO): return &b->hello;
    case KIND(WELCOME): return &b->welcome;
    case KIND(REFUSED): return &b->refused;
    case KIND(HELLO_AGAIN): return &b->hello_again;
    case KIND(WORK_REQUEST): return &b->work_request;
    case KIND(CANDIDATE): return &b->candidate;
    case KIND(NO_WORK): return &b->no_work;
    case KIND(ACCEPTED): return &b->accepted;
    case KIND(HEARTBEAT): return &b->heartbeat;
    case KIND(PROGRESS): return &b->progress;
    case KIND(STOP): return &b->stop;
    case KIND(YIELD): return &b->yield;
    case KIND(FAILED): return &b->failed;
    case KIND(RESULT): return &b->result;
    case KIND(RESULT_ACK): return &b->result_ack;
    case KIND(BLOB): return &b->blob;
    case KIND(BLOB_ACK): return &b->blob_ack;
    case KIND(GOODBYE): return &b->goodbye;
    default: return NULL;
    }
}

static void fill(bodies *b, envelope_kind kind)
{
    *b = (bodies){.ids = {.has_run = true, .epoch = 3, .run = {{1, 2, 3}}, .session = {{4, 5, 6}}}};
    fill_parts(b);
    fill_greetings(b);
    fill_work(b);
    fill_deliveries(b);
    wire_envelope(&b->envelope, &b->ids, kind, body_of(b, kind));
}

static bytes pack(const envelope *e)
{
    bytes packed;
    if (wire_pack(e, &packed) != OK) fail_msg("%s", status_message());
    return packed;
}

/* The kinds that this version has, in order: protobuf-c's own list. */
static const envelope_kind first_kind = KIND(HELLO), last_kind = KIND(GOODBYE);

/* ---- cases ---- */

static void every_kind_comes_back_as_it_was(void **state)
{
    (void)state;
    unsigned kinds = 0;
    for (unsigned i = 0; i < mendel__envelope__descriptor.n_fields; i++)
        kinds += mendel__envelope__descriptor.fields[i].type == PROTOBUF_C_TYPE_MESSAGE;
    assert_int_equal(kinds, last_kind - first_kind + 1); /* a new kind needs its body above */
    for (envelope_kind kind = first_kind; kind <= last_kind; kind++) {
        bodies b;
        envelope *e;
        fill(&b, kind);
        bytes packed = pack(&b.envelope);
        if (wire_unpack(packed.data, packed.count, &e) != OK) fail_msg("%s", status_message());
        assert_int_equal(e->body_case, kind);
        assert_int_equal(e->epoch, 3);
        assert_memory_equal(e->run.data, b.ids.run.bytes, WIRE_ID_BYTES);
        assert_memory_equal(e->session.data, b.ids.session.bytes, WIRE_ID_BYTES);
        bytes again = pack(e);
        assert_int_equal(again.count, packed.count);
        assert_memory_equal(again.data, packed.data, packed.count);
        wire_free(&e);
        assert_null(e);
        bytes_free(&packed);
        bytes_free(&again);
    }
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(wire_kind_name(KIND(HELLO)), "Hello");
    assert_string_equal(wire_kind_name(KIND(WORK_REQUEST)), "WorkRequest");
    assert_string_equal(wire_kind_name(KIND(RESULT_ACK)), "ResultAck");
    assert_string_equal(wire_kind_name(KIND(_NOT_SET)), "unknown body");
    assert_string_equal(wire_kind_name(1), "unknown body"); /* a field, but no body */
    assert_string_equal(wire_kind_name(99), "unknown body");
}

/* ---- bounds: each row breaks one thing in an otherwise valid message ---- */

static char *long_text(size_t length)
{
    static char *text; /* of the largest length asked for; kept to the end */
    static size_t room;
    if (room < length + 1) {
        free(text);
        text = malloc(length + 1);
        assert_non_null(text);
        room = length + 1;
    }
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

#define SENTENCE (long_text(WIRE_SENTENCE_MOST + 1))
#define LONG_MAP ((ProtobufCBinaryData){MAP_BYTES_MOST + 1, (uint8_t *)long_text(MAP_BYTES_MOST + 1)})
enum { DAY_MS = 86400000 };

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
    ROW(FAILED, b->failed.token = NULL) \
    ROW(FAILED, b->failed.record = NULL) \
    ROW(FAILED, b->failed.reason = SENTENCE) \
    ROW(FAILED, b->failed.detail = SENTENCE) \
    ROW(FAILED, b->lines[1] = SENTENCE) \
    ROW(FAILED, many_lines(b)) \
    ROW(RESULT, b->result.token = NULL) \
    ROW(RESULT, b->result.record = NULL) \
    ROW(RESULT, b->result.epoch = -1) \
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

/* ---- versions ---- */

static void another_version_is_told_apart(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    fill(&b, KIND(GOODBYE));
    b.envelope.version = WIRE_VERSION + 1;
    bytes packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), ERR_UNSUPPORTED);
    assert_non_null(e);
    assert_memory_equal(e->session.data, b.ids.session.bytes, WIRE_ID_BYTES);
    wire_free(&e);
    bytes_free(&packed);
    b.envelope.session.len = 0; /* and from nobody: nonsense */
    packed = pack(&b.envelope);
    assert_int_equal(wire_unpack(packed.data, packed.count, &e), ERR_PROTOCOL);
    assert_null(e);
    bytes_free(&packed);
}

static void unknown_bodies_and_fields_are_skipped(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    fill(&b, KIND(GOODBYE));
    bytes packed = pack(&b.envelope);
    unsigned char grown[256];
    static const unsigned char field_99[] = {0x9a, 0x06, 3, 'n', 'e', 'w'}; /* 99 << 3 | 2, length, bytes */
    assert_true(packed.count + sizeof field_99 <= sizeof grown);
    memcpy(grown, packed.data, packed.count);
    memcpy(grown + packed.count, field_99, sizeof field_99);
    assert_int_equal(wire_unpack(grown, packed.count + sizeof field_99, &e), OK);
    assert_int_equal(e->body_case, KIND(GOODBYE));
    wire_free(&e);
    b.envelope.body_case = KIND(_NOT_SET);
    bytes_free(&packed);
    packed = pack(&b.envelope);
    memcpy(grown, packed.data, packed.count);
    memcpy(grown + packed.count, field_99, sizeof field_99);
    assert_int_equal(wire_unpack(grown, packed.count + sizeof field_99, &e), OK);
    assert_int_equal(e->body_case, KIND(_NOT_SET));
    wire_free(&e);
    bytes_free(&packed);
}

static void too_long_a_message_is_neither_sent_nor_read(void **state)
{
    (void)state;
    bodies b;
    envelope *e;
    bytes packed;
    fill(&b, KIND(BLOB));
    b.blob.bytes = WIRE_BYTES_MOST;
    b.blob.offset = 0;
    b.blob.data = (ProtobufCBinaryData){WIRE_BYTES_MOST, (uint8_t *)long_text(WIRE_BYTES_MOST)};
    assert_int_equal(wire_pack(&b.envelope, &packed), ERR_RANGE);
    assert_null(packed.data);
    assert_int_equal(wire_unpack(long_text(WIRE_BYTES_MOST + 1), WIRE_BYTES_MOST + 1, &e), ERR_PROTOCOL);
    assert_null(e);
}

/* ---- noise ---- */

static void noise_is_refused(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 1, 2, 3);
    for (int i = 0; i < 20000; i++) {
        unsigned char noise[64];
        size_t count = keyed_below(&r, sizeof noise + 1);
        envelope *e;
        for (size_t k = 0; k < count; k++) noise[k] = (unsigned char)keyed_next(&r);
        if (wire_unpack(noise, count, &e) == OK) fail_msg("noise was accepted"); /* it has no session of 16 bytes */
        wire_free(&e);
    }
}

/* Valid messages with some bytes changed, cut, or repeated: whatever is said of them, nothing breaks, and what is accepted is within
 * the bounds: it packs and unpacks again. */
static void damaged_messages_do_no_harm(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 4, 5, 6);
    for (int i = 0; i < 20000; i++) {
        bodies b;
        envelope *e, *again;
        fill(&b, (envelope_kind)(first_kind + keyed_below(&r, last_kind - first_kind + 1)));
        bytes packed = pack(&b.envelope);
        unsigned char *at = packed.data;
        for (uint64_t n = 1 + keyed_below(&r, 4); n > 0; n--)
            at[keyed_below(&r, packed.count)] = (unsigned char)keyed_next(&r);
        size_t count = keyed_below(&r, 4) ? packed.count : keyed_below(&r, packed.count + 1);
        if (wire_unpack(packed.data, count, &e) == OK && e->body_case) {
            bytes same = pack(e);
            assert_int_equal(wire_unpack(same.data, same.count, &again), OK);
            wire_free(&again);
            bytes_free(&same);
        }
        wire_free(&e);
        bytes_free(&packed);
    }
}

/* ---- small parts ---- */

static void ids_are_read_and_written(void **state)
{
    (void)state;
    wire_id a, b;
    char text[WIRE_ID_ROOM];
    assert_int_equal(wire_id_make(&a), OK);
    assert_int_equal(wire_id_make(&b), OK);
    assert_false(wire_id_equal(&a, &b));
    wire_id_text(&a, text);
    assert_int_equal(strlen(text), 32);
    assert_int_equal(wire_id_parse(text, &b), OK);
    assert_true(wire_id_equal(&a, &b));
    text[31] = 'g';
    assert_int_equal(wire_id_parse(text, &b), ERR_FORMAT);
    text[31] = '\0';
    assert_int_equal(wire_id_parse(text, &b), ERR_FORMAT);
    ProtobufCBinaryData short_one = {15, a.bytes};
    assert_false(wire_id_read(&short_one, &b));
}

static void tokens_are_compared_whole(void **state)
{
    (void)state;
    token t = {1, 2, 3};
    Mendel__Token body;
    token_write(t, &body);
    assert_true(token_equal(token_read(&body), t));
    assert_false(token_equal(t, (token){2, 2, 3}));
    assert_false(token_equal(t, (token){1, 1, 3}));
    assert_false(token_equal(t, (token){1, 2, 4}));
}

static void long_sentences_are_cut(void **state)
{
    (void)state;
    char *copy;
    assert_ptr_equal(wire_sentence(words, &copy), words);
    assert_null(copy);
    const char *cut = wire_sentence(SENTENCE, &copy);
    assert_int_equal(strlen(cut), WIRE_SENTENCE_MOST);
    assert_ptr_equal(cut, copy);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(every_kind_comes_back_as_it_was),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(what_is_out_of_bounds_is_refused),
        cmocka_unit_test(words_come_clean),
        cmocka_unit_test(bounds_themselves_are_accepted),
        cmocka_unit_test(numbers_that_are_not_finite_may_be_results),
        cmocka_unit_test(another_version_is_told_apart),
        cmocka_unit_test(unknown_bodies_and_fields_are_skipped),
        cmocka_unit_test(too_long_a_message_is_neither_sent_nor_read),
        cmocka_unit_test(noise_is_refused),
        cmocka_unit_test(damaged_messages_do_no_harm),
        cmocka_unit_test(ids_are_read_and_written),
        cmocka_unit_test(tokens_are_compared_whole),
        cmocka_unit_test(long_sentences_are_cut),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
