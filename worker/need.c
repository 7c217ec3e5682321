#include "worker/need.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/text.h"

static void close_part(need *n, bool remove_it)
{
    if (!n->part) return;
    if (n->descriptor >= 0) close(n->descriptor);
    n->descriptor = -1;
    if (remove_it) unlink(n->part);
}

static void give_up(need *n)
{
    n->state = NEED_FAILED;
    free(n->words);
    n->words = text_copy(status_message());
    close_part(n, true);
    check_destroy(&n->check);
}

static status look(need *n, const char *hint, const char *fetched)
{
    check_request request = {.hash = n->hash, .hint = hint, .fetched = fetched, .own = n->own};
    n->state = NEED_CHECKING;
    return check_start(&request, &n->check);
}

static char *part_path(const need *n, const char *worker_id)
{
    text name = {0};
    if (n->own) text_add(&name, "%s.part", n->own);
    else text_add(&name, "%s.%s.part", n->hash, worker_id);
    char *path = text_status(&name) != OK ? NULL : n->own ? text_copy(name.bytes) : check_cache_path(name.bytes);
    text_free(&name);
    return path;
}

status need_start(need *n, const char *hash, const char *hint, const char *own, const char *worker_id, int64_t now_ms)
{
    wire_id as_digits;
    need_clear(n);
    if (!*hash) return OK;
    TRY(wire_id_parse(hash, &as_digits)); /* it becomes part of a path: 32 hex digits and nothing else */
    n->hash = text_copy(hash);
    n->own = own ? text_copy(own) : NULL;
    n->part = n->hash && (n->own || !own) ? part_path(n, worker_id) : NULL;
    n->descriptor = -1;
    n->ask_ms = n->heard_ms = now_ms;
    if (!n->part) return FAIL(ERR_MEMORY, "out of memory, or HOME is not set");
    return look(n, hint, NULL);
}

bool need_met(const need *n)
{
    return n->state == NEED_NOTHING || n->state == NEED_HERE;
}

int need_descriptor(const need *n)
{
    return n->check ? check_descriptor(n->check) : -1;
}

static status start_fetching(need *n, int64_t now_ms)
{
    char *folder = path_folder(n->part);
    status s = folder ? fs_make_folders(folder, 0700) : FAIL(ERR_MEMORY, "out of memory");
    free(folder);
    TRY(s);
    n->descriptor = open(n->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (n->descriptor < 0) return FAIL(fs_status_of_errno(errno), "cannot write %s: %s", n->part, strerror(errno));
    n->state = NEED_FETCHING;
    n->offset = 0;
    n->ask_ms = n->heard_ms = now_ms;
    return OK;
}

void need_follow(need *n, int64_t now_ms)
{
    check_findings found;
    if (!n->check) return;
    status s = check_take(n->check, &found);
    if (s == ERR_TIMEOUT) return;
    check_destroy(&n->check);
    bool was_fetched = n->offset > 0;
    if (s == OK && found.file) {
        n->path = found.file;
        found.file = NULL;
        n->state = NEED_HERE;
    } else if (s == OK && was_fetched)
        s = FAIL(ERR_FORMAT, "the file that the coordinator sent is not the one that it named (%s)", n->hash);
    else if (s == OK) s = start_fetching(n, now_ms);
    check_findings_free(&found);
    if (s != OK) give_up(n);
}

bool need_wants(const need *n, int64_t now_ms)
{
    return n->state == NEED_FETCHING && now_ms >= n->ask_ms;
}

static status take(need *n, const Mendel__Blob *piece)
{
    TRY(fs_write_all(n->descriptor, piece->data.data, piece->data.len, n->part));
    n->offset += (int64_t)piece->data.len;
    if (n->offset < piece->bytes) return OK;
    if (fsync(n->descriptor)) return FAIL(fs_status_of_errno(errno), "cannot write %s: %s", n->part, strerror(errno));
    close_part(n, false);
    return look(n, NULL, n->part);
}

bool need_take(need *n, const Mendel__Blob *piece, int64_t now_ms)
{
    if (n->state != NEED_FETCHING || strcmp(piece->hash, n->hash)) return false;
    if (piece->offset != n->offset) return true; /* one that has come before */
    n->heard_ms = n->ask_ms = now_ms;
    status s = OK;
    if (!piece->bytes || (!piece->data.len && n->offset < piece->bytes))
        s = FAIL(ERR_NOT_FOUND, "the coordinator does not have the file %s", n->hash);
    else if (piece->bytes > WIRE_FILE_MOST)
        s = FAIL(ERR_RANGE, "the coordinator has a file of %lld bytes, larger than any that is accepted",
                 (long long)piece->bytes);
    else if ((int64_t)piece->data.len > piece->bytes - n->offset)
        s = FAIL(ERR_PROTOCOL, "the coordinator sent more of %s than there is", n->hash);
    else s = take(n, piece);
    if (s != OK) give_up(n);
    return true;
}

void need_clear(need *n)
{
    close_part(n, n->state == NEED_FETCHING);
    check_destroy(&n->check);
    if (n->own) unlink(n->own);
    free(n->hash);
    free(n->path);
    free(n->words);
    free(n->own);
    free(n->part);
    *n = (need){.descriptor = -1};
}
