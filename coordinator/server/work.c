/* work.c - what welcome sessions say, and what they are answered. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"
#include "coordinator/server/inner.h"

/* When a slot without work asks again. */
static const int64_t wait_ms = 1000, paused_ms = 5000;

static status say(server *s, const session *to, envelope_kind kind, void *body)
{
    return server_reply(s, &to->to, &to->id, kind, body);
}

/* ---- work ---- */

static status no_work(server *s, const session *to, const Mendel__WorkRequest *r, Mendel__NoWorkReason reason,
                      int64_t ms, const char *detail)
{
    Mendel__NoWork n = MENDEL__NO_WORK__INIT;
    n.slot = r->slot;
    n.number = r->number;
    n.reason = reason;
    n.retry_ms = ms;
    n.detail = (char *)detail;
    return say(s, to, MENDEL__ENVELOPE__BODY_NO_WORK, &n);
}

static status send_candidate(server *s, session *to, const Mendel__WorkRequest *r, const store_candidate *c,
                             const store_attempt *a)
{
    Mendel__Candidate m = MENDEL__CANDIDATE__INIT;
    Mendel__Token t;
    bytes hyps;
    token name = {a->candidate, a->attempt, a->epoch};
    TRY(map_pack_hyps(&s->run->spec.space, c->made.hyps, &hyps));
    token_write(name, &t);
    m.slot = r->slot;
    m.number = r->number;
    m.token = &t;
    m.hyps = (ProtobufCBinaryData){hyps.count, hyps.data};
    m.seed = run_training_seed(s->run, c->number);
    char *checkpoint = NULL;
    status result = server_name_checkpoint(s, to, c, &m, &checkpoint);
    if (result == OK) result = say(s, to, MENDEL__ENVELOPE__BODY_CANDIDATE, &m);
    if (!fleet_progress(to, name)) fleet_begin(to, r->slot, name);
    to->running[r->slot].number = r->number;
    bytes_free(&hyps);
    free(checkpoint);
    return result;
}

static bool is_live(const server *s, const session *of, token t)
{
    const store_attempt *a = t.candidate ? server_attempt_of(s, of, t) : NULL;
    return a && a->state == ATTEMPT_LEASED;
}

/* A slot trains one attempt, while what it has just trained may be on its way. One that asks for more only hoards. */
static bool has_enough(const server *s, const session *from, const Mendel__WorkRequest *r)
{
    const slot_progress *at = &from->running[r->slot];
    return at->number != r->number && is_live(s, from, at->token) && is_live(s, from, at->earlier);
}

status server_work_request(server *s, session *from, const Mendel__WorkRequest *r)
{
    const store_candidate *c;
    const store_attempt *a;
    lease_answer answer;
    if (r->slot >= from->slots) return OK;
    if (has_enough(s, from, r))
        return no_work(s, from, r, MENDEL__NO_WORK_REASON__NO_WORK_WAIT, wait_ms, "the slot has enough to do");
    if (s->full)
        return no_work(s, from, r, MENDEL__NO_WORK_REASON__NO_WORK_PAUSED, paused_ms, "the coordinator's disk is full");
    if (s->paused && !ledger_finished(s->run->ledger))
        return no_work(s, from, r, MENDEL__NO_WORK_REASON__NO_WORK_PAUSED, paused_ms, "the run is paused");
    if (ledger_broken(s->run->ledger))
        return no_work(s, from, r, MENDEL__NO_WORK_REASON__NO_WORK_PAUSED, paused_ms, "the run is being stopped");
    lease_request request = {from->worker, from->text, from->host, from->device, r->slot, r->number, false};
    request.elsewhere = fleet_has_others(&s->fleet, from->worker);
    TRY(ledger_lease(s->run->ledger, &request, s->now_ms, s->wall_ms, &answer, &c, &a));
    switch (answer) {
    case LEASE_GIVEN: return send_candidate(s, from, r, c, a);
    case LEASE_NOTHING:
    case LEASE_STALE: /* its slot is to ask with a new number */
        return no_work(s, from, r, MENDEL__NO_WORK_REASON__NO_WORK_WAIT, wait_ms, "");
    case LEASE_FINISHED: return no_work(s, from, r, MENDEL__NO_WORK_REASON__NO_WORK_FINISHED, paused_ms, "");
    }
    return OK;
}

status server_accepted(server *s, session *from, const Mendel__Accepted *a)
{
    server_renew(s, from, token_read(a->token));
    return OK;
}

/* ---- Stop ---- */

status server_stop(server *s, const session *to, token t, const char *reason, bool unwanted)
{
    Mendel__Stop m = MENDEL__STOP__INIT;
    Mendel__Token name;
    token_write(t, &name);
    m.token = &name;
    m.reason = (char *)reason;
    m.unwanted = unwanted;
    return say(s, to, MENDEL__ENVELOPE__BODY_STOP, &m);
}

static status stop(server *s, const session *to, token t, const char *reason)
{
    return server_stop(s, to, t, reason, true);
}

status server_stop_unwanted(server *s)
{
    const store_attempt *a;
    while ((a = ledger_pop_unwanted(s->run->ledger)) != NULL) {
        wire_id id;
        const session *of = wire_id_parse(a->session, &id) == OK ? fleet_find(&s->fleet, &id) : NULL;
        token t = {a->candidate, a->attempt, a->epoch};
        if (of) TRY(stop(s, of, t, "it is needed no more"));
    }
    return OK;
}

/* ---- signs of life ---- */

status server_progress(server *s, session *from, const Mendel__Progress *p)
{
    token t = token_read(p->token);
    if (!server_renew(s, from, t)) return stop(s, from, t, "it is needed no more");
    slot_progress *at = fleet_progress(from, t);
    if (at) {
        at->epoch = p->epoch;
        at->epochs = p->epochs;
        at->step = p->step;
        at->steps = p->steps;
        at->loss = p->loss;
        at->images_per_s = p->images_per_s;
        at->memory = p->memory;
    }
    return p->metrics.len ? server_look(s, from, p) : OK;
}

status server_heartbeat(server *s, session *from, const Mendel__Heartbeat *h)
{
    Mendel__Heartbeat answer = MENDEL__HEARTBEAT__INIT;
    size_t stops = 0;
    for (size_t i = 0; i < h->n_held; i++) {
        token t = token_read(h->held[i]);
        if (server_renew(s, from, t) || stops == LIMIT_STOPS) continue;
        TRY(stop(s, from, t, "it is needed no more"));
        stops++;
    }
    return say(s, from, MENDEL__ENVELOPE__BODY_HEARTBEAT, &answer);
}

/* ---- deliveries ---- */

static void log_result(const server *s, const Mendel__Result *r)
{
    const run_spec *spec = &s->run->spec;
    if (r->n_results != RESULT_COUNT) return;
    log_info("candidate %lld: fitness %.4g (P %.3g, R %.3g, mAP@.5 %.3g, mAP@.5:.95 %.3g), %.0f s%s",
             (long long)r->token->candidate, fitness(r->results, spec->fitness), r->results[0], r->results[1],
             r->results[2], r->results[3], r->record->seconds, r->stopped ? ", stopped early" : "");
}

/* Shallow: of the log only the end, and none when enough are kept. */
static Mendel__Failed shorten(const server *s, const Mendel__Failed *f)
{
    Mendel__Failed kept = *f;
    size_t bytes = 0, lines = 0;
    while (lines < f->n_log && s->logs_kept < LIMIT_LOGS) {
        bytes += strlen(f->log[f->n_log - lines - 1]) + 1;
        if (bytes > LIMIT_LOG_BYTES) break;
        lines++;
    }
    kept.log += f->n_log - lines;
    kept.n_log = lines;
    return kept;
}

static status deliver_failed(server *s, const delivery *d, const Mendel__Failed *f, bool is_new,
                             Mendel__Verdict *verdict)
{
    Mendel__Failed kept = shorten(s, f);
    if (is_new)
        log_warning("candidate %lld, attempt %lld: %s: %s", (long long)d->token.candidate, (long long)d->token.attempt,
                    f->reason, f->detail);
    s->logs_kept += is_new && kept.n_log > 0;
    return ledger_failed(s->run->ledger, d, &kept, s->wall_ms, verdict);
}

/* A path from elsewhere is not opened here, but told to the next worker: only as what a spool calls its checkpoints. */
static bool is_spool_path(const Mendel__Yield *y)
{
    text end = {0};
    text_add(&end, "/checkpoints/%s.pt", y->checkpoint_hash);
    bool is = text_ends_with(y->checkpoint_path, text_string(&end));
    text_free(&end);
    return is;
}

static status deliver_yield(server *s, const delivery *d, const Mendel__Yield *y, Mendel__Verdict *verdict)
{
    Mendel__Yield kept = *y;
    const store_candidate *c = ledger_candidate(s->run->ledger, d->token.candidate);
    if (!is_spool_path(y)) kept.checkpoint_path = (char *)"";
    /* One that is here is better than a later one that may not come: that takes its place when it has come. */
    if (!*kept.checkpoint_path || (c && server_has_checkpoint(s, c))) kept.checkpoint_hash = (char *)"";
    return ledger_yielded(s->run->ledger, d, &kept, s->wall_ms, verdict);
}

static token token_of(const envelope *e)
{
    if (e->body_case == MENDEL__ENVELOPE__BODY_RESULT) return token_read(e->result->token);
    return token_read(e->body_case == MENDEL__ENVELOPE__BODY_FAILED ? e->failed->token : e->yield->token);
}

static status deliver(server *s, const session *from, const envelope *e, token t, Mendel__Verdict *verdict)
{
    delivery d = {.token = t, .session = from->text};
    const store_attempt *a = server_attempt_of(s, from, t);
    *verdict = MENDEL__VERDICT__VERDICT_UNKNOWN;
    if (!a) return OK;
    bool is_new = a->state == ATTEMPT_LEASED || a->state == ATTEMPT_LOST;
    s->report_due = s->report_due || is_new;
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_RESULT:
        d.record = e->result->record;
        TRY(ledger_result(s->run->ledger, &d, e->result, s->wall_ms, verdict));
        if (is_new && *verdict == MENDEL__VERDICT__VERDICT_TAKEN) log_result(s, e->result);
        return OK;
    case MENDEL__ENVELOPE__BODY_FAILED:
        d.record = e->failed->record;
        return deliver_failed(s, &d, e->failed, is_new, verdict);
    default: d.record = e->yield->record; return deliver_yield(s, &d, e->yield, verdict);
    }
}

status server_delivery(server *s, session *from, const envelope *e)
{
    Mendel__ResultAck ack = MENDEL__RESULT_ACK__INIT;
    Mendel__Token name;
    token t = token_of(e);
    if (s->full) return OK; /* not acknowledged: it comes again */
    TRY(deliver(s, from, e, t, &ack.verdict));
    slot_progress *at = fleet_progress(from, t);
    if (at) at->token = (token){0};
    if (ack.verdict == MENDEL__VERDICT__VERDICT_TAKEN) ack.file = server_file_of(s, from, e);
    token_write(t, &name);
    ack.token = &name;
    return say(s, from, MENDEL__ENVELOPE__BODY_RESULT_ACK, &ack);
}
