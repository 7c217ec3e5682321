#include <stdlib.h>

#include "common/log.h"
#include "common/meeting.h"
#include "common/text.h"
#include "worker/client_inner.h"

static const int64_t seek_every_ms = 500;
static const int64_t backoff_least_ms = 500, backoff_most_ms = 10000;
static const int64_t patience_first_ms = 60000, patience_later_ms = 3600000;

/* ---- finding ---- */

static bool is_local(const char *endpoint)
{
    return text_starts_with(endpoint, "ipc://");
}

static void open_endpoint(client *c)
{
    status s = dealer_open(c->dealer, c->endpoint);
    if (s != OK) client_end(c, s);
    c->heard_ms = c->now_ms;
    c->backoff_ms = backoff_least_ms;
    c->reopen_ms = 0;
    c->hello_ms = c->now_ms;
    c->state = CLIENT_GREETING;
}

/* One sentence about waiting, once. */
static void say_waiting(client *c)
{
    if (c->waiting_said) return;
    c->waiting_said = true;
    log_info("%s; waiting for one", status_message());
}

static void seek(client *c)
{
    if (c->now_ms < c->seek_ms) return;
    c->seek_ms = c->now_ms + seek_every_ms;
    free(c->endpoint);
    c->endpoint = NULL;
    status s = OK;
    if (c->o->endpoint) {
        c->endpoint = text_copy(c->o->endpoint);
        if (!c->endpoint) s = FAIL(ERR_MEMORY, "out of memory");
    } else s = meeting_find(c->o->run_folder, &c->endpoint);
    if (s == ERR_NOT_FOUND) {
        say_waiting(c);
        return;
    }
    if (s != OK) {
        client_end(c, s);
        return;
    }
    c->local = is_local(c->endpoint);
    open_endpoint(c);
}

void contact_restart(client *c, int64_t after_ms)
{
    dealer_close(c->dealer, 300);
    c->state = CLIENT_SEEKING;
    c->seek_ms = c->now_ms + after_ms;
    c->lost = false;
}

/* ---- losing ---- */

void contact_heard(client *c)
{
    if (c->lost) log_info("back again: the coordinator answers");
    c->lost = false;
    c->heard_ms = c->now_ms;
    c->backoff_ms = backoff_least_ms;
    c->reopen_ms = 0;
}

static void reconnect(client *c)
{
    if (!c->lost && c->answered)
        log_warning("lost the coordinator%s", work_idle(c) ? ", looking for it" : ", training on");
    c->lost = true;
    if (!c->answered && !c->o->endpoint) { /* what was found is no coordinator, or is none any more */
        contact_restart(c, seek_every_ms);
        return;
    }
    status s = dealer_open(c->dealer, c->endpoint);
    if (s != OK) log_debug("%s", status_message());
    double jitter = 1 + 0.5 * keyed_random(&c->jitter);
    c->reopen_ms = c->now_ms + (int64_t)((double)c->backoff_ms * jitter);
    c->backoff_ms = c->backoff_ms * 2 < backoff_most_ms ? c->backoff_ms * 2 : backoff_most_ms;
    if (c->state == CLIENT_WELCOME) c->state = CLIENT_GREETING; /* the same Hello tells whether it still knows us */
    c->hello_ms = c->now_ms;
}

/* ---- giving up ---- */

static void give_up(client *c, int64_t silent_ms)
{
    long long seconds = (long long)silent_ms / 1000;
    if (c->endpoint && c->answered) {
        FAIL(ERR_TIMEOUT, "the coordinator at %s has been silent for %lld s: given up (--give-up)", c->endpoint,
             seconds);
    } else if (c->endpoint)
        FAIL(ERR_TIMEOUT, "no coordinator answers at %s after %lld s (--give-up)", c->endpoint, seconds);
    else if (c->o->run_folder)
        FAIL(ERR_TIMEOUT, "no coordinator has been running in %s for %lld s (--give-up)", c->o->run_folder, seconds);
    else FAIL(ERR_TIMEOUT, "no coordinator has been running on this machine for %lld s (--give-up)", seconds);
    client_end(c, ERR_TIMEOUT);
}

static void watch_patience(client *c)
{
    if (c->o->stay && !c->o->give_up_ms) return;
    if (!work_idle(c)) return;
    int64_t since = c->started_ms;
    int64_t patience = c->answered ? patience_later_ms : patience_first_ms;
    if (c->o->give_up_ms) patience = c->o->give_up_ms;
    if (c->answered) since = c->heard_ms > c->idle_ms ? c->heard_ms : c->idle_ms;
    if (c->now_ms - since >= patience) give_up(c, c->now_ms - since);
}

void contact_follow(client *c)
{
    if (c->state == CLIENT_SEEKING) seek(c);
    else if (c->now_ms - c->heard_ms >= client_lease_ms(c) && c->now_ms >= c->reopen_ms) reconnect(c);
    if (!c->over) watch_patience(c);
}
