/* detect_*.c against plain versions: the loss against worker/loss/, decoding and suppression against loops written as their
 * definitions read. The reference's own numbers are in the fixtures (tests/parity/loss.c, metrics.c). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/backend/cpu/detect.h"
#include "worker/loss/detection.h"

/* ---- predictions in several layouts ---- */

enum { LAYOUTS = 4 };
static const int blocks[LAYOUTS] = {16, 8, 0, 5}; /* 0: all channels */

typedef struct world {
    loss_parameters p;
    int images, height[GRAPH_LEVELS], width[GRAPH_LEVELS];
    float *raw[GRAPH_LEVELS], *gradient[GRAPH_LEVELS]; /* (images, anchors, height, width, 5 + classes) */
    detect_view view[GRAPH_LEVELS];
    float *targets;
    int count;
    keyed_rng r;
} world;

static void *get(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

static int row_of(const world *w)
{
    return 5 + w->p.detect.classes;
}

static size_t cells_of(const world *w, int level)
{
    return (size_t)(w->height[level] * w->width[level]);
}

static size_t values_of(const world *w, int level)
{
    return (size_t)(w->images * w->p.detect.anchors * row_of(w)) * cells_of(w, level);
}

/* Random heads on a picture of 32 * size cells' worth of pixels. */
static void world_start(world *w, uint64_t seed, int images, int levels, int classes, int size, int count)
{
    *w = (world){.images = images, .count = count};
    keyed_seed(&w->r, seed, 0, 0);
    detect_parameters d = {.levels = levels, .anchors = 3, .classes = classes};
    for (int i = 0; i < levels; i++) {
        d.stride[i] = (float)(8 << i);
        for (int a = 0; a < d.anchors; a++)
            for (int k = 0; k < 2; k++) d.anchor[i][a][k] = 0.5f + 4 * (float)keyed_random(&w->r);
    }
    double hyps[HYP_COUNT];
    hyp_space space;
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyps);
    loss_parameters_from(hyps, &d, &w->p);
    for (int i = 0; i < levels; i++) {
        w->height[i] = (size * 8 >> i) ? size * 8 >> i : 1;
        w->width[i] = (size * 4 >> i) ? size * 4 >> i : 1;
        w->raw[i] = get(values_of(w, i), sizeof(float));
        w->gradient[i] = get(values_of(w, i), sizeof(float));
        for (size_t k = 0; k < values_of(w, i); k++) w->raw[i][k] = (float)keyed_normal(&w->r) * 2;
    }
    w->targets = get((size_t)count * 6, sizeof *w->targets);
    for (int i = 0; i < count; i++) {
        float *t = w->targets + 6 * i;
        t[0] = (float)keyed_below(&w->r, (uint64_t)images);
        t[1] = (float)keyed_below(&w->r, (uint64_t)classes);
        for (int k = 2; k < 4; k++) t[k] = (float)keyed_random(&w->r);
        for (int k = 4; k < 6; k++) t[k] = 0.02f + 0.6f * (float)keyed_random(&w->r);
    }
}

static void drop_views(world *w)
{
    for (int i = 0; i < GRAPH_LEVELS; i++) {
        free(w->view[i].value);
        free(w->view[i].gradient);
        w->view[i] = (detect_view){0};
    }
}

static void world_end(world *w)
{
    drop_views(w);
    for (int i = 0; i < GRAPH_LEVELS; i++) {
        free(w->raw[i]);
        free(w->gradient[i]);
    }
    free(w->targets);
}

static size_t place(const detect_view *v, int image, int channel, size_t cell)
{
    return (size_t)(image * v->image_stride + channel / v->block * v->block_stride) + cell * (size_t)v->block +
           (size_t)(channel % v->block);
}

/* Padding of the values and all of the gradient are NaN: reading the one or forgetting to write the other shows. A gap of
 * some floats lies between blocks and images, which must stay as it is. */
enum { GAP = 3 };
static const float gap_mark = 12345;

static void lay_out(world *w, int layout)
{
    drop_views(w);
    int channels = w->p.detect.anchors * row_of(w), block = blocks[layout] ? blocks[layout] : channels;
    int groups = (channels + block - 1) / block;
    for (int i = 0; i < w->p.detect.levels; i++) {
        size_t cells = cells_of(w, i), of_block = cells * (size_t)block + GAP,
               of_image = of_block * (size_t)groups + GAP;
        size_t all = of_image * (size_t)w->images;
        detect_view v = {get(all, sizeof(float)), get(all, sizeof(float)), w->images, w->height[i], w->width[i],
                         (int64_t)of_image,       (int64_t)of_block,       block};
        for (size_t k = 0; k < all; k++) v.value[k] = v.gradient[k] = gap_mark;
        for (int n = 0; n < w->images; n++)
            for (int c = 0; c < groups * block; c++)
                for (size_t cell = 0; cell < cells; cell++)
                    v.value[place(&v, n, c, cell)] = v.gradient[place(&v, n, c, cell)] = NAN;
        const float *next = w->raw[i];
        for (int n = 0; n < w->images; n++)
            for (int a = 0; a < w->p.detect.anchors; a++)
                for (size_t cell = 0; cell < cells; cell++)
                    for (int k = 0; k < row_of(w); k++) v.value[place(&v, n, a * row_of(w) + k, cell)] = *next++;
        w->view[i] = v;
    }
}

/* ---- loss ---- */

static void plain(world *w, double items[LOSS_ITEMS])
{
    loss_level levels[GRAPH_LEVELS];
    for (int i = 0; i < w->p.detect.levels; i++)
        levels[i] = (loss_level){w->raw[i], w->gradient[i], w->height[i], w->width[i]};
    assert_int_equal(loss_detection(&w->p, w->images, levels, w->targets, (size_t)w->count, items), OK);
}

/* The laid-out gradient against the plain one; padding must be 0, gaps untouched. */
static void check_gradient(const world *w, int level)
{
    const detect_view *v = &w->view[level];
    size_t cells = cells_of(w, level);
    int channels = w->p.detect.anchors * row_of(w), padded = (channels + v->block - 1) / v->block * v->block;
    double square = 0, norm = 0;
    for (int n = 0; n < w->images; n++) {
        for (int c = 0; c < channels; c++)
            for (size_t cell = 0; cell < cells; cell++) {
                size_t row = ((size_t)(n * w->p.detect.anchors + c / row_of(w)) * cells + cell) * (size_t)row_of(w);
                double want = (double)w->gradient[level][row + (size_t)(c % row_of(w))];
                double got = (double)v->gradient[place(v, n, c, cell)];
                square += (got - want) * (got - want);
                norm += want * want;
                if (want == 0 && got != 0) fail_msg("level %d: gradient %g where nothing flows", level, got);
            }
        for (int c = channels; c < padded; c++)
            for (size_t cell = 0; cell < cells; cell++)
                if (v->gradient[place(v, n, c, cell)] != 0) fail_msg("padding is not cleared");
        for (int k = 0; k < GAP; k++)
            if (v->gradient[(n + 1) * v->image_stride - 1 - k] != gap_mark) fail_msg("written between images");
    }
    if (!(sqrt(square) <= 1e-5 * sqrt(norm))) fail_msg("level %d: rel L2 %g", level, sqrt(square / norm));
}

static void compare_loss(world *w)
{
    double want[LOSS_ITEMS];
    float first[LOSS_ITEMS];
    plain(w, want);
    for (int layout = 0; layout < LAYOUTS; layout++)
        for (int threads = 1; threads <= 5; threads += 2) {
            detect_loss *loss;
            float items[LOSS_ITEMS];
            lay_out(w, layout);
            assert_int_equal(detect_loss_create(&w->p, w->view, w->count, threads, &loss), OK);
            assert_int_equal(detect_loss_run(loss, w->targets, w->count, items), OK);
            detect_loss_destroy(&loss);
            for (int k = 0; k < LOSS_ITEMS; k++)
                if (!(fabs((double)items[k] - want[k]) <= 1e-5 * fabs(want[k])))
                    fail_msg("item %d: %.9g, expected %.9g", k, (double)items[k], want[k]);
            for (int i = 0; i < w->p.detect.levels; i++) check_gradient(w, i);
            if (layout == 0 && threads == 1) memcpy(first, items, sizeof first);
            assert_memory_equal(first, items, sizeof first); /* to the bit, whatever layout and threads */
        }
}

static void the_fast_loss_agrees_with_the_plain_one(void **state)
{
    (void)state;
    static const struct {
        int images, levels, classes, size, count;
        float gamma, obj_weight, cls_weight, ratio;
    } cases[] = {
        {3, 3, 3, 1, 20, 0, 1, 1, 1},       {1, 3, 1, 1, 7, 0, 1, 1, 1},     {2, 4, 2, 2, 30, 0, 1.5f, 0.7f, 0.5f},
        {2, 3, 3, 1, 0, 0, 1, 1, 1},        {2, 3, 5, 1, 40, 1.5f, 1, 1, 1}, {4, 1, 80, 1, 25, 0.5f, 2, 0.5f, 1},
        {2, 2, 1, 1, 2000, 0, 1, 1, 0.25f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w;
        world_start(&w, i, cases[i].images, cases[i].levels, cases[i].classes, cases[i].size, cases[i].count);
        w.p.focal_gamma = cases[i].gamma;
        w.p.obj_weight = cases[i].obj_weight;
        w.p.cls_weight = cases[i].cls_weight;
        w.p.ratio = cases[i].ratio;
        compare_loss(&w);
        loss_parameters_as_of_2020_07_20(&w.p);
        compare_loss(&w);
        world_end(&w);
    }
}

static void a_loss_runs_again_with_other_targets(void **state)
{
    (void)state;
    world w;
    detect_loss *loss;
    world_start(&w, 3, 2, 3, 3, 1, 50);
    lay_out(&w, 0);
    assert_int_equal(detect_loss_create(&w.p, w.view, 50, 2, &loss), OK);
    for (int count = 50; count >= 0; count -= 10) {
        double want[LOSS_ITEMS];
        float items[LOSS_ITEMS];
        w.count = count;
        plain(&w, want);
        assert_int_equal(detect_loss_run(loss, w.targets, count, items), OK);
        for (int k = 0; k < LOSS_ITEMS; k++) assert_true(fabs((double)items[k] - want[k]) <= 1e-5 * fabs(want[k]));
        for (int i = 0; i < w.p.detect.levels; i++) check_gradient(&w, i);
    }
    detect_loss_destroy(&loss);
    world_end(&w);
}

/* Every target of two on the same place, and centres on the far border. */
static void targets_on_borders_and_on_each_other_stay_inside(void **state)
{
    (void)state;
    world w;
    world_start(&w, 4, 2, 3, 2, 1, 60);
    for (int i = 0; i < w.count; i++) {
        float *t = w.targets + 6 * i;
        if (i % 2) memcpy(t, t - 6, 6 * sizeof *t);
        else if (i % 3 == 0) t[2] = i % 4 ? 0 : 1;
        else if (i % 3 == 1) t[3] = i % 4 ? 0 : 1;
    }
    compare_loss(&w);
    world_end(&w);
}

/* Focal loss: where float32 rounds 1 - p to 0 the reference's gradient is infinite. */
static void extreme_logits_have_finite_gradients(void **state)
{
    (void)state;
    static const float gammas[] = {0, 0.1f, 0.5f, 1.5f};
    for (size_t g = 0; g < sizeof gammas / sizeof *gammas; g++) {
        world w;
        world_start(&w, 5, 1, 3, 3, 1, 20);
        w.p.focal_gamma = gammas[g];
        for (int i = 0; i < w.p.detect.levels; i++)
            for (size_t k = 0; k < values_of(&w, i); k++) w.raw[i][k] *= k % 3 ? 20 : 60; /* up to some hundreds */
        double want[LOSS_ITEMS];
        plain(&w, want);
        assert_true(isfinite(want[3]));
        for (int i = 0; i < w.p.detect.levels; i++)
            for (size_t k = 0; k < values_of(&w, i); k++) assert_true(isfinite(w.gradient[i][k]));
        compare_loss(&w);
        world_end(&w);
    }
}

static void a_prediction_that_is_no_number_gives_items_that_are_none(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
        for (int layout = 0; layout < LAYOUTS; layout++) {
            world w;
            detect_loss *loss;
            float items[LOSS_ITEMS];
            world_start(&w, 6, 2, 3, 3, 1, 20);
            for (size_t k = 0; k < values_of(&w, 1); k++) w.raw[1][k] = bad[b];
            lay_out(&w, layout);
            assert_int_equal(detect_loss_create(&w.p, w.view, w.count, 2, &loss), OK);
            assert_int_equal(detect_loss_run(loss, w.targets, w.count, items), OK);
            assert_false(isfinite(items[1]));
            assert_false(isfinite(items[3]));
            detect_loss_destroy(&loss);
            world_end(&w);
        }
}

static void bad_targets_and_views_are_refused(void **state)
{
    (void)state;
    static const float bad[] = {-1, 2, NAN, INFINITY};
    world w;
    detect_loss *loss;
    float items[LOSS_ITEMS] = {7};
    world_start(&w, 7, 2, 3, 2, 1, 8);
    lay_out(&w, 1);
    assert_int_equal(detect_loss_create(&w.p, w.view, 8, 1, &loss), OK);
    assert_int_equal(detect_loss_run(loss, w.targets, 9, items), ERR_ARGUMENT);
    assert_int_equal(detect_loss_run(loss, w.targets, -1, items), ERR_ARGUMENT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int column = 0; column < 2; column++) {
            float *t = w.targets + 6 * 5 + column, before = *t;
            *t = bad[i];
            assert_int_equal(detect_loss_run(loss, w.targets, 8, items), ERR_ARGUMENT);
            assert_non_null(strstr(status_message(), "target 5 "));
            *t = before;
        }
    assert_true(items[0] == 7);
    assert_true(isnan(w.view[0].gradient[0]));
    detect_loss_destroy(&loss);
    w.view[1].images = 1;
    assert_int_equal(detect_loss_create(&w.p, w.view, 8, 1, &loss), ERR_ARGUMENT);
    assert_null(loss);
    w.view[1].images = 2;
    w.view[2].block = 0;
    assert_int_equal(detect_loss_create(&w.p, w.view, 8, 1, &loss), ERR_ARGUMENT);
    world_end(&w);
}

/* ---- decoding ---- */

static void decoding_follows_its_formula_in_every_layout(void **state)
{
    (void)state;
    world w;
    world_start(&w, 8, 3, 3, 4, 1, 0);
    const detect_parameters *d = &w.p.detect;
    lay_out(&w, 0);
    size_t rows = (size_t)detect_rows(w.view, d), channels = (size_t)row_of(&w);
    float *want = get(3 * rows * channels, sizeof *want), *got = get(3 * rows * channels, sizeof *got), *to = want;
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < d->levels; i++)
            for (int a = 0; a < 3; a++)
                for (size_t cell = 0; cell < cells_of(&w, i); cell++, to += channels) {
                    const float *raw = w.raw[i] + ((size_t)(n * 3 + a) * cells_of(&w, i) + cell) * channels;
                    double y[16], stride = (double)d->stride[i];
                    for (size_t k = 0; k < channels; k++) to[k] = (float)(y[k] = 1 / (1 + exp(-(double)raw[k])));
                    to[0] = (float)((2 * y[0] - 0.5 + (double)(cell % (size_t)w.width[i])) * stride);
                    to[1] = (float)((2 * y[1] - 0.5 + (double)(cell / (size_t)w.width[i])) * stride);
                    to[2] = (float)(4 * y[2] * y[2] * (double)d->anchor[i][a][0] * stride);
                    to[3] = (float)(4 * y[3] * y[3] * (double)d->anchor[i][a][1] * stride);
                }
    for (int layout = 0; layout < LAYOUTS; layout++) {
        lay_out(&w, layout);
        detect_decode(w.view, d, 1 + layout, got);
        for (size_t k = 0; k < 3 * rows * channels; k++)
            if (!(fabsf(got[k] - want[k]) <= 1e-6f * fmaxf(1, fabsf(want[k]))))
                fail_msg("value %zu: %g, expected %g", k, (double)got[k], (double)want[k]);
    }
    free(want);
    free(got);
    world_end(&w);
}

/* ---- suppression ---- */

typedef struct naive_box {
    float box[4], moved[4], score;
    int class, order;
    bool gone;
} naive_box;

static int by_score(const void *a, const void *b)
{
    const naive_box *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->order - y->order;
}

static float naive_overlap(const float *a, const float *b)
{
    float area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
    float w = fminf(a[2], b[2]) - fmaxf(a[0], b[0]), h = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    float inter = fmaxf(0, w) * fmaxf(0, h);
    return inter / (area_a + area_b - inter);
}

static bool is_wanted(const nms_parameters *p, int class)
{
    for (int i = 0; p->only && i < p->only_count; i++)
        if (p->only[i] == class) return true;
    return !p->only;
}

static int list_naive(const nms_parameters *p, const float *decoded, int rows, int classes, naive_box *out)
{
    int n = 0;
    for (int i = 0; i < rows; i++) {
        const float *row = decoded + (size_t)i * (size_t)(5 + classes);
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (row[5 + c] * row[4] > row[5 + best] * row[4]) best = c;
        for (int c = 0; c < classes && row[4] > p->min_score; c++) {
            float score = row[5 + c] * row[4], by = p->agnostic ? 0 : 4096.0f * (float)c;
            if (!(score > p->min_score) || !is_wanted(p, c) || (!p->multi_label && c != best)) continue;
            naive_box b = {{row[0] - row[2] / 2, row[1] - row[3] / 2, row[0] + row[2] / 2, row[1] + row[3] / 2},
                           {0},
                           score,
                           c,
                           n,
                           false};
            for (int k = 0; k < 4; k++) b.moved[k] = b.box[k] + by;
            out[n++] = b;
        }
    }
    return n;
}

/* torchvision's pass over all pairs, and the reference's merging after it. */
static int naive(const nms_parameters *p, const float *decoded, int rows, int classes, float *out)
{
    naive_box *boxes = get((size_t)rows * (size_t)classes, sizeof *boxes);
    int n = list_naive(p, decoded, rows, classes, boxes), count = 0;
    qsort(boxes, (size_t)n, sizeof *boxes, by_score);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n && !boxes[i].gone; j++)
            if ((double)naive_overlap(boxes[i].moved, boxes[j].moved) > p->max_iou) boxes[j].gone = true;
    for (int i = 0, kept = 0; i < n && kept < p->most; i++) {
        if (boxes[i].gone) continue;
        kept++;
        float *to = out + count * NMS_BOX;
        double sum[4] = {0}, weights = 0;
        int others = 0;
        memcpy(to, boxes[i].box, sizeof boxes[i].box);
        to[4] = boxes[i].score;
        to[5] = (float)boxes[i].class;
        for (int j = 0; p->merge && n > 1 && n < 3000 && j < n; j++) {
            if (!(naive_overlap(boxes[i].moved, boxes[j].moved) > (float)p->max_iou)) continue;
            for (int k = 0; k < 4; k++) sum[k] += (double)boxes[j].score * (double)boxes[j].box[k];
            weights += (double)boxes[j].score;
            others++;
        }
        if (p->merge && n > 1 && n < 3000) {
            if (others < 2) continue;
            for (int k = 0; k < 4; k++) to[k] = (float)(sum[k] / weights);
        }
        count++;
    }
    free(boxes);
    return count;
}

/* Clusters of boxes, so that many overlap; scores repeat, so that ties are there. `spread` is the picture's size. */
static float *random_rows(keyed_rng *r, int rows, int classes, float spread)
{
    float *decoded = get((size_t)rows * (size_t)(5 + classes), sizeof *decoded), *row = decoded;
    for (int i = 0; i < rows; i++, row += 5 + classes) {
        float x = (float)keyed_below(r, 8) / 8 * spread, y = (float)keyed_below(r, 8) / 8 * spread;
        row[0] = x + 10 * (float)keyed_random(r);
        row[1] = y + 10 * (float)keyed_random(r);
        row[2] = 20 + 20 * (float)keyed_random(r);
        row[3] = 20 + 20 * (float)keyed_random(r);
        row[4] = (float)keyed_below(r, 64) / 64;
        for (int c = 0; c < classes; c++) row[5 + c] = (float)keyed_below(r, 16) / 16;
    }
    return decoded;
}

static void check_nms(const nms_parameters *p, const float *decoded, int images, int rows, int classes)
{
    size_t room = (size_t)p->most * NMS_BOX, step = (size_t)rows * (size_t)(5 + classes);
    float *got = get((size_t)images * room, sizeof *got), *want = get(room, sizeof *want);
    int *counts = get((size_t)images, sizeof *counts);
    for (int threads = 1; threads <= 3; threads++) {
        detect_nms *nms;
        assert_int_equal(detect_nms_create(p, classes, threads, &nms), OK);
        for (int again = 0; again < 2; again++)
            assert_int_equal(detect_nms_run(nms, decoded, images, rows, got, counts), OK);
        detect_nms_destroy(&nms);
        for (int n = 0; n < images; n++) {
            int count = naive(p, decoded + (size_t)n * step, rows, classes, want);
            if (counts[n] != count) fail_msg("image %d: %d boxes, expected %d", n, counts[n], count);
            for (size_t k = 0; k < (size_t)count * NMS_BOX; k++) {
                float a = got[(size_t)n * room + k];
                if (p->merge ? !(fabsf(a - want[k]) <= 1e-4f) : a != want[k])
                    fail_msg("image %d, value %zu: %g, expected %g", n, k, (double)a, (double)want[k]);
            }
            for (size_t k = (size_t)count * NMS_BOX; k < room; k++) assert_true(got[(size_t)n * room + k] == 0);
        }
    }
    free(got);
    free(want);
    free(counts);
}

static void suppression_leaves_what_a_pass_over_all_pairs_leaves(void **state)
{
    (void)state;
    static const int only[] = {2, 0, 77, -1};
    keyed_rng r;
    keyed_seed(&r, 9, 0, 0);
    for (int n = 0; n < 48; n++) {
        int classes = n % 3 == 0 ? 1 : n % 3 == 1 ? 3 : 20, rows = n % 4 ? 150 : 40;
        nms_parameters p = {.min_score = n % 5 ? 0.001f : 0.3f,
                            .max_iou = n % 7 ? 0.6 : 0.3,
                            .most = n % 6 ? 300 : 20,
                            .multi_label = n % 2,
                            .agnostic = n % 8 == 3,
                            .merge = n % 4 == 2,
                            .only = n % 5 == 4 ? only : NULL,
                            .only_count = 4};
        float *decoded = random_rows(&r, 3 * rows, classes, 320);
        check_nms(&p, decoded, 3, rows, classes);
        free(decoded);
    }
}

/* Then classes do touch, in spite of the 4096 pixels between them. */
static void suppression_is_exact_on_pictures_wider_than_the_class_offset(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 10, 0, 0);
    nms_parameters p = {.min_score = 0.01f, .max_iou = 0.2, .most = 300, .multi_label = true};
    float *decoded = random_rows(&r, 200, 4, 8 * 4096);
    for (int i = 0; i < 200; i++) decoded[i * 9 + 1] = decoded[i * 9]; /* a diagonal of boxes, 4096 apart */
    check_nms(&p, decoded, 1, 200, 4);
    free(decoded);
}

static void many_candidates_are_thinned_alike(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 11, 0, 0);
    nms_parameters p = {.min_score = 0.001f, .max_iou = 0.6, .most = 300, .multi_label = true};
    float *decoded = random_rows(&r, 1500, 5, 640);
    check_nms(&p, decoded, 1, 1500, 5); /* some 6000 */
    p.merge = true;                     /* too many to merge */
    check_nms(&p, decoded, 1, 1500, 5);
    free(decoded);
}

static void empty_and_odd_rows_do_no_harm(void **state)
{
    (void)state;
    keyed_rng r;
    keyed_seed(&r, 12, 0, 0);
    nms_parameters p = {.min_score = 0.001f, .max_iou = 0.6, .most = 30, .multi_label = true};
    float boxes[30 * NMS_BOX];
    int counts[1];
    detect_nms *nms;
    assert_int_equal(detect_nms_create(&p, 2, 1, &nms), OK);
    assert_int_equal(detect_nms_run(nms, boxes, 1, 0, boxes, counts), OK);
    assert_int_equal(counts[0], 0);
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -1, 0};
    for (int n = 0; n < 200; n++) {
        float *decoded = random_rows(&r, 40, 2, 100);
        for (int k = 0; k < 60; k++) decoded[keyed_below(&r, 40 * 7)] = odd[keyed_below(&r, 6)];
        assert_int_equal(detect_nms_run(nms, decoded, 1, 40, boxes, counts), OK);
        assert_true(counts[0] >= 0 && counts[0] <= 30);
        free(decoded);
    }
    detect_nms_destroy(&nms);
    p.most = 0;
    assert_int_equal(detect_nms_create(&p, 2, 1, &nms), ERR_ARGUMENT);
    assert_null(nms);
}

static void finding_is_decoding_and_suppression_in_one(void **state)
{
    (void)state;
    for (int n = 0; n < 8; n++) {
        world w;
        world_start(&w, 13 + (uint64_t)n, 3, 3, n % 2 ? 1 : 4, 1, 0);
        nms_parameters p = {.min_score = n < 4 ? 0.001f : 0.4f, .max_iou = 0.6, .most = 300, .multi_label = n % 2 == 0};
        lay_out(&w, n % LAYOUTS);
        int64_t rows = detect_rows(w.view, &w.p.detect);
        size_t room = (size_t)p.most * NMS_BOX;
        float *decoded = get((size_t)(3 * rows * row_of(&w)), sizeof *decoded);
        float *one = get(3 * room, sizeof *one), *two = get(3 * room, sizeof *two);
        int counts[2][3];
        detect_nms *nms;
        detect_decode(w.view, &w.p.detect, 2, decoded);
        assert_int_equal(detect_nms_create(&p, w.p.detect.classes, 2, &nms), OK);
        assert_int_equal(detect_nms_find(nms, w.view, &w.p.detect, one, counts[0]), OK);
        assert_int_equal(detect_nms_run(nms, decoded, 3, rows, two, counts[1]), OK);
        assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
        assert_memory_equal(one, two, 3 * room * sizeof *one);
        assert_true(counts[0][0] > 0);
        detect_parameters other = w.p.detect;
        other.classes++;
        assert_int_equal(detect_nms_find(nms, w.view, &other, one, counts[0]), ERR_ARGUMENT);
        detect_nms_destroy(&nms);
        free(decoded);
        free(one);
        free(two);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fast_loss_agrees_with_the_plain_one),
        cmocka_unit_test(a_loss_runs_again_with_other_targets),
        cmocka_unit_test(targets_on_borders_and_on_each_other_stay_inside),
        cmocka_unit_test(extreme_logits_have_finite_gradients),
        cmocka_unit_test(a_prediction_that_is_no_number_gives_items_that_are_none),
        cmocka_unit_test(bad_targets_and_views_are_refused),
        cmocka_unit_test(decoding_follows_its_formula_in_every_layout),
        cmocka_unit_test(suppression_leaves_what_a_pass_over_all_pairs_leaves),
        cmocka_unit_test(suppression_is_exact_on_pictures_wider_than_the_class_offset),
        cmocka_unit_test(many_candidates_are_thinned_alike),
        cmocka_unit_test(empty_and_odd_rows_do_no_harm),
        cmocka_unit_test(finding_is_decoding_and_suppression_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
