/* ledger.c - opening a run, and how it stands. Leases are in lease.c, deliveries in deliver.c. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/fault.h"
#include "common/text.h"
#include "coordinator/ledger/inner.h"

/* ---- small things that all parts use ---- */

entry *ledger_entry(const ledger *l, int64_t candidate)
{
    return candidate >= 1 && (uint64_t)candidate <= l->count ? &l->entries[candidate - 1] : NULL;
}

attempt *ledger_find(const ledger *l, token t)
{
    entry *e = ledger_entry(l, t.candidate);
    if (!e || t.attempt < 1 || (uint64_t)t.attempt > e->count) return NULL;
    attempt *a = &e->attempts[(SEEDED(token_ignored) ? (int64_t)e->count : t.attempt) - 1];
    return SEEDED(token_ignored) || a->kept.epoch == t.epoch ? a : NULL;
}

bool candidate_has_ended(const store_candidate *c)
{
    return c->state == CANDIDATE_DONE || c->state == CANDIDATE_STOPPED || c->state == CANDIDATE_FAILED;
}

bool entry_waits(const entry *e)
{
    candidate_state s = e->kept.state;
    return s == CANDIDATE_BRED || s == CANDIDATE_LOST || s == CANDIDATE_YIELDED;
}

int64_t ledger_waiting(const ledger *l)
{
    return l->counts[CANDIDATE_BRED] + l->counts[CANDIDATE_LOST] + l->counts[CANDIDATE_YIELDED];
}

bool entry_is_leased(const entry *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->attempts[i].kept.state == ATTEMPT_LEASED) return true;
    return false;
}

static status note_change(ledger *l, entry *e)
{
    if (e->changed) return OK;
    TRY(array_room(&l->changed, &l->changed_room, l->changed_count + 1));
    l->changed[l->changed_count++] = e->kept.number;
    e->changed = true;
    return OK;
}

status entry_make_room(entry *e)
{
    if (!e->room) {
        TRY(array_new(&e->attempts, 1));
        e->room = 1;
    }
    return array_room(&e->attempts, &e->room, e->count + 1);
}

static void count_state(ledger *l, entry *e)
{
    if (e->stored) l->counts[e->counted]--;
    e->stored = true;
    e->counted = e->kept.state;
    l->counts[e->counted]++;
}

/* After a write that failed the ledger is opened anew, so that its counts may run ahead. */
status ledger_put_candidate(ledger *l, entry *e)
{
    bool known = e->stored;
    TRY(note_change(l, e));
    count_state(l, e);
    return known ? store_update_candidate(l->store, &e->kept)
                 : store_put_candidate(l->store, &l->spec->space, &e->kept);
}

status ledger_put_attempt(ledger *l, attempt *a, attempt_state state, int64_t wall_ms)
{
    a->kept.state = state;
    if (state != ATTEMPT_LEASED) a->kept.ended_ms = wall_ms;
    FAULT_ATTEMPT("coordinator writes", attempt_state_name(state), &a->kept);
    TRY(note_change(l, ledger_entry(l, a->kept.candidate)));
    return store_put_attempt(l->store, &a->kept);
}

status ledger_set_text(char **at, const char *value)
{
    char *copy = value ? text_copy(value) : NULL;
    if (value && !copy) return FAIL(ERR_MEMORY, "out of memory");
    free(*at);
    *at = copy;
    return OK;
}

size_t ledger_first_open(ledger *l)
{
    while (l->first_open < l->count && candidate_has_ended(&l->entries[l->first_open].kept)) l->first_open++;
    return l->first_open;
}

uint64_t request_hash(const char *session, int64_t slot, uint64_t number)
{
    const uint64_t place[] = {(uint64_t)slot, number};
    return XXH64(session, strlen(session), XXH64(place, sizeof place, 0));
}

static void place_answer(ledger *l, size_t index)
{
    size_t *place = &l->places[l->answers[index].hash & (l->place_count - 1)];
    l->answers[index].next = *place;
    *place = index + 1;
}

static status grow_places(ledger *l)
{
    enum { PLACES_LEAST = 1024 };
    if (l->answer_count < l->place_count) return OK;
    size_t *grown, count = l->place_count ? 2 * l->place_count : PLACES_LEAST;
    TRY(array_new(&grown, count));
    free(l->places);
    l->places = grown;
    l->place_count = count;
    for (size_t i = 0; i < l->answer_count; i++) place_answer(l, i);
    return OK;
}

status ledger_remember_answer(ledger *l, const store_attempt *a)
{
    TRY(array_room(&l->answers, &l->answer_room, l->answer_count + 1));
    TRY(grow_places(l));
    uint64_t hash = request_hash(a->session, a->slot, a->number);
    l->answers[l->answer_count] = (answered){.hash = hash, .candidate = a->candidate, .attempt = a->attempt};
    place_answer(l, l->answer_count++);
    return OK;
}

const answered *ledger_next_answer(const ledger *l, uint64_t hash, const answered *after)
{
    size_t at = !l->place_count ? 0 : after ? after->next : l->places[hash & (l->place_count - 1)];
    while (at && l->answers[at - 1].hash != hash) at = l->answers[at - 1].next;
    return at ? &l->answers[at - 1] : NULL;
}

/* ---- opening ---- */

static status add_member(ledger *l, const store_candidate *c)
{
    member m = {.candidate = c->number};
    memcpy(m.results, c->results, sizeof m.results);
    memcpy(m.hyps, c->made.hyps, l->spec->space.count * sizeof *m.hyps);
    return population_add(&l->population, &m);
}

/* What is read together. */
typedef struct taking {
    ledger *l;
    int64_t now_ms;
    store_candidate *late; /* imported while the run was under way: members by their arrival, as done ones are */
    size_t late_count, late_room;
} taking;

static status keep_late(taking *t, const store_candidate *c)
{
    TRY(array_room(&t->late, &t->late_room, t->late_count + 1));
    t->late[t->late_count++] = *c;
    return OK;
}

static status take_candidate(void *state, store_candidate *c)
{
    taking *t = state;
    ledger *l = t->l;
    if (c->arrival > l->arrivals) l->arrivals = c->arrival;
    if (c->number < 0) {
        l->imported++;
        return c->arrival ? keep_late(t, c) : add_member(l, c);
    }
    if (c->number != (int64_t)l->count + 1)
        return FAIL(ERR_FORMAT, "the store has candidate %lld after %zu", (long long)c->number, l->count);
    TRY(array_room_unset(&l->entries, &l->room, l->count + 1));
    entry *e = &l->entries[l->count++];
    *e = (entry){.kept = *c};
    c->reason = c->detail = c->checkpoint_path = c->checkpoint_hash = NULL; /* taken */
    l->evaluated += c->state == CANDIDATE_DONE || c->state == CANDIDATE_STOPPED;
    count_state(l, e);
    return note_change(l, e);
}

static status take_attempt(void *state, store_attempt *a)
{
    taking *t = state;
    entry *e = ledger_entry(t->l, a->candidate);
    if (!e || a->attempt != (int64_t)e->count + 1)
        return FAIL(ERR_FORMAT, "the store has attempt %lld of candidate %lld after %zu", (long long)a->attempt,
                    (long long)a->candidate, e ? e->count : 0);
    TRY(entry_make_room(e));
    attempt *kept = &e->attempts[e->count++];
    kept->kept = *a;
    kept->deadline_ms = t->now_ms + (SEEDED(no_lease_grace) ? 0 : t->l->o.lease_ms);
    FAULT_NOTE("reads", attempt_state_name(a->state), a);
    *a = (store_attempt){0}; /* taken */
    return ledger_remember_answer(t->l, &kept->kept);
}

static int by_arrival(const void *a, const void *b)
{
    int64_t x = (*(store_candidate *const *)a)->arrival, y = (*(store_candidate *const *)b)->arrival;
    return (x > y) - (x < y);
}

/* Candidates breed in the order in which their results came. */
static status fill_population(ledger *l, const taking *t)
{
    const store_candidate **in = NULL;
    size_t count = 0;
    TRY(array_new(&in, l->count + t->late_count));
    for (size_t i = 0; i < l->count; i++)
        if (l->entries[i].kept.state == CANDIDATE_DONE) in[count++] = &l->entries[i].kept;
    for (size_t i = 0; i < t->late_count; i++) in[count++] = &t->late[i];
    qsort(in, count, sizeof *in, by_arrival);
    status s = OK;
    for (size_t i = 0; s == OK && i < count; i++) s = add_member(l, in[i]);
    free(in);
    return s;
}

status ledger_open(store *s, const run_spec *spec, const ledger_options *options, int64_t now_ms, ledger **out)
{
    *out = NULL;
    ledger *l = calloc(1, sizeof *l);
    if (!l) return FAIL(ERR_MEMORY, "out of memory");
    l->store = s;
    l->spec = spec;
    l->o = *options;
    population_start(&l->population, &spec->space, spec->fitness);
    taking t = {.l = l, .now_ms = now_ms};
    status result = store_each_candidate_short(s, &spec->space, take_candidate, &t);
    if (result == OK) result = store_each_attempt(s, 0, take_attempt, &t);
    if (result == OK) result = fill_population(l, &t);
    free(t.late);
    if (result == OK) *out = l;
    else ledger_close(&l);
    return result;
}

void ledger_close(ledger **ledger_at)
{
    ledger *l = *ledger_at;
    if (!l) return;
    for (size_t i = 0; i < l->count; i++) {
        entry *e = &l->entries[i];
        for (size_t k = 0; k < e->count; k++) store_attempt_free(&e->attempts[k].kept);
        free(e->attempts);
        store_candidate_free(&e->kept);
    }
    free(l->entries);
    free(l->answers);
    free(l->places);
    free(l->unwanted);
    free(l->changed);
    free(l->last_reason);
    text_free(&l->broken);
    population_free(&l->population);
    free(l);
    *ledger_at = NULL;
}

static status put_imported(ledger *l, const member *m, int64_t arrival, int64_t wall_ms)
{
    store_candidate c = {.number = m->candidate, .state = CANDIDATE_IMPORTED, .bred_ms = wall_ms, .arrival = arrival};
    c.result_count = RESULT_COUNT;
    memcpy(c.results, m->results, sizeof c.results);
    memcpy(c.made.hyps, m->hyps, l->spec->space.count * sizeof *m->hyps);
    for (size_t k = 0; k < l->spec->space.count; k++) c.made.factors[k] = 1;
    l->imported++;
    return store_put_candidate(l->store, &l->spec->space, &c);
}

status ledger_import(ledger *l, const char *path, int64_t wall_ms)
{
    assert(!l->count); /* a new run */
    size_t before = l->population.count;
    TRY(population_import(&l->population, path));
    for (size_t i = before; i < l->population.count; i++) TRY(put_imported(l, &l->population.members[i], 0, wall_ms));
    return OK;
}

/* Before the first candidate they are a start like any other. */
status ledger_merge(ledger *l, const population *rows, int64_t wall_ms)
{
    for (size_t i = 0; i < rows->count; i++) {
        member m = rows->members[i];
        m.candidate = -(l->imported + 1);
        TRY(population_add(&l->population, &m));
        TRY(put_imported(l, &m, l->count ? ++l->arrivals : 0, wall_ms));
    }
    return OK;
}

status ledger_try_first_again(ledger *l)
{
    entry *first = ledger_entry(l, 1);
    if (!first || first->kept.state != CANDIDATE_FAILED || l->evaluated) return OK;
    first->kept.crashes = first->kept.lost = 0;
    TRY(ledger_set_text(&first->kept.reason, NULL));
    TRY(ledger_set_text(&first->kept.detail, NULL));
    first->kept.ended_ms = 0;
    first->kept.state = CANDIDATE_BRED;
    l->first_open = 0;
    return ledger_put_candidate(l, first);
}

/* ---- how it stands ---- */

void ledger_count(const ledger *l, ledger_counts *out)
{
    *out = (ledger_counts){.generations = l->o.generations, .evaluated = l->evaluated, .imported = l->imported};
    out->best_fitness = out->base_fitness = NAN;
    out->bred = (int64_t)l->count;
    out->failed = l->counts[CANDIDATE_FAILED];
    out->leased = l->counts[CANDIDATE_LEASED];
    out->waiting = ledger_waiting(l);
    const population_best *best = population_ranked(&l->population);
    const entry *first = ledger_entry(l, 1);
    if (first && first->kept.state == CANDIDATE_DONE)
        out->base_fitness = fitness(first->kept.results, l->population.weights);
    if (!best->count) return;
    out->best = l->population.members[best->index[0]].candidate;
    out->best_fitness = best->fitness[0];
}

bool ledger_finished(const ledger *l)
{
    if (!l->o.fixed) return l->evaluated >= l->o.generations;
    for (size_t i = l->first_open; i < l->count; i++)
        if (!candidate_has_ended(&l->entries[i].kept)) return false;
    return true;
}

const char *ledger_broken(const ledger *l)
{
    return l->broken.length ? text_string(&l->broken) : NULL;
}

const population *ledger_population(const ledger *l)
{
    return &l->population;
}

const store_candidate *ledger_candidate(const ledger *l, int64_t number)
{
    const entry *e = ledger_entry(l, number);
    return e ? &e->kept : NULL;
}

const store_attempt *ledger_attempt(const ledger *l, token t)
{
    const attempt *a = ledger_find(l, t);
    return a ? &a->kept : NULL;
}

const store_attempt *ledger_attempt_of(const ledger *l, int64_t candidate, int64_t number)
{
    const entry *e = ledger_entry(l, candidate);
    return e && number >= 1 && (uint64_t)number <= e->count ? &e->attempts[number - 1].kept : NULL;
}

int64_t ledger_pop_changed(ledger *l)
{
    if (!l->changed_count) return 0;
    int64_t number = l->changed[--l->changed_count];
    ledger_entry(l, number)->changed = false;
    return number;
}

const store_attempt *ledger_next_live(const ledger *l, size_t *index)
{
    size_t at = 0; /* counts the attempts of open candidates */
    for (size_t i = l->first_open; i < l->count; i++) {
        const entry *e = &l->entries[i];
        for (size_t k = 0; k < e->count; k++, at++) {
            if (at < *index || e->attempts[k].kept.state != ATTEMPT_LEASED) continue;
            *index = at + 1;
            return &e->attempts[k].kept;
        }
    }
    return NULL;
}

const store_attempt *ledger_pop_unwanted(ledger *l)
{
    while (l->unwanted_count) {
        const store_attempt *a = ledger_attempt(l, l->unwanted[--l->unwanted_count]);
        if (a) return a;
    }
    return NULL;
}
