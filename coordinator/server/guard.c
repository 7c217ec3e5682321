/* guard.c - who may speak, how much, and of what: the gate's list, the limits, and that a worker is heard only about what was
 * given to it. */
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/text.h"
#include "coordinator/server/inner.h"

/* Strangers at the door are mentioned no more often than this. */
static const int64_t tell_away_ms = 60000;

/* ---- how much ---- */

/* The worker of a connection, for people. */
static const char *label_of(const server *s, const routing *from)
{
    for (size_t i = 0; i < s->fleet.count; i++) {
        const routing *to = &s->fleet.sessions[i]->to;
        if (to->count == from->count && !memcmp(to->bytes, from->bytes, to->count)) return s->fleet.sessions[i]->label;
    }
    return "that is not known yet";
}

static bool is_within(server *s, const incoming *in, limit_kind kind, double cost, const char *what)
{
    limit_answer answer = limits_take(s->limits, kind, in->from.bytes, in->from.count, cost, s->now_ms);
    if (answer == LIMIT_FINE) return true;
    s->dropped++;
    if (answer == LIMIT_OVER_FIRST && server_may_tell(s))
        log_warning("worker %s sends more %s than a worker needs to: the rest is left unread", label_of(s, &in->from),
                    what);
    return false;
}

bool server_lets_in(server *s, const incoming *in, size_t count)
{
    if (!gate_admits(s->o.gate, &in->peer)) {
        s->dropped++;
        return false;
    }
    return is_within(s, in, LIMIT_MESSAGES, 1 + (double)count / LIMIT_UNIT_BYTES, "messages");
}

bool server_hears_hello(server *s, const incoming *in)
{
    return is_within(s, in, LIMIT_HELLOS, 1, "greetings");
}

bool server_may_tell(server *s)
{
    if (limits_take(s->limits, LIMIT_WORDS, NULL, 0, 1, s->now_ms) == LIMIT_FINE) {
        if (s->words_left_out)
            log_info("%lld lines about workers that come and go were left out", (long long)s->words_left_out);
        s->words_left_out = 0;
        return true;
    }
    s->words_left_out++;
    return false;
}

/* ---- who ---- */

static const char words[] = "its key was taken off the list (coordinator keys)";

static status refuse_session(server *s, const session *of)
{
    Mendel__Refused refused = MENDEL__REFUSED__INIT;
    refused.reason = MENDEL__REFUSED_REASON__REFUSED_KEY;
    refused.detail = (char *)words;
    return server_reply(s, &of->to, &of->id, MENDEL__ENVELOPE__BODY_REFUSED, &refused);
}

/* It hears why, once; from then on it speaks to nobody. What it held is lost, and given to others. */
static status end_session(server *s, session *of)
{
    text event = {0};
    log_warning("worker %s is shut out: %s", of->label, words);
    text_add(&event, "worker %s on %s is shut out: %s", of->worker, of->host, words);
    status result = text_status(&event);
    if (result == OK) result = store_add_event(s->run->store, s->wall_ms, "worker", event.bytes);
    if (result == OK) result = refuse_session(s, of);
    if (result == OK) result = ledger_release(s->run->ledger, of->worker, NULL, NULL, 0, s->wall_ms);
    fleet_forget(&s->fleet, of);
    text_free(&event);
    return result;
}

static void tell_away(server *s)
{
    char from[64] = "";
    s->away += gate_turned_away(s->o.gate, from, sizeof from);
    if (!s->away || (s->away_ms && s->now_ms - s->away_ms < tell_away_ms)) return;
    s->away_ms = s->now_ms;
    text others = {0};
    if (s->away > 1) text_add(&others, " (and %lld more)", (long long)s->away - 1);
    log_warning("a peer at %s was turned away%s: its key is not on the list (coordinator keys)", *from ? from : "?",
                text_string(&others));
    text_free(&others);
    s->away = 0;
}

status server_shut_out(server *s)
{
    const char *problem;
    if (!s->o.gate) return OK;
    tell_away(s);
    if (!gate_changed(s->o.gate, &problem)) return OK;
    if (problem) log_error("%s; until that is mended nobody is let in over TCP", problem);
    for (size_t i = s->fleet.count; i-- > 0;)
        if (!gate_admits_key(s->o.gate, s->fleet.sessions[i]->key)) TRY(end_session(s, s->fleet.sessions[i]));
    return OK;
}

/* ---- of what ---- */

const store_attempt *server_attempt_of(const server *s, const session *of, token t)
{
    const store_attempt *a = ledger_attempt(s->run->ledger, t);
    return a && (SEEDED(token_ignored) || !strcmp(a->worker, of->worker)) ? a : NULL;
}

bool server_renew(server *s, const session *of, token t)
{
    const store_attempt *a = server_attempt_of(s, of, t);
    return a && (ledger_renew(s->run->ledger, t, of->text, s->now_ms) || server_awaits_weights(s, a));
}

void server_renew_held(server *s, const session *of, const Mendel__Heartbeat *h)
{
    for (size_t i = 0; i < h->n_held; i++) server_renew(s, of, token_read(h->held[i]));
}
