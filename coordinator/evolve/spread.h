/* spread.h - what a few repeated measurements say: their mean, how far they lie apart, and whether two of them differ. */
#ifndef COORDINATOR_SPREAD_H
#define COORDINATOR_SPREAD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct spread {
    size_t count;
    double mean;      /* NAN: none */
    double deviation; /* standard deviation of the sample (n - 1); NAN for less than two */
} spread;

spread spread_of(const double *values, size_t count);

/* How much larger a mean is than another: the interval that holds the true difference with a probability of 95 %, by Welch's t. */
typedef struct difference {
    double mean, half; /* mean - half to mean + half; half is NAN when one of them was measured once only */
    bool stands_out;   /* 0 is outside */
} difference;
difference spread_difference(const spread *a, const spread *b);

/* The value that Student's t with so many degrees of freedom (1 and up, fractions too) stays below with a probability of 97.5 %:
 * 12.706, 4.303, ..., 1.960. Within .1 %. */
double spread_t975(double degrees);

#endif
