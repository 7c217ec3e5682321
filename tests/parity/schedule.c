/* schedule/: learning rates, momentum, accumulation, averaging decay and picture sizes, to the last bit. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/train_options.h"
#include "tests/parity/parity.h"
#include "worker/train/schedule.h"

/* ---- lr.json ---- */

static bool read_options(parity *p, const yaml_node *about, schedule_options *o)
{
    const char *optimizer = json_string(p, about, "optimizer");
    bool adam = !strcmp(optimizer, "adam");
    if (!adam && strcmp(optimizer, "sgd")) case_fail(p, "unknown optimizer %s", optimizer);
    *o = (schedule_options){
        .optimizer = adam ? OPTIMIZER_ADAM : OPTIMIZER_SGD,
        .lr0 = json_double(p, about, "lr0"),
        .lrf = json_double(p, about, "lrf"),
        .momentum = json_double(p, about, "momentum"),
        .weight_decay = json_double(p, about, "weight_decay"),
        .epochs = json_int(p, about, "epochs"),
        .batches = json_int(p, about, "batches_per_epoch"),
        .batch_size = json_int(p, about, "total_batch_size"),
    };
    return o->epochs > 0 && o->batches > 0 && o->batch_size > 0;
}

static double value_of(parity *p, const char *column, const schedule_options *o, int64_t epoch, int64_t iteration,
                       const schedule_step *step, int64_t averages)
{
    int group;
    if (!strcmp(column, "ni")) return (double)iteration;
    if (!strcmp(column, "epoch")) return (double)epoch;
    if (sscanf(column, "lr_group%d", &group) == 1 && group >= 0 && group < UPDATE_GROUPS) return step->lr[group];
    if (!strcmp(column, "momentum")) return o->optimizer == OPTIMIZER_SGD ? step->momentum : NAN; /* null for Adam */
    if (!strcmp(column, "accumulate")) return (double)step->accumulate;
    if (!strcmp(column, "optimizer_step")) return step->update;
    if (!strcmp(column, "ema_updates_before")) return (double)averages;
    case_fail(p, "unknown column %s", column);
    return NAN;
}

static void check_row(parity *p, const yaml_node *columns, const yaml_node *row, const schedule_options *o,
                      int64_t epoch, int64_t iteration, const schedule_step *step, int64_t averages)
{
    char what[96];
    if (!case_int(p, "columns", (int64_t)row->count, (int64_t)columns->count)) return;
    for (size_t k = 0; k < row->count; k++) {
        const char *column = yaml_string(&columns->items[k]);
        snprintf(what, sizeof what, "iteration %lld: %s", (long long)iteration, column);
        double want = row->items[k].kind == YAML_NULL ? NAN : json_number(p, &row->items[k]);
        case_number(p, what, value_of(p, column, o, epoch, iteration, step, averages), want, EXACT);
    }
}

static void run_lr(parity *p, const yaml_node *about)
{
    schedule_options o;
    schedule s;
    const yaml_node *columns = json_get(p, about, "columns"), *rows = json_get(p, about, "iterations");
    const yaml_node *ends = json_get(p, about, "epoch_end_lr");
    if (!read_options(p, about, &o) || !columns || !rows || !ends) return;
    schedule_start(&o, &s);
    case_number(p, "nw", s.warmup, json_double(p, about, "warmup_iterations_nw"), EXACT);
    case_number(p, "weight decay", s.weight_decay, json_double(p, about, "weight_decay_scaled"), EXACT);
    case_int(p, "epochs", (int64_t)ends->count, o.epochs);
    int64_t averages = 0;
    size_t next = 0;
    for (int64_t iteration = 0; iteration < o.epochs * o.batches && !case_failed(p); iteration++) {
        int64_t epoch = iteration / o.batches;
        schedule_step step = schedule_at(&s, epoch, iteration);
        const yaml_node *row = next < rows->count ? &rows->items[next] : NULL;
        if (row && row->count && json_number(p, &row->items[0]) == (double)iteration) {
            check_row(p, columns, row, &o, epoch, iteration, &step, averages);
            next++;
        }
        averages += step.update;
        if (iteration % o.batches == o.batches - 1) {
            size_t groups;
            const double *want = json_numbers(p, &ends->items[epoch], &groups);
            if (case_int(p, "groups", (int64_t)groups, UPDATE_GROUPS))
                case_numbers(p, "lr at the end of an epoch", step.lr, want, groups, EXACT);
        }
    }
    case_int(p, "iterations compared", (int64_t)next, (int64_t)rows->count);
}

/* ---- the rest ---- */

static void run_decay(parity *p)
{
    case_start(p, "schedule/ema_decay");
    const yaml_node *file = parity_json(p, "schedule/ema_decay.json");
    if (file) {
        size_t count, decays;
        const double *updates = json_numbers(p, json_get(p, file, "updates"), &count);
        const double *want = json_exact(p, file, "decay", &decays);
        if (case_int(p, "decays", (int64_t)decays, (int64_t)count))
            for (size_t i = 0; i < count; i++)
                case_number(p, "decay", schedule_average_decay((int64_t)updates[i]), want[i], EXACT);
    }
    case_end(p);
}

static void run_sizes(parity *p)
{
    case_start(p, "schedule/img_size");
    const yaml_node *file = parity_json(p, "schedule/img_size.json");
    const yaml_node *rows = file ? json_get(p, file, "check_img_size") : NULL;
    for (size_t i = 0; rows && i < rows->count; i++) {
        size_t count;
        const double *row = json_numbers(p, &rows->items[i], &count);
        if (case_int(p, "size, stride, result", (int64_t)count, 3))
            case_int(p, "size", train_round_size((int64_t)row[0], (int64_t)row[1]), (int64_t)row[2]);
    }
    case_end(p);
}

void parity_schedule(parity *p)
{
    const yaml_node *file = parity_has(p, "schedule/lr.json") ? parity_json(p, "schedule/lr.json") : NULL;
    const yaml_node *cases = file ? json_get(p, file, "cases") : NULL;
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "schedule/lr %zu", i);
        run_lr(p, &cases->items[i]);
        case_end(p);
    }
    if (parity_has(p, "schedule/ema_decay.json")) run_decay(p);
    if (parity_has(p, "schedule/img_size.json")) run_sizes(p);
}
