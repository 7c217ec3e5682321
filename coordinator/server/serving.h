/* serving.h - an opened run served to its end: where it listens, its dashboard, workers on this machine, the server. */
#ifndef COORDINATOR_SERVING_H
#define COORDINATOR_SERVING_H

#include "coordinator/options.h"
#include "coordinator/run.h"
#include "coordinator/server/server.h"

/* Is what the options say of serving right in itself? To be asked before anything is opened. ERR_ARGUMENT, with the option. */
status serving_check(const coordinator_options *o);

/* Listen, serve until the run ends or a signal comes. `describe` as server_options has it. Errors are those of the options that this run
 * cannot do with, of listening, and of the store. */
status serving_run(const coordinator_options *o, run *r, run_describe *describe, server_end *end);

/* Say why a run has stopped before its end, and with what exit status: 3 when it was broken, else that of the signal. */
int serving_tell_stop(const run *r, server_end end);

#endif
