/* cache.h - pictures of a data set in memory, decoded and at the training size: each once, when it is first wanted.
 *
 * Whoever wants a picture that is not there yet decodes it; others who want the same one wait. So a training starts with the
 * pictures of its first batch, and its first epoch fills the cache.
 *
 * On a shelf the memory is that of all processes of the machine that cache the same files at the same size. Two of them may decode
 * the same picture at once, and then write the same bytes. */
#ifndef DATA_CACHE_H
#define DATA_CACHE_H

#include "common/shelf.h"
#include "worker/data/dataset.h"
#include "worker/data/image.h"
#include "worker/data/resize.h"

enum { CACHE_SPARE_BYTES = 64 }; /* allocated behind the last picture, so that vectors may read past its end */

typedef struct cached_picture {
    size_t offset; /* in `pixels` */
    int width, height;
} cached_picture;

typedef struct cache {
    uint8_t *pixels;          /* all pictures, RGB, one after the other; those that have been wanted are there */
    size_t bytes;             /* of them */
    cached_picture *pictures; /* one a picture of the data set, in its order */
    struct cache_state *state;
} cache;

/* Load a picture of the data set as the reference's load_image does: the longer side becomes `size`. `spare` is memory of the
 * caller for the picture as decoded. Errors name the file; also ERR_FORMAT when it has not the size any more that the data
 * set has seen. */
status cache_load_picture(image_reader *r, const dataset_image *from, int size, resize_kind shrink, image *spare,
                          image *out);

/* Take the memory for all pictures of `d`, which is borrowed until the cache is destroyed, as is `share`: a shelf, or NULL for memory
 * of this process's own. ERR_MEMORY says how much was needed; it is refused before it would push the machine into its last memory. */
status cache_create(const dataset *d, int size, resize_kind shrink, shelf *share, cache **out);
void cache_destroy(cache **c);

/* Make sure that picture `index` is there. May be called from several threads, each with a reader and spare memory of its own.
 * Errors as cache_load_picture; then the picture is not there. */
status cache_want(cache *c, int index, image_reader *r, image *spare);

#endif
