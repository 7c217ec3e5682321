/* commands.h - `coordinator status --run DIR` and its like: commands that look at a run folder, or pause the run in it.
 *
 * They work beside a coordinator and without one. Except for pause and resume they only read. On a file system of several machines a
 * coordinator has the store for itself: there `status` prints what it wrote last, pause and resume leave their wish, and the others wait
 * for its end. */
#ifndef COORDINATOR_COMMANDS_H
#define COORDINATOR_COMMANDS_H

#include <stdbool.h>

#include "coordinator/run.h"

/* The names, separated by |. */
extern const char command_names[];
/* Is this one of them? */
bool command_exists(const char *name);
/* Run a command; argv[0] is its name, options follow. Output goes to standard output, one sentence about what went wrong to
 * standard error. Returns the exit status: 0; 1 when it failed (verify: or a child differs); 2 for a bad command line. */
int command_run(const char *name, int argc, char **argv);

/* Append what `status` prints of a run that is open in this process. */
status command_describe(const run *r, text *out);

#endif
