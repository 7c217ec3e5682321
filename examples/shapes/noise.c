#include "examples/shapes/noise.h"

#include <math.h>

#include "common/rng.h"

static double at_lattice(uint64_t seed, int64_t x, int64_t y)
{
    uint64_t key = splitmix64(seed + (uint64_t)x * 0x9e3779b97f4a7c15u);
    return (double)(splitmix64(key + (uint64_t)y * 0xd1b54a32d192ed03u) >> 11) / 9007199254740992.0;
}

static double fade(double t)
{
    return t * t * (3 - 2 * t);
}

double noise_value(uint64_t seed, double x, double y)
{
    double left = floor(x), top = floor(y), u = fade(x - left), v = fade(y - top);
    int64_t i = (int64_t)left, j = (int64_t)top;
    double above = at_lattice(seed, i, j) * (1 - u) + at_lattice(seed, i + 1, j) * u;
    double below = at_lattice(seed, i, j + 1) * (1 - u) + at_lattice(seed, i + 1, j + 1) * u;
    return above * (1 - v) + below * v;
}

double noise_fractal(uint64_t seed, double x, double y, int octaves)
{
    double sum = 0, weight = 1, total = 0;
    for (int i = 0; i < octaves; i++) {
        sum += weight * noise_value(seed + (uint64_t)i, x, y);
        total += weight;
        weight /= 2;
        x *= 2;
        y *= 2;
    }
    return sum / total;
}

double noise_cells(uint64_t seed, double x, double y, double *edge)
{
    double nearest = INFINITY, second = INFINITY, number = 0;
    int64_t column = (int64_t)floor(x), row = (int64_t)floor(y);
    for (int64_t j = row - 1; j <= row + 1; j++)
        for (int64_t i = column - 1; i <= column + 1; i++) {
            double dx = (double)i + at_lattice(seed, i, j) - x, dy = (double)j + at_lattice(seed + 1, i, j) - y;
            double distance = sqrt(dx * dx + dy * dy);
            if (distance < nearest) {
                second = nearest;
                nearest = distance;
                number = at_lattice(seed + 2, i, j);
            } else if (distance < second) second = distance;
        }
    *edge = second - nearest;
    return number;
}
