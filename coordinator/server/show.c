/* show.c - a snapshot of the run for the terminal. */
#include <math.h>
#include <stdlib.h>

#include "coordinator/server/inner.h"

/* More than a screen has lines. */
enum { ATTEMPTS_SHOWN = 200 };
/* A snapshot walks over all candidates, so it is not made at every message. */
static const int64_t show_every_ms = 200;

static const session *session_of(const server *s, const store_attempt *a)
{
    wire_id id;
    return wire_id_parse(a->session, &id) == OK ? fleet_find(&s->fleet, &id) : NULL;
}

static view_attempt show_attempt(const server *s, const store_attempt *a)
{
    token t = {a->candidate, a->attempt, a->epoch};
    const session *of = session_of(s, a);
    const slot_progress *at = of ? fleet_progress(of, t) : NULL;
    view_attempt v = {.worker = of ? of->label : a->host, .slot = a->slot, .candidate = a->candidate};
    v.loss = v.images_per_s = NAN;
    if (of) v.silent_s = (double)(s->now_ms - of->heard_ms) / 1000;
    if (!at || !at->epochs) return v;
    v.epoch = at->epoch;
    v.epochs = at->epochs;
    v.step = at->step;
    v.steps = at->steps;
    v.loss = at->loss;
    v.images_per_s = at->images_per_s;
    return v;
}

const char *server_notice(const server *s)
{
    if (s->full) return "no space left on the disk: nothing is handed out or acknowledged";
    if (s->paused) return "paused";
    return ledger_broken(s->run->ledger);
}

void server_show(server *s)
{
    if (!s->view || s->now_ms < s->view_ms) return;
    s->view_ms = s->now_ms + show_every_ms;
    ledger_counts c;
    ledger_count(s->run->ledger, &c);
    view_attempt *attempts = calloc(ATTEMPTS_SHOWN, sizeof *attempts);
    view_state state = {.name = s->run->name, .generations = c.generations, .evaluated = c.evaluated};
    state.failed = c.failed;
    state.waiting = c.waiting;
    state.workers = (int64_t)fleet_welcome_count(&s->fleet);
    state.best = c.best;
    state.best_fitness = c.best_fitness;
    state.base_fitness = c.base_fitness;
    state.notice = server_notice(s);
    state.attempts = attempts;
    const store_attempt *a;
    size_t index = 0;
    while (attempts && state.attempt_count < ATTEMPTS_SHOWN && (a = ledger_next_live(s->run->ledger, &index)))
        attempts[state.attempt_count++] = show_attempt(s, a);
    view_show(s->view, &state, s->now_ms);
    free(attempts);
}
