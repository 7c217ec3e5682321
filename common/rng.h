/* rng.h - the random numbers of the reference, to the last bit, and those of our own.
 *
 * python_rng is CPython's `random` and numpy_rng NumPy's legacy `np.random`: both MT19937, seeded and read in different
 * ways. splitmix64 derives seeds, keyed_rng gives numbers that depend on a key and a position alone, so that any number
 * of threads draws the same. No function here fails; no state is shared. */
#ifndef COMMON_RNG_H
#define COMMON_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MT_STATE = 624 };

typedef struct mt19937 {
    uint32_t state[MT_STATE];
    int position; /* of the next word to be made; MT_STATE: the first */
} mt19937;

/* init_genrand() and init_by_array() of Matsumoto and Nishimura's mt19937ar.c. */
void mt19937_seed(mt19937 *m, uint32_t seed);
void mt19937_seed_array(mt19937 *m, const uint32_t *key, size_t length);
uint32_t mt19937_next(mt19937 *m);

/* ---- Python's random ---- */

typedef struct python_rng {
    mt19937 mt;
} python_rng;

/* random.seed(n) for |n| < 2^64 (init_by_array of its 32-bit words). */
void python_seed(python_rng *r, uint64_t seed);
/* random.seed(n) for an integer of any size: its words, least significant first; length 0 is n = 0. */
void python_seed_words(python_rng *r, const uint32_t *words, size_t length);
/* random.random(): [0, 1) with 53 bits. */
double python_random(python_rng *r);
/* random.uniform(a, b). */
double python_uniform(python_rng *r, double a, double b);
/* random.randrange(low, high): low <= result < high; high > low. */
int64_t python_randrange(python_rng *r, int64_t low, int64_t high);
/* random.randint(a, b): a <= result <= b. */
int64_t python_randint(python_rng *r, int64_t a, int64_t b);
/* random.choices(range(n), weights)[0] from running sums of the weights (rng_running_sums): bisect_right of
 * random() * total, at most n - 1. A total of 0 gives n - 1, as up to Python 3.8. n >= 1. */
size_t python_choice(python_rng *r, const double *running_sums, size_t n);
void rng_running_sums(const double *weights, size_t n, double *sums);

/* ---- NumPy's np.random ---- */

typedef struct numpy_rng {
    mt19937 mt;
    bool has_normal; /* the polar method makes two normals; the second waits here */
    double normal;
} numpy_rng;

/* np.random.seed(n), 0 <= n < 2^32. */
void numpy_seed(numpy_rng *r, uint32_t seed);
double numpy_random(numpy_rng *r);
double numpy_uniform(numpy_rng *r, double low, double high);
/* randn(): polar method of Marsaglia. */
double numpy_normal(numpy_rng *r);
/* beta(a, b) for a, b > 1: a ratio of two gammas by Marsaglia and Tsang. */
double numpy_beta(numpy_rng *r, double a, double b);

/* ---- our own ---- */

/* The i-th output of SplitMix64 started at `seed` is splitmix64(seed + (i + 1) * 0x9e3779b97f4a7c15); `seed` + 1 and
 * `seed` give unrelated values. */
uint64_t splitmix64(uint64_t seed);

/* Numbers keyed by up to three values (seed, epoch, sample): the same key gives the same sequence in any thread, in any
 * order. Built on splitmix64. */
typedef struct keyed_rng {
    uint64_t state;
    bool has_normal;
    double normal;
} keyed_rng;

void keyed_seed(keyed_rng *r, uint64_t seed, uint64_t a, uint64_t b);
uint64_t keyed_next(keyed_rng *r);
double keyed_random(keyed_rng *r);
double keyed_normal(keyed_rng *r);
/* 0 <= result < n, without bias; n >= 1. */
uint64_t keyed_below(keyed_rng *r, uint64_t n);
/* beta(a, b) for a, b > 1. */
double keyed_beta(keyed_rng *r, double a, double b);

#endif
