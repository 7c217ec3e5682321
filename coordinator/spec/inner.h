/* inner.h - a specification as a list of names and texts, for spec.c, list.c and store.c.
 *
 * Names begin with "option ", "hyp " or "file " where they are one of many; what begins with "file " is kept, and no part of what is
 * compared. */
#ifndef COORDINATOR_SPEC_INNER_H
#define COORDINATOR_SPEC_INNER_H

#include "coordinator/spec/spec.h"

typedef struct part {
    char *name, *value;
} part;

typedef struct parts {
    part *items;
    size_t count, room;
} parts;
void spec_parts_free(parts *p);

enum { SPEC_DIGESTS = DATA_VAL + 1 };
/* The names under which digests are listed, by split. */
extern const char *const spec_digest_names[SPEC_DIGESTS];

/* Everything. The caller frees the parts, also after an error. */
status spec_list(const run_spec *spec, parts *out);
/* What workers may settle after the start. */
status spec_list_settled(const run_spec *spec, parts *out);
/* Does this option belong to the run? Not if it says where or how fast a candidate is trained or what it draws, or names a file whose
 * contents are listed themselves. */
bool spec_has_option(const option_row *row);

/* For runs with external trainers, in the place of train_options_complete; and the hyps, of which `meta` ("": none) names those that
 * evolve. */
status spec_complete_external(train_options *o, const bool *given);
status spec_make_external_space(const char *meta, run_spec *out);

/* Four weights, not all 0. */
status spec_read_fitness(const char *words, double weights[FITNESS_TERMS]);

#endif
