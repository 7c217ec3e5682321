#include "coordinator/evolve/breeding.h"

#include <assert.h>
#include <string.h>

#include "coordinator/strategies/strategy.h"

/* ---- strategies ---- */

#define STRATEGY_AS_ITEM(name) &name,
static const strategy *const strategies[] = {STRATEGIES(STRATEGY_AS_ITEM)};

const char strategy_names[] = "mendel|yolov5|yolov5-as-run|random";

const strategy *strategy_find(const char *name)
{
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++)
        if (!strcmp(strategies[i]->name, name)) return strategies[i];
    return NULL;
}

const char *strategy_name(const strategy *s)
{
    return s->name;
}

status strategy_breed(const strategy *s, const population *p, const double *base, const breeding_options *options,
                      uint64_t run_seed, int64_t number, child *out)
{
    const hyp_space *space = p->space;
    double start[HYP_MAX];
    memcpy(start, base, space->count * sizeof *start);
    hyp_constrain(space, start);
    *out = (child){.seen = p->count};
    for (size_t i = 0; i < space->count; i++) out->factors[i] = 1;
    if (number == 1 && !p->count) {
        memcpy(out->hyps, start, space->count * sizeof *start);
        return OK;
    }
    breeding_rng r;
    breeding_seed(&r, run_seed, number);
    TRY(s->breed(&(breeding_task){p, start, options}, &r, out));
    hyp_constrain(space, out->hyps);
    return OK;
}

void breeding_take_base(const breeding_task *task, child *out, double *parent_hyps)
{
    memcpy(parent_hyps, task->base, task->population->space->count * sizeof *parent_hyps);
    out->parents[0] = out->parent = 0;
    out->weights[0] = 0;
    out->parent_count = 1;
}

/* ---- the reference's operators ---- */

void breeding_seed(breeding_rng *r, uint64_t run_seed, int64_t number)
{
    uint64_t both = splitmix64(run_seed + (uint64_t)number + 0x9e3779b97f4a7c15u);
    python_seed(&r->python, both >> 32);
    numpy_seed(&r->numpy, (uint32_t)both);
}

void breeding_rank(const population *p, const member *rows, size_t count, ranking *out)
{
    assert(count > 0);
    double best[BREEDING_PARENTS];
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        double f = member_fitness(p, &rows[i]);
        size_t at = out->count;
        while (at > 0 && f > best[at - 1]) at--;
        if (at == BREEDING_PARENTS) continue;
        if (out->count < BREEDING_PARENTS) out->count++;
        for (size_t k = out->count - 1; k > at; k--) {
            best[k] = best[k - 1];
            out->rows[k] = out->rows[k - 1];
        }
        best[at] = f;
        out->rows[at] = &rows[i];
    }
    for (size_t i = 0; i < out->count; i++) out->weights[i] = best[i] - best[out->count - 1];
}

void breeding_rank_members(const population *p, ranking *out)
{
    const population_best *best = population_ranked(p);
    assert(best->count > 0);
    out->count = best->count;
    for (size_t i = 0; i < best->count; i++) {
        out->rows[i] = &p->members[best->index[i]];
        out->weights[i] = best->fitness[i] - best->fitness[best->count - 1];
    }
}

/* (x * w).sum(0) / w.sum(), rows added one after the other as NumPy does. */
static void weighted_mean(const hyp_space *space, const ranking *from, double *mean)
{
    double total = 0;
    for (size_t i = 0; i < from->count; i++) total += from->weights[i];
    for (size_t k = 0; k < space->count; k++) {
        double sum = 0;
        for (size_t i = 0; i < from->count; i++) sum += from->rows[i]->hyps[k] * from->weights[i];
        mean[k] = sum / total;
    }
}

void breeding_choose(breeding_rng *r, const hyp_space *space, const ranking *from, parent_mode mode, child *out,
                     double *parent_hyps)
{
    out->parent_count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        out->parents[i] = from->rows[i]->candidate;
        out->weights[i] = from->weights[i];
    }
    if (mode == PARENT_WEIGHTED && from->count > 1) {
        out->parent = PARENT_MEAN;
        weighted_mean(space, from, parent_hyps);
        return;
    }
    double sums[BREEDING_PARENTS];
    rng_running_sums(from->weights, from->count, sums);
    const member *parent = from->rows[python_choice(&r->python, sums, from->count)];
    out->parent = parent->candidate;
    memcpy(parent_hyps, parent->hyps, space->count * sizeof *parent_hyps);
}

void breeding_select(breeding_rng *r, const population *p, const member *rows, size_t count, parent_mode mode,
                     child *out, double *parent_hyps)
{
    ranking best;
    breeding_rank(p, rows, count, &best);
    breeding_choose(r, p->space, &best, mode, out, parent_hyps);
}

/* One round of factors; true when one of them is not 1. All uniforms are drawn first, then all normals, then the one uniform
 * that scales the whole round. */
static bool draw_factors(numpy_rng *r, const hyp_space *space, const breeding_options *o, double *factors)
{
    double uniform[HYP_MAX], normal[HYP_MAX];
    for (size_t i = 0; i < space->count; i++) uniform[i] = numpy_random(r);
    for (size_t i = 0; i < space->count; i++) normal[i] = numpy_normal(r);
    double scale = numpy_random(r);
    bool changed = false;
    for (size_t i = 0; i < space->count; i++) {
        double chosen = uniform[i] < o->probability ? 1 : 0;
        double v = space->rows[i].gain * chosen * normal[i] * scale * o->sigma + 1;
        if (v < o->low) v = o->low;
        if (v > o->high) v = o->high;
        factors[i] = v;
        changed = changed || v != 1;
    }
    return changed;
}

void breeding_mutate(breeding_rng *r, const hyp_space *space, const breeding_options *options,
                     const double *parent_hyps, child *out)
{
    out->rounds = 0;
    bool changed = false;
    while (!changed && out->rounds < BREEDING_ROUNDS_MOST) {
        changed = draw_factors(&r->numpy, space, options, out->factors);
        out->rounds++;
    }
    for (size_t i = 0; i < space->count; i++) out->hyps[i] = parent_hyps[i] * out->factors[i];
}
