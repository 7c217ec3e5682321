/* inner.h - what the commands share. Nobody else includes this. */
#ifndef COORDINATOR_COMMANDS_INNER_H
#define COORDINATOR_COMMANDS_INNER_H

#include "coordinator/spec/spec.h"
#include "coordinator/ledger/trials.h"

typedef struct command_options {
    char *run, *name;
    int format;
    char *out;
    bool help;
} command_options;
typedef enum export_format { EXPORT_CSV, EXPORT_JSONL } export_format;

/* A run folder, opened for reading. */
typedef struct looking {
    const char *folder; /* as it was said */
    store *store;
    run_spec spec;
    trials trials;
} looking;

/* Open and read it, and the other way round. On error nothing is held, and command_look_away does no harm. */
status command_look(const char *folder, looking *l);
void command_look_away(looking *l);

/* Each appends what the command prints. */
status command_status(looking *l, text *out);
status command_trials(looking *l, text *out);
status command_best(looking *l, text *out);
status command_export(looking *l, export_format format, text *out);

/* Is a coordinator at work in this folder? *pid is its process, 0: unknown. */
bool command_lock_held(const char *folder, long *pid);
/* Milliseconds since 1970 as local date and time. */
enum { COMMAND_TIME_ROOM = 32 };
void command_when(int64_t wall_ms, char words[COMMAND_TIME_ROOM]);

#endif
