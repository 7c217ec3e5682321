#include "worker/train/learner.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"

/* A plan for one shape of batch. */
typedef struct shaped_plan {
    int images, height, width, resize_height, resize_width;
    bool bytes;
    int target_room;
    plan *plan;
    graph_ends ends;
} shaped_plan;

struct learner {
    const backend_ops *ops;
    device *d;
    const model *m;
    learner_options o;
    buffer *weights, *gradients, *average;
    optimizer *optimizer;
    shaped_plan *plans; /* the first is that of the largest shape, whose memory the others use */
    size_t plan_count, plan_room;
    size_t last;    /* plan of the last run, counted from 1; 0: none yet */
    float *targets; /* padded to the plan's room */
    size_t targets_room;
};

/* ---- making ---- */

static status make_buffers(learner *l)
{
    size_t bytes = (size_t)l->m->arena_count * sizeof(float);
    TRY(l->ops->buffer_create(l->d, bytes, &l->weights));
    TRY(l->ops->buffer_create(l->d, bytes, &l->gradients));
    TRY(l->ops->buffer_create(l->d, bytes, &l->average));
    TRY(l->ops->buffer_write(l->weights, 0, l->m->arena, bytes));
    return l->ops->buffer_write(l->average, 0, l->m->arena, bytes);
}

static status make_optimizer(learner *l)
{
    update_segment *segments;
    optimizer_options o = {.kind = l->o.kind, .arena_count = l->m->arena_count};
    o.weights = l->weights;
    o.gradients = l->gradients;
    o.average = l->average;
    TRY(model_segments(l->m, &segments, &o.segment_count));
    o.segments = segments;
    status s = optimizer_create(l->ops, l->d, &o, &l->optimizer);
    free(segments);
    return s;
}

static status make_plan(learner *l, shaped_plan *p)
{
    graph g = {0};
    graph_request request = {
        .images = p->images,
        .height = p->height,
        .width = p->width,
        .bytes = p->bytes,
        .resize_height = p->resize_height,
        .resize_width = p->resize_width,
        .loss = true,
        .loss_parameters = l->o.loss,
        .target_room = p->target_room,
    };
    plan_options options = {.training = true, .precision = l->o.precision};
    options.team = l->o.sync_norms ? l->o.team : NULL;
    options.buffers[ARENA_WEIGHTS] = l->weights;
    options.buffers[ARENA_GRADIENTS] = l->gradients;
    options.share = l->plan_count && p != &l->plans[0] ? l->plans[0].plan : NULL;
    status s = model_graph(l->m, &request, &g, &p->ends);
    if (s == OK) s = l->ops->plan_create(l->d, &g, &options, &p->plan);
    graph_free(&g);
    return s;
}

static bool fits(const shaped_plan *p, const learner_batch *b)
{
    return p->images == b->images && p->height == b->height && p->width == b->width && p->bytes == b->bytes &&
           p->resize_height == b->resize_height && p->resize_width == b->resize_width;
}

/* The plan for this batch, made when it is the first of its kind or has more targets than there was room for. */
static status find_plan(learner *l, const learner_batch *b, shaped_plan **out)
{
    size_t i = 0;
    while (i < l->plan_count && !fits(&l->plans[i], b)) i++;
    if (i == l->plan_count) {
        TRY(array_room(&l->plans, &l->plan_room, l->plan_count + 1));
        shaped_plan *p = &l->plans[l->plan_count];
        *p = (shaped_plan){b->images, b->height, b->width, b->resize_height, b->resize_width, .bytes = b->bytes};
        p->target_room = l->o.target_room;
        while (p->target_room < b->target_count) p->target_room *= 2;
        TRY(make_plan(l, p));
        l->plan_count++;
    }
    shaped_plan *p = &l->plans[i];
    *out = p;
    if (p->target_room >= b->target_count) return OK;
    while (p->target_room < b->target_count) p->target_room *= 2;
    plan *small = p->plan;
    if (i > 0) { /* the first one's memory is in use by the others, so it stays until there is another */
        l->ops->plan_destroy(&p->plan);
        return make_plan(l, p);
    }
    while (l->plan_count > 1) l->ops->plan_destroy(&l->plans[--l->plan_count].plan);
    l->ops->plan_destroy(&small);
    p->plan = NULL;
    return make_plan(l, p);
}

status learner_create(const backend_ops *ops, device *d, const model *m, const learner_options *options, learner **out)
{
    *out = NULL;
    learner *l;
    TRY(array_new(&l, 1));
    l->ops = ops;
    l->d = d;
    l->m = m;
    l->o = *options;
    if (l->o.target_room < 1) l->o.target_room = 1;
    status s = make_buffers(l);
    if (s == OK) s = make_optimizer(l);
    shaped_plan *first;
    if (s == OK && options->largest.images) s = find_plan(l, &options->largest, &first);
    if (s != OK) learner_destroy(&l);
    *out = l;
    return s;
}

void learner_destroy(learner **out)
{
    learner *l = *out;
    if (!l) return;
    while (l->plan_count) l->ops->plan_destroy(&l->plans[--l->plan_count].plan);
    optimizer_destroy(&l->optimizer);
    l->ops->buffer_destroy(&l->weights);
    l->ops->buffer_destroy(&l->gradients);
    l->ops->buffer_destroy(&l->average);
    free(l->plans);
    free(l->targets);
    free(l);
    *out = NULL;
}

/* ---- running ---- */

static status write_targets(learner *l, const shaped_plan *p, const learner_batch *b)
{
    size_t values = (size_t)p->target_room * 6;
    int32_t count = b->target_count;
    TRY(array_room(&l->targets, &l->targets_room, values));
    if (count) memcpy(l->targets, b->targets, (size_t)count * 6 * sizeof *l->targets);
    TRY(l->ops->plan_write(p->plan, PLAN_VALUE, p->ends.targets, l->targets, values * sizeof *l->targets));
    return l->ops->plan_write(p->plan, PLAN_VALUE, p->ends.target_count, &count, sizeof count);
}

status learner_run(learner *l, const learner_batch *b, float items[LOSS_ITEMS])
{
    shaped_plan *p = NULL;
    TRY(find_plan(l, b, &p));
    l->last = (size_t)(p - l->plans) + 1;
    size_t pixels = (size_t)b->images * (size_t)b->height * (size_t)b->width * 3 * (b->bytes ? 1 : sizeof(float));
    TRY(l->ops->plan_write(p->plan, PLAN_VALUE, p->ends.pixels, b->pixels, pixels));
    TRY(write_targets(l, p, b));
    TRY(l->ops->plan_run(p->plan));
    return l->ops->plan_read(p->plan, PLAN_VALUE, p->ends.items, items, LOSS_ITEMS * sizeof *items);
}

status learner_gather(learner *l)
{
    return l->o.team ? l->ops->team_sum(l->o.team, l->gradients, 0, (size_t)l->m->arena_count) : OK;
}

status learner_update(learner *l, const float scalars[UPDATE_COUNT])
{
    TRY(learner_gather(l));
    return optimizer_step(l->optimizer, scalars);
}

status learner_clear(learner *l)
{
    return l->ops->buffer_clear(l->gradients);
}

/* ---- looking in ---- */

static buffer *buffer_of(const learner *l, arena which)
{
    return which == ARENA_WEIGHTS ? l->weights : which == ARENA_AVERAGE ? l->average : l->gradients;
}

status learner_read(const learner *l, arena which, float *to)
{
    return l->ops->buffer_read(buffer_of(l, which), 0, to, (size_t)l->m->arena_count * sizeof *to);
}

status learner_write(learner *l, arena which, const float *from)
{
    return l->ops->buffer_write(buffer_of(l, which), 0, from, (size_t)l->m->arena_count * sizeof *from);
}

optimizer *learner_optimizer(learner *l)
{
    return l->optimizer;
}

buffer *learner_average(learner *l)
{
    return l->average;
}

int64_t learner_memory(const learner *l)
{
    int64_t bytes = 5 * l->m->arena_count * (int64_t)sizeof(float);
    for (size_t i = 0; i < l->plan_count; i++) bytes += l->ops->plan_memory(l->plans[i].plan);
    return bytes;
}

plan *learner_plan(learner *l)
{
    return l->last ? l->plans[l->last - 1].plan : NULL;
}
