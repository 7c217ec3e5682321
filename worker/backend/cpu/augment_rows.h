/* augment_rows.h - the inner loops of augment.c, for each instruction set. Used by augment.c alone.
 *
 * A pixel on its way is a uint32_t: red, green and blue from the lowest byte up, the highest byte undefined. Rows of them have
 * room for a multiple of AUGMENT_BLOCK. */
#ifndef CPU_AUGMENT_ROWS_H
#define CPU_AUGMENT_ROWS_H

#include "worker/backend/augment.h"

enum {
    AUGMENT_BLOCK = 64,
    AUGMENT_POSITION_BITS = 5,
    AUGMENT_AFFINE_BITS = 10,
    AUGMENT_OVERREAD = 2,
    AUGMENT_CHANNELS = 3
};
static const uint32_t augment_grey = AUGMENT_GREY | AUGMENT_GREY << 8 | AUGMENT_GREY << 16;

/* ---- what layers have in common ---- */

/* A canvas position of an affine map is the start of the row plus the step of the column, both rounded to 10 bits behind the
 * point as OpenCV does it. m are the three numbers of the inverse that make x, or those that make y. */
int32_t augment_row_start(const double m[3], int y);
void augment_steps(const double m[3], int count, int32_t *step);
static inline int32_t augment_position(int32_t row_start, int32_t step)
{
    return (row_start + step) >> (AUGMENT_AFFINE_BITS - AUGMENT_POSITION_BITS);
}
/* `count` of them; up to the next multiple of AUGMENT_BLOCK are read and written. */
void augment_positions(int32_t row_start, const int32_t *step, int count, int32_t *out);
/* Rounded to a whole number, and kept far from overflow. */
int32_t augment_fixed(double value);

/* The pixel that the canvas has at (x, y), which may be outside; NULL for grey. */
const uint8_t *augment_source(const augment_layer *l, const uint8_t *images, int x, int y);

/* ---- kernels ---- */

typedef struct augment_piece { /* pixels whose four neighbours all lie in one picture */
    const uint8_t *picture;
    int32_t stride;       /* bytes a row of it */
    int32_t left, top;    /* canvas position of its first pixel */
    const int32_t *x, *y; /* canvas positions of the output pixels, in 1/32 */
    int count;
} augment_piece;

typedef struct augment_rows {
    /* out[i] = above[i] * (32 - part) + below[i] * part, `count` values; nothing else is read or written. */
    void (*blend)(const uint8_t *above, const uint8_t *below, int part, int count, uint16_t *out);
    /* Pixels from blended values: the three at offset and the three behind them, weighted by the low and the high half of
     * weights, rounded to the nearest whole. Up to the next multiple of 8 are written; 8 values from each offset are read. */
    void (*pick)(const uint16_t *blended, const int32_t *offset, const int32_t *weights, int count, uint32_t *out);
    /* Bilinear, rounded to the nearest. Reads up to AUGMENT_OVERREAD bytes behind a pixel's right neighbour. */
    void (*resample)(const augment_piece *piece, uint32_t *out);
    /* a * mix + b * (1 - mix), cut off, into a. */
    void (*mix)(double mix, uint32_t *a, const uint32_t *b, int padded);
    /* The first `width` pixels as three bytes each, from the last to the first if mirrored. */
    void (*store)(const uint32_t *pixels, int width, int mirrored, uint8_t *out);
} augment_rows;

/* The best set that this processor runs. */
const augment_rows *augment_rows_best(void);

#endif
