#include "coordinator/bucket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/remote.h"
#include "common/signals.h"
#include "common/text.h"

static const int64_t round_every_ms = 1000, backoff_least_ms = 2000, backoff_most_ms = 300000;
/* Of one copy; these files have some megabytes at most. */
static const int64_t copy_timeout_ms = 300000;

/* What goes there, in this order: rows before what follows from them. */
static const char *const shared[] = {"evolve.txt", "hyp_evolved.yaml"};
enum { SHARED = sizeof shared / sizeof *shared };

typedef enum bucket_state {
    BUCKET_IDLE,
    BUCKET_GETTING,
    BUCKET_MERGING, /* its owner has what was fetched */
    BUCKET_PUTTING, /* shared[next] */
} bucket_state;

struct bucket {
    char *address, *folder;
    char *own;     /* folder/bucket */
    char *fetched; /* in it */
    bucket_state state;
    bool there;        /* `fetched` is the bucket's file */
    bool due, failing; /* failing: that has been said */
    int64_t next_ms, backoff_ms;
    size_t next;
    remote_copy *copy;
};

status bucket_create(const char *address, const char *folder, bucket **out)
{
    bucket *b;
    TRY(array_new(out, 1));
    b = *out;
    b->address = text_copy(address);
    b->folder = text_copy(folder);
    b->own = path_join(folder, "bucket");
    b->fetched = b->own ? path_join(b->own, "fetched.txt") : NULL;
    b->due = true;
    b->backoff_ms = backoff_least_ms;
    status s = b->address && b->folder && b->fetched ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_make_folders(b->own, 0777);
    if (s != OK) bucket_destroy(out);
    return s;
}

void bucket_destroy(bucket **out)
{
    bucket *b = *out;
    if (!b) return;
    remote_end(&b->copy);
    if (b->own) fs_remove(b->own);
    free(b->address);
    free(b->folder);
    free(b->own);
    free(b->fetched);
    free(b);
    *out = NULL;
}

void bucket_due(bucket *b)
{
    b->due = true;
}

const char *bucket_fetched(const bucket *b)
{
    return b->there ? b->fetched : NULL;
}

bool bucket_settled(const bucket *b)
{
    return b->state == BUCKET_IDLE && !b->due;
}

bool bucket_copies(const bucket *b)
{
    return b->copy != NULL;
}

/* ---- a round ends ---- */

/* The address is not repeated: it may have secrets in it. */
static void fail_round(bucket *b, const char *words, int64_t now_ms)
{
    if (!b->failing) log_warning("the bucket: %s; trying again", words);
    else log_debug("the bucket: %s", words);
    remote_end(&b->copy);
    b->failing = b->due = true;
    b->state = BUCKET_IDLE;
    b->next_ms = now_ms + b->backoff_ms;
    b->backoff_ms = b->backoff_ms * 2 < backoff_most_ms ? b->backoff_ms * 2 : backoff_most_ms;
}

static void end_round(bucket *b, int64_t now_ms)
{
    if (b->failing) log_info("the bucket is there again");
    b->failing = false;
    b->backoff_ms = backoff_least_ms;
    b->state = BUCKET_IDLE;
    b->next_ms = now_ms + round_every_ms;
}

/* ---- its steps ---- */

static void start_round(bucket *b, int64_t now_ms)
{
    b->due = b->there = false; /* what comes from now on is due again */
    status s = fs_remove(b->fetched);
    if (s == OK) s = remote_get(b->address, shared[0], b->fetched, copy_timeout_ms, &b->copy);
    if (s == OK) b->state = BUCKET_GETTING;
    else fail_round(b, status_message(), now_ms);
}

/* A name of its own for the file as it is now: when it is replaced, that stays. */
static status hold_still(const char *from, const char *to)
{
    TRY(fs_remove(to));
    return link(from, to) ? fs_copy(from, to) : OK;
}

static status put(bucket *b, const char *name)
{
    char *from = path_join(b->folder, name), *to = path_join(b->own, name);
    status s = from && to ? hold_still(from, to) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = remote_put(b->address, to, name, copy_timeout_ms, &b->copy);
    free(from);
    free(to);
    return s;
}

static bool exists(const bucket *b, const char *name)
{
    char *path = path_join(b->folder, name);
    bool there = path && fs_is_file(path);
    free(path);
    return there;
}

/* The next file that there is; the end of the round after the last one. */
static void put_next(bucket *b, int64_t now_ms)
{
    while (b->next < SHARED && !exists(b, shared[b->next])) b->next++;
    if (b->next == SHARED) end_round(b, now_ms);
    else if (put(b, shared[b->next]) != OK) fail_round(b, status_message(), now_ms);
}

void bucket_share(bucket *b, int64_t now_ms)
{
    b->state = BUCKET_PUTTING;
    b->next = 0;
    put_next(b, now_ms);
}

void bucket_refuse(bucket *b, int64_t now_ms)
{
    fail_round(b, status_message(), now_ms);
}

static bucket_event finish_copy(bucket *b, remote_state state, int64_t now_ms)
{
    bool getting = b->state == BUCKET_GETTING;
    if (state == REMOTE_FAILED || (state == REMOTE_MISSING && !getting)) {
        fail_round(b, remote_words(b->copy), now_ms);
        return BUCKET_NOTHING;
    }
    remote_end(&b->copy);
    if (getting) {
        b->there = state == REMOTE_DONE;
        b->state = BUCKET_MERGING;
        return BUCKET_FETCHED;
    }
    b->next++;
    put_next(b, now_ms);
    return BUCKET_NOTHING;
}

bucket_event bucket_follow(bucket *b, int64_t now_ms)
{
    if (b->copy) {
        remote_state state = remote_follow(b->copy);
        return state == REMOTE_RUNNING ? BUCKET_NOTHING : finish_copy(b, state, now_ms);
    }
    if (b->state == BUCKET_IDLE && b->due && now_ms >= b->next_ms) start_round(b, now_ms);
    return BUCKET_NOTHING;
}

/* ---- at the start ---- */

static status try_fetch(const char *address, const char *to, int64_t until_ms, bool *there)
{
    enum { TURN_MS = 20 };
    remote_copy *c;
    remote_state state;
    TRY(fs_remove(to));
    TRY(remote_get(address, shared[0], to, until_ms - clock_ms(), &c));
    while ((state = remote_follow(c)) == REMOTE_RUNNING && signals_seen() == SIGNAL_NONE) clock_sleep_ms(TURN_MS);
    status s = OK;
    if (state == REMOTE_FAILED) s = FAIL(ERR_TIMEOUT, "the bucket: %s", remote_words(c));
    else if (state == REMOTE_RUNNING) s = FAIL(ERR_STOPPED, "interrupted");
    *there = state == REMOTE_DONE;
    remote_end(&c);
    return s;
}

status bucket_fetch(const char *address, const char *folder, int64_t patience_ms, char **path)
{
    bool there = false;
    int64_t until_ms = clock_ms() + patience_ms;
    *path = path_join(folder, "bucket.txt");
    if (!*path) return FAIL(ERR_MEMORY, "out of memory");
    status s;
    while ((s = try_fetch(address, *path, until_ms, &there)) == ERR_TIMEOUT && clock_ms() + backoff_least_ms < until_ms)
        clock_sleep_ms(backoff_least_ms);
    if (s == OK && there) return OK;
    if (s != OK) fs_remove(*path);
    free(*path);
    *path = NULL;
    return s;
}
