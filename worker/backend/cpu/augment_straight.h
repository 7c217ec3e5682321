/* augment_straight.h - layers that are scaled and moved, neither turned nor bent: the usual ones. Used by augment.c alone.
 *
 * Every row of the output is then made of two rows of the canvas, and every row takes the same columns. So the two rows are
 * blended first, in order, from whichever pictures lie there, and their columns picked and blended afterwards: seams need no
 * care, and no pixel is looked for twice. */
#ifndef CPU_AUGMENT_STRAIGHT_H
#define CPU_AUGMENT_STRAIGHT_H

#include <stdbool.h>

#include "worker/backend/cpu/augment_rows.h"

enum { STRAIGHT_STRIPES = 2 * AUGMENT_TILES + 1 };

typedef struct straight {
    const augment_layer *layer;
    const uint8_t *images;
    int first, last;                  /* canvas columns that are needed, `last` excluded; some may be outside */
    int stripe[STRAIGHT_STRIPES + 1]; /* where the tiles that cover a column change: first, ..., last */
    int stripes;
    uint16_t *blended; /* of columns first to last, three values each */
    uint8_t *grey;     /* a row of it */
    int32_t *offset;   /* of each output pixel, in `blended` */
    int32_t *weights;  /* of each: 32 - part, and part above it by 16 bits */
} straight;

bool straight_is(const augment_layer *l);
/* Bytes of memory for an output of `padded` columns. */
size_t straight_bytes(const augment_layer *l, int padded);
/* `memory` of straight_bytes is borrowed, as are layer and images. */
void straight_prepare(straight *s, const augment_layer *l, const uint8_t *images, int width, int padded, void *memory);
/* `count` pixels of row y from column `from`; up to the next multiple of 8 are written. */
void straight_row(const straight *s, const augment_rows *rows, int y, int from, int count, uint32_t *pixels);

#endif
