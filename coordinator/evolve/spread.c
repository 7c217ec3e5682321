#include "coordinator/evolve/spread.h"

#include <math.h>

spread spread_of(const double *values, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    double mean = count ? sum / (double)count : NAN;
    for (size_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
    return (spread){count, mean, count > 1 ? sqrt(squares / (double)(count - 1)) : NAN};
}

/* Tables of Student's t; beyond them the expansion in 1/degrees around the normal distribution's 1.959964. */
double spread_t975(double degrees)
{
    static const double table[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281};
    enum { ROWS = sizeof table / sizeof *table };
    if (!(degrees > 1)) return table[0];
    if (degrees < ROWS) { /* t is nearly straight over 1/degrees between two of them */
        int below = (int)degrees;
        double share = (1.0 / below - 1 / degrees) / (1.0 / below - 1.0 / (below + 1));
        return table[below - 1] + share * (table[below] - table[below - 1]);
    }
    const double z = 1.959964, d = degrees;
    double first = (pow(z, 3) + z) / 4, second = (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / 96;
    double third = (3 * pow(z, 7) + 19 * pow(z, 5) + 17 * pow(z, 3) - 15 * z) / 384;
    return z + first / d + second / (d * d) + third / (d * d * d);
}

difference spread_difference(const spread *a, const spread *b)
{
    difference d = {a->mean - b->mean, NAN, false};
    if (a->count < 2 || b->count < 2) return d;
    double x = a->deviation * a->deviation / (double)a->count, y = b->deviation * b->deviation / (double)b->count;
    double degrees = (x + y) * (x + y) / (x * x / (double)(a->count - 1) + y * y / (double)(b->count - 1));
    d.half = x + y > 0 ? spread_t975(degrees) * sqrt(x + y) : 0;
    d.stands_out = fabs(d.mean) > d.half;
    return d;
}
