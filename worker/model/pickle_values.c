/* pickle_values.c - the values of a pickle: making, freeing and asking. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "worker/model/pickle_inner.h"

enum { TEXT_BYTES_MOST = 2 * PICKLE_BYTES_MOST, MEMBERS_MOST = 16 << 20 };

/* ---- making ---- */

status pickle_new(pickle *p, pickle_kind kind, pickle_value **out)
{
    *out = NULL;
    if (p->value_count == PICKLE_VALUES_MOST)
        return FAIL(ERR_RANGE, "a pickle of more than %d values is not accepted", PICKLE_VALUES_MOST);
    size_t place = p->value_count % PICKLE_CHUNK;
    if (place == 0) {
        TRY(array_room(&p->chunks, &p->chunk_room, p->chunk_count + 1));
        TRY(array_new(&p->chunks[p->chunk_count], PICKLE_CHUNK));
        p->chunk_count++;
    }
    *out = &p->chunks[p->chunk_count - 1][place];
    (*out)->kind = kind;
    p->value_count++;
    return OK;
}

status pickle_keep_bytes(pickle *p, const void *bytes, size_t count, const char **out)
{
    if (count > TEXT_BYTES_MOST - p->text_bytes)
        return FAIL(ERR_RANGE, "a pickle with more than %d bytes of text is not accepted", TEXT_BYTES_MOST);
    p->text_bytes += count;
    TRY(array_room(&p->texts, &p->text_room, p->text_count + 1));
    char *copy = text_copy_bytes(bytes, count);
    if (!copy) return FAIL(ERR_MEMORY, "no memory for a text of %zu bytes", count);
    p->texts[p->text_count++] = copy;
    *out = copy;
    return OK;
}

status pickle_add(pickle *p, pickle_value *v, const pickle_value *key, const pickle_value *item)
{
    bool has_keys = key != NULL, good = v->kind == PICKLE_OBJECT;
    if (has_keys) good = good || v->kind == PICKLE_DICT;
    else good = good || v->kind == PICKLE_LIST || v->kind == PICKLE_SET || v->kind == PICKLE_TUPLE;
    if (!good || (v->count && has_keys != (v->keys != NULL)))
        return FAIL(ERR_FORMAT, "members are added to something that has none of this kind");
    if (p->members == MEMBERS_MOST)
        return FAIL(ERR_RANGE, "a pickle with more than %d members is not accepted", MEMBERS_MOST);
    p->members++;
    TRY(array_room(&v->items, &v->item_room, v->count + 1));
    if (has_keys) {
        TRY(array_room(&v->keys, &v->key_room, v->count + 1));
        v->keys[v->count] = key;
    }
    v->items[v->count++] = item;
    return OK;
}

void pickle_destroy(pickle **p)
{
    if (!*p) return;
    for (size_t i = 0; i < (*p)->value_count; i++) {
        const pickle_value *v = pickle_nth(*p, i);
        free(v->items);
        free(v->keys);
    }
    for (size_t i = 0; i < (*p)->chunk_count; i++) free((*p)->chunks[i]);
    for (size_t i = 0; i < (*p)->text_count; i++) free((*p)->texts[i]);
    free((*p)->chunks);
    free((*p)->texts);
    free(*p);
    *p = NULL;
}

/* ---- calls that stand for plain values ---- */

static bool is_sequence(const pickle_value *v)
{
    return v && (v->kind == PICKLE_LIST || v->kind == PICKLE_TUPLE || v->kind == PICKLE_SET);
}

/* OrderedDict() and OrderedDict([[key, value], ...]); *out stays NULL for other arguments. */
static status call_dict(pickle *p, const pickle_value *arguments, pickle_value **out)
{
    const pickle_value *pairs = arguments->count == 1 ? arguments->items[0] : NULL;
    if (arguments->count && (arguments->count > 1 || !is_sequence(pairs))) return OK;
    for (size_t i = 0; pairs && i < pairs->count; i++)
        if (!is_sequence(pairs->items[i]) || pairs->items[i]->count != 2) return OK;
    TRY(pickle_new(p, PICKLE_DICT, out));
    for (size_t i = 0; pairs && i < pairs->count; i++)
        TRY(pickle_add(p, *out, pairs->items[i]->items[0], pairs->items[i]->items[1]));
    return OK;
}

static status call_set(pickle *p, const pickle_value *arguments, pickle_value **out)
{
    if (arguments->count != 1 || !is_sequence(arguments->items[0])) return OK;
    TRY(pickle_new(p, PICKLE_SET, out));
    for (size_t i = 0; i < arguments->items[0]->count; i++)
        TRY(pickle_add(p, *out, NULL, arguments->items[0]->items[i]));
    return OK;
}

/* _codecs.encode(text, "latin1"): how protocol 2 writes bytes. Characters up to 255 come as one or two bytes of UTF-8. */
static status call_encode(pickle *p, const pickle_value *arguments, pickle_value **out)
{
    const pickle_value *from = arguments->count == 2 ? arguments->items[0] : NULL;
    if (!from || from->kind != PICKLE_STRING) return OK;
    char *bytes;
    size_t count = 0;
    TRY(array_new(&bytes, from->length));
    bool good = true;
    for (size_t i = 0; i < from->length && good; i++) {
        unsigned char c = (unsigned char)from->bytes[i];
        good = c < 0x80 || ((c == 0xc2 || c == 0xc3) && i + 1 < from->length);
        bytes[count++] = (char)(c < 0x80 || !good ? c : (c & 3) << 6 | ((unsigned char)from->bytes[++i] & 0x3f));
    }
    status s = good ? pickle_new(p, PICKLE_BYTES, out) : OK;
    if (*out) {
        s = pickle_keep_bytes(p, bytes, count, &(*out)->bytes);
        (*out)->length = count;
    }
    free(bytes);
    return s;
}

/* copyreg._reconstructor(class, base, state): an object as protocols 0 and 1 write it. */
static status call_reconstructor(pickle *p, const pickle_value *arguments, pickle_value **out)
{
    if (arguments->count != 3 || arguments->items[0]->kind != PICKLE_GLOBAL) return OK;
    TRY(pickle_new(p, PICKLE_OBJECT, out));
    (*out)->bytes = arguments->items[0]->bytes;
    (*out)->length = arguments->items[0]->length;
    (*out)->arguments = arguments;
    return OK;
}

static const struct {
    const char *name;
    status (*call)(pickle *p, const pickle_value *arguments, pickle_value **out);
} plain_calls[] = {
    {"collections.OrderedDict", call_dict},
    {"__builtin__.set", call_set},
    {"builtins.set", call_set},
    {"__builtin__.frozenset", call_set},
    {"builtins.frozenset", call_set},
    {"_codecs.encode", call_encode},
    {"copy_reg._reconstructor", call_reconstructor},
    {"copyreg._reconstructor", call_reconstructor},
};

/* torch's older format names the classes of modules outside of the pickle, so that their source goes along: ("module", class, file,
 * source) stands for the class. */
static const pickle_value *class_outside(const pickle_value *callable)
{
    const pickle_value *id = callable->kind == PICKLE_PERSISTENT ? callable->items[0] : NULL;
    const char *kind = pickle_string(pickle_at(id, 0));
    const pickle_value *class = kind && !strcmp(kind, "module") ? pickle_at(id, 1) : NULL;
    return class && class->kind == PICKLE_GLOBAL ? class : callable;
}

status pickle_call(pickle *p, const pickle_value *callable, const pickle_value *arguments, pickle_value **out)
{
    *out = NULL;
    callable = class_outside(callable);
    for (size_t i = 0; callable->kind == PICKLE_GLOBAL && i < sizeof plain_calls / sizeof *plain_calls; i++)
        if (!strcmp(callable->bytes, plain_calls[i].name)) TRY(plain_calls[i].call(p, arguments, out));
    if (*out) return OK;
    TRY(pickle_new(p, PICKLE_OBJECT, out));
    bool named = callable->kind == PICKLE_GLOBAL;
    (*out)->bytes = named ? callable->bytes : "";
    (*out)->length = named ? callable->length : 0;
    (*out)->arguments = arguments;
    return OK;
}

/* ---- asking ---- */

const pickle_value *pickle_root(const pickle *p)
{
    return p->root;
}

size_t pickle_count(const pickle *p)
{
    return p->value_count;
}

const pickle_value *pickle_nth(const pickle *p, size_t index)
{
    return &p->chunks[index / PICKLE_CHUNK][index % PICKLE_CHUNK];
}

static const pickle_value *member(const pickle_value *v, const char *key, size_t length)
{
    for (size_t i = v && v->keys ? v->count : 0; i-- > 0;)
        if (v->keys[i]->kind == PICKLE_STRING && v->keys[i]->length == length &&
            !memcmp(v->keys[i]->bytes, key, length))
            return v->items[i];
    return NULL;
}

static const pickle_value *get_part(const pickle_value *v, const char *key, size_t length)
{
    const pickle_value *found = member(v, key, length);
    if (found || !v || v->kind != PICKLE_OBJECT || !v->state) return found;
    /* An object's state is its dictionary, or that and its slots. */
    if (v->state->kind == PICKLE_DICT) return member(v->state, key, length);
    for (size_t i = 0; v->state->kind == PICKLE_TUPLE && !found && i < v->state->count; i++)
        found = member(v->state->items[i], key, length);
    return found;
}

const pickle_value *pickle_get(const pickle_value *v, const char *key)
{
    return get_part(v, key, strlen(key));
}

const pickle_value *pickle_at(const pickle_value *v, int64_t index)
{
    if (!v) return NULL;
    int64_t key;
    for (size_t i = v->keys ? v->count : 0; i-- > 0;)
        if (v->keys[i]->kind == PICKLE_INT && pickle_int(v->keys[i], &key) && key == index) return v->items[i];
    bool ordered = v->kind == PICKLE_LIST || v->kind == PICKLE_TUPLE || (v->kind == PICKLE_OBJECT && !v->keys);
    return ordered && index >= 0 && (uint64_t)index < v->count ? v->items[index] : NULL;
}

const pickle_value *pickle_find(const pickle_value *v, const char *path)
{
    for (const char *part = path; v && *part;) {
        size_t length = strcspn(part, "/");
        const pickle_value *next = get_part(v, part, length);
        char *end;
        long long index = strtoll(part, &end, 10);
        if (!next && length && end == part + length) next = pickle_at(v, index);
        v = next;
        part += length + (part[length] == '/');
    }
    return v;
}

bool pickle_is(const pickle_value *v, const char *name)
{
    return v && (v->kind == PICKLE_OBJECT || v->kind == PICKLE_GLOBAL) && !strcmp(v->bytes, name);
}

bool pickle_int(const pickle_value *v, int64_t *out)
{
    if (!v || (v->kind != PICKLE_INT && v->kind != PICKLE_BOOL)) return false;
    *out = v->kind == PICKLE_INT ? v->integer : v->boolean;
    return true;
}

bool pickle_double(const pickle_value *v, double *out)
{
    int64_t integer;
    if (v && v->kind == PICKLE_FLOAT) *out = v->number;
    else if (pickle_int(v, &integer)) *out = (double)integer;
    else return false;
    return true;
}

const char *pickle_string(const pickle_value *v)
{
    return v && v->kind == PICKLE_STRING && strlen(v->bytes) == v->length ? v->bytes : NULL;
}
