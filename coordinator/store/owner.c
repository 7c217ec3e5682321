#include "coordinator/store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/text.h"

const owner_options owner_options_default = {.renew_ms = 10000, .stale_ms = 60000, .look_ms = 1000};
static const char prefix[] = "owner.";
enum { WORDS_MOST = 4096, NAME_ROOM = 256 };

struct owner {
    char *folder, *path, *next; /* next: the file of whoever takes it over */
    char *start;                /* of the file, before the number that rises */
    int file;
    int64_t number, beat, renewed_ms;
    owner_options o;
};

/* ---- files ---- */

static char *path_of(const char *folder, int64_t number)
{
    text path = {0};
    text_add(&path, "%s/%s%lld", folder, prefix, (long long)number);
    return text_take(&path);
}

/* The one that counts is the last. 0: there is none. */
static status find_last(const char *folder, int64_t *number)
{
    fs_names names;
    *number = 0;
    TRY(fs_list(folder, &names));
    for (size_t i = 0; i < names.count; i++) {
        long long found;
        if (strncmp(names.names[i], prefix, sizeof prefix - 1)) continue;
        if (text_to_long(names.names[i] + sizeof prefix - 1, &found) && found > *number) *number = found;
    }
    fs_names_free(&names);
    return OK;
}

/* NULL when it cannot be read: it may be gone. */
static char *read_words(const char *folder, int64_t number)
{
    char *path = path_of(folder, number), *words = NULL;
    size_t count;
    if (path && fs_read(path, WORDS_MOST, &words, &count) != OK) words = NULL;
    free(path);
    return words;
}

static char *read_last(const char *folder)
{
    int64_t number;
    return find_last(folder, &number) == OK && number ? read_words(folder, number) : NULL;
}

bool owner_exists(const char *folder)
{
    int64_t number;
    return find_last(folder, &number) == OK && number;
}

bool owner_is_needed(const char *folder)
{
    return fs_on_network(folder) || owner_exists(folder);
}

char *owner_name(const char *folder)
{
    char *words = read_last(folder);
    if (words) words[strcspn(words, "\n")] = '\0';
    return words;
}

/* ---- this process ---- */

static char *read_boot(void)
{
    char *words;
    size_t count;
    if (fs_read("/proc/sys/kernel/random/boot_id", WORDS_MOST, &words, &count) != OK) return text_copy("unknown");
    words[strcspn(words, "\n")] = '\0';
    return words;
}

static char *describe(const owner_options *o)
{
    char host[NAME_ROOM] = "?";
    text start = {0};
    char *boot = o->boot ? text_copy(o->boot) : read_boot();
    gethostname(host, sizeof host - 1);
    if (boot) text_add(&start, "process %ld on %s\nboot %s\n", (long)getpid(), host, boot);
    else start.failed = true;
    free(boot);
    return text_take(&start);
}

/* The whole file, as long each time: it is written over in its place. */
static status write_beat(owner *o)
{
    text words = {0};
    text_add(&words, "%sbeat %020lld\n", o->start, (long long)++o->beat);
    status s = text_status(&words);
    if (s == OK && (pwrite(o->file, words.bytes, words.length, 0) != (ssize_t)words.length || fsync(o->file)))
        s = FAIL(fs_status_of_errno(errno), "%s: cannot be written: %s", o->path, strerror(errno));
    text_free(&words);
    return s;
}

/* ---- taking ---- */

static status busy(const char *folder, const char *words)
{
    return FAIL(ERR_BUSY, "another coordinator runs on %s: %.*s", folder, (int)strcspn(words, "\n"), words);
}

/* The second line. */
static bool same_boot(const char *words, const char *start)
{
    const char *a = strchr(words, '\n'), *b = strchr(start, '\n');
    size_t length = a ? strcspn(a + 1, "\n") : 0;
    return a && b && length && !strncmp(a + 1, b + 1, length + 1);
}

static status watch(const owner *o, const char *before)
{
    log_info("%s was led by %.*s: waiting for a sign of life, %.0f s at most", o->folder, (int)strcspn(before, "\n"),
             before, (double)o->o.stale_ms / 1000);
    for (int64_t end = clock_ms() + o->o.stale_ms; clock_ms() < end;) {
        clock_sleep_ms(o->o.look_ms);
        if (signals_seen() != SIGNAL_NONE) return FAIL(ERR_STOPPED, "stopped while waiting for the run's owner");
        char *now = read_last(o->folder);
        bool changed = now && strcmp(now, before);
        status s = changed ? busy(o->folder, now) : OK;
        free(now);
        if (changed) return s;
    }
    return OK;
}

/* What led from this machine is gone: the lock that the caller has was its own. One whose machine was started anew may still run
 * elsewhere: names of hosts come twice. */
static status outlive(const owner *o, int64_t last)
{
    char *before = last ? read_words(o->folder, last) : NULL;
    status s = !before || same_boot(before, o->start) ? OK : watch(o, before);
    free(before);
    return s;
}

static status claim(owner *o, int64_t last)
{
    o->number = last + 1;
    o->path = path_of(o->folder, o->number);
    o->next = path_of(o->folder, o->number + 1);
    if (!o->path || !o->next) return FAIL(ERR_MEMORY, "out of memory");
    o->file = open(o->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (o->file < 0 && errno == EEXIST) return FAIL(ERR_BUSY, "another coordinator has begun to run on %s", o->folder);
    if (o->file < 0) return FAIL(fs_status_of_errno(errno), "%s: cannot be made: %s", o->path, strerror(errno));
    TRY(write_beat(o));
    o->renewed_ms = clock_ms();
    char *old = last ? path_of(o->folder, last) : NULL;
    if (old) unlink(old);
    free(old);
    return fs_sync_folder(o->folder);
}

status owner_take(const char *folder, const owner_options *options, owner **out)
{
    int64_t last = 0;
    TRY(array_new(out, 1));
    owner *o = *out;
    o->file = -1;
    o->o = *options;
    o->folder = text_copy(folder);
    o->start = describe(options);
    status s = o->folder && o->start ? find_last(folder, &last) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = outlive(o, last);
    if (s == OK) s = claim(o, last);
    if (s != OK) owner_leave(out);
    return s;
}

/* ---- keeping ---- */

status owner_renew(owner *o, int64_t now_ms)
{
    if (now_ms < o->renewed_ms + o->o.renew_ms) return OK;
    if (fs_exists(o->next) || !fs_exists(o->path)) {
        char *name = owner_name(o->folder);
        status s = FAIL(ERR_REFUSED, "%s is led by %s: nothing was heard of this process for too long", o->folder,
                        name ? name : "another coordinator");
        free(name);
        return s;
    }
    TRY(write_beat(o));
    o->renewed_ms = now_ms;
    return OK;
}

void owner_leave(owner **at)
{
    owner *o = *at;
    if (!o) return;
    if (o->file >= 0) {
        close(o->file);
        unlink(o->path);
    }
    free(o->folder);
    free(o->path);
    free(o->next);
    free(o->start);
    free(o);
    *at = NULL;
}
