/* augment_turned.h - layers that are turned, sheared or seen in perspective. Used by augment.c alone.
 *
 * Along a row of the output the canvas is crossed at a slant, so the row is cut into pieces: pixels whose four neighbours lie
 * in one picture go to a vector kernel, those that touch none are grey, and the few on seams are looked for one by one. */
#ifndef CPU_AUGMENT_TURNED_H
#define CPU_AUGMENT_TURNED_H

#include "worker/backend/cpu/augment_rows.h"

/* A range of canvas positions in 1/32: from start, end excluded. */
typedef struct turned_range {
    int32_t start, end;
} turned_range;

/* Where all four neighbours of a pixel are a tile's own, and where at least one may be. */
typedef struct turned_view {
    turned_range inner_x, inner_y, outer_x, outer_y;
} turned_view;

typedef struct turned {
    const augment_layer *layer;
    const uint8_t *images;
    turned_view view[AUGMENT_TILES];
    int32_t *step_x, *step_y; /* affine: what each output column adds to its row's position, with 10 bits */
    int32_t *x, *y;           /* positions of the pixels in hand */
} turned;

/* Bytes of memory for an output of `padded` columns. */
size_t turned_bytes(int padded);
/* `memory` of turned_bytes is borrowed, as are layer and images. */
void turned_prepare(turned *t, const augment_layer *l, const uint8_t *images, size_t image_bytes, int padded,
                    void *memory);
/* `count` pixels of row y from column `from`, a multiple of AUGMENT_BLOCK. */
void turned_row(turned *t, const augment_rows *rows, int y, int from, int count, uint32_t *pixels);

#endif
