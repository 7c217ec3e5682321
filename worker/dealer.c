#include "worker/dealer.h"

#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

enum { CONNECT_MS = 1000, RECONNECT_MS = 100, RECONNECT_MOST_MS = 200 };
/* A TCP connection that brings no answer to a ping for so long is given up for a new one. TCP itself would try it again after ever longer
 * pauses; so a worker is back about a second after the end of a partition, however long that was. */
enum { PING_MS = 1000, SILENT_MS = 1500 };
/* A connection that breaks without a word is noticed after about two minutes, should nothing else notice it. */
enum { IDLE_S = 60, BETWEEN_S = 15, PROBES = 4 };

struct dealer {
    char *routing_id;
    zsock_t *socket, *events; /* what ZeroMQ tells about its handshakes */
    char *endpoint;           /* the last one */
    const char *trouble;
    bool renewed; /* a connection has come about, and nobody has asked */
};

status dealer_create(const char *routing_id, dealer **out)
{
    zsys_handler_set(NULL); /* signals are the program's own */
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->routing_id = text_copy(routing_id);
    if (*out && (*out)->routing_id) return OK;
    dealer_destroy(out);
    return FAIL(ERR_MEMORY, "out of memory");
}

void dealer_destroy(dealer **d)
{
    if (!*d) return;
    dealer_close(*d, 0);
    free((*d)->routing_id);
    free((*d)->endpoint);
    free(*d);
    *d = NULL;
}

status dealer_check_keys(const access_file *keys, const char *path)
{
    char public_key[ACCESS_KEY_ROOM];
    if (!zsys_has_curve()) return FAIL(ERR_UNSUPPORTED, "%s: this machine's ZeroMQ knows no keys (CURVE)", path);
    if (zmq_curve_public(public_key, keys->secret_key) || strcmp(public_key, keys->public_key))
        return FAIL(ERR_FORMAT, "%s: the keys 'public' and 'secret' are no pair", path);
    return OK;
}

/* Without these a refused worker only sees that nobody answers. */
static void listen_to_events(dealer *d)
{
    enum {
        WANTED = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
    };
    static const char name[] = "inproc://mendel-dealer-events";
    if (zmq_socket_monitor(zsock_resolve(d->socket), name, WANTED)) return;
    d->events = zsock_new(ZMQ_PAIR);
    if (d->events && zsock_connect(d->events, "%s", name)) zsock_destroy(&d->events);
}

static void set_keys(zsock_t *socket, const access_file *keys)
{
    zsock_set_curve_serverkey(socket, keys->server);
    zsock_set_curve_publickey(socket, keys->public_key);
    zsock_set_curve_secretkey(socket, keys->secret_key);
}

status dealer_open(dealer *d, const char *endpoint, const access_file *keys)
{
    dealer_close(d, 0);
    if (!d->endpoint || strcmp(d->endpoint, endpoint)) d->trouble = NULL; /* that of another one */
    free(d->endpoint);
    d->endpoint = text_copy(endpoint);
    d->socket = zsock_new(ZMQ_DEALER);
    if (!d->socket) return FAIL(ERR_IO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    zsock_set_identity(d->socket, d->routing_id);
    zsock_set_linger(d->socket, 0);
    zsock_set_immediate(d->socket, 1);
    zsock_set_ipv6(d->socket, 1);
    zsock_set_connect_timeout(d->socket, CONNECT_MS);
    zsock_set_handshake_ivl(d->socket, 2 * CONNECT_MS);
    zsock_set_reconnect_ivl(d->socket, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(d->socket, RECONNECT_MOST_MS);
    zsock_set_maxmsgsize(d->socket, WIRE_BYTES_MOST);
    zsock_set_tcp_keepalive(d->socket, 1);
    zsock_set_tcp_keepalive_idle(d->socket, IDLE_S);
    zsock_set_tcp_keepalive_intvl(d->socket, BETWEEN_S);
    zsock_set_tcp_keepalive_cnt(d->socket, PROBES);
    if (text_starts_with(endpoint, "tcp://")) {
        zsock_set_heartbeat_ivl(d->socket, PING_MS);
        zsock_set_heartbeat_timeout(d->socket, SILENT_MS);
        if (keys) set_keys(d->socket, keys);
    }
    listen_to_events(d);
    if (zsock_connect(d->socket, "%s", endpoint) == 0) return OK;
    status s = FAIL(ERR_ARGUMENT, "cannot connect to '%s': %s", endpoint, zmq_strerror(zmq_errno()));
    dealer_close(d, 0);
    return s;
}

void dealer_close(dealer *d, int linger_ms)
{
    if (!d->socket) return;
    if (d->events) zmq_socket_monitor(zsock_resolve(d->socket), NULL, 0);
    zsock_destroy(&d->events);
    zsock_set_linger(d->socket, linger_ms);
    zsock_destroy(&d->socket);
}

/* An event's number is the first half of its first frame. */
static void take_event(dealer *d, zmsg_t *message)
{
    zframe_t *frame = zmsg_first(message);
    uint16_t event = 0;
    if (frame && zframe_size(frame) >= sizeof event) memcpy(&event, zframe_data(frame), sizeof event);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        d->trouble = NULL;
        d->renewed = true;
    } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        d->trouble = "it does not let this worker's key in: it was revoked, or is of another run";
    else if (event)
        d->trouble = "it breaks the handshake off: it expects keys, has other ones than the access file says, or is no "
                     "coordinator";
}

static void take_events(dealer *d)
{
    zmq_pollitem_t item = {d->events ? zsock_resolve(d->events) : NULL, 0, ZMQ_POLLIN, 0};
    while (d->events && zmq_poll(&item, 1, 0) > 0) {
        zmsg_t *message = zmsg_recv(d->events);
        if (!message) break;
        take_event(d, message);
        zmsg_destroy(&message);
    }
}

const char *dealer_trouble(dealer *d)
{
    take_events(d);
    return d->trouble;
}

bool dealer_renewed(dealer *d)
{
    take_events(d);
    bool renewed = d->renewed;
    d->renewed = false;
    return renewed;
}

void *dealer_socket(const dealer *d)
{
    return d->socket ? zsock_resolve(d->socket) : NULL;
}

status dealer_send(dealer *d, const envelope *e)
{
    bytes packed;
    if (!d->socket) return FAIL(ERR_BUSY, "no connection to a coordinator");
    TRY(wire_pack(e, &packed));
    int n;
    do n = zmq_send(zsock_resolve(d->socket), packed.data, packed.count, ZMQ_DONTWAIT);
    while (n < 0 && zmq_errno() == EINTR);
    bytes_free(&packed);
    if (n >= 0) return OK;
    if (zmq_errno() == EAGAIN) return FAIL(ERR_BUSY, "no connection to the coordinator now");
    return FAIL(ERR_IO, "cannot send to the coordinator: %s", zmq_strerror(zmq_errno()));
}

/* A message has one frame; what comes in more is read to its end and refused. */
static status read_message(zmq_msg_t *m, bool more, envelope **out)
{
    if (!more) return wire_unpack(zmq_msg_data(m), zmq_msg_size(m), out);
    return FAIL(ERR_PROTOCOL, "a message of several frames");
}

status dealer_receive(dealer *d, envelope **out)
{
    *out = NULL;
    if (!d->socket) return ERR_TIMEOUT;
    status s = ERR_TIMEOUT;
    bool first = true, more = true;
    while (more) {
        zmq_msg_t m;
        int n;
        zmq_msg_init(&m);
        do n = zmq_msg_recv(&m, zsock_resolve(d->socket), ZMQ_DONTWAIT);
        while (n < 0 && zmq_errno() == EINTR);
        more = n >= 0 && zmq_msg_more(&m);
        if (n >= 0 && first) s = read_message(&m, more, out);
        zmq_msg_close(&m);
        first = false;
    }
    return s;
}
