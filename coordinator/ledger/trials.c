#include "coordinator/ledger/trials.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"

static status take_candidate(void *state, store_candidate *c)
{
    trials *t = state;
    TRY(array_room(&t->candidates, &t->room, t->count + 1));
    t->candidates[t->count++] = *c;
    c->reason = c->detail = c->checkpoint_path = c->checkpoint_hash = NULL; /* taken */
    return OK;
}

static status take_attempt(void *state, store_attempt *a)
{
    trials *t = state;
    TRY(array_room(&t->attempts, &t->attempt_room, t->attempt_count + 1));
    t->attempts[t->attempt_count++] = *a;
    *a = (store_attempt){0}; /* taken */
    return OK;
}

/* Imported rows have arrival 0 and come first, as they were numbered. */
static int by_arrival(const void *a, const void *b)
{
    const store_candidate *x = *(store_candidate *const *)a, *y = *(store_candidate *const *)b;
    if (x->arrival != y->arrival) return x->arrival < y->arrival ? -1 : 1;
    return (x->number < y->number) - (x->number > y->number);
}

static status fill_members(trials *t)
{
    store_candidate **in = NULL;
    size_t count = 0;
    TRY(array_new(&in, t->count));
    for (size_t i = 0; i < t->count; i++) {
        candidate_state state = t->candidates[i].state;
        if (state == CANDIDATE_DONE || state == CANDIDATE_IMPORTED) in[count++] = &t->candidates[i];
    }
    qsort(in, count, sizeof *in, by_arrival);
    status s = OK;
    for (size_t i = 0; s == OK && i < count; i++) {
        member m = {.candidate = in[i]->number};
        memcpy(m.results, in[i]->results, sizeof m.results);
        memcpy(m.hyps, in[i]->made.hyps, t->members.space->count * sizeof *m.hyps);
        s = population_add(&t->members, &m);
    }
    free(in);
    return s;
}

status trials_read(store *s, const hyp_space *space, const double *fitness, trials *out)
{
    *out = (trials){0};
    population_start(&out->members, space, fitness);
    status result = store_each_candidate(s, space, take_candidate, out);
    if (result == OK) result = store_each_attempt(s, 0, take_attempt, out);
    if (result == OK) result = fill_members(out);
    if (result != OK) trials_free(out);
    return result;
}

void trials_free(trials *t)
{
    for (size_t i = 0; i < t->count; i++) store_candidate_free(&t->candidates[i]);
    for (size_t i = 0; i < t->attempt_count; i++) store_attempt_free(&t->attempts[i]);
    free(t->candidates);
    free(t->attempts);
    population_free(&t->members);
    *t = (trials){0};
}

/* Index of the first attempt of this candidate, or of a later one: attempts are in order. */
static size_t find_attempts(const trials *t, int64_t candidate)
{
    size_t low = 0, high = t->attempt_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->attempts[middle].candidate < candidate) low = middle + 1;
        else high = middle;
    }
    return low;
}

const store_attempt *trials_attempt(const trials *t, int64_t candidate)
{
    const store_attempt *last = NULL;
    for (size_t i = find_attempts(t, candidate); i < t->attempt_count && t->attempts[i].candidate == candidate; i++) {
        last = &t->attempts[i];
        if (last->state == ATTEMPT_DONE || last->state == ATTEMPT_STOPPED) break;
    }
    return last;
}

const member *trials_best(const trials *t)
{
    const member *best = NULL;
    for (size_t i = 0; i < t->members.count; i++) {
        const member *m = &t->members.members[i];
        if (!best || member_fitness(&t->members, m) > member_fitness(&t->members, best)) best = m;
    }
    return best;
}

const member *trials_member(const trials *t, int64_t candidate)
{
    for (size_t i = 0; i < t->members.count; i++)
        if (t->members.members[i].candidate == candidate) return &t->members.members[i];
    return NULL;
}
