/* shared.c - a run folder on a file system that several machines see. Nobody can read the store beside this process there, so it writes
 * what `status` prints into RUN/status, and hears of `pause` and `resume` by RUN/wish. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "coordinator/server/inner.h"

/* Describing reads all of the store: it gets a small part of the time. */
static const int64_t describe_every_ms = 2000;
enum { REST = 50, WISH_MOST = 64 };

status server_lead(server *s)
{
    return s->run->owner ? owner_renew(s->run->owner, s->now_ms) : OK;
}

void server_show_shared(server *s)
{
    if (!s->run->owner || !s->o.describe || s->now_ms < s->describe_ms) return;
    text words = {0};
    int64_t begun = clock_ms();
    char *path = path_join(s->run->folder, "status");
    status result = path ? s->o.describe(s->run, &words) : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) result = fs_write(path, words.bytes, words.length);
    if (result != OK) log_warning("%s", status_message());
    free(path);
    text_free(&words);
    int64_t rest = REST * (clock_ms() - begun);
    s->describe_ms = s->now_ms + (rest > describe_every_ms ? rest : describe_every_ms);
}

void server_forget_shared(server *s)
{
    char *path = s->run->owner ? path_join(s->run->folder, "status") : NULL;
    if (path) fs_remove(path);
    free(path);
}

/* The file goes when the store has it: a wish that was heard twice is the same. */
status server_hear_wish(server *s, bool paused)
{
    if (!s->run->owner) return OK;
    char *path = path_join(s->run->folder, "wish"), *words = NULL;
    size_t count = 0;
    status result = path ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK && fs_exists(path) && fs_read(path, WISH_MOST, &words, &count) == OK) {
        bool wished = !strcmp(words, "pause");
        result = wished == paused ? fs_remove(path) : store_set_paused(s->run->store, s->wall_ms, wished);
    }
    free(words);
    free(path);
    return result;
}
