#include "proto/trainer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"

/* A start carries two yaml texts; everything else is far smaller. */
enum { FRAME_HEAD = 4, FRAME_BYTES_MOST = 4 << 20 };
/* How long a full pipe may stay full before the other side counts as gone. */
static const int64_t send_patience_ms = 10000;

/* ---- the messages as tables ---- */

static const char *const kind_names[TRAINER_KINDS] = {
    [TRAINER_START] = "start",     [TRAINER_CHECKPOINT] = "checkpoint",     [TRAINER_STOP] = "stop",
    [TRAINER_HELLO] = "hello",     [TRAINER_ITERATION] = "iteration",       [TRAINER_EPOCH] = "epoch",
    [TRAINER_STOPPED] = "stopped", [TRAINER_CHECKPOINTED] = "checkpointed", [TRAINER_DONE] = "done",
    [TRAINER_FAILED] = "failed",
};

typedef enum field_type {
    FIELD_TEXT,
    FIELD_MAYBE, /* a text that may be missing: NULL */
    FIELD_INT,   /* 0 or more */
    FIELD_DOUBLE,
    FIELD_MAP,     /* bytes: a packed map, nested as it is */
    FIELD_METRICS, /* the metrics */
    FIELD_RESULTS, /* 7 numbers */
    FIELD_SOME,    /* 0 or 7 numbers */
    FIELD_REASON,
} field_type;

typedef struct field {
    trainer_kind kind;
    const char *key;
    field_type type;
    size_t offset;
} field;

#define AT(name) offsetof(trainer_message, name)
static const field fields[] = {
    {TRAINER_START, "hyps", FIELD_MAP, AT(hyps)},
    {TRAINER_START, "options", FIELD_MAP, AT(options)},
    {TRAINER_START, "data", FIELD_TEXT, AT(data)},
    {TRAINER_START, "data_root", FIELD_TEXT, AT(data_root)},
    {TRAINER_START, "model", FIELD_TEXT, AT(model)},
    {TRAINER_START, "seed", FIELD_INT, AT(seed)},
    {TRAINER_START, "folder", FIELD_TEXT, AT(folder)},
    {TRAINER_START, "resume", FIELD_MAYBE, AT(resume)},
    {TRAINER_START, "weights", FIELD_MAYBE, AT(path)},
    {TRAINER_HELLO, "device", FIELD_TEXT, AT(device)},
    {TRAINER_HELLO, "threads", FIELD_INT, AT(threads)},
    {TRAINER_HELLO, "precision", FIELD_TEXT, AT(precision)},
    {TRAINER_HELLO, "version", FIELD_TEXT, AT(version)},
    {TRAINER_ITERATION, "epoch", FIELD_INT, AT(epoch)},
    {TRAINER_ITERATION, "epochs", FIELD_INT, AT(epochs)},
    {TRAINER_ITERATION, "step", FIELD_INT, AT(step)},
    {TRAINER_ITERATION, "steps", FIELD_INT, AT(steps)},
    {TRAINER_ITERATION, "loss", FIELD_DOUBLE, AT(loss)},
    {TRAINER_ITERATION, "images_per_s", FIELD_DOUBLE, AT(images_per_s)},
    {TRAINER_ITERATION, "memory", FIELD_INT, AT(memory)},
    {TRAINER_EPOCH, "epoch", FIELD_INT, AT(epoch)},
    {TRAINER_EPOCH, "metrics", FIELD_METRICS, AT(metrics)},
    {TRAINER_CHECKPOINTED, "path", FIELD_TEXT, AT(path)},
    {TRAINER_CHECKPOINTED, "epoch", FIELD_INT, AT(epoch)},
    {TRAINER_CHECKPOINTED, "step", FIELD_INT, AT(step)},
    {TRAINER_STOPPED, "results", FIELD_SOME, AT(results)},
    {TRAINER_STOPPED, "epoch", FIELD_INT, AT(epoch)},
    {TRAINER_DONE, "results", FIELD_RESULTS, AT(results)},
    {TRAINER_DONE, "seconds", FIELD_DOUBLE, AT(seconds)},
    {TRAINER_DONE, "memory", FIELD_INT, AT(memory)},
    {TRAINER_DONE, "folder", FIELD_TEXT, AT(folder)},
    {TRAINER_FAILED, "reason", FIELD_REASON, AT(reason)},
    {TRAINER_FAILED, "detail", FIELD_TEXT, AT(detail)},
};
enum { FIELDS = sizeof fields / sizeof *fields };

#define REASON_AS_NAME(id, name) name,
static const char *const reason_names[REASON_COUNT] = {TRAINER_REASONS(REASON_AS_NAME)};

const char *trainer_reason_name(trainer_reason reason)
{
    return (unsigned)reason < REASON_COUNT ? reason_names[reason] : reason_names[REASON_ERROR];
}

trainer_reason trainer_reason_find(const char *name)
{
    for (int i = 0; i < REASON_COUNT; i++)
        if (!strcmp(reason_names[i], name)) return (trainer_reason)i;
    return REASON_ERROR;
}

void trainer_message_free(trainer_message *m)
{
    bytes_free(&m->hyps);
    bytes_free(&m->options);
    char *const texts[] = {m->data,   m->data_root, m->model,   m->folder, m->resume,
                           m->device, m->precision, m->version, m->path,   m->detail};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    *m = (trainer_message){0};
}

/* ---- writing ---- */

static bool is_sent(const field *f, const trainer_message *m)
{
    return f->kind == m->kind && !(f->type == FIELD_MAYBE && !*(char *const *)((const char *)m + f->offset));
}

static status put_map(msgpack_packer *p, msgpack_sbuffer *buffer, const field *f, const bytes *map)
{
    msgpack_unpacked check; /* a broken map would break the frame around it */
    status s = map_open(map->data, map->count, &check);
    msgpack_unpacked_destroy(&check);
    if (s != OK) return status_context(s, "%s", f->key);
    size_t length = strlen(f->key);
    msgpack_pack_str(p, length);
    msgpack_pack_str_body(p, f->key, length);
    return msgpack_sbuffer_write(buffer, map->data, map->count) ? FAIL(ERR_MEMORY, "no memory for a message") : OK;
}

static status put_metrics(msgpack_packer *p, msgpack_sbuffer *buffer, const field *f, const metrics *m)
{
    bytes map;
    TRY(map_pack_metrics(m, &map));
    status s = put_map(p, buffer, f, &map);
    bytes_free(&map);
    return s;
}

static void put_results(msgpack_packer *p, const char *key, const double *results, int count)
{
    msgpack_pack_str(p, strlen(key));
    msgpack_pack_str_body(p, key, strlen(key));
    msgpack_pack_array(p, (size_t)count);
    for (int i = 0; i < count; i++) msgpack_pack_double(p, results[i]);
}

static status put_field(msgpack_packer *p, msgpack_sbuffer *buffer, const field *f, const trainer_message *m)
{
    const void *at = (const char *)m + f->offset;
    const char *words = NULL;
    switch (f->type) {
    case FIELD_TEXT:
    case FIELD_MAYBE:
        words = *(char *const *)at;
        map_put_text(p, f->key, words ? words : "");
        return OK;
    case FIELD_INT: map_put_int(p, f->key, *(const int64_t *)at); return OK;
    case FIELD_DOUBLE: map_put_double(p, f->key, *(const double *)at); return OK;
    case FIELD_MAP: return put_map(p, buffer, f, at);
    case FIELD_METRICS: return put_metrics(p, buffer, f, at);
    case FIELD_RESULTS: put_results(p, f->key, m->results, RESULT_COUNT); return OK;
    case FIELD_SOME: put_results(p, f->key, m->results, m->result_count ? RESULT_COUNT : 0); return OK;
    case FIELD_REASON: map_put_text(p, f->key, trainer_reason_name(m->reason)); return OK;
    }
    return OK;
}

static status pack_frame(const trainer_message *m, msgpack_sbuffer *buffer)
{
    msgpack_packer p;
    msgpack_packer_init(&p, buffer, msgpack_sbuffer_write);
    unsigned char head[FRAME_HEAD] = {0};
    if (msgpack_sbuffer_write(buffer, (char *)head, FRAME_HEAD)) return FAIL(ERR_MEMORY, "no memory for a message");
    size_t sent = 1; /* the type */
    for (size_t i = 0; i < FIELDS; i++) sent += is_sent(&fields[i], m);
    msgpack_pack_map(&p, sent);
    map_put_text(&p, "type", kind_names[m->kind]);
    for (size_t i = 0; i < FIELDS; i++)
        if (is_sent(&fields[i], m)) TRY(put_field(&p, buffer, &fields[i], m));
    size_t length = buffer->size - FRAME_HEAD;
    if (length > FRAME_BYTES_MOST)
        return FAIL(ERR_RANGE, "a message of %zu bytes for the trainer, at most %d fit", length, FRAME_BYTES_MOST);
    for (int i = 0; i < FRAME_HEAD; i++) buffer->data[i] = (char)(length >> (24 - 8 * i));
    msgpack_unpacked check;
    status s =
        map_open(buffer->data + FRAME_HEAD, length, &check); /* packing itself does not say when memory ran out */
    msgpack_unpacked_destroy(&check);
    return s == OK ? OK : FAIL(ERR_MEMORY, "no memory for a message");
}

/* A socket is written without SIGPIPE; anything else (a pipe in a test) with write. */
static ssize_t write_some(int descriptor, const char *from, size_t count)
{
    ssize_t n = send(descriptor, from, count, MSG_NOSIGNAL);
    return n < 0 && errno == ENOTSOCK ? write(descriptor, from, count) : n;
}

static status write_frame(int descriptor, const char *from, size_t count)
{
    int64_t patience_ends = clock_ms() + send_patience_ms;
    while (count) {
        ssize_t n = write_some(descriptor, from, count);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) return FAIL(ERR_IO, "the trainer pipe is closed: %s", strerror(errno));
        if (n < 0) {
            int64_t left = patience_ends - clock_ms();
            if (left <= 0) return FAIL(ERR_IO, "the other side of the trainer pipe reads nothing");
            struct pollfd room = {.fd = descriptor, .events = POLLOUT};
            poll(&room, 1, (int)left);
            continue;
        }
        from += n;
        count -= (size_t)n;
    }
    return OK;
}

status trainer_pack(const trainer_message *m, bytes *out)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    *out = (bytes){0};
    status s = pack_frame(m, &buffer);
    if (s == OK) s = bytes_copy(buffer.data, buffer.size, out);
    msgpack_sbuffer_destroy(&buffer);
    return s;
}

status trainer_send(int descriptor, const trainer_message *m)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    status s = pack_frame(m, &buffer);
    if (s == OK) s = write_frame(descriptor, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return s;
}

/* ---- reading ---- */

static status get_map(const msgpack_object *map, const char *key, bytes *out)
{
    const msgpack_object *o = map_get(map, key);
    if (!o || o->type != MSGPACK_OBJECT_MAP) return FAIL(ERR_PROTOCOL, "'%s': a map was expected", key);
    msgpack_sbuffer buffer;
    msgpack_packer p;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&p, &buffer, msgpack_sbuffer_write);
    status s = msgpack_pack_object(&p, *o) ? FAIL(ERR_MEMORY, "no memory for a message") : OK;
    if (s == OK && buffer.size > MAP_BYTES_MOST)
        s = FAIL(ERR_PROTOCOL, "'%s': %zu bytes, at most %d are accepted", key, buffer.size, MAP_BYTES_MOST);
    if (s == OK) s = bytes_copy(buffer.data, buffer.size, out);
    msgpack_sbuffer_destroy(&buffer);
    return s;
}

static status get_metrics(const msgpack_object *map, const char *key, metrics *out)
{
    bytes packed = {0};
    status s = get_map(map, key, &packed);
    if (s == OK) s = map_unpack_metrics(packed.data, packed.count, out);
    bytes_free(&packed);
    return s;
}

static status get_results(const msgpack_object *map, const char *key, bool may_be_none, trainer_message *m)
{
    const msgpack_object *o = map_get(map, key);
    if (!o || o->type != MSGPACK_OBJECT_ARRAY) return FAIL(ERR_PROTOCOL, "'%s': a list was expected", key);
    uint32_t count = o->via.array.size;
    if (count != RESULT_COUNT && !(may_be_none && count == 0))
        return FAIL(ERR_PROTOCOL, "'%s': %d numbers were expected, found %u", key, RESULT_COUNT, count);
    for (uint32_t i = 0; i < count; i++) {
        const msgpack_object *number = &o->via.array.ptr[i];
        if (number->type == MSGPACK_OBJECT_FLOAT64 || number->type == MSGPACK_OBJECT_FLOAT32)
            m->results[i] = number->via.f64;
        else if (number->type == MSGPACK_OBJECT_POSITIVE_INTEGER) m->results[i] = (double)number->via.u64;
        else if (number->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) m->results[i] = (double)number->via.i64;
        else return FAIL(ERR_PROTOCOL, "'%s': numbers were expected", key);
    }
    m->result_count = (int)count;
    return OK;
}

static status get_field(const msgpack_object *map, const field *f, trainer_message *m)
{
    void *at = (char *)m + f->offset;
    char *name = NULL;
    switch (f->type) {
    case FIELD_TEXT: return map_need_text(map, f->key, at);
    case FIELD_MAYBE: return map_get(map, f->key) ? map_need_text(map, f->key, at) : OK;
    case FIELD_INT: return map_need_int(map, f->key, 0, INT64_MAX, at);
    case FIELD_DOUBLE: return map_need_double(map, f->key, at);
    case FIELD_MAP: return get_map(map, f->key, at);
    case FIELD_METRICS: return get_metrics(map, f->key, at);
    case FIELD_RESULTS: return get_results(map, f->key, false, m);
    case FIELD_SOME: return get_results(map, f->key, true, m);
    case FIELD_REASON:
        TRY(map_need_text(map, f->key, &name));
        m->reason = trainer_reason_find(name);
        free(name);
        return OK;
    }
    return OK;
}

/* ERR_UNSUPPORTED for a type that is not known, which the caller skips. */
static status read_map(const msgpack_object *map, trainer_message *out)
{
    char *type = NULL;
    TRY(map_need_text(map, "type", &type));
    int kind = 0;
    while (kind < TRAINER_KINDS && strcmp(kind_names[kind], type)) kind++;
    status s = OK;
    if (kind == TRAINER_KINDS) s = FAIL(ERR_UNSUPPORTED, "unknown message '%.32s' on the trainer pipe", type);
    else out->kind = (trainer_kind)kind;
    for (size_t i = 0; s == OK && i < FIELDS; i++)
        if (fields[i].kind == out->kind) s = get_field(map, &fields[i], out);
    if (s != OK && kind < TRAINER_KINDS) status_context(s, "message '%s' on the trainer pipe", type);
    free(type);
    return s;
}

struct trainer_reader {
    int descriptor;
    bool broken; /* after a bad frame nobody knows where the next one starts */
    unsigned char *buffer;
    size_t count, room;
};

status trainer_reader_create(int descriptor, trainer_reader **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return FAIL(ERR_MEMORY, "out of memory");
    (*out)->descriptor = descriptor;
    return OK;
}

void trainer_reader_destroy(trainer_reader **r)
{
    if (!*r) return;
    free((*r)->buffer);
    free(*r);
    *r = NULL;
}

/* Bring the buffer to at least `need` bytes. */
static status fill(trainer_reader *r, size_t need)
{
    if (r->room < need) {
        unsigned char *grown = realloc(r->buffer, need);
        if (!grown) return FAIL(ERR_MEMORY, "no memory for a message of %zu bytes", need);
        r->buffer = grown;
        r->room = need;
    }
    while (r->count < need) {
        ssize_t n = read(r->descriptor, r->buffer + r->count, need - r->count);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return FAIL(ERR_TIMEOUT, "no whole message on the trainer pipe yet");
        if (n < 0 && errno != ECONNRESET) return FAIL(ERR_IO, "cannot read the trainer pipe: %s", strerror(errno));
        if (n <= 0) return FAIL(ERR_END, "the other side of the trainer pipe has closed");
        r->count += (size_t)n;
    }
    return OK;
}

static status receive_frame(trainer_reader *r, trainer_message *out)
{
    TRY(fill(r, FRAME_HEAD));
    size_t length = (size_t)r->buffer[0] << 24 | (size_t)r->buffer[1] << 16 | (size_t)r->buffer[2] << 8 | r->buffer[3];
    if (length > FRAME_BYTES_MOST)
        return FAIL(ERR_PROTOCOL, "a frame of %zu bytes on the trainer pipe, at most %d are accepted", length,
                    FRAME_BYTES_MOST);
    TRY(fill(r, FRAME_HEAD + length));
    r->count = 0;
    msgpack_unpacked map;
    status s = map_open(r->buffer + FRAME_HEAD, length, &map);
    if (s == OK) s = read_map(&map.data, out);
    msgpack_unpacked_destroy(&map);
    return s;
}

status trainer_receive(trainer_reader *r, trainer_message *out)
{
    *out = (trainer_message){0};
    if (r->broken) return FAIL(ERR_PROTOCOL, "the trainer pipe was broken by an earlier message");
    status s;
    do s = receive_frame(r, out);
    while (s == ERR_UNSUPPORTED);
    if (s == ERR_PROTOCOL) r->broken = true;
    if (s != OK) trainer_message_free(out);
    return s;
}
