/* loader.c - see loader.h.
 *
 * An epoch is a sequence of jobs, one a sample. Threads take the next job as long as its batch has a slot in the ring, that is
 * while it is less than `depth` batches ahead of the one that the caller holds. All of the fields that change are under one
 * lock; making a sample, which is nearly all of the time, is not. */
#include "worker/data/loader.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/hyp.h"
#include "common/text.h"
#include "worker/data/maker.h"
#include "worker/data/rect.h"

typedef struct loader_item { /* a sample that is made */
    label *labels;
    size_t label_count, label_room;
    status result;
    char *message; /* of the result, when it is not OK */
} loader_item;

typedef struct loader_slot { /* a batch in the making */
    uint8_t *images;
    loader_item *items; /* options.batch of them */
    int *index;
    sample_origin *origin;
    int left; /* samples that are not made yet */
} loader_slot;

typedef struct loader_batch { /* of the epoch's plan */
    int first, count;         /* jobs */
    rect_shape shape;
} loader_batch;

typedef struct loader_thread {
    loader *loader;
    maker *maker;
    pthread_t id;
} loader_thread;

struct loader {
    const dataset *data;
    loader_options options;
    double hyp[HYP_COUNT];
    cache *cache;
    int *rect_order;         /* rect: the data set's indices by shape */
    rect_shape *rect_shapes; /* rect: of each batch of all ranks */
    int jobs, batches;       /* of an epoch */
    rect_shape largest;      /* of a batch, by pixels */
    loader_thread *threads;  /* at least one, for its maker */
    int started;             /* that really run */
    loader_slot *ring;
    int depth;

    bool fresh;    /* an epoch without an order has begun, and no batch of it was taken */
    int64_t epoch; /* from here to `lock`: the epoch's plan, which changes only while no thread is busy */
    int *order;    /* job to index */
    int *batch_of; /* job to batch */
    loader_batch *plan;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t work;  /* there may be a job to take */
    pthread_cond_t made;  /* a batch is complete, or a thread is no longer busy */
    int next_job, job_count;
    int next_batch; /* that loader_next will give out; the one before it is the caller's */
    int busy;       /* threads in the middle of a sample */
    bool quit;

    batch out; /* the caller's */
    float *targets;
    size_t target_room;
};

/* ---- making ---- */

/* Make the sample of a job into its place. Reads only what stands still while threads are busy. */
static void make(loader *l, maker *m, int job)
{
    int number = l->batch_of[job];
    const loader_batch *b = &l->plan[number];
    loader_slot *slot = &l->ring[number % l->depth];
    int place = job - b->first;
    loader_item *item = &slot->items[place];
    int64_t common = (int64_t)job * l->options.ranks + l->options.rank;
    maker_job work = {.index = l->order[job],
                      .width = b->shape.width,
                      .height = b->shape.height,
                      .draw = draw_keyed(l->options.seed, DRAW_SAMPLE, l->epoch, common)};
    const sample *made;
    uint8_t *to = slot->images + (size_t)place * image_bytes(b->shape.width, b->shape.height);
    slot->index[place] = work.index;
    item->label_count = 0;
    item->result = maker_run(m, &work, to, &made);
    if (item->result == OK) item->result = array_room(&item->labels, &item->label_room, made->label_count);
    if (item->result != OK) {
        item->message = text_copy(status_message());
        return;
    }
    if (made->label_count) memcpy(item->labels, made->labels, made->label_count * sizeof *made->labels);
    item->label_count = made->label_count;
    slot->origin[place] = made->origin;
}

/* The slot of a batch is free once the caller has gone beyond the batch that is `depth` before it. */
static bool may_take(const loader *l)
{
    return l->next_job < l->job_count && l->batch_of[l->next_job] < l->next_batch - 1 + l->depth;
}

static void *run_thread(void *argument)
{
    loader_thread *t = argument;
    loader *l = t->loader;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->quit && !may_take(l)) pthread_cond_wait(&l->work, &l->lock);
        if (l->quit) break;
        int job = l->next_job++;
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        make(l, t->maker, job);
        pthread_mutex_lock(&l->lock);
        l->busy--;
        l->ring[l->batch_of[job] % l->depth].left--;
        pthread_cond_signal(&l->made); /* there is one who waits: the caller */
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- create and destroy ---- */

static status check_options(const loader_options *o)
{
    if (o->batch < 1) return FAIL(ERR_ARGUMENT, "a batch of %d images", o->batch);
    if (o->stride < 1 || o->image_size < 2 || o->image_size % 2 || o->image_size % o->stride ||
        o->image_size > AUGMENT_SIDE_MOST / 2)
        return FAIL(ERR_ARGUMENT, "an image size of %d; an even multiple of the stride %d was expected, at most %d",
                    o->image_size, o->stride, AUGMENT_SIDE_MOST / 2);
    if (o->threads < 0) return FAIL(ERR_ARGUMENT, "%d loader threads", o->threads);
    if (o->augment && !o->hyp) return FAIL(ERR_ARGUMENT, "augmentation without hyperparameters");
    if (!(o->pad >= 0)) return FAIL(ERR_ARGUMENT, "a border of %g strides", o->pad);
    if (o->ranks < 0 || o->rank < 0 || o->rank > (o->ranks ? o->ranks - 1 : 0))
        return FAIL(ERR_ARGUMENT, "loader %d of %d", o->rank, o->ranks);
    return OK;
}

static status plan_shapes(loader *l)
{
    const loader_options *o = &l->options;
    l->batches = rect_batches(l->jobs, o->batch);
    l->largest = (rect_shape){o->image_size, o->image_size};
    if (!o->rect) return OK;
    TRY(array_new(&l->rect_order, (size_t)l->data->count));
    TRY(array_new(&l->rect_shapes, (size_t)l->batches));
    TRY(rect_plan(l->data, o->batch * o->ranks, o->image_size, o->stride, o->pad, l->rect_order, l->rect_shapes));
    l->largest = l->rect_shapes[0];
    for (int i = 1; i < l->batches; i++) {
        const rect_shape *r = &l->rect_shapes[i];
        if ((int64_t)r->height * r->width > (int64_t)l->largest.height * l->largest.width) l->largest = *r;
    }
    return OK;
}

static status make_ring(loader *l)
{
    size_t batch_size = (size_t)l->options.batch;
    /* one that the caller holds, one being made, and enough for every thread to have something to do */
    l->depth = l->options.threads ? 2 + 2 * l->options.threads / l->options.batch : 1;
    TRY(array_new(&l->ring, (size_t)l->depth));
    for (int i = 0; i < l->depth; i++) {
        loader_slot *slot = &l->ring[i];
        TRY(array_new(&slot->items, batch_size));
        TRY(array_new(&slot->index, batch_size));
        TRY(array_new(&slot->origin, batch_size));
        size_t bytes = batch_size * image_bytes(l->largest.width, l->largest.height);
        slot->images = malloc(bytes);
        if (!slot->images) return FAIL(ERR_MEMORY, "no memory for a batch of %zu bytes", bytes);
    }
    return OK;
}

static status make_plan(loader *l)
{
    TRY(array_new(&l->order, (size_t)l->jobs));
    TRY(array_new(&l->batch_of, (size_t)l->jobs));
    return array_new(&l->plan, (size_t)l->batches);
}

static status start_threads(loader *l)
{
    const loader_options *o = &l->options;
    maker_settings settings = {.sample = {.data = l->data, .hyp = l->hyp, .image_size = o->image_size},
                               .cache = l->cache,
                               .augment = o->augment,
                               .mosaic = o->augment && !o->rect,
                               .most_width = l->largest.width,
                               .most_height = l->largest.height,
                               .ops = o->ops,
                               .device = o->device};
    int makers = o->threads ? o->threads : 1;
    TRY(array_new(&l->threads, (size_t)makers));
    for (int i = 0; i < makers; i++) TRY(maker_create(&settings, &l->threads[i].maker));
    for (int i = 0; i < o->threads; i++) {
        l->threads[i].loader = l;
        int error = pthread_create(&l->threads[i].id, NULL, run_thread, &l->threads[i]);
        if (error) return FAIL(fs_status_of_errno(error), "cannot start a loader thread: %s", strerror(error));
        l->started++;
    }
    return OK;
}

status loader_create(loader **out, const dataset *data, const loader_options *options)
{
    *out = NULL;
    TRY(check_options(options));
    loader *l;
    TRY(array_new(&l, 1));
    l->data = data;
    l->options = *options;
    if (!l->options.ranks) l->options.ranks = 1;
    l->jobs = (data->count + l->options.ranks - 1) / l->options.ranks;
    if (l->options.batch > l->jobs) l->options.batch = l->jobs;
    if (options->hyp) memcpy(l->hyp, options->hyp, sizeof l->hyp);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->made, NULL);
    status s = plan_shapes(l);
    if (s == OK) s = make_plan(l);
    if (s == OK) s = make_ring(l);
    if (s == OK && options->cache)
        s = cache_create(data, options->image_size, options->augment ? RESIZE_LINEAR : RESIZE_AREA, options->share,
                         &l->cache);
    if (s == OK) s = start_threads(l);
    if (s == OK) *out = l;
    else loader_destroy(&l);
    return s;
}

static void free_slot(loader *l, loader_slot *slot)
{
    for (int i = 0; slot->items && i < l->options.batch; i++) {
        free(slot->items[i].labels);
        free(slot->items[i].message);
    }
    free(slot->items);
    free(slot->images);
    free(slot->index);
    free(slot->origin);
}

void loader_destroy(loader **loader_to_free)
{
    loader *l = *loader_to_free;
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++) pthread_join(l->threads[i].id, NULL);
    for (int i = 0; l->threads && i < (l->options.threads ? l->options.threads : 1); i++)
        maker_destroy(&l->threads[i].maker);
    for (int i = 0; l->ring && i < l->depth; i++) free_slot(l, &l->ring[i]);
    pthread_cond_destroy(&l->made);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    cache_destroy(&l->cache);
    free(l->threads);
    free(l->ring);
    free(l->order);
    free(l->batch_of);
    free(l->plan);
    free(l->rect_order);
    free(l->rect_shapes);
    free(l->targets);
    free(l);
    *loader_to_free = NULL;
}

int loader_batches(const loader *l)
{
    return l->batches;
}

void loader_largest(const loader *l, int *count, int *height, int *width)
{
    *count = l->options.batch;
    *height = l->largest.height;
    *width = l->largest.width;
}

/* ---- epochs ---- */

/* The picture at a place of the order that all ranks have in common. `from`: of its rectangular batches, else of its places. */
static int picture_at(const loader *l, const int *given, const int *from, int place)
{
    int size = l->options.batch * l->options.ranks;
    place %= l->data->count;
    if (given) return given[place];
    return l->options.rect ? l->rect_order[from[place / size] * size + place % size] : from[place];
}

/* Which job is which picture, and which batch. With rect, batches keep their pictures, and the last, smaller one its place. */
static status order_jobs(loader *l, const int *given)
{
    int n = l->data->count, size = l->options.batch, ranks = l->options.ranks, *from;
    draw d = draw_keyed(l->options.seed, DRAW_ORDER, l->epoch, 0);
    TRY(array_new(&from, (size_t)n));
    for (int i = 0; i < n; i++) from[i] = i;
    if (l->options.shuffle && !given) draw_shuffled(&d, l->options.rect ? n / (size * ranks) : n, from);
    for (int job = 0; job < l->jobs; job++) {
        l->batch_of[job] = job / size;
        l->order[job] = picture_at(l, given, from, job * ranks + l->options.rank);
    }
    for (int i = 0; i < l->batches; i++)
        l->plan[i] = (loader_batch){.first = i * size,
                                    .count = i + 1 < l->batches ? size : l->jobs - i * size,
                                    .shape = l->options.rect ? l->rect_shapes[from[i]] : l->largest};
    free(from);
    return OK;
}

static void clear_slot(loader *l, int number)
{
    loader_slot *slot = &l->ring[number % l->depth];
    slot->left = l->plan[number].count;
    for (int i = 0; i < l->options.batch; i++) {
        free(slot->items[i].message);
        slot->items[i].message = NULL;
    }
}

/* No more jobs, and none in the making. Called with the lock held, as is start_jobs. */
static void stop_jobs(loader *l)
{
    l->job_count = 0;
    while (l->busy) pthread_cond_wait(&l->made, &l->lock);
}

/* Jobs of the plan from this batch on. */
static void start_jobs(loader *l, int number)
{
    l->next_batch = number;
    l->next_job = number < l->batches ? l->plan[number].first : l->jobs;
    l->job_count = l->jobs;
    for (int i = number; i < l->batches && i < number + l->depth; i++) clear_slot(l, i);
    pthread_cond_broadcast(&l->work);
}

status loader_start_epoch(loader *l, int64_t epoch, const int *order)
{
    if (order && l->options.rect) return FAIL(ERR_ARGUMENT, "image weights do not go with rectangular batches");
    for (int i = 0; order && i < l->data->count; i++)
        if (order[i] < 0 || order[i] >= l->data->count)
            return FAIL(ERR_ARGUMENT, "image %d of %d in the order of an epoch", order[i], l->data->count);
    pthread_mutex_lock(&l->lock);
    status s = OK;
    if (order || !l->fresh || l->epoch != epoch) {
        stop_jobs(l);
        l->epoch = epoch;
        s = order_jobs(l, order);
        if (s == OK) start_jobs(l, 0);
        l->fresh = s == OK && !order;
    }
    pthread_mutex_unlock(&l->lock);
    return s;
}

void loader_skip(loader *l, int batches)
{
    pthread_mutex_lock(&l->lock);
    stop_jobs(l);
    start_jobs(l, batches);
    l->fresh = false;
    pthread_mutex_unlock(&l->lock);
}

/* ---- batches ---- */

/* Wait for a batch, or make it here when there are no threads. */
static void complete(loader *l, int number)
{
    const loader_slot *slot = &l->ring[number % l->depth];
    pthread_mutex_lock(&l->lock);
    if (number >= 1 && number + l->depth - 1 < l->batches)
        clear_slot(l, number + l->depth - 1); /* the slot that the caller has given back just now */
    l->next_batch = number + 1;
    l->fresh = false;
    pthread_cond_broadcast(&l->work);
    while (l->options.threads && slot->left) pthread_cond_wait(&l->made, &l->lock);
    pthread_mutex_unlock(&l->lock);
    if (l->options.threads) return;
    for (int i = 0; i < l->plan[number].count; i++) make(l, l->threads[0].maker, l->plan[number].first + i);
}

static status collect_targets(loader *l, int number)
{
    const loader_slot *slot = &l->ring[number % l->depth];
    size_t count = 0;
    for (int i = 0; i < l->plan[number].count; i++) count += slot->items[i].label_count;
    TRY(array_room(&l->targets, &l->target_room, LOADER_TARGET_COLUMNS * (count ? count : 1)));
    float *to = l->targets;
    for (int i = 0; i < l->plan[number].count; i++)
        for (size_t k = 0; k < slot->items[i].label_count; k++) {
            const label *from = &slot->items[i].labels[k];
            const float row[LOADER_TARGET_COLUMNS] = {(float)i, from->cls, from->x, from->y, from->w, from->h};
            memcpy(to, row, sizeof row);
            to += LOADER_TARGET_COLUMNS;
        }
    l->out.targets = l->targets;
    l->out.target_count = (int)count;
    return OK;
}

status loader_next(loader *l, const batch **out)
{
    *out = NULL;
    int number = l->next_batch;
    if (!l->job_count || number >= l->batches) return ERR_END;
    complete(l, number);
    const loader_slot *slot = &l->ring[number % l->depth];
    const loader_batch *b = &l->plan[number];
    for (int i = 0; i < b->count; i++)
        if (slot->items[i].result != OK)
            return FAIL(slot->items[i].result, "%s", slot->items[i].message ? slot->items[i].message : "out of memory");
    bool mosaic = l->options.augment && !l->options.rect;
    l->out = (batch){.images = slot->images,
                     .count = b->count,
                     .height = b->shape.height,
                     .width = b->shape.width,
                     .index = slot->index,
                     .origin = mosaic ? NULL : slot->origin};
    TRY(collect_targets(l, number));
    *out = &l->out;
    return OK;
}
