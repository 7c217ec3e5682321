/* random.c - every candidate drawn anew within the limits, for comparison: what evolution has to beat.
 *
 * Rows that evolution never mutates (gain 0) keep the base's value. A row is drawn uniformly between its limits, or uniformly
 * in the logarithm where they are positive and two decades or more apart (lr0, lrf): else nine of ten learning rates would
 * lie in the highest decade. A row without limits is drawn as its base times a factor between the mutation's own limits,
 * uniform in the logarithm. */
#include <math.h>

#include "coordinator/strategies/strategy.h"

static const double two_decades = 100;

/* low to high, both positive, for u in [0, 1). */
static double geometric(double low, double high, double u)
{
    return exp(log(low) + (log(high) - log(low)) * u);
}

static double straight(double low, double high, double u)
{
    return low + (high - low) * u;
}

static double draw(const hyp_row *row, double base, const breeding_options *o, double u)
{
    if (!isfinite(row->low) || !isfinite(row->high))
        return base * (o->low > 0 ? geometric(o->low, o->high, u) : straight(o->low, o->high, u));
    if (row->low > 0 && row->high / row->low >= two_decades) return geometric(row->low, row->high, u);
    return straight(row->low, row->high, u);
}

static status breed(const breeding_task *task, breeding_rng *r, child *out)
{
    const hyp_space *space = task->population->space;
    for (size_t i = 0; i < space->count; i++) {
        const hyp_row *row = &space->rows[i];
        out->factors[i] = numpy_random(&r->numpy); /* one for every row: a changed gain does not shift the others */
        out->hyps[i] = row->gain > 0 ? draw(row, task->base[i], task->options, out->factors[i]) : task->base[i];
    }
    return OK;
}

const strategy strategy_random = {"random", breed};
