/* blobs.h - files that workers hand over: how they arrive, and where a run folder keeps them.
 *
 *   weights/candidate_N.pt     trained weights of candidate N
 *   weights/best.pt            a link to the best of them
 *   checkpoints/N-HASH.pt      of candidate N, which was preempted: what its next attempt goes on from
 *   parts/N-A-HASH.part        one that is arriving, of attempt A; what is there of it is not sent again
 *
 * A file gets its name only when all of it is there, is the one that was announced, and is on the disk: a thread of its own sees to
 * that, since it takes as long as the disk does. Nothing here knows of sessions, or of which files are wanted. */
#ifndef COORDINATOR_BLOBS_H
#define COORDINATOR_BLOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/fs.h"
#include "common/status.h"
#include "proto/wire.h"

/* ---- arriving ---- */

typedef struct blob blob;

typedef struct blob_request {
    const char *folder; /* of the run */
    const char *path;   /* that it gets when it is there */
    token of;           /* the attempt that it came about in */
    const char *hash;   /* 32 hex digits */
    int64_t bytes;      /* 1 to WIRE_FILE_MOST */
} blob_request;

/* A file that fills the disk is not worth having: so much has to be left when it is there. */
#define BLOB_ROOM_LEFT ((int64_t)64 << 20)

/* Begin, or go on, with a file. ERR_NO_SPACE: there would not be enough room left on the disk; ERR_IO, ERR_MEMORY. */
status blob_start(const blob_request *request, blob **out);
/* The next byte that is wanted; the number of bytes when all have come. */
int64_t blob_offset(const blob *b);
/* The bytes from there on. With the last one it begins to be checked and put in its place. ERR_PROTOCOL: more than there is. */
status blob_take(blob *b, const void *data, size_t count);
/* ERR_TIMEOUT: not there yet. OK: the file is in its place. ERR_FORMAT: it is not the one that was announced, and gone; ERR_IO... */
status blob_finished(blob *b);
/* Waits for its thread. What is there of one that is not finished stays for blob_start, or goes, too. Sets *b to NULL. */
void blob_destroy(blob **b, bool forget);

/* ---- kept ---- */

/* Paths; the caller frees; NULL without memory. */
char *blobs_weights_path(const char *folder, int64_t candidate);
char *blobs_checkpoint_path(const char *folder, int64_t candidate, const char *hash);
/* The candidate whose weights best.pt is; 0: there is none. */
int64_t blobs_best(const char *folder);
/* Let best.pt be those of this candidate. */
status blobs_set_best(const char *folder, int64_t candidate);
/* Look at every checkpoint that is kept, and remove those that are not `needed`. */
void blobs_sweep_checkpoints(const char *folder, bool (*needed)(void *state, int64_t candidate, const char *hash),
                             void *state);
/* Bytes of all checkpoints. */
int64_t blobs_checkpoint_bytes(const char *folder);
/* Remove what began to arrive and will not go on: the run is over. */
void blobs_drop_parts(const char *folder);

#endif
