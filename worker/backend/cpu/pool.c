#include "worker/backend/cpu/pool.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/parallel.h"

struct pool {
    pool_options o;
    const kernels *k;
    int64_t in_panel, out_panel; /* bytes */
    int64_t room_size;           /* floats a thread */
    float *room;                 /* for each thread */
    int in_blocks, out_blocks;
    int *source, *target; /* repacking: of each lane of y where it is in x, and the other way round; -1: a hole */
};

/* ---- repacking ---- */

/* Physical channel of every logical one. */
static void list_channels(const map *m, int *physical)
{
    int at = 0, channel = 0;
    for (int r = 0; r < m->runs; r++) {
        for (int i = 0; i < m->run[r].logical; i++) physical[channel++] = at + i;
        at += m->run[r].physical;
    }
}

static status map_lanes(pool *p, const map *from, const map *to)
{
    int *in, *out, block = p->k->block;
    p->in_blocks = from->blocks;
    p->out_blocks = to->blocks;
    TRY(array_new(&p->source, (size_t)(to->blocks * block)));
    TRY(array_new(&p->target, (size_t)(from->blocks * block)));
    TRY(array_new(&in, 2 * (size_t)from->channels));
    out = in + from->channels;
    list_channels(from, in);
    list_channels(to, out);
    memset(p->source, -1, sizeof *p->source * (size_t)(to->blocks * block));
    memset(p->target, -1, sizeof *p->target * (size_t)(from->blocks * block));
    for (int c = 0; c < from->channels; c++) {
        p->source[out[c]] = in[c];
        p->target[in[c]] = out[c];
    }
    free(in);
    return OK;
}

/* A panel of one map from all of the other's. */
static void repack_panel(const pool *p, const char *from, char *to, const int *source)
{
    size_t value = p->o.bf16 ? 2 : 4;
    int64_t pixels = (int64_t)p->o.height * p->o.width;
    int block = p->k->block;
    memset(to, 0, (size_t)p->in_panel);
    for (int l = 0; l < block; l++) {
        if (source[l] < 0) continue;
        const char *x = from + source[l] / block * p->in_panel + (size_t)(source[l] % block) * value;
        char *y = to + (size_t)l * value;
        for (int64_t i = 0; i < pixels; i++)
            memcpy(y + i * block * (int64_t)value, x + i * block * (int64_t)value, value);
    }
}

/* ---- all of them ---- */

status pool_create(device *d, const pool_options *options, pool **out)
{
    pool *p;
    TRY(array_new(&p, 1));
    *out = p;
    p->o = *options;
    p->k = d->kernels;
    p->in_panel = (int64_t)options->height * options->width * d->kernels->block * (options->bf16 ? 2 : 4);
    p->out_panel = (int64_t)options->out_height * options->out_width * d->kernels->block * (options->bf16 ? 2 : 4);
    p->in_blocks = p->out_blocks = options->blocks;
    if (options->from) return map_lanes(p, options->from, options->to);
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
    free((*p)->source);
    free((*p)->target);
    free(*p);
    *p = NULL;
}

typedef struct pool_call {
    pool *p;
    char *arena;
    bool backward;
    int thread; /* -1: the index of the parallel run */
} pool_call;

static void run_repacking(const pool_call *call, int image, int block)
{
    const pool *p = call->p;
    const pool_options *o = &p->o;
    const view *from = call->backward ? &o->dy : &o->x, *to = call->backward ? &o->dx : &o->y;
    const int *source = call->backward ? p->target : p->source;
    repack_panel(p, call->arena + from->offset + image * from->image_stride,
                 call->arena + to->offset + image * to->image_stride + block * p->in_panel,
                 source + block * p->k->block);
}

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
    int blocks = call->backward ? p->in_blocks : p->out_blocks;
    int64_t at, end = parallel_part((int64_t)p->o.images * blocks, index, threads, &at);
    for (; at < end; at++) {
        if (p->source) run_repacking(call, (int)(at / blocks), (int)(at % blocks));
        else run_panel(call, (int)(at / blocks), (int)(at % blocks), room);
    }
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
