#include "tests/bench/cluster/guests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/hyp.h"
#include "common/rng.h"
#include "proto/wire.h"

/* How long a coordinator may be silent. */
enum { PATIENCE_MS = 20000 };

typedef struct guest {
    void *socket;
    wire_ids ids;
    char worker[WIRE_ID_ROOM];
    bool welcome;
    uint64_t number; /* of its last WorkRequest */
    double asked;    /* when that, or its last Result, was sent */
} guest;

struct guests {
    void *context;
    guest *items;
    zmq_pollitem_t *polled;
    int count, welcome;
    bool working; /* ask for more */
    guests_times *times;
};

/* ---- saying ---- */

static status say(guest *g, envelope_kind kind, void *body)
{
    envelope e;
    bytes packed;
    wire_envelope(&e, &g->ids, kind, body);
    TRY(wire_pack(&e, &packed));
    int sent = zmq_send(g->socket, packed.data, packed.count, 0);
    bytes_free(&packed);
    return sent < 0 ? FAIL(ERR_IO, "cannot send to the coordinator: %s", zmq_strerror(errno)) : OK;
}

/* The data set is the coordinator's own: its digests go back to it. */
static status say_hello(guest *g, const Mendel__Welcome *told)
{
    Mendel__Hello hello = MENDEL__HELLO__INIT;
    Mendel__Device device = MENDEL__DEVICE__INIT;
    char *precisions[] = {(char *)"fp32"};
    device.name = (char *)"cpu";
    device.model = (char *)"a processor that is not there";
    device.threads = 1;
    device.precision = precisions[0];
    device.precisions = precisions;
    device.n_precisions = 1;
    hello.worker = g->worker;
    hello.version = (char *)MENDEL_VERSION;
    hello.host = (char *)"bench";
    hello.pid = getpid();
    hello.device = &device;
    hello.slots = 1;
    if (told) {
        hello.data = told->data;
        hello.n_data = told->n_data;
    }
    return say(g, MENDEL__ENVELOPE__BODY_HELLO, &hello);
}

static status ask_for_work(guest *g)
{
    Mendel__WorkRequest request = MENDEL__WORK_REQUEST__INIT;
    request.number = ++g->number;
    g->asked = clock_seconds();
    return say(g, MENDEL__ENVELOPE__BODY_WORK_REQUEST, &request);
}

static status deliver(guest *g, Mendel__Token *token)
{
    Mendel__Accepted accepted = MENDEL__ACCEPTED__INIT;
    Mendel__Result result = MENDEL__RESULT__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    double numbers[RESULT_COUNT];
    keyed_rng r;
    accepted.token = token;
    accepted.device = (char *)"cpu";
    accepted.precision = (char *)"fp32";
    accepted.threads = 1;
    TRY(say(g, MENDEL__ENVELOPE__BODY_ACCEPTED, &accepted));
    keyed_seed(&r, (uint64_t)token->candidate, 0, 0);
    for (int i = 0; i < RESULT_COUNT; i++) numbers[i] = keyed_random(&r);
    record.device = record.precision = (char *)"";
    record.version = (char *)MENDEL_VERSION;
    record.host = (char *)"bench";
    result.token = token;
    result.results = numbers;
    result.n_results = RESULT_COUNT;
    result.epoch = 1;
    result.record = &record;
    g->asked = clock_seconds();
    return say(g, MENDEL__ENVELOPE__BODY_RESULT, &result);
}

/* ---- hearing ---- */

static status keep_time(double **times, size_t *count, size_t *room, double seconds)
{
    TRY(array_room(times, room, *count + 1));
    (*times)[(*count)++] = seconds;
    return OK;
}

static status on_welcome(guests *all, guest *g, const envelope *e)
{
    if (!g->ids.has_run && !wire_id_read(&e->run, &g->ids.run)) return FAIL(ERR_PROTOCOL, "a Welcome without a run");
    g->ids.has_run = true;
    if (e->welcome->check) return say_hello(g, e->welcome);
    all->welcome += !g->welcome;
    g->welcome = true;
    return OK;
}

static status on_message(guests *all, guest *g, const envelope *e)
{
    guests_times *t = all->times;
    double waited = clock_seconds() - g->asked;
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_WELCOME: return on_welcome(all, g, e);
    case MENDEL__ENVELOPE__BODY_REFUSED: return FAIL(ERR_REFUSED, "the coordinator refuses: %s", e->refused->detail);
    case MENDEL__ENVELOPE__BODY_NO_WORK:
        return FAIL(ERR_STOPPED, "the coordinator has no work: %s", e->no_work->detail);
    case MENDEL__ENVELOPE__BODY_CANDIDATE:
        TRY(keep_time(&t->lease, &t->lease_count, &t->lease_room, waited));
        return deliver(g, e->candidate->token);
    case MENDEL__ENVELOPE__BODY_RESULT_ACK:
        TRY(keep_time(&t->deliver, &t->deliver_count, &t->deliver_room, waited));
        return all->working ? ask_for_work(g) : OK;
    default: return OK;
    }
}

/* One message; ERR_TIMEOUT when there is none. */
static status hear_one(guests *all, guest *g)
{
    zmq_msg_t message;
    envelope *e = NULL;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, g->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&message);
        return errno == EAGAIN || errno == EINTR ? ERR_TIMEOUT
                                                 : FAIL(ERR_IO, "cannot receive: %s", zmq_strerror(errno));
    }
    status s = wire_unpack(zmq_msg_data(&message), zmq_msg_size(&message), &e);
    if (s == OK) s = on_message(all, g, e);
    wire_free(&e);
    zmq_msg_close(&message);
    return s;
}

/* Whatever has come, after waiting for something to come. */
static status hear(guests *all, int64_t wait_ms)
{
    if (zmq_poll(all->polled, all->count, (long)wait_ms) < 0 && errno != EINTR)
        return FAIL(ERR_IO, "cannot wait for messages: %s", zmq_strerror(errno));
    for (int i = 0; i < all->count; i++) {
        status s = all->polled[i].revents ? OK : ERR_TIMEOUT;
        while (s == OK) s = hear_one(all, &all->items[i]);
        if (s != ERR_TIMEOUT) return s;
    }
    return OK;
}

/* ---- from the beginning to the end ---- */

static status connect_one(guests *all, guest *g, const char *endpoint)
{
    int none = 0;
    wire_id id;
    g->socket = zmq_socket(all->context, ZMQ_DEALER);
    if (!g->socket) return FAIL(ERR_IO, "cannot make a socket: %s", zmq_strerror(errno));
    TRY(wire_id_make(&id));
    TRY(wire_id_make(&g->ids.session));
    wire_id_text(&id, g->worker);
    zmq_setsockopt(g->socket, ZMQ_ROUTING_ID, g->worker, strlen(g->worker));
    zmq_setsockopt(g->socket, ZMQ_LINGER, &none, sizeof none);
    if (zmq_connect(g->socket, endpoint))
        return FAIL(ERR_IO, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
    return say_hello(g, NULL);
}

static status be_welcome(guests *all, const char *endpoint)
{
    TRY(array_new(&all->items, (size_t)all->count));
    TRY(array_new(&all->polled, (size_t)all->count));
    for (int i = 0; i < all->count; i++) {
        TRY(connect_one(all, &all->items[i], endpoint));
        all->polled[i] = (zmq_pollitem_t){all->items[i].socket, 0, ZMQ_POLLIN, 0};
    }
    for (int64_t end = clock_ms() + PATIENCE_MS; all->welcome < all->count;) {
        TRY(hear(all, 100));
        if (clock_ms() > end)
            return FAIL(ERR_TIMEOUT, "only %d of %d workers are welcome at %s", all->welcome, all->count, endpoint);
    }
    return OK;
}

status guests_create(const char *endpoint, int count, guests **out)
{
    guests *all;
    *out = NULL;
    TRY(array_new(&all, 1));
    all->count = count;
    all->context = zmq_ctx_new();
    status s = all->context ? be_welcome(all, endpoint) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) *out = all;
    else guests_destroy(&all);
    return s;
}

void guests_destroy(guests **g)
{
    guests *all = *g;
    if (!all) return;
    for (int i = 0; all->items && i < all->count; i++)
        if (all->items[i].socket) zmq_close(all->items[i].socket);
    if (all->context) zmq_ctx_term(all->context);
    free(all->items);
    free(all->polled);
    free(all);
    *g = NULL;
}

status guests_work(guests *g, double seconds, guests_times *out)
{
    double started = clock_seconds(), heard = started;
    *out = (guests_times){0};
    g->times = out;
    g->working = true;
    status s = OK;
    for (int i = 0; s == OK && i < g->count; i++) s = ask_for_work(&g->items[i]);
    while (s == OK && clock_seconds() < started + seconds) {
        size_t before = out->deliver_count;
        s = hear(g, 100);
        if (out->deliver_count > before) heard = clock_seconds();
        else if (s == OK && clock_seconds() > heard + PATIENCE_MS / 1000)
            s = FAIL(ERR_TIMEOUT, "the coordinator does not answer");
    }
    out->seconds = clock_seconds() - started;
    g->working = false;
    return s;
}

void guests_times_free(guests_times *t)
{
    free(t->lease);
    free(t->deliver);
    *t = (guests_times){0};
}
