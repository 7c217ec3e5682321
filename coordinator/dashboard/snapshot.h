/* snapshot.h - how a run stood at a moment: a copy that goes from the coordinator's thread to the HTTP thread. */
#ifndef COORDINATOR_DASHBOARD_SNAPSHOT_H
#define COORDINATOR_DASHBOARD_SNAPSHOT_H

#include "common/text.h"
#include "coordinator/dashboard/dashboard.h"

typedef struct snapshot {
    dashboard_state state; /* its texts and workers are the snapshot's own */
    int64_t taken_ms;      /* monotonic */
} snapshot;

/* NULL without memory. */
snapshot *snapshot_copy(const dashboard_state *s, int64_t now_ms);
void snapshot_destroy(snapshot *s);
/* Append it as JSON, in one line. `trials` is the number of the last change, `start` tells one start of the dashboard from another.
 * `s` may be NULL: nothing was published yet. */
void snapshot_write(const snapshot *s, const char *start, uint64_t trials, int64_t now_ms, text *out);
const char *dashboard_phase_name(dashboard_phase p);

#endif
