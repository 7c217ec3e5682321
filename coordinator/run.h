/* run.h - a run folder, opened by the one coordinator that may write it. */
#ifndef COORDINATOR_RUN_H
#define COORDINATOR_RUN_H

#include "coordinator/ledger/ledger.h"
#include "coordinator/options.h"
#include "coordinator/spec/spec.h"
#include "coordinator/store/owner.h"
#include "coordinator/store/store.h"
#include "proto/wire.h"

typedef struct run {
    char *folder; /* that all of it lies in; absolute */
    char *home; /* by which workers and people know it: the same, but for confirmations, which lie in a folder within */
    char *name;
    int lock;
    owner *owner; /* NULL: the folder is on a disk of this machine */
    store *store;
    run_spec spec;
    wire_id id;
    uint64_t epoch;
    ledger_options ledger_options;
    ledger *ledger;
    char *bucket;  /* to share through; "": none. As it was said, else as it was when the run was started */
    run_keep keep; /* as it was said, else as it was when the run was started last */
    bool is_new;
    bool was_over;     /* when it was opened */
    int64_t opened_ms; /* monotonic; leases count from then */
    int64_t *seeds;    /* of confirmations: candidate 1's training seed, 2's, ...; NULL: all train with the run's */
} run;

/* Append how a run stands. */
typedef status run_describe(const run *r, struct text *out);

/* What was said on the command line. */
typedef struct run_request {
    const coordinator_options *o;
    const bool *given; /* COORDINATOR_ROWS */
    const train_options *train;
    const bool *train_given; /* TRAIN_ROWS */
} run_request;

/* Open or start the run that the options name. A folder with a store goes on with it: with no option of the specification it is
 * taken as it is, otherwise they must be the same. A new one takes in --import, or an evolve.txt that lies there. On return the
 * new epoch is committed. Errors: ERR_BUSY (another coordinator, with its pid), ERR_REFUSED (another specification), and those
 * of reading files; nothing of a new run is left then but its folder. */
status run_open(const run_request *request, int64_t now_ms, int64_t wall_ms, run *out);
void run_close(run *r);
/* Take the lock of RUN, and lead it where other machines may see it (`shared`, or so recognised), until run_close. ERR_BUSY, with who has
 * it; the others of owner_take. From then on it is not over: r->was_over is whether RUN/finished said so. */
status run_lock(const char *folder, bool shared, run *r);
/* Write RUN/finished: workers that come later need not wait for a coordinator. */
void run_note_end(const run *r);
/* The seed of a candidate's training. */
int64_t run_training_seed(const run *r, int64_t candidate);

/* Read the ledger again from the store, after a commit that failed. */
status run_reload(run *r, int64_t now_ms);

/* RUN, from --run, --name and the working directory; the caller frees. For commands on a folder, too. */
char *run_folder(const char *run, const char *name);

#endif
