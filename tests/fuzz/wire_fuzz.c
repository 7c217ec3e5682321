/* Any bytes as a message of the cluster: read and within the bounds that the rest relies on, or refused; what was read can be sent on and
 * reads alike.
 *
 * A first byte of 0: the rest are the message's bytes. Else it chooses a body, whose fields are filled from the rest after the schema, so
 * that the checks behind the parsing are met. */
#include <stdlib.h>

#include "common/log.h"
#include "common/text.h"
#include "proto/wire.h"
#include "tests/fuzz/take.h"

enum { DEPTH_MOST = 4, ITEMS_MOST = 8 };

static ProtobufCMessage *make_message(take *t, const ProtobufCMessageDescriptor *d, int depth);

static const char *const texts[] = {"", "0123456789abcdef0123456789abcdef", "cpu", "fp32", "train"};

static char *make_text(take *t)
{
    const uint8_t *bytes;
    uint8_t way = take_byte(t) % 8;
    if (way < sizeof texts / sizeof *texts) return text_copy(texts[way]);
    size_t count = take_bytes(t, &bytes);
    size_t repeats = way == 7 ? take_byte(t) + 1 : 1; /* longer than any bound */
    text made = {0};
    for (size_t i = 0; i < repeats; i++)
        for (size_t k = 0; k < count; k++) text_add(&made, "%c", bytes[k] ? bytes[k] : ' ');
    char *words = text_take(&made);
    return words ? words : text_copy("");
}

static void make_bytes(take *t, ProtobufCBinaryData *to)
{
    const uint8_t *bytes;
    size_t count = take_byte(t) & 1 ? WIRE_ID_BYTES : take_bytes(t, &bytes);
    to->data = calloc(count + 1, 1);
    if (!to->data) abort();
    to->len = count;
    if (count != WIRE_ID_BYTES) memcpy(to->data, bytes, count);
}

static void fill_value(take *t, const ProtobufCFieldDescriptor *f, void *at, int depth)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE: *(ProtobufCMessage **)at = make_message(t, f->descriptor, depth + 1); return;
    case PROTOBUF_C_TYPE_STRING: *(char **)at = make_text(t); return;
    case PROTOBUF_C_TYPE_BYTES: make_bytes(t, at); return;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)at = take_byte(t) & 1; return;
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_UINT32: *(uint32_t *)at = (uint32_t)take_number(t); return;
    case PROTOBUF_C_TYPE_DOUBLE: {
        uint64_t bits = take_number(t);
        if (bits < 256) *(double *)at = (double)bits;
        else memcpy(at, &bits, sizeof bits);
        return;
    }
    default: *(uint64_t *)at = take_number(t); return; /* all others are of 64 bits */
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_BYTES                                          ? sizeof(ProtobufCBinaryData)
           : f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING ? sizeof(void *)
           : f->type == PROTOBUF_C_TYPE_DOUBLE                                       ? sizeof(double)
                                                                                     : sizeof(uint64_t);
}

static void fill_list(take *t, const ProtobufCFieldDescriptor *f, char *message, int depth)
{
    size_t count = take_byte(t) % ITEMS_MOST, size = value_size(f);
    char *list = calloc(count + 1, size);
    if (!list) abort();
    for (size_t i = 0; i < count; i++) {
        char *at = list + i * size;
        fill_value(t, f, at, depth);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && !*(void **)at) abort(); /* lists are no deeper than DEPTH_MOST */
    }
    *(void **)(message + f->offset) = list;
    *(size_t *)(message + f->quantifier_offset) = count;
}

static ProtobufCMessage *make_message(take *t, const ProtobufCMessageDescriptor *d, int depth)
{
    char *message = depth < DEPTH_MOST ? calloc(1, d->sizeof_message) : NULL;
    if (!message) return NULL;
    d->message_init((ProtobufCMessage *)message);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) fill_list(t, f, message, depth);
        else if (f->type != PROTOBUF_C_TYPE_MESSAGE || take_byte(t) % 8) fill_value(t, f, message + f->offset, depth);
    }
    return (ProtobufCMessage *)message;
}

/* The bytes of an envelope with the chosen body. */
static bytes make_envelope(uint8_t choice, take *t)
{
    const ProtobufCMessageDescriptor *d = &mendel__envelope__descriptor;
    envelope *e = (envelope *)make_message(t, d, 0);
    bytes packed;
    if (!e) abort();
    if (e->version % 8) e->version = WIRE_VERSION;
    const ProtobufCFieldDescriptor *body = &d->fields[choice % d->n_fields];
    if (body->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        e->body_case = (envelope_kind)body->id;
        e->hello = (Mendel__Hello *)make_message(t, body->descriptor, 1);
    }
    if (wire_pack(e, &packed) != OK) abort(); /* what a fuzzer is given is far from the longest */
    wire_free(&e);
    return packed;
}

static void check(const void *data, size_t count)
{
    envelope *e, *again;
    status s = wire_unpack(data, count, &e);
    if (s != OK && s != ERR_UNSUPPORTED && e) abort();
    if (!e) return;
    wire_kind_name(e->body_case);
    if (s == OK) {
        bytes packed;
        if (wire_pack(e, &packed) != OK || wire_unpack(packed.data, packed.count, &again) != OK) abort();
        if (again->body_case != e->body_case) abort();
        wire_free(&again);
        bytes_free(&packed);
    }
    wire_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    take rest = {data, count};
    uint8_t choice = take_byte(&rest);
    log_set_level(LEVEL_SILENT);
    if (!choice) check(rest.at, rest.left);
    else {
        bytes packed = make_envelope(choice, &rest);
        check(packed.data, packed.count);
        bytes_free(&packed);
    }
    return 0;
}
