/* wire.h - envelopes of cluster.proto as bytes, checked.
 *
 * What wire_unpack returns has been validated: every field that its kind needs is there, numbers are in range, lists and texts
 * are bounded. So handlers look at meaning alone, and nothing that came from a socket reaches an assert.
 *
 * The structs are protobuf-c's. To send, make bodies on the stack with the generated *__INIT macros:
 *
 *     Mendel__WorkRequest request = MENDEL__WORK_REQUEST__INIT;
 *     request.number = 7;
 *     envelope e;
 *     wire_envelope(&e, &ids, MENDEL__ENVELOPE__BODY_WORK_REQUEST, &request);
 *     TRY(wire_pack(&e, &packed)); */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/data_yaml.h"
#include "common/status.h"
#include "proto/cluster.pb-c.h"
#include "proto/maps.h"

typedef Mendel__Envelope envelope;
typedef Mendel__Envelope__BodyCase envelope_kind;

enum {
    WIRE_VERSION = 1,
    WIRE_ID_BYTES = 16,        /* of a run or session */
    WIRE_ID_ROOM = 33,         /* of one as hex digits */
    WIRE_BYTES_MOST = 8 << 20, /* of an envelope: two yaml texts, or a piece of a file */
    WIRE_TEXT_MOST = 2 << 20,  /* of a text in it */
    WIRE_SENTENCE_MOST = 4096, /* of a detail or name, beyond which it is cut when sent and refused when received */
    WIRE_LOG_MOST = 100,       /* lines */
    WIRE_HELD_MOST = 1024,     /* tokens in a list */
    WIRE_SLOTS_MOST = 256,
    WIRE_PIECE_MOST = 1 << 20, /* bytes of a file in one Blob */
};

/* No file that travels is larger: a checkpoint of the largest models with Adam has half of it. */
#define WIRE_FILE_MOST ((int64_t)4 << 30)

typedef struct wire_id {
    uint8_t bytes[WIRE_ID_BYTES];
} wire_id;
/* Random, from the operating system. ERR_IO. */
status wire_id_make(wire_id *id);
bool wire_id_equal(const wire_id *a, const wire_id *b);
void wire_id_text(const wire_id *id, char text[WIRE_ID_ROOM]);
/* ERR_FORMAT unless it is 32 hex digits. */
status wire_id_parse(const char *text, wire_id *id);
/* The id in a message; false when its length is another. */
bool wire_id_read(const ProtobufCBinaryData *from, wire_id *id);

/* An attempt's name. */
typedef struct token {
    int64_t candidate, attempt;
    uint64_t epoch;
} token;
bool token_equal(token a, token b);
token token_read(const Mendel__Token *from);
void token_write(token t, Mendel__Token *to);

/* What goes around every body. */
typedef struct wire_ids {
    wire_id run, session;
    bool has_run;   /* false: a worker's first Hello */
    uint64_t epoch; /* of coordinators; 0: a worker's */
} wire_ids;

/* Put a body (one of the generated structs, as `kind` says) into an envelope. `ids` and `body` are borrowed by *e. */
void wire_envelope(envelope *e, wire_ids *ids, envelope_kind kind, void *body);
/* ERR_MEMORY; ERR_RANGE when it is too long. The caller frees with bytes_free. */
status wire_pack(const envelope *e, bytes *out);

/* Read and check. ERR_UNSUPPORTED: another protocol version; then *out is there all the same (its run and session are worth an
 * answer, its body is not looked at). ERR_PROTOCOL with a sentence otherwise, ERR_MEMORY; then *out is NULL. A body that this
 * version does not know is OK and has the kind MENDEL__ENVELOPE__BODY__NOT_SET. The caller frees with wire_free. */
status wire_unpack(const void *data, size_t count, envelope **out);
void wire_free(envelope **e);
/* "Hello", "WorkRequest", ...; "unknown body" for one that is not known. */
const char *wire_kind_name(envelope_kind kind);

/* A text no longer than WIRE_SENTENCE_MOST: borrowed where it fits, else a cut copy in *copy that the caller frees. */
char *wire_sentence(const char *text, char **copy);

/* Digests of a data set. The texts of *to are borrowed from *from. */
void wire_digest_write(const char *split, const data_digest *from, Mendel__Digest *to);
status wire_digest_read(const Mendel__Digest *from, data_digest *to);

#endif
