#include "worker/train/validate.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/progress.h"
#include "common/text.h"

enum { BOXES_MOST = 300 }; /* an image, as the reference keeps */

/* A plan for one shape of batch: rectangular batches come in a few. */
typedef struct shaped_plan {
    int images, height, width, target_room;
    plan *plan;
    graph_ends ends;
} shaped_plan;

struct validator {
    validator_options o;
    shaped_plan *plans;
    size_t plan_count, plan_room;
    float *boxes, *targets;
    int *counts;
    size_t boxes_room, targets_room, counts_room;
};

status validator_create(const validator_options *options, validator **out)
{
    TRY(array_new(out, 1));
    (*out)->o = *options;
    return OK;
}

void validator_destroy(validator **out)
{
    validator *v = *out;
    if (!v) return;
    while (v->plan_count) v->o.ops->plan_destroy(&v->plans[--v->plan_count].plan);
    free(v->plans);
    free(v->boxes);
    free(v->targets);
    free(v->counts);
    free(v);
    *out = NULL;
}

void validation_free(validation *v)
{
    ap_summary_free(&v->summary);
    free(v->maps);
    *v = (validation){0};
}

/* ---- plans ---- */

static status make_plan(validator *v, shaped_plan *p)
{
    graph g = {0};
    graph_request request = {
        .images = p->images,
        .height = p->height,
        .width = p->width,
        .bytes = true,
        .loss = !v->o.no_loss,
        .loss_parameters = v->o.loss,
        .target_room = p->target_room,
        .nms = true,
        .nms_parameters = {.min_score = v->o.min_score,
                           .max_iou = v->o.max_iou,
                           .most = BOXES_MOST,
                           .multi_label = v->o.model->config.classes > 1,
                           .merge = v->o.merge,
                           .agnostic = v->o.agnostic,
                           .only = v->o.only,
                           .only_count = v->o.only_count,
                           .time_limit = (float)v->o.time_limit},
    };
    plan_options options = {.training = false, .precision = v->o.precision};
    options.buffers[ARENA_WEIGHTS] = v->o.weights;
    options.share = p != &v->plans[0] ? v->plans[0].plan : NULL;
    status s = model_graph(v->o.model, &request, &g, &p->ends);
    if (s == OK) s = v->o.ops->plan_create(v->o.device, &g, &options, &p->plan);
    graph_free(&g);
    return s;
}

static status find_plan(validator *v, const batch *b, shaped_plan **out)
{
    size_t i = 0;
    while (i < v->plan_count && (v->plans[i].images != b->count || v->plans[i].height != b->height ||
                                 v->plans[i].width != b->width || v->plans[i].target_room < b->target_count))
        i++;
    if (i == v->plan_count) {
        TRY(array_room(&v->plans, &v->plan_room, v->plan_count + 1));
        int room = 64;
        while (room < b->target_count) room *= 2;
        v->plans[i] = (shaped_plan){.images = b->count, .height = b->height, .width = b->width, .target_room = room};
        TRY(make_plan(v, &v->plans[i]));
        v->plan_count++;
    }
    *out = &v->plans[i];
    return OK;
}

/* ---- one batch ---- */

static status write_inputs(validator *v, const shaped_plan *p, const batch *b)
{
    const backend_ops *ops = v->o.ops;
    size_t values = (size_t)p->target_room * LOADER_TARGET_COLUMNS;
    int32_t count = b->target_count;
    TRY(array_room(&v->targets, &v->targets_room, values));
    if (count) memcpy(v->targets, b->targets, (size_t)count * LOADER_TARGET_COLUMNS * sizeof *v->targets);
    TRY(ops->plan_write(p->plan, PLAN_VALUE, p->ends.pixels, b->images,
                        (size_t)b->count * (size_t)b->height * (size_t)b->width * 3));
    if (v->o.no_loss) return OK;
    TRY(ops->plan_write(p->plan, PLAN_VALUE, p->ends.targets, v->targets, values * sizeof *v->targets));
    return ops->plan_write(p->plan, PLAN_VALUE, p->ends.target_count, &count, sizeof count);
}

/* The boxes found in each picture against its targets. */
static status match_boxes(validator *v, const shaped_plan *p, const batch *b, matching *found)
{
    const backend_ops *ops = v->o.ops;
    size_t values = (size_t)b->count * BOXES_MOST * NMS_BOX;
    TRY(array_room(&v->boxes, &v->boxes_room, values));
    TRY(array_room(&v->counts, &v->counts_room, (size_t)b->count));
    TRY(ops->plan_read(p->plan, PLAN_VALUE, p->ends.boxes, v->boxes, values * sizeof *v->boxes));
    TRY(ops->plan_read(p->plan, PLAN_VALUE, p->ends.box_counts, v->counts, (size_t)b->count * sizeof *v->counts));
    for (int i = 0; i < b->count; i++)
        TRY(matching_add(found, v->boxes + (size_t)i * BOXES_MOST * NMS_BOX, (size_t)v->counts[i], b->targets,
                         (size_t)b->target_count, i, b->width, b->height));
    validated_batch seen = {.batch = b, .boxes = v->boxes, .counts = v->counts, .most = BOXES_MOST};
    return v->o.seen ? v->o.seen(v->o.seen_state, &seen) : OK;
}

static status run_batch(validator *v, const batch *b, matching *found, validation *out)
{
    shaped_plan *p = NULL;
    float items[LOSS_ITEMS] = {0};
    TRY(find_plan(v, b, &p));
    TRY(write_inputs(v, p, b));
    double started = clock_seconds();
    TRY(v->o.ops->plan_run(p->plan));
    if (!v->o.no_loss) TRY(v->o.ops->plan_read(p->plan, PLAN_VALUE, p->ends.items, items, sizeof items));
    out->inference_seconds += clock_seconds() - started;
    for (int i = 0; i < 3; i++) out->results[FITNESS_TERMS + i] += (double)items[i];
    return match_boxes(v, p, b, found);
}

/* ---- all of it ---- */

static status run_batches(validator *v, status (*between)(void *state), void *state, matching *found, validation *out)
{
    static const char words[] = "validating";
    int batches = loader_batches(v->o.loader), done = 0;
    progress bar;
    const batch *b;
    progress_start(&bar, batches, "batch");
    status s = loader_start_epoch(v->o.loader, 0, NULL);
    while (s == OK && (s = loader_next(v->o.loader, &b)) == OK) {
        s = run_batch(v, b, found, out);
        progress_show(&bar, ++done, words);
        if (s == OK && between) s = between(state);
    }
    if (s == ERR_END) s = OK;
    if (s == OK && bar.terminal) progress_finish(&bar, words);
    for (int i = 0; i < 3; i++) out->results[FITNESS_TERMS + i] /= batches;
    return s;
}

status validator_run(validator *v, status (*between)(void *state), void *state, validation *out)
{
    *out = (validation){0};
    matching found = {0};
    double started = clock_seconds();
    status s = run_batches(v, between, state, &found, out);
    if (s == OK) s = ap_summarize(&found, &out->summary);
    if (s == OK) s = array_new(&out->maps, (size_t)v->o.model->config.classes);
    if (s == OK) {
        ap_maps(&out->summary, v->o.model->config.classes, out->maps);
        out->results[0] = out->summary.precision;
        out->results[1] = out->summary.recall;
        out->results[2] = out->summary.map50;
        out->results[3] = out->summary.map;
    }
    out->seconds = clock_seconds() - started;
    matching_free(&found);
    return s;
}
