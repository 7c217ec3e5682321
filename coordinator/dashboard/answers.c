/* answers.c - what each path says. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/dashboard/dashboard_inner.h"
#include "coordinator/dashboard/json.h"

#define JSON  "application/json; charset=utf-8"
#define PLAIN "text/plain; charset=utf-8"

enum { TRIALS_USUAL = 500, TRIALS_MOST = 1000 };

void answer_words(answer *out, unsigned code, const char *words)
{
    text_clear(&out->body);
    text_add(&out->body, "%s\n", words);
    out->code = code;
    out->type = PLAIN;
    out->fixed = NULL;
    out->is_events = false;
}

/* A number from the query; `missing` when it is not there. False, with an answer that says so, when it is none. */
static bool read_number(struct MHD_Connection *c, const char *name, int64_t missing, int64_t *value, answer *out)
{
    long long number;
    const char *words = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
    *value = missing;
    if (!words) return true;
    if (!text_to_long(words, &number)) {
        answer_words(out, MHD_HTTP_BAD_REQUEST, "A number in the query is none.");
        return false;
    }
    *value = number;
    return true;
}

/* ---- /api ---- */

static void write_space(const dashboard *d, text *out)
{
    for (size_t i = 0; i < d->space.count; i++) {
        const hyp_row *row = &d->space.rows[i];
        text_add(out, i ? ",{\"key\":" : "{\"key\":");
        json_string(out, row->key);
        text_add(out, ",\"gain\":");
        json_number(out, row->gain);
        text_add(out, ",\"low\":");
        json_number(out, row->low);
        text_add(out, ",\"high\":");
        json_number(out, row->high);
        text_add(out, ",\"meaning\":");
        json_string(out, row->meaning);
        text_add(out, "}");
    }
}

static void answer_run(dashboard *d, struct MHD_Connection *c, answer *out)
{
    (void)c;
    text_add(&out->body, "{\"start\":");
    json_string(&out->body, d->start);
    text_add(&out->body, ",\"name\":");
    json_string(&out->body, d->name);
    text_add(&out->body, ",\"folder\":");
    json_string(&out->body, d->folder);
    text_add(&out->body, ",\"strategy\":");
    json_string(&out->body, d->strategy);
    text_add(&out->body, ",\"version\":");
    json_string(&out->body, MENDEL_VERSION);
    text_add(&out->body, ",\"fitness\":");
    json_numbers(&out->body, d->fitness, FITNESS_TERMS);
    text_add(&out->body, ",\"space\":[");
    write_space(d, &out->body);
    text_add(&out->body, "]}\n");
}

static void answer_state(dashboard *d, struct MHD_Connection *c, answer *out)
{
    (void)c;
    snapshot_write(d->shown, d->start, d->history.changes, clock_ms(), &out->body);
    text_add(&out->body, "\n");
}

static void answer_trials(dashboard *d, struct MHD_Connection *c, answer *out)
{
    int64_t since, limit;
    if (!read_number(c, "since", 0, &since, out) || !read_number(c, "limit", TRIALS_USUAL, &limit, out)) return;
    if (limit < 1) limit = 1;
    if (limit > TRIALS_MOST) limit = TRIALS_MOST;
    uint64_t next = since > 0 ? (uint64_t)since : 0;
    const trial *t = history_after(&d->history, next);
    text_add(&out->body, "{\"start\":");
    json_string(&out->body, d->start);
    text_add(&out->body, ",\"trials\":[");
    for (int64_t i = 0; t && i < limit; i++, t = t->newer) {
        text_add(&out->body, i ? ",\n" : "\n");
        trial_write(t, d->space.count, d->fitness, &out->body);
        next = t->change;
    }
    text_add(&out->body, "],\n\"next\":%llu,\"more\":%s}\n", (unsigned long long)next, t ? "true" : "false");
}

static void answer_log(dashboard *d, struct MHD_Connection *c, answer *out)
{
    int64_t candidate, attempt;
    if (!read_number(c, "candidate", 0, &candidate, out) || !read_number(c, "attempt", 0, &attempt, out)) return;
    const trial *t = history_find(&d->history, candidate);
    const char *log = NULL;
    for (size_t i = 0; t && i < t->failure_count; i++)
        if (t->failures[i].attempt == attempt) log = t->failures[i].log;
    if (!log) {
        answer_words(out, MHD_HTTP_NOT_FOUND, "There is no such log, or it is kept no longer.");
        return;
    }
    out->type = PLAIN;
    text_add(&out->body, "%s", log);
}

static void answer_events(dashboard *d, struct MHD_Connection *c, answer *out)
{
    (void)d, (void)c;
    out->type = "text/event-stream; charset=utf-8";
    out->is_events = true;
}

static void answer_metrics(dashboard *d, struct MHD_Connection *c, answer *out)
{
    (void)c;
    out->type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_text(d, clock_ms(), &out->body);
}

/* ---- the table of paths ---- */

typedef struct path {
    const char *name;
    void (*make)(dashboard *d, struct MHD_Connection *c,
                 answer *out); /* fills the body; JSON unless it says otherwise */
} path;
static const path paths[] = {
    {"/api/run", answer_run}, {"/api/state", answer_state},   {"/api/trials", answer_trials},
    {"/api/log", answer_log}, {"/api/events", answer_events}, {"/metrics", answer_metrics},
};

static void answer_health(const dashboard *d, answer *out)
{
    if (dashboard_is_healthy(d, clock_ms())) answer_words(out, MHD_HTTP_OK, "ok");
    else answer_words(out, MHD_HTTP_SERVICE_UNAVAILABLE, "The coordinator has not been heard of for a while.");
}

void answer_path(dashboard *d, struct MHD_Connection *c, const char *path, bool has_token, answer *out)
{
    out->code = MHD_HTTP_OK;
    if (!strcmp(path, "/healthz")) {
        answer_health(d, out);
        return;
    }
    if (!has_token) {
        answer_words(out, MHD_HTTP_UNAUTHORIZED,
                     "This dashboard asks for a token: open the address that the coordinator has printed. It is kept "
                     "in the "
                     "file dashboard.url of the run's folder.");
        return;
    }
    const asset *a = asset_find(path);
    if (a) {
        out->type = a->type;
        out->fixed = a->bytes;
        out->fixed_count = (size_t)(a->end - a->bytes);
        return;
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (strcmp(paths[i].name, path)) continue;
        out->type = JSON;
        paths[i].make(d, c, out);
        return;
    }
    answer_words(out, MHD_HTTP_NOT_FOUND, "There is no such page.");
}
