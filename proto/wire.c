#include "proto/wire.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/hyp.h"
#include "common/text.h"

/* ---- ids ---- */

status wire_id_make(wire_id *id)
{
    ssize_t n;
    do n = getrandom(id->bytes, sizeof id->bytes, 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof id->bytes) return OK;
    return FAIL(ERR_IO, "the system has no random numbers: %s", strerror(errno));
}

bool wire_id_equal(const wire_id *a, const wire_id *b)
{
    return !memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

void wire_id_text(const wire_id *id, char text[WIRE_ID_ROOM])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < WIRE_ID_BYTES; i++) {
        text[2 * i] = digits[id->bytes[i] >> 4];
        text[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    text[2 * WIRE_ID_BYTES] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

status wire_id_parse(const char *text, wire_id *id)
{
    if (strlen(text) != 2 * WIRE_ID_BYTES) return FAIL(ERR_FORMAT, "an id of 32 hex digits was expected");
    for (size_t i = 0; i < WIRE_ID_BYTES; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return FAIL(ERR_FORMAT, "an id of 32 hex digits was expected");
        id->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return OK;
}

bool wire_id_read(const ProtobufCBinaryData *from, wire_id *id)
{
    if (from->len != WIRE_ID_BYTES) return false;
    memcpy(id->bytes, from->data, WIRE_ID_BYTES);
    return true;
}

bool token_equal(token a, token b)
{
    return a.candidate == b.candidate && a.attempt == b.attempt && a.epoch == b.epoch;
}

token token_read(const Mendel__Token *from)
{
    return (token){from->candidate, from->attempt, from->epoch};
}

void token_write(token t, Mendel__Token *to)
{
    *to = (Mendel__Token)MENDEL__TOKEN__INIT;
    to->candidate = t.candidate;
    to->attempt = t.attempt;
    to->epoch = t.epoch;
}

/* ---- packing ---- */

void wire_envelope(envelope *e, wire_ids *ids, envelope_kind kind, void *body)
{
    *e = (envelope)MENDEL__ENVELOPE__INIT;
    e->version = WIRE_VERSION;
    e->epoch = ids->epoch;
    if (ids->has_run) e->run = (ProtobufCBinaryData){WIRE_ID_BYTES, ids->run.bytes};
    e->session = (ProtobufCBinaryData){WIRE_ID_BYTES, ids->session.bytes};
    e->body_case = kind;
    e->hello = body; /* all bodies are pointers in one union */
}

status wire_pack(const envelope *e, bytes *out)
{
    *out = (bytes){0};
    size_t count = mendel__envelope__get_packed_size(e);
    if (count > WIRE_BYTES_MOST)
        return FAIL(ERR_RANGE, "%s: a message of %zu bytes, at most %d fit", wire_kind_name(e->body_case), count,
                    WIRE_BYTES_MOST);
    out->data = malloc(count ? count : 1);
    if (!out->data) return FAIL(ERR_MEMORY, "no memory for a message of %zu bytes", count);
    out->count = mendel__envelope__pack(e, out->data);
    return OK;
}

char *wire_sentence(const char *text, char **copy)
{
    *copy = NULL;
    if (strlen(text) <= WIRE_SENTENCE_MOST) return (char *)text;
    *copy = text_copy_bytes(text, WIRE_SENTENCE_MOST);
    return *copy ? *copy : (char *)"";
}

void wire_digest_write(const char *split, const data_digest *from, Mendel__Digest *to)
{
    *to = (Mendel__Digest)MENDEL__DIGEST__INIT;
    to->split = (char *)split;
    to->images = from->images;
    to->image_bytes = from->image_bytes;
    to->label_files = from->label_files;
    to->label_bytes = from->label_bytes;
    to->names = (char *)from->names;
    to->sizes = (char *)from->sizes;
    to->labels = (char *)from->labels;
}

static status read_hash(const char *from, char to[FS_HASH_ROOM])
{
    if (strlen(from) != FS_HASH_ROOM - 1) return FAIL(ERR_PROTOCOL, "a hash of 32 digits was expected");
    memcpy(to, from, FS_HASH_ROOM);
    return OK;
}

status wire_digest_read(const Mendel__Digest *from, data_digest *to)
{
    *to = (data_digest){from->images, from->image_bytes, from->label_files, from->label_bytes, "", "", ""};
    TRY(read_hash(from->names, to->names));
    TRY(read_hash(from->sizes, to->sizes));
    return read_hash(from->labels, to->labels);
}

/* ---- checking what came in ---- */

static status check_range(const char *what, int64_t value, int64_t low, int64_t high)
{
    if (value >= low && value <= high) return OK;
    return FAIL(ERR_PROTOCOL, "%s is %lld, expected %lld to %lld", what, (long long)value, (long long)low,
                (long long)high);
}

static status check_text(const char *what, const char *text, size_t most)
{
    size_t length = strlen(text);
    return length <= most ? OK
                          : FAIL(ERR_PROTOCOL, "%s: a text of %zu bytes, at most %zu are accepted", what, length, most);
}

/* For people: it will be printed, logged, kept. What is no plain text in it is made harmless here, once for all of that. */
static status check_sentence(const char *what, char *text)
{
    TRY(check_text(what, text, WIRE_SENTENCE_MOST));
    text_clean(text, false);
    return OK;
}

/* A path is a path only as it is. */
static status check_path(const char *what, const char *text)
{
    TRY(check_text(what, text, WIRE_SENTENCE_MOST));
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) return FAIL(ERR_PROTOCOL, "%s: a path was expected", what);
    return OK;
}

/* 32 hex digits, or none. */
static status check_hash(const char *what, const char *text)
{
    wire_id id;
    if (!*text || wire_id_parse(text, &id) == OK) return OK;
    return FAIL(ERR_PROTOCOL, "%s: a hash of 32 digits was expected", what);
}

/* How often, how many: far beyond what a training can have. */
static status check_number(const char *what, int64_t value)
{
    return check_range(what, value, 0, INT32_MAX);
}

static status check_count(const char *what, size_t count, size_t most)
{
    return count <= most ? OK : FAIL(ERR_PROTOCOL, "%s: a list of %zu, at most %zu are accepted", what, count, most);
}

static status check_map(const char *what, const ProtobufCBinaryData *map)
{
    return check_count(what, map->len, MAP_BYTES_MOST);
}

static status check_token(const Mendel__Token *t)
{
    if (!t) return FAIL(ERR_PROTOCOL, "a token is missing");
    TRY(check_range("the candidate of a token", t->candidate, 1, INT64_MAX));
    return check_range("the attempt of a token", t->attempt, 1, INT64_MAX);
}

static status check_tokens(const char *what, Mendel__Token *const *tokens, size_t count)
{
    TRY(check_count(what, count, WIRE_HELD_MOST));
    for (size_t i = 0; i < count; i++) TRY(check_token(tokens[i]));
    return OK;
}

static status check_digests(Mendel__Digest *const *digests, size_t count)
{
    TRY(check_count("data", count, DATA_SPLITS));
    for (size_t i = 0; i < count; i++) {
        data_digest ignored;
        TRY(check_sentence("split", digests[i]->split));
        TRY(wire_digest_read(digests[i], &ignored));
    }
    return OK;
}

static status check_device(const Mendel__Device *d)
{
    if (!d) return FAIL(ERR_PROTOCOL, "the device is missing");
    TRY(check_sentence("device name", d->name));
    TRY(check_sentence("device model", d->model));
    TRY(check_sentence("precision", d->precision));
    TRY(check_range("threads", d->threads, 0, 1 << 20));
    TRY(check_range("memory", d->memory, 0, INT64_MAX));
    TRY(check_count("precisions", d->n_precisions, 16));
    for (size_t i = 0; i < d->n_precisions; i++) TRY(check_sentence("precision", d->precisions[i]));
    return OK;
}

static status check_record(const Mendel__Record *r)
{
    if (!r) return FAIL(ERR_PROTOCOL, "the record is missing");
    TRY(check_sentence("device", r->device));
    TRY(check_sentence("precision", r->precision));
    TRY(check_sentence("version", r->version));
    TRY(check_sentence("host", r->host));
    TRY(check_range("threads", r->threads, 0, 1 << 20));
    TRY(check_range("peak memory", r->peak_memory, 0, INT64_MAX));
    if (!(r->seconds >= 0 && r->seconds <= INT32_MAX)) return FAIL(ERR_PROTOCOL, "seconds: a time was expected");
    return OK;
}

static status check_hello(const Mendel__Hello *h)
{
    wire_id id;
    if (wire_id_parse(h->worker, &id) != OK) return FAIL(ERR_PROTOCOL, "the worker's id: 32 hex digits were expected");
    TRY(check_sentence("version", h->version));
    TRY(check_sentence("host", h->host));
    TRY(check_range("slots", h->slots, 1, WIRE_SLOTS_MOST));
    TRY(check_device(h->device));
    TRY(check_digests(h->data, h->n_data));
    return check_tokens("held", h->held, h->n_held);
}

static status check_welcome(const Mendel__Welcome *w)
{
    enum { DAY_MS = 86400000 };
    TRY(check_range("heartbeat_ms", w->heartbeat_ms, 1, DAY_MS));
    TRY(check_range("lease_ms", w->lease_ms, 1, DAY_MS));
    TRY(check_range("stall_ms", w->stall_ms, 1, INT64_MAX));
    TRY(check_range("retry_ms", w->retry_ms, 1, DAY_MS));
    TRY(check_sentence("name", w->name));
    TRY(check_text("data yaml", w->data_yaml, WIRE_TEXT_MOST));
    TRY(check_path("data root", w->data_root));
    TRY(check_digests(w->data, w->n_data));
    TRY(check_sentence("model name", w->model_name));
    TRY(check_text("model yaml", w->model_yaml, WIRE_TEXT_MOST));
    TRY(check_map("options", &w->options));
    TRY(check_map("base hyps", &w->base_hyps));
    TRY(check_path("weights path", w->weights_path));
    TRY(check_hash("weights hash", w->weights_hash));
    TRY(check_range("weights bytes", w->weights_bytes, 0, INT64_MAX));
    return check_tokens("unwanted", w->unwanted, w->n_unwanted);
}

static status check_slot(int64_t slot)
{
    return check_range("slot", slot, 0, WIRE_SLOTS_MOST - 1);
}

static status check_candidate(const Mendel__Candidate *c)
{
    TRY(check_slot(c->slot));
    TRY(check_token(c->token));
    TRY(check_map("hyps", &c->hyps));
    TRY(check_range("seed", c->seed, 0, UINT32_MAX));
    TRY(check_hash("resume hash", c->resume_hash));
    TRY(check_path("resume path", c->resume_path));
    TRY(check_number("resume epoch", c->resume_epoch));
    return check_number("resume step", c->resume_step);
}

static status check_no_work(const Mendel__NoWork *n)
{
    TRY(check_slot(n->slot));
    TRY(check_range("retry_ms", n->retry_ms, 0, 86400000));
    return check_sentence("detail", n->detail);
}

static status check_progress(const Mendel__Progress *p)
{
    TRY(check_token(p->token));
    TRY(check_number("epoch", p->epoch));
    TRY(check_number("epochs", p->epochs));
    TRY(check_number("step", p->step));
    TRY(check_number("steps", p->steps));
    TRY(check_range("memory", p->memory, 0, INT64_MAX));
    return check_map("metrics", &p->metrics);
}

static status check_accepted(const Mendel__Accepted *a)
{
    TRY(check_token(a->token));
    TRY(check_sentence("device", a->device));
    TRY(check_range("threads", a->threads, 0, 1 << 20));
    return check_sentence("precision", a->precision);
}

/* A file that a delivery names: none, or one of this hash and size. */
static status check_file(const char *hash, int64_t bytes)
{
    TRY(check_hash("the hash of a file", hash));
    return check_range("the size of a file", bytes, 0, WIRE_FILE_MOST);
}

static status check_result(const Mendel__Result *r)
{
    TRY(check_token(r->token));
    TRY(check_number("epoch", r->epoch));
    TRY(check_file(r->weights_hash, r->weights_bytes));
    if (r->n_results != RESULT_COUNT && !(r->stopped && r->n_results == 0))
        return FAIL(ERR_PROTOCOL, "results: %d numbers were expected, found %zu", RESULT_COUNT, r->n_results);
    return check_record(r->record);
}

static status check_failed(const Mendel__Failed *f)
{
    TRY(check_token(f->token));
    TRY(check_sentence("reason", f->reason));
    TRY(check_sentence("detail", f->detail));
    TRY(check_count("log", f->n_log, WIRE_LOG_MOST));
    for (size_t i = 0; i < f->n_log; i++) TRY(check_sentence("log", f->log[i]));
    return check_record(f->record);
}

static status check_yield(const Mendel__Yield *y)
{
    TRY(check_token(y->token));
    TRY(check_number("epoch", y->epoch));
    TRY(check_number("step", y->step));
    TRY(check_file(y->checkpoint_hash, y->checkpoint_bytes));
    TRY(check_path("checkpoint path", y->checkpoint_path));
    return check_record(y->record);
}

static status check_blob(const Mendel__Blob *b)
{
    TRY(check_hash("hash", b->hash));
    TRY(check_range("bytes", b->bytes, 0, INT64_MAX));
    return check_range("offset", b->offset, 0, b->bytes);
}

static status check_blob_ack(const Mendel__BlobAck *b)
{
    TRY(check_hash("hash", b->hash));
    return check_range("offset", b->offset, 0, INT64_MAX);
}

static status check_stop(const Mendel__Stop *s)
{
    TRY(check_token(s->token));
    return check_sentence("reason", s->reason);
}

static status check_body(const envelope *e)
{
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_HELLO: return check_hello(e->hello);
    case MENDEL__ENVELOPE__BODY_WELCOME: return check_welcome(e->welcome);
    case MENDEL__ENVELOPE__BODY_REFUSED: return check_sentence("detail", e->refused->detail);
    case MENDEL__ENVELOPE__BODY_WORK_REQUEST: return check_slot(e->work_request->slot);
    case MENDEL__ENVELOPE__BODY_CANDIDATE: return check_candidate(e->candidate);
    case MENDEL__ENVELOPE__BODY_NO_WORK: return check_no_work(e->no_work);
    case MENDEL__ENVELOPE__BODY_ACCEPTED: return check_accepted(e->accepted);
    case MENDEL__ENVELOPE__BODY_HEARTBEAT: return check_tokens("held", e->heartbeat->held, e->heartbeat->n_held);
    case MENDEL__ENVELOPE__BODY_PROGRESS: return check_progress(e->progress);
    case MENDEL__ENVELOPE__BODY_STOP: return check_stop(e->stop);
    case MENDEL__ENVELOPE__BODY_YIELD: return check_yield(e->yield);
    case MENDEL__ENVELOPE__BODY_FAILED: return check_failed(e->failed);
    case MENDEL__ENVELOPE__BODY_RESULT: return check_result(e->result);
    case MENDEL__ENVELOPE__BODY_RESULT_ACK: return check_token(e->result_ack->token);
    case MENDEL__ENVELOPE__BODY_BLOB: return check_blob(e->blob);
    case MENDEL__ENVELOPE__BODY_BLOB_ACK: return check_blob_ack(e->blob_ack);
    case MENDEL__ENVELOPE__BODY_GOODBYE: return check_sentence("reason", e->goodbye->reason);
    default: return OK; /* hello_again has nothing in it; what is not known is skipped */
    }
}

static status check_ids(const envelope *e)
{
    if (e->session.len != WIRE_ID_BYTES) return FAIL(ERR_PROTOCOL, "a session of %d bytes was expected", WIRE_ID_BYTES);
    bool may_be_empty = e->body_case == MENDEL__ENVELOPE__BODY_HELLO;
    if (e->run.len != WIRE_ID_BYTES && !(may_be_empty && e->run.len == 0))
        return FAIL(ERR_PROTOCOL, "a run of %d bytes was expected", WIRE_ID_BYTES);
    return OK;
}

/* ---- unpacking ---- */

status wire_unpack(const void *data, size_t count, envelope **out)
{
    *out = NULL;
    if (count > WIRE_BYTES_MOST)
        return FAIL(ERR_PROTOCOL, "a message of %zu bytes, at most %d are accepted", count, WIRE_BYTES_MOST);
    envelope *e = mendel__envelope__unpack(NULL, count, data);
    if (!e) return FAIL(ERR_PROTOCOL, "a malformed message of %zu bytes", count);
    if (e->version != WIRE_VERSION && e->session.len == WIRE_ID_BYTES) {
        *out = e;
        return FAIL(ERR_UNSUPPORTED, "protocol version %u was expected, found %u", WIRE_VERSION, e->version);
    }
    status s = e->version == WIRE_VERSION ? check_ids(e) : FAIL(ERR_PROTOCOL, "no envelope of this protocol");
    if (s == OK) s = check_body(e);
    if (s == OK) *out = e;
    else {
        status_context(s, "%s", wire_kind_name(e->body_case));
        wire_free(&e);
    }
    return s;
}

void wire_free(envelope **e)
{
    if (*e) mendel__envelope__free_unpacked(*e, NULL);
    *e = NULL;
}

const char *wire_kind_name(envelope_kind kind)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(&mendel__envelope__descriptor, (unsigned)kind);
    if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE) return "unknown body";
    return ((const ProtobufCMessageDescriptor *)field->descriptor)->short_name;
}
