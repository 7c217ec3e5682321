/* modules_inner.h - names of weights, for modules.c and modules_graph.c. */
#ifndef MODEL_MODULES_INNER_H
#define MODEL_MODULES_INNER_H

#include "worker/model/modules.h"

typedef struct prefix {
    char text[TENSOR_NAME_ROOM];
} prefix;

/* "model.3" for layer 3, or "model.3.1" for its second repetition when there are several. */
prefix module_prefix(const layer *l, int index, int repetition);
/* A part of what `p` names: a name, or a number. Room for every name that modules make. */
prefix module_below(const prefix *p, const char *name);
prefix module_numbered(const prefix *p, int number);

#endif
