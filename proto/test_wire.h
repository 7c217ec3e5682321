/* test_wire.h - one valid body of every kind, for the tests of this folder. Include after cmocka.h. */
#ifndef PROTO_TEST_WIRE_H
#define PROTO_TEST_WIRE_H

#include <stdlib.h>
#include <string.h>

#include "common/hyp.h"
#include "proto/wire.h"

#define KIND(name) MENDEL__ENVELOPE__BODY_##name

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

static inline void fill_parts(bodies *b)
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

static inline void fill_greetings(bodies *b)
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

static inline void fill_work(bodies *b)
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

static inline void fill_deliveries(bodies *b)
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

static inline void *body_of(bodies *b, envelope_kind kind)
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

static inline void fill(bodies *b, envelope_kind kind)
{
    *b = (bodies){.ids = {.has_run = true, .epoch = 3, .run = {{1, 2, 3}}, .session = {{4, 5, 6}}}};
    fill_parts(b);
    fill_greetings(b);
    fill_work(b);
    fill_deliveries(b);
    wire_envelope(&b->envelope, &b->ids, kind, body_of(b, kind));
}

static inline bytes pack(const envelope *e)
{
    bytes packed;
    if (wire_pack(e, &packed) != OK) fail_msg("%s", status_message());
    return packed;
}

/* The kinds that this version has, in order: protobuf-c's own list. */
static const envelope_kind first_kind = KIND(HELLO), last_kind = KIND(GOODBYE);

/* A text of so many letters, valid until the next call. */
static inline char *long_text(size_t length)
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

#endif
