/* pace.h - how long a run still takes, from when its last results came.
 *
 * Results come in bursts, as many as there are attempts under way; so the mean distance is taken over four rounds of all
 * attempts, and at least ten results. Time comes in as an argument. {.evaluated = -1} is a pace that knows nothing. */
#ifndef COORDINATOR_PACE_H
#define COORDINATOR_PACE_H

#include <stddef.h>
#include <stdint.h>

enum { PACE_MOST = 256 };
typedef struct pace {
    int64_t started_ms;          /* of the first note */
    int64_t evaluated;           /* in the last note; -1: there was none */
    int64_t arrivals[PACE_MOST]; /* when results came, a ring */
    size_t count;                /* of results that came, ever */
} pace;
#define PACE_START ((pace){.evaluated = -1})

/* So many are evaluated now. `now_ms` is monotonic. */
void pace_note(pace *p, int64_t evaluated, int64_t now_ms);
/* Seconds until `generations` are evaluated, with `running` attempts under way: what remains times the mean distance of the last
 * results, less what has passed of it. NAN while nothing is known, or nothing remains. */
double pace_seconds_left(const pace *p, int64_t generations, size_t running, int64_t now_ms);

#endif
