/* kinds.h - the kinds of chaos runs.
 *
 * A job is one run of a kind with a plan and a seed. The plan of `kills` is made from what the runs before have hit; all else follows from
 * the seed. */
#ifndef CHAOS_KINDS_H
#define CHAOS_KINDS_H

#include "tests/chaos/stage.h"

/* How often each place was hit by a kill, and how often it was passed. */
typedef struct tally {
    long kills[PLACES], passes[PLACES];
    long planned[PLACES]; /* kills in jobs that run */
} tally;

typedef struct kind {
    const char *name, *meaning;
    int runs, short_runs; /* in the whole suite and in the short one */
    /* The plan of the run of this number, counted from 0; NULL: they need none. */
    status (*plan)(tally *t, keyed_rng *draw, int number, text *plan);
    /* Set the stage for one run, up to and with stage_set. `plan` is the job's. */
    status (*set)(stage *s, const char *plan);
    /* What such runs need and is not here; NULL: nothing. */
    const char *(*needs)(void);
} kind;

extern const kind kinds[];
enum { KINDS = 3 };
const kind *kind_find(const char *name);

/* ---- kills.c ---- */

enum { KILLS_LEAST = 3 };
/* What was hit least: "ACTOR|PLACE|N" joined by commas. */
status kills_plan(tally *t, keyed_rng *draw, int number, text *plan);
/* Is there a place that was hit less than KILLS_LEAST times? */
bool kills_are_missing(const tally *t);
status kills_set(stage *s, const char *plan);

/* ---- disks.c ---- */

/* Which fault of layer/disk.h, and at which step of the first start; each later start has the step after that: "eio|1|16". */
status disks_plan_store(tally *t, keyed_rng *draw, int number, text *plan);
status disks_plan_spool(tally *t, keyed_rng *draw, int number, text *plan);
status disks_set_store(stage *s, const char *plan);
status disks_set_spool(stage *s, const char *plan);
enum { DISKS_STORE_RUNS = 35, DISKS_SPOOL_RUNS = 21 };

#endif
