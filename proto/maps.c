#include "proto/maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

void bytes_free(bytes *b)
{
    free(b->data);
    *b = (bytes){0};
}

status bytes_copy(const void *data, size_t count, bytes *out)
{
    *out = (bytes){malloc(count ? count : 1), count};
    if (!out->data) {
        out->count = 0;
        return FAIL(ERR_MEMORY, "no memory for %zu bytes", count);
    }
    if (count) memcpy(out->data, data, count);
    return OK;
}

/* ---- the shape of an object, before the library sees it ----
 *
 * msgpack_unpack_next allocates what a length says before it has seen the elements, so five bytes could ask for gigabytes.
 * This walk reads the bytes once, follows no pointer and allocates nothing; what passes it cannot make the library
 * allocate more than a small multiple of the bytes that are really there. */

enum { DEPTH_MOST = 8 };

typedef struct walk {
    const unsigned char *at, *end;
} walk;

static bool walk_length(walk *w, int size, uint64_t *length)
{
    if (w->end - w->at < size) return false;
    *length = 0;
    for (int i = 0; i < size; i++) *length = *length << 8 | *w->at++;
    return true;
}

static bool walk_skip(walk *w, uint64_t count)
{
    if ((uint64_t)(w->end - w->at) < count) return false;
    w->at += count;
    return true;
}

static bool walk_object(walk *w, int depth);

static bool walk_items(walk *w, uint64_t count, int depth)
{
    if (depth >= DEPTH_MOST || count > (uint64_t)(w->end - w->at)) return false; /* an item takes a byte at least */
    for (uint64_t i = 0; i < count; i++)
        if (!walk_object(w, depth + 1)) return false;
    return true;
}

static bool walk_object(walk *w, int depth)
{
    uint64_t type, length = 0;
    if (!walk_length(w, 1, &type)) return false;
    if (type <= 0x7f || type >= 0xe0) return true;                           /* small integers */
    if (type <= 0x8f) return walk_items(w, 2 * (type & 15), depth);          /* small maps */
    if (type <= 0x9f) return walk_items(w, type & 15, depth);                /* small arrays */
    if (type <= 0xbf) return walk_skip(w, type & 31);                        /* small texts */
    if (type == 0xc0 || type == 0xc2 || type == 0xc3) return true;           /* nil, false, true */
    if (type == 0xca) return walk_skip(w, 4);                                /* float */
    if (type == 0xcb) return walk_skip(w, 8);                                /* double */
    if (type >= 0xcc && type <= 0xd3) return walk_skip(w, 1u << (type & 3)); /* integers of 1, 2, 4, 8 bytes */
    if (type >= 0xc4 && type <= 0xc6)                                        /* bytes */
        return walk_length(w, 1 << (type - 0xc4), &length) && walk_skip(w, length);
    if (type >= 0xd9 && type <= 0xdb) /* texts */
        return walk_length(w, 1 << (type - 0xd9), &length) && walk_skip(w, length);
    if (type == 0xdc || type == 0xdd) /* arrays */
        return walk_length(w, type == 0xdc ? 2 : 4, &length) && walk_items(w, length, depth);
    if (type == 0xde || type == 0xdf) /* maps */
        return walk_length(w, type == 0xde ? 2 : 4, &length) && walk_items(w, 2 * length, depth);
    return false; /* extensions: nobody sends them */
}

status map_open(const void *data, size_t count, msgpack_unpacked *out)
{
    msgpack_unpacked_init(out);
    walk w = {data, (const unsigned char *)data + count};
    if (!data || !count || !walk_object(&w, 0)) return FAIL(ERR_PROTOCOL, "a malformed map of %zu bytes", count);
    if (w.at != w.end) return FAIL(ERR_PROTOCOL, "%zu bytes after the end of a map", (size_t)(w.end - w.at));
    size_t offset = 0;
    if (msgpack_unpack_next(out, data, count, &offset) != MSGPACK_UNPACK_SUCCESS)
        return FAIL(ERR_PROTOCOL, "a malformed map of %zu bytes", count);
    if (out->data.type != MSGPACK_OBJECT_MAP) return FAIL(ERR_PROTOCOL, "a map was expected");
    if (out->data.via.map.size > MAP_KEYS_MOST)
        return FAIL(ERR_PROTOCOL, "a map of %u keys, at most %d are accepted", out->data.via.map.size, MAP_KEYS_MOST);
    return OK;
}

/* ---- piece by piece ---- */

static bool is_text(const msgpack_object *o)
{
    return o->type == MSGPACK_OBJECT_STR && (!o->via.str.size || !memchr(o->via.str.ptr, 0, o->via.str.size));
}

static bool key_is(const msgpack_object *key, const char *name, size_t length)
{
    return key->type == MSGPACK_OBJECT_STR && key->via.str.size == length && !memcmp(key->via.str.ptr, name, length);
}

const msgpack_object *map_get(const msgpack_object *map, const char *key)
{
    size_t length = strlen(key);
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++)
        if (key_is(&map->via.map.ptr[i].key, key, length)) return &map->via.map.ptr[i].val;
    return NULL;
}

static bool to_double(const msgpack_object *o, double *value)
{
    switch (o->type) {
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: *value = o->via.f64; return true;
    case MSGPACK_OBJECT_POSITIVE_INTEGER: *value = (double)o->via.u64; return true;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: *value = (double)o->via.i64; return true;
    default: return false;
    }
}

status map_need_double(const msgpack_object *map, const char *key, double *value)
{
    const msgpack_object *o = map_get(map, key);
    if (!o) return FAIL(ERR_PROTOCOL, "'%s' is missing", key);
    return to_double(o, value) ? OK : FAIL(ERR_PROTOCOL, "'%s': a number was expected", key);
}

status map_need_int(const msgpack_object *map, const char *key, int64_t low, int64_t high, int64_t *value)
{
    const msgpack_object *o = map_get(map, key);
    if (!o) return FAIL(ERR_PROTOCOL, "'%s' is missing", key);
    int64_t number;
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) number = o->via.i64;
    else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX) number = (int64_t)o->via.u64;
    else return FAIL(ERR_PROTOCOL, "'%s': a whole number was expected", key);
    if (number < low || number > high)
        return FAIL(ERR_PROTOCOL, "'%s' is %lld, expected %lld to %lld", key, (long long)number, (long long)low,
                    (long long)high);
    *value = number;
    return OK;
}

status map_need_text(const msgpack_object *map, const char *key, char **value)
{
    const msgpack_object *o = map_get(map, key);
    if (!o) return FAIL(ERR_PROTOCOL, "'%s' is missing", key);
    if (!is_text(o)) return FAIL(ERR_PROTOCOL, "'%s': a text was expected", key);
    *value = text_copy_bytes(o->via.str.ptr, o->via.str.size);
    return *value ? OK : FAIL(ERR_MEMORY, "no memory for a text of %u bytes", o->via.str.size);
}

/* Packing into memory can only run out of memory, and then leaves the buffer short: packed_take notices by walking it. */
static void put_text(msgpack_packer *p, const char *value, size_t length)
{
    msgpack_pack_str(p, length);
    msgpack_pack_str_body(p, value, length);
}

void map_put_text(msgpack_packer *p, const char *key, const char *value)
{
    put_text(p, key, strlen(key));
    put_text(p, value, strlen(value));
}

void map_put_double(msgpack_packer *p, const char *key, double value)
{
    put_text(p, key, strlen(key));
    msgpack_pack_double(p, value);
}

void map_put_int(msgpack_packer *p, const char *key, int64_t value)
{
    put_text(p, key, strlen(key));
    msgpack_pack_int64(p, value);
}

/* ---- whole maps ---- */

/* Open a map that came inside a message, which bounds it more closely. The caller destroys *out. */
static status open_bounded(const void *data, size_t count, const char *what, msgpack_unpacked *out)
{
    msgpack_unpacked_init(out);
    if (count > MAP_BYTES_MOST)
        return FAIL(ERR_PROTOCOL, "%s: a map of %zu bytes, at most %d are accepted", what, count, MAP_BYTES_MOST);
    status s = map_open(data, count, out);
    return s == OK ? OK : status_context(s, "%s", what);
}

/* The bytes of a finished map: checked whole, since packing has no errors of its own. Destroys the buffer. */
static status packed_take(msgpack_sbuffer *buffer, const char *what, bytes *out)
{
    *out = (bytes){0};
    walk w = {(unsigned char *)buffer->data, (unsigned char *)buffer->data + buffer->size};
    bool whole = buffer->data && walk_object(&w, 0) && w.at == w.end;
    status s = OK;
    if (!whole) s = FAIL(ERR_MEMORY, "no memory for the %s", what);
    else if (buffer->size > MAP_BYTES_MOST)
        s = FAIL(ERR_RANGE, "the %s take %zu bytes, at most %d fit a message", what, buffer->size, MAP_BYTES_MOST);
    else s = bytes_copy(buffer->data, buffer->size, out);
    msgpack_sbuffer_destroy(buffer);
    return s;
}

status map_pack_hyps(const hyp_space *space, const double *values, bytes *out)
{
    msgpack_sbuffer buffer;
    msgpack_packer p;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&p, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&p, space->count);
    for (size_t i = 0; i < space->count; i++) map_put_double(&p, space->rows[i].key, values[i]);
    return packed_take(&buffer, "hyperparameters", out);
}

/* A key of a map as a string for messages and look-ups; false when it is no text or too long to be one of ours. */
static bool key_string(const msgpack_object *key, char into[HYP_KEY_ROOM])
{
    if (!is_text(key) || key->via.str.size >= HYP_KEY_ROOM) return false;
    if (key->via.str.size) memcpy(into, key->via.str.ptr, key->via.str.size);
    into[key->via.str.size] = '\0';
    return true;
}

static status read_hyps(const msgpack_object *map, const hyp_space *space, double *values)
{
    bool seen[HYP_MAX] = {false};
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        char key[HYP_KEY_ROOM] = "?";
        int row = key_string(&map->via.map.ptr[i].key, key) ? hyp_find(space, key) : -1;
        if (row < 0) return FAIL(ERR_PROTOCOL, "unknown hyperparameter '%s'", key);
        if (seen[row]) return FAIL(ERR_PROTOCOL, "hyperparameter '%s' stands there twice", key);
        if (!to_double(&map->via.map.ptr[i].val, &values[row]))
            return FAIL(ERR_PROTOCOL, "hyperparameter '%s': a number was expected", key);
        seen[row] = true;
    }
    for (size_t row = 0; row < space->count; row++)
        if (!seen[row]) return FAIL(ERR_PROTOCOL, "hyperparameter '%s' is missing", space->rows[row].key);
    return hyp_check(space, values);
}

status map_unpack_hyps(const void *data, size_t count, const hyp_space *space, double *values)
{
    msgpack_unpacked map;
    status s = open_bounded(data, count, "hyperparameters", &map);
    if (s == OK) s = read_hyps(&map.data, space, values);
    msgpack_unpacked_destroy(&map);
    return s;
}

static status read_any_hyps(const msgpack_object *map, hyp_space *space, double *values)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        char key[HYP_KEY_ROOM] = "?";
        double value;
        if (!key_string(&map->via.map.ptr[i].key, key) || !hyp_key_is_plain(key))
            return FAIL(ERR_PROTOCOL, "hyperparameter '%s': a key of letters, digits, _, - and . was expected", key);
        if (!to_double(&map->via.map.ptr[i].val, &value) || !isfinite(value))
            return FAIL(ERR_PROTOCOL, "hyperparameter '%s': a finite number was expected", key);
        if (hyp_find(space, key) < 0 && !hyp_add_row(space, key))
            return FAIL(ERR_PROTOCOL, "more than %d hyperparameters", HYP_MAX);
        values[hyp_find(space, key)] = value;
    }
    return OK;
}

status map_unpack_any_hyps(const void *data, size_t count, hyp_space *space, double *values)
{
    msgpack_unpacked map;
    status s = open_bounded(data, count, "hyperparameters", &map);
    if (s == OK) s = read_any_hyps(&map.data, space, values);
    msgpack_unpacked_destroy(&map);
    return s;
}

status map_pack_options(const option_row *rows, size_t row_count, const void *values, bytes *out)
{
    msgpack_sbuffer buffer;
    msgpack_packer p;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&p, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&p, row_count);
    status s = OK;
    for (size_t i = 0; s == OK && i < row_count; i++) {
        char key[OPTION_KEY_ROOM];
        text value = {0};
        options_key(&rows[i], key);
        options_get(&rows[i], values, &value);
        s = text_status(&value);
        map_put_text(&p, key, text_string(&value));
        text_free(&value);
    }
    if (s == OK) return packed_take(&buffer, "options", out);
    msgpack_sbuffer_destroy(&buffer);
    *out = (bytes){0};
    return s;
}

static status read_options(const msgpack_object *map, const option_row *rows, size_t row_count, void *values,
                           bool (*only)(const option_row *row))
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *value = &map->via.map.ptr[i].val;
        char key[HYP_KEY_ROOM] = "?", origin[HYP_KEY_ROOM + 16];
        const option_row *row = key_string(&map->via.map.ptr[i].key, key) ? options_find(rows, row_count, key) : NULL;
        if (!row) return FAIL(ERR_PROTOCOL, "unknown option '%s'", key);
        if (!is_text(value)) return FAIL(ERR_PROTOCOL, "option '%s': a text was expected", key);
        if (only && !only(row)) continue;
        char *copy = text_copy_bytes(value->via.str.ptr, value->via.str.size);
        if (!copy) return FAIL(ERR_MEMORY, "no memory for the options");
        snprintf(origin, sizeof origin, "option %s", key);
        status s = options_set(row, values, copy, origin);
        free(copy);
        if (s != OK) return s;
    }
    return OK;
}

status map_unpack_options(const void *data, size_t count, const option_row *rows, size_t row_count, void *values,
                          bool (*only)(const option_row *row))
{
    msgpack_unpacked map;
    status s = open_bounded(data, count, "options", &map);
    if (s == OK) s = read_options(&map.data, rows, row_count, values, only);
    msgpack_unpacked_destroy(&map);
    return s;
}

/* ---- metrics ---- */

void metrics_add(metrics *m, const char *key, double value)
{
    if (m->count == METRICS_MOST) return;
    metric *item = &m->item[m->count++];
    snprintf(item->key, sizeof item->key, "%s", key);
    item->value = value;
}

double metrics_get(const metrics *m, const char *key)
{
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->item[i].key, key)) return m->item[i].value;
    return NAN;
}

status map_pack_metrics(const metrics *m, bytes *out)
{
    msgpack_sbuffer buffer;
    msgpack_packer p;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&p, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&p, m->count);
    for (size_t i = 0; i < m->count; i++) map_put_double(&p, m->item[i].key, m->item[i].value);
    return packed_take(&buffer, "metrics", out);
}

static status read_metrics(const msgpack_object *map, metrics *out)
{
    if (map->via.map.size > METRICS_MOST)
        return FAIL(ERR_PROTOCOL, "%u metrics, at most %d are accepted", map->via.map.size, METRICS_MOST);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        char key[HYP_KEY_ROOM];
        double value;
        if (!key_string(&map->via.map.ptr[i].key, key))
            return FAIL(ERR_PROTOCOL, "metrics: a name of up to %d letters was expected", HYP_KEY_ROOM - 1);
        if (!to_double(&map->via.map.ptr[i].val, &value))
            return FAIL(ERR_PROTOCOL, "metric '%s': a number was expected", key);
        metrics_add(out, key, value);
    }
    return OK;
}

status map_unpack_metrics(const void *data, size_t count, metrics *out)
{
    *out = (metrics){0};
    msgpack_unpacked map;
    status s = open_bounded(data, count, "metrics", &map);
    if (s == OK) s = read_metrics(&map.data, out);
    msgpack_unpacked_destroy(&map);
    if (s != OK) out->count = 0;
    return s;
}
