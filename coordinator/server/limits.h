/* limits.h - how much a worker may ask of its coordinator, so that one that goes wrong, or is hostile, does not keep the others waiting.
 *
 * Every limit is a bucket: it holds `burst` at most, gains `each_second`, and whoever takes more than is in it gets nothing. What is
 * refused is dropped: the protocol says everything again that matters.
 *
 * A bucket belongs to a connection, or to all of them together. The buckets of connections are a table of fixed size that a keyed hash
 * chooses from, so that no number of connections takes more memory; two that meet in one share it. */
#ifndef COORDINATOR_LIMITS_H
#define COORDINATOR_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/*      limit            whose       burst  each_second */
#define LIMITS(ROW)                                                                                                    \
    ROW(LIMIT_MESSAGES, EACH, 16000, 8000) /* 1 for a message, and 1 for each LIMIT_UNIT_BYTES of it */                \
    ROW(LIMIT_HELLOS, EACH, 10, 1)         /* each is answered by the whole run: yaml texts, options, hyps */          \
    ROW(LIMIT_PIECES, ALL, 256, 64)        /* pieces of files for those who have not shown that they read */           \
    ROW(LIMIT_WORDS, ALL, 2000, 2)         /* lines of the log and the store about workers that come and go */
#define LIMITS_AS_ID(id, ...) id,
typedef enum limit_kind { LIMITS(LIMITS_AS_ID) LIMIT_COUNT } limit_kind;

enum {
    LIMIT_UNIT_BYTES = 256,
    LIMIT_SLOTS = 4096,                          /* buckets of connections, of each kind */
    LIMIT_TELL_MS = 60000,                       /* of one bucket is told no more often than this */
    LIMIT_SESSIONS = 4096,                       /* that a coordinator knows at a time, */
    LIMIT_SESSIONS_KEY = 2048,                   /* and of one key */
    LIMIT_STOPS = 32,                            /* that one Heartbeat is answered by; the next one brings more */
    LIMIT_LOG_BYTES = 16384,                     /* of an attempt's log that is kept: its end */
    LIMIT_LOGS = 500,                            /* attempts whose log is kept, of one start of a coordinator */
    LIMIT_MESSAGE_BYTES = (1 << 20) + (1 << 16), /* of a worker's message: a piece of a file and what is around it */
    LIMIT_FILES = 4096,                          /* files that workers have and that are still to come, */
    LIMIT_WEIGHTS_AT_ONCE = 4,                   /* trained weights that come at a time, */
    LIMIT_CHECKPOINTS_AT_ONCE = 16,              /* and checkpoints, whose workers are about to leave */
    LIMIT_QUEUE_IN = 256,                        /* messages of a connection that wait to be read, */
    LIMIT_QUEUE_OUT = 1000,                      /* and to be sent */
};

/* Of all checkpoints that wait in a run folder. */
#define LIMIT_CHECKPOINT_BYTES ((int64_t)64 << 30)

typedef enum limit_answer {
    LIMIT_FINE,
    LIMIT_OVER_FIRST, /* too much, and worth a word */
    LIMIT_OVER,       /* too much, as has been said */
} limit_answer;

typedef struct limits limits;

/* ERR_MEMORY; ERR_IO without random numbers. */
status limits_create(limits **out);
void limits_destroy(limits **l);
/* Give back what was taken for something that was asked for. */
void limits_give_back(limits *l, limit_kind kind, const void *who, size_t count, double cost);
/* Take `cost` from the bucket of `who` (`count` bytes; not looked at for a limit of all). Time is monotonic. */
limit_answer limits_take(limits *l, limit_kind kind, const void *who, size_t count, double cost, int64_t now_ms);

#endif
