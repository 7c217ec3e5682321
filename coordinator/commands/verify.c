#include "coordinator/commands/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/spec/spec.h"
#include "coordinator/ledger/trials.h"

typedef struct verifier {
    const verify_task *task;
    FILE *to;
    trials all;
    bool differs; /* the child in hand */
} verifier;

/* ---- comparing ---- */

static bool same(double a, double b)
{
    return !memcmp(&a, &b, sizeof a) || (isnan(a) && isnan(b));
}

static void compare(verifier *v, const store_candidate *t, const char *what, const char *of, double kept, double again)
{
    if (same(kept, again)) return;
    v->differs = true;
    fprintf(v->to, "candidate %lld: its %s%s is %.17g, bred again %.17g\n", (long long)t->number, what, of, kept,
            again);
}

static void compare_number(verifier *v, const store_candidate *t, const char *what, int64_t kept, int64_t again)
{
    if (kept == again) return;
    v->differs = true;
    fprintf(v->to, "candidate %lld: its %s is %lld, bred again %lld\n", (long long)t->number, what, (long long)kept,
            (long long)again);
}

static const char *name_parent(int64_t parent, char room[32])
{
    if (parent == PARENT_MEAN) return "the weighted mean";
    snprintf(room, 32, "%lld", (long long)parent);
    return room;
}

static void compare_parents(verifier *v, const store_candidate *t, const child *again)
{
    const child *kept = &t->made;
    if (kept->parent != again->parent) {
        char a[32], b[32];
        v->differs = true;
        fprintf(v->to, "candidate %lld: its parent is %s, bred again %s\n", (long long)t->number,
                name_parent(kept->parent, a), name_parent(again->parent, b));
    }
    compare_number(v, t, "number of parents", (int64_t)kept->parent_count, (int64_t)again->parent_count);
    for (size_t i = 0; i < kept->parent_count && i < again->parent_count; i++) {
        char which[32];
        snprintf(which, sizeof which, "parent %zu", i + 1);
        compare_number(v, t, which, kept->parents[i], again->parents[i]);
        compare(v, t, "weight of ", which, kept->weights[i], again->weights[i]);
    }
}

static status compare_child(verifier *v, const store_candidate *t)
{
    const verify_task *k = v->task;
    v->differs = false;
    if (t->made.seen > v->all.members.count) {
        fprintf(v->to, "candidate %lld: it was bred from %zu results, the store has %zu\n", (long long)t->number,
                t->made.seen, v->all.members.count);
        v->differs = true;
        return OK;
    }
    population then = v->all.members; /* borrows the members */
    then.count = t->made.seen;
    child again;
    TRY(strategy_breed(k->strategy, &then, k->base, &k->breeding, k->seed, t->number, &again));
    for (size_t i = 0; i < k->space->count; i++)
        compare(v, t, "", k->space->rows[i].key, t->made.hyps[i], again.hyps[i]);
    compare_parents(v, t, &again);
    compare_number(v, t, "number of rounds", t->made.rounds, again.rounds);
    for (size_t i = 0; i < k->space->count; i++)
        compare(v, t, "factor of ", k->space->rows[i].key, t->made.factors[i], again.factors[i]);
    return OK;
}

status verify_children(store *s, const verify_task *task, FILE *to, int64_t *compared, int64_t *differ)
{
    verifier v = {.task = task, .to = to};
    *compared = *differ = 0;
    status result = trials_read(s, task->space, task->fitness, &v.all);
    for (size_t i = 0; result == OK && i < v.all.count; i++) {
        if (v.all.candidates[i].number < 1) continue;
        result = compare_child(&v, &v.all.candidates[i]);
        *compared += result == OK;
        *differ += result == OK && v.differs;
    }
    trials_free(&v.all);
    if (result != OK) return result;
    if (*differ) fprintf(to, "verify: %lld of %lld children differ\n", (long long)*differ, (long long)*compared);
    else fprintf(to, "verify: %lld %s\n", (long long)*compared, *compared == 1 ? "child agrees" : "children agree");
    return OK;
}

status verify_run(store *s, FILE *to, int64_t *compared, int64_t *differ)
{
    run_spec spec = {0};
    *compared = *differ = 0;
    char *confirms = NULL;
    status result = store_get(s, "confirms", &confirms);
    if (result == OK && confirms) result = FAIL(ERR_REFUSED, "what was confirmed of a run was not bred");
    free(confirms);
    if (result == OK) result = spec_load(s, &spec);
    if (result == OK) {
        verify_task task = {&spec.space, spec.base, spec.fitness, spec.strategy, spec.breeding, spec.seed};
        result = verify_children(s, &task, to, compared, differ);
    }
    spec_free(&spec);
    return result;
}
