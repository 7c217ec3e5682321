/* record.h - the history of a chaos run, read line by line, and what it says of each attempt.
 *
 * The coordinator's lines are replayed: what it has written, what of it is committed, and what a later start reads again. The workers'
 * lines say what they held, spooled and forgot. */
#ifndef CHAOS_RECORD_H
#define CHAOS_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text.h"

typedef struct event {
    int64_t us;
    const char *who, *what, *words; /* in the line */
    int64_t candidate, attempt;
    uint64_t epoch;
} event;

/* An attempt, as far as the history knows it. States are the store's words; "": none. */
enum { STATE_ROOM = 12 };
typedef struct track {
    int64_t candidate, attempt;
    uint64_t epoch;
    char committed[STATE_ROOM]; /* what the disk has */
    char pending[STATE_ROOM];   /* what this turn made of it; "": nothing */
    char doubtful[STATE_ROOM];  /* what a commit that did not return may have left; "": nothing */
    bool read;                  /* by the coordinator that is being started */
    int64_t leased_us;          /* or renewed */
    char *worker;               /* that was given it, "worker 0"; NULL: none yet */
    char *results;              /* as they were spooled; NULL: none */
    bool spooled, forgotten;
    bool answered, unwanted; /* its worker has heard ResultAck; that nobody wants it */
} track;

typedef struct record {
    track *tracks;
    size_t count, room;
    int64_t opened_us; /* when the coordinator that lives was started */
    bool opening, committing;
    size_t lines;
    text *faults;
    int64_t generations, lease_us;
} record;

/* Read all of it, into a record that is {0} but for faults and what they are judged by. What contradicts the rules goes to faults.
 * Errors are those of reading. */
status record_read(const char *path, record *r);
void record_free(record *r);
/* NULL: never heard of. */
track *record_find(const record *r, int64_t candidate, int64_t attempt);

/* Call `visit` with every line. */
status record_each(const char *path, status (*visit)(void *state, const event *e), void *state);

#endif
