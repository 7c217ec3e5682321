/* server_work.c - what welcome sessions say, and what they are answered. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/server_inner.h"

/* When a slot without work asks again. */
static const int64_t wait_ms = 1000, paused_ms = 5000;
/* Of a file at a time. */
enum { BLOB_BYTES = 1 << 20 };

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
    m.seed = s->run->spec.train.seed;
    if (c->checkpoint_path) {
        m.resume_path = c->checkpoint_path;
        m.resume_hash = c->checkpoint_hash ? c->checkpoint_hash : (char *)"";
        m.resume_epoch = c->epoch;
        m.resume_step = c->checkpoint_step;
    }
    status result = say(s, to, MENDEL__ENVELOPE__BODY_CANDIDATE, &m);
    if (!fleet_progress(to, name)) fleet_begin(to, r->slot, name);
    bytes_free(&hyps);
    return result;
}

status server_work_request(server *s, session *from, const Mendel__WorkRequest *r)
{
    const store_candidate *c;
    const store_attempt *a;
    lease_answer answer;
    if (r->slot >= from->slots) return OK;
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
    ledger_renew(s->run->ledger, token_read(a->token), from->text, s->now_ms);
    return OK;
}

/* ---- Stop ---- */

static status stop(server *s, const session *to, token t, const char *reason)
{
    Mendel__Stop m = MENDEL__STOP__INIT;
    Mendel__Token name;
    token_write(t, &name);
    m.token = &name;
    m.reason = (char *)reason;
    m.unwanted = true;
    return say(s, to, MENDEL__ENVELOPE__BODY_STOP, &m);
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
    if (!ledger_renew(s->run->ledger, t, from->text, s->now_ms)) return stop(s, from, t, "it is needed no more");
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
    return OK;
}

status server_heartbeat(server *s, session *from, const Mendel__Heartbeat *h)
{
    Mendel__Heartbeat answer = MENDEL__HEARTBEAT__INIT;
    for (size_t i = 0; i < h->n_held; i++) {
        token t = token_read(h->held[i]);
        if (!ledger_renew(s->run->ledger, t, from->text, s->now_ms)) TRY(stop(s, from, t, "it is needed no more"));
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

static status deliver(server *s, const session *from, const envelope *e, token *t, Mendel__Verdict *verdict)
{
    delivery d = {.session = from->text};
    ledger *l = s->run->ledger;
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_RESULT:
        d.token = *t = token_read(e->result->token);
        d.record = e->result->record;
        TRY(ledger_result(l, &d, e->result, s->wall_ms, verdict));
        if (*verdict == MENDEL__VERDICT__VERDICT_TAKEN) log_result(s, e->result);
        return OK;
    case MENDEL__ENVELOPE__BODY_FAILED:
        d.token = *t = token_read(e->failed->token);
        d.record = e->failed->record;
        log_warning("candidate %lld, attempt %lld: %s: %s", (long long)t->candidate, (long long)t->attempt,
                    e->failed->reason, e->failed->detail);
        return ledger_failed(l, &d, e->failed, s->wall_ms, verdict);
    default:
        d.token = *t = token_read(e->yield->token);
        d.record = e->yield->record;
        return ledger_yielded(l, &d, e->yield, s->wall_ms, verdict);
    }
}

status server_delivery(server *s, session *from, const envelope *e)
{
    Mendel__ResultAck ack = MENDEL__RESULT_ACK__INIT;
    Mendel__Token name;
    token t = {0};
    if (s->full) return OK; /* not acknowledged: it comes again */
    TRY(deliver(s, from, e, &t, &ack.verdict));
    slot_progress *at = fleet_progress(from, t);
    if (at) at->token = (token){0};
    s->report_due = true;
    token_write(t, &name);
    ack.token = &name;
    return say(s, from, MENDEL__ENVELOPE__BODY_RESULT_ACK, &ack);
}

/* ---- files ---- */

static status read_piece(const char *path, int64_t offset, uint8_t *piece, size_t *count)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno));
    ssize_t n = pread(file, piece, BLOB_BYTES, offset);
    close(file);
    if (n < 0) return FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno));
    *count = (size_t)n;
    return OK;
}

/* The run's weights are the only file that workers may ask for. */
status server_blob_wanted(server *s, session *from, const Mendel__BlobAck *b)
{
    const run_spec *spec = &s->run->spec;
    Mendel__Blob blob = MENDEL__BLOB__INIT;
    size_t count = 0;
    if (!*spec->weights_hash || strcmp(b->hash, spec->weights_hash)) return OK;
    if (b->offset < 0 || b->offset >= spec->weights_bytes) return OK;
    uint8_t *piece = malloc(BLOB_BYTES);
    if (!piece) return FAIL(ERR_MEMORY, "out of memory");
    status result = read_piece(spec->weights_path, b->offset, piece, &count);
    if (result != OK) log_warning("%s", status_message());
    blob.hash = spec->weights_hash;
    blob.bytes = spec->weights_bytes;
    blob.offset = b->offset;
    blob.data = (ProtobufCBinaryData){count, piece};
    result = result == OK && count ? say(s, from, MENDEL__ENVELOPE__BODY_BLOB, &blob) : OK;
    free(piece);
    return result;
}
