#include "worker/backend/cpu/norm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/collective.h"
#include "worker/backend/cpu/parallel.h"

/* Values a lane of every block, one array each. */
typedef enum lane_values {
    LANE_GAMMA,
    LANE_MEAN,
    LANE_INVERSE, /* of the batch: mean, 1 / sqrt(variance + eps) */
    LANE_SCALE,
    LANE_SHIFT, /* y = act(x * scale + shift) */
    LANE_A,
    LANE_B,
    LANE_C, /* dx = a dz + b x + c */
    LANE_KINDS,
} lane_values;

struct point {
    point_options o;
    const kernels *k;
    map out;
    int blocks, block;
    int64_t pixels, panel; /* of one image and block: vectors, bytes */
    view *x, *dx;          /* of each block, at that block; dx offset -1: none */
    int *channel;          /* logical channel of each lane, -1 for holes */
    float *lanes;          /* LANE_KINDS arrays of blocks * block */
    double *sums;          /* of each block and image: block sums, then block squares or products */
    double count;          /* pixels that a channel's statistics are over */
    double *mine, *joint;  /* with a team: what this rank gives of each block, and what all of them come to */
};

static float *lane(const point *p, lane_values which, int block)
{
    return p->lanes + ((int64_t)which * p->blocks + block) * p->block;
}

static double *sums_of(const point *p, int block, int image)
{
    return p->sums + ((int64_t)block * p->o.images + image) * 2 * p->block;
}

/* ---- making ---- */

/* Spread the segments' views over the blocks of the output. */
static void spread_views(point *p)
{
    int block = 0;
    for (int s = 0; s < p->o.segments; s++)
        for (int b = 0; b < p->o.segment[s]->blocks; b++, block++) {
            p->x[block] = p->o.x[s];
            p->x[block].offset += b * p->panel;
            p->dx[block] = p->o.dx[s];
            p->dx[block].offset = p->o.has_dx[s] ? p->o.dx[s].offset + b * p->panel : -1;
        }
}

static void name_channels(point *p)
{
    int lane_index = 0, channel = 0;
    for (int r = 0; r < p->out.runs; r++)
        for (int i = 0; i < p->out.run[r].physical; i++)
            p->channel[lane_index++] = i < p->out.run[r].logical ? channel++ : -1;
}

status point_create(device *d, const point_options *options, point **out)
{
    point *p;
    TRY(array_new(&p, 1));
    *out = p;
    p->o = *options;
    p->k = d->kernels;
    p->out = *options->out;
    p->blocks = p->out.blocks;
    p->block = d->kernels->block;
    p->pixels = (int64_t)p->out.height * p->out.width;
    p->panel = p->pixels * p->block * (options->bf16 ? 2 : 4);
    size_t lanes = (size_t)p->blocks * (size_t)p->block;
    TRY(array_new(&p->x, (size_t)p->blocks));
    TRY(array_new(&p->dx, (size_t)p->blocks));
    TRY(array_new(&p->channel, lanes));
    TRY(array_new(&p->lanes, lanes * LANE_KINDS));
    TRY(array_new(&p->sums, lanes * 2 * (size_t)options->images));
    p->count = (double)options->images * (double)p->pixels;
    if (options->team) {
        TRY(array_new(&p->mine, 1 + lanes * 2));
        TRY(array_new(&p->joint, lanes * 2));
    }
    spread_views(p);
    name_channels(p);
    if (!options->training) point_refresh(p);
    return OK;
}

void point_destroy(point **out)
{
    point *p = *out;
    if (!p) return;
    free(p->x);
    free(p->dx);
    free(p->channel);
    free(p->lanes);
    free(p->sums);
    free(p->mine);
    free(p->joint);
    free(p);
    *out = NULL;
}

/* ---- running over panels ---- */

static char *panel_at(char *arena, const view *v, int image, int64_t offset)
{
    return arena + v->offset + image * v->image_stride + offset;
}

/* A pass: something done for each panel, something for a block when all its panels are done, something for each panel again.
 * Threads take whole blocks where that shares the work out evenly; else panels, and meet in between. */
typedef struct pass {
    point *p;
    char *arena;
    void (*first)(point *p, char *arena, int block, int image);
    status (*exchange)(point *p); /* with the other ranks, before `between`; NULL: nothing */
    void (*between)(point *p, int block);
    void (*second)(point *p, char *arena, int block, int image);
} pass;

static void run_blocks(int index, int threads, void *state)
{
    const pass *run = state;
    int64_t block, end = parallel_part(run->p->blocks, index, threads, &block);
    for (; block < end; block++) {
        for (int n = 0; run->first && n < run->p->o.images; n++) run->first(run->p, run->arena, (int)block, n);
        if (run->between) run->between(run->p, (int)block);
        for (int n = 0; n < run->p->o.images; n++) run->second(run->p, run->arena, (int)block, n);
    }
}

static void run_panels(int index, int threads, void *state)
{
    const pass *run = state;
    int64_t images = run->p->o.images, at, end = parallel_part(run->p->blocks * images, index, threads, &at);
    for (; at < end; at++) run->second(run->p, run->arena, (int)(at / images), (int)(at % images));
}

static status run_pass(point *p, const pass *run)
{
    int threads = p->o.threads;
    if (!run->exchange && (p->blocks % threads == 0 || p->blocks >= 8 * threads)) {
        parallel_run(threads, run_blocks, (void *)run);
        return OK;
    }
    if (run->first) {
        pass alone = {.p = p, .arena = run->arena, .second = run->first};
        parallel_run(threads, run_panels, &alone);
    }
    if (run->exchange) TRY(run->exchange(p));
    for (int b = 0; run->between && b < p->blocks; b++) run->between(p, b);
    parallel_run(threads, run_panels, (void *)run);
    return OK;
}

/* Add up a block's sums over the images, in order. */
static void total(const point *p, int block, double *sums)
{
    memset(sums, 0, sizeof *sums * 2 * (size_t)p->block);
    for (int n = 0; n < p->o.images; n++) {
        const double *part = sums_of(p, block, n);
        for (int i = 0; i < 2 * p->block; i++) sums[i] += part[i];
    }
}

/* ---- forward ---- */

/* Statistics are taken about the block's first pixel: squares of small numbers lose nothing. */
static void first_pixel(point *p, char *arena, int block, float *shift)
{
    const char *at = panel_at(arena, &p->x[block], 0, 0);
    if (p->o.bf16) p->k->from_bf16((const uint16_t *)(const void *)at, shift, p->block);
    else memcpy(shift, at, sizeof *shift * (size_t)p->block);
}

static void take_statistics(point *p, char *arena, int block, int image)
{
    float shift[BLOCK_MOST];
    double *sums = sums_of(p, block, image);
    first_pixel(p, arena, block, shift);
    if (image == 0) memcpy(lane(p, LANE_SHIFT, block), shift, sizeof *shift * (size_t)p->block); /* for `normalize` */
    memset(sums, 0, sizeof *sums * 2 * (size_t)p->block);
    p->k->stats(panel_at(arena, &p->x[block], image, 0), p->o.bf16, p->pixels, shift, sums, sums + p->block);
}

/* A block's means, and its variances, over this rank's batch. */
static void own_statistics(const point *p, int block, double *means, double *variances)
{
    double sums[2 * BLOCK_MOST], count = (double)p->o.images * (double)p->pixels;
    const float *shift = lane(p, LANE_SHIFT, block);
    total(p, block, sums);
    for (int l = 0; l < p->block; l++) {
        double away = sums[l] / count;
        means[l] = shift[l] + away;
        variances[l] = sums[p->block + l] / count - away * away;
    }
}

/* Means and variances of all ranks' batches together: each rank gives its own. The spread of the ranks' means adds to the variance. */
static status exchange_statistics(point *p)
{
    const double *all[TEAM_RANKS];
    int lanes = p->blocks * p->block;
    double *mean = p->joint, *variance = p->joint + lanes;
    p->mine[0] = (double)p->o.images * (double)p->pixels;
    for (int b = 0; b < p->blocks; b++)
        own_statistics(p, b, p->mine + 1 + b * p->block, p->mine + 1 + lanes + b * p->block);
    TRY(team_gather(p->o.team, p->mine, 1 + 2 * (size_t)lanes, all));
    memset(p->joint, 0, sizeof *p->joint * 2 * (size_t)lanes);
    p->count = 0;
    for (int r = 0; r < team_ranks(p->o.team); r++) p->count += all[r][0];
    for (int r = 0; r < team_ranks(p->o.team); r++)
        for (int l = 0; l < lanes; l++) mean[l] += all[r][0] / p->count * all[r][1 + l];
    for (int r = 0; r < team_ranks(p->o.team); r++)
        for (int l = 0; l < lanes; l++) {
            double away = all[r][1 + l] - mean[l];
            variance[l] += all[r][0] / p->count * (all[r][1 + lanes + l] + away * away);
        }
    return OK;
}

/* Running statistics and the factors of the second pass. */
static void normalize(point *p, int block)
{
    double means[BLOCK_MOST], variances[BLOCK_MOST], count = p->count;
    float *scale = lane(p, LANE_SCALE, block), *shift = lane(p, LANE_SHIFT, block), momentum = p->o.momentum;
    if (!p->o.team) own_statistics(p, block, means, variances);
    for (int l = 0; l < p->block; l++) {
        int c = p->channel[block * p->block + l], at = block * p->block + l;
        double mean = p->o.team ? p->joint[at] : means[l];
        double variance = p->o.team ? p->joint[p->blocks * p->block + at] : variances[l];
        if (c < 0) { /* a hole stays zero */
            scale[l] = shift[l] = lane(p, LANE_GAMMA, block)[l] = 0;
            continue;
        }
        double inverse = 1 / sqrt((variance > 0 ? variance : 0) + (double)p->o.eps);
        if (isnan(variance)) inverse = NAN;
        lane(p, LANE_GAMMA, block)[l] = p->o.gamma[c];
        lane(p, LANE_MEAN, block)[l] = (float)mean;
        lane(p, LANE_INVERSE, block)[l] = (float)inverse;
        scale[l] = (float)(p->o.gamma[c] * inverse);
        shift[l] = (float)(p->o.beta[c] - mean * p->o.gamma[c] * inverse);
        double unbiased = count > 1 ? variance * count / (count - 1) : variance;
        p->o.mean[c] = (1 - momentum) * p->o.mean[c] + momentum * (float)mean;
        p->o.variance[c] = (1 - momentum) * p->o.variance[c] + momentum * (float)unbiased;
    }
}

void point_refresh(point *p)
{
    if (!p->o.norm) return;
    for (int i = 0; i < p->blocks * p->block; i++) {
        int c = p->channel[i];
        float scale = c < 0 ? 0 : p->o.gamma[c] / sqrtf(p->o.variance[c] + p->o.eps);
        lane(p, LANE_SCALE, 0)[i] = scale;
        lane(p, LANE_SHIFT, 0)[i] = c < 0 ? 0 : p->o.beta[c] - p->o.mean[c] * scale;
    }
}

static void write_output(point *p, char *arena, int block, int image)
{
    int64_t offset = block * p->panel;
    point_forward f = {.x = panel_at(arena, &p->x[block], image, 0),
                       .outs = p->o.places,
                       .activation = p->o.activation};
    if (p->o.norm) {
        f.scale = lane(p, LANE_SCALE, block);
        f.shift = lane(p, LANE_SHIFT, block);
    }
    if (p->o.has_add) f.add = panel_at(arena, &p->o.add, image, offset);
    for (int i = 0; i < p->o.places; i++) f.out[i] = panel_at(arena, &p->o.place[i], image, offset);
    p->k->forward(&f, p->o.bf16, p->pixels);
}

status point_forward_run(point *p, char *arena)
{
    pass run = {.p = p, .arena = arena, .second = write_output};
    if (p->o.norm && p->o.training) {
        run.first = take_statistics;
        run.exchange = p->o.team ? exchange_statistics : NULL;
        run.between = normalize;
    }
    return run_pass(p, &run);
}

/* ---- backward ---- */

static void describe_backward(const point *p, char *arena, int block, int image, point_backward *b)
{
    int64_t offset = block * p->panel;
    *b = (point_backward){.x = panel_at(arena, &p->x[block], image, 0),
                          .dys = p->o.gradients,
                          .activation = p->o.activation};
    for (int i = 0; i < p->o.gradients; i++) b->dy[i] = panel_at(arena, &p->o.gradient[i], image, offset);
    if (p->o.norm) {
        b->scale = lane(p, LANE_SCALE, block);
        b->shift = lane(p, LANE_SHIFT, block);
        b->mean = lane(p, LANE_MEAN, block);
    }
}

static void take_sums(point *p, char *arena, int block, int image)
{
    point_backward b;
    double *sums = sums_of(p, block, image);
    describe_backward(p, arena, block, image, &b);
    if (p->o.keep_sum) b.sum = (void *)b.dy[0];
    memset(sums, 0, sizeof *sums * 2 * (size_t)p->block);
    p->k->backward_stats(&b, p->o.bf16, p->pixels, sums, sums + p->block);
}

/* The sums of all ranks. */
static status exchange_sums(point *p)
{
    const double *all[TEAM_RANKS];
    int values = 2 * p->blocks * p->block;
    for (int b = 0; b < p->blocks; b++) total(p, b, p->mine + (int64_t)b * 2 * p->block);
    TRY(team_gather(p->o.team, p->mine, (size_t)values, all));
    memset(p->joint, 0, sizeof *p->joint * (size_t)values);
    for (int r = 0; r < team_ranks(p->o.team); r++)
        for (int i = 0; i < values; i++) p->joint[i] += all[r][i];
    return OK;
}

/* The gradients of gamma and beta are this rank's, as all gradients of weights are; dx depends on the sums over all ranks.
 * With x^ = (x - m) / s over n pixels:  dx = gamma / s (dz - mean(dz) - x^ mean(dz x^)) = a dz + b x + c. */
static void derive(point *p, int block)
{
    double sums[2 * BLOCK_MOST], count = p->count;
    float *a = lane(p, LANE_A, block), *b = lane(p, LANE_B, block), *c = lane(p, LANE_C, block);
    total(p, block, sums);
    const double *joint = p->o.team ? p->joint + (int64_t)block * 2 * p->block : sums;
    for (int l = 0; l < p->block; l++) {
        int channel = p->channel[block * p->block + l];
        a[l] = b[l] = c[l] = 0;
        if (channel < 0) continue;
        double inverse = lane(p, LANE_INVERSE, block)[l], mean = lane(p, LANE_MEAN, block)[l];
        double sum = joint[l], product = joint[p->block + l] * inverse; /* of dz, and of dz x^ */
        double k = lane(p, LANE_GAMMA, block)[l] * inverse;
        p->o.beta_gradient[channel] += (float)sums[l];
        p->o.gamma_gradient[channel] += (float)(sums[p->block + l] * inverse);
        a[l] = (float)k;
        b[l] = (float)(-k * inverse * product / count);
        c[l] = (float)(-k * sum / count + k * inverse * mean * product / count);
    }
}

static void write_gradient(point *p, char *arena, int block, int image)
{
    point_backward b;
    describe_backward(p, arena, block, image, &b);
    if (p->o.norm && p->o.keep_sum) b.dys = 1; /* the first pass has added them up */
    else if (p->o.keep_sum) b.sum = (void *)b.dy[0];
    if (p->dx[block].offset >= 0) b.dx = panel_at(arena, &p->dx[block], image, 0);
    if (p->o.norm) {
        b.a = lane(p, LANE_A, block);
        b.b = lane(p, LANE_B, block);
        b.c = lane(p, LANE_C, block);
    }
    if (b.dx || b.sum) p->k->backward_apply(&b, p->o.bf16, p->pixels);
}

status point_backward_run(point *p, char *arena)
{
    pass run = {.p = p, .arena = arena, .second = write_gradient};
    if (p->o.norm) {
        run.first = take_sums;
        run.exchange = p->o.team ? exchange_sums : NULL;
        run.between = derive;
    }
    return run_pass(p, &run);
}
