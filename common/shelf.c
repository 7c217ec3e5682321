#include "common/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"

enum { PLACES = 2, UNUSED_MOST_S = 600 };
static const char *const usual_roots[PLACES] = {"/dev/shm", "/tmp"};
static const char ending[] = ".piece", lock_name[] = "lock";
/* Somebody may clear the shelf at this very moment: a hold tries again for so long. */
static const int64_t hold_patience_ms = 1000;

typedef struct place {
    char *folder, *lock_path;
    int lock; /* -1: not held */
} place;

struct shelf {
    place places[PLACES]; /* the first with room is taken */
    int count;
};

/* ---- a place ---- */

static status check_folder(const char *folder)
{
    struct stat about;
    if (lstat(folder, &about)) return FAIL(fs_status_of_errno(errno), "cannot look at %s: %s", folder, strerror(errno));
    if (S_ISDIR(about.st_mode) && about.st_uid == geteuid() && !(about.st_mode & 077)) return OK;
    return FAIL(ERR_REFUSED, "%s was expected to be a folder of the user's own that is closed to others", folder);
}

/* Lock the place, and see that what was locked still lies there. ERR_NOT_FOUND: it was just cleared. */
static status lock_place(place *p)
{
    struct stat locked, there;
    if (mkdir(p->folder, 0700) && errno != EEXIST)
        return FAIL(fs_status_of_errno(errno), "cannot make %s: %s", p->folder, strerror(errno));
    TRY(check_folder(p->folder));
    p->lock = open(p->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (p->lock < 0) return FAIL(fs_status_of_errno(errno), "cannot open %s: %s", p->lock_path, strerror(errno));
    if (flock(p->lock, LOCK_SH) == 0 && !fstat(p->lock, &locked) && !stat(p->lock_path, &there) &&
        locked.st_ino == there.st_ino)
        return OK;
    close(p->lock);
    p->lock = -1;
    return FAIL(ERR_NOT_FOUND, "%s comes and goes", p->lock_path);
}

static status hold_place(const char *root, place *p)
{
    text folder = {0};
    text_add(&folder, "%s/mendel-%ld-shelf", root, (long)geteuid());
    p->folder = text_take(&folder);
    p->lock_path = p->folder ? path_join(p->folder, lock_name) : NULL;
    if (!p->lock_path) return FAIL(ERR_MEMORY, "out of memory");
    int64_t patience_ends = clock_ms() + hold_patience_ms;
    for (;;) {
        status s = lock_place(p);
        if (s != ERR_NOT_FOUND || clock_ms() >= patience_ends) return s;
        clock_sleep_ms(1);
    }
}

static void leave_place(place *p)
{
    if (p->lock >= 0) {
        if (flock(p->lock, LOCK_EX | LOCK_NB) == 0) fs_remove(p->folder); /* what stays is no harm */
        close(p->lock);
    }
    free(p->folder);
    free(p->lock_path);
}

/* ---- the shelf ---- */

status shelf_hold(const char *root, shelf **out)
{
    *out = NULL;
    shelf *s;
    TRY(array_new(&s, 1));
    status result = OK;
    for (int i = 0; i < (root ? 1 : PLACES); i++) {
        place *p = &s->places[s->count++];
        p->lock = -1;
        result = hold_place(root ? root : usual_roots[i], p);
        if (result == OK || root) continue;
        leave_place(p); /* the other place will do */
        s->count--;
    }
    if (s->count && (!root || result == OK)) *out = s;
    else shelf_let_go(&s);
    return *out ? OK : result;
}

void shelf_let_go(shelf **out)
{
    shelf *s = *out;
    if (!s) return;
    for (int i = 0; i < s->count; i++) leave_place(&s->places[i]);
    free(s);
    *out = NULL;
}

/* ---- pieces ---- */

static char *path_of(const place *p, const char *name)
{
    text path = {0};
    text_add(&path, "%s/%s%s", p->folder, name, ending);
    return text_take(&path);
}

static status map_piece(int descriptor, size_t bytes, const char *path, shelf_piece *out)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) return FAIL(fs_status_of_errno(errno), "cannot map %s: %s", path, strerror(errno));
    *out = (shelf_piece){.memory = memory, .bytes = bytes, .descriptor = descriptor};
    return OK;
}

static status find_in(const place *p, const char *name, size_t bytes, shelf_piece *out)
{
    struct stat about;
    char *path = path_of(p, name);
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    status s = descriptor < 0 ? FAIL(fs_status_of_errno(errno), "open %s: %s", path, strerror(errno)) : OK;
    if (s == OK && (flock(descriptor, LOCK_SH) || fstat(descriptor, &about)))
        s = FAIL(ERR_IO, "lock %s: %s", path, strerror(errno));
    if (s == OK && (about.st_uid != geteuid() || !S_ISREG(about.st_mode) || (uint64_t)about.st_size != bytes))
        s = FAIL(ERR_NOT_FOUND, "%s has not the size that was expected", path);
    if (s == OK) {
        futimens(descriptor, NULL); /* it is in use */
        s = map_piece(descriptor, bytes, path, out);
    }
    if (s != OK && descriptor >= 0) close(descriptor);
    free(path);
    return s;
}

status shelf_find(shelf *s, const char *name, size_t bytes, shelf_piece *out)
{
    *out = (shelf_piece){0};
    status result = ERR_NOT_FOUND;
    for (int i = 0; result != OK && i < s->count; i++) result = find_in(&s->places[i], name, bytes, out);
    return result;
}

/* Is this file a piece that nobody has, or lately had, in hands? */
static bool is_idle(const char *path)
{
    struct stat about;
    if (strcmp(path_extension(path), ending)) return false;
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) return false;
    bool idle = flock(descriptor, LOCK_EX | LOCK_NB) == 0 && !fstat(descriptor, &about) &&
                time(NULL) - about.st_mtime > UNUSED_MOST_S;
    close(descriptor);
    return idle;
}

static void remove_idle(const place *p)
{
    fs_names names;
    if (fs_list(p->folder, &names) != OK) return;
    for (size_t i = 0; i < names.count; i++) {
        char *path = path_join(p->folder, names.names[i]);
        if (path && is_idle(path)) unlink(path);
        free(path);
    }
    fs_names_free(&names);
}

/* Give the new file its name, unless another process has made one meanwhile: then find that. */
static status publish(const place *p, const char *part, const char *name, int descriptor, size_t bytes,
                      shelf_piece *out)
{
    char *path = path_of(p, name);
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    status s;
    if (link(part, path) == 0) s = map_piece(descriptor, bytes, path, out);
    else if (errno == EEXIST && find_in(p, name, bytes, out) == OK) {
        close(descriptor);
        s = OK;
    } else if (errno == EEXIST && rename(part, path) == 0)
        s = map_piece(descriptor, bytes, path, out); /* a broken one */
    else s = FAIL(fs_status_of_errno(errno), "cannot make %s: %s", path, strerror(errno));
    free(path);
    return s;
}

static status make_in(const place *p, const char *name, size_t bytes, shelf_piece *out)
{
    char *part = path_join(p->folder, "XXXXXX.part");
    if (!part) return FAIL(ERR_MEMORY, "out of memory");
    remove_idle(p);
    int descriptor = mkostemps(part, (int)strlen(".part"), O_CLOEXEC);
    if (descriptor < 0) {
        status s = FAIL(fs_status_of_errno(errno), "cannot make %s: %s", part, strerror(errno));
        free(part);
        return s;
    }
    int error = posix_fallocate(descriptor, 0, (off_t)bytes); /* writing to memory that is not there would be deadly */
    status s =
        error ? FAIL(fs_status_of_errno(error), "cannot take %zu bytes in %s: %s", bytes, p->folder, strerror(error))
              : OK;
    if (s == OK && flock(descriptor, LOCK_SH)) s = FAIL(ERR_IO, "lock %s: %s", part, strerror(errno));
    if (s == OK) s = publish(p, part, name, descriptor, bytes, out);
    if (s != OK) close(descriptor);
    unlink(part);
    free(part);
    return s;
}

status shelf_make(shelf *s, const char *name, size_t bytes, shelf_piece *out)
{
    *out = (shelf_piece){0};
    status result = FAIL(ERR_NO_SPACE, "the shelf has no place");
    for (int i = 0; result != OK && i < s->count; i++) result = make_in(&s->places[i], name, bytes, out);
    return result;
}

void shelf_give_back(shelf_piece *p)
{
    if (p->memory) {
        munmap(p->memory, p->bytes);
        close(p->descriptor);
    }
    *p = (shelf_piece){0};
}
