/* status, trials and best: for people. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "coordinator/server/blobs.h"
#include "coordinator/commands/inner.h"
#include "coordinator/commands/confirm.h"
#include "coordinator/report/view.h"

/* ---- status ---- */

typedef struct counts {
    int64_t bred, evaluated, stopped, failed, leased, waiting, imported;
} counts;

static counts count(const trials *t)
{
    counts c = {0};
    for (size_t i = 0; i < t->count; i++) {
        candidate_state state = t->candidates[i].state;
        c.bred += t->candidates[i].number > 0;
        c.evaluated += state == CANDIDATE_DONE || state == CANDIDATE_STOPPED;
        c.stopped += state == CANDIDATE_STOPPED;
        c.failed += state == CANDIDATE_FAILED;
        c.leased += state == CANDIDATE_LEASED;
        c.waiting += state == CANDIDATE_BRED || state == CANDIDATE_LOST || state == CANDIDATE_YIELDED;
        c.imported += state == CANDIDATE_IMPORTED;
    }
    return c;
}

static void add_time(text *out, const char *what, int64_t wall_ms)
{
    char when[COMMAND_TIME_ROOM], ago[VIEW_TIME_ROOM];
    if (wall_ms <= 0) return;
    command_when(wall_ms, when);
    view_time((double)(clock_wall_ms() - wall_ms) / 1000, ago);
    text_add(out, "%s%s (%s ago)\n", what, when, ago);
}

static void add_member(text *out, const member *m)
{
    if (m->candidate > 0) text_add(out, "candidate %lld", (long long)m->candidate);
    else text_add(out, "imported row %lld", -(long long)m->candidate);
}

static void add_best(text *out, const trials *t)
{
    const member *best = trials_best(t), *first = trials_member(t, 1);
    if (!best) {
        text_add(out, "best         none yet\n");
        return;
    }
    double f = member_fitness(&t->members, best);
    char words[VIEW_NUMBER_ROOM];
    text_add(out, "best         %s (", view_number(f, false, words));
    add_member(out, best);
    if (first && first != best)
        text_add(out, ", %s over candidate 1", view_number(f - member_fitness(&t->members, first), true, words));
    text_add(out, ")\n");
}

static void add_coordinator(text *out, const looking *l, const counts *c, int64_t generations)
{
    long pid;
    if (command_lock_held(l->folder, &pid)) {
        text_add(out, "coordinator  at work");
        if (pid) text_add(out, ", process %ld", pid);
        text_add(out, "\n");
    } else
        text_add(out, "coordinator  none: %s\n",
                 c->evaluated >= generations ? "the run is finished" : "the command that started it goes on with it");
}

static void add_running(text *out, const trials *t)
{
    for (size_t i = 0; i < t->attempt_count; i++) {
        const store_attempt *a = &t->attempts[i];
        if (a->state != ATTEMPT_LEASED) continue;
        text_add(out, "running      candidate %lld", (long long)a->candidate);
        if (a->attempt > 1) text_add(out, ", attempt %lld", (long long)a->attempt);
        if (a->host && *a->host) text_add(out, ", on %s", a->host);
        if (a->device && *a->device) text_add(out, ", %s", a->device);
        add_time(out, ", since ", a->leased_ms);
    }
}

status command_status(looking *l, text *out)
{
    char *name = NULL;
    int64_t generations, paused, created_ms, last_ms = 0;
    counts c = count(&l->trials);
    TRY(store_get_int(l->store, "generations", 0, &generations));
    TRY(store_get_int(l->store, "paused", 0, &paused));
    TRY(store_get_int(l->store, "created_ms", 0, &created_ms));
    TRY(store_get(l->store, "name", &name));
    for (size_t i = 0; i < l->trials.count; i++)
        if (l->trials.candidates[i].arrival && l->trials.candidates[i].ended_ms > last_ms)
            last_ms = l->trials.candidates[i].ended_ms;
    text_add(out, "run          %s in %s\n", name ? name : "?", l->folder);
    text_add(out, "progress     %lld of %lld evaluated", (long long)c.evaluated, (long long)generations);
    if (c.stopped) text_add(out, ", %lld of them stopped early", (long long)c.stopped);
    text_add(out, "\ncandidates   %lld bred: %lld evaluated, %lld failed, %lld running, %lld waiting",
             (long long)c.bred, (long long)c.evaluated, (long long)c.failed, (long long)c.leased, (long long)c.waiting);
    if (c.imported) text_add(out, "; %lld imported", (long long)c.imported);
    text_add(out, "\n");
    add_best(out, &l->trials);
    add_time(out, "started      ", created_ms);
    add_time(out, "last result  ", last_ms);
    add_coordinator(out, l, &c, generations);
    if (paused) text_add(out, "paused       yes: `coordinator resume --run %s` lets it go on\n", l->folder);
    add_running(out, &l->trials);
    free(name);
    return text_status(out);
}

/* ---- trials: a table as wide as its cells ---- */

enum { COLUMNS = 12, CELL_GAP = 2 };
static const char *const headings[COLUMNS] = {"candidate", "state",      "attempts", "fitness", "P",      "R",
                                              "mAP@.5",    "mAP@.5:.95", "seconds",  "host",    "device", "reason"};
static const bool is_word[COLUMNS] = {[1] = true, [9] = true, [10] = true, [11] = true};

typedef struct table {
    text *cells; /* COLUMNS a row */
    size_t count, room;
    int widths[COLUMNS];
} table;

static text *next_cell(table *t)
{
    return array_room(&t->cells, &t->room, t->count + 1) == OK ? &t->cells[t->count++] : NULL;
}

static status add_row(table *t, const looking *l, const store_candidate *c)
{
    const store_attempt *a = trials_attempt(&l->trials, c->number);
    text *row[COLUMNS];
    for (int i = 0; i < COLUMNS; i++)
        if (!next_cell(t)) return ERR_MEMORY;
    for (int i = 0; i < COLUMNS; i++) row[i] = &t->cells[t->count - COLUMNS + (size_t)i];
    text_add(row[0], "%lld", (long long)c->number);
    text_add(row[1], "%s", candidate_state_name(c->state));
    text_add(row[2], "%lld", (long long)c->attempts);
    if (c->result_count == RESULT_COUNT) {
        char words[VIEW_NUMBER_ROOM];
        text_add(row[3], "%s", view_number(fitness(c->results, l->spec.fitness), false, words));
        for (int i = 0; i < FITNESS_TERMS; i++) text_add(row[4 + i], "%s", view_number(c->results[i], false, words));
    }
    if (a && a->seconds > 0) text_add(row[8], "%.1f", a->seconds);
    if (a && a->host) text_add(row[9], "%s", a->host);
    if (a && a->device) text_add(row[10], "%s", a->device);
    if (c->reason) text_add(row[11], "%s", c->reason);
    for (int i = 0; i < COLUMNS; i++) {
        TRY(text_status(row[i]));
        if ((int)row[i]->length > t->widths[i]) t->widths[i] = (int)row[i]->length;
    }
    return OK;
}

static void add_cells(text *out, const table *t, const text *cells)
{
    for (int i = 0; i < COLUMNS; i++) {
        const char *words = cells ? text_string(&cells[i]) : headings[i];
        text_add(out, is_word[i] ? "%-*s" : "%*s", t->widths[i], words);
        if (i + 1 < COLUMNS) text_add(out, "%*s", CELL_GAP, "");
    }
    while (out->length && out->bytes[out->length - 1] == ' ') out->bytes[--out->length] = '\0';
    text_add(out, "\n");
}

status command_trials(looking *l, text *out)
{
    table t = {0};
    for (int i = 0; i < COLUMNS; i++) t.widths[i] = (int)strlen(headings[i]);
    status s = OK;
    for (size_t i = 0; s == OK && i < l->trials.count; i++) s = add_row(&t, l, &l->trials.candidates[i]);
    if (s == OK) {
        add_cells(out, &t, NULL);
        for (size_t i = 0; i < t.count; i += COLUMNS) add_cells(out, &t, &t.cells[i]);
        s = text_status(out);
    }
    for (size_t i = 0; i < t.count; i++) text_free(&t.cells[i]);
    free(t.cells);
    return s;
}

/* ---- best ---- */

/* Those that are kept, if any: the best's may be on their way. */
static void add_weights(text *out, const looking *l)
{
    int64_t candidate = blobs_best(l->folder);
    char *path = candidate ? blobs_weights_path(l->folder, candidate) : NULL;
    if (path) text_add(out, "# Trained weights, of candidate %lld:\n#   %s\n", (long long)candidate, path);
    free(path);
}

/* What `coordinator confirm` has found, if it was ever asked. */
static status add_confirmed(text *out, const looking *l)
{
    confirm_table t;
    TRY(confirm_read(l->folder, &l->spec, &l->trials, &t));
    status s = OK;
    if (t.count) {
        text_add(out, "# Confirmed:\n");
        s = confirm_words(&t, trials_best(&l->trials)->candidate, "#   ", out);
    }
    confirm_free(&t);
    return s == OK ? text_status(out) : s;
}

/* A hyp.yaml, with what else there is to say as comments: `coordinator best > hyp.yaml` is one to train with. */
status command_best(looking *l, text *out)
{
    const population *p = &l->trials.members;
    member *rows;
    size_t count;
    if (!p->count) return FAIL(ERR_NOT_FOUND, "%s: no candidate has been evaluated yet", l->folder);
    TRY(population_hyp_evolved(p, out));
    TRY(population_rows(p, &rows, &count));
    const member *best = trials_member(&l->trials, rows[0].candidate), *first = trials_member(&l->trials, 1);
    free(rows);
    double f = member_fitness(p, best);
    text_add(out, "\n# Best: ");
    add_member(out, best);
    text_add(out, ", fitness %.6g", f);
    if (first && first != best) text_add(out, ", %+.6g over candidate 1", f - member_fitness(p, first));
    text_add(out, "\n# P %.4g  R %.4g  mAP@.5 %.4g  mAP@.5:.95 %.4g\n# Train with it:\n#   ", best->results[0],
             best->results[1], best->results[2], best->results[3]);
    TRY(view_train_command(&l->spec, l->folder, out));
    text_add(out, "\n");
    add_weights(out, l);
    return add_confirmed(out, l);
}
