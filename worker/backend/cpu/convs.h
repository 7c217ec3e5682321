/* convs.h - all the convolutions of a plan: what is done to each, shared out among the threads. */
#ifndef CPU_CONVS_H
#define CPU_CONVS_H

#include "worker/backend/cpu/conv.h"

typedef struct convs { /* {0}: none */
    conv **list;
    size_t count, room;
    const float **gradients; /* of filters, at rest, that were seen */
    size_t gradient_count, gradient_room;
    bool in_turn;   /* two filters have the same gradients */
    size_t scratch; /* the most that one of them needs */
} convs;

/* As conv_create; `c` owns it. */
status convs_add(convs *c, device *d, const conv_options *options, conv **out);
void convs_free(convs *c);
/* conv_pack and conv_collect for each. */
status convs_pack(const convs *c, int threads);
status convs_collect(const convs *c, int threads);
int64_t convs_memory(const convs *c);

#endif
