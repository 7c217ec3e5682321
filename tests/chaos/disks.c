/* Disks that fail, fill up and lose power: at the n-th step of one start, at the next step of the next one, and so on, so that
 * every step there is has its turn. */
#include <stdio.h>
#include <signal.h>
#include <string.h>

#include "tests/chaos/kinds.h"
#include "tests/chaos/layer/disk.h"

static const char *const faults[] = {"eio", "sync", "full", "none", "all", "some", "kill"};
enum {
    FAULTS = sizeof faults / sizeof *faults,
    STORE_STARTS = 16, /* of one run, each with its step */
    SPOOL_STARTS = 8,
    STORE_STEPS = 64, /* all of them; from there on some */
    STORE_STEPS_MOST = 400,
};

/* ---- planning ---- */

status disks_plan_store(tally *t, keyed_rng *draw, int number, text *plan)
{
    int from = 1 + number / FAULTS * STORE_STARTS;
    (void)t;
    if (from > STORE_STEPS) from = STORE_STEPS + (int)keyed_below(draw, STORE_STEPS_MOST - STORE_STEPS);
    text_add(plan, "%s|%d|%d", faults[number % FAULTS], from, STORE_STARTS);
    return text_status(plan);
}

status disks_plan_spool(tally *t, keyed_rng *draw, int number, text *plan)
{
    (void)t, (void)draw;
    text_add(plan, "%s|%d|%d", faults[number % FAULTS], 1 + number / FAULTS * SPOOL_STARTS, SPOOL_STARTS);
    return text_status(plan);
}

/* ---- what does not end by itself ---- */

/* A worker lives on with a broken disk, a coordinator with a full one: to come to the next step it is killed after a while. */
static void kill_old(stage *s, void *state)
{
    actor *a = state;
    bool has_plan = (size_t)a->starts <= a->plans.count;
    if (a->pid && has_plan && s->now_ms - a->started_ms > stage_draw(s, DISK_FULL_MS, 4 * DISK_FULL_MS))
        actor_signal(a, SIGKILL);
}

/* ---- setting ---- */

static bool is_fault(const char *name)
{
    for (int i = 0; i < FAULTS; i++)
        if (!strcmp(faults[i], name)) return true;
    return false;
}

static status set_plans(actor *a, const char *folder, const char *plan)
{
    char fault[16];
    int from, count;
    if (sscanf(plan, "%15[a-z]|%d|%d", fault, &from, &count) != 3 || !is_fault(fault))
        return FAIL(ERR_ARGUMENT, "a plan of disks is FAULT|STEP|STARTS, not %s", plan);
    for (int i = 0; i < count; i++) TRY(actor_add(&a->plans, "CHAOS_DISK=%s|%s|%d", folder, fault, from + i));
    return OK;
}

static bool cuts(const char *plan)
{
    return text_starts_with(plan, "none") || text_starts_with(plan, "all") || text_starts_with(plan, "some");
}

status disks_set_store(stage *s, const char *plan)
{
    s->generations = 5 * STORE_STARTS;
    s->training_ms = 40;
    s->cut = cuts(plan);
    s->tick = kill_old;
    s->state = &s->coordinator;
    TRY(stage_set(s));
    return set_plans(&s->coordinator, s->run, plan);
}

status disks_set_spool(stage *s, const char *plan)
{
    char *folder = path_join(s->folder, "worker 0.spool");
    s->generations = 10 * SPOOL_STARTS;
    s->training_ms = 40;
    s->worker_count = 1; /* the run waits for it */
    s->tick = kill_old;
    s->state = &s->workers[0];
    status result = folder ? stage_set(s) : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) result = set_plans(&s->workers[0], folder, plan);
    return result;
}

/* ---- power, at places ---- */

/* Where it matters most, every other time: between the disk and the socket. */
static const char *choose_place(stage *s, bool of_worker)
{
    static const char *const delicate[][4] = {{"coordinator commits", "coordinator has committed",
                                               "coordinator sends ResultAck", "coordinator has sent Candidate"},
                                              {"worker spools Result", "worker has spooled Result",
                                               "worker sends Result", "worker has sent Result"}};
    size_t i;
    if (stage_draw(s, 0, 1)) return delicate[of_worker][stage_draw(s, 0, 3)];
    do i = (size_t)stage_draw(s, 0, PLACES - 1);
    while (places[i].with || text_starts_with(places[i].name, "worker") != of_worker);
    return places[i].name;
}

static status plan_power(stage *s, actor *a, const char *folder, int starts)
{
    static const char *const how[] = {"none", "all", "some"};
    for (int i = 0; i < starts; i++)
        TRY(actor_add(&a->plans, "CHAOS_DISK=%s|fine|0\nCHAOS_POWER=%s|%lld|%s", folder,
                      choose_place(s, a != &s->coordinator), (long long)stage_draw(s, 1, 4), how[stage_draw(s, 0, 2)]));
    return OK;
}

status disks_set_power(stage *s, const char *plan)
{
    enum { STARTS = 5 };
    (void)plan;
    s->generations = 60;
    s->training_ms = 100;
    s->cut = true;
    s->with = stage_draw(s, 0, 1) ? WITH_FILES | WITH_LEAVING : 0;
    TRY(stage_set(s));
    TRY(plan_power(s, &s->coordinator, s->run, STARTS));
    for (size_t i = 0; i < s->worker_count; i++) {
        text folder = {0};
        text_add(&folder, "%s/worker %zu.spool", s->folder, i);
        status result = text_status(&folder);
        if (result == OK) result = plan_power(s, &s->workers[i], folder.bytes, STARTS);
        text_free(&folder);
        TRY(result);
    }
    return OK;
}
