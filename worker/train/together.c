/* together.c - what the ranks of a training do together. */
#include <stdlib.h>

#include "common/array.h"
#include "worker/train/training_inner.h"

static void when_lost(void *state)
{
    const training *t = state;
    t->ops->team_abort(t->team);
}

status together_start(training *t)
{
    unsigned char ticket[TEAM_TICKET];
    int count = ranks_count(t->ranks);
    if (count < 2) return OK;
    if (t->first) TRY(t->ops->team_ticket(count, ticket));
    TRY(ranks_tell(t->ranks, ticket, sizeof ticket));
    TRY(t->ops->team_join(t->device, ticket, ranks_number(t->ranks), count, &t->team));
    return ranks_watch(t->ranks, when_lost, t);
}

void together_drop_gradients(training *t)
{
    free(t->pending);
    t->pending = NULL;
}

void together_end(training *t)
{
    ranks_unwatch(t->ranks);
    if (t->ops) t->ops->team_leave(&t->team);
    together_drop_gradients(t);
}

status together_share_weights(training *t)
{
    float *arena;
    size_t count = (size_t)t->model.arena_count;
    if (!t->ranks) return OK;
    TRY(array_new(&arena, count));
    status s = t->first ? learner_read(t->learner, ARENA_WEIGHTS, arena) : OK;
    if (s == OK) s = ranks_tell(t->ranks, arena, count * sizeof *arena);
    if (s == OK && !t->first) s = learner_write(t->learner, ARENA_WEIGHTS, arena);
    free(arena);
    return s;
}

status together_bring_gradients(training *t)
{
    size_t count = (size_t)t->model.arena_count;
    if (!t->ranks || (!t->step && !training_keeps_gradients(t))) return OK;
    TRY(array_new(&t->pending, t->first ? count * (size_t)(ranks_count(t->ranks) - 1) : count));
    if (!t->first) TRY(learner_read(t->learner, ARENA_GRADIENTS, t->pending));
    for (int r = 1; r < ranks_count(t->ranks); r++) {
        float *at = t->first ? t->pending + count * (size_t)(r - 1) : t->pending;
        TRY(ranks_bring(t->ranks, r, at, count * sizeof *at));
    }
    return OK;
}

status together_settle_gradients(training *t)
{
    if (!t->ranks || !training_keeps_gradients(t)) return OK;
    TRY(learner_gather(t->learner));
    return t->first ? OK : learner_clear(t->learner);
}
