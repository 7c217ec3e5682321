/* need.h - a file that a training needs, named by its content: weights, or a checkpoint to go on from.
 *
 * It is looked for where the coordinator has it (on its own machine) and in the cache, else asked for piece by piece. */
#ifndef WORKER_NEED_H
#define WORKER_NEED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"
#include "proto/wire.h"
#include "worker/check.h"

typedef enum need_state {
    NEED_NOTHING, /* no file: {0} */
    NEED_CHECKING,
    NEED_FETCHING,
    NEED_HERE,
    NEED_FAILED, /* words say why */
} need_state;

typedef struct need {
    need_state state;
    char *hash, *path, *words;
    char *own;      /* its path once it is fetched; NULL: one in the cache */
    char *part;     /* where it is fetched to */
    int descriptor; /* of part */
    check *check;
    int64_t offset;   /* the next byte wanted */
    int64_t ask_ms;   /* when to ask (again) */
    int64_t heard_ms; /* of the last piece, or the start */
} need;

/* Look for a file. `hash` may be "": nothing is needed. One that has to be fetched goes into the cache, where `worker_id` keeps two
 * workers' parts apart; with `own` (else NULL) it goes to that path, and lives as long as the need. */
status need_start(need *n, const char *hash, const char *hint, const char *own, const char *worker_id, int64_t now_ms);
/* Is the file there, or none needed? */
bool need_met(const need *n);
/* To be polled; -1: nothing. */
int need_descriptor(const need *n);
/* Take what a check has found. */
void need_follow(need *n, int64_t now_ms);
/* Is it time to ask for the piece at n->offset? */
bool need_wants(const need *n, int64_t now_ms);
/* A piece of some file: false if it is not of this one. */
bool need_take(need *n, const Mendel__Blob *piece, int64_t now_ms);
/* Back to {0}. */
void need_clear(need *n);

#endif
