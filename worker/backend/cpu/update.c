/* update.c - one optimizer step over all weights, with the moving average, in one sweep. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "worker/backend/cpu/parallel.h"
#include "worker/backend/cpu/plan.h"

typedef struct update_state {
    optimizer_kind kind;
    update_segment *segments; /* a copy */
    int count;
    int64_t total; /* elements */
    const float *scalars;
    double seconds;
} update_state;

typedef struct update_call {
    plan *p;
    const update_state *u;
} update_call;

static float *arena_of(const plan *p, arena which)
{
    return p->buffers[which] ? (float *)(void *)p->buffers[which]->memory : NULL;
}

/* What a segment is updated with. */
static update_run describe(const plan *p, const update_state *u, const update_segment *s)
{
    const float *v = u->scalars;
    update_run run = {
        .weights = arena_of(p, ARENA_WEIGHTS),
        .gradients = arena_of(p, ARENA_GRADIENTS),
        .momentum = arena_of(p, ARENA_MOMENTUM),
        .squares = arena_of(p, ARENA_SQUARES),
        .average = arena_of(p, ARENA_AVERAGE),
        .adam = u->kind == OPTIMIZER_ADAM,
        .trained = s->group >= 0,
        .beta1 = v[UPDATE_MOMENTUM],
        .correction1 = v[UPDATE_CORRECTION_1],
        .correction2 = v[UPDATE_CORRECTION_2],
        .average_decay = v[UPDATE_AVERAGE_DECAY],
    };
    if (run.trained) {
        run.lr = v[UPDATE_LR + s->group];
        run.decay = v[UPDATE_DECAY + s->group];
    }
    return run;
}

/* Threads share the elements out, not the segments, which differ a thousandfold in size. */
static void run_part(int index, int threads, void *state)
{
    const update_call *call = state;
    const update_state *u = call->u;
    int64_t first, end = parallel_part(u->total, index, threads, &first), at = 0;
    for (int i = 0; i < u->count && at < end; at += u->segments[i++].count) {
        const update_segment *s = &u->segments[i];
        int64_t from = first > at ? first - at : 0, to = end - at < s->count ? end - at : s->count;
        if (from >= to) continue;
        update_run run = describe(call->p, u, s);
        call->p->d->kernels->update(&run, s->offset + from, s->offset + to);
    }
}

static status update_run_plan(plan *p)
{
    update_state *u = p->state;
    update_call call = {p, u};
    double started = clock_seconds();
    parallel_run(p->d->threads, run_part, &call);
    p->buffers[ARENA_WEIGHTS]->version++;
    if (p->buffers[ARENA_AVERAGE]) p->buffers[ARENA_AVERAGE]->version++;
    u->seconds += clock_seconds() - started;
    return OK;
}

static status no_maps(plan *p, plan_side side, int tensor, bool in, void *memory)
{
    (void)side, (void)in, (void)memory;
    return FAIL(ERR_ARGUMENT, "plan: %s is no feature map", p->arrays[tensor].tensor.name);
}

static int64_t update_memory(const plan *p)
{
    return ((const update_state *)p->state)->count * (int64_t)sizeof(update_segment);
}

static void update_report(const plan *p, int runs, text *out)
{
    update_state *u = p->state;
    text_add(out, "%-20s %9.3f ms\n", "update", 1e3 * u->seconds / runs);
    u->seconds = 0;
}

static void update_destroy(plan *p)
{
    free(((update_state *)p->state)->segments);
    free(p->state);
}

static const plan_kind update_kind = {
    .name = "update",
    .run = update_run_plan,
    .copy_map = no_maps,
    .memory = update_memory,
    .report = update_report,
    .destroy = update_destroy,
};

/* Segments within every buffer that they are used on. */
static status check_segments(const plan *p, const update_parameters *u)
{
    const buffer *needed[] = {p->buffers[ARENA_WEIGHTS], p->buffers[ARENA_GRADIENTS], p->buffers[ARENA_MOMENTUM],
                              u->kind == OPTIMIZER_ADAM ? p->buffers[ARENA_SQUARES] : p->buffers[ARENA_MOMENTUM]};
    int64_t room = INT64_MAX;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!needed[i]) return FAIL(ERR_ARGUMENT, "update: weights, gradients and the optimizer's buffers are needed");
        int64_t elements = (int64_t)(needed[i]->bytes / sizeof(float));
        if (elements < room) room = elements;
    }
    if (p->buffers[ARENA_AVERAGE] && (int64_t)(p->buffers[ARENA_AVERAGE]->bytes / sizeof(float)) < room)
        return FAIL(ERR_ARGUMENT, "update: the buffer of averages is too small");
    for (int i = 0; i < u->segments; i++) {
        const update_segment *s = &u->segment[i];
        if (s->offset < 0 || s->count < 0 || s->offset > room - s->count || s->group < -1 || s->group >= UPDATE_GROUPS)
            return FAIL(ERR_ARGUMENT, "update: segment %d lies outside of the buffers", i);
    }
    return OK;
}

status update_plan_create(plan *p, const graph *g)
{
    if (g->node_count != 1) return FAIL(ERR_UNSUPPORTED, "cpu: update together with other operations");
    const update_parameters *from = &g->nodes[0].update;
    TRY(check_segments(p, from));
    update_state *u;
    TRY(array_new(&u, 1));
    p->state = u;
    p->kind = &update_kind;
    u->kind = from->kind;
    u->count = from->segments;
    u->scalars = p->arrays[g->nodes[0].in[0]].memory;
    if (!u->scalars) return FAIL(ERR_ARGUMENT, "update: its scalars are an input");
    TRY(array_new(&u->segments, (size_t)u->count));
    memcpy(u->segments, from->segment, sizeof *u->segments * (size_t)u->count);
    for (int i = 0; i < u->count; i++) u->total += u->segments[i].count;
    return OK;
}
