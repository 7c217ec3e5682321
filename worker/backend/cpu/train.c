/* train.c - a training step: a batch forward, the loss, and backward. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "worker/backend/cpu/convs.h"
#include "worker/backend/cpu/detect.h"
#include "worker/backend/cpu/parallel.h"
#include "worker/backend/cpu/place.h"
#include "worker/backend/cpu/plan.h"
#include "worker/backend/cpu/pool.h"
#include "worker/backend/cpu/shape.h"

typedef enum step_kind {
    STEP_INPUT,
    STEP_CONV,
    STEP_POINT,
    STEP_POOL,
    STEP_LOSS,
    STEP_NARROW,
    STEP_SUM,
    STEP_KINDS,
} step_kind;

static const char *const step_names[STEP_KINDS] = {"input", "conv", "point", "pool", "loss", "narrow", "sum"};

typedef struct step {
    step_kind kind;
    bool backward;
    union {
        input *input;
        conv *conv;
        point *point;
        pool *pool;
    };
    const void *from, *gradient; /* conv: x, dy; narrow: fp32; input: pixels */
    void *to;                    /* conv: y, or dx; narrow: bf16 */
    int64_t count;               /* narrow: values */
    double seconds;
} step;

typedef struct loss_state {
    detect_loss *loss;
    const float *targets;
    const int32_t *count;
    float *items;
} loss_state;

typedef struct train {
    network net;
    places at;
    step *steps; /* forward, then backward */
    size_t step_count, step_room;
    convs convs;
    loss_state loss;
    void *scratch;
    int64_t packed;         /* version of the weights that the convolutions hold */
    double weights_seconds; /* while profiling: for packing and collecting */
} train;

/* ---- making steps ---- */

static status add_step(train *t, const step *s)
{
    TRY(array_room(&t->steps, &t->step_room, t->step_count + 1));
    t->steps[t->step_count++] = *s;
    return OK;
}

static view view_of(const train *t, const place *at, int map_index)
{
    return place_view(&t->at, at, &t->net.maps[map_index]);
}

static status make_input(plan *p, train *t, const fused *op)
{
    const graph_tensor *pixels = &p->arrays[op->in[0]].tensor;
    bool bytes = pixels->type == DTYPE_U8;
    input_options o = {
        .bytes = bytes,
        .images = (int)pixels->shape.dim[0],
        .height = (int)pixels->shape.dim[bytes ? 1 : 2],
        .width = (int)pixels->shape.dim[bytes ? 2 : 3],
        .resize = op->resize,
        .focus = op->focus,
        .resize_height = op->resize_height,
        .resize_width = op->resize_width,
        .out = &t->net.maps[op->out],
        .to = view_of(t, &t->at.maps[op->out].value, op->out),
        .bf16 = t->at.bf16,
        .threads = p->d->threads,
    };
    step s = {.kind = STEP_INPUT, .from = p->arrays[op->in[0]].memory};
    status result = input_create(p->d, &o, &s.input);
    if (result == OK) result = add_step(t, &s);
    if (result != OK) input_destroy(&s.input);
    return result;
}

static status make_conv(plan *p, train *t, const graph *g, int index)
{
    const fused *op = &t->net.ops[index];
    conv_options o = {
        .shape = op->conv,
        .images = t->net.maps[op->out].images,
        .in = &t->net.maps[op->in[0]],
        .filters = op->filters,
        .training = true,
        .data_gradient = t->net.maps[op->in[0]].wants_gradient,
        .bf16 = t->at.bf16,
        .out_fp32 = t->at.conv_out[index].fp32,
        .activation = ACTIVATION_NONE,
        .threads = p->d->threads,
    };
    for (int f = 0; f < op->filters; f++) {
        const fused_filter *from = &op->filter[f];
        o.filter[f] = (conv_filter){
            .weight = plan_stored(p, g, ARENA_WEIGHTS, from->weight),
            .weight_gradient = plan_stored(p, g, ARENA_GRADIENTS, from->weight),
            .bias = from->bias >= 0 ? plan_stored(p, g, ARENA_WEIGHTS, from->bias) : NULL,
            .bias_gradient = from->bias >= 0 ? plan_stored(p, g, ARENA_GRADIENTS, from->bias) : NULL,
            .out = &t->net.maps[from->out],
        };
    }
    step s = {.kind = STEP_CONV};
    TRY(convs_add(&t->convs, p->d, &o, &s.conv));
    s.from = place_address(&t->at, &t->at.maps[op->in[0]].value);
    s.to = place_address(&t->at, &t->at.conv_out[index]);
    return add_step(t, &s);
}

/* Options of a point operation, or of the plain sum of a map's gradients (op NULL). */
static point_options describe_point(const plan *p, const train *t, const graph *g, const fused *op, int out)
{
    const map_places *m = &t->at.maps[out];
    point_options o = {.out = &t->net.maps[out],
                       .images = t->net.maps[out].images,
                       .training = true,
                       .bf16 = t->at.bf16};
    o.threads = p->d->threads;
    o.activation = ACTIVATION_NONE;
    o.gradients = m->gradients;
    o.keep_sum = m->gradients > 1;
    for (int i = 0; i < m->gradients; i++) o.gradient[i] = view_of(t, &m->gradient[i], out);
    if (!op) {
        o.segments = 1;
        o.segment[0] = o.out;
        return o;
    }
    o.activation = op->activation;
    o.segments = op->inputs;
    for (int k = 0; k < op->inputs; k++) {
        const map_places *x = &t->at.maps[op->in[k]];
        o.segment[k] = &t->net.maps[op->in[k]];
        o.x[k] = view_of(t, &x->value, op->in[k]);
    }
    if (op->norm.there) {
        o.norm = true;
        o.team = p->team;
        o.eps = op->norm.eps;
        o.momentum = op->norm.momentum;
        o.gamma = plan_stored(p, g, ARENA_WEIGHTS, op->norm.gamma);
        o.beta = plan_stored(p, g, ARENA_WEIGHTS, op->norm.beta);
        o.mean = plan_stored(p, g, ARENA_WEIGHTS, op->norm.mean);
        o.variance = plan_stored(p, g, ARENA_WEIGHTS, op->norm.variance);
        o.gamma_gradient = plan_stored(p, g, ARENA_GRADIENTS, op->norm.gamma);
        o.beta_gradient = plan_stored(p, g, ARENA_GRADIENTS, op->norm.beta);
    }
    o.has_add = op->add >= 0;
    if (o.has_add) o.add = view_of(t, &t->at.maps[op->add].value, op->add);
    o.place[o.places++] = view_of(t, &m->value, out);
    for (int i = 0; i < m->extras; i++) o.place[o.places++] = view_of(t, &m->extra[i], out);
    return o;
}

static status make_point(plan *p, train *t, const graph *g, int index)
{
    const fused *op = &t->net.ops[index];
    point_options o = describe_point(p, t, g, op, op->out);
    for (int k = 0; k < op->inputs; k++) {
        const place *dx = place_left(&t->at, op->in[k], index, k);
        o.has_dx[k] = dx != NULL;
        if (dx) o.dx[k] = view_of(t, dx, op->in[k]);
    }
    step s = {.kind = STEP_POINT};
    status result = point_create(p->d, &o, &s.point);
    if (result == OK) result = add_step(t, &s);
    if (result != OK) point_destroy(&s.point);
    return result;
}

static status make_pool(plan *p, train *t, int index)
{
    const fused *op = &t->net.ops[index];
    const map *x = &t->net.maps[op->in[0]];
    const map_places *out = &t->at.maps[op->out];
    pool_options o = {.window = op->pool, .images = x->images, .blocks = x->blocks};
    if (op->kind == FUSED_REPACK) {
        o.from = x;
        o.to = &t->net.maps[op->out];
    }
    o.height = x->height;
    o.width = x->width;
    o.out_height = t->net.maps[op->out].height;
    o.out_width = t->net.maps[op->out].width;
    o.bf16 = t->at.bf16;
    o.threads = p->d->threads;
    o.x = view_of(t, &t->at.maps[op->in[0]].value, op->in[0]);
    o.y = view_of(t, &out->value, op->out);
    if (out->gradients) o.dy = view_of(t, &out->gradient[0], op->out);
    const place *dx = place_left(&t->at, op->in[0], index, 0);
    if (dx) o.dx = view_of(t, dx, op->in[0]);
    step s = {.kind = STEP_POOL};
    status result = pool_create(p->d, &o, &s.pool);
    if (result == OK) result = add_step(t, &s);
    if (result != OK) pool_destroy(&s.pool);
    return result;
}

static status make_loss(plan *p, train *t, const fused *op)
{
    const graph_node *n = &op->node;
    loss_state *l = &t->loss;
    detect_view views[GRAPH_LEVELS];
    for (int i = 0; i < op->inputs; i++) {
        const map *m = &t->net.maps[op->in[i]];
        const map_places *at = &t->at.maps[op->in[i]];
        void *gradient = m->wants_gradient ? place_address(&t->at, &at->gradient[0]) : NULL;
        views[i] = map_heads_view(m, t->net.block, place_address(&t->at, &at->value), gradient);
    }
    const plan_array *targets = &p->arrays[n->in[op->inputs]];
    l->targets = targets->memory;
    l->count = p->arrays[n->in[op->inputs + 1]].memory;
    l->items = p->arrays[n->out[0]].memory;
    if (!l->targets || !l->count || !l->items)
        return FAIL(ERR_ARGUMENT, "cpu: the loss reads inputs and writes an output");
    TRY(detect_loss_create(&n->loss, views, (int)targets->tensor.shape.dim[0], p->d->threads, &l->loss));
    return add_step(t, &(step){.kind = STEP_LOSS});
}

static status make_forward(plan *p, train *t, const graph *g)
{
    for (size_t i = 0; i < t->net.op_count; i++) {
        const fused *op = &t->net.ops[i];
        switch (op->kind) {
        case FUSED_INPUT: TRY(make_input(p, t, op)); break;
        case FUSED_CONV: TRY(make_conv(p, t, g, (int)i)); break;
        case FUSED_POINT: TRY(make_point(p, t, g, (int)i)); break;
        case FUSED_UPSAMPLE:
        case FUSED_REPACK:
        case FUSED_POOL: TRY(make_pool(p, t, (int)i)); break;
        case FUSED_CONCAT: TRY(add_step(t, &(step){.kind = STEP_SUM})); break; /* keeps steps and operations in line */
        case FUSED_LOSS: TRY(make_loss(p, t, op)); break;
        default: return FAIL(ERR_UNSUPPORTED, "cpu: decode and nms belong in an inference plan");
        }
    }
    return OK;
}

/* Where several readers have left gradients and the maker does not add them up itself. */
static status make_sum(plan *p, train *t, const graph *g, int out)
{
    if (t->at.maps[out].gradients < 2) return OK;
    point_options o = describe_point(p, t, g, NULL, out);
    step s = {.kind = STEP_SUM, .backward = true};
    status result = point_create(p->d, &o, &s.point);
    if (result == OK) result = add_step(t, &s);
    if (result != OK) point_destroy(&s.point);
    return result;
}

static status make_conv_backward(train *t, int index)
{
    const fused *op = &t->net.ops[index];
    const map_places *m = &t->at.maps[op->out];
    const place *dy = m->narrow.item >= 0 ? &m->narrow : op->filters > 1 ? &t->at.conv_out[index] : &m->gradient[0];
    if (m->narrow.item >= 0) {
        const map *out = &t->net.maps[op->out];
        step narrow = {.kind = STEP_NARROW, .backward = true, .from = place_address(&t->at, &m->gradient[0])};
        narrow.to = place_address(&t->at, &m->narrow);
        narrow.count = out->images * map_image_size(out, t->net.block);
        TRY(add_step(t, &narrow));
    }
    const place *dx = place_left(&t->at, op->in[0], index, 0);
    step s = t->steps[index]; /* the forward one: steps and operations are in line */
    s.backward = true;
    s.gradient = place_address(&t->at, dy);
    s.to = dx ? place_address(&t->at, dx) : NULL;
    return add_step(t, &s);
}

static status make_backward(plan *p, train *t, const graph *g)
{
    for (int i = (int)t->net.op_count - 1; i >= 0; i--) {
        const fused *op = &t->net.ops[i];
        bool wanted = op->out >= 0 && t->net.maps[op->out].wants_gradient;
        bool adds_itself = op->kind == FUSED_POINT || op->kind == FUSED_CONV || op->kind == FUSED_LOSS;
        if (op->kind == FUSED_CONV) TRY(make_conv_backward(t, i));
        if (!wanted || op->kind == FUSED_CONV) continue;
        if (!adds_itself) TRY(make_sum(p, t, g, op->out));
        bool reverses = op->kind == FUSED_POOL || op->kind == FUSED_UPSAMPLE || op->kind == FUSED_REPACK;
        if (op->kind != FUSED_POINT && !reverses) continue;
        step s = t->steps[i];
        s.backward = true;
        TRY(add_step(t, &s));
    }
    for (size_t i = 0; i < t->net.map_count; i++)
        if (t->net.maps[i].is_map && t->net.maps[i].made_by < 0) TRY(make_sum(p, t, g, (int)i));
    return OK;
}

/* ---- running ---- */

typedef struct narrow_call {
    const step *s;
    const kernels *k;
} narrow_call;

static void narrow_part(int index, int threads, void *state)
{
    const narrow_call *call = state;
    int64_t first, end = parallel_part(call->s->count / call->k->block, index, threads, &first);
    first *= call->k->block;
    end *= call->k->block;
    call->k->to_bf16((const float *)call->s->from + first, (uint16_t *)call->s->to + first, end - first);
}

static status run_step(const plan *p, train *t, step *s)
{
    char *arena = t->at.memory.base;
    switch (s->kind) {
    case STEP_INPUT: input_run(s->input, s->from, arena); return OK;
    case STEP_CONV:
        if (s->backward) return conv_backward(s->conv, s->from, s->gradient, s->to, t->scratch);
        return conv_forward(s->conv, s->from, s->to, t->scratch);
    case STEP_POINT: return s->backward ? point_backward_run(s->point, arena) : point_forward_run(s->point, arena);
    case STEP_POOL:
        if (s->backward) pool_backward_run(s->pool, arena);
        else pool_forward_run(s->pool, arena, -1);
        return OK;
    case STEP_LOSS: return detect_loss_run(t->loss.loss, t->loss.targets, *t->loss.count, t->loss.items);
    case STEP_NARROW: {
        narrow_call call = {s, p->d->kernels};
        parallel_run(p->d->threads, narrow_part, &call);
        return OK;
    }
    case STEP_SUM: return s->point ? point_backward_run(s->point, arena) : OK;
    default: return OK;
    }
}

static status work_on_weights(const plan *p, train *t, status (*work)(const convs *c, int threads))
{
    double started = p->profiling ? clock_seconds() : 0;
    TRY(work(&t->convs, p->d->threads));
    if (p->profiling) t->weights_seconds += clock_seconds() - started;
    return OK;
}

static status train_run(plan *p)
{
    train *t = p->state;
    buffer *weights = p->buffers[ARENA_WEIGHTS];
    if (weights && t->packed != weights->version) {
        TRY(work_on_weights(p, t, convs_pack));
        t->packed = weights->version;
    }
    for (size_t i = 0; i < t->step_count; i++) {
        double started = p->profiling ? clock_seconds() : 0;
        TRY(run_step(p, t, &t->steps[i]));
        if (p->profiling) t->steps[i].seconds += clock_seconds() - started;
    }
    TRY(work_on_weights(p, t, convs_collect));
    if (weights) weights->state_version++; /* running statistics have moved */
    return OK;
}

static status train_copy_map(plan *p, plan_side side, int tensor, bool in, void *memory)
{
    const train *t = p->state;
    const map *m = &t->net.maps[tensor];
    const map_places *at = &t->at.maps[tensor];
    const place *where = side == PLAN_VALUE ? &at->value : &at->gradient[0];
    if (!m->is_map || where->item < 0 || (side == PLAN_GRADIENT && !at->gradients))
        return FAIL(ERR_ARGUMENT, "plan: %s has no %s", p->arrays[tensor].tensor.name, side ? "gradient" : "value");
    view v = place_view(&t->at, where, m);
    bool bf16 = t->at.bf16 && !where->fp32;
    if (in) map_from_caller(m, t->net.block, bf16, memory, t->at.memory.base, &v);
    else map_to_caller(m, t->net.block, bf16, t->at.memory.base, &v, memory);
    return OK;
}

static int64_t train_memory(const plan *p)
{
    const train *t = p->state;
    return (t->at.memory.lent ? 0 : t->at.memory.bytes) + (int64_t)t->convs.scratch + convs_memory(&t->convs);
}

static void train_report(const plan *p, int runs, text *out)
{
    train *t = p->state;
    double sums[2][STEP_KINDS] = {{0}}, all = t->weights_seconds;
    for (size_t i = 0; i < t->step_count; i++) {
        sums[t->steps[i].backward][t->steps[i].kind] += t->steps[i].seconds;
        all += t->steps[i].seconds;
        t->steps[i].seconds = 0;
    }
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < STEP_KINDS; k++)
            if (sums[side][k] > 0)
                text_add(out, "%-10s %-9s %9.3f ms  %5.1f %%\n", step_names[k], side ? "backward" : "forward",
                         1e3 * sums[side][k] / runs, 100 * sums[side][k] / all);
    text_add(out, "%-20s %9.3f ms  %5.1f %%\n", "weights", 1e3 * t->weights_seconds / runs,
             100 * t->weights_seconds / all);
    text_add(out, "%-20s %9.3f ms\n", "all", 1e3 * all / runs);
    t->weights_seconds = 0;
}

static void train_destroy(plan *p)
{
    train *t = p->state;
    for (size_t i = 0; i < t->step_count; i++) {
        step *s = &t->steps[i];
        if (s->backward && s->kind != STEP_SUM) continue; /* the forward step owns it */
        if (s->kind == STEP_INPUT) input_destroy(&s->input);
        if (s->kind == STEP_POINT || s->kind == STEP_SUM) point_destroy(&s->point);
        if (s->kind == STEP_POOL) pool_destroy(&s->pool);
    }
    convs_free(&t->convs);
    free(t->steps);
    free(t->scratch);
    detect_loss_destroy(&t->loss.loss);
    places_free(&t->at);
    network_free(&t->net);
    free(t);
}

static const plan_kind train_kind = {
    .name = "train",
    .run = train_run,
    .copy_map = train_copy_map,
    .memory = train_memory,
    .report = train_report,
    .destroy = train_destroy,
};

status train_plan_create(plan *p, const graph *g, const plan *share)
{
    train *t;
    TRY(array_new(&t, 1));
    p->state = t;
    p->kind = &train_kind;
    TRY(network_create(g, true, p->d->kernels->block, &t->net));
    const memory *lender = share && share->kind == &train_kind ? &((const train *)share->state)->at.memory : NULL;
    TRY(places_create(&t->net, p->precision == PRECISION_BF16, lender, &t->at));
    TRY(make_forward(p, t, g));
    TRY(make_backward(p, t, g));
    t->net.g = NULL; /* only borrowed until here */
    if (p->buffers[ARENA_WEIGHTS]) t->packed = p->buffers[ARENA_WEIGHTS]->version;
    t->scratch = aligned_alloc(64, (t->convs.scratch + 64) / 64 * 64);
    return t->scratch ? OK : FAIL(ERR_MEMORY, "out of memory: %zu bytes of scratch", t->convs.scratch);
}
