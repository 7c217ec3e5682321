/* pt.c - opening torch files.
 *
 * Zip archive, every entry stored as it is:       Older format:
 *     NAME/data.pkl     the pickle                    pickle of the magic number 0x1950a86a20f9469cfc6c
 *     NAME/byteorder    "little"; may be missing      pickle of the version, 1001
 *     NAME/data/KEY     numbers of a storage          pickle of a dictionary about the system: little_endian
 *                                                     the pickle
 *                                                     pickle of a list of KEYs, and for each in turn
 *                                                         8 bytes: how many elements; the elements
 *
 * In the pickle a tensor names its storage by a persistent id: ("storage", class, KEY, location, how many elements); in the
 * older format the class of a module likewise: ("module", class, source file, source). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/text.h"
#include "worker/model/pt_inner.h"

enum { LEGACY_VERSION = 1001 };
/* What the older format starts with: a pickled integer. */
static const unsigned char legacy_magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

const int pt_type_bytes[PT_TYPES] = {
    [PT_FLOAT] = 4, [PT_HALF] = 2,  [PT_BFLOAT16] = 2, [PT_DOUBLE] = 8, [PT_LONG] = 8,
    [PT_INT] = 4,   [PT_SHORT] = 2, [PT_CHAR] = 1,     [PT_BYTE] = 1,   [PT_BOOL] = 1,
};

/* The classes that stand for the types in a file. */
static const char *const storage_classes[PT_TYPES] = {
    [PT_FLOAT] = "torch.FloatStorage",   [PT_HALF] = "torch.HalfStorage", [PT_BFLOAT16] = "torch.BFloat16Storage",
    [PT_DOUBLE] = "torch.DoubleStorage", [PT_LONG] = "torch.LongStorage", [PT_INT] = "torch.IntStorage",
    [PT_SHORT] = "torch.ShortStorage",   [PT_CHAR] = "torch.CharStorage", [PT_BYTE] = "torch.ByteStorage",
    [PT_BOOL] = "torch.BoolStorage",
};

/* ---- storages ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const pt_storage *)a)->key, ((const pt_storage *)b)->key);
}

pt_storage *pt_find_storage(const pt_file *f, const char *key)
{
    const pt_storage wanted = {.key = key};
    if (!f->storage_count) return NULL;
    return bsearch(&wanted, f->storages, f->storage_count, sizeof *f->storages, by_key);
}

/* ("storage", class, key, location, number of elements, and in the older format a view or None) */
static status read_storage(const pt_file *f, const pickle_value *v, pt_storage *out)
{
    const pickle_value *id = v->items[0];
    const char *kind = pickle_string(pickle_at(id, 0)), *key = pickle_string(pickle_at(id, 2));
    const pickle_value *class = pickle_at(id, 1);
    if (!kind || strcmp(kind, "storage") || !class || class->kind != PICKLE_GLOBAL || !key ||
        !pickle_int(pickle_at(id, 4), &out->count) || out->count < 0)
        return FAIL(ERR_FORMAT, "%s: something outside the pickle that is no storage", f->path);
    out->key = key;
    for (out->type = 0; out->type < PT_TYPES; out->type++)
        if (!strcmp(class->bytes, storage_classes[out->type])) break;
    if (out->type == PT_TYPES)
        return FAIL(ERR_UNSUPPORTED, "%s: numbers of type %s are not supported", f->path, class->bytes);
    if (out->count > f->bytes / pt_type_bytes[out->type])
        return FAIL(ERR_FORMAT, "%s: storage %s should have %lld elements, more than the file can hold", f->path, key,
                    (long long)out->count);
    out->place = -1;
    return OK;
}

/* ("module", class, file, source) in the older format: pickle.c has put the class where it belongs. */
static bool is_class(const pickle_value *v)
{
    const char *kind = pickle_string(pickle_at(v->items[0], 0));
    return kind && !strcmp(kind, "module");
}

static status list_storages(pt_file *f)
{
    for (size_t i = 0; i < pickle_count(f->p); i++) {
        const pickle_value *v = pickle_nth(f->p, i);
        if (v->kind != PICKLE_PERSISTENT || is_class(v)) continue;
        TRY(array_room(&f->storages, &f->storage_room, f->storage_count + 1));
        TRY(read_storage(f, v, &f->storages[f->storage_count]));
        f->storage_count++;
    }
    if (f->storage_count > 1) qsort(f->storages, f->storage_count, sizeof *f->storages, by_key);
    size_t kept = 0; /* several tensors share one */
    for (size_t i = 0; i < f->storage_count; i++) {
        const pt_storage *s = &f->storages[i], *last = kept ? &f->storages[kept - 1] : NULL;
        if (!last || strcmp(last->key, s->key)) f->storages[kept++] = *s;
        else if (last->type != s->type || last->count != s->count)
            return FAIL(ERR_FORMAT, "%s: storage %s is described in two ways", f->path, s->key);
    }
    f->storage_count = kept;
    return OK;
}

/* ---- the zip format ---- */

static status entry_of(const pt_file *f, const char *folder, const char *name, int64_t *index, int64_t *bytes)
{
    text path = {0};
    text_add(&path, "%s%s", folder, name);
    TRY(text_status(&path));
    struct zip_stat about;
    *index = zip_name_locate(f->archive, text_string(&path), 0);
    bool there = *index >= 0 && zip_stat_index(f->archive, (zip_uint64_t)*index, 0, &about) == 0;
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD;
    status s = OK;
    if (!there || (about.valid & needed) != needed)
        s = FAIL(ERR_NOT_FOUND, "%s: the archive has no %s", f->path, text_string(&path));
    else if (about.comp_method != ZIP_CM_STORE) /* and so no entry is larger than the file */
        s = FAIL(ERR_UNSUPPORTED, "%s: %s is compressed, which torch never does", f->path, text_string(&path));
    else if (about.size > (zip_uint64_t)f->bytes)
        s = FAIL(ERR_FORMAT, "%s: %s is larger than the file", f->path, text_string(&path));
    else *bytes = (int64_t)about.size;
    text_free(&path);
    return s;
}

/* `bytes` of an entry from byte `from` on. A whole one is read to its end, where libzip compares the checksum. */
static status read_entry(const pt_file *f, int64_t index, int64_t from, void *into, int64_t bytes, bool whole)
{
    zip_file_t *entry = zip_fopen_index(f->archive, (zip_uint64_t)index, 0);
    if (!entry) return FAIL(ERR_FORMAT, "%s: %s", f->path, zip_strerror(f->archive));
    bool good = !from || zip_fseek(entry, from, SEEK_SET) == 0;
    for (char *at = into; good && bytes;) {
        zip_int64_t got = zip_fread(entry, at, (zip_uint64_t)bytes);
        good = got > 0;
        if (good) at += got, bytes -= got;
    }
    char end;
    good = good && (!whole || zip_fread(entry, &end, 1) == 0);
    zip_fclose(entry);
    return good ? OK : FAIL(ERR_FORMAT, "%s: an entry of the archive is damaged or cut short", f->path);
}

/* The folder that all entries lie in: what stands before data.pkl. */
static status find_folder(const pt_file *f, char **out)
{
    for (zip_int64_t i = 0; i < zip_get_num_entries(f->archive, 0); i++) {
        const char *name = zip_get_name(f->archive, (zip_uint64_t)i, 0);
        if (!name || strcmp(path_name(name), "data.pkl")) continue;
        *out = text_copy_bytes(name, (size_t)(path_name(name) - name));
        return *out ? OK : FAIL(ERR_MEMORY, "out of memory");
    }
    return FAIL(ERR_FORMAT, "%s is a zip archive, but no torch file: it has no data.pkl", f->path);
}

static status check_byte_order(const pt_file *f, const char *folder)
{
    int64_t index, bytes;
    char order[8] = "";
    if (entry_of(f, folder, "byteorder", &index, &bytes) != OK) return OK; /* older files have none */
    if (bytes < (int64_t)sizeof order) TRY(read_entry(f, index, 0, order, bytes, true));
    return strcmp(order, "little") ? FAIL(ERR_UNSUPPORTED, "%s: its byte order is not little-endian", f->path) : OK;
}

static status read_zip_pickle(pt_file *f, const char *folder)
{
    int64_t index, bytes;
    char *memory;
    TRY(entry_of(f, folder, "data.pkl", &index, &bytes));
    if (bytes > PICKLE_BYTES_MOST)
        return FAIL(ERR_RANGE, "%s: a pickle of %lld bytes is not accepted", f->path, (long long)bytes);
    TRY(array_new(&memory, (size_t)bytes));
    status s = read_entry(f, index, 0, memory, bytes, true);
    if (s == OK) s = pickle_read(f->path, memory, (size_t)bytes, &f->p, NULL);
    free(memory);
    return s;
}

static status find_zip_storages(pt_file *f, const char *folder)
{
    text name = {0};
    status s = OK;
    for (size_t i = 0; s == OK && i < f->storage_count; i++) {
        pt_storage *st = &f->storages[i];
        int64_t bytes = 0;
        text_clear(&name);
        text_add(&name, "data/%s", st->key);
        s = text_status(&name);
        if (s == OK) s = entry_of(f, folder, text_string(&name), &st->place, &bytes);
        if (s == OK && bytes != st->count * pt_type_bytes[st->type])
            s = FAIL(ERR_FORMAT, "%s: storage %s has %lld bytes, %lld were expected", f->path, st->key,
                     (long long)bytes, (long long)(st->count * pt_type_bytes[st->type]));
    }
    text_free(&name);
    return s;
}

static status open_zip(pt_file *f)
{
    int code;
    f->archive = zip_open(f->path, ZIP_RDONLY, &code);
    if (!f->archive && (code == ZIP_ER_NOZIP || code == ZIP_ER_INCONS))
        return FAIL(ERR_FORMAT, "%s is no complete torch file: it is cut short, or its archive's directory is damaged",
                    f->path);
    if (!f->archive) return FAIL(ERR_IO, "cannot open %s as an archive (libzip error %d)", f->path, code);
    char *folder = NULL;
    status s = find_folder(f, &folder);
    if (s == OK) s = check_byte_order(f, folder);
    if (s == OK) s = read_zip_pickle(f, folder);
    if (s == OK) s = list_storages(f);
    if (s == OK) s = find_zip_storages(f, folder);
    free(folder);
    return s;
}

/* ---- the older format ---- */

/* The storages lie behind the pickles in the order of the keys: a count of 8 bytes each, then the numbers. */
static status find_legacy_storages(pt_file *f, const pickle_value *keys, int64_t at)
{
    if (keys->kind != PICKLE_LIST) return FAIL(ERR_FORMAT, "%s: a list of storages was expected", f->path);
    for (size_t i = 0; i < keys->count; i++) {
        const char *key = pickle_string(keys->items[i]);
        pt_storage *st = key ? pt_find_storage(f, key) : NULL;
        if (!st) return FAIL(ERR_FORMAT, "%s: storage %s belongs to nothing", f->path, key ? key : "(no text)");
        unsigned char bytes[8];
        uint64_t count = 0;
        if (pread(f->descriptor, bytes, sizeof bytes, at) != sizeof bytes)
            return FAIL(ERR_FORMAT, "%s ends before storage %s", f->path, key);
        for (int k = 8; k-- > 0;) count = count << 8 | bytes[k];
        int64_t size = st->count * pt_type_bytes[st->type];
        if (count != (uint64_t)st->count || size > f->bytes - at - 8)
            return FAIL(ERR_FORMAT, "%s: storage %s is damaged or cut short", f->path, key);
        st->place = at + 8;
        at = st->place + size;
    }
    for (size_t i = 0; i < f->storage_count; i++)
        if (f->storages[i].place < 0) return FAIL(ERR_FORMAT, "%s: storage %s is missing", f->path, f->storages[i].key);
    return OK;
}

static bool is_magic(const pickle_value *v)
{
    return v->kind == PICKLE_LONG && v->length == sizeof legacy_magic && !memcmp(v->bytes, legacy_magic, v->length);
}

/* Magic number, version, system (its byte order), what was saved, keys of the storages. */
static status read_legacy_pickles(pt_file *f, const char *bytes, size_t count)
{
    enum { MAGIC, VERSION, SYSTEM, SAVED, KEYS, PICKLES };
    pickle *parts[PICKLES] = {NULL};
    size_t at = 0, used = 0;
    status s = OK;
    for (int i = 0; s == OK && i < PICKLES; i++, at += used) {
        s = pickle_read(f->path, bytes + at, count - at, &parts[i], &used);
        if (s == OK && i == MAGIC && !is_magic(pickle_root(parts[i])))
            s = FAIL(ERR_FORMAT, "%s is no torch file", f->path);
    }
    int64_t version = 0, little = 1;
    if (s == OK && (!pickle_int(pickle_root(parts[VERSION]), &version) || version != LEGACY_VERSION))
        s = FAIL(ERR_UNSUPPORTED, "%s: version %lld of the older format, %d was expected", f->path, (long long)version,
                 LEGACY_VERSION);
    if (s == OK && pickle_int(pickle_get(pickle_root(parts[SYSTEM]), "little_endian"), &little) && !little)
        s = FAIL(ERR_UNSUPPORTED, "%s: its byte order is not little-endian", f->path);
    if (s == OK) {
        f->p = parts[SAVED];
        parts[SAVED] = NULL;
        s = list_storages(f);
    }
    if (s == OK) s = find_legacy_storages(f, pickle_root(parts[KEYS]), (int64_t)at);
    for (int i = 0; i < PICKLES; i++) pickle_destroy(&parts[i]);
    return s;
}

/* The pickles stand in front, so a part of the file as long as they may be is enough. */
static status open_legacy(pt_file *f)
{
    int64_t bytes = f->bytes < PICKLE_BYTES_MOST ? f->bytes : PICKLE_BYTES_MOST, have = 0;
    char *memory;
    TRY(array_new(&memory, (size_t)bytes));
    ssize_t got = 1;
    while (have < bytes && got > 0) {
        got = pread(f->descriptor, memory + have, (size_t)(bytes - have), have);
        if (got > 0) have += got;
    }
    status s = have == bytes ? read_legacy_pickles(f, memory, (size_t)have)
                             : FAIL(ERR_IO, "cannot read %s: %s", f->path, strerror(errno));
    free(memory);
    return s;
}

/* ---- opening ---- */

static status open_file(pt_file *f)
{
    struct stat about;
    unsigned char start[2] = {0};
    f->descriptor = open(f->path, O_RDONLY | O_CLOEXEC);
    if (f->descriptor < 0 || fstat(f->descriptor, &about))
        return FAIL(fs_status_of_errno(errno), "cannot open %s: %s", f->path, strerror(errno));
    if (!S_ISREG(about.st_mode)) return FAIL(ERR_ARGUMENT, "%s is no file", f->path);
    f->bytes = about.st_size;
    ssize_t got = pread(f->descriptor, start, sizeof start, 0);
    if (got == sizeof start && start[0] == 'P' && start[1] == 'K') return open_zip(f);
    if (got == sizeof start && start[0] == 0x80) return open_legacy(f);
    return FAIL(ERR_FORMAT, "%s is no torch file: it starts neither as an archive nor as a pickle", f->path);
}

status pt_open(const char *path, pt_file **out)
{
    *out = NULL;
    pt_file *f;
    TRY(array_new(&f, 1));
    f->descriptor = -1;
    f->path = text_copy(path);
    status s = f->path ? open_file(f) : FAIL(ERR_MEMORY, "out of memory");
    if (s != OK) pt_close(&f);
    *out = f;
    return s;
}

void pt_close(pt_file **f)
{
    if (!*f) return;
    if ((*f)->archive) zip_discard((*f)->archive);
    if ((*f)->descriptor >= 0) close((*f)->descriptor);
    pickle_destroy(&(*f)->p);
    free((*f)->storages);
    free((*f)->path);
    free(*f);
    *f = NULL;
}

const pickle_value *pt_root(const pt_file *f)
{
    return pickle_root(f->p);
}

status pt_read_bytes(const pt_file *f, const pt_storage *st, int64_t from, void *into, int64_t bytes)
{
    if (!bytes) return OK;
    if (f->archive) return read_entry(f, st->place, from, into, bytes, bytes == st->count * pt_type_bytes[st->type]);
    for (int64_t have = 0; have < bytes;) {
        ssize_t got = pread(f->descriptor, (char *)into + have, (size_t)(bytes - have), st->place + from + have);
        if (got < 0) return FAIL(ERR_IO, "cannot read %s: %s", f->path, strerror(errno));
        if (got == 0) return FAIL(ERR_FORMAT, "%s has become shorter while it was read", f->path);
        have += got;
    }
    return OK;
}
