/* augment.h - one training picture, all its random choices made: what OP_AUGMENT does.
 *
 * A sample is resampled in one pass. Up to two layers (the second is mixed in) are each a canvas of grey 114 on which up to
 * four pictures lie (the mosaic; a letterboxed picture is one), seen through an affine or perspective map; then colour,
 * then flips:
 *
 *     canvas   pixel (x, y) is that of the last tile that covers it, else 114
 *     layer    output pixel (x, y) is the canvas at inverse * (x, y, 1), bilinear, 114 outside; warp NONE: the canvas itself
 *     mix      layer 0 * mix + layer 1 * (1 - mix), truncated
 *     colour   RGB to HSV (8 bit, hue 0..179), each through its table, and back
 *     flips    up-down, then left-right
 *
 * Source: load_mosaic(), random_perspective(), augment_hsv() and __getitem__() in utils/datasets.py of the reference, with
 * OpenCV's resampling (bilinear weights from coordinates rounded to 1/32 pixel) and colour conversion. */
#ifndef BACKEND_AUGMENT_H
#define BACKEND_AUGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

enum { AUGMENT_TILES = 4, AUGMENT_LAYERS = 2, AUGMENT_GREY = 114, AUGMENT_SIDE_MOST = 32766 };

typedef struct augment_tile {
    uint64_t offset;        /* of the picture's first byte in ARENA_IMAGES; rows of 3 * width bytes, RGB */
    int32_t width, height;  /* of the picture */
    int32_t x1, y1, x2, y2; /* the part of the canvas that it covers, x2 and y2 excluded; within the canvas */
    int32_t from_x, from_y; /* the picture's pixel that lies at (x1, y1) */
} augment_tile;

typedef enum augment_warp { WARP_NONE, WARP_AFFINE, WARP_PERSPECTIVE } augment_warp;

typedef struct augment_layer {
    augment_tile tile[AUGMENT_TILES];
    int32_t tiles, warp; /* warp: augment_warp; WARP_NONE needs a canvas of the output's size */
    int32_t canvas_width, canvas_height;
    double inverse[9]; /* output (x, y, 1) to canvas, row by row; the last row is 0 0 1 for WARP_AFFINE */
} augment_layer;

typedef struct augment_sample {
    augment_layer layer[AUGMENT_LAYERS];
    int32_t layers; /* 1, or 2 for mix-up */
    int32_t colour; /* use the tables */
    int32_t flip_up_down, flip_left_right;
    double mix;
    uint8_t hue[256], saturation[256], value[256];
} augment_sample;

/* Can this sample be made from `image_bytes` bytes of pictures for an output of width x height? ERR_ARGUMENT with what is wrong:
 * a count, a tile that is not within its canvas, picture or the bytes, a side above AUGMENT_SIDE_MOST, a number that is not
 * finite. Every form of OP_AUGMENT asks this first, so nothing outside is ever read. */
status augment_check(const augment_sample *s, size_t image_bytes, int width, int height);

#endif
