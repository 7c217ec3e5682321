/* reporter.h - evolve.txt, hyp_evolved.yaml and evolve.png, written by a thread of their own while the coordinator answers.
 *
 * The thread has its own copy of the population, which grows by what it is told. It writes at most every REPORT_EVERY_MS, the picture at
 * most every PLOT_EVERY_MS, and spends no more than a part of its time on it however many rows there are. */
#ifndef COORDINATOR_REPORTER_H
#define COORDINATOR_REPORTER_H

#include "coordinator/evolve/population.h"
#include "coordinator/spec/spec.h"

enum { REPORT_EVERY_MS = 200, PLOT_EVERY_MS = 30000 };

typedef struct reporter reporter;

/* For a run in `folder`. Both are borrowed. ERR_MEMORY, ERR_IO when there can be no thread. */
status reporter_create(const char *folder, const run_spec *spec, reporter **out);
/* There are members that it may not have been told of: those after the first ones that it has. ERR_MEMORY: tell it again. */
status reporter_tell(reporter *r, const population *p);
/* Write what it was told, the picture as well, and wait until that is done. */
void reporter_finish(reporter *r);
/* How many of the members, counted from the first, are in the files. */
size_t reporter_written(reporter *r);
/* At the end: are the first `count` members in the files? What could not be written is tried once more. ERR_IO, with what went wrong. */
status reporter_complete(reporter *r, size_t count);
/* What went wrong since the last call, one sentence that the caller frees; NULL: nothing. What could not be written is tried again with the
 * next results. */
char *reporter_problem(reporter *r);
/* Ends the thread; what it was told and has not written is left. */
void reporter_destroy(reporter **r);

/* The same at once, by the caller. Writes hyp_best.yaml as well, where a part of the hyps evolves. */
status report_run(const run_spec *spec, const population *p, const char *folder, bool plot);

#endif
