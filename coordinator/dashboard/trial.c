#include "coordinator/dashboard/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/dashboard/json.h"

/* ---- copying ---- */

/* False without memory. NULL and "" become NULL. */
static bool copy(char **to, const char *words)
{
    if (!words || !*words) return true;
    *to = text_copy(words);
    return *to != NULL;
}

/* The end of a log, from the start of a line on. */
static const char *log_tail(const char *log)
{
    size_t length = log ? strlen(log) : 0;
    if (length <= TRIAL_LOG_MOST) return log;
    const char *tail = log + length - TRIAL_LOG_MOST, *line = strchr(tail, '\n');
    return line && line[1] ? line + 1 : tail;
}

static bool copy_failure(failure *f, const store_attempt *a)
{
    f->attempt = a->attempt;
    f->ended_ms = a->ended_ms;
    return copy(&f->host, a->host) && copy(&f->device, a->device) && copy(&f->reason, a->reason) &&
           copy(&f->detail, a->detail) && copy(&f->log, log_tail(a->log));
}

static bool copy_attempts(trial *t, const store_attempt *const *attempts, size_t count)
{
    const store_attempt *decided = NULL;
    for (size_t i = 0; i < count; i++) {
        bool is_decided = decided && (decided->state == ATTEMPT_DONE || decided->state == ATTEMPT_STOPPED);
        if (!is_decided) decided = attempts[i];
        if (attempts[i]->state == ATTEMPT_FAILED && !copy_failure(&t->failures[t->failure_count++], attempts[i]))
            return false;
    }
    t->seconds = NAN;
    if (!decided) return true;
    t->leased_ms = decided->leased_ms;
    t->seconds = decided->seconds;
    t->memory = decided->peak_memory;
    t->resumed = decided->resumed;
    return copy(&t->host, decided->host) && copy(&t->device, decided->device) &&
           copy(&t->precision, decided->precision);
}

trial *trial_copy(const store_candidate *c, size_t hyp_count, const store_attempt *const *attempts, size_t count)
{
    trial *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->number = c->number;
    t->state = c->state;
    t->bred_ms = c->bred_ms;
    t->ended_ms = c->ended_ms;
    t->attempts = c->attempts;
    t->lost = c->lost;
    t->crashes = c->crashes;
    t->arrival = c->arrival;
    t->epoch = c->epoch;
    t->parent = c->made.parent_count ? c->made.parent : 0;
    t->result_count = c->result_count;
    memcpy(t->results, c->results, sizeof t->results);
    t->hyps = calloc(hyp_count + 1, sizeof *t->hyps);
    t->failures = calloc(count + 1, sizeof *t->failures);
    bool copied = t->hyps && t->failures && copy(&t->reason, c->reason) && copy(&t->detail, c->detail) &&
                  copy_attempts(t, attempts, count);
    if (copied) memcpy(t->hyps, c->made.hyps, hyp_count * sizeof *t->hyps);
    if (copied) return t;
    trial_destroy(t);
    return NULL;
}

void trial_destroy(trial *t)
{
    if (!t) return;
    for (size_t i = 0; t->failures && i < t->failure_count; i++) {
        failure *f = &t->failures[i];
        char *const texts[] = {f->host, f->device, f->reason, f->detail, f->log};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) free(texts[k]);
    }
    char *const texts[] = {t->reason, t->detail, t->host, t->device, t->precision};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) free(texts[k]);
    free(t->failures);
    free(t->hyps);
    free(t);
}

bool trial_differs(const trial *a, const trial *b)
{
    return a->state != b->state || a->attempts != b->attempts || a->lost != b->lost || a->crashes != b->crashes ||
           a->arrival != b->arrival || a->epoch != b->epoch || a->ended_ms != b->ended_ms ||
           a->failure_count != b->failure_count || a->result_count != b->result_count;
}

size_t trial_log_bytes(const trial *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->failure_count; i++) bytes += t->failures[i].log ? strlen(t->failures[i].log) : 0;
    return bytes;
}

void trial_drop_logs(trial *t)
{
    for (size_t i = 0; i < t->failure_count; i++) {
        free(t->failures[i].log);
        t->failures[i].log = NULL;
    }
}

/* ---- writing ---- */

static void add_string(text *out, const char *key, const char *words)
{
    text_add(out, ",\"%s\":", key);
    json_string(out, words);
}

static void add_number(text *out, const char *key, double value)
{
    text_add(out, ",\"%s\":", key);
    json_number(out, value);
}

static void add_int(text *out, const char *key, int64_t value)
{
    text_add(out, ",\"%s\":%lld", key, (long long)value);
}

static void add_failure(text *out, const failure *f)
{
    text_add(out, "{\"attempt\":%lld", (long long)f->attempt);
    add_int(out, "ended_ms", f->ended_ms);
    add_string(out, "host", f->host);
    add_string(out, "device", f->device);
    add_string(out, "reason", f->reason);
    add_string(out, "detail", f->detail);
    text_add(out, ",\"log\":%s}", f->log ? "true" : "false");
}

static void add_results(const trial *t, const double *weights, text *out)
{
    bool has = t->result_count == RESULT_COUNT;
    add_number(out, "fitness", has ? fitness(t->results, weights) : NAN);
    text_add(out, ",\"results\":");
    if (has) json_numbers(out, t->results, RESULT_COUNT);
    else json_string(out, NULL);
}

static void add_parent(const trial *t, text *out)
{
    if (t->parent == PARENT_MEAN) add_string(out, "parent", "mean");
    else if (t->parent) add_int(out, "parent", t->parent);
    else add_string(out, "parent", NULL);
}

void trial_write(const trial *t, size_t hyp_count, const double *weights, text *out)
{
    text_add(out, "{\"candidate\":%lld", (long long)t->number);
    add_string(out, "state", candidate_state_name(t->state));
    add_results(t, weights, out);
    text_add(out, ",\"hyps\":");
    json_numbers(out, t->hyps, hyp_count);
    add_parent(t, out);
    add_int(out, "arrival", t->arrival);
    add_int(out, "attempts", t->attempts);
    add_int(out, "lost", t->lost);
    add_int(out, "epoch", t->epoch);
    add_int(out, "bred_ms", t->bred_ms);
    add_int(out, "leased_ms", t->leased_ms);
    add_int(out, "ended_ms", t->ended_ms);
    add_number(out, "seconds", t->seconds > 0 ? t->seconds : NAN);
    add_int(out, "memory", t->memory);
    add_string(out, "host", t->host);
    add_string(out, "device", t->device);
    add_string(out, "precision", t->precision);
    add_string(out, "reason", t->reason);
    add_string(out, "detail", t->detail);
    text_add(out, ",\"resumed\":%s,\"failures\":[", t->resumed ? "true" : "false");
    for (size_t i = 0; i < t->failure_count; i++) {
        if (i) text_add(out, ",");
        add_failure(out, &t->failures[i]);
    }
    text_add(out, "]}");
}
