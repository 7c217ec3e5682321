/* spool_files.c - the files that deliveries name: checkpoints and trained weights. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/spool_inner.h"

/* Nobody goes on with a checkpoint that has waited for so long. */
static const time_t checkpoint_keep_s = 7 * 86400;
static const char *const shelves[] = {[SPOOL_CHECKPOINTS] = "checkpoints", [SPOOL_WEIGHTS] = "weights"};
static const char fetched_folder[] = "fetched";
/* A coordinator that takes weights more slowly than they are made goes without some of them. */
enum { WEIGHTS_MOST = 32 };

/* Of the file that it names; "": none. */
static const char *file_hash(const envelope *e)
{
    if (e->body_case == MENDEL__ENVELOPE__BODY_RESULT) return e->result->weights_hash;
    return e->body_case == MENDEL__ENVELOPE__BODY_YIELD ? e->yield->checkpoint_hash : "";
}

static spool_shelf file_shelf(const envelope *e)
{
    return e->body_case == MENDEL__ENVELOPE__BODY_RESULT ? SPOOL_WEIGHTS : SPOOL_CHECKPOINTS;
}

static char *shelf_path(const spool *s, spool_shelf shelf, const char *hash)
{
    text path = {0};
    text_add(&path, "%s/%s/%s.pt", s->folder, shelves[shelf], hash);
    return text_take(&path);
}

/* ---- cleaning up ---- */

/* Does a delivery name this file? */
static bool is_named(const spool *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++) {
        const char *hash = file_hash(s->items[i].e);
        if (*hash && text_starts_with(name, hash)) return true;
    }
    return false;
}

static bool is_old(const char *path)
{
    struct stat about;
    return !stat(path, &about) && time(NULL) - about.st_mtime > checkpoint_keep_s;
}

/* What no delivery names: weights were on their way into one, checkpoints may still be read by others. */
static void clean_shelf(const spool *s, spool_shelf shelf)
{
    fs_names names = {0};
    char *folder = path_join(s->folder, shelves[shelf]);
    bool there = folder && fs_is_folder(folder) && fs_list(folder, &names) == OK;
    for (size_t i = 0; there && i < names.count; i++) {
        char *path = path_join(folder, names.names[i]);
        if (path && !is_named(s, names.names[i]) && (shelf == SPOOL_WEIGHTS || is_old(path))) unlink(path);
        free(path);
    }
    fs_names_free(&names);
    free(folder);
}

void spool_clean_shelves(const spool *s)
{
    clean_shelf(s, SPOOL_CHECKPOINTS);
    clean_shelf(s, SPOOL_WEIGHTS);
    char *fetched = path_join(s->folder, fetched_folder);
    if (fetched && fs_remove(fetched) != OK) log_warning("%s", status_message());
    free(fetched);
}

void spool_remove_file(const spool *s, const delivery *of, bool handed_over)
{
    const char *hash = file_hash(of->e);
    if (!*hash || (file_shelf(of->e) == SPOOL_CHECKPOINTS && !handed_over)) return;
    for (size_t i = 0; i < s->count; i++)
        if (&s->items[i] != of && !strcmp(file_hash(s->items[i].e), hash)) return;
    char *path = shelf_path(s, file_shelf(of->e), hash);
    if (path && unlink(path) && errno != ENOENT) log_warning("cannot remove %s: %s", path, strerror(errno));
    free(path);
}

/* ---- keeping ---- */

static size_t count_weights(const spool *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        count += file_shelf(s->items[i].e) == SPOOL_WEIGHTS && *file_hash(s->items[i].e);
    return count;
}

static status look_at_file(const spool *s, spool_shelf shelf, const char *file, spool_file *out)
{
    struct stat about;
    if (stat(file, &about)) return FAIL(fs_status_of_errno(errno), "cannot read %s: %s", file, strerror(errno));
    out->bytes = about.st_size;
    if (out->bytes > WIRE_FILE_MOST)
        return FAIL(ERR_RANGE, "%s has %lld bytes, too many to be sent", file, (long long)out->bytes);
    if (shelf == SPOOL_WEIGHTS && count_weights(s) >= WEIGHTS_MOST)
        return FAIL(ERR_BUSY, "those of %d candidates wait for the coordinator to take them", WEIGHTS_MOST);
    return fs_hash_file(file, out->hash);
}

status spool_keep(spool *s, spool_shelf shelf, const char *file, spool_file *out)
{
    *out = (spool_file){0};
    TRY(look_at_file(s, shelf, file, out));
    char *folder = path_join(s->folder, shelves[shelf]);
    out->path = shelf_path(s, shelf, out->hash);
    status result = folder && out->path ? fs_make_folders(folder, 0700) : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK && rename(file, out->path))
        result = FAIL(fs_status_of_errno(errno), "cannot move %s to %s: %s", file, out->path, strerror(errno));
    if (result == OK) result = fs_sync_folder(folder); /* before a delivery names it */
    free(folder);
    if (result == OK) return OK;
    free(out->path);
    *out = (spool_file){0};
    return result;
}

char *spool_fetched_path(const spool *s, int64_t slot)
{
    text path = {0};
    text_add(&path, "%s/%s/%lld.pt", s->folder, fetched_folder, (long long)slot);
    return text_take(&path);
}

delivery *spool_find_file(spool *s, const wire_id *run, const char *hash)
{
    for (size_t i = 0; *hash && i < s->count; i++)
        if (wire_id_equal(&s->items[i].run, run) && !strcmp(file_hash(s->items[i].e), hash)) return &s->items[i];
    return NULL;
}

bool spool_file_of(const spool *s, const delivery *d, int64_t *bytes, char **path)
{
    const envelope *e = d->e;
    if (path) *path = NULL;
    if (!*file_hash(e)) return false;
    *bytes = file_shelf(e) == SPOOL_WEIGHTS ? e->result->weights_bytes : e->yield->checkpoint_bytes;
    if (path) *path = shelf_path(s, file_shelf(e), file_hash(e));
    return *bytes > 0;
}
