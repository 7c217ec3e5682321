/* metrics.c - the state in the text format of Prometheus. */
#include <math.h>

#include "coordinator/dashboard/dashboard_inner.h"
#include "coordinator/dashboard/json.h"

static const int64_t healthy_ms = 10000;

bool dashboard_is_healthy(const dashboard *d, int64_t now_ms)
{
    return d->shown && now_ms - d->shown->taken_ms <= healthy_ms;
}

/* ---- the format ---- */

static void begin(text *out, const char *name, const char *type, const char *help)
{
    text_add(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_value(text *out, double value)
{
    if (isfinite(value)) {
        text_add(out, " ");
        json_number(out, value);
        text_add(out, "\n");
    } else text_add(out, isnan(value) ? " NaN\n" : value > 0 ? " +Inf\n" : " -Inf\n");
}

static void add_one(text *out, const char *name, const char *type, const char *help, double value)
{
    begin(out, name, type, help);
    text_add(out, "%s", name);
    add_value(out, value);
}

/* A label's value, in quotes. */
static void add_label(text *out, const char *name, const char *value)
{
    text_add(out, "%s=\"", name);
    while (*value) {
        int length = utf8_length(value);
        if (!length) text_add_bytes(out, "\xef\xbf\xbd", 3);
        else if (*value == '\n') text_add_bytes(out, "\\n", 2);
        else if (*value == '"' || *value == '\\') text_add(out, "\\%c", *value);
        else text_add_bytes(out, value, (size_t)length);
        value += length ? length : 1;
    }
    text_add(out, "\"");
}

/* ---- the run ---- */

typedef struct count {
    const char *state;
    int64_t value;
} count;

static void add_counts(text *out, const dashboard_state *s)
{
    const count counts[] = {{"evaluated", s->evaluated},
                            {"running", s->running},
                            {"waiting", s->waiting},
                            {"failed", s->failed},
                            {"imported", s->imported}};
    begin(out, "mendel_candidates", "gauge", "Candidates by what became of them.");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        text_add(out, "mendel_candidates{state=\"%s\"} %lld\n", counts[i].state, (long long)counts[i].value);
}

static void add_phases(text *out, const dashboard_state *s)
{
    begin(out, "mendel_phase", "gauge", "1 for the phase that the run is in.");
    for (int i = 0; i < DASHBOARD_PHASE_COUNT; i++)
        text_add(out, "mendel_phase{phase=\"%s\"} %d\n", dashboard_phase_name((dashboard_phase)i),
                 s->phase == (dashboard_phase)i);
}

static void add_run(text *out, const dashboard_state *s)
{
    add_one(out, "mendel_generations", "gauge", "Candidates to evaluate.", (double)s->generations);
    add_counts(out, s);
    add_phases(out, s);
    if (s->best) add_one(out, "mendel_best_fitness", "gauge", "Fitness of the best candidate.", s->best_fitness);
    if (isfinite(s->base_fitness))
        add_one(out, "mendel_base_fitness", "gauge", "Fitness of candidate 1, the start.", s->base_fitness);
    if (isfinite(s->seconds_left))
        add_one(out, "mendel_left_seconds", "gauge", "About how long the run still takes.", s->seconds_left);
    add_one(out, "mendel_refused_messages_total", "counter", "Messages that were none of the protocol's.",
            (double)s->refused_messages);
    add_one(out, "mendel_commits_total", "counter", "Commits to the disk, an fdatasync each, since this start.",
            (double)s->commits);
}

static void add_attempts(text *out, const history *h)
{
    add_one(out, "mendel_leases", "gauge", "Attempts that were leased, of all candidates.", (double)h->attempts);
    add_one(out, "mendel_leases_lost", "gauge", "Of them, those whose worker fell silent.", (double)h->lost);
    add_one(out, "mendel_leases_failed", "gauge", "Of them, those that failed.", (double)h->crashes);
}

/* ---- the workers ---- */

static void add_worker_labels(text *out, const char *name, const dashboard_worker *w)
{
    text_add(out, "%s{", name);
    add_label(out, "worker", w->id);
    text_add(out, ",");
    add_label(out, "host", w->host);
}

static void add_silence(text *out, const dashboard_state *s, double age_s)
{
    begin(out, "mendel_worker_silent_seconds", "gauge", "Since a worker was heard.");
    for (size_t i = 0; i < s->worker_count; i++) {
        add_worker_labels(out, "mendel_worker_silent_seconds", &s->workers[i]);
        text_add(out, ",");
        add_label(out, "device", s->workers[i].device);
        text_add(out, "}");
        add_value(out, s->workers[i].silent_s + age_s);
    }
}

typedef double slot_value(const dashboard_slot *s);

static double rate_of(const dashboard_slot *s)
{
    return s->candidate && isfinite(s->images_per_s) ? s->images_per_s : 0;
}

static double candidate_of(const dashboard_slot *s)
{
    return (double)s->candidate;
}

static void add_slots(text *out, const dashboard_state *s, const char *name, const char *help, slot_value *value)
{
    begin(out, name, "gauge", help);
    for (size_t i = 0; i < s->worker_count; i++)
        for (size_t k = 0; k < s->workers[i].slot_count; k++) {
            add_worker_labels(out, name, &s->workers[i]);
            text_add(out, ",slot=\"%zu\"}", k);
            add_value(out, value(&s->workers[i].slots[k]));
        }
}

static void add_workers(text *out, const dashboard_state *s, double age_s)
{
    add_one(out, "mendel_workers", "gauge", "Workers that are connected.", (double)s->worker_count);
    add_silence(out, s, age_s);
    add_slots(out, s, "mendel_slot_candidate", "The candidate that a slot trains; 0: none.", candidate_of);
    add_slots(out, s, "mendel_slot_images_per_second", "Training speed of a slot.", rate_of);
}

/* ---- the dashboard itself ---- */

static void add_own(text *out, const dashboard *d)
{
    add_one(out, "mendel_dashboard_connections", "gauge", "Open connections to the dashboard.", (double)d->peer_count);
    add_one(out, "mendel_dashboard_streams", "gauge", "Of them, streams of events.", (double)d->subscriber_count);
    begin(out, "mendel_dashboard_answers_total", "counter", "Requests that were answered, by status.");
    for (int i = 0; i < CODES_MOST && d->answered[i].count; i++)
        text_add(out, "mendel_dashboard_answers_total{code=\"%u\"} %llu\n", d->answered[i].code,
                 (unsigned long long)d->answered[i].count);
}

void metrics_text(const dashboard *d, int64_t now_ms, text *out)
{
    begin(out, "mendel_build_info", "gauge", "1, with the version of the program.");
    text_add(out, "mendel_build_info{");
    add_label(out, "version", MENDEL_VERSION);
    text_add(out, ",");
    add_label(out, "run", d->name);
    text_add(out, "} 1\n");
    add_one(out, "mendel_up", "gauge", "1 while the coordinator's loop turns.", dashboard_is_healthy(d, now_ms));
    add_own(out, d);
    add_attempts(out, &d->history);
    if (!d->shown) return;
    double age_s = (double)(now_ms - d->shown->taken_ms) / 1000;
    add_one(out, "mendel_state_age_seconds", "gauge", "Since the coordinator's loop was heard.", age_s);
    add_run(out, &d->shown->state);
    add_workers(out, &d->shown->state, age_s);
}
