#include "coordinator/server/blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/text.h"

static const char weights_folder[] = "weights", checkpoints_folder[] = "checkpoints", parts_folder[] = "parts";
static const char link_name[] = "best.pt";

struct blob {
    char *part, *path;
    char hash[FS_HASH_ROOM];
    int64_t bytes, offset;
    int descriptor; /* of the part; -1: closed */
    bool started;   /* the thread */
    pthread_t thread;
    atomic_bool done; /* what follows is settled */
    status result;
    char *words; /* of a result that is not OK */
};

static char *below(const char *folder, const char *name)
{
    return path_join(folder, name);
}

/* ---- arriving ---- */

static status io_failed(const char *what, const char *path)
{
    int error = errno;
    return FAIL(fs_status_of_errno(error), "cannot %s %s: %s", what, path, strerror(error));
}

static char *part_path(const blob_request *r)
{
    text path = {0};
    text_add(&path, "%s/%s/%lld-%lld-%s.part", r->folder, parts_folder, (long long)r->of.candidate,
             (long long)r->of.attempt, r->hash);
    return text_take(&path);
}

static status find_room(const blob_request *r, int64_t missing)
{
    struct statvfs disk;
    if (statvfs(r->folder, &disk)) return io_failed("look at the disk of", r->folder);
    double left = (double)disk.f_bavail * (double)disk.f_frsize;
    if (left >= (double)missing + (double)BLOB_ROOM_LEFT) return OK;
    return FAIL(ERR_NO_SPACE, "%s has room for %.0f MB; a file of %lld bytes would leave less than %lld MB", r->folder,
                left / (1 << 20), (long long)r->bytes, (long long)(BLOB_ROOM_LEFT >> 20));
}

/* Goes on behind what is there of it. One that is too long is not of this file. */
static status open_part(const blob_request *r, blob *b)
{
    struct stat about;
    char *folder = path_folder(b->part);
    status s = folder ? fs_make_folders(folder, 0700) : FAIL(ERR_MEMORY, "out of memory");
    free(folder);
    TRY(s);
    b->descriptor = open(b->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (b->descriptor < 0 || fstat(b->descriptor, &about)) return io_failed("write", b->part);
    if (about.st_size > r->bytes && ftruncate(b->descriptor, 0)) return io_failed("write", b->part);
    b->offset = about.st_size > r->bytes ? 0 : about.st_size;
    return find_room(r, r->bytes - b->offset);
}

/* Synced, compared, renamed, and its folder synced. */
static status put_in_place(const blob *b)
{
    char found[FS_HASH_ROOM], *folder = path_folder(b->path);
    status s = folder ? fs_make_folders(folder, 0777) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && fsync(b->descriptor)) s = io_failed("write", b->part);
    if (s == OK) s = fs_hash_file(b->part, found);
    if (s == OK && strcmp(found, b->hash)) s = FAIL(ERR_FORMAT, "what came is not the file %s", b->hash);
    FAULT("coordinator puts a file in its place");
    if (s == OK && rename(b->part, b->path)) s = io_failed("write", b->path);
    if (s == OK) s = fs_sync_folder(folder);
    FAULT("coordinator has put a file in its place");
    free(folder);
    return s;
}

static void *run_finish(void *state)
{
    blob *b = state;
    b->result = put_in_place(b);
    if (b->result != OK) {
        b->words = text_copy(status_message());
        unlink(b->part);
    }
    b->done = true;
    return NULL;
}

static status start_finish(blob *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals belong to the server */
    int error = pthread_create(&b->thread, NULL, run_finish, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return FAIL(ERR_MEMORY, "cannot start a thread: %s", strerror(error));
    b->started = true;
    return OK;
}

status blob_start(const blob_request *r, blob **out)
{
    blob *b = *out = calloc(1, sizeof *b);
    if (!b) return FAIL(ERR_MEMORY, "out of memory");
    b->descriptor = -1;
    b->bytes = r->bytes;
    snprintf(b->hash, sizeof b->hash, "%s", r->hash);
    b->part = part_path(r);
    b->path = text_copy(r->path);
    status s = b->part && b->path ? open_part(r, b) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && b->offset == b->bytes) s = start_finish(b);
    if (s != OK) blob_destroy(out, true);
    return s;
}

int64_t blob_offset(const blob *b)
{
    return b->offset;
}

status blob_take(blob *b, const void *data, size_t count)
{
    if ((int64_t)count > b->bytes - b->offset) return FAIL(ERR_PROTOCOL, "more came of %s than there is", b->hash);
    for (size_t done = 0; done < count;) {
        ssize_t n = pwrite(b->descriptor, (const char *)data + done, count - done, b->offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_failed("write", b->part);
        done += (size_t)n;
        b->offset += n;
    }
    return b->offset == b->bytes ? start_finish(b) : OK;
}

status blob_finished(blob *b)
{
    if (!b->started || !b->done) return ERR_TIMEOUT;
    if (b->result != OK) return FAIL(b->result, "%s", b->words ? b->words : "out of memory");
    return OK;
}

void blob_destroy(blob **blob_at, bool forget)
{
    blob *b = *blob_at;
    if (!b) return;
    if (b->started) pthread_join(b->thread, NULL);
    else if (forget && b->part) unlink(b->part);
    if (b->descriptor >= 0) close(b->descriptor);
    free(b->part);
    free(b->path);
    free(b->words);
    free(b);
    *blob_at = NULL;
}

/* ---- weights ---- */

char *blobs_weights_path(const char *folder, int64_t candidate)
{
    text path = {0};
    text_add(&path, "%s/%s/candidate_%lld.pt", folder, weights_folder, (long long)candidate);
    return text_take(&path);
}

static char *link_path(const char *folder)
{
    text path = {0};
    text_add(&path, "%s/%s/%s", folder, weights_folder, link_name);
    return text_take(&path);
}

int64_t blobs_best(const char *folder)
{
    char *link = link_path(folder), target[64];
    long long candidate = 0;
    int end = 0;
    ssize_t n = link ? readlink(link, target, sizeof target - 1) : -1;
    target[n > 0 ? n : 0] = '\0';
    if (sscanf(target, "candidate_%lld.pt%n", &candidate, &end) != 1 || end != n) candidate = 0;
    char *path = candidate > 0 ? blobs_weights_path(folder, candidate) : NULL;
    if (!path || !fs_is_file(path)) candidate = 0;
    free(path);
    free(link);
    return candidate;
}

static status replace_link(const char *link, const char *part, const char *target)
{
    char *folder = path_folder(link);
    status s = folder ? OK : FAIL(ERR_MEMORY, "out of memory");
    unlink(part);
    if (s == OK && symlink(target, part)) s = io_failed("make the link", part);
    if (s == OK && rename(part, link)) s = io_failed("make the link", link);
    if (s == OK) s = fs_sync_folder(folder);
    else unlink(part);
    free(folder);
    return s;
}

status blobs_set_best(const char *folder, int64_t candidate)
{
    text part = {0};
    char *link = link_path(folder), *target = blobs_weights_path(folder, candidate);
    text_add(&part, "%s.part", link ? link : "");
    status s = link && target ? text_status(&part) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = replace_link(link, part.bytes, path_name(target));
    text_free(&part);
    free(link);
    free(target);
    return s;
}

/* ---- checkpoints ---- */

char *blobs_checkpoint_path(const char *folder, int64_t candidate, const char *hash)
{
    text path = {0};
    text_add(&path, "%s/%s/%lld-%s.pt", folder, checkpoints_folder, (long long)candidate, hash);
    return text_take(&path);
}

/* Names in a folder below the run's; none when it is not there. */
static char *list_below(const char *folder, const char *name, fs_names *names)
{
    char *whole = below(folder, name);
    *names = (fs_names){0};
    if (whole && fs_is_folder(whole) && fs_list(whole, names) == OK) return whole;
    free(whole);
    return NULL;
}

void blobs_sweep_checkpoints(const char *folder, bool (*needed)(void *state, int64_t candidate, const char *hash),
                             void *state)
{
    fs_names names;
    char *whole = list_below(folder, checkpoints_folder, &names);
    for (size_t i = 0; whole && i < names.count; i++) {
        long long candidate;
        char hash[FS_HASH_ROOM];
        int end = 0;
        bool ours = sscanf(names.names[i], "%lld-%32[0-9a-f].pt%n", &candidate, hash, &end) == 2 &&
                    end == (int)strlen(names.names[i]);
        char *path = ours && !needed(state, candidate, hash) ? below(whole, names.names[i]) : NULL;
        if (path && unlink(path)) log_warning("cannot remove %s: %s", path, strerror(errno));
        free(path);
    }
    fs_names_free(&names);
    free(whole);
}

int64_t blobs_checkpoint_bytes(const char *folder)
{
    fs_names names;
    int64_t bytes = 0;
    char *whole = list_below(folder, checkpoints_folder, &names);
    for (size_t i = 0; whole && i < names.count; i++) {
        struct stat about;
        char *path = below(whole, names.names[i]);
        if (path && !stat(path, &about)) bytes += about.st_size;
        free(path);
    }
    fs_names_free(&names);
    free(whole);
    return bytes;
}

void blobs_drop_parts(const char *folder)
{
    char *parts = below(folder, parts_folder);
    if (parts && fs_remove(parts) != OK) log_warning("%s", status_message());
    free(parts);
}
