#include <stdlib.h>

#include "common/fault.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/meeting.h"
#include "common/text.h"
#include "worker/client_inner.h"

static const int64_t seek_every_ms = 500;
static const int64_t backoff_least_ms = 500, backoff_most_ms = 10000;
/* Of several addresses each gets this long to answer. */
static const int64_t address_ms = 2500;
static const int64_t patience_first_ms = 60000, patience_later_ms = 3600000;
/* A coordinator that goes on with a run that was over has this long to say so. */
static const int64_t over_ms = 5000;

/* ---- finding ---- */

static bool is_local(const char *endpoint)
{
    return text_starts_with(endpoint, "ipc://");
}

static size_t address_count(const client *c)
{
    return c->o->access && !c->o->endpoint ? c->o->access->addresses.count : 0;
}

/* Where the coordinator was told to be: by the user, or by the access file. NULL without memory. */
static char *told_endpoint(const client *c)
{
    if (c->o->endpoint) return text_copy(c->o->endpoint);
    return text_copy(c->o->access->addresses.names[c->address % address_count(c)]);
}

static void open_endpoint(client *c)
{
    status s = dealer_open(c->dealer, c->endpoint, c->o->access);
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
    if (c->o->endpoint || c->o->access) {
        c->endpoint = told_endpoint(c);
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
    if (c->lost) {
        FAULT("worker finds the coordinator again");
        log_info("back again: the coordinator answers");
    }
    c->lost = false;
    c->heard_ms = c->now_ms;
    c->backoff_ms = backoff_least_ms;
    c->reopen_ms = 0;
}

/* A coordinator that was moved has other addresses, and writes them into the same file. */
static void read_access_again(client *c)
{
    access_file fresh;
    status s = access_read(c->o->access_path, &fresh);
    if (s == OK) s = dealer_check_keys(&fresh, c->o->access_path);
    if (s == OK) {
        access_free(c->o->access);
        *c->o->access = fresh;
        access_wipe(&fresh, sizeof fresh);
    } else access_free(&fresh);
    if (s != OK) log_debug("%s", status_message()); /* what it said before may still be true */
}

/* The next of the access file's addresses. The one that answered before is tried once more first. */
static void next_address(client *c)
{
    if (!address_count(c)) return;
    if (c->lost || !c->answered) c->address++;
    if (c->address >= address_count(c)) {
        c->address = 0;
        read_access_again(c);
    }
    char *endpoint = told_endpoint(c);
    if (!endpoint) return; /* the old one, then */
    free(c->endpoint);
    c->endpoint = endpoint;
}

static void reconnect(client *c)
{
    FAULT("worker misses the coordinator");
    next_address(c);
    if (!c->lost && c->answered)
        log_warning("lost the coordinator%s", work_idle(c) ? ", looking for it" : ", training on");
    c->lost = true;
    if (!c->answered && !c->o->endpoint && !c->o->access) { /* what was found is no coordinator, or is none any more */
        contact_restart(c, seek_every_ms);
        return;
    }
    status s = dealer_open(c->dealer, c->endpoint, c->o->access);
    if (s != OK) log_debug("%s", status_message());
    double jitter = 1 + 0.5 * keyed_random(&c->jitter);
    int64_t least_ms = address_count(c) > 1 ? address_ms : 0, wait_ms = (int64_t)((double)c->backoff_ms * jitter);
    c->reopen_ms = c->now_ms + (wait_ms > least_ms ? wait_ms : least_ms);
    c->backoff_ms = c->backoff_ms * 2 < backoff_most_ms ? c->backoff_ms * 2 : backoff_most_ms;
    if (c->state == CLIENT_WELCOME) c->state = CLIENT_GREETING; /* the same Hello tells whether it still knows us */
    c->hello_ms = c->now_ms;
}

/* ---- giving up ---- */

static void give_up(client *c, int64_t silent_ms)
{
    long long seconds = (long long)silent_ms / 1000;
    const char *trouble = dealer_trouble(c->dealer);
    if (c->endpoint && trouble)
        FAIL(ERR_TIMEOUT, "no connection to the coordinator at %s for %lld s: %s (--give-up)", c->endpoint, seconds,
             trouble);
    else if (c->endpoint && c->answered) {
        FAIL(ERR_TIMEOUT, "the coordinator at %s has been silent for %lld s: given up (--give-up)", c->endpoint,
             seconds);
    } else if (c->endpoint)
        FAIL(ERR_TIMEOUT, "no coordinator answers at %s after %lld s (--give-up)", c->endpoint, seconds);
    else if (c->o->run_folder)
        FAIL(ERR_TIMEOUT, "no coordinator has been running in %s for %lld s (--give-up)", c->o->run_folder, seconds);
    else FAIL(ERR_TIMEOUT, "no coordinator has been running on this machine for %lld s (--give-up)", seconds);
    client_end(c, ERR_TIMEOUT);
}

/* A coordinator that has come to the end of its run says so in the run's folder, which may lie here; the access file lies in it, too. */
static bool run_is_over(const client *c)
{
    char *folder = c->o->run_folder ? text_copy(c->o->run_folder)
                   : c->o->access   ? path_folder(c->o->access_path)
                                    : NULL;
    char *finished = folder ? path_join(folder, "finished") : NULL;
    bool over = finished && fs_is_file(finished);
    if (over) log_info("the run in %s is over, and no coordinator is at work in it", folder);
    free(folder);
    free(finished);
    return over;
}

static void watch_patience(client *c)
{
    if (c->o->stay && !c->o->give_up_ms) return;
    if (!work_idle(c)) return;
    int64_t since = c->started_ms;
    int64_t patience = c->answered ? patience_later_ms : patience_first_ms;
    if (c->o->give_up_ms) patience = c->o->give_up_ms;
    if (c->answered) since = c->heard_ms > c->idle_ms ? c->heard_ms : c->idle_ms;
    if (!c->o->stay && c->now_ms - since >= over_ms && run_is_over(c)) {
        client_end(c, OK);
        return;
    }
    if (c->now_ms - since >= patience) give_up(c, c->now_ms - since);
}

/* Each kind of trouble is worth one sentence. */
static void mention_trouble(client *c)
{
    const char *trouble = dealer_trouble(c->dealer);
    if (trouble && trouble != c->trouble) log_warning("the coordinator at %s: %s; trying on", c->endpoint, trouble);
    c->trouble = trouble ? trouble : c->trouble;
}

/* Whatever waits for an answer is asked again over a new connection: with the old one it may have been lost. */
static void ask_again(client *c)
{
    if (c->state == CLIENT_GREETING) c->hello_ms = c->now_ms;
    c->beat_ms = c->now_ms;
    work_again(c);
    report_again(c);
}

static int64_t allowed_silence_ms(const client *c)
{
    return !c->answered && address_count(c) > 1 ? address_ms : client_lease_ms(c);
}

void contact_follow(client *c)
{
    if (c->state == CLIENT_SEEKING) seek(c);
    else if (c->now_ms - c->heard_ms >= allowed_silence_ms(c) && c->now_ms >= c->reopen_ms) reconnect(c);
    if (c->endpoint) mention_trouble(c);
    if (dealer_renewed(c->dealer)) ask_again(c);
    if (!c->over) watch_patience(c);
}
