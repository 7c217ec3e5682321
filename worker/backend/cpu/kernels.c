/* kernels.c - see kernels.h. Compiled several times: KERNELS is the name of the table, the instruction set comes from the
 * compiler's flags. Vectors are the compiler's own (GCC and clang), so the same lines serve AVX-512, AVX2, SSE and NEON. */
#include "worker/backend/cpu/kernels.h"

#include <math.h>
#include <string.h>

#ifdef __AVX512F__
#define BLOCK 16
#else
#define BLOCK 8
#endif

typedef float vec __attribute__((vector_size(BLOCK * 4), may_alias));
typedef int32_t mask __attribute__((vector_size(BLOCK * 4), may_alias));
typedef uint32_t words __attribute__((vector_size(BLOCK * 4), may_alias));
typedef uint16_t halves __attribute__((vector_size(BLOCK * 2), may_alias));
typedef double dvec __attribute__((vector_size(BLOCK * 8), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* Single precision sums run over this many pixels before they go to the double ones: keeps 1e-7 at no cost. */
enum { CHUNK = 256 };

INLINE vec splat(float x)
{
    return x - (vec){0};
}

INLINE vec choose(mask m, vec yes, vec no)
{
    return (vec)(((mask)yes & m) | ((mask)no & ~m));
}

INLINE vec vmax(vec a, vec b)
{
    return choose(a > b, a, b);
}

INLINE vec vmin(vec a, vec b)
{
    return choose(a < b, a, b);
}

INLINE vec widen(halves h)
{
    return (vec)(__builtin_convertvector(h, words) << 16);
}

/* To the nearest bf16, ties to even. */
INLINE halves narrow(vec v)
{
    words u = (words)v;
    return __builtin_convertvector((u + 0x7fff + ((u >> 16) & 1)) >> 16, halves);
}

INLINE vec load(const void *from, bool bf16, int64_t pixel)
{
    return bf16 ? widen(((const halves *)from)[pixel]) : ((const vec *)from)[pixel];
}

INLINE void store(void *to, bool bf16, int64_t pixel, vec v)
{
    if (bf16) ((halves *)to)[pixel] = narrow(v);
    else ((vec *)to)[pixel] = v;
}

/* ---- activations ---- */

/* e^x to 2e-7 relative: 2^n times a polynomial in the rest (Cephes' expf coefficients). */
INLINE vec vexp(vec x)
{
    x = vmax(vmin(x, splat(88.0f)), splat(-87.0f));
    vec t = x * 1.44269504f + 12582912.0f; /* adding 1.5 * 2^23 rounds to a whole number, which stays in the low bits */
    vec n = t - 12582912.0f;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    mask power = (mask)((words)t << 23) + 0x3f800000;
    return p * (vec)power;
}

INLINE vec sigmoid(vec z)
{
    return 1.0f / (1.0f + vexp(-z));
}

INLINE vec act(vec z, int kind)
{
    switch (kind) {
    case ACTIVATION_HARDSWISH: return z * vmin(vmax(z + 3.0f, splat(0)), splat(6)) * (1.0f / 6.0f);
    case ACTIVATION_LEAKY_RELU: return choose(z > 0, z, z * 0.1f);
    case ACTIVATION_SILU: return z * sigmoid(z);
    case ACTIVATION_RELU: return vmax(z, splat(0));
    default: return z;
    }
}

/* dy * act'(z) */
INLINE vec act_backward(vec z, vec dy, int kind)
{
    switch (kind) {
    case ACTIVATION_HARDSWISH: {
        vec slope = choose(z > 3.0f, splat(1), z * (1.0f / 3.0f) + 0.5f);
        return dy * choose(z < -3.0f, splat(0), slope);
    }
    case ACTIVATION_LEAKY_RELU: return choose(z > 0, dy, dy * 0.1f);
    case ACTIVATION_SILU: {
        vec s = sigmoid(z);
        return dy * s * (1.0f + z * (1.0f - s));
    }
    case ACTIVATION_RELU: return choose(z > 0, dy, splat(0));
    default: return dy;
    }
}

/* Call a template with constants for the activation and the type, so that each pair becomes a loop of its own. */
#define DISPATCH(template, kind, bf16, ...)                                                                            \
    do {                                                                                                               \
        switch (kind) {                                                                                                \
        case ACTIVATION_HARDSWISH: DISPATCH_TYPE(template, ACTIVATION_HARDSWISH, bf16, __VA_ARGS__); break;            \
        case ACTIVATION_LEAKY_RELU: DISPATCH_TYPE(template, ACTIVATION_LEAKY_RELU, bf16, __VA_ARGS__); break;          \
        case ACTIVATION_SILU: DISPATCH_TYPE(template, ACTIVATION_SILU, bf16, __VA_ARGS__); break;                      \
        case ACTIVATION_RELU: DISPATCH_TYPE(template, ACTIVATION_RELU, bf16, __VA_ARGS__); break;                      \
        default: DISPATCH_TYPE(template, ACTIVATION_NONE, bf16, __VA_ARGS__); break;                                   \
        }                                                                                                              \
    } while (0)
#define DISPATCH_TYPE(template, kind, bf16, ...)                                                                       \
    do {                                                                                                               \
        if (bf16) template(__VA_ARGS__, kind, true);                                                                   \
        else template(__VA_ARGS__, kind, false);                                                                       \
    } while (0)

/* ---- batch-norm, activation, addition ---- */

INLINE void stats_any(const void *x, int64_t pixels, vec shift, dvec *sum, dvec *squares, const bool bf16)
{
    for (int64_t from = 0; from < pixels; from += CHUNK) {
        int64_t end = from + CHUNK < pixels ? from + CHUNK : pixels, i = from;
        vec s0 = {0}, s1 = {0}, q0 = {0}, q1 = {0};
        for (; i + 1 < end; i += 2) {
            vec a = load(x, bf16, i) - shift, b = load(x, bf16, i + 1) - shift;
            s0 += a;
            s1 += b;
            q0 += a * a;
            q1 += b * b;
        }
        if (i < end) {
            vec a = load(x, bf16, i) - shift;
            s0 += a;
            q0 += a * a;
        }
        *sum += __builtin_convertvector(s0 + s1, dvec);
        *squares += __builtin_convertvector(q0 + q1, dvec);
    }
}

INLINE vec lanes(const float *from, float otherwise)
{
    vec v = splat(otherwise);
    if (from) memcpy(&v, from, sizeof v);
    return v;
}

INLINE void add_lanes(double *to, dvec v)
{
    for (int l = 0; l < BLOCK; l++) to[l] += v[l];
}

static void stats(const void *x, bool bf16, int64_t pixels, const float *shift, double *sum, double *squares)
{
    dvec s = {0}, q = {0};
    if (bf16) stats_any(x, pixels, lanes(shift, 0), &s, &q, true);
    else stats_any(x, pixels, lanes(shift, 0), &s, &q, false);
    add_lanes(sum, s);
    add_lanes(squares, q);
}

INLINE void forward_any(const point_forward *p, int64_t pixels, const int kind, const bool bf16)
{
    vec scale = lanes(p->scale, 1), shift = lanes(p->shift, 0);
    const void *x = p->x, *add = p->add;
    void *first = p->out[0];
    if (p->outs == 1 && !add) { /* by far the most: nothing to decide inside the loop */
        for (int64_t i = 0; i < pixels; i++) store(first, bf16, i, act(load(x, bf16, i) * scale + shift, kind));
        return;
    }
    for (int64_t i = 0; i < pixels; i++) {
        vec y = act(load(x, bf16, i) * scale + shift, kind);
        if (add) y += load(add, bf16, i);
        for (int k = 0; k < p->outs; k++) store(p->out[k], bf16, i, y);
    }
}

static void forward(const point_forward *p, bool bf16, int64_t pixels)
{
    DISPATCH(forward_any, p->activation, bf16, p, pixels);
}

/* dy at a pixel: the sum of its sources, kept if asked. */
INLINE vec gather(const point_backward *p, int64_t i, const bool bf16)
{
    vec dy = load(p->dy[0], bf16, i);
    for (int k = 1; k < p->dys; k++) dy += load(p->dy[k], bf16, i);
    if (p->sum) store(p->sum, bf16, i, dy);
    return dy;
}

INLINE void backward_stats_any(const point_backward *p, int64_t pixels, dvec *sum, dvec *product, const int kind,
                               const bool bf16)
{
    vec scale = lanes(p->scale, 1), shift = lanes(p->shift, 0), mean = lanes(p->mean, 0);
    bool single = p->dys == 1 && !p->sum;
    for (int64_t from = 0; from < pixels; from += CHUNK) {
        int64_t end = from + CHUNK < pixels ? from + CHUNK : pixels;
        vec s = {0}, q = {0};
        if (single)
            for (int64_t i = from; i < end; i++) {
                vec x = load(p->x, bf16, i), dz = act_backward(x * scale + shift, load(p->dy[0], bf16, i), kind);
                s += dz;
                q += dz * (x - mean);
            }
        else
            for (int64_t i = from; i < end; i++) {
                vec x = load(p->x, bf16, i), dz = act_backward(x * scale + shift, gather(p, i, bf16), kind);
                s += dz;
                q += dz * (x - mean);
            }
        *sum += __builtin_convertvector(s, dvec);
        *product += __builtin_convertvector(q, dvec);
    }
}

static void backward_stats(const point_backward *p, bool bf16, int64_t pixels, double *sum, double *product)
{
    dvec s = {0}, q = {0};
    DISPATCH(backward_stats_any, p->activation, bf16, p, pixels, &s, &q);
    add_lanes(sum, s);
    add_lanes(product, q);
}

/* With batch-norm; without it dx = dz, and without an activation either x is not read: its memory may be another's by now. */
INLINE void norm_backward_any(const point_backward *p, int64_t pixels, const int kind, const bool bf16)
{
    vec scale = lanes(p->scale, 1), shift = lanes(p->shift, 0);
    vec a = lanes(p->a, 1), b = lanes(p->b, 0), c = lanes(p->c, 0);
    bool single = p->dys == 1 && !p->sum;
    for (int64_t i = 0; i < pixels; i++) {
        vec x = load(p->x, bf16, i), dy = single ? load(p->dy[0], bf16, i) : gather(p, i, bf16);
        store(p->dx, bf16, i, a * act_backward(x * scale + shift, dy, kind) + b * x + c);
    }
}

INLINE void plain_backward_any(const point_backward *p, int64_t pixels, const int kind, const bool bf16)
{
    for (int64_t i = 0; i < pixels; i++) {
        vec dy = gather(p, i, bf16);
        if (!p->dx) continue;
        if (kind == ACTIVATION_NONE) store(p->dx, bf16, i, dy);
        else store(p->dx, bf16, i, act_backward(load(p->x, bf16, i), dy, kind));
    }
}

static void backward_apply(const point_backward *p, bool bf16, int64_t pixels)
{
    if (p->a) DISPATCH(norm_backward_any, p->activation, bf16, p, pixels);
    else DISPATCH(plain_backward_any, p->activation, bf16, p, pixels);
}

/* ---- upsampling ---- */

INLINE void upsample_any(const void *x, void *y, int height, int width, const bool bf16)
{
    for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++) {
            vec v = load(x, bf16, i * width + j);
            int64_t at = 4 * i * width + 2 * j;
            store(y, bf16, at, v);
            store(y, bf16, at + 1, v);
            store(y, bf16, at + 2 * width, v);
            store(y, bf16, at + 2 * width + 1, v);
        }
}

static void upsample(const void *x, void *y, bool bf16, int height, int width)
{
    if (bf16) upsample_any(x, y, height, width, true);
    else upsample_any(x, y, height, width, false);
}

INLINE void upsample_backward_any(const void *dy, void *dx, int height, int width, const bool bf16)
{
    for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++) {
            int64_t at = 4 * i * width + 2 * j;
            vec top = load(dy, bf16, at) + load(dy, bf16, at + 1);
            vec low = load(dy, bf16, at + 2 * width) + load(dy, bf16, at + 2 * width + 1);
            store(dx, bf16, i * width + j, top + low);
        }
}

static void upsample_backward(const void *dy, void *dx, bool bf16, int height, int width)
{
    if (bf16) upsample_backward_any(dy, dx, height, width, true);
    else upsample_backward_any(dy, dx, height, width, false);
}

/* ---- maximum pooling ---- */

/* Where the window of output `at` begins and ends, inside 0 to `count`. */
INLINE void pool_range(const pool_shape *s, int at, int count, int *from, int *end)
{
    int first = at * s->window.stride - s->window.pad, last = first + s->window.size;
    *from = first > 0 ? first : 0;
    *end = last < count ? last : count;
}

/* Along the rows, then along the columns: 2 k comparisons a pixel in place of k * k. */
INLINE void pool_any(const void *x, void *y, const pool_shape *s, vec *rows, const bool bf16)
{
    int from, end, width = s->out_width;
    for (int64_t i = 0; i < s->height; i++)
        for (int j = 0; j < width; j++) {
            pool_range(s, j, s->width, &from, &end);
            vec most = load(x, bf16, i * s->width + from);
            for (int k = from + 1; k < end; k++) most = vmax(most, load(x, bf16, i * s->width + k));
            rows[i * width + j] = most;
        }
    for (int i = 0; i < s->out_height; i++) {
        pool_range(s, i, s->height, &from, &end);
        for (int64_t j = 0; j < width; j++) {
            vec most = rows[(int64_t)from * width + j];
            for (int64_t k = from + 1; k < end; k++) most = vmax(most, rows[k * width + j]);
            store(y, bf16, (int64_t)i * width + j, most);
        }
    }
}

static void pool(const void *x, void *y, bool bf16, const pool_shape *s, float *room)
{
    if (bf16) pool_any(x, y, s, (vec *)room, true);
    else pool_any(x, y, s, (vec *)room, false);
}

/* Lanes find their first maximum one by one: `left` are those that still look for it. */
INLINE void pool_backward_any(const void *x, const void *y, const void *dy, void *dx, const pool_shape *s, vec *sums,
                              const bool bf16)
{
    int64_t pixels = (int64_t)s->height * s->width;
    memset(sums, 0, sizeof *sums * (size_t)pixels);
    for (int i = 0; i < s->out_height; i++)
        for (int j = 0; j < s->out_width; j++) {
            int64_t at = (int64_t)i * s->out_width + j;
            vec most = load(y, bf16, at), gradient = load(dy, bf16, at);
            mask left = ~(mask){0};
            int top, bottom, first, last;
            pool_range(s, i, s->height, &top, &bottom);
            pool_range(s, j, s->width, &first, &last);
            for (int r = top; r < bottom; r++)
                for (int64_t k = (int64_t)r * s->width + first; k < (int64_t)r * s->width + last; k++) {
                    mask here = (load(x, bf16, k) == most) & left;
                    sums[k] += (vec)((mask)gradient & here);
                    left &= ~here;
                }
        }
    for (int64_t k = 0; k < pixels; k++) store(dx, bf16, k, sums[k]);
}

static void pool_backward(const void *x, const void *y, const void *dy, void *dx, bool bf16, const pool_shape *s,
                          float *room)
{
    if (bf16) pool_backward_any(x, y, dy, dx, s, (vec *)room, true);
    else pool_backward_any(x, y, dy, dx, s, (vec *)room, false);
}

/* ---- conversions ---- */

static void to_bf16(const float *from, uint16_t *to, int64_t count)
{
    int64_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        vec v;
        memcpy(&v, from + i, sizeof v);
        halves h = narrow(v);
        memcpy(to + i, &h, sizeof h);
    }
    for (; i < count; i++) {
        uint32_t u;
        memcpy(&u, from + i, sizeof u);
        to[i] = (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
    }
}

static void from_bf16(const uint16_t *from, float *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t u = (uint32_t)from[i] << 16;
        memcpy(to + i, &u, sizeof u);
    }
}

/* ---- the optimizer ---- */

/* Order of operations as torch.optim.SGD and Adam have it. */
static void update(const update_run *u, int64_t first, int64_t end)
{
    float *restrict w = u->weights, *restrict g = u->gradients, *restrict m = u->momentum, *restrict s = u->squares;
    float *restrict average = u->average;
    float lr = u->lr, decay = u->decay, b1 = u->beta1, d = u->average_decay;
    if (u->trained && u->adam) {
        float step = lr / u->correction1, root = sqrtf(u->correction2);
        for (int64_t i = first; i < end; i++) {
            float gradient = g[i] + decay * w[i];
            m[i] = b1 * m[i] + (1 - b1) * gradient;
            s[i] = 0.999f * s[i] + (1 - 0.999f) * gradient * gradient;
            w[i] -= step * m[i] / (sqrtf(s[i]) / root + 1e-8f);
            g[i] = 0;
        }
    } else if (u->trained)
        for (int64_t i = first; i < end; i++) {
            float gradient = g[i] + decay * w[i];
            m[i] = b1 * m[i] + gradient;
            w[i] -= lr * (gradient + b1 * m[i]);
            g[i] = 0;
        }
    if (average && d >= 0)
        for (int64_t i = first; i < end; i++) average[i] = average[i] * d + (1 - d) * w[i];
}

extern const kernels KERNELS;
const kernels KERNELS = {
    .name =
#if defined __AVX512F__
        "avx512",
#elif defined __AVX2__
        "avx2",
#else
        "generic",
#endif
    .block = BLOCK,
    .stats = stats,
    .forward = forward,
    .backward_stats = backward_stats,
    .backward_apply = backward_apply,
    .upsample = upsample,
    .upsample_backward = upsample_backward,
    .pool = pool,
    .pool_backward = pool_backward,
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
    .update = update,
};
