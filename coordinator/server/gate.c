#include "coordinator/server/gate.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/server/keys_watch.h"

static const char zap_endpoint[] = "inproc://zeromq.zap.01", domain[] = "mendel";
enum { KEY_BYTES = 32 };
/* A port that is open to the world is called by many; one line a second says enough. */
static const int64_t tell_every_ms = 1000;

struct gate {
    key_pair own;
    keys_watch *watch; /* the server's */
    zactor_t *handler;
};

/* ---- the handler: a thread that knows its own watch and nothing else ---- */

typedef struct handler {
    zsock_t *pipe, *zap;
    keys_watch *watch;
    int64_t away, told_ms; /* not told yet; when it was told last */
} handler;

/* What the gate passes to its thread, valid until that is ready. */
typedef struct handler_start {
    const char *run_folder;
    char words[256];
    atomic_int result; /* written last */
} handler_start;

/* version, request, domain, address, identity, mechanism, then the mechanism's own: for CURVE the key. */
typedef struct question {
    char *version, *request, *address, *mechanism;
    char key[ACCESS_KEY_ROOM]; /* "": there is none */
} question;

static void free_question(question *q)
{
    free(q->version);
    free(q->request);
    free(q->address);
    free(q->mechanism);
}

static void read_question(zmsg_t *m, question *q)
{
    *q = (question){.version = zmsg_popstr(m), .request = zmsg_popstr(m)};
    char *of_domain = zmsg_popstr(m);
    q->address = zmsg_popstr(m);
    char *identity = zmsg_popstr(m);
    q->mechanism = zmsg_popstr(m);
    zframe_t *key = zmsg_first(m);
    if (key && zframe_size(key) == KEY_BYTES && zmsg_size(m) == 1) zmq_z85_encode(q->key, zframe_data(key), KEY_BYTES);
    free(of_domain);
    free(identity);
}

static void tell_away(handler *h, const char *address)
{
    int64_t now = clock_ms();
    char count[32];
    h->away++;
    if (h->told_ms && now - h->told_ms < tell_every_ms) return;
    snprintf(count, sizeof count, "%lld", (long long)h->away);
    /* Nobody waits for a reader here: with a full pipe it is told later. */
    if (zstr_sendx(h->pipe, count, address, NULL)) return;
    h->told_ms = now;
    h->away = 0;
}

static void answer(handler *h)
{
    question q;
    zmsg_t *m = zmsg_recv(h->zap);
    if (!m) return;
    read_question(m, &q);
    zmsg_destroy(&m);
    bool known = q.version && !strcmp(q.version, "1.0") && q.mechanism && !strcmp(q.mechanism, "CURVE") && *q.key &&
                 keys_watch_find(h->watch, q.key);
    const char *request = q.request ? q.request : "";
    if (known) zstr_sendx(h->zap, "1.0", request, "200", "OK", q.key, "", NULL);
    else {
        zstr_sendx(h->zap, "1.0", request, "400", "not on the list", "", "", NULL);
        tell_away(h, q.address ? q.address : "");
    }
    free_question(&q);
}

static status open_handler(handler *h, const handler_start *start)
{
    TRY(keys_watch_create(start->run_folder, &h->watch));
    h->zap = zsock_new(ZMQ_REP);
    if (!h->zap) return FAIL(ERR_MEMORY, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    /* ZeroMQ closes sockets in a thread of its own: an earlier gate's may hold the name for a moment. */
    enum { TRIES = 50, PAUSE_MS = 20 };
    for (int i = 0; zsock_bind(h->zap, "%s", zap_endpoint) < 0; i++) {
        if (zmq_errno() != EADDRINUSE || i == TRIES)
            return FAIL(ERR_BUSY, "%s: %s", zap_endpoint, zmq_strerror(zmq_errno()));
        clock_sleep_ms(PAUSE_MS);
    }
    return OK;
}

static void serve(handler *h)
{
    zmq_pollitem_t items[] = {{zsock_resolve(h->pipe), 0, ZMQ_POLLIN, 0}, {zsock_resolve(h->zap), 0, ZMQ_POLLIN, 0}};
    zsock_set_sndtimeo(h->pipe, 0);
    for (;;) {
        if (zmq_poll(items, 2, -1) < 0 && zmq_errno() != EINTR) return;
        if (items[0].revents & ZMQ_POLLIN) return; /* nothing is said to it but that it is to end */
        if (items[1].revents & ZMQ_POLLIN) answer(h);
    }
}

static void run_handler(zsock_t *pipe, void *state)
{
    handler_start *start = state;
    handler h = {.pipe = pipe};
    status result = open_handler(&h, start);
    bool good = result == OK;
    if (!good) snprintf(start->words, sizeof start->words, "%s", status_message());
    start->result = (int)result;
    zsock_signal(pipe, 0); /* from here on `start` is gone */
    if (good) serve(&h);
    zsock_destroy(&h.zap);
    keys_watch_destroy(&h.watch);
}

/* Signals belong to the loop, whose poll they are to wake. */
static status start_handler(gate *g, const char *run_folder)
{
    handler_start start = {.run_folder = run_folder};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    g->handler = zactor_new(run_handler, &start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!g->handler) return FAIL(ERR_MEMORY, "cannot start a thread");
    status result = (status)start.result;
    return result == OK ? OK : FAIL(result, "%s", start.words);
}

/* ---- the gate ---- */

status gate_create(const char *run_folder, gate **out)
{
    gate *g = *out = calloc(1, sizeof *g);
    if (!g) return FAIL(ERR_MEMORY, "out of memory");
    status s = zsys_has_curve() ? OK
                                : FAIL(ERR_UNSUPPORTED, "this machine's ZeroMQ has no CURVE: a tcp:// address "
                                                        "can only be had with --insecure");
    if (s == OK) s = keys_open(run_folder, &g->own);
    if (s == OK) s = keys_watch_create(run_folder, &g->watch);
    if (s == OK) s = start_handler(g, run_folder);
    if (s != OK) gate_destroy(out);
    return s;
}

void gate_destroy(gate **g)
{
    if (!*g) return;
    zactor_destroy(&(*g)->handler);
    keys_watch_destroy(&(*g)->watch);
    access_wipe(&(*g)->own, sizeof(*g)->own);
    free(*g);
    *g = NULL;
}

void gate_guard(gate *g, zsock_t *socket)
{
    zsock_set_zap_domain(socket, domain);
    zsock_set_curve_server(socket, 1);
    zsock_set_curve_secretkey(socket, g->own.secret_key);
    access_wipe(g->own.secret_key, sizeof g->own.secret_key);
}

const key_pair *gate_keys(const gate *g)
{
    return &g->own;
}

/* ---- messages ---- */

peer peer_of(zframe_t *frame)
{
    peer p = {0};
    const char *key = zframe_meta(frame, "User-Id"), *address = zframe_meta(frame, "Peer-Address");
    if (key && strlen(key) < sizeof p.key) strcpy(p.key, key);
    /* libzmq writes "localhost:UID:GID:PID" for a socket file, and digits for an address. */
    p.local = !*p.key && address && text_starts_with(address, "localhost:");
    return p;
}

/* Were there no handler, ZeroMQ would take connections without asking (and without a User-Id): those are nobody's. */
bool gate_admits(gate *g, const peer *p)
{
    if (!g || p->local) return true;
    return *p->key && keys_watch_find(g->watch, p->key);
}

bool gate_admits_key(gate *g, const char *key)
{
    return !g || !*key || keys_watch_find(g->watch, key);
}

bool gate_changed(gate *g, const char **problem)
{
    bool changed = keys_watch_changed(g->watch);
    *problem = keys_watch_problem(g->watch);
    return changed;
}

int64_t gate_turned_away(gate *g, char *from, size_t room)
{
    zmq_pollitem_t item = {zsock_resolve(g->handler), 0, ZMQ_POLLIN, 0};
    int64_t total = 0;
    while (zmq_poll(&item, 1, 0) > 0) {
        char *count, *address;
        if (zstr_recvx(g->handler, &count, &address, NULL) < 0) break;
        if (count) total += atoll(count);
        snprintf(from, room, "%s", address ? address : "");
        zstr_free(&count);
        zstr_free(&address);
    }
    return total;
}
