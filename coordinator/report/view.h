/* view.h - what a person sees while a coordinator runs, and at the end.
 *
 * On a terminal a block of a few lines is redrawn in place: one for the run (bar, evaluated of all, best, time left), one for
 * what holds it up, one for each live attempt. Elsewhere a plain line comes when something has happened, and otherwise every
 * few seconds, so that log files stay readable. Time and numbers come in as arguments; the view asks nobody. */
#ifndef COORDINATOR_VIEW_H
#define COORDINATOR_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/text.h"
#include "coordinator/evolve/population.h"
#include "coordinator/spec/spec.h"

/* ---- while it runs ---- */

typedef struct view_attempt {
    const char *worker; /* a short name: host, or host and device. NULL: unknown. Need not be trusted: it is cleaned. */
    int64_t slot, candidate;
    int64_t epoch, epochs, step, steps; /* from 0 as the trainer counts; epochs 0: nothing was heard yet */
    double loss, images_per_s;          /* NAN: not known */
    double silent_s;                    /* since the worker was heard */
} view_attempt;

/* A snapshot. Everything is borrowed for the call. */
typedef struct view_state {
    const char *name; /* of the run */
    int64_t generations, evaluated, failed, waiting;
    int64_t workers;     /* that are connected */
    int64_t best;        /* candidate, imported rows below 0; 0: none yet */
    double best_fitness; /* NAN: none */
    double base_fitness; /* of candidate 1; NAN: not known */
    const char *notice;  /* what holds the run up ("paused", "no space left on the disk"); NULL: nothing */
    const view_attempt *attempts;
    size_t attempt_count;
} view_state;

typedef struct view view;

/* Draw to `to` (stderr; borrowed), as a block if it is a terminal. Silent when the log level is below info. ERR_MEMORY. */
status view_create(FILE *to, view **out);
/* For tests: as on a terminal of that size (0 x 0: as elsewhere). */
status view_create_sized(FILE *to, int width, int height, view **out);
/* Draw a snapshot if it is time to; call as often as you like. `now_ms` is monotonic. */
void view_show(view *v, const view_state *state, int64_t now_ms);
/* Take the block off the screen, before a line of the log is written; the next view_show draws it again. */
void view_hide(view *v);
/* Hide and free. */
void view_destroy(view **v);

/* Seconds as people say them: "45 s", "12 min", "1 h 20 min", "3 d 4 h". */
enum { VIEW_TIME_ROOM = 32 };
void view_time(double seconds, char words[VIEW_TIME_ROOM]);

/* A fitness or a difference of two (then with its sign): four decimals, or where those would say nothing, three digits. */
enum { VIEW_NUMBER_ROOM = 32 };
const char *view_number(double value, bool with_sign, char words[VIEW_NUMBER_ROOM]);

/* ---- at the end ---- */

/* Append what a run has come to: the best hyperparameters with the changed ones marked, their gain over the start, where the
 * files are, and the command that trains with them. `p` has the run's members, `folder` is the run's. ERR_MEMORY. */
status view_closing(const run_spec *spec, const population *p, const char *folder, text *out);
/* Append the command that trains with FOLDER/hyp_evolved.yaml as the run trained its candidates, ready for a shell; of an external
 * trainer only that file is known. */
status view_train_command(const run_spec *spec, const char *folder, text *out);

#endif
