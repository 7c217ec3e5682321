/* events.c - the state as server-sent events.
 *
 * A state is written once and shared by all streams. A stream that has taken the latest is suspended until there is another; one that is
 * slow misses those in between. While nothing happens the state is sent again now and then, so that both sides see that the other is
 * there. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/dashboard/dashboard_inner.h"

/* Between two events: at least, and a millisecond more for so many bytes; at most. */
static const int64_t least_ms = 500, bytes_a_ms = 100, most_ms = 5000;
enum { READ_BYTES = 16384 };

struct subscriber {
    dashboard *d;
    struct MHD_Connection *connection;
    event *sending; /* NULL: has what there is */
    size_t offset;
    uint64_t seen;
    bool suspended;
    subscriber *older, *newer;
};

/* ---- events ---- */

static void let_go(event **at)
{
    if (*at && !--(*at)->references) free(*at);
    *at = NULL;
}

static event *hold(event *e)
{
    e->references++;
    return e;
}

/* Without memory the last one stays. */
static void make_event(dashboard *d, int64_t now_ms)
{
    text words = {0};
    text_add(&words, "retry: 2000\nid: %llu\ndata: ", (unsigned long long)d->event_number + 1);
    snapshot_write(d->shown, d->start, d->history.changes, now_ms, &words);
    text_add(&words, "\n\n");
    event *e = text_status(&words) == OK ? malloc(sizeof *e + words.length) : NULL;
    if (e) {
        e->references = 1;
        e->count = words.length;
        memcpy(e->bytes, words.bytes, words.length);
        let_go(&d->event);
        d->event = e;
        d->event_number++;
    }
    d->event_ms = now_ms;
    d->has_news = false;
    text_free(&words);
}

/* ---- streams ---- */

/* From when on the client has to take what it is sent. */
static void hurry(const subscriber *s, int64_t ms)
{
    peer *p = http_peer(s->connection);
    if (!p) return;
    p->phase = PEER_ANSWERED;
    p->since_ms = ms;
}

/* Called by libmicrohttpd when the client takes more: what there is, or nothing and suspended. */
static ssize_t read_event(void *state, uint64_t position, char *into, size_t room)
{
    subscriber *s = state;
    dashboard *d = s->d;
    (void)position;
    if (!s->sending && s->seen == d->event_number) {
        if (d->ending) return MHD_CONTENT_READER_END_OF_STREAM;
        hurry(s, INT64_MAX);
        MHD_suspend_connection(s->connection);
        s->suspended = true;
        return 0;
    }
    if (!s->sending) {
        s->sending = hold(d->event);
        s->offset = 0;
        s->seen = d->event_number;
        hurry(s, clock_ms());
    }
    size_t left = s->sending->count - s->offset, count = left < room ? left : room;
    memcpy(into, s->sending->bytes + s->offset, count);
    s->offset += count;
    if (count == left) let_go(&s->sending);
    return (ssize_t)count;
}

static void close_stream(void *state)
{
    subscriber *s = state;
    dashboard *d = s->d;
    if (s->older) s->older->newer = s->newer;
    if (s->newer) s->newer->older = s->older;
    else d->subscribers = s->older;
    d->subscriber_count--;
    let_go(&s->sending);
    free(s);
}

struct MHD_Response *events_open(dashboard *d, struct MHD_Connection *c)
{
    if (d->subscriber_count >= SUBSCRIBERS_MOST || d->ending) return NULL;
    if (!d->event) make_event(d, clock_ms());
    subscriber *s = d->event ? calloc(1, sizeof *s) : NULL;
    if (!s) return NULL;
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READ_BYTES, read_event, s, close_stream);
    if (!r) {
        free(s);
        return NULL;
    }
    s->d = d;
    s->connection = c;
    s->older = d->subscribers;
    if (d->subscribers) d->subscribers->newer = s;
    d->subscribers = s;
    d->subscriber_count++;
    return r;
}

static bool is_due(const dashboard *d, int64_t now_ms)
{
    if (d->ending) return false; /* the last one has been made */
    int64_t passed = now_ms - d->event_ms, size_ms = d->event ? (int64_t)d->event->count / bytes_a_ms : 0;
    return !d->event || passed >= most_ms || (d->has_news && passed >= least_ms + size_ms);
}

void events_end(dashboard *d, int64_t now_ms)
{
    if (d->subscribers) make_event(d, now_ms);
    d->ending = true;
}

void events_turn(dashboard *d, int64_t now_ms)
{
    if (!d->subscribers) {
        let_go(&d->event); /* the next stream begins with the state of its own time */
        return;
    }
    if (is_due(d, now_ms)) make_event(d, now_ms);
    for (subscriber *s = d->subscribers; s; s = s->older) {
        if (!s->suspended || (s->seen == d->event_number && !d->ending)) continue;
        s->suspended = false;
        MHD_resume_connection(s->connection);
    }
}

void events_free(dashboard *d)
{
    let_go(&d->event);
}
