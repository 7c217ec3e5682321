/* What a disk would hold of each file and name: what lasts, and what has changed since. Used under calls.c's lock. */
#include "tests/chaos/layer/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/rng.h"
#include "common/text.h"

enum { SECTOR = 512 };

typedef struct change {
    char *bytes; /* NULL: a truncation to `at` */
    size_t count;
    off_t at;
} change;

typedef struct contents {
    char *bytes;
    size_t size, room;
} contents;

struct disk_node {
    dev_t device;
    ino_t inode;
    mode_t mode;
    contents lasting;
    change *changes;
    size_t count, room;
    bool touched; /* ever changed: what it is to hold is not what it may hold now */
};

typedef struct name {
    char *path;
    disk_node *now, *lasting; /* NULL: no such name */
} name;

static struct {
    disk_node **nodes;
    size_t node_count, node_room;
    name *names;
    size_t name_count, name_room;
} disk;

/* What a test cannot go on without. */
static void need_at(bool fine, int line)
{
    if (fine) return;
    fprintf(stderr, "chaos: disk.c:%d: %s\n", line, strerror(errno));
    abort();
}
#define need(fine) need_at((fine), __LINE__)

/* ---- contents ---- */

static void apply(contents *c, const change *by, size_t from, size_t count)
{
    size_t end = by->bytes ? (size_t)by->at + from + count : (size_t)by->at;
    need(array_room(&c->bytes, &c->room, end + 1) == OK);
    if (end > c->size) memset(c->bytes + c->size, 0, end - c->size);
    if (end > c->size || !by->bytes) c->size = end;
    if (by->bytes) memcpy(c->bytes + by->at + from, by->bytes + from, count);
}

static void drop_changes(disk_node *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->changes[i].bytes);
    n->count = 0;
}

static void read_contents(disk_node *n, int descriptor)
{
    struct stat about;
    need(!fstat(descriptor, &about));
    need(array_room(&n->lasting.bytes, &n->lasting.room, (size_t)about.st_size + 1) == OK);
    ssize_t got = pread(descriptor, n->lasting.bytes, (size_t)about.st_size, 0);
    n->lasting.size = got > 0 ? (size_t)got : 0;
}

/* ---- names ---- */

static name *find_name(const char *path)
{
    for (size_t i = 0; i < disk.name_count; i++)
        if (!strcmp(disk.names[i].path, path)) return &disk.names[i];
    return NULL;
}

static name *need_name(const char *path)
{
    name *found = find_name(path);
    if (found) return found;
    need(array_room(&disk.names, &disk.name_room, disk.name_count + 1) == OK);
    found = &disk.names[disk.name_count++];
    *found = (name){.path = text_copy(path)};
    need(found->path != NULL);
    return found;
}

static disk_node *find_node(const struct stat *about)
{
    for (size_t i = disk.node_count; i-- > 0;)
        if (disk.nodes[i]->device == about->st_dev && disk.nodes[i]->inode == about->st_ino) return disk.nodes[i];
    return NULL;
}

/* A number may be that of an older file, which is gone. */
static disk_node *make_node(const struct stat *about)
{
    disk_node *n = calloc(1, sizeof *n);
    need(n && array_room(&disk.nodes, &disk.node_room, disk.node_count + 1) == OK);
    n->device = about->st_dev;
    n->inode = about->st_ino;
    n->mode = about->st_mode;
    return disk.nodes[disk.node_count++] = n;
}

disk_node *disk_node_open(const char *path, int descriptor, bool created)
{
    struct stat about;
    if (fstat(descriptor, &about) || !S_ISREG(about.st_mode)) return NULL;
    name *named = need_name(path);
    disk_node *n = created ? NULL : find_node(&about);
    if (!n) {
        n = make_node(&about);
        n->touched = created;
        if (!created) read_contents(n, descriptor);
        if (!created) named->lasting = n;
    }
    return named->now = n;
}

disk_node *disk_node_named(const char *path)
{
    name *named = find_name(path);
    struct stat about;
    if (named && named->now) return named->now;
    if (lstat(path, &about) || !S_ISREG(about.st_mode)) return NULL;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return NULL;
    disk_node *n = disk_node_open(path, file, false);
    syscall(SYS_close, file);
    return n;
}

/* ---- changes ---- */

void disk_change(disk_node *n, const void *bytes, size_t count, off_t at)
{
    need(array_room(&n->changes, &n->room, n->count + 1) == OK);
    change *c = &n->changes[n->count++];
    *c = (change){.count = count, .at = at, .bytes = bytes ? text_copy_bytes(bytes, count) : NULL};
    need(c->bytes || !bytes);
    n->touched = true;
}

void disk_sync_node(disk_node *n)
{
    for (size_t i = 0; i < n->count; i++) apply(&n->lasting, &n->changes[i], 0, n->changes[i].count);
    drop_changes(n);
}

void disk_lose_node(disk_node *n)
{
    drop_changes(n);
}

/* Is the path right in this folder? */
static bool is_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && path[length] == '/' && !strchr(path + length + 1, '/');
}

void disk_sync_folder(const char *folder)
{
    for (size_t i = 0; i < disk.name_count; i++)
        if (is_in(disk.names[i].path, folder)) disk.names[i].lasting = disk.names[i].now;
}

void disk_rename(const char *from, const char *to)
{
    name *named = find_name(from);
    disk_node *moved = named ? named->now : NULL;
    if (!moved) return; /* a link, which lasts at once */
    need_name(to)->now = moved;
    need_name(from)->now = NULL;
}

void disk_remove(const char *path)
{
    name *named = find_name(path);
    if (named) named->now = NULL;
}

/* ---- when the power goes ---- */

static void write_file(const char *path, const contents *c, mode_t mode)
{
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 07777);
    if (file < 0 && errno == ENOENT) return; /* nor is its folder there any more */
    need(file >= 0);
    for (size_t at = 0; at < c->size;) {
        ssize_t n = syscall(SYS_write, file, c->bytes + at, c->size - at);
        need(n > 0);
        at += (size_t)n;
    }
    syscall(SYS_close, file);
}

/* What of its changes a disk may have written by itself. */
static void add_changes(const disk_node *n, disk_fault how, keyed_rng *draw, contents *c)
{
    for (size_t i = 0; how != DISK_NONE && i < n->count; i++) {
        const change *by = &n->changes[i];
        bool torn = how == DISK_ALL && i + 1 == n->count;
        size_t count = torn ? by->count / 2 : by->count, from = 0;
        do {
            size_t part = count - from < SECTOR ? count - from : SECTOR;
            if (how == DISK_ALL || keyed_next(draw) & 1) apply(c, by, from, part);
            from += part;
        } while (from < count);
    }
}

/* SQLite's shared memory is a file, but nothing that lasts. */
static bool is_memory(const char *path)
{
    return text_ends_with(path, "-shm");
}

void disk_cut(disk_fault how, long seed)
{
    keyed_rng draw;
    keyed_seed(&draw, (uint64_t)seed, 0, 0);
    bool renamed = how == DISK_ALL || (how == DISK_SOME && keyed_next(&draw) & 1);
    for (size_t i = 0; i < disk.name_count; i++) {
        const name *of = &disk.names[i];
        disk_node *n = renamed ? of->now : of->lasting;
        if (n && n == of->now && !n->touched && !is_memory(of->path)) continue;
        contents c = {0};
        if (n) {
            need(array_room(&c.bytes, &c.room, n->lasting.size + 1) == OK);
            memcpy(c.bytes, n->lasting.bytes ? n->lasting.bytes : "", n->lasting.size);
            c.size = n->lasting.size;
            add_changes(n, how, &draw, &c);
        }
        syscall(SYS_unlinkat, AT_FDCWD, of->path, 0);
        if (n && !is_memory(of->path)) write_file(of->path, &c, n->mode);
        free(c.bytes);
    }
}
