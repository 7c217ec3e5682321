#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/client_inner.h"

static const int64_t disk_retry_ms = 5000;
enum { NAME_MOST = 200 };

/* ---- while it trains ---- */

static void keep_name(char **into, const char *name)
{
    size_t length = strlen(name);
    free(*into);
    *into = text_copy_bytes(name, length < NAME_MOST ? length : NAME_MOST); /* NULL without memory: not known */
}

static const char *device_of(const client *c, const slot *s)
{
    return s->device ? s->device : c->place->about.model;
}

static void send_accepted(client *c, const slot *s)
{
    Mendel__Accepted accepted = MENDEL__ACCEPTED__INIT;
    Mendel__Token t;
    token_write(s->token, &t);
    accepted.token = &t;
    accepted.device = (char *)device_of(c, s);
    accepted.precision = s->precision ? s->precision : "";
    accepted.threads = s->threads;
    if (c->state == CLIENT_WELCOME) client_send(c, MENDEL__ENVELOPE__BODY_ACCEPTED, &accepted);
}

static void take_hello(client *c, slot *s, const trainer_message *m)
{
    keep_name(&s->device, m->device);
    keep_name(&s->precision, m->precision);
    s->threads = m->threads;
    send_accepted(c, s);
}

static void progress(client *c, slot *s, const trainer_message *m)
{
    Mendel__Progress p = MENDEL__PROGRESS__INIT;
    Mendel__Token t;
    bytes packed = {0};
    token_write(s->token, &t);
    p.token = &t;
    p.epoch = s->epoch = m->epoch;
    if (m->kind == TRAINER_ITERATION) s->epochs = m->epochs;
    p.epochs = s->epochs;
    p.step = m->step;
    p.steps = m->steps;
    p.loss = m->loss;
    p.images_per_s = m->images_per_s;
    p.memory = m->memory;
    if (m->kind == TRAINER_EPOCH && map_pack_metrics(&m->metrics, &packed) == OK)
        p.metrics = (ProtobufCBinaryData){packed.count, packed.data};
    if (c->state == CLIENT_WELCOME) client_send(c, MENDEL__ENVELOPE__BODY_PROGRESS, &p);
    bytes_free(&packed);
}

static bool is_new_warning(client *c, const char *line)
{
    uint64_t hash = XXH3_64bits(line, strlen(line));
    for (size_t i = 0; i < c->warned_count; i++)
        if (c->warned[i] == hash) return false;
    if (c->warned_count == WARNINGS_MOST) return false;
    c->warned[c->warned_count++] = hash;
    return true;
}

void report_warnings(client *c, slot *s)
{
    static const char front[] = "warning: ";
    const tail *log = trial_log(s->trial);
    size_t fresh = log->ended - s->lines_heard;
    if (fresh > log->count) fresh = log->count;
    for (size_t i = log->count - fresh; i < log->count; i++) {
        const char *line = tail_line(log, i);
        if (text_starts_with(line, front) && is_new_warning(c, line)) log_warning("%s", line + strlen(front));
    }
    s->lines_heard = log->ended;
}

/* ---- deliveries ---- */

static void write_record(const client *c, const slot *s, const trainer_message *m, Mendel__Record *r)
{
    double took = (double)(c->now_ms - s->started_ms) / 1000;
    bool says = m->kind == TRAINER_DONE && isfinite(m->seconds) && m->seconds >= 0;
    *r = (Mendel__Record)MENDEL__RECORD__INIT;
    r->device = (char *)device_of(c, s);
    r->precision = s->precision ? s->precision : "";
    r->threads = s->threads ? s->threads : c->place->threads;
    r->seconds = says ? m->seconds : took;
    r->peak_memory = m->memory ? m->memory : s->trial ? trial_peak_memory(s->trial) : 0;
    r->version = (char *)MENDEL_VERSION;
    r->resumed = s->resumed;
    r->host = c->host;
}

/* Into the spool, and from there on its way. */
static void deliver(client *c, slot *s, envelope_kind kind, void *body)
{
    envelope outer, *e = NULL;
    bytes packed = {0};
    wire_envelope(&outer, &c->ids, kind, body);
    status result = wire_pack(&outer, &packed);
    if (result == OK) result = wire_unpack(packed.data, packed.count, &e);
    if (result == OK) result = spool_put(c->spool, &e);
    if (result != OK) log_error("candidate %lld: %s", (long long)s->token.candidate, status_message());
    wire_free(&e);
    bytes_free(&packed);
    s->ended = true;
}

/* The trained weights, if they are to be kept and the trainer has left them. The result does not depend on them. */
static void name_weights(client *c, const slot *s, Mendel__Result *r, spool_file *kept)
{
    if (!s->weights || r->stopped || !fs_is_file(s->weights)) return;
    if (spool_keep(c->spool, SPOOL_WEIGHTS, s->weights, kept) != OK) {
        log_warning("the weights of candidate %lld are not kept: %s", (long long)s->token.candidate, status_message());
        return;
    }
    r->weights_hash = kept->hash;
    r->weights_bytes = kept->bytes;
}

static void deliver_result(client *c, slot *s, const trainer_message *m)
{
    Mendel__Result r = MENDEL__RESULT__INIT;
    Mendel__Record record;
    Mendel__Token t;
    spool_file weights = {0};
    write_record(c, s, m, &record);
    token_write(s->token, &t);
    r.token = &t;
    r.record = &record;
    r.stopped = m->kind == TRAINER_STOPPED;
    r.results = (double *)m->results;
    r.n_results = (size_t)m->result_count;
    r.epoch = r.stopped ? m->epoch : s->epochs;
    name_weights(c, s, &r, &weights);
    if (r.stopped) log_info("candidate %lld stopped in epoch %lld", (long long)s->token.candidate, (long long)m->epoch);
    else
        log_info("candidate %lld done in %.0f s: mAP@.5 %.4g, mAP@.5:.95 %.4g", (long long)s->token.candidate,
                 record.seconds, m->results[2], m->results[3]);
    deliver(c, s, MENDEL__ENVELOPE__BODY_RESULT, &r);
    free(weights.path);
}

static void deliver_failed(client *c, slot *s, const trainer_message *m)
{
    Mendel__Failed f = MENDEL__FAILED__INIT;
    Mendel__Record record;
    Mendel__Token t;
    char *lines[WIRE_LOG_MOST], *cut;
    const tail *log = s->trial ? trial_log(s->trial) : NULL;
    write_record(c, s, m, &record);
    token_write(s->token, &t);
    f.token = &t;
    f.record = &record;
    f.reason = (char *)trainer_reason_name(m->reason);
    f.detail = wire_sentence(m->detail ? m->detail : "", &cut);
    for (size_t i = 0; log && i < log->count && i < WIRE_LOG_MOST; i++) lines[f.n_log++] = (char *)tail_line(log, i);
    f.log = lines;
    log_warning("candidate %lld failed (%s): %s", (long long)s->token.candidate, f.reason, f.detail);
    deliver(c, s, MENDEL__ENVELOPE__BODY_FAILED, &f);
    free(cut);
}

void report_failed(client *c, slot *s, trainer_reason reason, const char *detail)
{
    char *copy = text_copy(detail);
    trainer_message m = {.kind = TRAINER_FAILED, .reason = reason, .detail = copy};
    deliver_failed(c, s, &m);
    free(copy);
}

/* The checkpoint that was asked for when this worker was told to go. */
static void hand_on(client *c, slot *s, const trainer_message *m)
{
    Mendel__Yield y = MENDEL__YIELD__INIT;
    Mendel__Record record;
    Mendel__Token t;
    spool_file kept = {0};
    if (!s->leaving || s->ended) return;
    if (!*m->path || spool_keep(c->spool, SPOOL_CHECKPOINTS, m->path, &kept) != OK)
        log_warning("candidate %lld: no checkpoint to hand on%s%s", (long long)s->token.candidate, *m->path ? ": " : "",
                    *m->path ? status_message() : "");
    write_record(c, s, m, &record);
    token_write(s->token, &t);
    y.token = &t;
    y.record = &record;
    y.epoch = m->epoch;
    y.step = m->step;
    y.checkpoint_hash = kept.hash;
    y.checkpoint_bytes = kept.bytes;
    y.checkpoint_path = kept.path ? kept.path : "";
    deliver(c, s, MENDEL__ENVELOPE__BODY_YIELD, &y);
    log_info("candidate %lld handed on in epoch %lld", (long long)s->token.candidate, (long long)m->epoch);
    trial_kill(s->trial);
    free(kept.path);
}

void report_message(client *c, slot *s, const trainer_message *m)
{
    bool last = m->kind == TRAINER_DONE || m->kind == TRAINER_STOPPED || m->kind == TRAINER_FAILED;
    if (last && (s->unwanted || s->ended)) {
        s->ended = true;
        return;
    }
    switch (m->kind) {
    case TRAINER_HELLO: take_hello(c, s, m); break;
    case TRAINER_ITERATION:
    case TRAINER_EPOCH: progress(c, s, m); break;
    case TRAINER_CHECKPOINTED: hand_on(c, s, m); break;
    case TRAINER_DONE: deliver_result(c, s, m); break;
    case TRAINER_STOPPED:
        if (s->leaving) s->ended = true; /* in time to stop, not to save: the lease is lost */
        else deliver_result(c, s, m);
        break;
    case TRAINER_FAILED: deliver_failed(c, s, m); break;
    default: break;
    }
}

/* ---- sending ---- */

status report_held(const client *c, Mendel__Token **list, Mendel__Token ***out, size_t *count)
{
    size_t room = (size_t)c->place->slots + spool_count(c->spool), n = 0;
    *list = NULL;
    *out = NULL;
    *count = 0;
    if (!c->ids.has_run) return OK;
    TRY(array_new(list, room));
    TRY(array_new(out, room));
    for (int64_t i = 0; i < c->place->slots; i++) {
        const slot *s = &c->slots[i];
        bool holds = s->state == SLOT_WAITING || (s->state == SLOT_TRAINING && !s->ended);
        if (holds && !s->unwanted) token_write(s->token, &(*list)[n++]);
    }
    for (size_t i = 0; i < spool_count(c->spool); i++) {
        const delivery *d = spool_at(c->spool, i);
        if (wire_id_equal(&d->run, &c->ids.run) && !d->known) token_write(d->token, &(*list)[n++]);
    }
    for (size_t i = 0; i < n; i++) (*out)[i] = &(*list)[i];
    *count = n < WIRE_HELD_MOST ? n : WIRE_HELD_MOST;
    return OK;
}

static void beat(client *c)
{
    Mendel__Heartbeat heartbeat = MENDEL__HEARTBEAT__INIT;
    Mendel__Token *tokens = NULL, **held = NULL;
    status s = report_held(c, &tokens, &held, &heartbeat.n_held);
    heartbeat.held = held;
    if (s == OK) s = client_send(c, MENDEL__ENVELOPE__BODY_HEARTBEAT, &heartbeat);
    c->beat_ms = c->now_ms + (s == OK ? client_heartbeat_ms(c) : LEFT_UNSENT_MS);
    free(tokens);
    free(held);
}

void report_again(client *c)
{
    for (size_t i = 0; i < spool_count(c->spool); i++) spool_at(c->spool, i)->next_ms = 0;
    for (int64_t i = 0; i < c->place->slots; i++)
        if (c->slots[i].device && !c->slots[i].ended) send_accepted(c, &c->slots[i]);
}

/* The body as it was made; around it this session, which the coordinator knows. */
static void send_due(client *c)
{
    bool busy = false; /* then the others wait as well, so that they stay in order */
    for (size_t i = 0; i < spool_count(c->spool); i++) {
        delivery *d = spool_at(c->spool, i);
        if (!wire_id_equal(&d->run, &c->ids.run) || c->now_ms < d->next_ms) continue;
        busy = busy || client_send(c, d->e->body_case, d->e->result) != OK;
        d->next_ms = c->now_ms + (busy ? LEFT_UNSENT_MS : client_retry_ms(c));
    }
}

void report_follow(client *c)
{
    if (c->now_ms >= c->spool_ms) {
        c->spool_ms = c->now_ms + disk_retry_ms;
        spool_retry(c->spool);
    }
    if (!c->ids.has_run) return;
    bool talks = c->state == CLIENT_WELCOME || c->state == CLIENT_CHECKING;
    if (talks && c->now_ms >= c->beat_ms) beat(c);
    if (c->state == CLIENT_WELCOME) send_due(c);
}

void report_heard(client *c)
{
    int64_t later = c->now_ms + client_lease_ms(c);
    if (c->finished && later > c->leave_ms) c->leave_ms = later;
    if (c->quiet_ms) c->quiet_ms = c->now_ms + FILE_AGAIN_MS;
}

static void say_verdict(const Mendel__ResultAck *ack, token t)
{
    static const char *const words[] = {NULL, "came late: another result counts", "is unknown to this run",
                                        "makes no sense to the coordinator, and counts as a failure"};
    bool odd = (unsigned)ack->verdict < sizeof words / sizeof *words && words[ack->verdict];
    if (odd) log_info("candidate %lld %s", (long long)t.candidate, words[ack->verdict]);
}

void report_on_result_ack(client *c, envelope **e)
{
    const Mendel__ResultAck *ack = (*e)->result_ack;
    token t = token_read(ack->token);
    delivery *d = spool_find(c->spool, &c->ids.run, t);
    int64_t bytes;
    if (!d) return;
    if (!d->known) say_verdict(ack, t);
    report_heard(c);
    d->known = true;
    if (ack->file == MENDEL__FILE_FATE__FILE_WANTED && spool_file_of(c->spool, d, &bytes, NULL))
        d->next_ms = c->now_ms + FILE_AGAIN_MS;
    else if (ack->file == MENDEL__FILE_FATE__FILE_TAKEN) spool_hand_over(c->spool, &c->ids.run, t);
    else spool_remove(c->spool, &c->ids.run, t);
}
