/* dashboard.c - what the dashboard is told: trials that have changed, and how the run stands. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/server/inner.h"

static const int64_t publish_every_ms = 250;
/* A run that is opened has many trials to tell: a few milliseconds at a time, more while no worker waits for answers. */
static const int64_t tell_busy_ms = 2, tell_idle_ms = 20;
enum { TRIALS_A_LOOK = 32 }; /* between two looks at the clock */

/* ---- trials ---- */

static void tell_trial(const server *s, int64_t number)
{
    const store_candidate *c = ledger_candidate(s->run->ledger, number);
    size_t count = 0;
    if (!c) return;
    const store_attempt **attempts = calloc((size_t)c->attempts + 1, sizeof *attempts);
    const store_attempt *a = NULL;
    while (attempts && (int64_t)count < c->attempts &&
           (a = ledger_attempt_of(s->run->ledger, number, (int64_t)count + 1)))
        attempts[count++] = a;
    dashboard_tell(s->o.dashboard, c, attempts, count);
    free(attempts);
}

/* Rows that were imported are members without a trial: they never change, but more may come. */
static void tell_imported(server *s)
{
    const population *p = ledger_population(s->run->ledger);
    if (p->count < s->members_told) s->members_told = 0;
    for (size_t i = s->members_told; i < p->count; i++) {
        if (p->members[i].candidate > 0) continue;
        store_candidate c = {.number = p->members[i].candidate, .state = CANDIDATE_IMPORTED};
        c.result_count = RESULT_COUNT;
        memcpy(c.results, p->members[i].results, sizeof c.results);
        memcpy(c.made.hyps, p->members[i].hyps, p->space->count * sizeof *c.made.hyps);
        dashboard_tell(s->o.dashboard, &c, NULL, 0);
    }
    s->members_told = p->count;
}

static void tell_changes(server *s, bool all)
{
    int64_t number, until = clock_ms() + (fleet_welcome_count(&s->fleet) ? tell_busy_ms : tell_idle_ms);
    tell_imported(s);
    for (int n = 1; (number = ledger_pop_changed(s->run->ledger)); n++) {
        tell_trial(s, number);
        if (!all && n % TRIALS_A_LOOK == 0 && clock_ms() >= until) break;
    }
}

/* ---- workers ---- */

static dashboard_slot slot_of(const slot_progress *p)
{
    dashboard_slot s = {.candidate = p->token.candidate, .attempt = p->token.attempt};
    s.loss = s.images_per_s = NAN;
    if (!p->epochs) return s;
    s.epoch = p->epoch;
    s.epochs = p->epochs;
    s.step = p->step;
    s.steps = p->steps;
    s.loss = p->loss;
    s.images_per_s = p->images_per_s;
    s.memory = p->memory;
    return s;
}

/* An attempt whose candidate has ended is nobody's work any more. */
static bool is_live(const server *s, token t)
{
    const store_attempt *a = ledger_attempt(s->run->ledger, t);
    return a && a->state == ATTEMPT_LEASED;
}

static size_t count_slots(const server *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->fleet.count; i++) count += (size_t)s->fleet.sessions[i]->slots;
    return count;
}

/* `workers` and `slots` have room for all. Returns how many workers there are. */
static size_t fill_workers(const server *s, dashboard_worker *workers, dashboard_slot *slots)
{
    size_t count = 0;
    for (size_t i = 0; i < s->fleet.count; i++) {
        const session *from = s->fleet.sessions[i];
        if (from->state != SESSION_WELCOME) continue;
        workers[count++] = (dashboard_worker){.id = from->worker,
                                              .host = from->host,
                                              .device = from->device,
                                              .silent_s = (double)(s->now_ms - from->heard_ms) / 1000,
                                              .slots = slots,
                                              .slot_count = (size_t)from->slots};
        for (int64_t k = 0; k < from->slots; k++)
            *slots++ = is_live(s, from->running[k].token) ? slot_of(&from->running[k])
                                                          : (dashboard_slot){.loss = NAN, .images_per_s = NAN};
    }
    return count;
}

/* ---- the run ---- */

static dashboard_phase phase_of(const server *s)
{
    if (ledger_finished(s->run->ledger)) return DASHBOARD_FINISHED;
    if (ledger_broken(s->run->ledger)) return DASHBOARD_BROKEN;
    if (s->stopping) return DASHBOARD_STOPPED;
    return s->full ? DASHBOARD_FULL : s->paused ? DASHBOARD_PAUSED : DASHBOARD_RUNNING;
}

static dashboard_state state_of(server *s)
{
    ledger_counts c;
    ledger_count(s->run->ledger, &c);
    pace_note(&s->pace, c.evaluated, s->now_ms);
    dashboard_state d = {.phase = phase_of(s), .notice = server_notice(s)};
    d.generations = c.generations;
    d.evaluated = c.evaluated;
    d.bred = c.bred;
    d.running = c.leased;
    d.waiting = c.waiting;
    d.failed = c.failed;
    d.imported = c.imported;
    d.best = c.best;
    d.best_fitness = c.best_fitness;
    d.base_fitness = c.base_fitness;
    d.seconds_left = pace_seconds_left(&s->pace, c.generations, (size_t)c.leased, s->now_ms);
    d.refused_messages = s->refused_messages;
    d.commits = store_commits(s->run->store);
    return d;
}

void server_publish(server *s, bool now)
{
    if (!s->o.dashboard || (!now && s->now_ms < s->publish_ms)) return;
    s->publish_ms = s->now_ms + publish_every_ms;
    tell_changes(s, now);
    dashboard_state state = state_of(s);
    dashboard_worker *workers = calloc(s->fleet.count + 1, sizeof *workers);
    dashboard_slot *slots = calloc(count_slots(s) + 1, sizeof *slots);
    if (workers && slots) {
        state.worker_count = fill_workers(s, workers, slots);
        state.workers = workers;
        dashboard_publish(s->o.dashboard, &state);
    }
    free(workers);
    free(slots);
}
