/* kinds.h - the kinds of chaos runs.
 *
 * A job is one run of a kind with a plan and a seed. The plan of `kills` is made from what the runs before have hit; all else follows from
 * the seed. */
#ifndef CHAOS_KINDS_H
#define CHAOS_KINDS_H

#include "tests/chaos/stage.h"

/* How often each place was hit by a kill, and how often it was passed. */
typedef struct tally {
    long kills[PLACES], cuts[PLACES], stops[PLACES], passes[PLACES];
    long planned[PLACES]; /* kills in jobs that run */
    int64_t *healed_ms;   /* after a partition, until both sides heard of each other again */
    size_t healed_count, healed_room;
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
enum { KINDS = 12 };
const kind *kind_find(const char *name);

/* ---- what weather.c and networks.c share ---- */

/* Is it time for the next thing to happen? Then that after it comes after `least` to `most` milliseconds. Never once the run
 * is to come to its end. */
bool weather_is_due(stage *s, int64_t least, int64_t most);
/* Enough to do while something happens, and little afterwards. */
status weather_set(stage *s);

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
/* The power goes at places of the protocol, and not while the disk is at work. */
status disks_set_power(stage *s, const char *plan);
enum { DISKS_STORE_RUNS = 35, DISKS_SPOOL_RUNS = 21 };

/* ---- networks.c ---- */

status proxied_set(stage *s, const char *plan);
status partitioned_set(stage *s, const char *plan);
status lossy_set(stage *s, const char *plan);
status moved_set(stage *s, const char *plan);

/* ---- weather.c ---- */

status frost_set(stage *s, const char *plan);
status suspended_set(stage *s, const char *plan);
status clocks_set(stage *s, const char *plan);
status trained_set(stage *s, const char *plan);

#endif
