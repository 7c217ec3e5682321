/* bucket.h - a run's evolve.txt and hyp_evolved.yaml shared through a folder elsewhere (--bucket).
 *
 * Sharing is a round: what is there is fetched, its owner takes in the rows that it does not have, and what it then has goes there. So
 * nobody's rows are lost, whoever else shares through the same bucket: they are overwritten only by a file that has them. Rounds follow
 * each other while there is something new, the newest state wins, and one that fails is tried again, less and less often. Copies are
 * processes that are looked at now and then: nothing here waits. */
#ifndef COORDINATOR_BUCKET_H
#define COORDINATOR_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

typedef struct bucket bucket;

/* For a run in `folder`, whose RUN/bucket is used meanwhile. Both are copied. There is something to share at once. ERR_MEMORY, ERR_IO. */
status bucket_create(const char *address, const char *folder, bucket **out);
void bucket_destroy(bucket **b);

/* There is something new to share. */
void bucket_due(bucket *b);

typedef enum bucket_event {
    BUCKET_NOTHING,
    BUCKET_FETCHED, /* what is there has come, or there is nothing: bucket_share or bucket_refuse has to follow, now or later */
} bucket_event;

/* Look how it stands and start what is due. */
bucket_event bucket_follow(bucket *b, int64_t now_ms);
/* The evolve.txt that has been fetched; NULL: there is none. Borrowed. */
const char *bucket_fetched(const bucket *b);
/* The run's files have all that was fetched: let them go there. They may be replaced meanwhile. */
void bucket_share(bucket *b, int64_t now_ms);
/* Nothing goes there, since what was fetched (status_message says what is wrong with it) would be lost. It is looked at again. */
void bucket_refuse(bucket *b, int64_t now_ms);

/* Is all that was due shared? */
bool bucket_settled(const bucket *b);
/* Does a copy run, so that it is worth looking again soon? */
bool bucket_copies(const bucket *b);

/* Fetch evolve.txt once, and wait for it: at the start of a run. In *path where it is, NULL if there is none; the caller frees. ERR_TIMEOUT
 * with words when it cannot be had within patience_ms; ERR_STOPPED when a signal comes. */
status bucket_fetch(const char *address, const char *folder, int64_t patience_ms, char **path);

#endif
