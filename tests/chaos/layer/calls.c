/* The calls of the C library that change files: counted below the watched folder, and failing there as disk.h says. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/chaos/layer/disk.h"
#include "tests/chaos/layer/layer.h"

enum { DESCRIPTORS = 4096, PATH_ROOM = 4096 };
typedef enum step_kind { STEP_WRITE, STEP_SYNC, STEP_NAME } step_kind;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char folder[PATH_ROOM]; /* "": nothing is watched */
    disk_fault fault;
    long at, steps, syncs;
    int64_t full_until_ms; /* 0: not yet; -1: over */
} watch;
/* Of each descriptor below the folder. */
static struct {
    disk_node *node; /* NULL: a folder, or not watched */
    char *folder;    /* its path */
} files[DESCRIPTORS];

/* ---- setting ---- */

static const char *const fault_names[DISK_FAULTS] = {"fine", "eio", "sync", "full", "none", "all", "some", "kill"};

disk_fault disk_fault_find(const char *name)
{
    int i = 0;
    while (i < DISK_FAULTS && strcmp(fault_names[i], name)) i++;
    return (disk_fault)i;
}

void disk_set(const char *folder, disk_fault fault, long at)
{
    snprintf(watch.folder, sizeof watch.folder, "%s", folder);
    watch.fault = fault;
    watch.at = at;
    watch.steps = watch.syncs = 0;
    watch.full_until_ms = 0;
}

long disk_steps(void)
{
    return watch.fault == DISK_SYNC ? watch.syncs : watch.steps;
}

static void __attribute__((constructor)) read_environment(void)
{
    const char *value = getenv("CHAOS_DISK");
    char *parts[3], *line = value ? strdup(value) : NULL;
    if (line && layer_split(line, parts, 3)) disk_set(parts[0], disk_fault_find(parts[1]), atol(parts[2]));
    free(line);
}

/* ---- steps ---- */

bool disk_watches(const char *path)
{
    size_t length = strlen(watch.folder);
    return length && !strncmp(path, watch.folder, length) && (path[length] == '/' || !path[length]);
}

static int64_t now_ms(void)
{
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tell(const char *path)
{
    char words[64];
    snprintf(words, sizeof words, "disk %s", fault_names[watch.fault]);
    layer_note(words, 0, 0, 0, path);
}

/* The disk has no space for a while. */
static int find_space(step_kind kind, const char *path)
{
    if (kind != STEP_WRITE || watch.steps < watch.at || watch.full_until_ms < 0) return 0;
    if (!watch.full_until_ms) {
        tell(path);
        watch.full_until_ms = now_ms() + DISK_FULL_MS;
    }
    if (now_ms() < watch.full_until_ms) return ENOSPC;
    watch.full_until_ms = -1;
    return 0;
}

/* One step: 0, or the errno with which it fails. Does not return from a cut. */
static int take_step(step_kind kind, const char *path)
{
    watch.steps++;
    watch.syncs += kind == STEP_SYNC;
    if (watch.fault == DISK_FULL) return find_space(kind, path);
    if (watch.fault == DISK_FINE || disk_steps() != watch.at || (watch.fault == DISK_SYNC && kind != STEP_SYNC))
        return 0;
    tell(path);
    if (watch.fault == DISK_EIO || watch.fault == DISK_SYNC) return EIO;
    if (watch.fault != DISK_KILL) disk_cut(watch.fault, watch.at);
    layer_kill();
}

void disk_power_goes(disk_fault how)
{
    pthread_mutex_lock(&lock);
    disk_cut(how, watch.steps);
    layer_kill();
}

static int fail(int cause)
{
    errno = cause;
    return -1;
}

/* ---- descriptors ---- */

static bool is_watched(int descriptor)
{
    return descriptor >= 0 && descriptor < DESCRIPTORS && (files[descriptor].node || files[descriptor].folder);
}

static void set_descriptor(int descriptor, const char *path, bool created)
{
    if (descriptor < 0 || descriptor >= DESCRIPTORS) return;
    free(files[descriptor].folder);
    files[descriptor].node = disk_node_open(path, descriptor, created);
    files[descriptor].folder = files[descriptor].node ? NULL : strdup(path);
}

/* Open with the lock held. */
static int open_watched(const char *path, int flags, mode_t mode)
{
    bool there = !syscall(SYS_faccessat, AT_FDCWD, path, F_OK), creates = flags & O_CREAT && !there;
    int cause = creates ? take_step(STEP_WRITE, path) : 0;
    if (cause) return fail(cause);
    /* What is there is read through the descriptor itself: closing another one would take the process's locks off the file. */
    if ((flags & O_ACCMODE) == O_WRONLY) flags = (flags & ~O_ACCMODE) | O_RDWR;
    bool empties = flags & O_TRUNC && there;
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, flags & ~O_TRUNC, mode);
    if (descriptor < 0) return descriptor;
    set_descriptor(descriptor, path, creates);
    if (empties && ftruncate(descriptor, 0)) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static int open_any(const char *path, int flags, mode_t mode)
{
    if (!disk_watches(path)) return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    pthread_mutex_lock(&lock);
    int descriptor = open_watched(path, flags, mode);
    pthread_mutex_unlock(&lock);
    return descriptor;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_any(path, flags, mode);
}

int mkostemp(char *template, int flags)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    enum { ENDS = 6, TRIES = 100 };
    char *end = template + strlen(template) - ENDS;
    for (int i = 0; i < TRIES; i++) {
        unsigned char bytes[ENDS];
        if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return -1;
        for (int k = 0; k < ENDS; k++) end[k] = letters[bytes[k] & 31];
        int descriptor = open_any(template, flags | O_RDWR | O_CREAT | O_EXCL, 0600);
        if (descriptor >= 0 || errno != EEXIST) return descriptor;
    }
    return fail(EEXIST);
}

int close(int descriptor)
{
    if (is_watched(descriptor)) {
        pthread_mutex_lock(&lock);
        free(files[descriptor].folder);
        files[descriptor].folder = NULL;
        files[descriptor].node = NULL;
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, descriptor);
}

/* ---- contents ---- */

/* The first write to a full disk is cut short. */
static size_t share_of(size_t count)
{
    bool first = watch.fault == DISK_FULL && watch.steps == watch.at && watch.full_until_ms > 0;
    return first && count > 1 ? count / 2 : 0;
}

static ssize_t write_watched(int descriptor, const void *bytes, size_t count, off_t at)
{
    disk_node *n = files[descriptor].node;
    int cause = take_step(STEP_WRITE, "write");
    size_t share = cause == ENOSPC ? share_of(count) : count;
    if (cause && !share) return fail(cause);
    ssize_t written = syscall(SYS_pwrite64, descriptor, bytes, share, at);
    if (written > 0) disk_change(n, bytes, (size_t)written, at);
    return written;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t at)
{
    if (!is_watched(descriptor)) return syscall(SYS_pwrite64, descriptor, bytes, count, at);
    pthread_mutex_lock(&lock);
    ssize_t written = write_watched(descriptor, bytes, count, at);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t at)
{
    return pwrite(descriptor, bytes, count, at);
}

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    if (!is_watched(descriptor)) return syscall(SYS_write, descriptor, bytes, count);
    off_t at = lseek(descriptor, 0, fcntl(descriptor, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t written = pwrite(descriptor, bytes, count, at);
    if (written > 0) lseek(descriptor, at + written, SEEK_SET);
    return written;
}

int ftruncate(int descriptor, off_t size)
{
    if (!is_watched(descriptor) || !files[descriptor].node) return (int)syscall(SYS_ftruncate, descriptor, size);
    pthread_mutex_lock(&lock);
    int cause = take_step(STEP_WRITE, "truncate"),
        code = cause ? fail(cause) : (int)syscall(SYS_ftruncate, descriptor, size);
    if (!code) disk_change(files[descriptor].node, NULL, 0, size);
    pthread_mutex_unlock(&lock);
    return code;
}

int ftruncate64(int descriptor, off64_t size)
{
    return ftruncate(descriptor, size);
}

/* The real one is not needed: nobody pulls this machine's plug. */
static int sync_any(int descriptor)
{
    if (!is_watched(descriptor)) return (int)syscall(SYS_fsync, descriptor);
    pthread_mutex_lock(&lock);
    disk_node *n = files[descriptor].node;
    int cause = take_step(STEP_SYNC, n ? "sync of a file" : "sync of a folder");
    if (!cause && n) disk_sync_node(n);
    else if (!cause) disk_sync_folder(files[descriptor].folder);
    else if (n) disk_lose_node(n);
    pthread_mutex_unlock(&lock);
    return cause ? fail(cause) : 0;
}

int fsync(int descriptor)
{
    return sync_any(descriptor);
}

int fdatasync(int descriptor)
{
    return sync_any(descriptor);
}

/* ---- names ---- */

int rename(const char *from, const char *to)
{
    if (!disk_watches(to)) return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    pthread_mutex_lock(&lock);
    int cause = take_step(STEP_NAME, "rename"), code = -1;
    if (!cause) {
        disk_node_named(from); /* both, as they were before */
        disk_node_named(to);
        code = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
        if (!code) disk_rename(from, to);
    }
    pthread_mutex_unlock(&lock);
    return cause ? fail(cause) : code;
}

int unlink(const char *path)
{
    if (!disk_watches(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&lock);
    int cause = take_step(STEP_NAME, "unlink"), code = -1;
    if (!cause) {
        disk_node_named(path);
        code = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
        if (!code) disk_remove(path);
    }
    pthread_mutex_unlock(&lock);
    return cause ? fail(cause) : code;
}
