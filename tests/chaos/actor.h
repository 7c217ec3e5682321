/* actor.h - a process of a chaos run that is started again when it was killed: the coordinator, or a worker.
 *
 * Each start has a plan of its own: variables that tell the layer in it what to do (layer/layer.h). When there are no plans left it is
 * started without. Nothing here waits. */
#ifndef CHAOS_ACTOR_H
#define CHAOS_ACTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/fs.h"
#include "common/text.h"

#define NEVER INT64_MAX

/* What is added to its clocks, in milliseconds: CHAOS_CLOCK of layer/layer.h. */
typedef struct actor_clock {
    volatile int64_t wall_ms, monotonic_ms;
} actor_clock;

typedef struct actor {
    char *name;         /* "coordinator", "worker 0" */
    char *log;          /* file of what all its starts print */
    char *folder;       /* working directory */
    fs_names arguments; /* the program first */
    fs_names variables; /* NAME=VALUE, for all starts */
    fs_names plans;     /* of each start: NAME=VALUE, several with newlines between them */
    int network;        /* of /run/netns, to be entered; -1: this one */
    actor_clock *clock; /* NULL: the machine's own */
    int starts;
    int64_t start_ms;        /* when to start it (again); NEVER */
    pid_t pid;               /* 0: does not run */
    bool stopped;            /* by SIGSTOP */
    int64_t asleep_since_ms; /* with all its processes, and its monotonic clock stands still; 0: not */
    bool told;               /* to go, by SIGTERM */
    int64_t thaw_ms;         /* when it goes on; NEVER */
    int64_t started_ms;
    int code; /* of its last end: exit status, or minus the signal */
} actor;

/* An actor that is to start at once. The texts are copied. */
status actor_create(const char *name, const char *program, const char *folder, actor *out);
void actor_free(actor *a);
/* printf into the list of arguments, variables or plans. */
status actor_add(fs_names *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Start it, with the next plan. */
status actor_start(actor *a, const char *history, int64_t now_ms);
/* See what has become of it. True: it has just ended; `code` says how. */
bool actor_follow(actor *a, int64_t now_ms);
/* Stop it until then, alone or with the processes that it has started. False: it does not run, or is stopped. */
bool actor_freeze(actor *a, int64_t until_ms);
bool actor_freeze_all(actor *a, int64_t until_ms);
/* Give it clocks that can be turned. */
status actor_add_clock(actor *a);
void actor_signal(actor *a, int number);
/* End it, however it is. */
void actor_kill(actor *a);

#endif
