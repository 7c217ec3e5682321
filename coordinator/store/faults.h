/* faults.h - disks that fail and power cuts, for tests of the store.
 *
 * A VFS of SQLite stands between the store and the files. Each write, truncation, sync and removal is one step; from step
 * disk.at on (0: never) disk.fault happens. Besides passing on what it gets, the VFS keeps for each file what a disk would
 * hold: the synced bytes, and the changes since then in order. A power cut leaves the synced bytes and, of the changes, none,
 * all (the last one torn) or a random half of the 512-byte sectors; it writes them into disk.cut_folder.
 *
 * For test programs alone; each includes it once, and calls faults_start before a store is opened. */
#ifndef COORDINATOR_STORE_FAULTS_H
#define COORDINATOR_STORE_FAULTS_H

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#include "common/array.h"
#include "common/rng.h"
#include "coordinator/store/bench.h"

/* ---- the disk ---- */

typedef enum fault {
    FAULT_NONE,
    FAULT_FULL,      /* no write succeeds from step `at` on: ENOSPC */
    FAULT_QUOTA,     /* the same as an EDQUOT, which SQLite takes for an I/O error */
    FAULT_FULL_SYNC, /* writes go through, syncs say ENOSPC: allocation was put off */
    FAULT_BROKEN,    /* no write and no sync succeeds from step `at` on: EIO */
    FAULT_SYNC_ONCE, /* the sync at step `at` fails, what it should have kept is dropped, and the next one reports success */
    FAULT_POWER      /* from step `at` on nothing happens any more */
} fault;

typedef enum kept { KEPT_NONE, KEPT_ALL, KEPT_SOME } kept;

typedef struct change {
    sqlite3_int64 at; /* offset; of a truncation the new size */
    int count;        /* -1: a truncation */
    char *bytes;
} change;

typedef struct file {
    char *name; /* without the folder */
    char *synced;
    size_t size, room;
    bool on_disk; /* its name is */
    change *changes;
    size_t change_count, change_room;
} file;

static struct disk {
    file *files;
    size_t count, room;
    long step;
    fault fault;
    long at;
    kept kept;
    uint64_t seed;
    bool happened;
    const char *cut_folder; /* what a power cut leaves is written there */
} disk;

#define NEEDS(expression)                                                                                              \
    do {                                                                                                               \
        if ((expression) != OK) abort();                                                                               \
    } while (0)

static file *find_file(const char *path)
{
    const char *name = path_name(path);
    for (size_t i = 0; i < disk.count; i++)
        if (!strcmp(disk.files[i].name, name)) return &disk.files[i];
    NEEDS(array_room(&disk.files, &disk.room, disk.count + 1));
    disk.files[disk.count] = (file){.name = text_copy(name)};
    return &disk.files[disk.count++];
}

static void apply(char **bytes, size_t *size, size_t *room, const change *c, size_t from, size_t count)
{
    if (c->count < 0) {
        if ((size_t)c->at < *size) *size = (size_t)c->at;
        return;
    }
    size_t end = (size_t)c->at + from + count;
    NEEDS(array_room(bytes, room, end + 1));
    if (end > *size) {
        memset(*bytes + *size, 0, end - *size);
        *size = end;
    }
    memcpy(*bytes + c->at + from, c->bytes + from, count);
}

static void drop_changes(file *f)
{
    for (size_t i = 0; i < f->change_count; i++) free(f->changes[i].bytes);
    f->change_count = 0;
}

static void sync_file(file *f)
{
    for (size_t i = 0; i < f->change_count; i++)
        apply(&f->synced, &f->size, &f->room, &f->changes[i], 0, (size_t)f->changes[i].count);
    drop_changes(f);
    f->on_disk = true;
}

static void remember(file *f, const void *bytes, int count, sqlite3_int64 at)
{
    NEEDS(array_room(&f->changes, &f->change_room, f->change_count + 1));
    change *c = &f->changes[f->change_count++];
    *c = (change){.at = at, .count = count, .bytes = count > 0 ? text_copy_bytes(bytes, (size_t)count) : NULL};
}

static void clear_disk(void)
{
    for (size_t i = 0; i < disk.count; i++) {
        drop_changes(&disk.files[i]);
        free(disk.files[i].name);
        free(disk.files[i].synced);
        free(disk.files[i].changes);
    }
    free(disk.files);
    disk = (struct disk){0};
}

/* What the disk holds after a power cut, as files in disk.cut_folder. */
static void write_remains(void)
{
    uint64_t draw = disk.seed;
    for (size_t i = 0; i < disk.count; i++) {
        file *f = &disk.files[i];
        if (!f->on_disk && (disk.kept == KEPT_NONE || !f->change_count)) continue;
        size_t size = f->size, room = f->size + 1;
        char *bytes = malloc(room);
        if (!bytes) abort();
        if (size) memcpy(bytes, f->synced, size);
        for (size_t k = 0; disk.kept != KEPT_NONE && k < f->change_count; k++) {
            const change *c = &f->changes[k];
            bool torn = disk.kept == KEPT_ALL && k + 1 == f->change_count;
            size_t count = c->count < 0 ? 0 : torn ? (size_t)c->count / 2 : (size_t)c->count, from = 0;
            do {
                size_t part = count - from < 512 ? count - from : 512;
                draw++;
                if (disk.kept == KEPT_ALL || splitmix64(draw) & 1) apply(&bytes, &size, &room, c, from, part);
                from += part;
            } while (from < count);
        }
        char *path = path_join(disk.cut_folder, f->name);
        FILE *to = fopen(path, "wb"); /* without a sync: there are thousands of cuts */
        if (!to || (size && fwrite(bytes, size, 1, to) != 1) || fclose(to)) abort();
        free(path);
        free(bytes);
    }
}

/* ---- the VFS ---- */

typedef enum step_kind { STEP_WRITE, STEP_SYNC, STEP_OTHER } step_kind;

/* One step: SQLITE_OK, or how it fails. */
static int take_step(step_kind kind, int error)
{
    long step = ++disk.step;
    if (disk.fault == FAULT_NONE || step < disk.at) return SQLITE_OK;
    bool fails = false;
    int cause = EIO;
    switch (disk.fault) {
    case FAULT_NONE: break;
    case FAULT_FULL:
    case FAULT_QUOTA:
        fails = kind == STEP_WRITE;
        cause = disk.fault == FAULT_FULL ? ENOSPC : EDQUOT;
        if (disk.fault == FAULT_FULL) error = SQLITE_FULL;
        break;
    case FAULT_FULL_SYNC:
        fails = kind == STEP_SYNC;
        cause = ENOSPC;
        break;
    case FAULT_BROKEN: fails = kind != STEP_OTHER; break;
    case FAULT_SYNC_ONCE: fails = kind == STEP_SYNC && step == disk.at; break;
    case FAULT_POWER: fails = true; break;
    }
    if (!fails) return SQLITE_OK;
    disk.happened = true;
    errno = cause;
    return error;
}

typedef struct open_file {
    sqlite3_file base;
    char *name;
    sqlite3_file *real; /* behind this struct */
} open_file;

static sqlite3_vfs *real_vfs;

#define REAL(f) (((open_file *)(f))->real)

static int faults_close(sqlite3_file *f)
{
    open_file *o = (open_file *)f;
    int code = o->real->pMethods ? o->real->pMethods->xClose(o->real) : SQLITE_OK;
    free(o->name);
    return code;
}

static int faults_read(sqlite3_file *f, void *bytes, int count, sqlite3_int64 at)
{
    return REAL(f)->pMethods->xRead(REAL(f), bytes, count, at);
}

/* The power goes while a change is under way: it is among those that may be kept. */
static void cut_at(file *f, const void *bytes, int count, sqlite3_int64 at)
{
    if (disk.fault != FAULT_POWER || disk.step != disk.at) return;
    if (f) remember(f, bytes, count, at);
    write_remains();
}

static int faults_write(sqlite3_file *f, const void *bytes, int count, sqlite3_int64 at)
{
    file *on = find_file(((open_file *)f)->name);
    int code = take_step(STEP_WRITE, SQLITE_IOERR_WRITE);
    if (code != SQLITE_OK) {
        cut_at(on, bytes, count, at);
        return code;
    }
    remember(on, bytes, count, at);
    return REAL(f)->pMethods->xWrite(REAL(f), bytes, count, at);
}

static int faults_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    file *on = find_file(((open_file *)f)->name);
    int code = take_step(STEP_OTHER, SQLITE_IOERR_TRUNCATE);
    if (code != SQLITE_OK) {
        cut_at(on, NULL, -1, size);
        return code;
    }
    remember(on, NULL, -1, size);
    return REAL(f)->pMethods->xTruncate(REAL(f), size);
}

static int faults_sync(sqlite3_file *f, int flags)
{
    (void)flags; /* the real files need no sync: nobody pulls this machine's plug */
    file *on = find_file(((open_file *)f)->name);
    int code = take_step(STEP_SYNC, SQLITE_IOERR_FSYNC);
    if (code == SQLITE_OK) sync_file(on);
    else cut_at(NULL, NULL, 0, 0);
    if (code != SQLITE_OK && disk.fault == FAULT_SYNC_ONCE) drop_changes(on);
    return code;
}

static int faults_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), size);
}

static int faults_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}

static int faults_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}

static int faults_reserved(sqlite3_file *f, int *out)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}

static int faults_control(sqlite3_file *f, int what, void *argument)
{
    if (what == SQLITE_FCNTL_SIZE_HINT || what == SQLITE_FCNTL_CHUNK_SIZE) return SQLITE_NOTFOUND;
    return REAL(f)->pMethods->xFileControl(REAL(f), what, argument);
}

static int faults_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int faults_traits(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int faults_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out);
}

static int faults_shm_lock(sqlite3_file *f, int offset, int count, int flags)
{
    return REAL(f)->pMethods->xShmLock(REAL(f), offset, count, flags);
}

static void faults_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int faults_unmap(sqlite3_file *f, int remove)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = faults_close,
    .xRead = faults_read,
    .xWrite = faults_write,
    .xTruncate = faults_truncate,
    .xSync = faults_sync,
    .xFileSize = faults_size,
    .xLock = faults_lock,
    .xUnlock = faults_unlock,
    .xCheckReservedLock = faults_reserved,
    .xFileControl = faults_control,
    .xSectorSize = faults_sector,
    .xDeviceCharacteristics = faults_traits,
    .xShmMap = faults_map,
    .xShmLock = faults_shm_lock,
    .xShmBarrier = faults_barrier,
    .xShmUnmap = faults_unmap,
};

static int faults_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
    (void)vfs;
    open_file *o = (open_file *)f;
    *o = (open_file){.real = (sqlite3_file *)(o + 1)};
    int code = real_vfs->xOpen(real_vfs, path, o->real, flags, out_flags);
    if (code != SQLITE_OK) return code;
    o->name = text_copy(path_name(path ? path : "temporary"));
    o->base.pMethods = &methods;
    return SQLITE_OK;
}

static int faults_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    (void)vfs;
    int code = take_step(STEP_OTHER, SQLITE_IOERR_DELETE);
    if (code != SQLITE_OK) {
        cut_at(NULL, NULL, 0, 0);
        return code;
    }
    file *f = find_file(path);
    drop_changes(f);
    /* Without a sync of the folder the name may come back with what was synced. */
    if (sync_folder) {
        f->on_disk = false;
        f->size = 0;
    }
    return real_vfs->xDelete(real_vfs, path, sync_folder);
}

static sqlite3_vfs faults_vfs;

/* From here on stores go through the VFS. */
static inline bool faults_start(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    if (!real_vfs) return false;
    faults_vfs = *real_vfs;
    faults_vfs.zName = "faults";
    faults_vfs.pNext = NULL;
    faults_vfs.szOsFile = (int)sizeof(open_file) + real_vfs->szOsFile;
    faults_vfs.xOpen = faults_open;
    faults_vfs.xDelete = faults_delete;
    return sqlite3_vfs_register(&faults_vfs, 1) == SQLITE_OK;
}

/* Stores are opened without it again. */
static inline void faults_stop(void)
{
    sqlite3_vfs_unregister(&faults_vfs);
    sqlite3_vfs_register(real_vfs, 1);
}

#endif
