/* maker.h - what a thread of the loader does: choose a sample, load its pictures, augment.
 *
 * Training without rectangles makes mosaics, everything else letterboxes. The result depends on the job alone, not on the maker
 * or on what it made before. */
#ifndef DATA_MAKER_H
#define DATA_MAKER_H

#include "worker/backend/backend.h"
#include "worker/data/cache.h"
#include "worker/data/sample.h"

typedef struct maker_settings {
    sample_settings sample;      /* borrowed through */
    cache *cache;                /* NULL: pictures are decoded each time; borrowed */
    bool augment, mosaic;        /* mosaic needs augment */
    int most_width, most_height; /* of a job */
    const backend_ops *ops;      /* NULL: augment_plain */
    device *device;
} maker_settings;

typedef struct maker_job {
    int index;         /* in the data set */
    int width, height; /* of the output; mosaics: image_size each */
    draw draw;         /* not used without augment */
} maker_job;

typedef struct maker maker;

/* ERR_MEMORY, or what the device says. */
status maker_create(const maker_settings *settings, maker **out);
void maker_destroy(maker **m);

/* Make a sample: width * height * 3 bytes at `out`; *made (labels, origin) is the maker's, valid until its next job. Errors
 * name the file. */
status maker_run(maker *m, const maker_job *job, uint8_t *out, const sample **made);

#endif
