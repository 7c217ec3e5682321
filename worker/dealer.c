#include "worker/dealer.h"

#include <czmq.h>
#include <errno.h>
#include <stdlib.h>

#include "common/text.h"

enum { CONNECT_MS = 1000, RECONNECT_MS = 100, RECONNECT_MOST_MS = 1000 };

struct dealer {
    char *routing_id;
    zsock_t *socket;
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
    free(*d);
    *d = NULL;
}

status dealer_open(dealer *d, const char *endpoint)
{
    dealer_close(d, 0);
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
    if (zsock_connect(d->socket, "%s", endpoint) == 0) return OK;
    status s = FAIL(ERR_ARGUMENT, "cannot connect to '%s': %s", endpoint, zmq_strerror(zmq_errno()));
    dealer_close(d, 0);
    return s;
}

void dealer_close(dealer *d, int linger_ms)
{
    if (!d->socket) return;
    zsock_set_linger(d->socket, linger_ms);
    zsock_destroy(&d->socket);
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
