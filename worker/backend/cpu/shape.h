/* shape.h - feature maps between the caller's order and ours, and the first one from pixels. */
#ifndef CPU_SHAPE_H
#define CPU_SHAPE_H

#include "worker/backend/cpu/device.h"
#include "worker/backend/cpu/detect.h"
#include "worker/backend/cpu/norm.h"

/* (N, C, H, W) float32 to a map in blocks, holes zero; and back. */
void map_from_caller(const map *m, int block, bool bf16, const float *from, char *arena, const view *to);
void map_to_caller(const map *m, int block, bool bf16, const char *arena, const view *from, float *to);

/* A head as loss, decode and suppression see it; `gradient` may be NULL. */
detect_view map_heads_view(const map *m, int block, float *value, float *gradient);

/* Image, resize and focus. */
typedef struct input input;

typedef struct input_options {
    bool bytes;                /* pixels are uint8 (N, H, W, 3), to be divided by 255; else float32 (N, 3, H, W) */
    int images, height, width; /* of the pixels */
    bool resize, focus;
    int resize_height, resize_width;
    const map *out;
    view to;
    bool bf16;
    int threads;
} input_options;

status input_create(device *d, const input_options *options, input **out);
void input_destroy(input **i);
/* All images; or, for inference in several threads, one of them into this thread's arena. Two threads may not resize at once
 * with one input. */
void input_run(input *i, const void *pixels, char *arena);
void input_run_image(input *i, const void *pixels, int image, char *arena);

#endif
