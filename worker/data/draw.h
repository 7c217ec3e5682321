/* draw.h - the random choices of augmentation, from one of two sources.
 *
 * DRAW_KEYED gives numbers that depend on a key alone, so a sample comes out the same whichever thread makes it. DRAW_REFERENCE
 * reads Python's random and NumPy's np.random, for comparing with the reference: each function says which of them it draws
 * from there. What is drawn, and in which order, does not depend on the source. */
#ifndef DATA_DRAW_H
#define DATA_DRAW_H

#include "common/rng.h"
#include "common/status.h"

typedef enum draw_source { DRAW_KEYED, DRAW_REFERENCE } draw_source;

typedef struct draw {
    draw_source source;
    keyed_rng keyed;
    python_rng *python; /* borrowed */
    numpy_rng *numpy;   /* borrowed */
} draw;

/* What the numbers of a run are for; each purpose has its own. */
typedef enum draw_purpose { DRAW_SAMPLE, DRAW_ORDER, DRAW_WEIGHTED, DRAW_SIZE, DRAW_ANCHORS } draw_purpose;

/* A keyed source for the `number`-th of its purpose (a sample's place in the epoch, a batch) in an epoch of a run. */
draw draw_keyed(uint64_t seed, draw_purpose purpose, int64_t epoch, int64_t number);
draw draw_reference(python_rng *python, numpy_rng *numpy);

double draw_random(draw *d);                      /* [0, 1): random.random() */
double draw_uniform(draw *d, double a, double b); /* random.uniform(a, b) */
int64_t draw_below(draw *d, int64_t n);           /* 0..n-1: random.randint(0, n - 1), random.randrange(0, n) */
double draw_uniform_numpy(draw *d, double low, double high); /* np.random.uniform(low, high) */
double draw_normal(draw *d);                                 /* np.random.randn() */
double draw_beta(draw *d, double a, double b);               /* np.random.beta(a, b), a and b above 1 */

/* random.choices(range(n), weights, k=n): n indices, each as likely as its weight says; out[n]. With weights that are all 0
 * it is always the last, as up to Python 3.8. ERR_MEMORY. */
status draw_weighted(draw *d, const double *weights, int n, int *out);
/* `count` different numbers of 0..n-1, count <= n: np.random.choice(n, count, replace=False). ERR_MEMORY. */
status draw_some(draw *d, size_t n, size_t count, size_t *out);
/* 0..n-1 in a random order. (The reference does not shuffle in a single process; this order is our own.) */
void draw_shuffled(draw *d, int n, int *out);

/* Multi-scale training's image size: random.randrange(size * .5, size * 1.5 + stride) // stride * stride; at least `stride`. */
int draw_image_size(draw *d, int size, int stride);

#endif
