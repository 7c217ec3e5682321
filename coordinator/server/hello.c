/* hello.c - who may work for this run: the same program, the same data set, the precision that the run has. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"
#include "coordinator/server/inner.h"

static const int64_t retry_ms = 2000;

status server_refuse(server *s, const incoming *in, Mendel__RefusedReason reason, const char *detail)
{
    Mendel__Refused refused = MENDEL__REFUSED__INIT;
    char *copy;
    refused.reason = reason;
    /* Room comes with time; and so does a worker's id, when it comes back another way than it was seen last. */
    refused.later = reason == MENDEL__REFUSED_REASON__REFUSED_FULL || reason == MENDEL__REFUSED_REASON__REFUSED_KEY;
    refused.detail = wire_sentence(detail, &copy);
    status result = server_reply(s, &in->from, &in->session, MENDEL__ENVELOPE__BODY_REFUSED, &refused);
    free(copy);
    return result;
}

status server_hello_again(server *s, const incoming *in)
{
    Mendel__HelloAgain again = MENDEL__HELLO_AGAIN__INIT;
    return server_reply(s, &in->from, &in->session, MENDEL__ENVELOPE__BODY_HELLO_AGAIN, &again);
}

/* ---- what a worker must agree in ---- */

static const Mendel__Digest *find_digest(const Mendel__Hello *h, const char *split)
{
    for (size_t i = 0; i < h->n_data; i++)
        if (!strcmp(h->data[i]->split, split)) return h->data[i];
    return NULL;
}

static const char *const splits[] = {"train", "val"};

/* OK, or ERR_REFUSED with the difference. */
static status compare_data(const run_spec *spec, const Mendel__Hello *h)
{
    for (int split = DATA_TRAIN; split <= DATA_VAL; split++) {
        const Mendel__Digest *told = find_digest(h, splits[split]);
        data_digest there;
        if (!told) return FAIL(ERR_REFUSED, "the worker did not say what its %s is", splits[split]);
        TRY(wire_digest_read(told, &there));
        TRY(data_digest_compare(splits[split], &there, &spec->digests[split]));
    }
    return OK;
}

static bool can_do(const Mendel__Device *d, const char *precision)
{
    for (size_t i = 0; i < d->n_precisions; i++)
        if (!strcmp(d->precisions[i], precision)) return true;
    return !strcmp(d->precision, precision);
}

/* `auto` becomes what the first worker takes; from then on it is part of the run. */
static status settle_precision(server *s, const Mendel__Hello *h)
{
    run_spec *spec = &s->run->spec;
    const option_row *row = options_find(train_rows, TRAIN_ROWS, "precision");
    text name = {0};
    status result = OK;
    if (spec->train.precision == TRAIN_AUTO) {
        result = options_set(row, &spec->train, h->device->precision, "the worker's precision");
        if (result == OK && spec->train.precision == TRAIN_AUTO)
            result = FAIL(ERR_REFUSED, "the worker has no precision");
        if (result == OK) result = spec_save_settled(s->run->store, spec);
        if (result == OK) {
            bytes_free(&s->options);
            result = map_pack_options(train_rows, TRAIN_ROWS, &spec->train, &s->options);
        }
        return result;
    }
    options_get(row, &spec->train, &name);
    result = text_status(&name);
    if (result == OK && !can_do(h->device, text_string(&name)))
        result = FAIL(ERR_REFUSED, "the run trains in %s, which %s cannot", text_string(&name),
                      *h->device->model ? h->device->model : h->device->name);
    text_free(&name);
    return result;
}

/* ---- Welcome ---- */

static void write_digests(const run_spec *spec, Mendel__Digest *digests, Mendel__Digest **list)
{
    for (int split = DATA_TRAIN; split <= DATA_VAL; split++) {
        wire_digest_write(splits[split], &spec->digests[split], &digests[split]);
        list[split] = &digests[split];
    }
}

/* The held attempts that nobody needs any more; *count of them, at most as many as are held. */
static void find_unwanted(server *s, const Mendel__Hello *h, const session *of, Mendel__Token **list, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < h->n_held; i++)
        if (!server_renew(s, of, token_read(h->held[i]))) list[(*count)++] = h->held[i];
}

static status welcome(server *s, const session *to, const Mendel__Hello *h, bool check)
{
    const run_spec *spec = &s->run->spec;
    Mendel__Welcome w = MENDEL__WELCOME__INIT;
    Mendel__Digest digests[DATA_VAL + 1], *list[DATA_VAL + 1];
    Mendel__Token **unwanted = calloc(h->n_held + 1, sizeof *unwanted);
    if (!unwanted) return FAIL(ERR_MEMORY, "out of memory");
    w.check = check;
    w.heartbeat_ms = s->o.heartbeat_ms;
    w.lease_ms = s->o.lease_ms;
    w.stall_ms = s->o.stall_ms;
    w.retry_ms = retry_ms;
    w.name = s->run->name;
    w.data_yaml = spec->data_yaml;
    w.data_root = spec->data_root;
    w.model_name = spec->train.cfg;
    w.model_yaml = spec->model_yaml;
    w.options = (ProtobufCBinaryData){s->options.count, s->options.data};
    w.base_hyps = (ProtobufCBinaryData){s->base.count, s->base.data};
    w.weights_path = spec->weights_path;
    w.weights_hash = spec->weights_hash;
    w.weights_bytes = spec->weights_bytes;
    w.keep_weights = s->run->keep != KEEP_NONE;
    if (spec->has_data) {
        write_digests(spec, digests, list);
        w.data = list;
        w.n_data = DATA_VAL + 1;
    }
    if (!check) find_unwanted(s, h, to, unwanted, &w.n_unwanted);
    w.unwanted = unwanted;
    status result = server_reply(s, &to->to, &to->id, MENDEL__ENVELOPE__BODY_WELCOME, &w);
    free(unwanted);
    return result;
}

/* What the worker's earlier session held, and this one does not, is lost. */
static status release_others(server *s, const session *of, const Mendel__Hello *h)
{
    token *held = calloc(h->n_held + 1, sizeof *held);
    if (!held) return FAIL(ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < h->n_held; i++) held[i] = token_read(h->held[i]);
    status result = ledger_release(s->run->ledger, of->worker, of->text, held, h->n_held, s->wall_ms);
    free(held);
    return result;
}

/* ---- Hello ---- */

static status admit(server *s, const incoming *in, session *of)
{
    const Mendel__Hello *h = in->e->hello;
    bool was_welcome = of->state == SESSION_WELCOME;
    if (!was_welcome) TRY(release_others(s, of, h));
    TRY(welcome(s, of, h, false)); /* before the slots are filled in: it renews what the worker holds */
    for (size_t i = 0; i < h->n_held; i++) {
        const store_attempt *a = server_attempt_of(s, of, token_read(h->held[i]));
        if (a && a->state == ATTEMPT_LEASED && !fleet_progress(of, token_read(h->held[i])))
            fleet_begin(of, a->slot, token_read(h->held[i]));
    }
    of->state = SESSION_WELCOME;
    if (was_welcome || !server_may_tell(s)) return OK;
    log_info("worker %s (%s, %lld slot%s) is here", of->label, of->device, (long long)of->slots,
             of->slots == 1 ? "" : "s");
    text words = {0};
    text_add(&words, "worker %s, process %lld on %s, %s", of->worker, (long long)of->pid, of->host, of->device);
    status result = text_status(&words);
    if (result == OK) result = store_add_event(s->run->store, s->wall_ms, "worker", text_string(&words));
    text_free(&words);
    return result;
}

static status refuse_for(server *s, const incoming *in, session *of, Mendel__RefusedReason reason)
{
    if (server_may_tell(s)) log_warning("worker %s is refused: %s", of->label, status_message());
    status result = server_refuse(s, in, reason, status_message());
    fleet_forget(&s->fleet, of);
    return result;
}

static bool is_refusal(status s)
{
    return s == ERR_REFUSED || s == ERR_ARGUMENT || s == ERR_PROTOCOL;
}

/* A session is of the key that it was greeted with, and a worker of the key of its live session: nobody can speak for another, who
 * would lose what it holds. */
static status greet(server *s, const incoming *in, session **of)
{
    const Mendel__Hello *h = in->e->hello;
    const session *known = fleet_find(&s->fleet, &in->session);
    if ((known && strcmp(known->key, in->peer.key)) ||
        fleet_is_claimed(&s->fleet, h->worker, in->peer.key, s->now_ms - s->o.lease_ms))
        return FAIL(ERR_REFUSED, "a worker of this id is here with another key");
    return fleet_greet(&s->fleet, &in->session, in->peer.key, h, of);
}

status server_hello(server *s, const incoming *in)
{
    const Mendel__Hello *h = in->e->hello;
    wire_id run;
    session *of;
    if (wire_id_read(&in->e->run, &run) && !wire_id_equal(&run, &s->run->id))
        return server_refuse(s, in, MENDEL__REFUSED_REASON__REFUSED_RUN, "this coordinator has another run");
    status result = greet(s, in, &of);
    if (result == ERR_REFUSED || result == ERR_BUSY)
        return server_refuse(s, in,
                             result == ERR_BUSY ? MENDEL__REFUSED_REASON__REFUSED_FULL
                                                : MENDEL__REFUSED_REASON__REFUSED_KEY,
                             status_message());
    TRY(result);
    of->to = in->from;
    of->local = in->peer.local;
    of->heard_ms = s->now_ms;
    if (strcmp(h->version, MENDEL_VERSION)) {
        FAIL(ERR_REFUSED, "the worker is version %s, this coordinator %s", h->version, MENDEL_VERSION);
        return refuse_for(s, in, of, MENDEL__REFUSED_REASON__REFUSED_VERSION);
    }
    if (h->external != s->run->spec.external) {
        FAIL(ERR_REFUSED, h->external
                              ? "the run's candidates are trained by Mendel's own trainer, not by worker --trainer"
                              : "the run's candidates are trained by a command: worker --trainer CMD");
        return refuse_for(s, in, of, MENDEL__REFUSED_REASON__REFUSED_TRAINER);
    }
    if (!h->n_data && *s->run->spec.data_yaml) {
        of->state = SESSION_GREETED;
        return welcome(s, of, h, true);
    }
    result = s->run->spec.has_data ? compare_data(&s->run->spec, h) : OK;
    if (is_refusal(result)) return refuse_for(s, in, of, MENDEL__REFUSED_REASON__REFUSED_DATA);
    if (result == OK && !h->external) result = settle_precision(s, h); /* an external trainer's is its own business */
    if (is_refusal(result)) return refuse_for(s, in, of, MENDEL__REFUSED_REASON__REFUSED_PRECISION);
    return result == OK ? admit(s, in, of) : result;
}

status server_goodbye(server *s, session *from)
{
    if (server_may_tell(s)) log_info("worker %s has left", from->label);
    status result = ledger_release(s->run->ledger, from->worker, NULL, NULL, 0, s->wall_ms);
    fleet_forget(&s->fleet, from);
    return result;
}
