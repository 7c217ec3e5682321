/* Processes that are stopped, machines that sleep, clocks that jump; and trainings that are real. */
#include <stdio.h>

#include "tests/chaos/kinds.h"

static const int64_t hour_ms = 3600000;

bool weather_is_due(stage *s, int64_t least, int64_t most)
{
    if (!s->calm_ms) s->calm_ms = s->now_ms + s->weather_ms;
    if (s->now_ms < s->tick_ms || s->now_ms >= s->calm_ms || s->ended_ms) return false;
    bool first = !s->tick_ms;
    s->tick_ms = s->now_ms + stage_draw(s, least, most);
    return !first;
}

static actor *anybody(stage *s)
{
    return stage_draw(s, 0, 2) ? stage_worker(s) : &s->coordinator;
}

status weather_set(stage *s)
{
    s->generations = 40 * s->weather_ms / 6000;
    s->training_ms = 250;
    return stage_set(s);
}

static status add_clocks(stage *s)
{
    TRY(actor_add_clock(&s->coordinator));
    for (size_t i = 0; i < s->worker_count; i++) TRY(actor_add_clock(&s->workers[i]));
    return OK;
}

/* ---- stopped and continued ---- */

static status plan_stop(stage *s, actor *a, const char *side)
{
    size_t i;
    do i = (size_t)stage_draw(s, 0, PLACES - 1);
    while (places[i].with || !text_starts_with(places[i].name, side));
    return actor_add(&a->plans, "CHAOS_STOP=%s|%lld", places[i].name, (long long)stage_draw(s, 1, 4));
}

status frost_set(stage *s, const char *plan)
{
    (void)plan;
    s->with = WITH_FROST;
    TRY(weather_set(s));
    TRY(plan_stop(s, &s->coordinator, "coordinator"));
    for (size_t i = 0; i < s->worker_count; i++) TRY(plan_stop(s, &s->workers[i], "worker"));
    return OK;
}

/* ---- asleep ---- */

static void put_to_sleep(stage *s, actor *a, int64_t until_ms)
{
    if (actor_freeze_all(a, until_ms)) stage_note(s, "suspended", a->name);
}

/* One machine, or all of them at once as those of a laptop. */
static void suspend(stage *s, void *state)
{
    (void)state;
    if (!weather_is_due(s, 500, 2500)) return;
    int64_t until_ms = s->now_ms + stage_draw(s, 300, 2 * LEASE_MS);
    if (stage_draw(s, 0, 2)) {
        put_to_sleep(s, anybody(s), until_ms);
        return;
    }
    put_to_sleep(s, &s->coordinator, until_ms);
    for (size_t i = 0; i < s->worker_count; i++) put_to_sleep(s, &s->workers[i], until_ms);
}

status suspended_set(stage *s, const char *plan)
{
    (void)plan;
    s->tick = suspend;
    TRY(weather_set(s));
    return add_clocks(s);
}

/* ---- clocks ---- */

static void turn_clock(stage *s, void *state)
{
    (void)state;
    if (!weather_is_due(s, 50, 400)) return;
    actor *a = anybody(s);
    a->clock->wall_ms = stage_draw(s, -48 * hour_ms, 48 * hour_ms);
    stage_note(s, "jumped", a->name);
}

/* Some of them are killed as well: what a clock said is kept in the store. */
status clocks_set(stage *s, const char *plan)
{
    (void)plan;
    s->tick = turn_clock;
    s->jumping = true;
    TRY(weather_set(s));
    TRY(add_clocks(s));
    TRY(actor_add(&s->coordinator.plans, "CHAOS_KILL=coordinator has committed|%lld",
                  (long long)stage_draw(s, 10, 60)));
    return actor_add(&s->workers[0].plans, "CHAOS_KILL=worker has spooled Result|%lld", (long long)stage_draw(s, 1, 6));
}

/* ---- real trainings ---- */

status trained_set(stage *s, const char *plan)
{
    static const char *const of_coordinator[] = {"coordinator commits", "coordinator sends Candidate",
                                                 "coordinator sends ResultAck"};
    static const char *const of_worker[] = {"worker hears its trainer say iteration", "worker has spooled Result",
                                            "worker hears its trainer say done"};
    (void)plan;
    s->real = true;
    s->with = stage_draw(s, 0, 1) ? WITH_LEAVING : 0;
    s->generations = 8;
    TRY(stage_set(s));
    TRY(actor_add(&s->coordinator.plans, "CHAOS_KILL=%s|%lld", of_coordinator[stage_draw(s, 0, 2)],
                  (long long)stage_draw(s, 1, 3)));
    return actor_add(&s->workers[0].plans, "CHAOS_KILL=%s|%lld", of_worker[stage_draw(s, 0, 2)],
                     (long long)stage_draw(s, 1, 2));
}
