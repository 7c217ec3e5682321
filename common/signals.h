/* signals.h - the process's stop flag. */
#ifndef COMMON_SIGNALS_H
#define COMMON_SIGNALS_H

#include "common/status.h"

typedef enum signals_wish {
    SIGNAL_NONE,
    SIGNAL_END,   /* SIGINT: end soon, keep what is there */
    SIGNAL_YIELD, /* SIGTERM, SIGUSR1: preempted; hand the work on and leave within the grace time */
} signals_wish;

/* Install handlers for SIGINT, SIGTERM, SIGUSR1 and ignore SIGPIPE. A second SIGINT ends the process at once. */
status signals_start(void);
/* What has been asked so far; SIGNAL_END wins. Cheap enough for every turn of a loop. */
signals_wish signals_seen(void);
/* Forget what was seen (tests). */
void signals_clear(void);

#endif
