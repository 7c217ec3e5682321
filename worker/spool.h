/* spool.h - a worker's folder on disk: who it is, and what it still has to deliver.
 *
 *   lock            held by the one worker that uses the folder
 *   worker-id       32 hex digits, made once
 *   delivery-N      a Result, Failed or Yield that no ResultAck has come for, numbered in the order they were made:
 *                     "mendel-delivery-1 HASH BYTES\n", then the packed Envelope (its run names whom it is for);
 *                     HASH is fs_hash_bytes of those BYTES
 *   delivery-N.damaged  one that could not be read: kept for people
 *   checkpoints/    HASH.pt of trainings that were yielded: a Yield names it. Whoever goes on with one may find it here, if storage
 *                   is shared; gone when the coordinator has it, else after a week
 *   weights/        HASH.pt, trained: a Result names it. Gone with that
 *   fetched/N.pt    what slot N goes on from, where the coordinator had to send it
 *   trials/slot-N/  what a trainer writes
 *
 * A delivery is on disk, folder included, before spool_put returns. Where the disk is full or broken it is kept in
 * memory instead, sent all the same, and written as soon as that works. */
#ifndef WORKER_SPOOL_H
#define WORKER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "proto/wire.h"

typedef struct spool spool;

typedef struct delivery {
    envelope *e; /* Result, Failed or Yield; owned by the spool */
    wire_id run;
    token token;
    uint64_t number;
    bool on_disk;
    int64_t next_ms; /* when to send it (again); the spool only keeps it, 0 at first */
    bool known;      /* acknowledged, and here for its file alone; the spool only keeps it, false at first */
} delivery;

/* Open a folder, made when missing, and read what lies there. NULL: the first free one of
 * $XDG_STATE_HOME/mendel/spool/N (or ~/.local/state/mendel/spool/N), one with deliveries before others. ERR_BUSY:
 * another worker has it; ERR_IO and others: it cannot be written. */
status spool_open(const char *folder, spool **out);
/* Give the lock back; what lies there stays. Sets *s to NULL. */
void spool_close(spool **s);

const char *spool_folder(const spool *s);    /* absolute */
const char *spool_worker_id(const spool *s); /* 32 hex digits */

/* Take *e, an unpacked envelope with one of the three bodies, into the spool. An attempt has one delivery: a second one
 * for the same token is dropped, OK. ERR_MEMORY: then *e stays the caller's. */
status spool_put(spool *s, envelope **e);
/* Forget the delivery of an attempt, on disk too, with the weights that it names; there may be none. True if there was one. */
bool spool_remove(spool *s, const wire_id *run, token t);
/* The same, of one whose file somebody else has now: that of a Yield goes too. */
bool spool_hand_over(spool *s, const wire_id *run, token t);

/* In order. Valid until the next put or remove. */
size_t spool_count(const spool *s);
delivery *spool_at(spool *s, size_t i);
/* Those for one run. */
size_t spool_count_of(const spool *s, const wire_id *run);
delivery *spool_find(spool *s, const wire_id *run, token t);

/* Write what could not be written so far. */
void spool_retry(spool *s);
/* Deliveries that are in memory alone. */
size_t spool_unwritten(const spool *s);

typedef enum spool_shelf { SPOOL_CHECKPOINTS, SPOOL_WEIGHTS } spool_shelf;
typedef struct spool_file {
    char hash[FS_HASH_ROOM];
    int64_t bytes;
    char *path; /* absolute; the caller frees */
} spool_file;
/* Move a file to its shelf, for a delivery that will name it. ERR_BUSY: so many weights wait to be handed over that these are not to
 * be kept; ERR_RANGE: it is too large to travel. On error it is where it was. */
status spool_keep(spool *s, spool_shelf shelf, const char *file, spool_file *out);
/* The delivery of this run that names the file with this hash; NULL: none does. */
delivery *spool_find_file(spool *s, const wire_id *run, const char *hash);
/* Of a delivery: has it a file? Then its size, and its path in *path unless that is NULL; the caller frees. */
bool spool_file_of(const spool *s, const delivery *d, int64_t *bytes, char **path);
/* fetched/N.pt; the caller frees; NULL without memory. */
char *spool_fetched_path(const spool *s, int64_t slot);
/* trials/slot-N, empty. The caller frees. */
status spool_slot_folder(const spool *s, int64_t slot, char **folder);

#endif
