#include "coordinator/server/keys_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What tells one file at a path from the next. */
typedef struct stamp {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec changed, written;
} stamp;

struct keys_watch {
    char *path;
    worker_keys keys; /* by public key */
    stamp seen;       /* of the file that was read, all 0: none */
    bool changed;
    char *problem;
};

status keys_watch_create(const char *run_folder, keys_watch **out)
{
    keys_watch *w = *out = calloc(1, sizeof *w);
    if (w) w->path = keys_workers_path(run_folder);
    if (w && w->path) return OK;
    keys_watch_destroy(out);
    return FAIL(ERR_MEMORY, "out of memory");
}

void keys_watch_destroy(keys_watch **w)
{
    if (!*w) return;
    worker_keys_free(&(*w)->keys);
    free((*w)->path);
    free((*w)->problem);
    free(*w);
    *w = NULL;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const worker_key *)a)->public_key, ((const worker_key *)b)->public_key);
}

static stamp look(const char *path)
{
    struct stat about;
    if (stat(path, &about)) return (stamp){0};
    return (stamp){about.st_dev, about.st_ino, about.st_size, about.st_ctim, about.st_mtim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same(const stamp *a, const stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           same_time(a->changed, b->changed) && same_time(a->written, b->written);
}

static void refresh(keys_watch *w)
{
    stamp now = look(w->path);
    if (same(&now, &w->seen)) return;
    w->seen = now; /* taken first: what replaces the file while it is read is noticed next time */
    w->changed = true;
    worker_keys_free(&w->keys);
    free(w->problem);
    w->problem = NULL;
    if (keys_read_workers(w->path, &w->keys) != OK) w->problem = text_copy(status_message());
    if (w->keys.count > 1) qsort(w->keys.items, w->keys.count, sizeof *w->keys.items, by_key);
}

const worker_key *keys_watch_find(keys_watch *w, const char *public_key)
{
    worker_key wanted = {0};
    refresh(w);
    if (!w->keys.count || strlen(public_key) >= sizeof wanted.public_key) return NULL;
    strcpy(wanted.public_key, public_key);
    return bsearch(&wanted, w->keys.items, w->keys.count, sizeof *w->keys.items, by_key);
}

bool keys_watch_changed(keys_watch *w)
{
    refresh(w);
    bool changed = w->changed;
    w->changed = false;
    return changed;
}

const char *keys_watch_problem(const keys_watch *w)
{
    return w->problem;
}
