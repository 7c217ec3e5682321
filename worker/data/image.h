/* image.h - pictures from files, as the reference sees them.
 *
 * JPEG (libjpeg-turbo), PNG (libpng) and BMP, told apart by their first bytes, become 8-bit RGB: grey and palette are
 * spread out, alpha is dropped, 16 bits are cut to the upper 8, CMYK is converted. The EXIF orientation is applied.
 *
 * Source: cv2.imread(path) for the pixels (there BGR, here RGB); PIL's verify() and exif_size() in utils/datasets.py for
 * image_probe. Mended: verify() looks at the headers alone, and what does not decode stops the training later. */
#ifndef DATA_IMAGE_H
#define DATA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

enum {
    IMAGE_CHANNELS = 3,
    IMAGE_SIDE_LEAST = 10,   /* smaller pictures are refused, as the reference does */
    IMAGE_SIDE_MOST = 65500, /* JPEG's own limit; larger ones are refused whatever the format */
    IMAGE_PIXELS_MOST = 1 << 28,
};

typedef struct image {
    uint8_t *pixels; /* height rows of 3 * width bytes, without gaps */
    int width, height;
    size_t room;   /* bytes at `pixels` */
    bool borrowed; /* `pixels` is somebody else's: never grown, never freed */
} image;

/* Give it this size; what the pixels hold is undefined. Memory is reused and grows when needed. ERR_MEMORY; ERR_ARGUMENT when
 * borrowed memory is too small. {0} is an empty image. */
status image_shape(image *i, int width, int height);
static inline size_t image_bytes(int width, int height)
{
    return (size_t)IMAGE_CHANNELS * (size_t)width * (size_t)height;
}
void image_free(image *i);

/* What a thread keeps between pictures: memory. One at a time a thread; what it has read before makes no difference. */
typedef struct image_reader image_reader;
status image_reader_create(image_reader **out);
void image_reader_destroy(image_reader **r);

/* Decode a file into *out, which image_shape sizes. Errors name the file: ERR_NOT_FOUND, ERR_IO, ERR_MEMORY; ERR_FORMAT when
 * it is no picture or broken, ERR_UNSUPPORTED for a kind of it that is not read, ERR_RANGE when too large. A picture whose
 * data are damaged, but can be decoded to the end, is not an error (the decoder fills in). */
status image_read(image_reader *r, const char *path, image *out);

/* Size of a picture as image_read would give it, after making sure that image_read can decode it to the end (a JPEG coarsely, to
 * save time) and, beyond that, of a JPEG's end marker and every PNG chunk's checksum. Errors as image_read; ERR_RANGE also
 * under 10 pixels. */
status image_probe(image_reader *r, const char *path, int *width, int *height);

#endif
