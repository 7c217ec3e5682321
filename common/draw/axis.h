/* axis.h - the scale of a plot: from where to where, and where its ticks are. */
#ifndef DRAW_AXIS_H
#define DRAW_AXIS_H

#include <stdbool.h>
#include <stddef.h>

enum { AXIS_TICKS_LEAST = 5, AXIS_TICKS_MOST = 12, AXIS_LABEL_ROOM = 32 };

typedef struct axis {
    double low, high; /* ends of the scale, beyond the data by some room */
    bool logarithmic;
    size_t count;
    double ticks[AXIS_TICKS_MOST +
                 1]; /* ascending, within low..high (the room for one more shows when they are too many) */
} axis;

/* Lay a scale over values (finite, at least one), with 2 to `wish` round ticks (wish AXIS_TICKS_LEAST to AXIS_TICKS_MOST).
 * Positive values that span a factor of 30 or more get a logarithmic scale if `may_be_logarithmic`. Values that are all the
 * same lie in the middle. */
void axis_make(axis *a, const double *values, size_t count, size_t wish, bool may_be_logarithmic);
/* A linear scale from `low` to `high` (above it), these being its ends, with ticks as axis_make chooses them. */
void axis_between(axis *a, double low, double high, size_t wish);
/* Where a value lies: 0 at low, 1 at high. */
double axis_place(const axis *a, double value);
/* A tick as text. */
void axis_label(const axis *a, size_t tick, char label[AXIS_LABEL_ROOM]);

#endif
