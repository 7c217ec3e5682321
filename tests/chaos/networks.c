/* Between the machines: messages that do not come as they were sent, wires that lose packets and are cut, a coordinator that moves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "tests/chaos/kinds.h"
#include "tests/chaos/proxy.h"
#include "tests/chaos/record.h"
#include "tests/chaos/wire.h"

status proxied_set(stage *s, const char *plan)
{
    text front = {0}, back = {0};
    (void)plan;
    text_add(&front, "ipc://%s/front", s->folder);
    text_add(&back, "ipc://%s/back", s->folder);
    s->door = text_take(&front);
    status result = s->door ? text_status(&back) : FAIL(ERR_MEMORY, "out of memory");
    s->with = stage_draw(s, 0, 1) ? WITH_LEAVING | WITH_FAILURES : 0;
    if (result == OK) result = weather_set(s);
    if (result == OK) result = actor_add(&s->coordinator.arguments, "--bind=%s", back.bytes);
    proxy_options o = {.front = s->door,
                       .back = text_string(&back),
                       .history = s->history,
                       .seed = keyed_next(&s->draw)};
    o.lost = (int)stage_draw(s, 0, 15);
    o.doubled = (int)stage_draw(s, 5, 30);
    o.delayed = (int)stage_draw(s, 5, 40);
    o.until_ms = clock_ms() + s->weather_ms;
    if (result == OK) result = proxy_start(&o, &s->helper);
    if (result == OK)
        result =
            actor_add(&s->coordinator.plans, "CHAOS_KILL=coordinator commits|%lld", (long long)stage_draw(s, 5, 50));
    if (result == OK)
        result = actor_add(&s->workers[0].plans, "CHAOS_KILL=worker sends Result|%lld", (long long)stage_draw(s, 1, 5));
    text_free(&back);
    return result;
}

/* ---- two machines ---- */

/* Access files lie where their coordinator makes them; a worker's user copies his when it is there, and when it says something else. */
static bool bring_access(stage *s)
{
    char *from = path_join(s->run, "access"), *to = path_join(s->folder, "access"), *fresh = NULL, *old = NULL;
    size_t count, old_count;
    bool there = from && to && fs_read(from, 0, &fresh, &count) == OK;
    if (there) fs_read(to, 0, &old, &old_count);
    if (there && (!old || strcmp(old, fresh))) there = fs_write_mode(to, fresh, count, 0600) == OK;
    free(from);
    free(to);
    free(fresh);
    free(old);
    return there;
}

static void start_workers(stage *s)
{
    for (size_t i = 0; i < s->worker_count; i++)
        if (!s->workers[i].starts && s->workers[i].start_ms == NEVER) s->workers[i].start_ms = s->now_ms;
}

/* Workers that have nothing but an access file and a data set. They wait for that file. */
static status set_distant(stage *s, const char *address)
{
    s->distant = true;
    TRY(weather_set(s));
    TRY(actor_add(&s->coordinator.arguments, "--bind=tcp://%s", address));
    for (size_t i = 0; i < s->worker_count; i++) s->workers[i].start_ms = NEVER;
    return OK;
}

static status set_wire(stage *s)
{
    wire w;
    TRY(wire_make(keyed_next(&s->draw), &w));
    s->helper = w.pid;
    s->wire = w.state;
    TRY(set_distant(s, WIRE_ADDRESS_A ":7001"));
    s->coordinator.network = w.a;
    for (size_t i = 0; i < s->worker_count; i++) s->workers[i].network = w.b;
    return OK;
}

/* ---- partitions ---- */

static void heal(stage *s)
{
    s->wire->cut_ab = s->wire->cut_ba = false;
    s->heal_ms = 0;
    s->tick_ms = s->now_ms + stage_draw(s, 2000, 4000);
    stage_note(s, "healed", "");
}

static void cut(stage *s)
{
    int64_t which = stage_draw(s, 0, 4);
    s->wire->cut_ab = which != 0;
    s->wire->cut_ba = which != 1;
    s->heal_ms = s->now_ms + stage_draw(s, 300, 4 * LEASE_MS);
    stage_note(s, "cut", which == 0 ? "to the coordinator" : which == 1 ? "to the workers" : "both ways");
}

static void cut_and_heal(stage *s, void *state)
{
    (void)state;
    if (bring_access(s)) start_workers(s);
    if (s->heal_ms && s->now_ms >= s->heal_ms) heal(s);
    if (!s->heal_ms && weather_is_due(s, 1000, 2000)) cut(s);
}

/* How long after a partition's end the coordinator and each worker hear of each other. */
enum { SESSION_ROOM = 32 };
typedef struct healing {
    char sessions[WORKERS_MOST][SESSION_ROOM]; /* "session 0123abcd" */
    int64_t healed_us[WORKERS_MOST];           /* 0: it has been heard since */
    int64_t *took_us;
    size_t count, room;
} healing;

static status hear(healing *h, int worker, int64_t us)
{
    if (!h->healed_us[worker]) return OK;
    TRY(array_room(&h->took_us, &h->room, h->count + 1));
    h->took_us[h->count++] = us - h->healed_us[worker];
    h->healed_us[worker] = 0;
    return OK;
}

static status follow_healing(void *state, const event *e)
{
    healing *h = state;
    unsigned worker = WORKERS_MOST;
    bool healed = !strcmp(e->what, "healed");
    for (int i = 0; i < WORKERS_MOST; i++) {
        if (healed || !strcmp(e->what, "cut")) h->healed_us[i] = healed ? e->us : 0;
        if (text_starts_with(e->what, "coordinator hears ") && !strcmp(h->sessions[i], e->words))
            TRY(hear(h, i, e->us));
    }
    if (sscanf(e->who, "worker %u", &worker) != 1 || worker >= WORKERS_MOST) return OK;
    if (text_starts_with(e->words, "session ")) snprintf(h->sessions[worker], SESSION_ROOM, "%s", e->words);
    if (text_starts_with(e->what, "worker hears ") && !text_starts_with(e->what, "worker hears its"))
        return hear(h, (int)worker, e->us);
    return OK;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Within a second, however long the partition was. One may be late: the machine has other things to do. */
static status judge_healing(stage *s)
{
    static const int64_t second_us = 1000000, far_us = 4000000;
    healing h = {0};
    status result = record_each(s->history, follow_healing, &h);
    qsort(h.took_us, h.count, sizeof *h.took_us, by_size);
    if (h.count && (h.took_us[h.count / 2] > second_us || h.took_us[h.count - 1] > far_us))
        stage_fault(s, "after a partition they hear of each other after %.2f s, at most %.2f s",
                    (double)h.took_us[h.count / 2] / 1e6, (double)h.took_us[h.count - 1] / 1e6);
    for (size_t i = 0; i < h.count; i++) {
        char words[32];
        snprintf(words, sizeof words, "%lld", (long long)h.took_us[i] / 1000);
        stage_note(s, "heard again", words);
    }
    free(h.took_us);
    return result;
}

status partitioned_set(stage *s, const char *plan)
{
    (void)plan;
    s->tick = cut_and_heal;
    s->after = judge_healing;
    s->weather_ms = 25000;
    if (stage_draw(s, 0, 1)) s->lease_ms = 15000;
    return set_wire(s);
}

/* ---- delay and loss ---- */

static void only_start(stage *s, void *state)
{
    (void)state;
    if (bring_access(s)) start_workers(s);
}

status lossy_set(stage *s, const char *plan)
{
    (void)plan;
    s->tick = only_start;
    TRY(set_wire(s));
    s->wire->delay_ms = (int)stage_draw(s, 5, 60);
    s->wire->jitter_ms = (int)stage_draw(s, 0, 80);
    s->wire->loss = (int)stage_draw(s, 1, 12);
    return actor_add(&s->coordinator.plans, "CHAOS_KILL=coordinator has committed|%lld",
                     (long long)stage_draw(s, 10, 60));
}

/* ---- a coordinator that moves ---- */

static status set_argument(actor *a, const char *option, const char *value)
{
    text made = {0};
    text_add(&made, "%s%s", option, value);
    char *argument = text_take(&made);
    for (size_t i = 0; argument && i < a->arguments.count; i++)
        if (text_starts_with(a->arguments.names[i], option)) {
            free(a->arguments.names[i]);
            a->arguments.names[i] = argument;
            return OK;
        }
    free(argument);
    return FAIL(ERR_MEMORY, "no %s to be replaced", option);
}

/* Its machine is gone; another one has its folder, another address, and nothing else of it. */
static status move(stage *s)
{
    text place = {0}, address = {0};
    text_add(&place, "%s/moved%d", s->folder, s->coordinator.starts);
    text_add(&address, "tcp://127.0.0.1:%d", stage_free_port());
    actor_kill(&s->coordinator);
    char *to = text_take(&place);
    status result = to ? text_status(&address) : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) result = fs_copy(s->run, to);
    if (result == OK) result = fs_remove(s->run);
    if (result == OK) result = set_argument(&s->coordinator, "--run=", to);
    if (result == OK) result = set_argument(&s->coordinator, "--bind=", address.bytes);
    text_free(&address);
    free(s->run);
    s->run = to;
    s->coordinator.start_ms = s->now_ms + stage_draw(s, 0, 2 * LEASE_MS);
    stage_note(s, "moved", "the coordinator");
    return result;
}

static void move_now_and_then(stage *s, void *state)
{
    (void)state;
    if (s->coordinator.pid && bring_access(s)) start_workers(s);
    if (weather_is_due(s, 1500, 4000) && s->coordinator.pid && move(s) != OK) stage_fault(s, "%s", status_message());
}

status moved_set(stage *s, const char *plan)
{
    char address[32];
    (void)plan;
    snprintf(address, sizeof address, "127.0.0.1:%d", stage_free_port());
    s->tick = move_now_and_then;
    s->weather_ms = 9000;
    return set_distant(s, address);
}
