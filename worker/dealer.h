/* dealer.h - a worker's end of the conversation: one DEALER that never blocks and forgets nothing that it still has to say,
 * because it is told again by whoever wants it said.
 *
 * Used by one thread alone. Messages go only to a coordinator that is there (ZMQ_IMMEDIATE): what cannot be sent now is
 * refused with ERR_BUSY, and what was under way when a connection broke is lost. */
#ifndef WORKER_DEALER_H
#define WORKER_DEALER_H

#include "common/status.h"
#include "proto/access.h"
#include "proto/wire.h"

typedef struct dealer dealer;

/* `routing_id` is the worker's id. Endpoints are checked when they are opened. */
status dealer_create(const char *routing_id, dealer **out);
void dealer_destroy(dealer **d);

/* Do the keys of an access file belong together? ERR_FORMAT, in words that begin with `path`. */
status dealer_check_keys(const access_file *keys, const char *path);
/* Close what is open and connect anew; over tcp with `keys` (NULL: without): then nobody is talked to but the
 * coordinator that has the other half of keys->server. ERR_ARGUMENT for an endpoint that is none. */
status dealer_open(dealer *d, const char *endpoint, const access_file *keys);
/* Why no connection comes about, as far as can be told from here; NULL: there is nothing to tell. Borrowed, from a list. */
const char *dealer_trouble(dealer *d);
/* Has a connection come about since this was asked last? What was sent over the one before it may be lost. */
bool dealer_renewed(dealer *d);
/* What was sent just before gets up to linger_ms to leave. */
void dealer_close(dealer *d, int linger_ms);
/* For zmq_poll; NULL when closed. */
void *dealer_socket(const dealer *d);

/* ERR_BUSY: nobody is there, or too much is under way. ERR_RANGE, ERR_MEMORY: the message itself. */
status dealer_send(dealer *d, const envelope *e);
/* The next message in *out (the caller frees it with wire_free). ERR_TIMEOUT: none is there. Otherwise what wire_unpack says. */
status dealer_receive(dealer *d, envelope **out);

#endif
