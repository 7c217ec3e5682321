/* scan.c - see scan.h. The file:
 *
 *     16  "mendel scan 2\n" and two zeros     then `count` times    entry_record, name, problem
 *     16  xxHash (128 bits) of what follows   then                  labels: 5 float32 a row
 *     24  taken_ms, count, label rows
 *
 * Numbers are the machine's own: a scan that came from another kind of machine fails its hash or its lengths. */
#include "worker/data/scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/text.h"

static const char magic[16] = "mendel scan 2\n";
enum { HASH_BYTES = 16, START = sizeof magic + HASH_BYTES, STRING_MOST = 4096 };

typedef struct scan_header {
    int64_t taken_ms;
    uint64_t count, labels;
} scan_header;

typedef struct entry_record {
    file_stamp image, labels;
    uint64_t first, count;
    int32_t width, height;
    uint32_t name_length, problem_length; /* of the strings that follow; problem_length 0: none */
} entry_record;

/* ---- stamps ---- */

static int64_t in_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

file_stamp scan_stamp(const char *path)
{
    struct stat about;
    if (stat(path, &about)) return (file_stamp){0};
    return (file_stamp){about.st_ino, about.st_size, in_ns(about.st_mtim), in_ns(about.st_ctim)};
}

static bool same_stamp(const file_stamp *a, const file_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns &&
           a->changed_ns == b->changed_ns;
}

static bool is_settled(const file_stamp *f, int64_t taken_ms)
{
    int64_t limit = (taken_ms - SCAN_TRUST_MS) * 1000000;
    return f->modified_ns < limit && f->changed_ns < limit;
}

/* ---- entries ---- */

status scan_add(scan *s, const scan_entry *entry)
{
    TRY(array_room(&s->entries, &s->room, s->count + 1));
    scan_entry copy = *entry;
    copy.name = text_copy(entry->name);
    copy.problem = entry->problem ? text_copy(entry->problem) : NULL;
    if (!copy.name || (entry->problem && !copy.problem)) {
        free(copy.name);
        free(copy.problem);
        return FAIL(ERR_MEMORY, "out of memory for a list of pictures");
    }
    s->entries[s->count++] = copy;
    return OK;
}

void scan_free(scan *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->entries[i].name);
        free(s->entries[i].problem);
    }
    free(s->entries);
    labels_free(&s->labels);
    *s = (scan){0};
}

/* Entries of a loaded scan are sorted like this. */
static int by_identity(const void *a, const void *b)
{
    const scan_entry *x = a, *y = b;
    if (x->image.inode != y->image.inode) return x->image.inode < y->image.inode ? -1 : 1;
    return strcmp(x->name, y->name);
}

const scan_entry *scan_find(const scan *s, const char *name, const file_stamp *image, const file_stamp *labels)
{
    if (!s->count) return NULL;
    scan_entry key = {.name = (char *)name, .image = *image};
    const scan_entry *found = bsearch(&key, s->entries, s->count, sizeof *s->entries, by_identity);
    if (!found || !same_stamp(&found->image, image) || !same_stamp(&found->labels, labels)) return NULL;
    return is_settled(image, s->taken_ms) && is_settled(labels, s->taken_ms) ? found : NULL;
}

/* ---- writing ---- */

static void add_entry(text *out, const scan_entry *e)
{
    entry_record record;
    memset(&record, 0, sizeof record); /* no stray bytes in the file */
    record.image = e->image;
    record.labels = e->labels;
    record.first = e->first;
    record.count = e->count;
    record.width = e->width;
    record.height = e->height;
    record.name_length = (uint32_t)strnlen(e->name, STRING_MOST);
    record.problem_length = e->problem ? (uint32_t)strnlen(e->problem, STRING_MOST) : 0;
    text_add_bytes(out, &record, sizeof record);
    text_add_bytes(out, e->name, record.name_length);
    if (e->problem) text_add_bytes(out, e->problem, record.problem_length);
}

static void hash_contents(const char *bytes, size_t count, unsigned char hash[HASH_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, count));
    memcpy(hash, canonical.digest, HASH_BYTES);
}

status scan_save(const char *path, const scan *s)
{
    text out = {0};
    scan_header header = {s->taken_ms, s->count, s->labels.count};
    unsigned char hash[HASH_BYTES] = {0};
    text_add_bytes(&out, magic, sizeof magic);
    text_add_bytes(&out, hash, sizeof hash); /* its place */
    text_add_bytes(&out, &header, sizeof header);
    for (size_t i = 0; i < s->count; i++) add_entry(&out, &s->entries[i]);
    text_add_bytes(&out, s->labels.rows, s->labels.count * sizeof *s->labels.rows);
    status result = text_status(&out);
    if (result == OK) {
        hash_contents(out.bytes + START, out.length - START, hash);
        memcpy(out.bytes + sizeof magic, hash, sizeof hash);
        result = fs_write(path, out.bytes, out.length);
    }
    text_free(&out);
    return result;
}

/* ---- reading ---- */

typedef struct reading {
    const char *at, *end;
} reading;

static bool take(reading *r, void *into, size_t count)
{
    if ((size_t)(r->end - r->at) < count) return false;
    if (count) memcpy(into, r->at, count);
    r->at += count;
    return true;
}

/* A string of known length; NULL when it is too long, cut off, or there is no memory. */
static char *take_string(reading *r, size_t length)
{
    if (length > STRING_MOST || (size_t)(r->end - r->at) < length) return NULL;
    char *string = text_copy_bytes(r->at, length);
    r->at += length;
    return string;
}

static bool take_entry(reading *r, uint64_t labels, scan *out)
{
    entry_record record;
    if (!take(r, &record, sizeof record) || record.first > labels || record.count > labels - record.first) return false;
    scan_entry *e = &out->entries[out->count++]; /* counted at once, so that scan_free meets its strings */
    *e = (scan_entry){.image = record.image,
                      .labels = record.labels,
                      .width = record.width,
                      .height = record.height,
                      .first = record.first,
                      .count = record.count};
    e->name = take_string(r, record.name_length);
    if (record.problem_length) e->problem = take_string(r, record.problem_length);
    return e->name && (e->problem || !record.problem_length);
}

static status read_contents(const char *path, reading r, scan *out)
{
    scan_header header;
    if (!take(&r, &header, sizeof header)) return FAIL(ERR_FORMAT, "%s is cut off", path);
    if (header.taken_ms < 0 || header.taken_ms > INT64_MAX / 1000000) return FAIL(ERR_FORMAT, "%s is damaged", path);
    size_t left = (size_t)(r.end - r.at);
    if (header.count > left / sizeof(entry_record) || header.labels > left / sizeof(label))
        return FAIL(ERR_FORMAT, "%s is cut off", path);
    out->taken_ms = header.taken_ms;
    TRY(array_room(&out->entries, &out->room, (size_t)header.count));
    TRY(array_room(&out->labels.rows, &out->labels.room, (size_t)header.labels));
    for (uint64_t i = 0; i < header.count; i++)
        if (!take_entry(&r, header.labels, out)) return FAIL(ERR_FORMAT, "%s is damaged", path);
    if (!take(&r, out->labels.rows, (size_t)header.labels * sizeof(label)) || r.at != r.end)
        return FAIL(ERR_FORMAT, "%s is damaged", path);
    out->labels.count = (size_t)header.labels;
    return OK;
}

status scan_load(const char *path, scan *out)
{
    *out = (scan){0};
    char *bytes;
    size_t count;
    TRY(fs_read(path, 0, &bytes, &count));
    unsigned char hash[HASH_BYTES];
    status s = OK;
    if (count < START || memcmp(bytes, magic, sizeof magic))
        s = FAIL(ERR_FORMAT, "%s is no scan of this version", path);
    if (s == OK) hash_contents(bytes + START, count - START, hash);
    if (s == OK && memcmp(bytes + sizeof magic, hash, HASH_BYTES)) s = FAIL(ERR_FORMAT, "%s is damaged", path);
    if (s == OK) s = read_contents(path, (reading){bytes + START, bytes + count}, out);
    free(bytes);
    if (s == OK && out->count) qsort(out->entries, out->count, sizeof *out->entries, by_identity);
    if (s != OK) scan_free(out);
    return s;
}
