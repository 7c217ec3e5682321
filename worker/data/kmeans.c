#include "worker/data/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

enum { ATTEMPTS = 30 };
static const double change_least = 1e-5;

typedef struct clusters {
    const point *points;
    size_t count, k;
    point *centres, *sums;
    size_t *members; /* how many points a centre has; in between, the points to start from */
} clusters;

/* Give every point to its nearest centre (of several the first). Returns the mean distance. */
static double assign(clusters *c)
{
    double total = 0;
    for (size_t i = 0; i < c->k; i++) {
        c->sums[i] = (point){0, 0};
        c->members[i] = 0;
    }
    for (size_t i = 0; i < c->count; i++) {
        const point *p = &c->points[i];
        double least = INFINITY;
        size_t nearest = 0;
        for (size_t j = 0; j < c->k; j++) {
            double x = p->x - c->centres[j].x, y = p->y - c->centres[j].y, square = x * x + y * y;
            if (square < least) {
                least = square;
                nearest = j;
            }
        }
        c->sums[nearest].x += p->x;
        c->sums[nearest].y += p->y;
        c->members[nearest]++;
        total += sqrt(least);
    }
    return total / (double)c->count;
}

static void move_centres(clusters *c)
{
    for (size_t i = 0; i < c->k; i++)
        if (c->members[i])
            c->centres[i] = (point){c->sums[i].x / (double)c->members[i], c->sums[i].y / (double)c->members[i]};
}

static status attempt(draw *d, clusters *c, double *distance)
{
    double before, change = INFINITY;
    TRY(draw_some(d, c->count, c->k, c->members));
    for (size_t i = 0; i < c->k; i++) c->centres[i] = c->points[c->members[i]];
    for (*distance = INFINITY; change > change_least; change = fabs(before - *distance)) {
        before = *distance;
        *distance = assign(c);
        move_centres(c);
    }
    return OK;
}

status kmeans(draw *d, const point *points, size_t count, size_t k, point *centres, double *distance)
{
    clusters c = {.points = points, .count = count, .k = k};
    status s = array_new(&c.centres, k);
    if (s == OK) s = array_new(&c.sums, k);
    if (s == OK) s = array_new(&c.members, k);
    *distance = INFINITY;
    for (int i = 0; s == OK && i < ATTEMPTS; i++) {
        double found;
        s = attempt(d, &c, &found);
        if (s != OK || !(found < *distance)) continue;
        *distance = found;
        memcpy(centres, c.centres, k * sizeof *centres);
    }
    free(c.centres);
    free(c.sums);
    free(c.members);
    return s;
}
