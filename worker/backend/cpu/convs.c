#include "worker/backend/cpu/convs.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/array.h"
#include "worker/backend/cpu/parallel.h"

static status note_gradients(convs *c, const conv_options *o)
{
    for (int f = 0; f < o->filters; f++) {
        const float *gradient = o->filter[f].weight_gradient;
        for (size_t i = 0; i < c->gradient_count; i++) c->in_turn |= gradient && c->gradients[i] == gradient;
        TRY(array_room(&c->gradients, &c->gradient_room, c->gradient_count + 1));
        c->gradients[c->gradient_count++] = gradient;
    }
    return OK;
}

status convs_add(convs *c, device *d, const conv_options *options, conv **out)
{
    TRY(note_gradients(c, options));
    TRY(array_room(&c->list, &c->room, c->count + 1));
    conv **at = &c->list[c->count++];
    TRY(conv_create(d, options, at));
    if (conv_scratch(*at) > c->scratch) c->scratch = conv_scratch(*at);
    *out = *at;
    return OK;
}

void convs_free(convs *c)
{
    for (size_t i = 0; i < c->count; i++) conv_destroy(&c->list[i]);
    free(c->list);
    free(c->gradients);
    *c = (convs){0};
}

int64_t convs_memory(const convs *c)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < c->count; i++) bytes += conv_memory(c->list[i]);
    return bytes;
}

/* ---- for each ---- */

typedef struct each_call {
    const convs *c;
    status (*work)(conv *c);
    atomic_size_t next;
    _Atomic status result;
} each_call;

/* They differ a thousandfold in size: whoever is free takes the next. */
static void work_on_some(int index, int threads, void *state)
{
    each_call *e = state;
    (void)index, (void)threads;
    for (size_t i; (i = atomic_fetch_add(&e->next, 1)) < e->c->count;) {
        status s = e->work(e->c->list[i]);
        if (s != OK) atomic_store(&e->result, s);
    }
}

static status for_each(const convs *c, int threads, status (*work)(conv *c))
{
    each_call e = {.c = c, .work = work, .result = OK};
    parallel_run(threads, work_on_some, &e);
    status s = atomic_load(&e.result);
    return s == OK ? OK : FAIL(s, "cpu: weights could not be brought between rest and work");
}

status convs_pack(const convs *c, int threads)
{
    return for_each(c, threads, conv_pack);
}

status convs_collect(const convs *c, int threads)
{
    return for_each(c, c->in_turn ? 1 : threads, conv_collect);
}
