/* confirm.h - is a run's best better, or was it lucky? `coordinator confirm` trains the best rows and the start again, with other
 * seeds, and compares their means.
 *
 * A confirmation is a candidate of a store of its own, RUN/confirm/store.sqlite: so it neither counts nor breeds, stands in no
 * evolve.txt, and `verify` sees nothing of it, while leases, retries and results are those of any run. It lies in a folder of its own
 * with what belongs to it; the lock, the socket, keys and access files are the run's, so that the same workers come. The row that
 * it trains again is its only parent (0: the start), its seed the setting "seed of N". Confirming again, with more rows or seeds, trains
 * only what is missing. */
#ifndef COORDINATOR_CONFIRM_H
#define COORDINATOR_CONFIRM_H

#include "coordinator/options.h"
#include "coordinator/run.h"
#include "coordinator/evolve/spread.h"
#include "coordinator/ledger/trials.h"

enum { CONFIRM_SEEDS_MOST = 100, CONFIRM_TOP_MOST = 1000 };

/* ---- the command ---- */

/* `coordinator confirm ...`; argv[0] is its name. Returns the exit status. */
int confirm_command(int argc, char **argv);

/* ---- what is to be confirmed ---- */

/* Open the run in `folder` for that: the best `top` of its rows and its start, `seeds` seeds each. As run_open does, but that nothing
 * of a new run is made: ERR_NOT_FOUND when there is none, or none of its candidates has been evaluated. */
status confirm_open(const char *folder, const coordinator_options *o, int64_t top, int64_t seeds, int64_t now_ms,
                    int64_t wall_ms, run *out);

/* ---- what has come of it ---- */

typedef struct confirm_row {
    int64_t candidate; /* of the run; 0: the start */
    double hyps[HYP_MAX];
    double single;           /* its fitness in the run; NAN: it was not evaluated there */
    spread fitness;          /* over its seeds */
    int64_t waiting, failed; /* seeds that are still to come, and that did not work out */
} confirm_row;

typedef struct confirm_table {
    confirm_row *rows; /* best mean first */
    size_t count, room;
} confirm_table;

/* Read RUN/confirm. `spec` and `parent` are the run's. No rows when nothing was ever confirmed. Free it with confirm_free. */
status confirm_read(const char *folder, const run_spec *spec, const trials *parent, confirm_table *out);
void confirm_free(confirm_table *t);
/* The row with the best mean; NULL: none has one. */
const confirm_row *confirm_best(const confirm_table *t);
/* Append it as a table of lines with `front` before each, and what follows from it. `lucky` is the run's own best candidate. ERR_MEMORY. */
status confirm_words(const confirm_table *t, int64_t lucky, const char *front, text *out);
/* Write RUN/hyp_confirmed.yaml: the hyps of the best mean, as `train --hyp` takes them. */
status confirm_write_best(const char *folder, const run_spec *spec, const confirm_table *t);

#endif
