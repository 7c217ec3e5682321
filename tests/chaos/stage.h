/* stage.h - one chaos run: a folder, a coordinator, workers, what happens around them, and whether they come through.
 *
 *   FOLDER/run          the run
 *   FOLDER/history      what every process says that it does (layer/layer.h)
 *   FOLDER/N.spool      of worker N
 *   FOLDER/NAME.log     what the processes print
 *
 * All that is decided by chance comes from one seed; what the machine's timing makes of it is another matter. */
#ifndef CHAOS_STAGE_H
#define CHAOS_STAGE_H

#include "common/rng.h"
#include "tests/chaos/actor.h"
#include "tests/chaos/places.h"

struct wire_state;

enum { WORKERS_MOST = 4, LEASE_MS = 1500, HEARTBEATS_A_LEASE = 6 };

/* What all runs share. */
typedef struct theatre {
    const char *programs; /* folder of coordinator and worker, built with faults */
    const char *plain;    /* folder of train and history, built without */
    const char *scene;    /* folder of data/shapes.yaml, other/shapes.yaml, tiny.yaml and weights.pt */
} theatre;

typedef struct stage {
    const theatre *theatre;
    char *folder, *run, *history;
    keyed_rng draw;
    int with; /* WITH_... of places.h */
    int64_t generations, training_ms, lease_ms;
    bool real;    /* trainings are real */
    bool cut;     /* power cuts: what readers have seen may be younger than what the disk has */
    bool jumping; /* the wall clock jumps, and tells nothing about order */
    actor coordinator, workers[WORKERS_MOST], stranger;
    size_t worker_count;
    char *door;                                 /* where workers find the coordinator, when it is not by the run */
    pid_t helper;                               /* a process that ends with the run; 0: none */
    bool distant;                               /* workers have nothing but FOLDER/access and a data set */
    struct wire_state *wire;                    /* between coordinator and workers; NULL: none */
    int64_t heal_ms;                            /* when it is whole again; 0: it is */
    int64_t weather_ms;                         /* for so long something happens */
    status (*after)(struct stage *s);           /* called when all have ended; NULL: nothing */
    void (*tick)(struct stage *s, void *state); /* called every turn; NULL: none */
    void *state;

    int64_t now_ms, deadline_ms, leave_ms, frost_ms, calm_ms, look_ms, ended_ms;
    int64_t tick_ms;  /* when `tick` does something next: its own */
    int extra_starts; /* of the coordinator, for workers that have not heard that the run is over */
    double best;      /* in evolve.txt, so far */
    text faults;      /* a line each */
} stage;

/* Make the folder, and the actors as far as they are the same in all runs. The texts of the theatre are borrowed. */
status stage_create(const theatre *t, const char *folder, uint64_t seed, stage *out);
void stage_free(stage *s);
/* Before stage_play: as many workers as worker_count says, which find the coordinator by the run. */
status stage_set(stage *s);
/* Some worker. */
actor *stage_worker(stage *s);
/* Let it run until all have ended as they should, or the deadline; then check. What was wrong is in `faults`. */
status stage_play(stage *s);
/* A line of the history: what was done to whom. */
void stage_note(stage *s, const char *what, const char *words);
/* A line of `faults`. */
void stage_fault(stage *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Between two numbers, both included. */
int64_t stage_draw(stage *s, int64_t low, int64_t high);
/* Of the loopback device, that nobody listens on now. */
int stage_free_port(void);
/* Run a program to its end: its exit status, 127 when it cannot be run. What it prints goes to `output`. */
int stage_run(const char *const *arguments, const char *output);

#endif
