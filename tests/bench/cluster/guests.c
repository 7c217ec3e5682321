#include "tests/bench/cluster/guests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/hyp.h"
#include "common/rng.h"
#include "proto/access.h"
#include "proto/wire.h"

/* How long a coordinator may be silent. */
enum { PATIENCE_MS = 60000 };

typedef struct place { /* one slot of a guest */
    uint64_t number;   /* of its last WorkRequest */
    token token;       /* that it works on; candidate 0: none */
    double asked;      /* when it asked, or delivered */
    double due;        /* when its result is to be delivered, or it asks for the first time; 0: not now */
} place;

typedef struct guest {
    void *socket;
    wire_ids ids;
    char worker[WIRE_ID_ROOM];
    bool welcome;
    place *places; /* `slots` of them */
} guest;

struct guests {
    guests_options o;
    access_file access;
    void *context;
    guest *items;
    int ready; /* epoll, of the sockets' descriptors */
    int welcome;
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
static status say_hello(const guests *all, guest *g, const Mendel__Welcome *told)
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
    hello.slots = all->o.slots;
    if (told) {
        hello.data = told->data;
        hello.n_data = told->n_data;
    }
    return say(g, MENDEL__ENVELOPE__BODY_HELLO, &hello);
}

static status ask_for_work(guest *g, int slot)
{
    Mendel__WorkRequest request = MENDEL__WORK_REQUEST__INIT;
    request.slot = slot;
    request.number = ++g->places[slot].number;
    g->places[slot].asked = clock_seconds();
    return say(g, MENDEL__ENVELOPE__BODY_WORK_REQUEST, &request);
}

static status accept_candidate(guest *g, Mendel__Token *name)
{
    Mendel__Accepted accepted = MENDEL__ACCEPTED__INIT;
    accepted.token = name;
    accepted.device = (char *)"cpu";
    accepted.precision = (char *)"fp32";
    accepted.threads = 1;
    return say(g, MENDEL__ENVELOPE__BODY_ACCEPTED, &accepted);
}

static status deliver(guest *g, place *at)
{
    Mendel__Result result = MENDEL__RESULT__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token name;
    double numbers[RESULT_COUNT];
    keyed_rng r;
    token_write(at->token, &name);
    keyed_seed(&r, (uint64_t)at->token.candidate, 0, 0);
    for (int i = 0; i < RESULT_COUNT; i++) numbers[i] = keyed_random(&r);
    record.device = record.precision = (char *)"";
    record.version = (char *)MENDEL_VERSION;
    record.host = (char *)"bench";
    result.token = &name;
    result.results = numbers;
    result.n_results = RESULT_COUNT;
    result.epoch = 1;
    result.record = &record;
    at->due = 0;
    at->asked = clock_seconds();
    return say(g, MENDEL__ENVELOPE__BODY_RESULT, &result);
}

/* ---- hearing ---- */

/* No two trainings take the same time: workers that began apart stay apart, as others would. */
static double trial_seconds(const guests *all, token t)
{
    const double spread = 0.2;
    keyed_rng r;
    keyed_seed(&r, (uint64_t)t.candidate, 1, 0);
    return all->o.trial_s * (1 - spread / 2 + spread * keyed_random(&r));
}

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
    if (e->welcome->check) return say_hello(all, g, e->welcome);
    all->welcome += !g->welcome;
    g->welcome = true;
    return OK;
}

static status on_candidate(guests *all, guest *g, const Mendel__Candidate *c)
{
    if (c->slot >= all->o.slots) return FAIL(ERR_PROTOCOL, "a candidate for slot %lld", (long long)c->slot);
    place *at = &g->places[c->slot];
    double now = clock_seconds();
    TRY(keep_time(&all->times->lease, &all->times->lease_count, &all->times->lease_room, now - at->asked));
    at->token = token_read(c->token);
    at->due = now + trial_seconds(all, at->token);
    TRY(accept_candidate(g, c->token));
    return all->o.trial_s > 0 ? OK : deliver(g, at);
}

static status on_ack(guests *all, guest *g, const Mendel__ResultAck *ack)
{
    token t = token_read(ack->token);
    int slot = 0;
    while (slot < all->o.slots && !token_equal(g->places[slot].token, t)) slot++;
    if (slot == all->o.slots) return OK;
    double waited = clock_seconds() - g->places[slot].asked;
    TRY(keep_time(&all->times->deliver, &all->times->deliver_count, &all->times->deliver_room, waited));
    g->places[slot].token = (token){0};
    return all->working ? ask_for_work(g, slot) : OK;
}

static status on_message(guests *all, guest *g, const envelope *e)
{
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_WELCOME: return on_welcome(all, g, e);
    case MENDEL__ENVELOPE__BODY_REFUSED: return FAIL(ERR_REFUSED, "the coordinator refuses: %s", e->refused->detail);
    case MENDEL__ENVELOPE__BODY_NO_WORK:
        return FAIL(ERR_STOPPED, "the coordinator has no work: %s", e->no_work->detail);
    case MENDEL__ENVELOPE__BODY_CANDIDATE: return on_candidate(all, g, e->candidate);
    case MENDEL__ENVELOPE__BODY_RESULT_ACK: return on_ack(all, g, e->result_ack);
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

/* All that has come for one. */
static status drain(guests *all, guest *g)
{
    status s = OK;
    while (s == OK) s = hear_one(all, g);
    return s == ERR_TIMEOUT ? OK : s;
}

/* Whatever has come, after waiting for something to come. A thousand sockets take too long to be asked one after the other. */
static status hear(guests *all, int64_t wait_ms)
{
    struct epoll_event ready[256];
    int count = epoll_wait(all->ready, ready, sizeof ready / sizeof *ready, (int)wait_ms);
    if (count < 0 && errno != EINTR) return FAIL(ERR_IO, "cannot wait for messages: %s", strerror(errno));
    for (int i = 0; i < count; i++) TRY(drain(all, ready[i].data.ptr));
    return OK;
}

/* ---- from the beginning to the end ---- */

/* CURVE, with the pair of the access file. */
static void use_keys(const access_file *a, void *socket)
{
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, a->server, strlen(a->server));
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, a->public_key, strlen(a->public_key));
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, a->secret_key, strlen(a->secret_key));
}

static status connect_one(guests *all, guest *g)
{
    int none = 0;
    wire_id id;
    const char *endpoint = all->o.access ? all->access.addresses.names[0] : all->o.endpoint;
    TRY(array_new(&g->places, (size_t)all->o.slots));
    g->socket = zmq_socket(all->context, ZMQ_DEALER);
    if (!g->socket) return FAIL(ERR_IO, "cannot make a socket: %s", zmq_strerror(errno));
    TRY(wire_id_make(&id));
    TRY(wire_id_make(&g->ids.session));
    wire_id_text(&id, g->worker);
    zmq_setsockopt(g->socket, ZMQ_ROUTING_ID, g->worker, strlen(g->worker));
    zmq_setsockopt(g->socket, ZMQ_LINGER, &none, sizeof none);
    if (all->o.access) use_keys(&all->access, g->socket);
    if (zmq_connect(g->socket, endpoint))
        return FAIL(ERR_IO, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
    return say_hello(all, g, NULL);
}

/* The descriptor of a socket tells only of what has not been looked at: after whatever is said, all is heard. */
static status await(guests *all, guest *g)
{
    int descriptor;
    size_t size = sizeof descriptor;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = g};
    if (zmq_getsockopt(g->socket, ZMQ_FD, &descriptor, &size) ||
        epoll_ctl(all->ready, EPOLL_CTL_ADD, descriptor, &event))
        return FAIL(ERR_IO, "cannot wait for messages: %s", strerror(errno));
    return drain(all, g);
}

static status be_welcome(guests *all)
{
    TRY(array_new(&all->items, (size_t)all->o.count));
    all->ready = epoll_create1(EPOLL_CLOEXEC);
    if (all->ready < 0) return FAIL(ERR_IO, "cannot wait for messages: %s", strerror(errno));
    for (int i = 0; i < all->o.count; i++) {
        TRY(connect_one(all, &all->items[i]));
        TRY(await(all, &all->items[i]));
    }
    for (int64_t end = clock_ms() + PATIENCE_MS; all->welcome < all->o.count;) {
        TRY(hear(all, 100));
        if (clock_ms() > end) return FAIL(ERR_TIMEOUT, "only %d of %d workers are welcome", all->welcome, all->o.count);
    }
    return OK;
}

/* A socket each, and some for the library itself. */
static status open_context(guests *all)
{
    all->context = zmq_ctx_new();
    if (!all->context) return FAIL(ERR_MEMORY, "out of memory");
    zmq_ctx_set(all->context, ZMQ_MAX_SOCKETS, all->o.count + 16);
    return OK;
}

status guests_create(const guests_options *o, guests **out)
{
    guests *all;
    *out = NULL;
    TRY(array_new(&all, 1));
    all->o = *o;
    all->ready = -1;
    status s = o->access ? access_read(o->access, &all->access) : OK;
    if (s == OK) s = open_context(all);
    if (s == OK) s = be_welcome(all);
    if (s == OK) *out = all;
    else guests_destroy(&all);
    return s;
}

void guests_destroy(guests **g)
{
    guests *all = *g;
    if (!all) return;
    for (int i = 0; all->items && i < all->o.count; i++) {
        if (all->items[i].socket) zmq_close(all->items[i].socket);
        free(all->items[i].places);
    }
    if (all->context) zmq_ctx_term(all->context);
    access_free(&all->access);
    free(all->items);
    if (all->ready >= 0) close(all->ready);
    free(all);
    *g = NULL;
}

static status do_due(guests *all, guest *g, int slot)
{
    place *at = &g->places[slot];
    at->due = 0;
    TRY(at->token.candidate ? deliver(g, at) : ask_for_work(g, slot));
    return drain(all, g);
}

/* Results whose time has come. *wait_ms: until the next one, at most what it is. */
static status deliver_due(guests *all, int64_t *wait_ms)
{
    double now = clock_seconds();
    for (int i = 0; all->o.trial_s > 0 && i < all->o.count; i++)
        for (int slot = 0; slot < all->o.slots; slot++) {
            place *at = &all->items[i].places[slot];
            if (!at->due) continue;
            if (at->due <= now) TRY(do_due(all, &all->items[i], slot));
            else if (1e3 * (at->due - now) < (double)*wait_ms) *wait_ms = (int64_t)(1e3 * (at->due - now)) + 1;
        }
    return OK;
}

/* All of them, spread over one trial: workers do not come in step. */
static status begin(guests *all)
{
    double now = clock_seconds(), apart = all->o.trial_s / (all->o.count * all->o.slots);
    for (int i = 0; i < all->o.count; i++)
        for (int slot = 0; slot < all->o.slots; slot++) {
            all->items[i].places[slot].due = now + apart * (i * all->o.slots + slot);
            if (!(all->o.trial_s > 0)) TRY(do_due(all, &all->items[i], slot));
        }
    return OK;
}

status guests_work(guests *g, double seconds, guests_times *out)
{
    *out = (guests_times){0};
    g->times = out;
    g->working = true;
    status s = begin(g);
    double started = clock_seconds(), heard = started;
    while (s == OK && clock_seconds() < started + seconds) {
        size_t before = out->deliver_count;
        int64_t wait_ms = 100;
        s = deliver_due(g, &wait_ms);
        if (s == OK) s = hear(g, wait_ms);
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
