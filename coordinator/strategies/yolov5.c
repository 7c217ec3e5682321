/* yolov5.c - the reference's operators, on the rows as evolve.txt has them; and the same as it is really run.
 *
 * The reference seeds NumPy from the clock before a mutation, but takes Python's random for the choice of a parent as it finds
 * it. Every training starts with random.seed(2 + rank), rank -1, and draws in the loader's own processes afterwards (unless
 * --multi-scale, --image-weights or --workers 0 make it draw in this one). So the choice is always made with the first number
 * after random.seed(1), u = 0.1343642441124012. Weights fall from row to row and the last of the n <= 5 is 0, so that the first
 * has at least a quarter of the total: u * total lies within it, and the best row is the parent, every time. Only when all of
 * the n are equally good, the last of them is. */
#include "coordinator/strategies/strategy.h"

static status breed_from_rows(const breeding_task *task, breeding_rng *r, child *out)
{
    const population *p = task->population;
    double parent[HYP_MAX];
    if (p->count) {
        member rows[POPULATION_FIRST];
        size_t count;
        TRY(population_first_rows(p, rows, &count));
        breeding_select(r, p, rows, count, task->options->parent, out, parent);
    } else breeding_take_base(task, out, parent);
    breeding_mutate(r, p->space, task->options, parent, out);
    return OK;
}

/* init_seeds(2 + rank) of a training in a single process. */
enum { TRAINING_SEED = 1 };

static status breed_as_run(const breeding_task *task, breeding_rng *r, child *out)
{
    python_seed(&r->python, TRAINING_SEED);
    return breed_from_rows(task, r, out);
}

const strategy strategy_yolov5 = {"yolov5", breed_from_rows};
const strategy strategy_yolov5_as_run = {"yolov5-as-run", breed_as_run};
