/* hosted.h - a real coordinator as a process of a benchmark: started on a data set of two pictures, looked at from outside, ended. */
#ifndef TESTS_BENCH_HOSTED_H
#define TESTS_BENCH_HOSTED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/status.h"

typedef struct hosted {
    char *folder, *program;        /* of all runs; the coordinator's */
    char *run, *endpoint, *access; /* of the run in hand; the access file when keys are asked for */
    char *log, *data;
    const char *cfg, *strategy;
    pid_t pid;
} hosted;

/* Make the folder and the data set. `cfg` and `strategy` are borrowed. */
status hosted_create(const char *cfg, const char *strategy, hosted *out);
void hosted_free(hosted *h);

/* Start a run of this name, or go on with it, and wait until it listens: on a socket of this machine, or with `keys` on TCP behind CURVE. */
status hosted_start(hosted *h, const char *name, bool keys);
/* Tell it to end, and wait. */
void hosted_stop(hosted *h);

/* Seconds of processor time so far. */
double hosted_cpu(const hosted *h);
/* Bytes that it has written to the disk so far, and that it has in memory now; 0 where the system does not say. */
int64_t hosted_written(const hosted *h);
int64_t hosted_memory(const hosted *h);
/* A number of its /metrics. ERR_NOT_FOUND, ERR_IO. */
status hosted_metric(const hosted *h, const char *name, double *value);

#endif
