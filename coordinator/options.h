/* options.h - what `coordinator` takes besides the training options. */
#ifndef COORDINATOR_OPTIONS_H
#define COORDINATOR_OPTIONS_H

#include "common/train_options.h"

typedef struct coordinator_options {
    /* the run */
    char *run;
    bool shared_folder;
    int64_t generations;
    char *import;
    /* evolution */
    int strategy, parent;
    double probability, sigma;
    int64_t run_seed;
    char *meta, *fitness;
    bool external;
    char *trainer;
    int prune;
    double prune_warmup;
    int64_t prune_least;
    /* workers */
    int64_t local_workers;
    char *bind, *advertise;
    bool insecure;
    int64_t max_lost, max_failures;
    double heartbeat_s, lease_s, stall_timeout_s;
    int keep; /* run_keep */
    char *dashboard;
    bool no_dashboard;
    /* the program */
    bool version, man, help;
} coordinator_options;

typedef enum coordinator_strategy {
    STRATEGY_MENDEL,
    STRATEGY_YOLOV5,
    STRATEGY_AS_RUN,
    STRATEGY_RANDOM
} coordinator_strategy;

/* Whose trained weights stay in the run folder. */
typedef enum run_keep { KEEP_NONE, KEEP_BEST, KEEP_ALL } run_keep;

enum { COORDINATOR_ROWS = 31 };
extern const option_row coordinator_rows[COORDINATOR_ROWS];

/* What follows from the training options where nothing was said: 2020-07-20 has 10 generations, --as-reference breeds as it does. */
void coordinator_options_complete(coordinator_options *o, const bool *given, const train_options *train);

/* A section over `o`; `given` may be NULL or has COORDINATOR_ROWS flags. */
option_section coordinator_section(coordinator_options *o, bool *given);

#endif
