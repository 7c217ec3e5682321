#include "common/draw/axis.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

/* Room beyond the data at either end, as a part of the whole; and when a logarithm shows more. */
static const double margin = 0.06, logarithmic_from = 30;

enum { TICKS_ROOM = AXIS_TICKS_MOST + 1 };

/* ---- linear ---- */

/* 1, 2 or 5 times a power of ten, at least `least`. */
static double round_step(double least)
{
    double power = pow(10, floor(log10(least)));
    double factor = least / power;
    return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

/* Ticks at the ends of the scale count as within it, whatever rounding makes of them. */
static void add_ticks(axis *a, double step)
{
    double low = ceil(a->low / step - 1e-9), high = floor(a->high / step + 1e-9);
    a->count = 0;
    for (double k = low; k <= high && a->count < TICKS_ROOM; k++)
        a->ticks[a->count++] = fmin(fmax(k * step, a->low), a->high) + 0.0; /* makes a plain 0 of -0 */
}

static void choose_ticks(axis *a, size_t wish)
{
    double step = round_step((a->high - a->low) / (double)(wish + 1));
    for (add_ticks(a, step); a->count > wish; add_ticks(a, step)) step = round_step(step * 1.5);
}

static void make_linear(axis *a, double low, double high, size_t wish)
{
    double range = high - low;
    /* Steps finer than the digits of the values would not move from one tick to the next. */
    if (!(range > 1e-9 * fmax(fabs(low), fabs(high)))) range = low == 0 ? 1 : fabs(low) * 0.2;
    double middle = low + (high - low) / 2, half = range * (0.5 + margin);
    a->low = middle - half;
    a->high = middle + half;
    choose_ticks(a, wish);
}

/* ---- logarithmic ---- */

/* Ticks at 1 (and 2 and 5) times every `every`-th power of ten. */
static void add_log_ticks(axis *a, int every, bool between)
{
    static const double factors[] = {1, 2, 5};
    a->count = 0;
    int first = (int)floor(log10(a->low)), last = (int)ceil(log10(a->high));
    for (int power = first; power <= last; power++)
        for (int f = 0; f < (between ? 3 : 1); f++) {
            double tick = factors[f] * pow(10, power);
            bool wanted = (power - first) % every == 0 && tick >= a->low && tick <= a->high;
            if (wanted && a->count < TICKS_ROOM) a->ticks[a->count++] = tick;
        }
}

static void make_logarithmic(axis *a, double low, double high, size_t wish)
{
    double room = pow(high / low, margin);
    a->logarithmic = true;
    a->low = low / room;
    a->high = high * room;
    add_log_ticks(a, 1, true);
    if (a->count > wish) add_log_ticks(a, 1, false);
    for (int every = 2; a->count > wish; every++) add_log_ticks(a, every, false);
}

void axis_make(axis *a, const double *values, size_t count, size_t wish, bool may_be_logarithmic)
{
    assert(count > 0 && wish >= AXIS_TICKS_LEAST && wish <= AXIS_TICKS_MOST);
    double low = values[0], high = values[0];
    for (size_t i = 1; i < count; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    *a = (axis){0};
    if (may_be_logarithmic && low > 0 && high / low >= logarithmic_from) make_logarithmic(a, low, high, wish);
    else make_linear(a, low, high, wish);
}

void axis_between(axis *a, double low, double high, size_t wish)
{
    assert(low < high && wish >= AXIS_TICKS_LEAST && wish <= AXIS_TICKS_MOST);
    *a = (axis){.low = low, .high = high};
    choose_ticks(a, wish);
}

double axis_place(const axis *a, double value)
{
    if (a->logarithmic) return log(value / a->low) / log(a->high / a->low);
    return (value - a->low) / (a->high - a->low);
}

void axis_label(const axis *a, size_t tick, char label[AXIS_LABEL_ROOM])
{
    snprintf(label, AXIS_LABEL_ROOM, "%.6g", a->ticks[tick]);
}
