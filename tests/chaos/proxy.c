#include "tests/chaos/proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <zmq.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/rng.h"
#include "common/text.h"

enum { GUESTS_MOST = 32, ID_MOST = 64, MESSAGE_MOST = 2 << 20, DELAY_MOST_MS = 500, LATE_MOST_MS = 3000 };

/* A worker: towards the coordinator it has a socket of its own, with its name. */
typedef struct guest {
    char id[ID_MOST];
    size_t id_count;
    void *socket;
} guest;

typedef struct parcel {
    int64_t at_ms;
    size_t guest;
    bool to_worker;
    char *bytes;
    size_t count;
} parcel;

typedef struct proxy {
    const proxy_options *o;
    void *context, *front;
    guest guests[GUESTS_MOST];
    size_t guest_count;
    parcel *parcels;
    size_t count, room;
    keyed_rng draw;
    FILE *history;
} proxy;

static void need(bool fine, const char *what)
{
    if (fine) return;
    fprintf(stderr, "chaos: proxy: %s: %s\n", what, zmq_strerror(zmq_errno()));
    _exit(1);
}

static void note(proxy *p, const char *what, bool to_worker)
{
    fprintf(p->history, "%lld\tproxy\t%s\t0\t0\t0\t%s\n", (long long)(clock_seconds() * 1e6), what,
            to_worker ? "to a worker" : "to the coordinator");
}

static void *open_socket(proxy *p, int kind)
{
    void *socket = zmq_socket(p->context, kind);
    int none = 0;
    need(socket && !zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none), "socket");
    return socket;
}

/* ---- guests ---- */

static size_t find_guest(proxy *p, const char *id, size_t count)
{
    for (size_t i = 0; i < p->guest_count; i++)
        if (p->guests[i].id_count == count && !memcmp(p->guests[i].id, id, count)) return i;
    need(p->guest_count < GUESTS_MOST && count <= ID_MOST, "too many guests");
    guest *g = &p->guests[p->guest_count];
    memcpy(g->id, id, count);
    g->id_count = count;
    g->socket = open_socket(p, ZMQ_DEALER);
    int often_ms = 50;
    need(!zmq_setsockopt(g->socket, ZMQ_ROUTING_ID, id, count) &&
             !zmq_setsockopt(g->socket, ZMQ_RECONNECT_IVL, &often_ms, sizeof often_ms) &&
             !zmq_connect(g->socket, p->o->back),
         p->o->back);
    return p->guest_count++;
}

/* ---- parcels ---- */

static void keep(proxy *p, size_t to, bool to_worker, const void *bytes, size_t count, int64_t at_ms)
{
    need(array_room(&p->parcels, &p->room, p->count + 1) == OK, "memory");
    parcel *made = &p->parcels[p->count++];
    *made = (parcel){at_ms, to, to_worker, text_copy_bytes(bytes, count), count};
    need(made->bytes, "memory");
}

static bool happens(proxy *p, int percent, int64_t now_ms)
{
    return now_ms < p->o->until_ms && (int)keyed_below(&p->draw, 100) < percent;
}

/* What becomes of a message. */
static void take(proxy *p, size_t from, bool to_worker, const void *bytes, size_t count)
{
    int64_t now_ms = clock_ms(), delay_ms = 0;
    if (happens(p, p->o->lost, now_ms)) {
        note(p, "lost", to_worker);
        return;
    }
    if (happens(p, p->o->delayed, now_ms)) {
        delay_ms = (int64_t)keyed_below(&p->draw, DELAY_MOST_MS);
        note(p, "delayed", to_worker);
    }
    keep(p, from, to_worker, bytes, count, now_ms + delay_ms);
    if (!happens(p, p->o->doubled, now_ms)) return;
    note(p, "doubled", to_worker);
    keep(p, from, to_worker, bytes, count, now_ms + (int64_t)keyed_below(&p->draw, LATE_MOST_MS));
}

/* To whoever is gone nothing goes. */
static void deliver(proxy *p, const parcel *m)
{
    const guest *g = &p->guests[m->guest];
    if (m->to_worker && zmq_send(p->front, g->id, g->id_count, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return;
    zmq_send(m->to_worker ? p->front : g->socket, m->bytes, m->count, ZMQ_DONTWAIT);
}

/* Those that are due, the earliest first. When the next one is; -1: there is none. */
static long deliver_due(proxy *p)
{
    for (;;) {
        size_t first = p->count;
        for (size_t i = 0; i < p->count; i++)
            if (first == p->count || p->parcels[i].at_ms < p->parcels[first].at_ms) first = i;
        if (first == p->count) return -1;
        int64_t left_ms = p->parcels[first].at_ms - clock_ms();
        if (left_ms > 0) return (long)left_ms;
        deliver(p, &p->parcels[first]);
        free(p->parcels[first].bytes);
        memmove(&p->parcels[first], &p->parcels[first + 1], (p->count - first - 1) * sizeof *p->parcels);
        p->count--;
    }
}

/* ---- the loop ---- */

static bool receive(void *socket, char *bytes, size_t most, size_t *count)
{
    int n = zmq_recv(socket, bytes, most, ZMQ_DONTWAIT);
    *count = n > 0 ? (size_t)n : 0;
    return n >= 0 && (size_t)n <= most;
}

static void take_from_workers(proxy *p, char *room)
{
    char id[ID_MOST];
    size_t id_count, count;
    while (receive(p->front, id, sizeof id, &id_count))
        if (receive(p->front, room, MESSAGE_MOST, &count)) take(p, find_guest(p, id, id_count), false, room, count);
}

static void run(proxy *p)
{
    char *room = malloc(MESSAGE_MOST);
    need(room, "memory");
    for (;;) {
        zmq_pollitem_t items[GUESTS_MOST + 1] = {{p->front, 0, ZMQ_POLLIN, 0}};
        size_t count;
        for (size_t i = 0; i < p->guest_count; i++)
            items[i + 1] = (zmq_pollitem_t){p->guests[i].socket, 0, ZMQ_POLLIN, 0};
        zmq_poll(items, (int)p->guest_count + 1, deliver_due(p));
        take_from_workers(p, room);
        for (size_t i = 0; i < p->guest_count; i++)
            while (receive(p->guests[i].socket, room, MESSAGE_MOST, &count)) take(p, i, true, room, count);
    }
}

static void be_proxy(const proxy_options *o)
{
    proxy p = {.o = o, .context = zmq_ctx_new()};
    int yes = 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    keyed_seed(&p.draw, o->seed, 1, 0);
    p.history = fopen(o->history, "a");
    need(p.context && p.history, o->history);
    setvbuf(p.history, NULL, _IOLBF, 0);
    p.front = open_socket(&p, ZMQ_ROUTER);
    need(!zmq_setsockopt(p.front, ZMQ_ROUTER_HANDOVER, &yes, sizeof yes) && !zmq_bind(p.front, o->front), o->front);
    run(&p);
}

status proxy_start(const proxy_options *o, pid_t *out)
{
    *out = fork();
    if (*out == 0) be_proxy(o);
    return *out > 0 ? OK : FAIL(ERR_IO, "cannot start a proxy: %s", strerror(errno));
}
