/* loader.h - batches of a data set, made ahead by a pool of threads.
 *
 * Each sample's random choices are keyed by (seed, epoch, place in the epoch), each batch is made in a place of its own in a
 * ring, and batches come out in order: what comes out is the same for any number of threads, also for none (then loader_next
 * makes them itself).
 *
 *     TRY(loader_create(&l, data, &options));
 *     for each epoch:
 *         TRY(loader_start_epoch(l, epoch, NULL));
 *         while ((s = loader_next(l, &b)) == OK) ...
 *         if (s != ERR_END) ...
 *     loader_destroy(&l);
 *
 * Ranks share an epoch as torch's DistributedSampler does it: rank r gets every ranks-th picture of the common order from the r-th on,
 * so that batch n of all ranks together is batch n of one loader with ranks times the batch. Where the pictures do not go round, those
 * at the start come again. A picture's place in the common order is what its random choices are keyed by.
 *
 * Source: create_dataloader(), LoadImagesAndLabels and collate_fn() in utils/datasets.py of the reference. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include "common/shelf.h"
#include "worker/backend/backend.h"
#include "worker/data/sample.h"

typedef struct loader_options {
    int batch;      /* images a batch; at most all of them are used */
    int image_size; /* even, and a multiple of the stride */
    int stride;     /* the model's largest; rectangles are multiples of it */
    bool augment;   /* training: mosaic, or with rect a letterbox that is warped; colour and flips */
    bool rect;      /* batches of like shape instead of squares */
    double pad;     /* rect: border in strides; 0 in training and its validation, .5 in stand-alone testing */
    bool shuffle;   /* another order each epoch; with rect whole batches change places */
    bool cache;     /* keep pictures decoded in memory once they have been read */
    shelf *share;   /* with `cache`: that memory is to be there for others, too; NULL: it is not. Borrowed */
    int threads;    /* that make samples; 0: none, loader_next does */
    uint64_t seed;
    int rank, ranks;   /* of several loaders that share an epoch this one is `rank`; ranks 0 or 1: it has all of it */
    const double *hyp; /* of HYP_COUNT, copied; needed with augment */
    const backend_ops *ops; /* makes the samples; NULL: augment_plain. Borrowed, as is device */
    device *device;
} loader_options;

enum { LOADER_TARGET_COLUMNS = 6 };

typedef struct batch {
    const uint8_t *images; /* (count, height, width, 3), RGB */
    int count, height, width;
    const float *targets; /* (target_count, 6): image in the batch, class, x, y, w, h, normalized */
    int target_count;
    const int *index;            /* of each image, in the data set */
    const sample_origin *origin; /* of each image: how to map boxes back; NULL for mosaics */
} batch;

typedef struct loader loader;

/* Start the threads, take the cache's memory. `data` is borrowed and must outlive the loader. ERR_ARGUMENT for options that make no
 * sense; ERR_MEMORY (for the cache it says how much is needed; whoever called may go on without). *out is NULL then. */
status loader_create(loader **out, const dataset *data, const loader_options *options);
/* Stop the threads at the next sample, free everything, set *l to NULL. At any time. */
void loader_destroy(loader **l);

/* Batches of an epoch. */
int loader_batches(const loader *l);
/* The largest batch that will come: what device memory has to be laid out for. */
void loader_largest(const loader *l, int *count, int *height, int *width);

/* Begin an epoch, also in the midst of another one: its first batches are made at once. `order` is data->count indices to go
 * through instead of all in their (or a shuffled) order: those of draw_weighted; copied; not with rect. NULL: none. Beginning the
 * epoch once more that has begun without an order, and of which no batch was taken yet, changes nothing. */
status loader_start_epoch(loader *l, int64_t epoch, const int *order);

/* Pass over the first `batches` of an epoch that has just begun; they are not made. */
void loader_skip(loader *l, int batches);

/* Wait for the next batch; it is the loader's, and valid until the next call. ERR_END after the last one. When a sample of the
 * batch failed, its error (the first by place), which names the file. */
status loader_next(loader *l, const batch **out);

#endif
