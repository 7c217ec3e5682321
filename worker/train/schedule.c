#include "worker/train/schedule.h"

#include <math.h>

enum { WARMUP_EPOCHS = 3, WARMUP_LEAST = 1000 };
static const double warmup_momentum = 0.9, warmup_bias_lr = 0.1;
static const double adam_beta2 = 0.999;

/* Iterations that make up a nominal batch. rint rounds half to even, as Python and NumPy do. */
static int64_t accumulation(double iterations)
{
    double rounded = rint(iterations);
    return rounded < 1 ? 1 : (int64_t)rounded;
}

void schedule_start(const schedule_options *o, schedule *out)
{
    double batches = (double)o->batches, left = (double)(o->epochs - o->start_epoch) * batches;
    *out = (schedule){.o = *o, .warmup = fmax(WARMUP_EPOCHS * batches, WARMUP_LEAST)};
    if (o->warmup_cap > 0) out->warmup = fmin(out->warmup, o->warmup_cap * left);
    if (!o->nominal) out->o.nominal = SCHEDULE_NOMINAL_BATCH;
    double nominal = (double)out->o.nominal;
    out->accumulate = accumulation(nominal / (double)o->batch_size);
    out->weight_decay = o->weight_decay * ((double)(o->batch_size * out->accumulate) / nominal);
}

/* From 1 at epoch 0 down to lrf at the end. */
static double cosine(const schedule *s, int64_t epoch)
{
    double lrf = s->o.lrf;
    return (1 + cos((double)epoch * M_PI / (double)s->o.epochs)) / 2 * (1 - lrf) + lrf;
}

/* np.interp(iteration, [0, warmup], [from, to]). */
static double climb(const schedule *s, int64_t iteration, double from, double to)
{
    if ((double)iteration >= s->warmup) return to;
    return (to - from) / s->warmup * (double)iteration + from;
}

schedule_step schedule_at(const schedule *s, int64_t epoch, int64_t iteration)
{
    int64_t last = (int64_t)floor(s->warmup); /* iteration of the warm-up */
    double nominal = (double)s->o.nominal / (double)s->o.batch_size;
    schedule_step step = {.momentum = s->o.momentum, .accumulate = s->accumulate};
    if (iteration <= last || epoch == last / s->o.batches) {
        double target = s->o.lr0 * cosine(s, epoch);
        for (int group = 0; group < UPDATE_GROUPS; group++)
            step.lr[group] = climb(s, iteration, group == UPDATE_GROUPS - 1 ? warmup_bias_lr : 0, target);
        step.accumulate = accumulation(climb(s, iteration, 1, nominal));
        if (s->o.optimizer == OPTIMIZER_SGD) step.momentum = climb(s, iteration, warmup_momentum, s->o.momentum);
    } else {
        double lr = s->o.lr0 * cosine(s, epoch > 0 ? epoch - 1 : 0);
        for (int group = 0; group < UPDATE_GROUPS; group++) step.lr[group] = lr;
    }
    step.update = iteration % step.accumulate == 0;
    return step;
}

void schedule_scalars(const schedule *s, const schedule_step *at, int64_t steps, int64_t averages,
                      float scalars[UPDATE_COUNT])
{
    for (int group = 0; group < UPDATE_GROUPS; group++) {
        scalars[UPDATE_LR + group] = (float)at->lr[group];
        scalars[UPDATE_DECAY + group] = group == 1 ? (float)s->weight_decay : 0;
    }
    scalars[UPDATE_MOMENTUM] = (float)at->momentum;
    scalars[UPDATE_CORRECTION_1] = (float)(1 - pow(at->momentum, (double)steps));
    scalars[UPDATE_CORRECTION_2] = (float)(1 - pow(adam_beta2, (double)steps));
    scalars[UPDATE_AVERAGE_DECAY] = averages > 0 ? (float)schedule_average_decay(averages) : -1;
}

double schedule_average_decay(int64_t updates)
{
    return 0.9999 * (1 - exp(-(double)updates / 2000));
}

int64_t schedule_average_updates(const schedule *s)
{
    return s->o.start_epoch * s->o.batches / s->accumulate;
}
