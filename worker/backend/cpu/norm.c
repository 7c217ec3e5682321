#include "worker/backend/cpu/norm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
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

static void run_pass(point *p, const pass *run)
{
    int threads = p->o.threads;
    if (p->blocks % threads == 0 || p->blocks >= 8 * threads) {
        parallel_run(threads, run_blocks, (void *)run);
        return;
    }
    if (run->first) {
        pass alone = {p, run->arena, NULL, NULL, run->first};
        parallel_run(threads, run_panels, &alone);
    }
    for (int b = 0; run->between && b < p->blocks; b++) run->between(p, b);
    parallel_run(threads, run_panels, (void *)run);
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

/* Running statistics and the factors of the second pass, from a block's sums. */
static void normalize(point *p, int block)
{
    double sums[2 * BLOCK_MOST], count = (double)p->o.images * (double)p->pixels;
    float *scale = lane(p, LANE_SCALE, block), *shift = lane(p, LANE_SHIFT, block), momentum = p->o.momentum;
    total(p, block, sums);
    for (int l = 0; l < p->block; l++) {
        int c = p->channel[block * p->block + l];
        double away = sums[l] / count, mean = shift[l] + away;
        double variance = sums[p->block + l] / count - away * away;
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

void point_forward_run(point *p, char *arena)
{
    bool batch = p->o.norm && p->o.training;
    pass run = {p, arena, batch ? take_statistics : NULL, batch ? normalize : NULL, write_output};
    run_pass(p, &run);
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

/* With x^ = (x - m) / s over n pixels:  dx = gamma / s (dz - mean(dz) - x^ mean(dz x^)) = a dz + b x + c. */
static void derive(point *p, int block)
{
    double sums[2 * BLOCK_MOST], count = (double)p->o.images * (double)p->pixels;
    float *a = lane(p, LANE_A, block), *b = lane(p, LANE_B, block), *c = lane(p, LANE_C, block);
    total(p, block, sums);
    for (int l = 0; l < p->block; l++) {
        int channel = p->channel[block * p->block + l];
        a[l] = b[l] = c[l] = 0;
        if (channel < 0) continue;
        double inverse = lane(p, LANE_INVERSE, block)[l], mean = lane(p, LANE_MEAN, block)[l];
        double sum = sums[l], product = sums[p->block + l] * inverse; /* of dz, and of dz x^ */
        double k = lane(p, LANE_GAMMA, block)[l] * inverse;
        p->o.beta_gradient[channel] += (float)sum;
        p->o.gamma_gradient[channel] += (float)product;
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

void point_backward_run(point *p, char *arena)
{
    pass run = {p, arena, p->o.norm ? take_sums : NULL, p->o.norm ? derive : NULL, write_gradient};
    run_pass(p, &run);
}
