#include "tests/chaos/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

/* Coordinators that are stopped for less than this do not know that they were. */
static const int64_t slack_us = 1000000;
static const char *const verdicts[] = {"taken", "late", "unknown", "invalid"};

/* ---- lines ---- */

static bool parse(char *line, event *e)
{
    enum { FIELDS = 7 };
    char *parts[FIELDS];
    size_t found = 0;
    for (char *at = line; at && found < FIELDS; found++) {
        parts[found] = at;
        at = strchr(at, '\t');
        if (at) *at++ = '\0';
    }
    if (found != FIELDS) return false;
    *e = (event){.us = atoll(parts[0]), .who = parts[1], .what = parts[2], .words = parts[6]};
    e->candidate = atoll(parts[3]);
    e->attempt = atoll(parts[4]);
    e->epoch = strtoull(parts[5], NULL, 10);
    return true;
}

status record_each(const char *path, status (*visit)(void *state, const event *e), void *state)
{
    FILE *file = fopen(path, "r");
    if (!file) return FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno));
    char *line = NULL;
    size_t room = 0;
    status s = OK;
    while (s == OK && getline(&line, &room, file) > 0) {
        event e;
        line[strcspn(line, "\n")] = '\0';
        s = parse(line, &e) ? visit(state, &e) : FAIL(ERR_FORMAT, "%s: a line that is none: %s", path, line);
    }
    free(line);
    fclose(file);
    return s;
}

/* ---- faults ---- */

static void fault(record *r, const event *e, const char *words)
{
    text_add(r->faults, "history:%zu %s: %s %lld/%lld of epoch %llu (%s): %s\n", r->lines, e->who, e->what,
             (long long)e->candidate, (long long)e->attempt, (unsigned long long)e->epoch, e->words, words);
}

static bool is(const event *e, const char *what)
{
    return !strcmp(e->what, what);
}

/* The part after `front`; NULL when it does not begin so. */
static const char *after(const event *e, const char *front)
{
    return text_starts_with(e->what, front) ? e->what + strlen(front) : NULL;
}

/* ---- tracks ---- */

track *record_find(const record *r, int64_t candidate, int64_t attempt)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->tracks[i].candidate == candidate && r->tracks[i].attempt == attempt) return &r->tracks[i];
    return NULL;
}

static status need(record *r, const event *e, track **out)
{
    *out = record_find(r, e->candidate, e->attempt);
    if (!*out) {
        TRY(array_room(&r->tracks, &r->room, r->count + 1));
        *out = &r->tracks[r->count++];
        **out = (track){.candidate = e->candidate, .attempt = e->attempt, .epoch = e->epoch};
    }
    return OK;
}

static void put(char state[STATE_ROOM], const char *value)
{
    snprintf(state, STATE_ROOM, "%s", value);
}

static bool in(const char *state, const char *list)
{
    const char *at = *state ? strstr(list, state) : NULL;
    return at != NULL;
}

/* ---- the coordinator's store, replayed ---- */

/* What was decided from now on is not there; what a commit under way has left is not known. */
static void forget_pending(record *r)
{
    for (size_t i = 0; i < r->count; i++) {
        track *t = &r->tracks[i];
        if (r->committing && *t->pending) put(t->doubtful, t->pending);
        *t->pending = '\0';
        t->read = false;
    }
    r->committing = false;
}

static void begin_reading(record *r, const event *e, bool opens)
{
    forget_pending(r);
    r->opening = opens;
    if (opens) r->opened_us = e->us;
}

/* A later start reads what was committed, or what the commit under way had made of it. */
static void read_again(record *r, const event *e, track *t, const char *state)
{
    bool kept = !strcmp(t->committed, state), doubted = *t->doubtful && !strcmp(t->doubtful, state);
    t->read = true;
    if (!kept && !(doubted && r->opening)) {
        char words[128];
        snprintf(words, sizeof words, "%s was committed", *t->committed ? t->committed : "nothing");
        fault(r, e, words);
    }
    put(t->committed, state);
}

static void end_reading(record *r, const event *e)
{
    for (size_t i = 0; i < r->count; i++) {
        track *t = &r->tracks[i];
        if (*t->committed && !t->read) {
            event of = *e;
            of.candidate = t->candidate;
            of.attempt = t->attempt;
            of.epoch = t->epoch;
            fault(r, &of, "was committed, and is gone");
        }
    }
    r->opening = false;
}

static void check_alone(record *r, const event *e)
{
    for (size_t i = 0; i < r->count; i++) {
        const track *t = &r->tracks[i];
        event of = *e;
        of.candidate = t->candidate;
        of.attempt = t->attempt;
        for (size_t k = 0; k < i; k++) {
            const track *other = &r->tracks[k];
            if (other->candidate != t->candidate) continue;
            if (!strcmp(t->committed, "leased") && !strcmp(other->committed, "leased"))
                fault(r, &of, "two leases of a candidate at once");
            if (in(t->committed, "done stopped") && in(other->committed, "done stopped"))
                fault(r, &of, "two results of a candidate count");
        }
    }
}

static void check_number(record *r, const event *e)
{
    int64_t evaluated = 0;
    for (size_t i = 0; i < r->count; i++) evaluated += in(r->tracks[i].committed, "done stopped");
    if (evaluated > r->generations) fault(r, e, "more candidates are evaluated than were asked for");
}

static void commit(record *r, const event *e)
{
    r->committing = false;
    for (size_t i = 0; i < r->count; i++) {
        track *t = &r->tracks[i];
        *t->doubtful = '\0';
        if (!*t->pending) continue;
        event of = *e;
        of.candidate = t->candidate;
        of.attempt = t->attempt;
        if (in(t->committed, "done stopped failed yielded") && strcmp(t->committed, t->pending))
            fault(r, &of, "what had ended has changed");
        put(t->committed, t->pending);
        *t->pending = '\0';
    }
    check_alone(r, e);
    check_number(r, e);
}

static void expire(record *r, const event *e, const track *t)
{
    if (e->us < r->opened_us + r->lease_us - slack_us / 10) fault(r, e, "no full lease time since the start");
    if (e->us < t->leased_us + r->lease_us - slack_us) fault(r, e, "no full lease time since it was leased or renewed");
}

/* What leaves must be on the disk. */
static void send(record *r, const event *e, const track *t, const char *kind)
{
    /* Its worker may have gone in the same turn: then it is lost already. */
    if (!strcmp(kind, "Candidate") && !*t->committed) fault(r, e, "leaves before its lease is committed");
    if (strcmp(kind, "ResultAck")) return;
    int verdict = -1;
    sscanf(e->words, "verdict %d", &verdict);
    if (verdict < 0 || verdict > 1) fault(r, e, verdict > 1 && verdict < 4 ? verdicts[verdict] : "no verdict");
    else if (!in(t->committed, verdict ? "late" : "done stopped failed yielded"))
        fault(r, e, "leaves before what it says is committed");
}

static status follow_attempt(record *r, const event *e)
{
    const char *word;
    track *t;
    TRY(need(r, e, &t));
    if ((word = after(e, "reads ")) != NULL) read_again(r, e, t, word);
    else if ((word = after(e, "coordinator writes ")) != NULL) {
        put(t->pending, word);
        if (!strcmp(word, "leased")) t->leased_us = e->us;
    } else if (is(e, "expires")) expire(r, e, t);
    else if ((word = after(e, "coordinator sends ")) != NULL) send(r, e, t, word);
    else if (is(e, "renews")) t->leased_us = e->us;
    return OK;
}

static status follow_coordinator(record *r, const event *e)
{
    if (is(e, "coordinator opens the run")) begin_reading(r, e, true);
    else if (is(e, "coordinator takes a turn back")) begin_reading(r, e, false);
    else if (is(e, "coordinator commits")) r->committing = true;
    else if (is(e, "coordinator has committed")) commit(r, e);
    else if (is(e, "coordinator has opened the run")) end_reading(r, e);
    return e->candidate ? follow_attempt(r, e) : OK;
}

/* ---- workers ---- */

static status set_text(char **at, const char *value)
{
    free(*at);
    *at = text_copy(value);
    return *at ? OK : FAIL(ERR_MEMORY, "out of memory");
}

/* "worker 0" of "worker 0.3". */
static bool is_of(const char *worker, const char *who)
{
    size_t length = strlen(worker);
    return !strncmp(worker, who, length) && who[length] == '.';
}

static status give(record *r, const event *e, track *t)
{
    if (t->worker && !is_of(t->worker, e->who)) fault(r, e, "was given to another worker, too");
    char *name = text_copy_bytes(e->who, strcspn(e->who, "."));
    status s = name ? set_text(&t->worker, name) : FAIL(ERR_MEMORY, "out of memory");
    free(name);
    return s;
}

/* What a worker has to deliver: it is on its disk, or in its memory alone while the disk takes nothing. */
static status spool_one(record *r, const event *e, track *t)
{
    if (t->worker && !is_of(t->worker, e->who)) fault(r, e, "is none of its attempts");
    if (after(e, "worker has spooled ")) {
        t->spooled = true;
        t->forgotten = false;
    }
    if (!is(e, "worker spools Result") || !*e->words) return OK;
    if (t->results && strcmp(t->results, e->words)) fault(r, e, "other results than it had spooled before");
    return set_text(&t->results, e->words);
}

static status follow_worker(record *r, const event *e)
{
    track *t;
    if (!e->candidate) return OK;
    TRY(need(r, e, &t));
    if (is(e, "worker hears Candidate")) return give(r, e, t);
    if (after(e, "worker spools ") || after(e, "worker has spooled ")) return spool_one(r, e, t);
    if (is(e, "worker hears ResultAck")) t->answered = true;
    if (is(e, "unwanted") || (is(e, "worker hears Stop") && text_starts_with(e->words, "unwanted"))) t->unwanted = true;
    if (after(e, "worker forgets ")) {
        if (!t->answered && !t->unwanted) fault(r, e, "is forgotten before anybody has acknowledged it");
        t->forgotten = true;
    }
    return OK;
}

/* ---- all of it ---- */

static status follow(void *state, const event *e)
{
    record *r = state;
    r->lines++;
    if (text_starts_with(e->who, "coordinator")) return follow_coordinator(r, e);
    return follow_worker(r, e);
}

status record_read(const char *path, record *r)
{
    return record_each(path, follow, r);
}

void record_free(record *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->tracks[i].worker);
        free(r->tracks[i].results);
    }
    free(r->tracks);
    *r = (record){0};
}
