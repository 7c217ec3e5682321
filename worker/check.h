/* check.h - what a worker finds out about a run before it trains for it: which data set lies here, and whether the weights do.
 *
 * It reads every label file and whole weights, which may take minutes, so it goes on in a thread of its own; the loop polls a
 * descriptor and takes the findings. */
#ifndef WORKER_CHECK_H
#define WORKER_CHECK_H

#include <stdbool.h>

#include "common/data_yaml.h"
#include "common/status.h"

typedef struct check check;

/* Texts are copied; NULL and "" are the same. */
typedef struct check_request {
    const char *data_yaml; /* text; "": no data set is to be looked at */
    const char *data_root; /* where its relative paths start */
    bool inside;           /* every source, and every picture of a list, must lie below data_root */
    const char *hash;      /* of a file that is needed: weights or a checkpoint; "": none */
    const char *hint;      /* where it may lie; "": nowhere but the cache */
    const char *fetched; /* where it has just been fetched to: moved into the cache if the hash agrees, else removed */
    const char *own;     /* a path that it gets instead of one in the cache; "": none */
} check_request;

typedef struct check_findings {
    bool has[DATA_SPLITS]; /* train and val always, test where it is there */
    data_digest digests[DATA_SPLITS];
    char *file; /* where the file with the hash is; NULL: not on this machine */
} check_findings;

status check_start(const check_request *request, check **out);
/* Readable once the findings are there. */
int check_descriptor(const check *c);
/* ERR_TIMEOUT: not yet. Otherwise what came of it, status_message included; the caller frees *out with check_findings_free. */
status check_take(check *c, check_findings *out);
/* Sets *c to NULL. One that still runs ends by itself, unnoticed. */
void check_destroy(check **c);
void check_findings_free(check_findings *f);

/* Files by content are kept in $XDG_CACHE_HOME/mendel/weights (or ~/.cache/mendel/weights): HASH.pt, and HASH.WORKER.part while a
 * worker fetches it. The path of such a name; the caller frees; NULL without memory or home. */
char *check_cache_path(const char *name);

#endif
