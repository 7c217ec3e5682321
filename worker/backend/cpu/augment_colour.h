/* augment_colour.h - the colour step of OP_AUGMENT over rows of pixels. Used by augment.c alone.
 *
 * Tables that are straight lines, as colour jitter makes them, are computed: vectors can multiply, but not look up. Any others
 * are looked up, slowly. Either way the results are those of the tables. */
#ifndef CPU_AUGMENT_COLOUR_H
#define CPU_AUGMENT_COLOUR_H

#include "worker/backend/augment.h"

typedef struct augment_colour augment_colour;
struct augment_colour {
    const augment_sample *sample; /* borrowed */
    uint32_t slope[3];            /* of hue, saturation and value, where they are lines */
    /* `padded` pixels in place, a multiple of AUGMENT_BLOCK. */
    void (*run)(const augment_colour *c, uint32_t *pixels, int padded);
};

/* Once a sample. */
void augment_colour_prepare(const augment_sample *s, augment_colour *out);

#endif
