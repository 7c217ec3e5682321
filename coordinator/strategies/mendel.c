/* mendel.c - the default: the reference's operators on the members in full precision, with repairs.
 *
 *   parents    when the best are all equally good, each is drawn alike (the mean is the plain mean); the reference stops there
 *   zero       a gene at or near 0 moves by (v - 1) times a fraction of its range; the reference multiplies, so 0 stays 0
 *   sameness   factors are drawn until the child, limits and rounding applied, is not its parent; the reference looks at the
 *              factors alone, which limits or rounding may undo
 *
 * Where none applies a child is the one that `yolov5` makes from the same rows. Formulas: docs/DIFFERENCES.md. */
#include <math.h>
#include <string.h>

#include "coordinator/strategies/strategy.h"

static void weigh_equals_alike(ranking *best)
{
    if (best->weights[0] > 0) return; /* the best has the largest weight */
    for (size_t i = 0; i < best->count; i++) best->weights[i] = 1;
}

/* Where a gene may go: evolution's limits, within what training accepts. Without limits the latter bounds it alone. */
static double lowest(const hyp_row *row)
{
    return fmax(row->low, row->valid_low);
}

static double highest(const hyp_row *row)
{
    return fmin(row->high, row->valid_high);
}

/* The magnitude by which a gene moves at least: sigma times its range if 0 lies in it, else (or without an end) nothing. */
static double least_magnitude(const hyp_row *row, double sigma)
{
    double low = lowest(row), high = highest(row);
    return low <= 0 && high >= 0 && isfinite(high - low) ? sigma * (high - low) : 0;
}

static double mutate_gene(const hyp_row *row, double sigma, double parent, double factor)
{
    double least = least_magnitude(row, sigma);
    double value = fabs(parent) >= least ? parent * factor : parent + (factor - 1) * least;
    return fmin(fmax(value, lowest(row)), highest(row));
}

static bool is_parent(const hyp_space *space, const double *hyps, const double *parent)
{
    double final[HYP_MAX];
    memcpy(final, hyps, space->count * sizeof *final);
    hyp_constrain(space, final);
    for (size_t i = 0; i < space->count; i++)
        if (final[i] != parent[i]) return false;
    return true;
}

static void mutate(const breeding_task *task, breeding_rng *r, const double *parent, child *out)
{
    const hyp_space *space = task->population->space;
    int rounds = 0;
    do {
        breeding_mutate(r, space, task->options, parent, out);
        rounds += out->rounds;
        for (size_t i = 0; i < space->count; i++)
            out->hyps[i] = mutate_gene(&space->rows[i], task->options->sigma, parent[i], out->factors[i]);
    } while (is_parent(space, out->hyps, parent) && rounds < BREEDING_ROUNDS_MOST);
    out->rounds = rounds;
}

static status breed(const breeding_task *task, breeding_rng *r, child *out)
{
    const population *p = task->population;
    double parent[HYP_MAX];
    if (p->count) {
        ranking best;
        breeding_rank_members(p, &best);
        weigh_equals_alike(&best);
        breeding_choose(r, p->space, &best, task->options->parent, out, parent);
    } else breeding_take_base(task, out, parent);
    mutate(task, r, parent, out);
    return OK;
}

const strategy strategy_mendel = {"mendel", breed};
