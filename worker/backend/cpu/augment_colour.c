#include "worker/backend/cpu/augment_colour.h"

#include <math.h>
#include <stdbool.h>

#include "worker/backend/cpu/augment_rows.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* ---- one pixel ---- */

enum { HSV_BITS = 12, HALF = 1 << (HSV_BITS - 1), HUES = 180, HUE_SIXTH = 30 };

typedef struct hsv {
    int32_t hue, saturation, value;
} hsv;

/* round(top / below) for the tops used here and below of 1 to 255: float32 is enough (augment_test.c tries all of them). */
ALWAYS_INLINE int32_t reciprocal(float top, int32_t below)
{
    return (int32_t)(top / (float)below + 0.5f);
}

ALWAYS_INLINE hsv to_hsv(uint32_t pixel)
{
    int32_t r = pixel & 255, g = pixel >> 8 & 255, b = pixel >> 16 & 255;
    int32_t most = r > g ? r : g, least = r < g ? r : g;
    most = most > b ? most : b;
    least = least < b ? least : b;
    int32_t spread = most - least;
    int32_t by_most = reciprocal(255 << HSV_BITS, most > 1 ? most : 1);
    int32_t by_spread = reciprocal(HUES / 6 << HSV_BITS, spread > 1 ? spread : 1);
    int32_t h = most == r ? g - b : most == g ? b - r + 2 * spread : r - g + 4 * spread;
    h = (h * by_spread + HALF) >> HSV_BITS;
    return (hsv){h < 0 ? h + HUES : h, (spread * by_most + HALF) >> HSV_BITS, most};
}

/* Where in a pixel the largest and the smallest channel lie, for each sixth of the hues: shifts in 5 bits a sixth. */
enum { RED = 0, GREEN = 8, BLUE = 16, ALL = RED + GREEN + BLUE, SIXTH_BITS = 5 };
#define SIXTHS(a, b, c, d, e, f) (a | b << 5 | c << 10 | d << 15 | e << 20 | (uint32_t)f << 25)
static const uint32_t largest = SIXTHS(RED, GREEN, GREEN, BLUE, BLUE, RED),
                      smallest = SIXTHS(BLUE, BLUE, RED, RED, GREEN, GREEN);

/* Hues of 180 and more, which only foreign tables have, are turned back when `any_hue`. */
ALWAYS_INLINE uint32_t to_rgb(hsv c, bool any_hue)
{
    float h = (float)c.hue * (1.0f / HUE_SIXTH), s = (float)c.saturation * (1.0f / 255),
          v = (float)c.value * (1.0f / 255);
    int32_t sixth = (int32_t)h;
    /* the channel between the two goes up in the even sixths and down in the odd ones */
    float across = fabsf(1 - (h - (float)(sixth & ~1)));
    if (any_hue && sixth >= 6) sixth -= 6;
    uint32_t most = (uint32_t)(int32_t)(v * 255), least = (uint32_t)(int32_t)(v * (1 - s) * 255);
    uint32_t between = (uint32_t)(int32_t)(v * (1 - s * across) * 255);
    uint32_t at = (uint32_t)(SIXTH_BITS * sixth), high = largest >> at & 31, low = smallest >> at & 31;
    return most << high | least << low | between << (ALL - high - low);
}

/* ---- tables ---- */

enum { LINE_BITS = 23 };

/* Is there a slope that gives the table for 0..count-1, where `wrap` (180 or 0) is taken off at most once? */
static bool find_slope(const uint8_t *table, int count, int wrap, uint32_t *slope)
{
    uint64_t least = 0, most = 1u << (LINE_BITS + 1), turns = 0;
    if (table[0]) return false;
    for (uint32_t x = 1; x < (uint32_t)count; x++) {
        if (wrap && table[x] < table[x - 1]) turns++;
        uint64_t level = table[x] + turns * (uint64_t)wrap; /* level <= x * slope / 2^LINE_BITS < level + 1 */
        uint64_t low = ((level << LINE_BITS) + x - 1) / x, high = (((level + 1) << LINE_BITS) - 1) / x;
        if (low > least) least = low;
        if (high < most && (wrap || table[x] < 255)) most = high;
    }
    *slope = (uint32_t)least;
    return turns <= 1 && least <= most;
}

ALWAYS_INLINE hsv along_lines(const uint32_t slope[3], hsv c)
{
    int32_t hue = (int32_t)((uint32_t)c.hue * slope[0] >> LINE_BITS);
    int32_t saturation = (int32_t)((uint32_t)c.saturation * slope[1] >> LINE_BITS);
    int32_t value = (int32_t)((uint32_t)c.value * slope[2] >> LINE_BITS);
    return (hsv){hue >= HUES ? hue - HUES : hue, saturation > 255 ? 255 : saturation, value > 255 ? 255 : value};
}

/* ---- rows ---- */

ALWAYS_INLINE void colour_blocks(const augment_colour *c, uint32_t *pixels, int padded)
{
    const uint32_t slope[3] = {c->slope[0], c->slope[1], c->slope[2]};
    for (int start = 0; start < padded; start += AUGMENT_BLOCK)
        for (int i = start; i < start + AUGMENT_BLOCK; i++)
            pixels[i] = to_rgb(along_lines(slope, to_hsv(pixels[i])), false);
}

static void colour_by_tables(const augment_colour *c, uint32_t *pixels, int padded)
{
    const augment_sample *s = c->sample;
    for (int i = 0; i < padded; i++) {
        hsv from = to_hsv(pixels[i]);
        pixels[i] = to_rgb((hsv){s->hue[from.hue], s->saturation[from.saturation], s->value[from.value]}, true);
    }
}

static void colour_plain(const augment_colour *c, uint32_t *pixels, int padded)
{
    colour_blocks(c, pixels, padded);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void colour_avx2(const augment_colour *c, uint32_t *pixels, int padded)
{
    colour_blocks(c, pixels, padded);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) static void
colour_avx512(const augment_colour *c, uint32_t *pixels, int padded)
{
    colour_blocks(c, pixels, padded);
}

#endif

void augment_colour_prepare(const augment_sample *s, augment_colour *out)
{
    *out = (augment_colour){.sample = s, .run = colour_by_tables};
    if (!find_slope(s->hue, HUES, HUES, &out->slope[0]) || !find_slope(s->saturation, 256, 0, &out->slope[1]) ||
        !find_slope(s->value, 256, 0, &out->slope[2]))
        return;
    out->run = colour_plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) out->run = colour_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        out->run = colour_avx512;
#endif
}
