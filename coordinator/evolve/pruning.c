#include "coordinator/evolve/pruning.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"

/* ---- the rules ---- */

static bool behind_median(double fitness, const double *others, size_t count)
{
    double median = count % 2 ? others[count / 2] : (others[count / 2 - 1] + others[count / 2]) / 2;
    return fitness < median;
}

#define RULE_AS_ROW(...) {__VA_ARGS__},
static const prune_rule rules[] = {PRUNE_RULES(RULE_AS_ROW)};
enum { RULES = sizeof rules / sizeof *rules };

const prune_rule *prune_rule_find(const char *name)
{
    for (int i = 0; i < RULES; i++)
        if (!strcmp(rules[i].name, name)) return &rules[i];
    return NULL;
}

const prune_rule *prune_rule_at(int index)
{
    return index >= 0 && index < RULES ? &rules[index] : NULL;
}

bool prune_active(const prune_options *o)
{
    return o->rule && o->rule->behind;
}

/* ---- what was told ---- */

typedef struct look { /* at all candidates after one epoch */
    int64_t epoch;
    double *fitness;     /* ascending */
    int64_t *candidates; /* whose they are */
    size_t count, fitness_room, candidate_room;
} look;

struct pruning {
    prune_options o;
    look *looks; /* by epoch */
    size_t count, room;
    double *others; /* room for a comparison */
    size_t others_room;
};

status pruning_create(const prune_options *o, pruning **out)
{
    TRY(array_new(out, 1));
    (*out)->o = *o;
    return OK;
}

void pruning_destroy(pruning **out)
{
    pruning *p = *out;
    if (!p) return;
    for (size_t i = 0; i < p->count; i++) {
        free(p->looks[i].fitness);
        free(p->looks[i].candidates);
    }
    free(p->looks);
    free(p->others);
    free(p);
    *out = NULL;
}

/* The first look of this epoch or a later one. */
static size_t find_look(const pruning *p, int64_t epoch)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->looks[middle].epoch < epoch) low = middle + 1;
        else high = middle;
    }
    return low;
}

static const look *look_at(const pruning *p, int64_t epoch)
{
    size_t at = find_look(p, epoch);
    return at < p->count && p->looks[at].epoch == epoch ? &p->looks[at] : NULL;
}

static status need_look(pruning *p, int64_t epoch, look **out)
{
    size_t at = find_look(p, epoch);
    if (at == p->count || p->looks[at].epoch != epoch) {
        TRY(array_room(&p->looks, &p->room, p->count + 1));
        memmove(&p->looks[at + 1], &p->looks[at], (p->count++ - at) * sizeof *p->looks);
        p->looks[at] = (look){.epoch = epoch};
    }
    *out = &p->looks[at];
    return OK;
}

static size_t find_candidate(const look *l, int64_t candidate)
{
    size_t i = 0;
    while (i < l->count && l->candidates[i] != candidate) i++;
    return i;
}

static void move(look *l, size_t to, size_t from, size_t count)
{
    memmove(&l->fitness[to], &l->fitness[from], count * sizeof *l->fitness);
    memmove(&l->candidates[to], &l->candidates[from], count * sizeof *l->candidates);
}

/* The first fitness that is larger. */
static size_t find_place(const look *l, double fitness)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->fitness[middle] <= fitness) low = middle + 1;
        else high = middle;
    }
    return low;
}

status pruning_tell(pruning *p, int64_t candidate, int64_t epoch, double fitness)
{
    look *l;
    TRY(need_look(p, epoch, &l));
    TRY(array_room(&l->fitness, &l->fitness_room, l->count + 1));
    TRY(array_room(&l->candidates, &l->candidate_room, l->count + 1));
    TRY(array_room(&p->others, &p->others_room, l->count + 1));
    size_t known = find_candidate(l, candidate);
    if (known < l->count) move(l, known, known + 1, --l->count - known);
    size_t at = find_place(l, fitness);
    move(l, at + 1, at, l->count++ - at);
    l->fitness[at] = fitness;
    l->candidates[at] = candidate;
    return OK;
}

/* ---- the question ---- */

bool pruning_stops(const pruning *p, int64_t candidate, int64_t epoch, int64_t epochs, double fitness, text *why)
{
    const look *l = look_at(p, epoch);
    if (!prune_active(&p->o) || candidate == 1 || !l) return false;
    if ((double)(epoch + 1) < p->o.warmup * (double)epochs || epoch + 1 >= epochs) return false;
    size_t own = find_candidate(l, candidate), count = l->count - (own < l->count);
    if ((int64_t)count < p->o.least || !count) return false;
    memcpy(p->others, l->fitness, own * sizeof *p->others);
    if (own < l->count) memcpy(p->others + own, l->fitness + own + 1, (count - own) * sizeof *p->others);
    if (!p->o.rule->behind(fitness, p->others, count)) return false;
    if (why)
        text_add(why, "fitness %.4g after epoch %lld of %lld is %s of %zu others", fitness, (long long)epoch + 1,
                 (long long)epochs, p->o.rule->words, count);
    return true;
}
