/* lease.c - giving candidates out, and taking them back from who is silent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fault.h"
#include "common/log.h"
#include "coordinator/ledger/inner.h"

/* ---- the same request again ---- */

static bool is_request(const store_attempt *a, const lease_request *r)
{
    return a->number == r->number && a->slot == r->slot && !strcmp(a->session, r->session);
}

/* The attempt that this request has been answered with; NULL: it is new. */
static attempt *find_request(const ledger *l, const lease_request *r, entry **of)
{
    uint64_t hash = request_hash(r->session, r->slot, r->number);
    for (const answered *given = NULL; (given = ledger_next_answer(l, hash, given));) {
        entry *e = ledger_entry(l, given->candidate);
        attempt *a = &e->attempts[given->attempt - 1];
        if (!is_request(&a->kept, r)) continue;
        *of = e;
        return a;
    }
    return NULL;
}

/* ---- a new lease ---- */

/* A candidate whose last attempt crashed on this worker goes elsewhere, if there is an elsewhere. */
static bool suits(const entry *e, const lease_request *r)
{
    if (!e->kept.crashes || !e->count || !r->elsewhere) return true;
    const store_attempt *last = &e->attempts[e->count - 1].kept;
    return last->state != ATTEMPT_FAILED || strcmp(last->worker, r->worker);
}

static entry *find_waiting(ledger *l, const lease_request *r)
{
    if (!ledger_waiting(l)) return NULL;
    for (size_t i = ledger_first_open(l); i < l->count; i++)
        if (entry_waits(&l->entries[i]) && !l->entries[i].arriving && suits(&l->entries[i], r)) return &l->entries[i];
    return NULL;
}

static int64_t in_hands(const ledger *l)
{
    return l->counts[CANDIDATE_LEASED] + ledger_waiting(l);
}

static status breed(ledger *l, int64_t wall_ms, entry **out)
{
    int64_t number = (int64_t)l->count + 1;
    store_candidate c = {.number = number, .state = CANDIDATE_BRED, .bred_ms = wall_ms};
    TRY(strategy_breed(l->spec->strategy, &l->population, l->spec->base, &l->spec->breeding, l->spec->seed, number,
                       &c.made));
    TRY(array_room_unset(&l->entries, &l->room, l->count + 1));
    l->entries[l->count] = (entry){.kept = c};
    *out = &l->entries[l->count++];
    return OK;
}

static void copy_id(char to[33], const char *from)
{
    snprintf(to, 33, "%s", from);
}

static status lease(ledger *l, entry *e, const lease_request *r, int64_t now_ms, int64_t wall_ms, attempt **out)
{
    TRY(entry_make_room(e));
    attempt *a = &e->attempts[e->count];
    *a = (attempt){.deadline_ms = now_ms + l->o.lease_ms};
    a->kept.candidate = e->kept.number;
    a->kept.attempt = (int64_t)e->count + 1;
    a->kept.epoch = l->o.epoch;
    a->kept.slot = r->slot;
    a->kept.number = r->number;
    a->kept.leased_ms = wall_ms;
    a->kept.resumed = e->kept.checkpoint_path || e->kept.checkpoint_hash;
    copy_id(a->kept.session, r->session);
    copy_id(a->kept.worker, r->worker);
    e->count++;
    TRY(ledger_remember_answer(l, &a->kept));
    TRY(ledger_set_text(&a->kept.host, r->host));
    TRY(ledger_set_text(&a->kept.device, r->device));
    e->kept.state = CANDIDATE_LEASED;
    e->kept.attempts = (int64_t)e->count;
    TRY(ledger_put_candidate(l, e));
    *out = a;
    return ledger_put_attempt(l, a, ATTEMPT_LEASED, wall_ms);
}

/* The same request again: the same attempt, if it is still that session's to train. */
static status answer_again(ledger *l, entry *e, attempt *a, int64_t now_ms, lease_answer *answer)
{
    token t = {a->kept.candidate, a->kept.attempt, a->kept.epoch};
    bool open = !a->delivered && !candidate_has_ended(&e->kept) && ledger_renew(l, t, a->kept.session, now_ms);
    *answer = open ? LEASE_GIVEN : LEASE_STALE;
    return OK;
}

status ledger_lease(ledger *l, const lease_request *r, int64_t now_ms, int64_t wall_ms, lease_answer *answer,
                    const store_candidate **candidate, const store_attempt **given)
{
    entry *e = NULL;
    attempt *a = find_request(l, r, &e);
    status s = OK;
    *answer = LEASE_GIVEN;
    if (a) s = answer_again(l, e, a, now_ms, answer);
    else if (ledger_finished(l)) *answer = LEASE_FINISHED;
    else {
        e = find_waiting(l, r);
        if (!e && !l->o.fixed && l->evaluated + in_hands(l) < l->o.generations) s = breed(l, wall_ms, &e);
        if (s == OK && e) s = lease(l, e, r, now_ms, wall_ms, &a);
        if (!e) *answer = LEASE_NOTHING;
    }
    *candidate = e ? &e->kept : NULL;
    *given = a ? &a->kept : NULL;
    return s;
}

/* ---- signs of life ---- */

/* What was given up as lost may still be done by an attempt that comes back. */
static bool is_wanted(const ledger *l, const store_candidate *c)
{
    if (ledger_finished(l)) return false;
    return !candidate_has_ended(c) || (c->state == CANDIDATE_FAILED && c->reason && !strcmp(c->reason, "lost"));
}

bool ledger_renew(ledger *l, token t, const char *session, int64_t now_ms)
{
    attempt *a = ledger_find(l, t);
    entry *e = ledger_entry(l, t.candidate);
    if (a && a->delivered) return true; /* and was not acknowledged yet when this was sent */
    if (!a || !is_wanted(l, &e->kept)) return false;
    if (candidate_has_ended(&e->kept)) return true; /* given up as lost: its result may still come */
    a->deadline_ms = now_ms + l->o.lease_ms;
    FAULT_NOTE("renews", "", &a->kept);
    if (strcmp(a->kept.session, session)) { /* from its spool: no request of this session was answered with it */
        copy_id(a->kept.session, session);
        a->kept.number = 0;
    }
    if (a->kept.state != ATTEMPT_LOST || e->kept.state != CANDIDATE_LOST) return true;
    /* Written off, but alive, and nobody else has its candidate: go on as if nothing had happened. */
    e->kept.state = CANDIDATE_LEASED;
    a->kept.ended_ms = 0;
    if (ledger_put_candidate(l, e) != OK || ledger_put_attempt(l, a, ATTEMPT_LEASED, 0) != OK)
        log_error("%s", status_message()); /* the commit of this turn fails with it */
    return true;
}

int64_t ledger_next_expiry(const ledger *l)
{
    int64_t next = INT64_MAX;
    for (size_t i = l->first_open; i < l->count; i++)
        for (size_t k = 0; k < l->entries[i].count; k++) {
            const attempt *a = &l->entries[i].attempts[k];
            if (a->kept.state == ATTEMPT_LEASED && a->deadline_ms < next) next = a->deadline_ms;
        }
    return next;
}

void ledger_forgive(ledger *l, int64_t ms)
{
    for (size_t i = ledger_first_open(l); i < l->count; i++)
        for (size_t k = 0; k < l->entries[i].count; k++) l->entries[i].attempts[k].deadline_ms += ms;
}

/* ---- taking back ---- */

static status lose(ledger *l, entry *e, attempt *a, const char *why, int64_t wall_ms)
{
    TRY(ledger_set_text(&a->kept.reason, "lost"));
    TRY(ledger_set_text(&a->kept.detail, why));
    TRY(ledger_put_attempt(l, a, ATTEMPT_LOST, wall_ms));
    e->kept.lost++;
    if (entry_is_leased(e)) return ledger_put_candidate(l, e);
    if (e->kept.lost > l->o.max_lost) return ledger_fail(l, e, "lost", why, wall_ms);
    return ledger_wait_again(l, e, CANDIDATE_LOST);
}

status ledger_expire(ledger *l, int64_t now_ms, int64_t wall_ms)
{
    for (size_t i = ledger_first_open(l); i < l->count; i++)
        for (size_t k = 0; k < l->entries[i].count; k++) {
            attempt *a = &l->entries[i].attempts[k];
            if (a->kept.state != ATTEMPT_LEASED || a->deadline_ms > now_ms) continue;
            FAULT_NOTE("expires", "", &a->kept);
            TRY(lose(l, &l->entries[i], a, "its worker was not heard of any more", wall_ms));
        }
    return OK;
}

static bool is_held(const store_attempt *a, const token *held, size_t count)
{
    token t = {a->candidate, a->attempt, a->epoch};
    for (size_t i = 0; i < count; i++)
        if (token_equal(t, held[i])) return true;
    return false;
}

status ledger_release(ledger *l, const char *worker, const char *session, const token *held, size_t held_count,
                      int64_t wall_ms)
{
    for (size_t i = ledger_first_open(l); i < l->count; i++)
        for (size_t k = 0; k < l->entries[i].count; k++) {
            attempt *a = &l->entries[i].attempts[k];
            if (a->kept.state != ATTEMPT_LEASED || strcmp(a->kept.worker, worker)) continue;
            bool own = session && !strcmp(a->kept.session, session); /* may be on its way to it */
            if (!own && !is_held(&a->kept, held, held_count))
                TRY(lose(l, &l->entries[i], a, "its worker has gone", wall_ms));
        }
    return OK;
}
