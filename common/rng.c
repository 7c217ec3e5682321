#include "common/rng.h"

#include <math.h>

/* ---- MT19937 ---- */

enum { MT_MIDDLE = 397 };

void mt19937_seed(mt19937 *m, uint32_t seed)
{
    m->state[0] = seed;
    for (uint32_t i = 1; i < MT_STATE; i++) m->state[i] = 1812433253u * (m->state[i - 1] ^ (m->state[i - 1] >> 30)) + i;
    m->position = MT_STATE;
}

void mt19937_seed_array(mt19937 *m, const uint32_t *key, size_t length)
{
    uint32_t *s = m->state;
    mt19937_seed(m, 19650218u);
    size_t i = 1, j = 0;
    for (size_t k = length > MT_STATE ? length : MT_STATE; k; k--) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key[j] + (uint32_t)j;
        if (++i == MT_STATE) {
            s[0] = s[MT_STATE - 1];
            i = 1;
        }
        if (++j == length) j = 0;
    }
    for (size_t k = MT_STATE - 1; k; k--) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - (uint32_t)i;
        if (++i == MT_STATE) {
            s[0] = s[MT_STATE - 1];
            i = 1;
        }
    }
    s[0] = 0x80000000u;
}

/* Each word of the next round is made when it is wanted: a child of an evolution draws fifty of the 624. */
static uint32_t make_word(mt19937 *m)
{
    uint32_t *s = m->state;
    if (m->position >= MT_STATE) m->position = 0;
    int i = m->position++, next = i + 1 < MT_STATE ? i + 1 : 0;
    int middle = i + MT_MIDDLE < MT_STATE ? i + MT_MIDDLE : i + MT_MIDDLE - MT_STATE;
    uint32_t y = (s[i] & 0x80000000u) | (s[next] & 0x7fffffffu);
    return s[i] = s[middle] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
}

uint32_t mt19937_next(mt19937 *m)
{
    uint32_t y = make_word(m);
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* 53 bits from two words, as both libraries make a double in [0, 1). */
static double mt19937_double(mt19937 *m)
{
    uint32_t a = mt19937_next(m) >> 5, b = mt19937_next(m) >> 6;
    return ((double)a * 67108864.0 + (double)b) / 9007199254740992.0;
}

/* ---- Python's random ---- */

void python_seed_words(python_rng *r, const uint32_t *words, size_t length)
{
    static const uint32_t zero = 0;
    while (length > 1 && words[length - 1] == 0) length--; /* an integer has no leading zeros */
    mt19937_seed_array(&r->mt, length ? words : &zero, length ? length : 1);
}

void python_seed(python_rng *r, uint64_t seed)
{
    uint32_t words[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    python_seed_words(r, words, 2);
}

double python_random(python_rng *r)
{
    return mt19937_double(&r->mt);
}

double python_uniform(python_rng *r, double a, double b)
{
    return a + (b - a) * python_random(r);
}

/* random.getrandbits(bits), 1 <= bits <= 64. */
static uint64_t python_bits(python_rng *r, int bits)
{
    if (bits <= 32) return mt19937_next(&r->mt) >> (32 - bits);
    uint64_t low = mt19937_next(&r->mt);
    return low | (uint64_t)(mt19937_next(&r->mt) >> (64 - bits)) << 32;
}

int64_t python_randrange(python_rng *r, int64_t low, int64_t high)
{
    uint64_t n = (uint64_t)high - (uint64_t)low;
    int bits = 64 - __builtin_clzll(n);
    uint64_t value;
    do value = python_bits(r, bits);
    while (value >= n);
    return (int64_t)((uint64_t)low + value);
}

int64_t python_randint(python_rng *r, int64_t a, int64_t b)
{
    return python_randrange(r, a, b + 1);
}

void rng_running_sums(const double *weights, size_t n, double *sums)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sums[i] = sum += weights[i];
}

size_t python_choice(python_rng *r, const double *running_sums, size_t n)
{
    double x = python_random(r) * running_sums[n - 1];
    size_t low = 0, high = n - 1; /* bisect.bisect(sums, x, 0, n - 1) */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (x < running_sums[middle]) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* ---- NumPy's np.random ---- */

void numpy_seed(numpy_rng *r, uint32_t seed)
{
    mt19937_seed(&r->mt, seed);
    r->has_normal = false;
}

double numpy_random(numpy_rng *r)
{
    return mt19937_double(&r->mt);
}

double numpy_uniform(numpy_rng *r, double low, double high)
{
    return low + (high - low) * numpy_random(r);
}

/* The polar method, written once for any source of uniforms. `second` is the normal that comes after. */
static double polar_normal(double (*uniform)(void *), void *source, double *second)
{
    double x1, x2, r2;
    do {
        x1 = 2.0 * uniform(source) - 1.0;
        x2 = 2.0 * uniform(source) - 1.0;
        r2 = x1 * x1 + x2 * x2;
    } while (r2 >= 1.0 || r2 == 0.0);
    double f = sqrt(-2.0 * log(r2) / r2);
    *second = f * x1;
    return f * x2;
}

/* Gamma of shape > 1 (Marsaglia and Tsang 2000), as NumPy's legacy generator draws it. */
static double tsang_gamma(double shape, double (*uniform)(void *), double (*normal)(void *), void *source)
{
    double b = shape - 1.0 / 3.0, c = 1.0 / sqrt(9 * b);
    for (;;) {
        double x, v;
        do {
            x = normal(source);
            v = 1.0 + c * x;
        } while (v <= 0.0);
        v = v * v * v;
        double u = uniform(source);
        if (u < 1.0 - 0.0331 * (x * x) * (x * x)) return b * v;
        if (log(u) < 0.5 * x * x + b * (1.0 - v + log(v))) return b * v;
    }
}

static double numpy_random_of(void *source)
{
    return numpy_random(source);
}

static double numpy_normal_of(void *source)
{
    return numpy_normal(source);
}

double numpy_normal(numpy_rng *r)
{
    if (r->has_normal) {
        r->has_normal = false;
        return r->normal;
    }
    r->has_normal = true;
    return polar_normal(numpy_random_of, r, &r->normal);
}

double numpy_beta(numpy_rng *r, double a, double b)
{
    double x = tsang_gamma(a, numpy_random_of, numpy_normal_of, r);
    double y = tsang_gamma(b, numpy_random_of, numpy_normal_of, r);
    return x / (x + y);
}

/* ---- our own ---- */

uint64_t splitmix64(uint64_t seed)
{
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static const uint64_t golden_step = 0x9e3779b97f4a7c15u;

void keyed_seed(keyed_rng *r, uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t key = splitmix64(seed + golden_step);
    key = splitmix64((key ^ a) + golden_step);
    key = splitmix64((key ^ b) + golden_step);
    *r = (keyed_rng){.state = key};
}

uint64_t keyed_next(keyed_rng *r)
{
    return splitmix64(r->state += golden_step);
}

double keyed_random(keyed_rng *r)
{
    return (double)(keyed_next(r) >> 11) / 9007199254740992.0;
}

static double keyed_random_of(void *source)
{
    return keyed_random(source);
}

static double keyed_normal_of(void *source)
{
    return keyed_normal(source);
}

double keyed_normal(keyed_rng *r)
{
    if (r->has_normal) {
        r->has_normal = false;
        return r->normal;
    }
    r->has_normal = true;
    return polar_normal(keyed_random_of, r, &r->normal);
}

uint64_t keyed_below(keyed_rng *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, value;
    do value = keyed_next(r);
    while (value >= limit);
    return value % n;
}

double keyed_beta(keyed_rng *r, double a, double b)
{
    double x = tsang_gamma(a, keyed_random_of, keyed_normal_of, r);
    double y = tsang_gamma(b, keyed_random_of, keyed_normal_of, r);
    return x / (x + y);
}
