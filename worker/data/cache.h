/* cache.h - all pictures of a data set in memory, decoded and at the training size. */
#ifndef DATA_CACHE_H
#define DATA_CACHE_H

#include "worker/data/dataset.h"
#include "worker/data/image.h"
#include "worker/data/resize.h"

enum { CACHE_SPARE_BYTES = 64 }; /* allocated behind the last picture, so that vectors may read past its end */

typedef struct cached_picture {
    size_t offset; /* in `pixels` */
    int width, height;
} cached_picture;

typedef struct cache {
    uint8_t *pixels;          /* all pictures, RGB, one after the other */
    size_t bytes;             /* of them */
    cached_picture *pictures; /* one a picture of the data set, in its order */
} cache;

/* Load a picture of the data set as the reference's load_image does: the longer side becomes `size`. `spare` is memory of the
 * caller for the picture as decoded. Errors name the file; also ERR_FORMAT when it has not the size any more that the data
 * set has seen. */
status cache_load_picture(image_reader *r, const dataset_image *from, int size, resize_kind shrink, image *spare,
                          image *out);

/* Decode all, with `threads` threads (at least 1) and a progress line. ERR_MEMORY says how much was needed; it is refused before
 * it would push the machine into its last memory. Other errors name the file. */
status cache_create(const dataset *d, int size, resize_kind shrink, int threads, cache **out);
void cache_destroy(cache **c);

#endif
