#include "worker/train/share.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/remote.h"
#include "common/signals.h"
#include "common/text.h"

/* Weights may be large and lines slow; a copy that goes on for so long has lost its way. */
static const int64_t copy_timeout_ms = 4 * 3600000;
static const int64_t again_ms = 30000, again_at_end_ms = 2000, look_ms = 50;

struct share {
    char *address, *name, *folder;
    char *still; /* a copy of results.txt, which the training does not go on writing to */
    remote_copy *copy;
    bool due, failing; /* results; failing: that has been said */
    int64_t next_ms;
};

status share_create(const char *address, const char *name, const char *folder, share **out)
{
    *out = NULL;
    if (!*address) return OK;
    status s = remote_check(address);
    if (s != OK) return status_context(s, "--bucket");
    TRY(array_new(out, 1));
    share *h = *out;
    char *whole = path_real(folder);
    h->address = text_copy(address);
    h->name = text_copy(name);
    h->folder = whole;
    h->still = whole ? path_join(whole, "results.shared") : NULL;
    if (h->address && h->name && h->still) return OK;
    share_destroy(out);
    return FAIL(ERR_MEMORY, "out of memory");
}

void share_destroy(share **out)
{
    share *h = *out;
    if (!h) return;
    remote_end(&h->copy);
    if (h->still) fs_remove(h->still);
    free(h->address);
    free(h->name);
    free(h->folder);
    free(h->still);
    free(h);
    *out = NULL;
}

/* ---- one copy ---- */

static void complain(share *h, const char *words)
{
    if (!h->failing) log_warning("the bucket: %s; trying again", words);
    h->failing = true;
}

/* Did the copy that was under way work? *running: it is not over. */
static bool take_outcome(share *h, bool *running)
{
    remote_state state = remote_follow(h->copy);
    *running = state == REMOTE_RUNNING;
    if (*running) return false;
    if (state == REMOTE_DONE) h->failing = false;
    else complain(h, state == REMOTE_MISSING ? "there is no such place" : remote_words(h->copy));
    remote_end(&h->copy);
    return state == REMOTE_DONE;
}

/* results.txt, or results_NAME.txt once the training is through. */
static char *find_results(const share *h)
{
    text last = {0};
    text_add(&last, "%s/results_%s.txt", h->folder, h->name);
    char *through = text_take(&last);
    if (through && fs_is_file(through)) return through;
    free(through);
    return path_join(h->folder, "results.txt");
}

static status put_results(share *h)
{
    text to = {0};
    char *from = find_results(h);
    text_add(&to, "results/results%s.txt", h->name);
    status s = from ? text_status(&to) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_remove(h->still);
    if (s == OK) s = fs_copy(from, h->still);
    if (s == OK) s = remote_put(h->address, h->still, text_string(&to), copy_timeout_ms, &h->copy);
    text_free(&to);
    free(from);
    return s;
}

/* ---- while it trains ---- */

static void follow_results(share *h)
{
    bool running = false;
    if (h->copy && !take_outcome(h, &running) && !running) {
        h->due = true;
        h->next_ms = clock_ms() + again_ms;
    }
    if (running || !h->due || clock_ms() < h->next_ms) return;
    h->due = false;
    if (put_results(h) != OK) complain(h, status_message());
}

void share_epoch(share *h)
{
    if (!h || !*h->name) return;
    h->due = true;
    follow_results(h);
}

/* ---- at the end ---- */

static void wait_for_copy(share *h, bool *done)
{
    bool running = true;
    while (running && signals_seen() == SIGNAL_NONE) {
        *done = take_outcome(h, &running);
        if (running) clock_sleep_ms(look_ms);
    }
    remote_end(&h->copy);
}

/* One file, again and again until it is there or patience is at its end. */
static bool put_until(share *h, const char *from, const char *to, int64_t until_ms)
{
    for (bool done = false;;) {
        status s = from ? remote_put(h->address, from, to, copy_timeout_ms, &h->copy) : put_results(h);
        if (s == OK) wait_for_copy(h, &done);
        else complain(h, status_message());
        if (done) return true;
        if (signals_seen() != SIGNAL_NONE || clock_ms() + again_at_end_ms >= until_ms) return false;
        clock_sleep_ms(again_at_end_ms);
    }
}

/* last.pt, best.pt or last_NAME.pt, best_NAME.pt: what the training keeps under these names. */
static bool is_weights(const char *name)
{
    bool named = text_starts_with(name, "last") || text_starts_with(name, "best");
    return named && text_ends_with(name, ".pt") && !text_ends_with(name, ".state.pt");
}

static void put_weights(share *h, const char *folder, const char *name, int64_t until_ms)
{
    text to = {0};
    char *from = path_join(folder, name);
    text_add(&to, "weights/%s", name);
    if (!from || text_status(&to) != OK || !put_until(h, from, text_string(&to), until_ms))
        log_warning("%s/%s is not in the bucket", folder, name);
    text_free(&to);
    free(from);
}

void share_finish(share *h, int64_t patience_ms)
{
    fs_names files;
    if (!h) return;
    int64_t until_ms = clock_ms() + patience_ms;
    remote_end(&h->copy); /* of results that are older now */
    if (*h->name && !put_until(h, NULL, NULL, until_ms)) log_warning("the last results are not in the bucket");
    char *folder = path_join(h->folder, "weights");
    if (folder && fs_is_folder(folder) && fs_list(folder, &files) == OK) {
        for (size_t i = 0; i < files.count; i++)
            if (is_weights(files.names[i])) put_weights(h, folder, files.names[i], until_ms);
        fs_names_free(&files);
    }
    free(folder);
}
