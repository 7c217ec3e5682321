#include "worker/check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/text.h"

struct check {
    char *data_yaml, *data_root, *hash, *hint, *fetched, *own;
    bool inside;
    int event;
    atomic_bool done;
    atomic_int owners; /* the loop and the thread: the last one frees */
    status result;
    char *words; /* of a result that is not OK */
    check_findings found;
};

char *check_cache_path(const char *name)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    text path = {0};
    if (cache && cache[0] == '/') text_add(&path, "%s", cache);
    else if (home && *home) text_add(&path, "%s/.cache", home);
    else return NULL;
    text_add(&path, "/mendel/weights/%s", name);
    return text_take(&path);
}

static char *kept_path(const char *hash)
{
    char name[FS_HASH_ROOM + 8];
    snprintf(name, sizeof name, "%.*s.pt", FS_HASH_ROOM - 1, hash);
    return check_cache_path(name);
}

void check_findings_free(check_findings *f)
{
    free(f->file);
    *f = (check_findings){0};
}

static void give_up(check *c)
{
    if (atomic_fetch_sub(&c->owners, 1) != 1) return;
    if (c->event >= 0) close(c->event);
    check_findings_free(&c->found);
    free(c->data_yaml);
    free(c->data_root);
    free(c->hash);
    free(c->hint);
    free(c->fetched);
    free(c->own);
    free(c->words);
    free(c);
}

/* ---- the data set ---- */

static bool lies_below(const char *path, const char *root)
{
    size_t length = strlen(root);
    if (!strcmp(root, "/")) return true;
    return !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static status check_path(const char *path, const char *root)
{
    char *whole = path_real(path);
    if (!whole) return FAIL(fs_status_of_errno(errno), "cannot read %s: %s", path, strerror(errno));
    bool inside = lies_below(whole, root);
    free(whole);
    return inside ? OK
                  : FAIL(ERR_REFUSED, "the run's data set names %s, which is not below the data root %s (--data-root)",
                         path, root);
}

/* A list is taken by its word: pictures that it names elsewhere are elsewhere. (Links in a folder are its owner's own doing.) */
static status check_list(const data_yaml *d, data_split split, char *list, const char *root)
{
    data_yaml alone = {.path = d->path};
    fs_names images;
    alone.sources[split] = (fs_names){&list, 1, 1};
    TRY(data_yaml_images(&alone, split, &images));
    status s = OK;
    for (size_t i = 0; s == OK && i < images.count; i++) s = check_path(images.names[i], root);
    fs_names_free(&images);
    return s == OK ? OK : status_context(s, "%s", list);
}

static status stay_inside(const data_yaml *d, const char *root)
{
    char *whole_root = path_real(*root ? root : ".");
    if (!whole_root) return FAIL(ERR_NOT_FOUND, "the data root %s is not there", root);
    status s = OK;
    for (int split = 0; split < DATA_SPLITS; split++)
        for (size_t i = 0; s == OK && i < d->sources[split].count; i++) {
            char *source = d->sources[split].names[i];
            s = check_path(source, whole_root);
            if (s == OK && !fs_is_folder(source)) s = check_list(d, (data_split)split, source, whole_root);
        }
    free(whole_root);
    return s;
}

static status digest_data(check *c)
{
    data_yaml d;
    TRY(data_yaml_parse("the run's data yaml", c->data_yaml, c->data_root, &d));
    status s = c->inside ? stay_inside(&d, c->data_root) : OK;
    for (int split = 0; s == OK && split < DATA_SPLITS; split++) {
        c->found.has[split] = d.sources[split].count > 0;
        if (!c->found.has[split]) continue;
        s = data_yaml_digest(&d, (data_split)split, &c->found.digests[split]);
        if (s == ERR_NOT_FOUND && split == DATA_TEST) { /* it is not needed */
            c->found.has[split] = false;
            s = OK;
        }
    }
    data_yaml_free(&d);
    return s;
}

/* ---- the file ---- */

/* Takes `path`: into *found if the file there has the hash. */
static void try_file(const char *hash, char *path, char **found)
{
    char here[FS_HASH_ROOM];
    if (!*found && path && fs_is_file(path) && fs_hash_file(path, here) == OK && !strcmp(here, hash)) *found = path;
    else free(path);
}

/* What has been fetched becomes a file of the cache, or the asker's own, if it is what was asked for. */
static void keep_fetched(const check *c)
{
    char here[FS_HASH_ROOM], *kept = *c->own ? text_copy(c->own) : kept_path(c->hash);
    bool right = kept && fs_hash_file(c->fetched, here) == OK && !strcmp(here, c->hash);
    if (right && !rename(c->fetched, kept)) {
        char *folder = path_folder(kept);
        if (folder) fs_sync_folder(folder);
        free(folder);
    } else unlink(c->fetched);
    free(kept);
}

/* A file elsewhere is somebody's who may remove it at any time: the asker gets a name of its own for it, or a copy. */
static void take_hint(const check *c)
{
    char *folder = path_folder(c->own);
    bool may = folder && fs_is_file(c->hint) && fs_make_folders(folder, 0700) == OK;
    if (may) unlink(c->own);
    if (may && link(c->hint, c->own)) fs_copy(c->hint, c->own);
    free(folder);
}

static void find_file(check *c)
{
    if (*c->hint && *c->own) take_hint(c);
    if (*c->fetched) keep_fetched(c);
    if (*c->own) try_file(c->hash, text_copy(c->own), &c->found.file);
    if (*c->hint) try_file(c->hash, text_copy(c->hint), &c->found.file);
    try_file(c->hash, kept_path(c->hash), &c->found.file);
}

/* ---- the thread ---- */

static void *run(void *state)
{
    check *c = state;
    if (*c->data_yaml) c->result = digest_data(c);
    if (c->result != OK) c->words = text_copy(status_message());
    else if (*c->hash) find_file(c);
    c->done = true;
    uint64_t one = 1;
    while (write(c->event, &one, sizeof one) < 0 && errno == EINTR) continue;
    give_up(c);
    return NULL;
}

static status start_thread(check *c)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals belong to the loop, whose poll they are to wake */
    int error = pthread_create(&thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return FAIL(ERR_MEMORY, "cannot start a thread: %s", strerror(error));
    pthread_detach(thread);
    return OK;
}

status check_start(const check_request *request, check **out)
{
    *out = NULL;
    check *c = calloc(1, sizeof *c);
    if (!c) return FAIL(ERR_MEMORY, "out of memory");
    c->data_yaml = text_copy(request->data_yaml ? request->data_yaml : "");
    c->data_root = text_copy(request->data_root ? request->data_root : "");
    c->hash = text_copy(request->hash ? request->hash : "");
    c->hint = text_copy(request->hint ? request->hint : "");
    c->fetched = text_copy(request->fetched ? request->fetched : "");
    c->own = text_copy(request->own ? request->own : "");
    c->inside = request->inside;
    c->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->owners = 2;
    status s = OK;
    if (!c->data_yaml || !c->data_root || !c->hash || !c->hint || !c->fetched || !c->own)
        s = FAIL(ERR_MEMORY, "out of memory");
    else if (c->event < 0) s = FAIL(ERR_IO, "cannot make an event: %s", strerror(errno));
    if (s == OK) s = start_thread(c);
    if (s == OK) {
        *out = c;
        return OK;
    }
    c->owners = 1;
    give_up(c);
    return s;
}

int check_descriptor(const check *c)
{
    return c->event;
}

status check_take(check *c, check_findings *out)
{
    *out = (check_findings){0};
    if (!c->done) return ERR_TIMEOUT;
    if (c->result != OK) return FAIL(c->result, "%s", c->words ? c->words : "out of memory");
    *out = c->found;
    c->found = (check_findings){0};
    return OK;
}

void check_destroy(check **c)
{
    if (*c) give_up(*c);
    *c = NULL;
}
