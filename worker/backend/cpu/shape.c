#include "worker/backend/cpu/shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/parallel.h"

/* ---- single values ---- */

static inline uint16_t bf16_of(float value)
{
    uint32_t u;
    memcpy(&u, &value, sizeof u);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static inline float float_of(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float value;
    memcpy(&value, &u, sizeof value);
    return value;
}

static inline void put(char *to, bool bf16, int64_t index, float value)
{
    if (bf16) ((uint16_t *)(void *)to)[index] = bf16_of(value);
    else ((float *)(void *)to)[index] = value;
}

static inline float get(const char *from, bool bf16, int64_t index)
{
    return bf16 ? float_of(((const uint16_t *)(const void *)from)[index]) : ((const float *)(const void *)from)[index];
}

/* ---- whole maps ---- */

/* Call for each physical channel: its logical one, -1 for a hole. */
typedef void (*channel_visit)(void *state, int logical, int physical);

static void visit_channels(const map *m, channel_visit visit, void *state)
{
    int logical = 0, physical = 0;
    for (int r = 0; r < m->runs; r++)
        for (int i = 0; i < m->run[r].physical; i++, physical++)
            visit(state, i < m->run[r].logical ? logical++ : -1, physical);
}

typedef struct transfer {
    const map *m;
    int block;
    bool bf16;
    char *image; /* in blocks */
    const float *from;
    float *to;
} transfer;

static char *channel_start(const transfer *t, int physical, int64_t pixels)
{
    return t->image + (physical / t->block * pixels * t->block + physical % t->block) * (t->bf16 ? 2 : 4);
}

static void channel_in(void *state, int logical, int physical)
{
    const transfer *t = state;
    int64_t pixels = (int64_t)t->m->height * t->m->width;
    char *at = channel_start(t, physical, pixels);
    for (int64_t i = 0; i < pixels; i++)
        put(at, t->bf16, i * t->block, logical < 0 ? 0 : t->from[logical * pixels + i]);
}

static void channel_out(void *state, int logical, int physical)
{
    const transfer *t = state;
    int64_t pixels = (int64_t)t->m->height * t->m->width;
    if (logical < 0) return;
    const char *at = channel_start(t, physical, pixels);
    for (int64_t i = 0; i < pixels; i++) t->to[logical * pixels + i] = get(at, t->bf16, i * t->block);
}

void map_from_caller(const map *m, int block, bool bf16, const float *from, char *arena, const view *to)
{
    int64_t image = (int64_t)m->channels * m->height * m->width;
    for (int n = 0; n < m->images; n++) {
        transfer t = {m, block, bf16, arena + to->offset + n * to->image_stride, from + n * image, NULL};
        visit_channels(m, channel_in, &t);
    }
}

void map_to_caller(const map *m, int block, bool bf16, const char *arena, const view *from, float *to)
{
    int64_t image = (int64_t)m->channels * m->height * m->width;
    for (int n = 0; n < m->images; n++) {
        transfer t = {m, block, bf16, (char *)arena + from->offset + n * from->image_stride, NULL, to + n * image};
        visit_channels(m, channel_out, &t);
    }
}

detect_view map_heads_view(const map *m, int block, float *value, float *gradient)
{
    int64_t pixels = (int64_t)m->height * m->width;
    return (detect_view){
        .value = value,
        .gradient = gradient,
        .images = m->images,
        .height = m->height,
        .width = m->width,
        .image_stride = m->blocks * pixels * block,
        .block_stride = pixels * block,
        .block = block,
    };
}

/* ---- from pixels ---- */

struct input {
    input_options o;
    map out;
    int block, height, width; /* of what focus, or the map, is made of */
    float unit[256];          /* i / 255 */
    float *resized;           /* (N, 3, height, width), NULL when not resizing */
};

status input_create(device *d, const input_options *options, input **out)
{
    input *i;
    TRY(array_new(&i, 1));
    *out = i;
    i->o = *options;
    i->out = *options->out;
    i->block = d->kernels->block;
    i->height = options->resize ? options->resize_height : options->height;
    i->width = options->resize ? options->resize_width : options->width;
    for (int v = 0; v < 256; v++) i->unit[v] = (float)v / 255.0f;
    if (options->resize)
        TRY(array_new(&i->resized, (size_t)options->images * 3 * (size_t)i->height * (size_t)i->width));
    return OK;
}

void input_destroy(input **i)
{
    if (!*i) return;
    free((*i)->resized);
    free(*i);
    *i = NULL;
}

/* One channel of one source pixel. */
static inline float source(const input *i, const void *pixels, int image, int channel, int64_t y, int64_t x)
{
    int64_t height = i->o.height, width = i->o.width;
    if (i->o.bytes) return i->unit[((const uint8_t *)pixels)[((image * height + y) * width + x) * 3 + channel]];
    return ((const float *)pixels)[((image * 3 + channel) * height + y) * width + x];
}

/* Where bilinear resizing with align_corners false looks, and how much of the second pixel it takes. PyTorch's kernel has the
 * scale in float32 and fuses the product with the subtraction: rounding once, as here, keeps the last bit of the position. */
static void resize_tap(int to, int to_size, int from_size, int *first, int *second, float *part)
{
    float scale = (float)from_size / (float)to_size, at = (float)((double)scale * (to + 0.5) - 0.5);
    if (at < 0) at = 0;
    *first = (int)at;
    *second = *first + (*first < from_size - 1);
    *part = at - (float)*first;
}

static void resize_image(input *in, const void *pixels, int image)
{
    for (int channel = 0; channel < 3; channel++)
        for (int y = 0; y < in->height; y++) {
            int y0, y1, x0, x1;
            float v, u, *row = in->resized + ((int64_t)(image * 3 + channel) * in->height + y) * in->width;
            resize_tap(y, in->height, in->o.height, &y0, &y1, &v);
            for (int x = 0; x < in->width; x++) {
                resize_tap(x, in->width, in->o.width, &x0, &x1, &u);
                float top = (1 - u) * source(in, pixels, image, channel, y0, x0) +
                            u * source(in, pixels, image, channel, y0, x1);
                float low = (1 - u) * source(in, pixels, image, channel, y1, x0) +
                            u * source(in, pixels, image, channel, y1, x1);
                row[x] = (1 - v) * top + v * low;
            }
        }
}

/* Where a row of the map is read from: the value of channel c at column x is bytes[c][x * step], or floats. */
enum { INPUT_CHANNELS = 12 };
typedef struct row_source {
    const uint8_t *bytes[INPUT_CHANNELS];
    const float *floats[INPUT_CHANNELS];
    int step;
} row_source;

static row_source find_row(const input *in, const void *pixels, int image, int y)
{
    static const int row_of[4] = {0, 1, 0, 1}, column_of[4] = {0, 0, 1, 1}; /* of the groups of channels */
    int groups = in->o.focus ? 4 : 1, scale = in->o.focus ? 2 : 1;
    bool bytes = in->o.bytes && !in->resized;
    row_source from = {.step = bytes ? 3 * scale : scale};
    for (int c = 0; c < 3 * groups; c++) {
        int64_t row = (int64_t)scale * y + row_of[c / 3], column = column_of[c / 3];
        if (bytes)
            from.bytes[c] =
                (const uint8_t *)pixels + ((image * (int64_t)in->height + row) * in->width + column) * 3 + c % 3;
        else
            from.floats[c] = (in->resized ? in->resized : (const float *)pixels) +
                             ((image * 3 + c % 3) * (int64_t)in->height + row) * in->width + column;
    }
    return from;
}

/* `channels` and `bytes` are constants, so that the loop over channels dissolves. */
static inline __attribute__((always_inline)) void write_pixels(const input *in, const row_source *from, char *to,
                                                               const int channels, const bool bytes)
{
    int64_t panel = (int64_t)in->out.height * in->out.width * in->block, at[INPUT_CHANNELS];
    for (int c = 0; c < channels; c++) at[c] = c / in->block * panel + c % in->block;
    for (int64_t x = 0; x < in->out.width; x++)
        for (int c = 0; c < channels; c++) {
            int64_t k = x * from->step;
            put(to, in->o.bf16, at[c] + x * in->block, bytes ? in->unit[from->bytes[c][k]] : from->floats[c][k]);
        }
}

static void write_row(const input *in, const void *pixels, int image, int y, char *to)
{
    row_source from = find_row(in, pixels, image, y);
    bool bytes = in->o.bytes && !in->resized;
    size_t value = in->o.bf16 ? 2 : 4, row = (size_t)in->out.width * (size_t)in->block * value;
    to += (size_t)y * row;
    for (int b = 0; b < in->out.blocks; b++) /* channels that only fill up a block are zero */
        memset(to + (size_t)b * (size_t)in->out.height * row, 0, row);
    if (in->o.focus && bytes) write_pixels(in, &from, to, INPUT_CHANNELS, true);
    else if (in->o.focus) write_pixels(in, &from, to, INPUT_CHANNELS, false);
    else if (bytes) write_pixels(in, &from, to, 3, true);
    else write_pixels(in, &from, to, 3, false);
}

void input_run_image(input *i, const void *pixels, int image, char *arena)
{
    if (i->o.resize) resize_image(i, pixels, image);
    for (int y = 0; y < i->out.height; y++) write_row(i, pixels, image, y, arena + i->o.to.offset);
}

typedef struct input_call {
    input *i;
    const void *pixels;
    char *arena;
} input_call;

static void run_images(int index, int threads, void *state)
{
    const input_call *call = state;
    input *i = call->i;
    int64_t image, end = parallel_part(i->o.images, index, threads, &image);
    for (; image < end; image++)
        input_run_image(i, call->pixels, (int)image, call->arena + image * i->o.to.image_stride);
}

void input_run(input *i, const void *pixels, char *arena)
{
    input_call call = {i, pixels, arena};
    parallel_run(i->o.threads, run_images, &call);
}
