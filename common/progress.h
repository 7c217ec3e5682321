/* progress.h - a line that says how far a long job is.
 *
 * On a terminal one line is redrawn (bar, count, rate, time left); elsewhere a plain line comes at most every few seconds,
 * so that log files stay readable. Written to standard error. One at a time a process. */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *unit; /* of the rate: "batch", "image"; borrowed */
    int64_t total, done;
    double started, shown; /* clock_seconds */
    double plain_every;    /* seconds between plain lines */
    bool terminal, silent;
} progress;

/* `total` steps lie ahead. Silent when the log level is below info. */
void progress_start(progress *p, int64_t total, const char *unit);
/* `done` steps are behind, `words` says what is going on; drawn only as often as is useful. */
void progress_show(progress *p, int64_t done, const char *words);
/* Draw the last state and end the line. */
void progress_finish(progress *p, const char *words);

#endif
