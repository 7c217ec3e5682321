#include "worker/data/draw.h"

#include <stdlib.h>

#include "common/array.h"

draw draw_keyed(uint64_t seed, draw_purpose purpose, int64_t epoch, int64_t number)
{
    draw d = {.source = DRAW_KEYED};
    uint64_t family = splitmix64(seed + (uint64_t)purpose * 0x9e3779b97f4a7c15u); /* far apart for neighbouring seeds */
    keyed_seed(&d.keyed, family, (uint64_t)epoch, (uint64_t)number);
    return d;
}

draw draw_reference(python_rng *python, numpy_rng *numpy)
{
    return (draw){.source = DRAW_REFERENCE, .python = python, .numpy = numpy};
}

double draw_random(draw *d)
{
    return d->source == DRAW_KEYED ? keyed_random(&d->keyed) : python_random(d->python);
}

double draw_uniform(draw *d, double a, double b)
{
    return a + (b - a) * draw_random(d);
}

int64_t draw_below(draw *d, int64_t n)
{
    if (d->source == DRAW_REFERENCE) return python_randrange(d->python, 0, n);
    return (int64_t)keyed_below(&d->keyed, (uint64_t)n);
}

double draw_uniform_numpy(draw *d, double low, double high)
{
    if (d->source == DRAW_REFERENCE) return numpy_uniform(d->numpy, low, high);
    return low + (high - low) * keyed_random(&d->keyed);
}

double draw_normal(draw *d)
{
    return d->source == DRAW_KEYED ? keyed_normal(&d->keyed) : numpy_normal(d->numpy);
}

double draw_beta(draw *d, double a, double b)
{
    return d->source == DRAW_KEYED ? keyed_beta(&d->keyed, a, b) : numpy_beta(d->numpy, a, b);
}

/* bisect.bisect(sums, x, 0, n - 1) */
static int bisect(const double *sums, int n, double x)
{
    int low = 0, high = n - 1;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (x < sums[middle]) high = middle;
        else low = middle + 1;
    }
    return low;
}

status draw_weighted(draw *d, const double *weights, int n, int *out)
{
    double *sums;
    TRY(array_new(&sums, (size_t)n));
    rng_running_sums(weights, (size_t)n, sums);
    for (int i = 0; i < n; i++) out[i] = bisect(sums, n, draw_random(d) * sums[n - 1]);
    free(sums);
    return OK;
}

/* 0..most as NumPy's legacy shuffle draws it: words cut to the bits that `most` has, until one is small enough. */
static uint32_t numpy_interval(numpy_rng *r, uint32_t most)
{
    uint32_t mask = most, drawn;
    if (!most) return 0;
    for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
    do drawn = mt19937_next(&r->mt) & mask;
    while (drawn > most);
    return drawn;
}

static void swap_sizes(size_t *a, size_t *b)
{
    size_t kept = *a;
    *a = *b;
    *b = kept;
}

status draw_some(draw *d, size_t n, size_t count, size_t *out)
{
    size_t *all;
    TRY(array_new(&all, n));
    for (size_t i = 0; i < n; i++) all[i] = i;
    if (d->source == DRAW_REFERENCE) /* the whole permutation, of which choice() takes the front */
        for (size_t i = n; i-- > 1;) swap_sizes(&all[i], &all[numpy_interval(d->numpy, (uint32_t)i)]);
    for (size_t i = 0; i < count; i++) {
        if (d->source == DRAW_KEYED) swap_sizes(&all[i], &all[i + keyed_below(&d->keyed, n - i)]);
        out[i] = all[i];
    }
    free(all);
    return OK;
}

void draw_shuffled(draw *d, int n, int *out)
{
    for (int i = 0; i < n; i++) out[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int k = (int)draw_below(d, i + 1), swap = out[i];
        out[i] = out[k];
        out[k] = swap;
    }
}

int draw_image_size(draw *d, int size, int stride)
{
    int low = size / 2, high = size + size / 2 + stride;
    int drawn = (low + (int)draw_below(d, high - low)) / stride * stride;
    return drawn > stride ? drawn : stride;
}
