#include "worker/train/optimizer.h"

#include <stdlib.h>

#include "common/array.h"

struct optimizer {
    const backend_ops *ops;
    optimizer_options o;
    buffer *momentum, *squares; /* squares: Adam */
    plan *plan;
    int scalars; /* tensor */
    int64_t steps;
};

static status make_plan(optimizer *o, device *d)
{
    graph g = {0};
    graph_tensor scalars = {.name = "scalars", .role = TENSOR_INPUT, .shape = shape_of(1, UPDATE_COUNT, 0, 0, 0)};
    graph_node update = {.kind = OP_UPDATE, .inputs = 1};
    update.update = (update_parameters){o->o.kind, o->o.segment_count, o->o.segments};
    plan_options options = {.precision = PRECISION_FP32};
    options.buffers[ARENA_WEIGHTS] = o->o.weights;
    options.buffers[ARENA_GRADIENTS] = o->o.gradients;
    options.buffers[ARENA_MOMENTUM] = o->momentum;
    options.buffers[ARENA_SQUARES] = o->squares;
    options.buffers[ARENA_AVERAGE] = o->o.average;
    status s = graph_add_tensor(&g, &scalars, &o->scalars);
    update.in[0] = o->scalars;
    if (s == OK) s = graph_add_node(&g, &update);
    if (s == OK) s = o->ops->plan_create(d, &g, &options, &o->plan);
    graph_free(&g);
    return s;
}

status optimizer_create(const backend_ops *ops, device *d, const optimizer_options *options, optimizer **out)
{
    *out = NULL;
    optimizer *o;
    TRY(array_new(&o, 1));
    o->ops = ops;
    o->o = *options;
    size_t bytes = (size_t)options->arena_count * sizeof(float);
    status s = ops->buffer_create(d, bytes, &o->momentum);
    if (s == OK && options->kind == OPTIMIZER_ADAM) s = ops->buffer_create(d, bytes, &o->squares);
    if (s == OK) s = make_plan(o, d);
    o->o.segments = NULL; /* the plan has its own copy */
    if (s != OK) optimizer_destroy(&o);
    *out = o;
    return s;
}

void optimizer_destroy(optimizer **o)
{
    if (!*o) return;
    (*o)->ops->plan_destroy(&(*o)->plan);
    (*o)->ops->buffer_destroy(&(*o)->momentum);
    (*o)->ops->buffer_destroy(&(*o)->squares);
    free(*o);
    *o = NULL;
}

status optimizer_step(optimizer *o, const float scalars[UPDATE_COUNT])
{
    TRY(o->ops->plan_write(o->plan, PLAN_VALUE, o->scalars, scalars, UPDATE_COUNT * sizeof *scalars));
    TRY(o->ops->plan_run(o->plan));
    o->steps++;
    return OK;
}

int64_t optimizer_steps(const optimizer *o)
{
    return o->steps;
}

status optimizer_read(const optimizer *o, float *momentum, float *squares)
{
    size_t bytes = (size_t)o->o.arena_count * sizeof(float);
    TRY(o->ops->buffer_read(o->momentum, 0, momentum, bytes));
    return o->squares ? o->ops->buffer_read(o->squares, 0, squares, bytes) : OK;
}

status optimizer_write(optimizer *o, int64_t steps, const float *momentum, const float *squares)
{
    size_t bytes = (size_t)o->o.arena_count * sizeof(float);
    o->steps = steps;
    TRY(o->ops->buffer_write(o->momentum, 0, momentum, bytes));
    return o->squares ? o->ops->buffer_write(o->squares, 0, squares, bytes) : OK;
}
