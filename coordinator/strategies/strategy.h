/* strategy.h - what a strategy is, for breeding.c and the strategies themselves. */
#ifndef COORDINATOR_STRATEGIES_STRATEGY_H
#define COORDINATOR_STRATEGIES_STRATEGY_H

#include "coordinator/evolve/breeding.h"

/* What a child is made from. All borrowed. */
typedef struct breeding_task {
    const population *population;
    const double *base; /* limits and rounding applied */
    const breeding_options *options;
} breeding_task;

struct strategy {
    const char *name;
    /* Make a child; *out comes empty, with factors of 1. The caller applies limits and rounding and fills in `seen`. */
    status (*breed)(const breeding_task *task, breeding_rng *r, child *out);
};

/* Take the base for the parent, as long as there is no result to choose from. */
void breeding_take_base(const breeding_task *task, child *out, double *parent_hyps);

/* One a line: the table in breeding.c, --strategy and this list of externals come from here. */
#define STRATEGIES(ROW)                                                                                                \
    ROW(strategy_mendel)                                                                                               \
    ROW(strategy_yolov5)                                                                                               \
    ROW(strategy_yolov5_as_run)                                                                                        \
    ROW(strategy_random)
#define STRATEGY_AS_EXTERN(name) extern const strategy name;
STRATEGIES(STRATEGY_AS_EXTERN)

#endif
