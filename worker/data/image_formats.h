/* image_formats.h - the file formats, each a pair of functions. Used by image.c alone.
 *
 * All work on a whole file in memory and trust no byte of it. `path` is for messages. Sizes are as stored, before the
 * orientation is applied. */
#ifndef DATA_IMAGE_FORMATS_H
#define DATA_IMAGE_FORMATS_H

#include <stddef.h>
#include <stdint.h>

#include "worker/data/image.h"

typedef struct image_file {
    const char *path;
    const uint8_t *bytes;
    size_t count;
} image_file;

typedef struct image_facts {
    int width, height;
    int orientation; /* of EXIF, 1 to 8; 1 is upright */
    bool cmyk;       /* JPEG: four inks */
} image_facts;

/* ERR_RANGE outside 1..IMAGE_SIDE_MOST a side, or with too many pixels. */
status image_check_size(const char *path, int64_t width, int64_t height);

/* Facts from the header; what is cheap to check is checked (`check` false: only what decoding needs). */
status jpeg_facts(const image_file *file, bool check, image_facts *out);
status png_facts(const image_file *file, bool check, image_facts *out);
status bmp_facts(const image_file *file, bool check, image_facts *out);

/* Could jpeg_decode decode it? Decodes at an eighth of the size, which reads all of the file. */
status jpeg_try(const image_file *file, const image_facts *facts);
/* Decode to RGB, as stored; *out has the right size already. */
status jpeg_decode(const image_file *file, const image_facts *facts, image *out);
status png_decode(const image_file *file, image *out);
status bmp_decode(const image_file *file, image *out);

/* Orientation in an EXIF block (a TIFF header and what follows), 1 when it has none. */
int exif_orientation(const uint8_t *tiff, size_t count);

#endif
