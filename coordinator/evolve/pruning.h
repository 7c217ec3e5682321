/* pruning.h - which candidates are not worth training to their end.
 *
 * Candidates that are looked at on their way tell a fitness after some epochs. A rule compares it with what other candidates had after
 * the same epoch. Nobody is stopped before the warm-up is over or while there are too few to compare with, and candidate 1, which the
 * gain is counted from, never is. What candidates have told is kept here in order; the store keeps it for the next start. */
#ifndef COORDINATOR_PRUNING_H
#define COORDINATOR_PRUNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "common/text.h"

/* A rule: is a fitness behind those of `others` (ascending, at least one) at the same epoch? */
typedef struct prune_rule {
    const char *name;
    bool (*behind)(double fitness, const double *others, size_t count);
    const char *words; /* "fitness F is ..." */
} prune_rule;

/* Another rule is a row here and a function in pruning.c. */
#define PRUNE_RULES(ROW)                                                                                               \
    ROW("none", NULL, "")                                                                                              \
    ROW("median", behind_median, "below the median")
#define PRUNE_NAMES "none|median"

/* "none" is a rule that stops nobody. NULL: no rule of that name. */
const prune_rule *prune_rule_find(const char *name);
/* In the order of PRUNE_NAMES. */
const prune_rule *prune_rule_at(int index);

typedef struct prune_options {
    const prune_rule *rule;
    double warmup; /* of the epochs, before which nobody is stopped */
    int64_t least; /* others at the same epoch */
} prune_options;
/* Does it stop anybody? */
bool prune_active(const prune_options *o);

typedef struct pruning pruning;

/* ERR_MEMORY. */
status pruning_create(const prune_options *o, pruning **out);
void pruning_destroy(pruning **p);
/* A candidate had this fitness after an epoch, counted from 0. Told again it replaces what was told before. ERR_MEMORY. */
status pruning_tell(pruning *p, int64_t candidate, int64_t epoch, double fitness);
/* Is it to be stopped there? Then *why, if not NULL, gets the reason in words. Told or not makes no difference. */
bool pruning_stops(const pruning *p, int64_t candidate, int64_t epoch, int64_t epochs, double fitness, text *why);

#endif
