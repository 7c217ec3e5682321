/* deliver.c - how attempts end, and what that means for their candidates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "coordinator/ledger/inner.h"

/* Preemption is nobody's fault; but a candidate that was handed on so often is not getting anywhere, and each attempt is kept. */
enum { FAILURES_IN_A_ROW = 3, ATTEMPTS_THAT_MAY_CRASH = 1, ATTEMPTS_MOST = 200 };

/* ---- what all deliveries share ---- */

status ledger_release_others(ledger *l, entry *e, const attempt *but, int64_t wall_ms)
{
    for (size_t i = 0; i < e->count; i++) {
        attempt *a = &e->attempts[i];
        if (a == but || a->delivered || (a->kept.state != ATTEMPT_LEASED && a->kept.state != ATTEMPT_LOST)) continue;
        TRY(array_room(&l->unwanted, &l->unwanted_room, l->unwanted_count + 1));
        l->unwanted[l->unwanted_count++] = (token){a->kept.candidate, a->kept.attempt, a->kept.epoch};
        if (a->kept.state == ATTEMPT_LEASED) TRY(ledger_put_attempt(l, a, ATTEMPT_LATE, wall_ms));
    }
    return OK;
}

status ledger_wait_again(ledger *l, entry *e, candidate_state state)
{
    e->kept.state = entry_is_leased(e) ? CANDIDATE_LEASED : state;
    return ledger_put_candidate(l, e);
}

/* Is the set-up broken rather than one candidate? */
static status judge_failure(ledger *l, const entry *e, const char *reason, const char *detail)
{
    bool same = l->last_reason && !strcmp(l->last_reason, reason);
    l->in_a_row = same ? l->in_a_row + 1 : 1;
    l->failures++;
    TRY(ledger_set_text(&l->last_reason, reason));
    if (l->broken.length) return OK;
    if (e->kept.number == 1 && !l->population.count)
        text_add(&l->broken, "the first candidate failed (%s): %s", reason, detail);
    else if (l->in_a_row >= FAILURES_IN_A_ROW)
        text_add(&l->broken, "%d candidates in a row failed (%s): %s", FAILURES_IN_A_ROW, reason, detail);
    else if (l->failures > l->o.max_failures)
        text_add(&l->broken, "more than %lld candidates failed, the last (%s): %s", (long long)l->o.max_failures,
                 reason, detail);
    return text_status(&l->broken);
}

status ledger_fail(ledger *l, entry *e, const char *reason, const char *detail, int64_t wall_ms)
{
    e->kept.state = CANDIDATE_FAILED;
    e->kept.ended_ms = wall_ms;
    TRY(ledger_set_text(&e->kept.reason, reason));
    TRY(ledger_set_text(&e->kept.detail, detail));
    TRY(ledger_put_candidate(l, e));
    return judge_failure(l, e, reason, detail);
}

/* Keep what the worker says of the attempt. */
static status keep_record(attempt *a, const delivery *d)
{
    const Mendel__Record *r = d->record;
    store_attempt *k = &a->kept;
    if (!r) return OK;
    k->threads = r->threads;
    k->peak_memory = r->peak_memory;
    k->seconds = r->seconds;
    k->resumed = r->resumed; /* a checkpoint may not be to be had after all */
    TRY(ledger_set_text(&k->device, r->device));
    TRY(ledger_set_text(&k->precision, r->precision));
    TRY(ledger_set_text(&k->version, r->version));
    return ledger_set_text(&k->host, r->host);
}

/* The attempt of a delivery, which from now on has delivered. NULL: *verdict says why nothing is to be done. */
static status take(ledger *l, const delivery *d, Mendel__Verdict *verdict, attempt **a, entry **e)
{
    *a = ledger_find(l, d->token);
    *e = ledger_entry(l, d->token.candidate);
    *verdict = MENDEL__VERDICT__VERDICT_TAKEN;
    if (!*a) *verdict = MENDEL__VERDICT__VERDICT_UNKNOWN;
    else if ((*a)->delivered ||
             ((*a)->kept.ended_ms && (*a)->kept.state != ATTEMPT_LOST && (*a)->kept.state != ATTEMPT_LATE)) {
        /* Delivered before, the ack was lost: the same answer. */
        bool late = (*a)->kept.state == ATTEMPT_LATE;
        *verdict = late ? MENDEL__VERDICT__VERDICT_LATE : MENDEL__VERDICT__VERDICT_TAKEN;
        *a = NULL;
    }
    if (*a) {
        (*a)->delivered = true;
        TRY(keep_record(*a, d));
    }
    return OK;
}

/* ---- results ---- */

static bool is_fraction(double value)
{
    return value >= 0 && value <= 1; /* NaN is not */
}

/* What is wrong with a whole training's results; NULL: nothing. */
static const char *find_fault(const ledger *l, const double *results)
{
    for (int i = 0; i < FITNESS_TERMS; i++)
        if (!is_fraction(results[i])) return "precision, recall and mAP are numbers from 0 to 1";
    for (int i = FITNESS_TERMS; i < RESULT_COUNT; i++)
        if (results[i] < 0 || isinf(results[i])) return "losses are numbers from 0";
    return isfinite(fitness(results, l->spec->fitness)) ? NULL : "the fitness is not a number";
}

status ledger_finish(ledger *l, int64_t wall_ms)
{
    for (size_t i = ledger_first_open(l); i < l->count; i++) {
        entry *e = &l->entries[i];
        if (candidate_has_ended(&e->kept)) continue;
        TRY(ledger_release_others(l, e, NULL, wall_ms));
        if (e->kept.state != CANDIDATE_LEASED) continue;
        e->kept.state = CANDIDATE_BRED; /* a run that is extended takes it up again */
        TRY(ledger_put_candidate(l, e));
    }
    return OK;
}

static status take_result(ledger *l, entry *e, attempt *a, bool stopped, int64_t epoch, int64_t wall_ms)
{
    e->kept.state = stopped ? CANDIDATE_STOPPED : CANDIDATE_DONE;
    e->kept.ended_ms = wall_ms;
    e->kept.arrival = ++l->arrivals;
    e->kept.epoch = epoch;
    e->kept.result_count = a->kept.result_count;
    memcpy(e->kept.results, a->kept.results, sizeof e->kept.results);
    TRY(ledger_set_text(&e->kept.reason, NULL)); /* written off as lost before */
    TRY(ledger_set_text(&e->kept.detail, NULL));
    l->evaluated++;
    l->in_a_row = 0;
    TRY(ledger_put_candidate(l, e));
    TRY(ledger_put_attempt(l, a, stopped ? ATTEMPT_STOPPED : ATTEMPT_DONE, wall_ms));
    if (!stopped) {
        member m = {.candidate = e->kept.number};
        memcpy(m.results, e->kept.results, sizeof m.results);
        memcpy(m.hyps, e->kept.made.hyps, l->spec->space.count * sizeof *m.hyps);
        TRY(population_add(&l->population, &m));
    }
    TRY(ledger_release_others(l, e, a, wall_ms));
    return ledger_finished(l) ? ledger_finish(l, wall_ms) : OK;
}

/* One more attempt for what may be this worker's fault, none for what is the candidate's. */
static status take_failure(ledger *l, entry *e, attempt *a, const char *reason, const char *detail, int64_t wall_ms)
{
    trainer_reason why = trainer_reason_find(reason);
    TRY(ledger_set_text(&a->kept.reason, reason));
    TRY(ledger_set_text(&a->kept.detail, detail));
    bool was_live = a->kept.state == ATTEMPT_LEASED;
    TRY(ledger_put_attempt(l, a, ATTEMPT_FAILED, wall_ms));
    if (candidate_has_ended(&e->kept)) return OK;
    e->kept.crashes++;
    bool final = why == REASON_NAN || why == REASON_REFUSED;
    if (final) TRY(ledger_release_others(l, e, a, wall_ms));
    if (final || (e->kept.crashes > ATTEMPTS_THAT_MAY_CRASH && !entry_is_leased(e)))
        return ledger_fail(l, e, reason, detail, wall_ms);
    return was_live ? ledger_wait_again(l, e, CANDIDATE_BRED) : ledger_put_candidate(l, e);
}

static status take_late(ledger *l, attempt *a, int64_t wall_ms, Mendel__Verdict *verdict)
{
    *verdict = MENDEL__VERDICT__VERDICT_LATE;
    return ledger_put_attempt(l, a, ATTEMPT_LATE, wall_ms);
}

/* A candidate that was given up as lost, or whose attempts all crashed, may still be done by an attempt that was written off. */
static bool may_count(const ledger *l, const entry *e)
{
    return e->kept.state != CANDIDATE_DONE && e->kept.state != CANDIDATE_STOPPED && !ledger_finished(l);
}

status ledger_result(ledger *l, const delivery *d, const Mendel__Result *r, int64_t wall_ms, Mendel__Verdict *verdict)
{
    attempt *a;
    entry *e;
    TRY(take(l, d, verdict, &a, &e));
    if (!a) return OK;
    a->kept.result_count = (int)r->n_results;
    if (r->n_results) memcpy(a->kept.results, r->results, sizeof a->kept.results);
    if (!may_count(l, e)) return take_late(l, a, wall_ms, verdict);
    const char *fault = r->n_results ? find_fault(l, a->kept.results) : NULL;
    if (!fault) return take_result(l, e, a, r->stopped, r->epoch, wall_ms);
    *verdict = MENDEL__VERDICT__VERDICT_INVALID;
    bool diverged = isnan(a->kept.results[2]) || isnan(a->kept.results[3]);
    return take_failure(l, e, a, trainer_reason_name(diverged ? REASON_NAN : REASON_ERROR), fault, wall_ms);
}

/* ---- failures and yields ---- */

static status join_log(const Mendel__Failed *f, char **out)
{
    text all = {0};
    for (size_t i = 0; i < f->n_log; i++) text_add(&all, "%s\n", f->log[i]);
    status s = text_status(&all);
    free(*out);
    *out = s == OK ? text_take(&all) : NULL;
    text_free(&all);
    return s;
}

status ledger_failed(ledger *l, const delivery *d, const Mendel__Failed *f, int64_t wall_ms, Mendel__Verdict *verdict)
{
    attempt *a;
    entry *e;
    TRY(take(l, d, verdict, &a, &e));
    if (!a) return OK;
    if (f->n_log) TRY(join_log(f, &a->kept.log));
    if (!may_count(l, e)) return take_late(l, a, wall_ms, verdict);
    return take_failure(l, e, a, trainer_reason_name(trainer_reason_find(f->reason)), f->detail, wall_ms);
}

static bool is_further(const store_candidate *c, int64_t epoch, int64_t step)
{
    return !c->checkpoint_hash || epoch > c->epoch || (epoch == c->epoch && step > c->checkpoint_step);
}

static status set_checkpoint(entry *e, const char *hash, const char *path, int64_t epoch, int64_t step)
{
    TRY(ledger_set_text(&e->kept.checkpoint_path, path));
    TRY(ledger_set_text(&e->kept.checkpoint_hash, hash));
    e->kept.epoch = epoch;
    e->kept.checkpoint_step = step;
    return OK;
}

void ledger_set_arriving(ledger *l, int64_t candidate, bool arriving)
{
    entry *e = ledger_entry(l, candidate);
    if (e) e->arriving = arriving;
}

status ledger_set_checkpoint(ledger *l, int64_t candidate, const char *hash, int64_t epoch, int64_t step)
{
    entry *e = ledger_entry(l, candidate);
    if (!e || !entry_waits(e)) return OK;
    bool known = e->kept.checkpoint_hash && !strcmp(e->kept.checkpoint_hash, hash);
    if (known || !is_further(&e->kept, epoch, step)) return OK;
    TRY(set_checkpoint(e, hash, "", epoch, step));
    return ledger_put_candidate(l, e);
}

status ledger_yielded(ledger *l, const delivery *d, const Mendel__Yield *y, int64_t wall_ms, Mendel__Verdict *verdict)
{
    attempt *a;
    entry *e;
    TRY(take(l, d, verdict, &a, &e));
    if (!a) return OK;
    if (!may_count(l, e) || e->kept.state == CANDIDATE_FAILED) return take_late(l, a, wall_ms, verdict);
    bool was_live = a->kept.state == ATTEMPT_LEASED;
    TRY(ledger_put_attempt(l, a, ATTEMPT_YIELDED, wall_ms));
    if (*y->checkpoint_hash && is_further(&e->kept, y->epoch, y->step))
        TRY(set_checkpoint(e, y->checkpoint_hash, y->checkpoint_path, y->epoch, y->step));
    if (e->count >= ATTEMPTS_MOST && !entry_is_leased(e))
        return ledger_fail(l, e, "lost", "it was handed on again and again, and never trained to its end", wall_ms);
    if (was_live || entry_waits(e)) return ledger_wait_again(l, e, CANDIDATE_YIELDED);
    return ledger_put_candidate(l, e);
}
