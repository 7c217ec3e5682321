/* addresses.h - where workers elsewhere find a coordinator: what goes into access files. */
#ifndef COORDINATOR_ADDRESSES_H
#define COORDINATOR_ADDRESSES_H

#include "common/fs.h"
#include "common/status.h"

/* From the endpoint that is bound ("tcp://0.0.0.0:41234") and what the user says (--advertise: HOST, HOST:PORT or tcp://HOST:PORT, several
 * separated by commas; "": nothing). What is said counts; else the endpoint itself, or where that means all of the machine's
 * interfaces: the host's name, then the address of every interface that is up, loopback only when there is no other. At most
 * ACCESS_ADDRESSES_MOST. ERR_ARGUMENT naming what is no address. The caller frees. */
status addresses_find(const char *endpoint, const char *advertise, fs_names *out);

#endif
