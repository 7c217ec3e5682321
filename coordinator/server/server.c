/* server.c - the socket and the turn. guard.c keeps the gate, hello.c admits workers, work.c answers them, show.c
 * draws, dashboard.c tells the dashboard. */
#include "coordinator/server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/text.h"
#include "coordinator/server/inner.h"

enum { MESSAGES_A_TURN = 1024 };
/* A full disk and the wish to pause are looked at this often. */
static const int64_t try_disk_every_ms = 1000, look_every_ms = 1000;
/* A turn waits for half a second at most; one that comes later than this after the one before was held up. */
static const int64_t gap_ms = 1000;
/* A connection that breaks without a word is noticed by the system, not only by silence: after idle_s + probes * between_s; one that
 * does not read what it was sent is closed after stuck_ms. */
static const int handshake_ms = 5000, backlog = 1024, idle_s = 60, between_s = 15, probes = 4, stuck_ms = 30000;
/* How long workers have at the end: to hear that the run is over, to hand over what they have. */
static const int64_t farewell_ms = 5000, grace_ms = 30000, interrupt_ms = 6000;
/* How long a file that has come may take to be checked and synced then. */
static const int64_t settle_ms = 10000;
/* And a bucket, to take what is new: at the end of a run, and when a signal has come. */
static const int64_t share_ms = 60000, share_hurry_ms = 10000;

/* ---- the socket ---- */

/* Listen at one more endpoint, as the socket is set now. */
static status bind_at(server *s, const char *endpoint)
{
    if (!zmq_bind(zsock_resolve(s->socket), endpoint)) return OK;
    int e = zmq_errno();
    return FAIL(e == EADDRINUSE ? ERR_BUSY : ERR_ARGUMENT, "cannot listen on %s: %s", endpoint, zmq_strerror(e));
}

static void limit_socket(zsock_t *socket)
{
    zsock_set_maxmsgsize(socket, LIMIT_MESSAGE_BYTES);
    zsock_set_rcvhwm(socket, LIMIT_QUEUE_IN);
    zsock_set_sndhwm(socket, LIMIT_QUEUE_OUT);
    zsock_set_handshake_ivl(socket, handshake_ms);
    zsock_set_backlog(socket, backlog); /* all workers may come back at once */
    zsock_set_tcp_keepalive(socket, 1);
    zsock_set_tcp_keepalive_idle(socket, idle_s);
    zsock_set_tcp_keepalive_intvl(socket, between_s);
    zsock_set_tcp_keepalive_cnt(socket, probes);
    zsock_set_tcp_maxrt(socket, stuck_ms);
}

/* What is bound first stays without keys: each listener keeps the settings that it was bound with. */
static status open_socket(server *s)
{
    char bound[1024];
    size_t room = sizeof bound;
    s->socket = zsock_new(ZMQ_ROUTER);
    if (!s->socket) return FAIL(ERR_MEMORY, "cannot make a socket: %s", strerror(errno));
    zsock_set_router_mandatory(s->socket, 1);
    zsock_set_router_handover(s->socket, 1);
    zsock_set_linger(s->socket, 500);
    limit_socket(s->socket);
    if (s->o.endpoint) TRY(bind_at(s, s->o.endpoint));
    if (!s->o.tcp) return OK;
    if (s->o.gate) gate_guard(s->o.gate, s->socket);
    zsock_set_ipv6(s->socket, strchr(s->o.tcp, '[') != NULL);
    TRY(bind_at(s, s->o.tcp));
    if (zmq_getsockopt(zsock_resolve(s->socket), ZMQ_LAST_ENDPOINT, bound, &room))
        return FAIL(ERR_IO, "%s: %s", s->o.tcp, zmq_strerror(zmq_errno()));
    s->tcp = text_copy(bound);
    return s->tcp ? OK : FAIL(ERR_MEMORY, "out of memory");
}

const char *server_tcp_endpoint(const server *s)
{
    return s->tcp;
}

/* A line of the log does not tear the block. */
static void hide_view(void *state)
{
    view_hide(state);
}

status server_create(run *r, const server_options *options, server **out)
{
    server *s = *out = calloc(1, sizeof *s);
    if (!s) return FAIL(ERR_MEMORY, "out of memory");
    s->run = r;
    s->o = *options;
    s->pace = PACE_START;
    s->now_ms = r->opened_ms;
    status result = map_pack_options(train_rows, TRAIN_ROWS, &r->spec.train, &s->options);
    if (result == OK) result = map_pack_hyps(&r->spec.trained, r->spec.hyps, &s->base);
    if (result == OK) result = limits_create(&s->limits);
    if (result == OK) result = server_prune_create(s);
    if (result == OK) result = server_share_create(s);
    if (result == OK) result = reporter_create(r->folder, &r->spec, &s->reporter);
    if (result == OK) result = server_transfers_create(s);
    if (result == OK) result = open_socket(s);
    if (result == OK && s->o.show) {
        result = view_create(stderr, &s->view);
        if (result == OK) log_set_before(hide_view, s->view);
    }
    if (result != OK) server_destroy(out);
    return result;
}

static void drop_replies(server *s)
{
    for (size_t i = 0; i < s->reply_count; i++) bytes_free(&s->replies[i].message);
    s->reply_count = 0;
}

void server_destroy(server **server_at)
{
    server *s = *server_at;
    if (!s) return;
    zsock_destroy(&s->socket);
    server_forget_shared(s);
    log_set_before(NULL, NULL);
    view_destroy(&s->view);
    drop_replies(s);
    server_transfers_destroy(s);
    limits_destroy(&s->limits);
    pruning_destroy(&s->pruning);
    server_share_destroy(s);
    reporter_destroy(&s->reporter);
    free(s->tcp);
    free(s->replies);
    fleet_free(&s->fleet);
    bytes_free(&s->options);
    bytes_free(&s->base);
    free(s);
    *server_at = NULL;
}

status server_reply(server *s, const routing *to, const wire_id *session, envelope_kind kind, void *body)
{
    wire_ids ids = {.run = s->run->id, .session = *session, .has_run = true, .epoch = s->run->epoch};
    envelope e;
    wire_envelope(&e, &ids, kind, body);
    TRY(array_room(&s->replies, &s->reply_room, s->reply_count + 1));
    reply *r = &s->replies[s->reply_count];
    TRY(wire_pack(&e, &r->message));
    r->to = *to;
    s->reply_count++;
    return OK;
}

/* A peer that is gone, or that does not read, loses its answer: it asks again. */
static void send_replies(server *s)
{
    void *raw = zsock_resolve(s->socket);
    for (size_t i = 0; i < s->reply_count; i++) {
        const reply *r = &s->replies[i];
        FAULT_PACKED("coordinator sends", r->message.data, r->message.count);
        if (zmq_send(raw, r->to.bytes, r->to.count, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
            zmq_send(raw, r->message.data, r->message.count, ZMQ_DONTWAIT) < 0)
            log_debug("an answer could not be sent: %s", zmq_strerror(errno));
        FAULT_PACKED("coordinator has sent", r->message.data, r->message.count);
    }
    drop_replies(s);
}

/* ---- messages ---- */

static status handle_of_session(server *s, session *from, const incoming *in)
{
    const envelope *e = in->e;
    from->to = in->from;
    from->local = in->peer.local;
    from->heard_ms = s->now_ms;
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_WORK_REQUEST: return server_work_request(s, from, e->work_request);
    case MENDEL__ENVELOPE__BODY_ACCEPTED: return server_accepted(s, from, e->accepted);
    case MENDEL__ENVELOPE__BODY_PROGRESS: return server_progress(s, from, e->progress);
    case MENDEL__ENVELOPE__BODY_HEARTBEAT: return server_heartbeat(s, from, e->heartbeat);
    case MENDEL__ENVELOPE__BODY_RESULT:
    case MENDEL__ENVELOPE__BODY_FAILED:
    case MENDEL__ENVELOPE__BODY_YIELD: return server_delivery(s, from, e);
    case MENDEL__ENVELOPE__BODY_BLOB: return server_blob(s, from, e->blob, in->bytes);
    case MENDEL__ENVELOPE__BODY_BLOB_ACK: return server_blob_wanted(s, from, e->blob_ack);
    case MENDEL__ENVELOPE__BODY_GOODBYE: return server_goodbye(s, from);
    default: return OK; /* what only coordinators say, or a body of a later version */
    }
}

static status handle(server *s, const incoming *in)
{
    wire_id run;
    FAULT_MESSAGE("coordinator hears", in->e);
    if (in->e->body_case == MENDEL__ENVELOPE__BODY_HELLO) return server_hears_hello(s, in) ? server_hello(s, in) : OK;
    if (!wire_id_read(&in->e->run, &run) || !wire_id_equal(&run, &s->run->id))
        return server_refuse(s, in, MENDEL__REFUSED_REASON__REFUSED_RUN, "this coordinator has another run");
    session *from = fleet_find(&s->fleet, &in->session);
    if (from && strcmp(from->key, in->peer.key)) { /* another key's session: not even worth an answer */
        s->dropped++;
        return OK;
    }
    if (in->e->body_case == MENDEL__ENVELOPE__BODY_GOODBYE && !from) return OK;
    /* One that is greeted and says anything but Hello is still checking its data; a sign of life is not worth an answer. */
    if (from && from->state == SESSION_GREETED && in->e->body_case == MENDEL__ENVELOPE__BODY_HEARTBEAT) {
        from->heard_ms = s->now_ms;
        server_renew_held(s, from, in->e->heartbeat);
        return OK;
    }
    if (!from || from->state != SESSION_WELCOME) return server_hello_again(s, in);
    return handle_of_session(s, from, in);
}

/* One message of two frames: the peer's routing id, the envelope. */
static status read_message(server *s, zmsg_t *message)
{
    incoming in = {0};
    zframe_t *from = zmsg_first(message), *body = zmsg_next(message);
    envelope *e = NULL;
    status result = OK;
    if (zmsg_size(message) != 2 || zframe_size(from) > ROUTING_MOST)
        result = FAIL(ERR_PROTOCOL, "a message of %zu frames", zmsg_size(message));
    if (result == OK) {
        in.from.count = zframe_size(from);
        memcpy(in.from.bytes, zframe_data(from), in.from.count);
        in.peer = peer_of(body);
        in.bytes = zframe_size(body);
        if (!server_lets_in(s, &in, zframe_size(body))) return OK;
        result = wire_unpack(zframe_data(body), zframe_size(body), &e);
        in.e = e;
    }
    if (e && wire_id_read(&e->session, &in.session)) {
        if (result == ERR_UNSUPPORTED)
            result = server_refuse(s, &in, MENDEL__REFUSED_REASON__REFUSED_PROTOCOL, status_message());
        else if (result == OK) result = handle(s, &in);
    }
    if (result == ERR_PROTOCOL) { /* not worth more than counting */
        s->refused_messages++;
        log_debug("message %lld is refused: %s", (long long)s->refused_messages, status_message());
        result = OK;
    }
    wire_free(&e);
    return result;
}

static status receive(server *s)
{
    for (int n = 0; n < MESSAGES_A_TURN; n++) {
        zmsg_t *message = zmsg_recv_nowait(s->socket);
        if (!message) return OK;
        status result = read_message(s, message);
        zmsg_destroy(&message);
        TRY(result);
    }
    return OK;
}

/* ---- the disk ---- */

/* What this turn wrote is not there; neither is what was decided from it. */
static status take_back(server *s, status why)
{
    FAULT("coordinator takes a turn back");
    drop_replies(s);
    server_share_forget(s);
    store_rollback(s->run->store);
    if (why != ERR_NO_SPACE && why != ERR_BUSY) return why; /* busy: another process (pause) holds the store for long */
    if (!s->full) log_warning("%s: no new work and no acknowledgements until there is space", status_message());
    s->full = true;
    s->try_disk_ms = s->now_ms + try_disk_every_ms;
    server_transfers_forget(s);
    return run_reload(s->run, s->now_ms);
}

static status try_disk(server *s)
{
    if (!s->full || s->now_ms < s->try_disk_ms) return OK;
    s->try_disk_ms = s->now_ms + try_disk_every_ms;
    status result = store_add_event(s->run->store, s->wall_ms, "space", "the disk has space again");
    if (result == OK) result = store_commit(s->run->store);
    if (result != OK) return take_back(s, result);
    log_info("the disk has space again, going on");
    s->full = false;
    return OK;
}

/* ---- what is due ---- */

/* Another process may have asked for a pause. */
static status look_at_store(server *s)
{
    int64_t paused;
    if (s->now_ms < s->look_at_store_ms) return OK;
    s->look_at_store_ms = s->now_ms + look_every_ms;
    TRY(store_get_int(s->run->store, "paused", 0, &paused));
    TRY(server_hear_wish(s, paused != 0));
    if (s->paused != (paused != 0)) log_info(paused ? "paused: nothing new is handed out" : "resumed");
    s->paused = paused != 0;
    if (!store_dirty(s->run->store)) store_checkpoint(s->run->store);
    return OK;
}

/* A report that cannot be written is no reason to stop: the store has everything. */
static void write_reports(server *s, bool now)
{
    if (s->report_due) server_share_due(s);
    if (s->report_due || now) {
        if (reporter_tell(s->reporter, ledger_population(s->run->ledger)) != OK) log_warning("%s", status_message());
        else s->report_due = false;
    }
    if (now) reporter_finish(s->reporter);
    char *problem = reporter_problem(s->reporter);
    if (problem) log_warning("%s", problem);
    free(problem);
}

static int64_t time_to_wait(const server *s)
{
    int64_t until = s->now_ms + (s->bucket && bucket_copies(s->bucket) ? 50 : 500),
            expiry = ledger_next_expiry(s->run->ledger);
    if (expiry < until) until = expiry;
    if (server_transfers_deadline(s) < until) until = server_transfers_deadline(s);
    return until > s->now_ms ? until - s->now_ms : 0;
}

/* Signs of life that came while this process did not run are not read yet, so leases do not run out meanwhile. */
static void take_time(server *s)
{
    int64_t now = clock_ms(), gap = now - s->now_ms;
    if (gap > gap_ms) ledger_forgive(s->run->ledger, gap);
    s->now_ms = now;
    s->wall_ms = clock_wall_ms();
}

static void wait_for_message(server *s)
{
    zmq_pollitem_t item = {zsock_resolve(s->socket), 0, ZMQ_POLLIN, 0};
    zmq_poll(&item, 1, (long)time_to_wait(s));
    take_time(s);
}

/* ---- the turn ---- */

static status decide(server *s)
{
    TRY(server_lead(s));
    TRY(receive(s));
    TRY(server_shut_out(s));
    TRY(ledger_expire(s->run->ledger, s->now_ms, s->wall_ms));
    TRY(server_stop_unwanted(s));
    TRY(server_transfers_follow(s));
    TRY(server_share(s));
    return look_at_store(s);
}

static status turn(server *s)
{
    status result = decide(s);
    if (result == OK && !SEEDED(ack_before_commit)) result = store_commit(s->run->store);
    if (result != OK) TRY(take_back(s, result));
    send_replies(s); /* after the commit: what is answered is on the disk */
    if (SEEDED(ack_before_commit)) TRY(store_commit(s->run->store));
    TRY(try_disk(s));
    server_show_shared(s);
    server_publish(s, false);
    write_reports(s, false);
    server_show(s);
    fleet_forget_silent(&s->fleet, s->now_ms, 10 * s->o.lease_ms);
    return OK;
}

/* ---- the end ---- */

/* Go on answering until the workers have left: they hear that the run is over, or hand over what they have. Whoever may not have
 * found us yet is waited for until `least_ms` have passed. The patient one also waits for files that are coming. */
static status say_farewell(server *s, local_workers *workers, int64_t least_ms, int64_t most_ms, bool patient)
{
    int64_t from = s->now_ms, ends = from + most_ms;
    const char *why;
    while (s->now_ms < ends &&
           (s->now_ms < from + least_ms || fleet_welcome_count(&s->fleet) || (workers && local_alive(workers)))) {
        bool coming = patient && server_transfers_busy(s);
        if ((least_ms || coming) && signals_seen() != SIGNAL_NONE) break;
        if (coming && ends < s->now_ms + farewell_ms)
            ends = s->now_ms + farewell_ms; /* then the worker is to hear of it */
        wait_for_message(s);
        TRY(turn(s));
        if (workers) local_look_after(workers, s->now_ms, &why);
    }
    return OK;
}

/* A coordinator that was killed while its workers were leaving knows none of them when it is started again: they look for it, and
 * would wait for long if it did not stay for a lease time. The store says whether that is so. */
static status end_finished(server *s, local_workers *workers)
{
    int64_t told, goal = s->run->ledger_options.generations;
    TRY(store_get_int(s->run->store, "farewell", 0, &told));
    bool again = told != goal && !s->served;
    FAULT("coordinator says farewell");
    if (workers) local_stop(workers, 0);
    if (again) log_info("the run is finished; waiting for workers that may not know");
    TRY(say_farewell(s, workers, again ? s->o.lease_ms : 0, again ? s->o.lease_ms + farewell_ms : farewell_ms, true));
    FAULT("coordinator has said farewell");
    if (told == goal || fleet_welcome_count(&s->fleet)) return OK; /* somebody has not heard it */
    TRY(store_set_int(s->run->store, "farewell", goal));
    return store_commit(s->run->store);
}

static status end_workers(server *s, local_workers *workers, server_end end)
{
    if (end == SERVER_FINISHED) return end_finished(s, workers);
    if (!workers) return OK;
    bool yields = signals_seen() == SIGNAL_YIELD;
    local_stop(workers, yields ? SIGTERM : SIGINT);
    return say_farewell(s, workers, 0, yields ? grace_ms : interrupt_ms, false);
}

/* What has come whole gets its place, also when its worker has left meanwhile. */
static status settle_files(server *s)
{
    int64_t until = s->now_ms + settle_ms;
    while (server_transfers_settling(s) && s->now_ms < until) {
        wait_for_message(s);
        TRY(turn(s));
    }
    return OK;
}

/* What is new is shared before this process ends, unless the bucket is away for too long. */
static status finish_sharing(server *s)
{
    bool hurry = signals_seen() != SIGNAL_NONE;
    int64_t until = s->now_ms + (hurry ? share_hurry_ms : share_ms);
    while (server_shares(s) && s->now_ms < until && (hurry || signals_seen() == SIGNAL_NONE)) {
        wait_for_message(s);
        TRY(turn(s));
    }
    if (server_shares(s)) log_warning("the bucket does not have everything yet: the same command shares it");
    return OK;
}

static bool has_ended(const server *s, server_end *end)
{
    *end = ledger_finished(s->run->ledger) ? SERVER_FINISHED
           : ledger_broken(s->run->ledger) ? SERVER_BROKEN
                                           : SERVER_STOPPED;
    return *end != SERVER_STOPPED || signals_seen() != SIGNAL_NONE;
}

status server_run(server *s, local_workers *workers, server_end *end)
{
    const char *why;
    take_time(s);
    s->report_due = true; /* imported rows, or what a killed coordinator did not write */
    while (!has_ended(s, end)) {
        s->served = true;
        wait_for_message(s);
        TRY(turn(s));
        if (workers && !local_look_after(workers, s->now_ms, &why) && !fleet_welcome_count(&s->fleet))
            return FAIL(ERR_STOPPED, "no worker is left: %s", why);
    }
    s->report_due = true;
    s->stopping = true;
    server_publish(s, true);
    write_reports(s, true);
    TRY(end_workers(s, workers, *end));
    TRY(settle_files(s));
    if (*end == SERVER_FINISHED) TRY(reporter_complete(s->reporter, ledger_population(s->run->ledger)->count));
    return finish_sharing(s);
}
