#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "coordinator/commands/confirm.h"
#include "coordinator/report/view.h"

/* ---- reading ---- */

void confirm_free(confirm_table *t)
{
    free(t->rows);
    *t = (confirm_table){0};
}

/* Its own fitness in the run, by the hyps: the start's is candidate 1's, if that was not bred. */
static double find_single(const run_spec *spec, const trials *parent, const double *hyps)
{
    for (size_t i = 0; i < parent->members.count; i++) {
        const member *m = &parent->members.members[i];
        if (!memcmp(m->hyps, hyps, spec->space.count * sizeof *hyps)) return member_fitness(&parent->members, m);
    }
    return NAN;
}

static confirm_row *find_row(confirm_table *t, int64_t candidate)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].candidate == candidate) return &t->rows[i];
    return NULL;
}

/* The rows that there are, without their spreads. */
static status list_rows(const run_spec *spec, const trials *parent, const trials *own, confirm_table *out)
{
    for (size_t i = 0; i < own->count; i++) {
        const store_candidate *c = &own->candidates[i];
        if (c->made.parent_count != 1) return FAIL(ERR_FORMAT, "candidate %lld confirms nothing", (long long)c->number);
        if (find_row(out, c->made.parents[0])) continue;
        TRY(array_room(&out->rows, &out->room, out->count + 1));
        confirm_row *row = &out->rows[out->count++];
        *row = (confirm_row){.candidate = c->made.parents[0]};
        memcpy(row->hyps, c->made.hyps, spec->space.count * sizeof *row->hyps);
        row->single = find_single(spec, parent, row->hyps);
    }
    return OK;
}

static status measure(const run_spec *spec, const trials *own, confirm_row *row)
{
    double *values;
    size_t count = 0;
    TRY(array_new(&values, own->count));
    for (size_t i = 0; i < own->count; i++) {
        const store_candidate *c = &own->candidates[i];
        if (c->made.parents[0] != row->candidate) continue;
        if (c->state == CANDIDATE_DONE) values[count++] = fitness(c->results, spec->fitness);
        else if (c->state == CANDIDATE_FAILED) row->failed++;
        else row->waiting++;
    }
    row->fitness = spread_of(values, count);
    free(values);
    return OK;
}

static int by_mean(const void *a, const void *b)
{
    const confirm_row *x = a, *y = b;
    bool has_x = x->fitness.count, has_y = y->fitness.count;
    if (has_x != has_y) return has_x ? -1 : 1;
    if (has_x && x->fitness.mean != y->fitness.mean) return x->fitness.mean > y->fitness.mean ? -1 : 1;
    return (x->candidate > y->candidate) - (x->candidate < y->candidate);
}

status confirm_read(const char *folder, const run_spec *spec, const trials *parent, confirm_table *out)
{
    store *s;
    trials own = {0};
    *out = (confirm_table){0};
    char *confirm = path_join(folder, "confirm");
    status result = confirm ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK && !store_exists(confirm)) {
        free(confirm);
        return OK;
    }
    if (result == OK) result = store_open_reading(confirm, &s);
    free(confirm);
    if (result != OK) return result;
    result = trials_read(s, &spec->space, spec->fitness, &own);
    if (result == OK) result = list_rows(spec, parent, &own, out);
    for (size_t i = 0; result == OK && i < out->count; i++) result = measure(spec, &own, &out->rows[i]);
    if (result == OK) qsort(out->rows, out->count, sizeof *out->rows, by_mean);
    else confirm_free(out);
    trials_free(&own);
    store_close(&s);
    return result;
}

const confirm_row *confirm_best(const confirm_table *t)
{
    return t->count && t->rows[0].fitness.count ? &t->rows[0] : NULL;
}

/* ---- words ---- */

enum { NAME_ROOM = 48 };

static const char *name_of(int64_t candidate, char name[NAME_ROOM])
{
    if (!candidate) return "the start";
    if (candidate > 0) snprintf(name, NAME_ROOM, "candidate %lld", (long long)candidate);
    else snprintf(name, NAME_ROOM, "imported row %lld", -(long long)candidate);
    return name;
}

static void add_spread(text *out, double value, double around, bool sign)
{
    char words[VIEW_NUMBER_ROOM];
    text_add(out, "%s", view_number(value, sign, words));
    if (!isnan(around)) text_add(out, " +/- %s", view_number(around, false, words));
}

static void add_row(text *out, const confirm_row *row, const confirm_row *start, bool best)
{
    char name[NAME_ROOM], words[VIEW_NUMBER_ROOM];
    text_add(out, "  %c %-16s ", best ? '*' : ' ', name_of(row->candidate, name));
    if (row->fitness.count) add_spread(out, row->fitness.mean, row->fitness.deviation, false);
    else text_add(out, "no result");
    text_add(out, "  (%zu seed%s", row->fitness.count, row->fitness.count == 1 ? "" : "s");
    if (row->waiting) text_add(out, ", %lld to come", (long long)row->waiting);
    if (row->failed) text_add(out, ", %lld failed", (long long)row->failed);
    if (!isnan(row->single)) text_add(out, "; %s in the run", view_number(row->single, false, words));
    text_add(out, ")");
    if (start && row != start && row->fitness.count && start->fitness.count) {
        difference d = spread_difference(&row->fitness, &start->fitness);
        text_add(out, "  ");
        add_spread(out, d.mean, d.half, true);
        if (!isnan(d.half)) text_add(out, d.stands_out ? ", stands out" : ", may be noise");
    }
    text_add(out, "\n");
}

static void add_conclusion(text *out, const confirm_row *best, const confirm_row *start, int64_t lucky,
                           const char *front)
{
    char name[NAME_ROOM], other[NAME_ROOM];
    text_add(out, "%sthe best by its mean is %s", front, name_of(best->candidate, name));
    if (best->candidate && best->candidate != lucky)
        text_add(out, "; with the run's seed it was %s", name_of(lucky, other));
    text_add(out, "\n");
    if (best == start || !start || !start->fitness.count) return;
    difference d = spread_difference(&best->fitness, &start->fitness);
    if (isnan(d.half)) text_add(out, "%sone seed does not tell a gain from noise: --seeds 3\n", front);
    else if (!d.stands_out)
        text_add(out, "%sits gain over the start does not stand out from the noise: more --seeds tell\n", front);
}

status confirm_words(const confirm_table *t, int64_t lucky, const char *front, text *out)
{
    const confirm_row *best = confirm_best(t), *start = find_row((confirm_table *)t, 0);
    text_add(out, "%smean fitness with other seeds, standard deviation; gain over the start, 95 %% interval\n", front);
    for (size_t i = 0; i < t->count; i++) {
        text_add(out, "%s", front);
        add_row(out, &t->rows[i], start, &t->rows[i] == best);
    }
    if (best) add_conclusion(out, best, start, lucky, front);
    return text_status(out);
}

status confirm_write_best(const char *folder, const run_spec *spec, const confirm_table *t)
{
    const confirm_row *best = confirm_best(t);
    double whole[HYP_MAX];
    char name[NAME_ROOM];
    text yaml = {0};
    if (!best) return OK;
    spec_whole_hyps(spec, best->hyps, whole);
    text_add(&yaml, "# %s: mean fitness %.6g of %zu seeds\n", name_of(best->candidate, name), best->fitness.mean,
             best->fitness.count);
    hyp_write(&yaml, &spec->trained, whole);
    char *path = path_join(folder, "hyp_confirmed.yaml");
    status s = path ? text_status(&yaml) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_write(path, yaml.bytes, yaml.length);
    text_free(&yaml);
    free(path);
    return s;
}
