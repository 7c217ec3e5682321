#include "coordinator/dashboard/history.h"

#include <stdlib.h>

#include "common/array.h"

/* ---- places ---- */

static trial **find_place(const history *h, int64_t number)
{
    uint64_t at = number > 0 ? (uint64_t)number - 1 : (uint64_t) - (number + 1);
    if (!number || at >= (number > 0 ? h->bred_count : h->imported_count)) return NULL;
    return number > 0 ? &h->bred[at] : &h->imported[at];
}

static trial **make_place(history *h, int64_t number)
{
    trial **at = find_place(h, number);
    if (at || !number) return at;
    size_t count = number > 0 ? (size_t)number : (size_t)-number;
    status s =
        number > 0 ? array_room(&h->bred, &h->bred_room, count) : array_room(&h->imported, &h->imported_room, count);
    if (s != OK) return NULL;
    if (number > 0) h->bred_count = count;
    else h->imported_count = count;
    return find_place(h, number);
}

/* ---- the order of changes ---- */

static void unlink_trial(history *h, trial *t)
{
    if (t->older) t->older->newer = t->newer;
    else h->oldest = t->newer;
    if (t->newer) t->newer->older = t->older;
    else h->newest = t->older;
}

static void append_trial(history *h, trial *t)
{
    t->change = ++h->changes;
    t->newer = NULL;
    t->older = h->newest;
    if (h->newest) h->newest->newer = t;
    else h->oldest = t;
    h->newest = t;
}

/* ---- the whole ---- */

static void add_sums(history *h, const trial *t, int sign)
{
    h->attempts += sign * t->attempts;
    h->lost += sign * t->lost;
    h->crashes += sign * t->crashes;
    h->log_bytes += (size_t)sign * trial_log_bytes(t);
}

static void drop_old_logs(history *h)
{
    if (h->log_bytes <= HISTORY_LOGS_MOST) return;
    for (trial *t = h->oldest; t && h->log_bytes > HISTORY_LOGS_MOST / 2; t = t->newer) {
        h->log_bytes -= trial_log_bytes(t);
        trial_drop_logs(t);
    }
}

void history_take(history *h, trial *t)
{
    trial **at = make_place(h, t->number);
    if (!at || (*at && !trial_differs(*at, t))) {
        trial_destroy(t);
        return;
    }
    if (*at) {
        add_sums(h, *at, -1);
        unlink_trial(h, *at);
        trial_destroy(*at);
    }
    *at = t;
    append_trial(h, t);
    add_sums(h, t, 1);
    drop_old_logs(h);
}

void history_free(history *h)
{
    for (size_t i = 0; i < h->bred_count; i++) trial_destroy(h->bred[i]);
    for (size_t i = 0; i < h->imported_count; i++) trial_destroy(h->imported[i]);
    free(h->bred);
    free(h->imported);
    *h = (history){0};
}

const trial *history_find(const history *h, int64_t number)
{
    trial **at = find_place(h, number);
    return at ? *at : NULL;
}

const trial *history_after(const history *h, uint64_t since)
{
    const trial *first = NULL;
    for (const trial *t = h->newest; t && t->change > since; t = t->older) first = t;
    return first;
}
