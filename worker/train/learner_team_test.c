/* learner.c with several ranks, each a process with a shard of the batch, against one process that has all of it: the losses of the
 * shards are added up, and batch-norm is over the whole batch where it is synchronized.
 *
 * The simulation knows nothing of teams: one plan without a loss over all pictures, whose gradients at the heads come from the plain
 * loss, shard by shard. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/hyp.h"
#include "common/rng.h"
#include "worker/backend/load.h"
#include "worker/loss/detection.h"
#include "worker/train/learner.h"
#include "worker/train/test_model.h"

enum { IMAGES = 4, SIDE = 64, PICTURE = SIDE * SIDE * 3, TARGETS = 24, ARENA_MOST = 1 << 18, RANKS_MOST = 3 };

/* ---- the batch, and who has which part of it ---- */

static uint8_t pixels[IMAGES * PICTURE];
static float targets[TARGETS][6];

static void make_batch(void)
{
    keyed_rng r;
    keyed_seed(&r, 7, 0, 0);
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)keyed_below(&r, 256);
    for (int image = 0; image < IMAGES; image++) /* pictures of different brightness: statistics differ */
        for (int i = 0; i < PICTURE; i++)
            pixels[image * PICTURE + i] = (uint8_t)(pixels[image * PICTURE + i] >> image % 3);
    for (int i = 0; i < TARGETS; i++) {
        const float row[6] = {(float)(i % IMAGES),
                              (float)keyed_below(&r, 2),
                              (float)keyed_random(&r),
                              (float)keyed_random(&r),
                              0.3f,
                              0.25f};
        memcpy(targets[i], row, sizeof row);
    }
}

typedef struct split {
    int ranks, images[RANKS_MOST]; /* of each rank, one after the other */
} split;

static int first_of(const split *s, int rank)
{
    int first = 0;
    for (int r = 0; r < rank; r++) first += s->images[r];
    return first;
}

/* The targets of a shard, their images counted from its own first. */
static int shard_targets(const split *s, int rank, float rows[TARGETS][6])
{
    int first = first_of(s, rank), count = 0;
    for (int i = 0; i < TARGETS; i++) {
        int image = (int)targets[i][0] - first;
        if (image < 0 || image >= s->images[rank]) continue;
        memcpy(rows[count], targets[i], sizeof targets[i]);
        rows[count++][0] = (float)image;
    }
    return count;
}

/* ---- a model on a device ---- */

typedef struct bench {
    const backend_ops *ops;
    device *d;
    model m;
    loss_parameters loss;
} bench;

static bool open_bench(bench *b)
{
    model_config config;
    hyp_space space;
    double hyps[HYP_COUNT];
    *b = (bench){0};
    if (backend_load("cpu", &b->ops) != OK || b->ops->open(0, &(device_options){.threads = 1}, &b->d) != OK)
        return false;
    if (model_config_parse("model", test_model, 2, &config) != OK || model_create(&config, &b->m) != OK) return false;
    model_init(&b->m, 1);
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyps);
    detect_parameters heads = model_heads(&b->m);
    loss_parameters_from(hyps, &heads, &b->loss);
    return b->m.arena_count <= ARENA_MOST;
}

static void close_bench(bench *b)
{
    model_free(&b->m);
    b->ops->close(&b->d);
}

/* ---- ranks ---- */

typedef struct outcome {
    float gradient[ARENA_MOST], weights[ARENA_MOST];
} outcome;

/* One batch and one step, which leaves the sum of all gradients as the momentum. */
static status learn(bench *b, team *t, bool sync, const split *s, int rank, outcome *out)
{
    const float scalars[UPDATE_COUNT] = {[UPDATE_AVERAGE_DECAY] = -1};
    float rows[TARGETS][6], items[LOSS_ITEMS];
    learner_options o = {.kind = OPTIMIZER_SGD, .loss = b->loss, .target_room = TARGETS, .team = t, .sync_norms = sync};
    learner_batch batch = {.bytes = true, .images = s->images[rank], .height = SIDE, .width = SIDE};
    learner *l;
    batch.pixels = pixels + first_of(s, rank) * PICTURE;
    batch.target_count = shard_targets(s, rank, rows);
    batch.targets = rows[0];
    TRY(learner_create(b->ops, b->d, &b->m, &o, &l));
    status result = learner_run(l, &batch, items);
    if (result == OK) result = learner_update(l, scalars);
    if (result == OK) result = optimizer_read(learner_optimizer(l), out->gradient, NULL);
    if (result == OK) result = learner_read(l, ARENA_WEIGHTS, out->weights);
    learner_destroy(&l);
    return result;
}

static int be_rank(const unsigned char *ticket, bool sync, const split *s, int rank, outcome *out)
{
    bench b;
    team *t = NULL;
    alarm(60);
    bool good = open_bench(&b) && b.ops->team_join(b.d, ticket, rank, s->ranks, &t) == OK &&
                learn(&b, t, sync, s, rank, out) == OK;
    if (!good) fprintf(stderr, "rank %d: %s\n", rank, status_message());
    if (t) b.ops->team_leave(&t);
    close_bench(&b);
    return good ? 0 : 1;
}

/* All ranks in processes of their own; what each of them came to. */
static outcome *run_ranks(bool sync, const split *s)
{
    unsigned char ticket[TEAM_TICKET];
    const backend_ops *ops;
    pid_t pids[RANKS_MOST];
    outcome *out = mmap(NULL, sizeof *out * RANKS_MOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(out != MAP_FAILED);
    assert_int_equal(backend_load("cpu", &ops), OK);
    assert_int_equal(ops->team_ticket(s->ranks, ticket), OK);
    for (int r = 0; r < s->ranks; r++) {
        pids[r] = fork();
        assert_true(pids[r] >= 0);
        if (pids[r] == 0) _exit(be_rank(ticket, sync, s, r, &out[r]));
    }
    for (int r = 0; r < s->ranks; r++) {
        int how;
        assert_int_equal(waitpid(pids[r], &how, 0), pids[r]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    return out;
}

static void drop(outcome *out)
{
    munmap(out, sizeof *out * RANKS_MOST);
}

/* ---- one process ---- */

/* (images, anchors * row, height, width), as plans have it, to and from (images, anchors, height, width, row), as the loss does. */
static void turn(const shape *s, int row, bool to_loss, float *plan_side, float *loss_side)
{
    int64_t cells = s->dim[2] * s->dim[3], anchors = s->dim[1] / row;
    for (int64_t n = 0; n < s->dim[0]; n++)
        for (int64_t a = 0; a < anchors; a++)
            for (int64_t k = 0; k < row; k++)
                for (int64_t i = 0; i < cells; i++) {
                    float *p = &plan_side[((n * anchors + a) * row + k) * cells + i];
                    float *q = &loss_side[((n * anchors + a) * cells + i) * row + k];
                    if (to_loss) *q = *p;
                    else *p = *q;
                }
}

typedef struct heads {
    shape shape[GRAPH_LEVELS];
    float *raw[GRAPH_LEVELS], *value[GRAPH_LEVELS], *gradient[GRAPH_LEVELS];
} heads;

static void open_heads(heads *h, const graph *g, const graph_ends *ends, int levels)
{
    for (int i = 0; i < levels; i++) {
        h->shape[i] = g->tensors[ends->raw[i]].shape;
        size_t count = (size_t)shape_count(&h->shape[i]);
        h->raw[i] = calloc(count, sizeof(float));
        h->value[i] = calloc(count, sizeof(float));
        h->gradient[i] = calloc(count, sizeof(float));
        assert_true(h->raw[i] && h->value[i] && h->gradient[i]);
    }
}

static void free_heads(heads *h, int levels)
{
    for (int i = 0; i < levels; i++) {
        free(h->raw[i]);
        free(h->value[i]);
        free(h->gradient[i]);
    }
}

/* The loss of each shard by itself, and what it says about the heads of its pictures. */
static void lose_by_shards(const bench *b, const split *s, heads *h)
{
    int levels = b->m.config.levels, row = 5 + b->m.config.classes;
    for (int i = 0; i < levels; i++) turn(&h->shape[i], row, true, h->raw[i], h->value[i]);
    for (int r = 0; r < s->ranks; r++) {
        float rows[TARGETS][6];
        double items[LOSS_ITEMS];
        loss_level level[GRAPH_LEVELS];
        int count = shard_targets(s, r, rows);
        for (int i = 0; i < levels; i++) {
            const shape *of = &h->shape[i];
            size_t from = (size_t)first_of(s, r) * (size_t)(shape_count(of) / of->dim[0]);
            level[i] = (loss_level){h->value[i] + from, h->gradient[i] + from, (int)of->dim[2], (int)of->dim[3]};
        }
        assert_int_equal(loss_detection(&b->loss, s->images[r], level, rows[0], (size_t)count, items), OK);
    }
    for (int i = 0; i < levels; i++) turn(&h->shape[i], row, false, h->raw[i], h->gradient[i]);
}

static void simulate(const split *s, outcome *out)
{
    bench b;
    graph g;
    graph_ends ends;
    heads h = {0};
    plan *p;
    buffer *weights, *gradients;
    assert_true(open_bench(&b));
    size_t bytes = (size_t)b.m.arena_count * sizeof(float);
    graph_request request = {.images = IMAGES, .height = SIDE, .width = SIDE, .bytes = true, .raw = true};
    plan_options o = {.training = true};
    assert_int_equal(b.ops->buffer_create(b.d, bytes, &weights), OK);
    assert_int_equal(b.ops->buffer_create(b.d, bytes, &gradients), OK);
    o.buffers[ARENA_WEIGHTS] = weights;
    o.buffers[ARENA_GRADIENTS] = gradients;
    assert_int_equal(model_graph(&b.m, &request, &g, &ends), OK);
    if (b.ops->plan_create(b.d, &g, &o, &p) != OK) fail_msg("%s", status_message());
    open_heads(&h, &g, &ends, b.m.config.levels);
    for (int round = 0; round < 2; round++) { /* first for the heads' values, then with their gradients */
        assert_int_equal(b.ops->buffer_write(weights, 0, b.m.arena, bytes), OK);
        assert_int_equal(b.ops->buffer_clear(gradients), OK);
        assert_int_equal(b.ops->plan_write(p, PLAN_VALUE, ends.pixels, pixels, sizeof pixels), OK);
        for (int i = 0; i < b.m.config.levels; i++)
            assert_int_equal(b.ops->plan_write(p, PLAN_GRADIENT, ends.raw[i], h.raw[i],
                                               (size_t)shape_count(&h.shape[i]) * sizeof(float)),
                             OK);
        assert_int_equal(b.ops->plan_run(p), OK);
        if (round) break;
        for (int i = 0; i < b.m.config.levels; i++)
            assert_int_equal(b.ops->plan_read(p, PLAN_VALUE, ends.raw[i], h.raw[i],
                                              (size_t)shape_count(&h.shape[i]) * sizeof(float)),
                             OK);
        lose_by_shards(&b, s, &h);
    }
    assert_int_equal(b.ops->buffer_read(gradients, 0, out->gradient, bytes), OK);
    assert_int_equal(b.ops->buffer_read(weights, 0, out->weights, bytes), OK);
    free_heads(&h, b.m.config.levels);
    b.ops->plan_destroy(&p);
    b.ops->buffer_destroy(&weights);
    b.ops->buffer_destroy(&gradients);
    graph_free(&g);
    close_bench(&b);
}

/* ---- cases ---- */

static double distance(const float *got, const float *want, int64_t count)
{
    double apart = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        apart += pow((double)got[i] - (double)want[i], 2);
        size += pow((double)want[i], 2);
    }
    return sqrt(apart) / (sqrt(size) + 1e-12);
}

/* Both agree to float rounding, weight by weight: 4e-6 was seen of gradients, 5e-7 of statistics. */
static void compare(const outcome *got, const outcome *want)
{
    bench b;
    assert_true(open_bench(&b));
    for (size_t i = 0; i < b.m.count; i++) {
        const weight *w = &b.m.weights[i];
        int64_t count = shape_count(&w->shape);
        if (w->kind == WEIGHT_PARAMETER) {
            double error = distance(got->gradient + w->offset, want->gradient + w->offset, count);
            if (!(error < 5e-5)) fail_msg("gradient of %s: rel L2 %g", w->name, error);
        } else if (w->kind == WEIGHT_STATE) {
            double error = distance(got->weights + w->offset, want->weights + w->offset, count);
            if (!(error < 5e-6)) fail_msg("%s: rel L2 %g", w->name, error);
        }
    }
    close_bench(&b);
}

static const split splits[] = {{2, {2, 2}}, {2, {3, 1}}, {3, {1, 2, 1}}};

static void ranks_with_synchronized_norms_are_one_process(void **state)
{
    (void)state;
    outcome *want = malloc(sizeof *want);
    assert_non_null(want);
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        outcome *out = run_ranks(true, &splits[i]);
        simulate(&splits[i], want);
        for (int r = 0; r < splits[i].ranks; r++) compare(&out[r], want);
        for (int r = 1; r < splits[i].ranks; r++) assert_memory_equal(&out[r], &out[0], sizeof *out);
        drop(out);
    }
    free(want);
}

/* Each rank's own batch-norm: the sum of what every rank comes to alone, to the bit. */
static void ranks_add_their_gradients(void **state)
{
    (void)state;
    outcome *alone = malloc(sizeof *alone);
    float *sum = malloc(sizeof alone->gradient);
    assert_true(alone && sum);
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        outcome *out = run_ranks(false, &splits[i]);
        bench b;
        assert_true(open_bench(&b));
        for (int r = 0; r < splits[i].ranks; r++) {
            assert_int_equal(learn(&b, NULL, false, &splits[i], r, alone), OK);
            for (int64_t k = 0; k < b.m.arena_count; k++) sum[k] = r ? sum[k] + alone->gradient[k] : alone->gradient[k];
        }
        for (int r = 0; r < splits[i].ranks; r++)
            assert_memory_equal(out[r].gradient, sum, (size_t)b.m.arena_count * sizeof *sum);
        close_bench(&b);
        drop(out);
    }
    free(alone);
    free(sum);
}

static int start(void **state)
{
    (void)state;
    make_batch();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_with_synchronized_norms_are_one_process),
        cmocka_unit_test(ranks_add_their_gradients),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
