/* dealer.h - a worker's end of the conversation: one DEALER that never blocks and forgets nothing that it still has to say,
 * because it is told again by whoever wants it said.
 *
 * Used by one thread alone. Messages go only to a coordinator that is there (ZMQ_IMMEDIATE): what cannot be sent now is refused with
 * ERR_BUSY, and what was under way when a connection broke is lost. */
#ifndef WORKER_DEALER_H
#define WORKER_DEALER_H

#include "common/status.h"
#include "proto/wire.h"

typedef struct dealer dealer;

/* `routing_id` is the worker's id. Endpoints are checked when they are opened. */
status dealer_create(const char *routing_id, dealer **out);
void dealer_destroy(dealer **d);

/* Close what is open and connect anew. ERR_ARGUMENT for an endpoint that is none. */
status dealer_open(dealer *d, const char *endpoint);
/* What was sent just before gets up to linger_ms to leave. */
void dealer_close(dealer *d, int linger_ms);
/* For zmq_poll; NULL when closed. */
void *dealer_socket(const dealer *d);

/* ERR_BUSY: nobody is there, or too much is under way. ERR_RANGE, ERR_MEMORY: the message itself. */
status dealer_send(dealer *d, const envelope *e);
/* The next message in *out (the caller frees it with wire_free). ERR_TIMEOUT: none is there. Otherwise what wire_unpack says. */
status dealer_receive(dealer *d, envelope **out);

#endif
