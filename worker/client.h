/* client.h - the worker's side of the conversation of cluster.proto: from finding a coordinator to leaving it.
 *
 * One thread owns the socket and never computes: trainings are processes (trial.h), long readings threads (check.h). So
 * heartbeats go on whatever happens, and a worker whose coordinator is away trains on. */
#ifndef WORKER_CLIENT_H
#define WORKER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"
#include "proto/access.h"
#include "worker/probe.h"
#include "worker/spool.h"

/* What this worker has to offer. */
typedef struct client_place {
    char *name;      /* "cpu", "gpu 0", "gpu 0,1" */
    char *device;    /* the same for the trainer's --device: "cpu", "0", "0,1" */
    int64_t slots;   /* trainings at a time */
    int64_t threads; /* of each */
    probe about;
    int *locks; /* descriptors: its GPUs are its own as long as they are open */
    size_t lock_count, lock_room;
} client_place;

typedef struct client_options {
    const char *program;  /* the trainer */
    const char *command;  /* an external trainer's; NULL: none */
    const char *endpoint; /* NULL: what the access file says, else the run of this machine, found by meeting.h */
    access_file *access;  /* keys, for endpoints of tcp; read again when the coordinator is looked for. NULL: none */
    const char *access_path;
    const char *run_folder; /* which, when there are several; NULL: the only one */
    const char *data_root;  /* NULL: the coordinator's on its own machine, else the working directory */
    int64_t yield_ms;       /* to hand on what trains, once told to go */
    bool stay;              /* wait for the next run when one has finished */
    int64_t give_up_ms;     /* without a coordinator; 0: a minute at first, later an hour, never if it stays */
} client_options;

/* Work until the run is over or a signal comes. OK: finished, or handed on after SIGTERM; ERR_STOPPED: interrupted;
 * otherwise why it ends, one sentence. All is borrowed. */
status client_run(const client_options *o, const client_place *place, spool *s);

#endif
