/* history.h - all trials of the run, in the order of their last change. Of the HTTP thread alone. */
#ifndef COORDINATOR_DASHBOARD_HISTORY_H
#define COORDINATOR_DASHBOARD_HISTORY_H

#include "coordinator/dashboard/trial.h"

enum { HISTORY_LOGS_MOST = 8 << 20 }; /* bytes of logs that are kept, those of the latest changes */

typedef struct history {
    trial **bred, **imported; /* candidate n is bred[n - 1], imported row -n is imported[n - 1]; may have gaps */
    size_t bred_count, bred_room, imported_count, imported_room;
    trial *oldest, *newest; /* by change */
    uint64_t changes;       /* so far: the number of the last */
    size_t log_bytes;
    int64_t attempts, lost, crashes; /* of all */
} history;

/* Takes the trial, in place of the one of its number. One that brings nothing new is dropped. Without memory it is, too. */
void history_take(history *h, trial *t);
void history_free(history *h);
/* NULL: there is none. */
const trial *history_find(const history *h, int64_t number);
/* The first change after `since`; ->newer leads on. NULL: there is none. */
const trial *history_after(const history *h, uint64_t since);

#endif
