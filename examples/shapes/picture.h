/* picture.h - one picture of the data set as the bytes of its two files. */
#ifndef EXAMPLES_SHAPES_PICTURE_H
#define EXAMPLES_SHAPES_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "common/text.h"

typedef struct picture {
    unsigned char *jpeg; /* freed by picture_free alone */
    size_t jpeg_count;
    text labels; /* `class x y width height` a line, parts of the picture's width and height */
} picture;

/* Picture `number` of split `split` in the data set with this seed: depends on these and the size alone. ERR_MEMORY;
 * ERR_IO when it cannot be encoded. */
status picture_make(uint64_t seed, int split, int number, int width, int height, picture *out);
void picture_free(picture *p);

#endif
