#include "coordinator/dashboard/snapshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/dashboard/json.h"

#define PHASE_AS_NAME(id, name) name,
static const char *const phase_names[DASHBOARD_PHASE_COUNT] = {DASHBOARD_PHASES(PHASE_AS_NAME)};

const char *dashboard_phase_name(dashboard_phase p)
{
    return (unsigned)p < DASHBOARD_PHASE_COUNT ? phase_names[p] : "unknown";
}

/* ---- copying ---- */

static bool copy(const char **to, const char *words)
{
    *to = text_copy(words ? words : "");
    return *to != NULL;
}

static bool copy_worker(dashboard_worker *to, const dashboard_worker *from)
{
    *to = (dashboard_worker){.silent_s = from->silent_s};
    dashboard_slot *slots = calloc(from->slot_count + 1, sizeof *slots);
    if (!slots) return false;
    if (from->slot_count) memcpy(slots, from->slots, from->slot_count * sizeof *slots);
    to->slots = slots;
    to->slot_count = from->slot_count;
    return copy(&to->id, from->id) && copy(&to->host, from->host) && copy(&to->device, from->device);
}

snapshot *snapshot_copy(const dashboard_state *s, int64_t now_ms)
{
    snapshot *made = calloc(1, sizeof *made);
    dashboard_worker *workers = calloc(s->worker_count + 1, sizeof *workers);
    bool copied = made && workers;
    if (made) {
        made->state = *s;
        made->state.notice = NULL;
        made->state.workers = workers;
        made->state.worker_count = 0;
        made->taken_ms = now_ms;
    }
    if (copied && s->notice) copied = copy(&made->state.notice, s->notice);
    for (size_t i = 0; copied && i < s->worker_count; i++) {
        copied = copy_worker(&workers[i], &s->workers[i]);
        made->state.worker_count = i + 1;
    }
    if (copied) return made;
    if (made) snapshot_destroy(made);
    else free(workers);
    return NULL;
}

void snapshot_destroy(snapshot *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->state.worker_count; i++) {
        const dashboard_worker *w = &s->state.workers[i];
        free((void *)w->id);
        free((void *)w->host);
        free((void *)w->device);
        free((void *)w->slots);
    }
    free((void *)s->state.workers);
    free((void *)s->state.notice);
    free(s);
}

/* ---- writing ---- */

static void write_slot(const dashboard_slot *s, text *out)
{
    text_add(out, "{\"candidate\":%lld,\"attempt\":%lld,\"epoch\":%lld,\"epochs\":%lld,\"step\":%lld,\"steps\":%lld",
             (long long)s->candidate, (long long)s->attempt, (long long)s->epoch, (long long)s->epochs,
             (long long)s->step, (long long)s->steps);
    text_add(out, ",\"loss\":");
    json_number(out, s->loss);
    text_add(out, ",\"images_per_s\":");
    json_number(out, s->images_per_s);
    text_add(out, ",\"memory\":%lld}", (long long)s->memory);
}

static void write_worker(const dashboard_worker *w, double age_s, text *out)
{
    text_add(out, "{\"id\":");
    json_string(out, w->id);
    text_add(out, ",\"host\":");
    json_string(out, w->host);
    text_add(out, ",\"device\":");
    json_string(out, w->device);
    text_add(out, ",\"silent_s\":%.1f,\"slots\":[", isfinite(w->silent_s) ? w->silent_s + age_s : 0);
    for (size_t i = 0; i < w->slot_count; i++) {
        if (i) text_add(out, ",");
        write_slot(&w->slots[i], out);
    }
    text_add(out, "]}");
}

static void write_counts(const dashboard_state *s, text *out)
{
    text_add(out, ",\"generations\":%lld,\"evaluated\":%lld,\"bred\":%lld,\"running\":%lld", (long long)s->generations,
             (long long)s->evaluated, (long long)s->bred, (long long)s->running);
    text_add(out, ",\"waiting\":%lld,\"failed\":%lld,\"imported\":%lld", (long long)s->waiting, (long long)s->failed,
             (long long)s->imported);
}

static void write_best(const dashboard_state *s, text *out)
{
    text_add(out, ",\"best\":");
    if (s->best) text_add(out, "{\"candidate\":%lld,\"fitness\":", (long long)s->best);
    json_number(out, s->best ? s->best_fitness : NAN);
    if (s->best) text_add(out, "}");
    text_add(out, ",\"base_fitness\":");
    json_number(out, s->base_fitness);
    text_add(out, ",\"seconds_left\":");
    json_number(out, s->seconds_left);
}

void snapshot_write(const snapshot *s, const char *start, uint64_t trials, int64_t now_ms, text *out)
{
    text_add(out, "{\"start\":");
    json_string(out, start);
    text_add(out, ",\"trials\":%llu", (unsigned long long)trials);
    if (!s) {
        text_add(out, ",\"phase\":\"starting\"}");
        return;
    }
    double age_s = (double)(now_ms - s->taken_ms) / 1000;
    text_add(out, ",\"time_ms\":%lld,\"phase\":\"%s\",\"age_s\":%.1f,\"notice\":", (long long)clock_wall_ms(),
             dashboard_phase_name(s->state.phase), age_s);
    json_string(out, s->state.notice);
    write_counts(&s->state, out);
    write_best(&s->state, out);
    text_add(out, ",\"workers\":[");
    for (size_t i = 0; i < s->state.worker_count; i++) {
        if (i) text_add(out, ",");
        write_worker(&s->state.workers[i], age_s, out);
    }
    text_add(out, "]}");
}
