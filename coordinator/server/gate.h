/* gate.h - who gets in over TCP: CURVE with the coordinator's key, and the list of worker keys.
 *
 * The gate stands in two places. A handler of ZAP (rfc.zeromq.org/spec/27), a thread of its own that ZeroMQ asks at every handshake,
 * lets in the keys of the list and puts the key on every message of the connection (User-Id). And the server asks gate_admits for each
 * message, so that a key that is taken off the list is shut out though its connection stands.
 *
 * What comes over the machine's own socket (ipc) has no key: the folder of the socket is the user's alone. */
#ifndef COORDINATOR_GATE_H
#define COORDINATOR_GATE_H

#include <czmq.h>

#include "common/status.h"
#include "coordinator/server/keys.h"

typedef struct gate gate;

/* Read or make the run's keys and start the handler; there is one a process. On return it answers. ERR_BUSY: there is one already;
 * ERR_UNSUPPORTED: ZeroMQ without CURVE; and those of keys_open. */
status gate_create(const char *run_folder, gate **out);
/* Ends the handler. The sockets it guards have been closed before. */
void gate_destroy(gate **g);
/* What the socket binds from now on takes only those whom the gate lets in. Once: the socket has the secret key then, and the gate
 * none any more. */
void gate_guard(gate *g, zsock_t *socket);
/* The coordinator's pair, or what is left of it. Borrowed. */
const key_pair *gate_keys(const gate *g);

/* Whom a message is from. */
typedef struct peer {
    bool local;                /* of this machine's own socket */
    char key[ACCESS_KEY_ROOM]; /* its public key; "": came without one */
} peer;
/* Of a frame that has been received. */
peer peer_of(zframe_t *frame);

/* May it speak, by the list as it is now? Without a gate (NULL) everybody may. */
bool gate_admits(gate *g, const peer *p);
/* The same for a key of an earlier message; "" is admitted. */
bool gate_admits_key(gate *g, const char *key);
/* Has the list changed since this was last asked? Why it cannot be read is in *problem (borrowed), else NULL. */
bool gate_changed(gate *g, const char **problem);
/* Turned away at the handshake since this was last asked: how many, and where the last one called from. At most once a second. */
int64_t gate_turned_away(gate *g, char *from, size_t room);

#endif
