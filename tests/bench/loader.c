/* loader.c - how fast mosaics come: from pictures kept decoded, and decoding them each time. */
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/hyp.h"
#include "tests/bench/bench.h"
#include "tests/bench/device.h"
#include "tests/bench/rate.h"
#include "tests/bench/set.h"
#include "worker/data/image.h"
#include "worker/data/loader.h"

typedef struct loader_bench_options {
    char *data;
    int_list sizes;
    double seconds;
} loader_bench_options;

#define ROWS(ROW)                                                                                                      \
    ROW(loader_bench_options, data, STRING, "data", "", "", 0, 0, "YAML", "data set; '' draws one")                    \
    ROW(loader_bench_options, sizes, INTS, "img-size", "", "640 320", 32, 4096, "PX", "of the samples")                \
    ROW(loader_bench_options, seconds, DOUBLE, "seconds", "", "2", 0.1, 1000, "S", "that each figure is measured for")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

enum { BATCH = 16, STRIDE = 32, TILES = 4 };

typedef struct bench {
    const loader_bench_options *o;
    const backend_ops *ops;
    device *device;
    dataset *data;
    double hyp[HYP_COUNT];
} bench;

/* ---- the loader ---- */

static status take_batches(loader *l, double seconds, rate *out)
{
    const batch *b;
    status s = OK;
    double until = clock_seconds() + seconds;
    rate_begin(out);
    for (int64_t epoch = 1; s == OK; epoch++) {
        s = loader_start_epoch(l, epoch, NULL);
        while (s == OK && (s = loader_next(l, &b)) == OK) {
            out->count += b->count;
            if (clock_seconds() >= until) s = ERR_STOPPED;
        }
        if (s == ERR_END) s = OK;
    }
    rate_end(out);
    return s == ERR_STOPPED ? OK : s;
}

static status measure_loader(const bench *b, int size, int threads, bool cached, rate *out)
{
    loader_options o = {.batch = BATCH,
                        .image_size = size,
                        .stride = STRIDE,
                        .augment = true,
                        .shuffle = true,
                        .cache = cached,
                        .threads = threads,
                        .hyp = b->hyp,
                        .ops = b->ops,
                        .device = b->device};
    loader *l;
    const batch *warm;
    TRY(loader_create(&l, b->data, &o));
    status s = loader_start_epoch(l, 0, NULL);
    if (s == OK) s = loader_next(l, &warm);              /* plans are made */
    while (s == OK && cached) s = loader_next(l, &warm); /* an epoch fills the cache */
    if (s == OK || s == ERR_END) s = take_batches(l, b->o->seconds, out);
    loader_destroy(&l);
    return s;
}

/* ---- ceilings ---- */

typedef struct file {
    char *bytes;
    size_t count;
} file;

typedef struct decoding {
    const dataset *data;
    file *files;
    uint8_t **pixels;
    size_t room;
} decoding;

/* As the loader's reader decodes, from memory. */
static status decode(void *state, int thread, int64_t number)
{
    const decoding *d = state;
    const file *f = &d->files[number % d->data->count];
    const dataset_image *image = &d->data->images[number % d->data->count];
    tjhandle turbo = tjInitDecompress();
    if (!turbo) return FAIL(ERR_MEMORY, "no memory for reading a JPEG");
    int failed = tjDecompress2(turbo, (const unsigned char *)f->bytes, f->count, d->pixels[thread], image->width, 0,
                               image->height, TJPF_RGB, 0);
    status s = failed ? FAIL(ERR_FORMAT, "%s: %s", image->path, tjGetErrorStr2(turbo)) : OK;
    tjDestroy(turbo);
    return s;
}

static status read_files(decoding *d)
{
    TRY(array_new(&d->files, (size_t)d->data->count));
    for (int i = 0; i < d->data->count; i++) {
        const dataset_image *image = &d->data->images[i];
        size_t bytes = image_bytes(image->width, image->height);
        TRY(fs_read(image->path, 0, &d->files[i].bytes, &d->files[i].count));
        if (bytes > d->room) d->room = bytes;
    }
    return OK;
}

static status make_rooms(size_t bytes, int threads, uint8_t ***out)
{
    TRY(array_new(out, (size_t)threads));
    for (int i = 0; i < threads; i++) {
        TRY(array_new(&(*out)[i], bytes));
        memset((*out)[i], 1, bytes); /* its pages are there before the clock runs */
    }
    return OK;
}

static void free_rooms(uint8_t **rooms, int threads)
{
    for (int i = 0; rooms && i < threads; i++) free(rooms[i]);
    free(rooms);
}

static status measure_decoding(const bench *b, int threads, rate *out)
{
    decoding d = {.data = b->data};
    status s = read_files(&d);
    if (s == OK) s = make_rooms(d.room, threads, &d.pixels);
    if (s == OK) s = rate_measure(threads, b->o->seconds, decode, &d, out);
    for (int i = 0; d.files && i < b->data->count; i++) free(d.files[i].bytes);
    free(d.files);
    free_rooms(d.pixels, threads);
    return s;
}

typedef struct copying {
    size_t bytes; /* of one sample */
    int count;    /* samples that `from` holds */
    uint8_t **from, **to;
} copying;

static status copy(void *state, int thread, int64_t number)
{
    const copying *c = state;
    memcpy(c->to[thread], c->from[thread] + (size_t)(number % c->count) * c->bytes, c->bytes);
    return OK;
}

/* A sample is read once and written once. */
static status measure_copying(const bench *b, int size, int threads, rate *out)
{
    copying c = {.bytes = image_bytes(size, size), .count = 64};
    status s = make_rooms(c.bytes * (size_t)c.count, threads, &c.from);
    if (s == OK) s = make_rooms(c.bytes, threads, &c.to);
    if (s == OK) s = rate_measure(threads, b->o->seconds / 2, copy, &c, out);
    free_rooms(c.from, threads);
    free_rooms(c.to, threads);
    return s;
}

/* ---- figures ---- */

static status measure_size(const bench *b, int size, int threads, const rate *decoded)
{
    rate cached, fresh, copied;
    TRY(measure_loader(b, size, threads, true, &cached));
    TRY(measure_loader(b, size, threads, false, &fresh));
    TRY(measure_copying(b, size, threads, &copied));
    rate mosaics = *decoded; /* four pictures each */
    mosaics.count /= TILES;
    bench_figure(rate_per_s(&cached), "samples/s", "loader.%d.threads_%d.cached", size, threads);
    bench_figure(rate_per_core(&cached), "samples/s a core", "loader.%d.threads_%d.cached.core", size, threads);
    bench_figure(rate_per_s(&copied), "samples/s", "loader.%d.threads_%d.cached.ceiling", size, threads);
    bench_figure(rate_part(&cached, &copied), "of copying a sample", "loader.%d.threads_%d.cached.of_ceiling", size,
                 threads);
    bench_figure(rate_per_s(&fresh), "samples/s", "loader.%d.threads_%d.decoding", size, threads);
    bench_figure(rate_per_core(&fresh), "samples/s a core", "loader.%d.threads_%d.decoding.core", size, threads);
    bench_figure(rate_per_s(&mosaics), "samples/s", "loader.%d.threads_%d.decoding.ceiling", size, threads);
    bench_figure(rate_part(&fresh, &mosaics), "of decoding four pictures", "loader.%d.threads_%d.decoding.of_ceiling",
                 size, threads);
    return OK;
}

static status measure_threads(const bench *b, int threads)
{
    rate decoded;
    TRY(measure_decoding(b, threads, &decoded));
    bench_figure(rate_per_s(&decoded), "pictures/s by libjpeg-turbo alone", "loader.threads_%d.decode", threads);
    for (size_t i = 0; i < b->o->sizes.count; i++) TRY(measure_size(b, (int)b->o->sizes.values[i], threads, &decoded));
    return OK;
}

static status run_on(bench *b, const bench_set *set)
{
    dataset_options options = {.no_cache = true};
    hyp_space space;
    int cores = cores_available();
    hyp_space_default(&space);
    hyp_defaults(&space, false, b->hyp);
    TRY(dataset_create(&set->data, DATA_TRAIN, &options, &b->data));
    TRY(bench_device(0, &b->ops, &b->device));
    TRY(measure_threads(b, 1));
    return cores > 1 ? measure_threads(b, cores) : OK;
}

static status run(const void *options)
{
    bench b = {.o = options};
    bench_set set;
    TRY(bench_set_open(b.o->data, &set));
    status s = run_on(&b, &set);
    if (b.ops) b.ops->close(&b.device);
    dataset_destroy(&b.data);
    bench_set_close(&set);
    return s;
}

BENCHMARK(2, loader, "mosaics: samples/s from decoded pictures and from JPEGs, beside decoding and copying alone",
          loader_bench_options, rows, run)
