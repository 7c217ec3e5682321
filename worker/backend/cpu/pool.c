#include "worker/backend/cpu/pool.h"

#include <stdlib.h>

#include "common/array.h"
#include "worker/backend/cpu/parallel.h"

struct pool {
    pool_options o;
    const kernels *k;
    int64_t in_panel, out_panel; /* bytes */
    int64_t room_size;           /* floats a thread */
    float *room;                 /* for each thread */
};

status pool_create(device *d, const pool_options *options, pool **out)
{
    pool *p;
    TRY(array_new(&p, 1));
    *out = p;
    p->o = *options;
    p->k = d->kernels;
    p->in_panel = (int64_t)options->height * options->width * d->kernels->block * (options->bf16 ? 2 : 4);
    p->out_panel = (int64_t)options->out_height * options->out_width * d->kernels->block * (options->bf16 ? 2 : 4);
    if (!options->window.size) return OK;
    int wider = options->width > options->out_width ? options->width : options->out_width;
    p->room_size = (int64_t)options->height * wider * d->kernels->block;
    size_t bytes = (size_t)(p->room_size * d->threads) * sizeof *p->room;
    p->room = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return p->room ? OK : FAIL(ERR_MEMORY, "out of memory: %zu bytes for pooling", bytes);
}

void pool_destroy(pool **p)
{
    if (!*p) return;
    free((*p)->room);
    free(*p);
    *p = NULL;
}

typedef struct pool_call {
    pool *p;
    char *arena;
    bool backward;
    int thread; /* -1: the index of the parallel run */
} pool_call;

static void run_panel(const pool_call *call, int image, int block, float *room)
{
    const pool *p = call->p;
    const pool_options *o = &p->o;
    int64_t in = block * p->in_panel, out = block * p->out_panel;
    char *x = call->arena + o->x.offset + image * o->x.image_stride + in;
    char *y = call->arena + o->y.offset + image * o->y.image_stride + out;
    char *dy = call->arena + o->dy.offset + image * o->dy.image_stride + out;
    char *dx = call->arena + o->dx.offset + image * o->dx.image_stride + in;
    const pool_shape s = {o->window, o->height, o->width, o->out_height, o->out_width};
    if (o->window.size && call->backward) p->k->pool_backward(x, y, dy, dx, o->bf16, &s, room);
    else if (o->window.size) p->k->pool(x, y, o->bf16, &s, room);
    else if (call->backward) p->k->upsample_backward(dy, dx, o->bf16, o->height, o->width);
    else p->k->upsample(x, y, o->bf16, o->height, o->width);
}

static void run_panels(int index, int threads, void *state)
{
    const pool_call *call = state;
    const pool *p = call->p;
    float *room = p->room ? p->room + p->room_size * (call->thread < 0 ? index : call->thread) : NULL;
    int64_t at, end = parallel_part((int64_t)p->o.images * p->o.blocks, index, threads, &at);
    for (; at < end; at++) run_panel(call, (int)(at / p->o.blocks), (int)(at % p->o.blocks), room);
}

void pool_forward_run(pool *p, char *arena, int thread)
{
    pool_call call = {p, arena, false, thread};
    if (thread >= 0) run_panels(0, 1, &call);
    else parallel_run(p->o.threads, run_panels, &call);
}

void pool_backward_run(pool *p, char *arena)
{
    pool_call call = {p, arena, true, -1};
    parallel_run(p->o.threads, run_panels, &call);
}
