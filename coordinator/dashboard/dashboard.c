/* dashboard.c - the start, the end, the mailbox between the two threads, and the thread. */
#include "coordinator/dashboard/dashboard.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "coordinator/dashboard/dashboard_inner.h"
#include "coordinator/dashboard/listen.h"

enum { TURN_MS = 1000, LAST_TURN_MS = 50, URL_MOST = 4096 };
/* How long browsers have to take the last state. */
static const int64_t farewell_ms = 500;

/* ---- the mailbox ---- */

static void wake(dashboard *d)
{
    uint64_t one = 1;
    if (write(d->wake, &one, sizeof one) < 0) return; /* full of calls that were not heard: one is enough */
}

void dashboard_publish(dashboard *d, const dashboard_state *s)
{
    snapshot *fresh = snapshot_copy(s, clock_ms());
    if (!fresh) return;
    pthread_mutex_lock(&d->lock);
    snapshot *old = d->newest;
    d->newest = fresh;
    pthread_mutex_unlock(&d->lock);
    snapshot_destroy(old);
    wake(d);
}

void dashboard_tell(dashboard *d, const store_candidate *c, const store_attempt *const *attempts, size_t count)
{
    trial *t = trial_copy(c, d->space.count, attempts, count);
    if (!t) return;
    pthread_mutex_lock(&d->lock);
    t->older = d->told;
    d->told = t;
    pthread_mutex_unlock(&d->lock);
}

static trial *turn_round(trial *latest)
{
    trial *first = NULL;
    while (latest) {
        trial *next = latest->older;
        latest->older = first;
        first = latest;
        latest = next;
    }
    return first;
}

static void take_trials(dashboard *d, trial *told)
{
    for (trial *t = turn_round(told); t;) {
        trial *next = t->older;
        history_take(&d->history, t);
        t = next;
    }
}

/* False when the dashboard is to end. */
static bool take_news(dashboard *d)
{
    pthread_mutex_lock(&d->lock);
    snapshot *newest = d->newest;
    trial *told = d->told;
    bool ending = d->is_to_end;
    d->newest = NULL;
    d->told = NULL;
    pthread_mutex_unlock(&d->lock);
    if (told) take_trials(d, told);
    if (newest) {
        snapshot_destroy(d->shown);
        d->shown = newest;
    }
    d->has_news |= newest || told;
    return !ending;
}

/* ---- the thread ---- */

static void *serve(void *state)
{
    dashboard *d = state;
    while (take_news(d)) http_turn(d, TURN_MS);
    int64_t now_ms = clock_ms(), until_ms = now_ms + farewell_ms;
    events_end(d, now_ms);
    do http_turn(d, d->subscribers ? LAST_TURN_MS : 0);
    while (d->subscribers && clock_ms() < until_ms);
    http_close(d);
    return NULL;
}

/* Signals are the main thread's. */
static status start_thread(dashboard *d)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&d->thread, NULL, serve, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? FAIL(ERR_MEMORY, "the dashboard has no thread: %s", strerror(error)) : OK;
}

/* ---- the start ---- */

static status copy_text(char **to, const char *words)
{
    *to = text_copy(words);
    return *to ? OK : FAIL(ERR_MEMORY, "out of memory");
}

static status copy_options(dashboard *d, const dashboard_options *o)
{
    uint64_t number = 0;
    text cookie = {0};
    d->space = *o->space;
    memcpy(d->fitness, o->fitness, sizeof d->fitness);
    if (gethostname(d->machine, sizeof d->machine - 1)) d->machine[0] = '\0';
    if (getrandom(&number, sizeof number, 0) < 0) return FAIL(ERR_IO, "no random numbers: %s", strerror(errno));
    snprintf(d->start, sizeof d->start, "%016llx", (unsigned long long)number);
    text_add(&cookie, "mendel_%.12s", o->id);
    d->cookie = text_take(&cookie);
    if (!d->cookie) return FAIL(ERR_MEMORY, "out of memory");
    TRY(copy_text(&d->folder, o->folder));
    TRY(copy_text(&d->name, o->name));
    return copy_text(&d->strategy, o->strategy);
}

static status open_token(dashboard *d)
{
    char *path = path_join(d->folder, "dashboard.token");
    status s = path ? door_token(path, d->token) : FAIL(ERR_MEMORY, "out of memory");
    free(path);
    return s;
}

/* The port that the page had last time, so that one that is still open finds the run again; 0: none is known. */
static int last_port(const char *url_path)
{
    static const char front[] = "http://127.0.0.1:";
    char *url = NULL;
    size_t count;
    long port = 0;
    if (fs_is_file(url_path) && fs_read(url_path, URL_MOST, &url, &count) == OK && text_starts_with(url, front))
        port = strtol(url + strlen(front), NULL, 10);
    free(url);
    return port > 0 && port < 65536 ? (int)port : 0;
}

static status listen_as_before(const char *url_path, int *port, int *listening)
{
    *port = last_port(url_path);
    if (*port && listen_open("127.0.0.1", port, listening) == OK) return OK;
    *port = 0;
    return listen_open("127.0.0.1", port, listening);
}

static status write_url(dashboard *d, const char *path, const char *address, int port)
{
    text url = {0};
    const char *host = listen_is_any(address) && *d->machine ? d->machine : address;
    text_add(&url, strchr(host, ':') ? "http://[%s]:%d/?token=%s" : "http://%s:%d/?token=%s", host, port, d->token);
    d->url = text_take(&url);
    if (!d->url) return FAIL(ERR_MEMORY, "out of memory");
    text line = {0};
    text_add(&line, "%s\n", d->url);
    status s = text_status(&line);
    if (s == OK) s = fs_write_mode(path, line.bytes, line.length, 0600);
    text_free(&line);
    return s;
}

static status open_port(dashboard *d, const char *said)
{
    int port = 0, listening = -1;
    char *url_path = path_join(d->folder, "dashboard.url");
    status s = url_path ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && *said) s = listen_read(said, &d->named, &port);
    if (s == OK && (!*said || !*d->named)) {
        free(d->named);
        s = copy_text(&d->named, "127.0.0.1");
    }
    if (s == OK) s = *said ? listen_open(d->named, &port, &listening) : listen_as_before(url_path, &port, &listening);
    if (s == OK) s = write_url(d, url_path, d->named, port);
    if (s == OK) {
        d->is_public = !listen_is_loopback(listening);
        s = http_open(d, listening); /* takes it */
    } else if (listening >= 0) close(listening);
    free(url_path);
    return s;
}

static void destroy(dashboard *d)
{
    http_close(d);
    events_free(d);
    history_free(&d->history);
    snapshot_destroy(d->shown);
    snapshot_destroy(d->newest);
    for (trial *t = d->told; t;) {
        trial *next = t->older;
        trial_destroy(t);
        t = next;
    }
    if (d->wake >= 0) close(d->wake);
    pthread_mutex_destroy(&d->lock);
    char *const texts[] = {d->folder, d->name, d->strategy, d->url, d->cookie, d->named};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    free(d);
}

status dashboard_start(const dashboard_options *o, dashboard **out)
{
    *out = NULL;
    dashboard *d = calloc(1, sizeof *d);
    if (!d) return FAIL(ERR_MEMORY, "out of memory");
    pthread_mutex_init(&d->lock, NULL);
    d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    status s = d->wake < 0 ? FAIL(ERR_IO, "no event descriptor: %s", strerror(errno)) : OK;
    if (s == OK) s = copy_options(d, o);
    if (s == OK) s = open_token(d);
    if (s == OK) s = open_port(d, o->listen);
    if (s == OK) s = start_thread(d);
    if (s == OK) *out = d;
    else destroy(d);
    return s;
}

const char *dashboard_url(const dashboard *d)
{
    return d->url;
}

bool dashboard_is_public(const dashboard *d)
{
    return d->is_public;
}

void dashboard_stop(dashboard **dashboard_at)
{
    dashboard *d = *dashboard_at;
    if (!d) return;
    pthread_mutex_lock(&d->lock);
    d->is_to_end = true;
    pthread_mutex_unlock(&d->lock);
    wake(d);
    pthread_join(d->thread, NULL);
    destroy(d);
    *dashboard_at = NULL;
}
