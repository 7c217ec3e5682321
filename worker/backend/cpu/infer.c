/* infer.c - a network forward only: each thread takes an image through all of it.
 *
 * One image's feature maps fit the caches, members of a concat lie in one piece, and no thread waits for another. Batch-norm
 * is folded into the convolution before it, the activation runs on its output while that is hot. What the caller reads, and
 * the heads that a loss over the whole batch needs, is copied out of the thread's arena. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "worker/backend/cpu/convs.h"
#include "worker/backend/cpu/detect.h"
#include "worker/backend/cpu/infer_place.h"
#include "worker/backend/cpu/memory.h"
#include "worker/backend/cpu/parallel.h"
#include "worker/backend/cpu/plan.h"
#include "worker/backend/cpu/pool.h"
#include "worker/backend/cpu/shape.h"

typedef enum step_kind { STEP_INPUT, STEP_LOAD, STEP_CONV, STEP_POINT, STEP_POOL, STEP_KEEP, STEP_KINDS } step_kind;
static const char *const step_names[STEP_KINDS] = {"input", "load", "conv", "point", "pool", "keep"};

typedef struct step {
    step_kind kind;
    union {
        input *input;
        conv *conv;
        point *point;
        pool *pool;
    };
    const void *pixels;
    int64_t from, to; /* offsets in the arena: of a conv's x and y; of what is kept or loaded */
    char *kept;       /* keep and load: memory for all images */
    int64_t bytes;    /* of one image of it */
    _Atomic int64_t nanoseconds;
} step;

/* A map that outlives its image: heads, outputs, the caller's inputs. */
typedef struct kept_map {
    int map;
    char *memory;
    int64_t image_bytes;
    bool fp32;
} kept_map;

typedef struct infer {
    network net;
    infer_places at;
    memory memory; /* an arena for each thread */
    step *steps;
    size_t step_count, step_room;
    convs convs;
    point **points;
    size_t point_count, point_room;
    kept_map *kept;
    size_t kept_count, kept_room;
    char *scratch;
    size_t scratch_bytes;
    int64_t seen, seen_state; /* versions of the weights that convolutions and points hold */
    int images;
    detect_loss *loss_run;
    detect_nms *nms_run;
    const fused *loss, *decode, *nms;
} infer;

static status keep(infer *t, int map_index, kept_map **out)
{
    const map *m = &t->net.maps[map_index];
    TRY(array_room(&t->kept, &t->kept_room, t->kept_count + 1));
    kept_map *k = &t->kept[t->kept_count];
    *k = (kept_map){.map = map_index, .fp32 = t->at.spots[map_index].fp32};
    k->image_bytes = infer_panel(&t->at, map_index) * m->blocks;
    size_t bytes = (size_t)(k->image_bytes * m->images + 63) / 64 * 64;
    k->memory = aligned_alloc(64, bytes);
    if (!k->memory) return FAIL(ERR_MEMORY, "out of memory: %zu bytes of outputs", bytes);
    memset(k->memory, 0, bytes);
    t->kept_count++;
    *out = k;
    return OK;
}

/* ---- steps ---- */

static status add_step(infer *t, step_kind kind, step **out)
{
    TRY(array_room(&t->steps, &t->step_room, t->step_count + 1));
    *out = &t->steps[t->step_count++];
    (*out)->kind = kind;
    return OK;
}

static status make_input(plan *p, infer *t, const fused *op)
{
    const graph_tensor *pixels = &p->arrays[op->in[0]].tensor;
    bool bytes = pixels->type == DTYPE_U8, bf16 = p->precision == PRECISION_BF16;
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
        .to = {infer_offset(&t->at, op->out), 0},
        .bf16 = bf16,
        .threads = 1,
    };
    step *s;
    TRY(add_step(t, STEP_INPUT, &s));
    s->pixels = p->arrays[op->in[0]].memory;
    return input_create(p->d, &o, &s->input);
}

/* Part of a norm's values for one of the maps it covers. */
static void fold_norm(const plan *p, const graph *g, const infer *t, const fused *norm_op, int slot, conv_filter *f)
{
    int first = 0;
    for (int k = 0; k < slot; k++) first += t->net.maps[norm_op->in[k]].channels;
    f->gamma = plan_stored(p, g, ARENA_WEIGHTS, norm_op->norm.gamma) + first;
    f->beta = plan_stored(p, g, ARENA_WEIGHTS, norm_op->norm.beta) + first;
    f->mean = plan_stored(p, g, ARENA_WEIGHTS, norm_op->norm.mean) + first;
    f->variance = plan_stored(p, g, ARENA_WEIGHTS, norm_op->norm.variance) + first;
    f->eps = norm_op->norm.eps;
}

static status make_conv(plan *p, infer *t, const graph *g, int index)
{
    const fused *op = &t->net.ops[index];
    bool bf16 = p->precision == PRECISION_BF16;
    conv_options o =
        {.shape = op->conv, .images = 1, .in = &t->net.maps[op->in[0]], .filters = 1, .bf16 = bf16, .threads = 1};
    o.out_fp32 = t->at.spots[op->out].fp32;
    o.activation = ACTIVATION_NONE;
    o.filter[0].weight = plan_stored(p, g, ARENA_WEIGHTS, op->filter[0].weight);
    if (op->filter[0].bias >= 0) o.filter[0].bias = plan_stored(p, g, ARENA_WEIGHTS, op->filter[0].bias);
    o.filter[0].out = &t->net.maps[op->out];
    if (t->at.folds_into[index] >= 0) {
        const fused *point = &t->net.ops[t->at.folds_into[index]];
        int slot = 0;
        while (point->in[slot] != op->out) slot++;
        o.activation = point->activation;
        if (point->norm.there) fold_norm(p, g, t, point, slot, &o.filter[0]);
    }
    conv *c;
    TRY(convs_add(&t->convs, p->d, &o, &c));
    step *s;
    TRY(add_step(t, STEP_CONV, &s));
    s->conv = c;
    s->from = infer_offset(&t->at, op->in[0]);
    s->to = infer_offset(&t->at, op->out);
    return OK;
}

static status make_point(plan *p, infer *t, const graph *g, int index)
{
    const fused *op = &t->net.ops[index];
    bool bf16 = p->precision == PRECISION_BF16, rest = t->at.folded[index];
    if (rest && op->add < 0) return OK; /* the convolutions do it all */
    point_options o = {.out = &t->net.maps[op->out], .images = 1, .bf16 = bf16, .threads = 1, .places = 1};
    o.place[0] = (view){infer_offset(&t->at, op->out), 0};
    o.activation = rest ? ACTIVATION_NONE : op->activation;
    o.segments = rest ? 1 : op->inputs;
    for (int k = 0; k < o.segments; k++) {
        o.segment[k] = rest ? o.out : &t->net.maps[op->in[k]];
        o.x[k] = rest ? o.place[0] : (view){infer_offset(&t->at, op->in[k]), 0};
    }
    o.has_add = op->add >= 0;
    if (o.has_add) o.add = (view){infer_offset(&t->at, op->add), 0};
    o.norm = op->norm.there && !rest;
    if (o.norm) {
        o.eps = op->norm.eps;
        o.gamma = plan_stored(p, g, ARENA_WEIGHTS, op->norm.gamma);
        o.beta = plan_stored(p, g, ARENA_WEIGHTS, op->norm.beta);
        o.mean = plan_stored(p, g, ARENA_WEIGHTS, op->norm.mean);
        o.variance = plan_stored(p, g, ARENA_WEIGHTS, op->norm.variance);
    }
    TRY(array_room(&t->points, &t->point_room, t->point_count + 1));
    TRY(point_create(p->d, &o, &t->points[t->point_count++]));
    step *s;
    TRY(add_step(t, STEP_POINT, &s));
    s->point = t->points[t->point_count - 1];
    return OK;
}

static status make_pool(plan *p, infer *t, const fused *op)
{
    const map *x = &t->net.maps[op->in[0]];
    bool bf16 = p->precision == PRECISION_BF16;
    pool_options o = {.window = op->pool, .images = 1, .blocks = x->blocks, .threads = 1};
    if (op->kind == FUSED_REPACK) {
        o.from = x;
        o.to = &t->net.maps[op->out];
    }
    o.height = x->height;
    o.width = x->width;
    o.out_height = t->net.maps[op->out].height;
    o.out_width = t->net.maps[op->out].width;
    o.bf16 = bf16;
    o.x.offset = infer_offset(&t->at, op->in[0]);
    o.y.offset = infer_offset(&t->at, op->out);
    step *s;
    TRY(add_step(t, STEP_POOL, &s));
    return pool_create(p->d, &o, &s->pool);
}

/* Copies between the arena and the memory for all images: the caller's maps first, what is kept last. */
static status make_copies(infer *t, bool load)
{
    for (size_t i = 0; i < t->net.map_count; i++) {
        if (!infer_is_kept(&t->at, (int)i) || (t->net.maps[i].made_by < 0) != load) continue;
        kept_map *k = NULL;
        step *s = NULL;
        TRY(keep(t, (int)i, &k));
        TRY(add_step(t, load ? STEP_LOAD : STEP_KEEP, &s));
        s->from = s->to = infer_offset(&t->at, (int)i);
        s->kept = k->memory;
        s->bytes = k->image_bytes;
    }
    return OK;
}

static status make_steps(plan *p, infer *t, const graph *g)
{
    TRY(make_copies(t, true));
    for (size_t i = 0; i < t->net.op_count; i++) {
        const fused *op = &t->net.ops[i];
        switch (op->kind) {
        case FUSED_INPUT: TRY(make_input(p, t, op)); break;
        case FUSED_CONV: TRY(make_conv(p, t, g, (int)i)); break;
        case FUSED_POINT: TRY(make_point(p, t, g, (int)i)); break;
        case FUSED_UPSAMPLE:
        case FUSED_REPACK:
        case FUSED_POOL: TRY(make_pool(p, t, op)); break;
        case FUSED_CONCAT: break;
        case FUSED_LOSS: t->loss = op; break;
        case FUSED_DECODE: t->decode = op; break;
        case FUSED_NMS: t->nms = op; break;
        }
    }
    return make_copies(t, false);
}

/* ---- detection ---- */

static const kept_map *find_kept(const infer *t, int map_index)
{
    for (size_t i = 0; i < t->kept_count; i++)
        if (t->kept[i].map == map_index) return &t->kept[i];
    return NULL;
}

static void view_heads(const infer *t, const fused *op, detect_view *views)
{
    for (int i = 0; i < op->inputs; i++) {
        float *value = (float *)(void *)find_kept(t, op->in[i])->memory;
        views[i] = map_heads_view(&t->net.maps[op->in[i]], t->net.block, value, NULL);
    }
}

static status make_detection(const plan *p, infer *t)
{
    detect_view views[GRAPH_LEVELS];
    if (t->loss) {
        const graph_node *n = &t->loss->node;
        int room = (int)p->arrays[n->in[t->loss->inputs]].tensor.shape.dim[0];
        view_heads(t, t->loss, views);
        TRY(detect_loss_create(&n->loss, views, room, p->d->threads, &t->loss_run));
    }
    if (!t->nms) return OK;
    int values = (int)p->arrays[t->nms->node.in[0]].tensor.shape.dim[2];
    return detect_nms_create(&t->nms->node.nms, values - 5, p->d->threads, &t->nms_run);
}

/* Rows are written only if somebody reads them; suppression looks at the raw predictions otherwise. */
static status run_detection(const plan *p, infer *t)
{
    detect_view views[GRAPH_LEVELS];
    const plan_array *decoded = t->decode ? &p->arrays[t->decode->node.out[0]] : NULL;
    if (t->loss) {
        const graph_node *n = &t->loss->node;
        int count = *(const int32_t *)p->arrays[n->in[t->loss->inputs + 1]].memory;
        TRY(detect_loss_run(t->loss_run, p->arrays[n->in[t->loss->inputs]].memory, count, p->arrays[n->out[0]].memory));
    }
    if (decoded) view_heads(t, t->decode, views);
    if (decoded && decoded->memory) detect_decode(views, &t->decode->node.detect, p->d->threads, decoded->memory);
    if (!t->nms) return OK;
    const graph_node *n = &t->nms->node;
    float *boxes = p->arrays[n->out[0]].memory;
    int *counts = p->arrays[n->out[1]].memory;
    if (decoded && !decoded->memory) return detect_nms_find(t->nms_run, views, &t->decode->node.detect, boxes, counts);
    const plan_array *rows = &p->arrays[n->in[0]];
    return detect_nms_run(t->nms_run, rows->memory, (int)rows->tensor.shape.dim[0], rows->tensor.shape.dim[1], boxes,
                          counts);
}

static status check_detection(const plan *p, const infer *t)
{
    const graph_node *nms = t->nms ? &t->nms->node : NULL, *loss = t->loss ? &t->loss->node : NULL;
    bool good = true;
    if (nms) {
        good = p->arrays[nms->out[0]].memory && p->arrays[nms->out[1]].memory;
        good = good && (t->decode ? t->decode->node.out[0] == nms->in[0] : p->arrays[nms->in[0]].memory != NULL);
    }
    if (loss)
        good = good && p->arrays[loss->in[t->loss->inputs]].memory && p->arrays[loss->in[t->loss->inputs + 1]].memory &&
               p->arrays[loss->out[0]].memory;
    return good ? OK : FAIL(ERR_ARGUMENT, "cpu: loss and nms read inputs, and their outputs are outputs of the graph");
}

/* ---- running ---- */

typedef struct infer_call {
    plan *p;
    infer *t;
    _Atomic status result;
} infer_call;

static status run_step(infer *t, step *s, int image, int thread)
{
    char *arena = t->memory.base + thread * t->at.arena_bytes;
    switch (s->kind) {
    case STEP_INPUT: input_run_image(s->input, s->pixels, image, arena); return OK;
    case STEP_LOAD: memcpy(arena + s->to, s->kept + image * s->bytes, (size_t)s->bytes); return OK;
    case STEP_KEEP: memcpy(s->kept + image * s->bytes, arena + s->from, (size_t)s->bytes); return OK;
    case STEP_CONV:
        return conv_forward(s->conv, arena + s->from, arena + s->to, t->scratch + (size_t)thread * t->scratch_bytes);
    case STEP_POINT: return point_forward_run(s->point, arena);
    case STEP_POOL: pool_forward_run(s->pool, arena, thread); return OK;
    default: return OK;
    }
}

static void run_images(int index, int threads, void *state)
{
    infer_call *call = state;
    infer *t = call->t;
    for (int image = index; image < t->images; image += threads) {
        status s = OK;
        for (size_t i = 0; s == OK && i < t->step_count; i++) {
            double started = call->p->profiling ? clock_seconds() : 0;
            s = run_step(t, &t->steps[i], image, index);
            if (call->p->profiling) t->steps[i].nanoseconds += (int64_t)((clock_seconds() - started) * 1e9);
        }
        if (s != OK) call->result = s;
    }
}

static status infer_run(plan *p)
{
    infer *t = p->state;
    const buffer *weights = p->buffers[ARENA_WEIGHTS];
    if (weights && (t->seen != weights->version || t->seen_state != weights->state_version)) {
        TRY(convs_pack(&t->convs, p->d->threads));
        for (size_t i = 0; i < t->point_count; i++) point_refresh(t->points[i]);
        t->seen = weights->version;
        t->seen_state = weights->state_version;
    }
    infer_call call = {.p = p, .t = t, .result = OK};
    parallel_run(p->d->threads, run_images, &call);
    if (call.result != OK) return call.result;
    return run_detection(p, t);
}

static status infer_copy_map(plan *p, plan_side side, int tensor, bool in, void *memory)
{
    const infer *t = p->state;
    const kept_map *k = find_kept(t, tensor);
    if (!k || side == PLAN_GRADIENT)
        return FAIL(ERR_ARGUMENT, "plan: %s has no %s", p->arrays[tensor].tensor.name,
                    side == PLAN_GRADIENT ? "gradient in inference" : "value");
    view v = {0, k->image_bytes};
    bool bf16 = p->precision == PRECISION_BF16 && !k->fp32;
    if (in) map_from_caller(&t->net.maps[tensor], t->net.block, bf16, memory, k->memory, &v);
    else map_to_caller(&t->net.maps[tensor], t->net.block, bf16, k->memory, &v, memory);
    return OK;
}

static int64_t infer_memory(const plan *p)
{
    const infer *t = p->state;
    int64_t bytes = (t->memory.lent ? 0 : t->memory.bytes) + (int64_t)t->scratch_bytes * p->d->threads;
    bytes += convs_memory(&t->convs);
    for (size_t i = 0; i < t->kept_count; i++) bytes += t->kept[i].image_bytes * t->images;
    return bytes;
}

static void infer_report(const plan *p, int runs, text *out)
{
    infer *t = p->state;
    double sums[STEP_KINDS] = {0}, all = 0;
    for (size_t i = 0; i < t->step_count; i++) {
        sums[t->steps[i].kind] += 1e-9 * (double)t->steps[i].nanoseconds;
        all += 1e-9 * (double)t->steps[i].nanoseconds;
        t->steps[i].nanoseconds = 0;
    }
    for (int k = 0; k < STEP_KINDS; k++)
        if (sums[k] > 0)
            text_add(out, "%-10s %9.3f ms  %5.1f %%\n", step_names[k], 1e3 * sums[k] / runs, 100 * sums[k] / all);
    text_add(out, "%-10s %9.3f ms of thread time\n", "all", 1e3 * all / runs);
}

static void infer_destroy(plan *p)
{
    infer *t = p->state;
    for (size_t i = 0; i < t->step_count; i++) {
        if (t->steps[i].kind == STEP_INPUT) input_destroy(&t->steps[i].input);
        if (t->steps[i].kind == STEP_POOL) pool_destroy(&t->steps[i].pool);
    }
    convs_free(&t->convs);
    for (size_t i = 0; i < t->point_count; i++) point_destroy(&t->points[i]);
    for (size_t i = 0; i < t->kept_count; i++) free(t->kept[i].memory);
    free(t->points);
    free(t->kept);
    free(t->steps);
    infer_places_free(&t->at);
    free(t->scratch);
    detect_loss_destroy(&t->loss_run);
    detect_nms_destroy(&t->nms_run);
    memory_free(&t->memory);
    network_free(&t->net);
    free(t);
}

static const plan_kind infer_kind = {
    .name = "infer",
    .run = infer_run,
    .copy_map = infer_copy_map,
    .memory = infer_memory,
    .report = infer_report,
    .destroy = infer_destroy,
};

/* How many images a run takes: those of any map or of the decoded rows. */
static int count_images(const graph *g, const network *n)
{
    for (size_t i = 0; i < n->map_count; i++)
        if (n->maps[i].is_map) return n->maps[i].images;
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].kind == OP_NMS) return (int)g->tensors[g->nodes[i].in[0]].shape.dim[0];
    return 0;
}

static status build(plan *p, infer *t, const graph *g, const plan *share)
{
    TRY(network_create(g, false, p->d->kernels->block, &t->net));
    t->images = count_images(g, &t->net);
    TRY(infer_places_create(&t->net, p->precision == PRECISION_BF16, &t->at));
    TRY(make_steps(p, t, g));
    TRY(check_detection(p, t));
    TRY(make_detection(p, t));
    t->scratch_bytes = (t->convs.scratch + 127) / 64 * 64;
    t->scratch = aligned_alloc(64, t->scratch_bytes * (size_t)p->d->threads);
    if (!t->scratch) return FAIL(ERR_MEMORY, "out of memory: %zu bytes of scratch", t->scratch_bytes);
    t->memory.bytes = t->at.arena_bytes * p->d->threads;
    return memory_take(&t->memory, share && share->kind == &infer_kind ? &((infer *)share->state)->memory : NULL);
}

status infer_plan_create(plan *p, const graph *g, const plan *share)
{
    infer *t;
    TRY(array_new(&t, 1));
    p->state = t;
    p->kind = &infer_kind;
    parallel_set_threads(1); /* convolutions are made for the one thread that runs an image */
    status s = build(p, t, g, share);
    parallel_set_threads(p->d->threads);
    t->net.g = NULL;
    if (p->buffers[ARENA_WEIGHTS]) {
        t->seen = p->buffers[ARENA_WEIGHTS]->version;
        t->seen_state = p->buffers[ARENA_WEIGHTS]->state_version;
    }
    return s;
}
