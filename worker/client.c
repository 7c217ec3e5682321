#include "worker/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/text.h"
#include "worker/client_inner.h"

/* Before a Welcome says better. */
static const int64_t retry_default_ms = 1000, lease_default_ms = 10000, heartbeat_default_ms = 5000;
/* A turn waits no longer, so that a signal that came just before the waiting is seen. */
static const int64_t turn_most_ms = 250;
/* A turn that comes so late means that this process did not run (stopped, swapped out): nobody's silence counts. */
static const int64_t gap_ms = 3000;
/* What was just sent gets so long to leave, and acks so long to come, when the worker ends. */
enum { LAST_WORDS_MS = 300, MESSAGES_A_TURN = 100, HOST_ROOM = 256 };
static const int64_t last_acks_ms = 2000;
static const int64_t stay_pause_ms = 5000;

int64_t client_retry_ms(const client *c)
{
    return c->run ? c->run->retry_ms : retry_default_ms;
}

int64_t client_lease_ms(const client *c)
{
    return c->run ? c->run->lease_ms : lease_default_ms;
}

int64_t client_heartbeat_ms(const client *c)
{
    return c->run ? c->run->heartbeat_ms : heartbeat_default_ms;
}

void client_end(client *c, status result)
{
    if (c->over) return;
    c->over = true;
    c->result = result;
    if (result != OK) c->words = text_copy(status_message());
}

status client_send(client *c, envelope_kind kind, void *body)
{
    envelope e;
    wire_envelope(&e, &c->ids, kind, body);
    FAULT_MESSAGE("worker sends", &e);
    TRY(dealer_send(c->dealer, &e));
    FAULT_MESSAGE("worker has sent", &e);
    return OK;
}

/* ---- receiving ---- */

typedef struct handler {
    envelope_kind kind;
    void (*handle)(client *c, envelope **e); /* may keep the envelope by setting *e to NULL */
} handler;

static const handler handlers[] = {
    {MENDEL__ENVELOPE__BODY_WELCOME, greeting_on_welcome},
    {MENDEL__ENVELOPE__BODY_REFUSED, greeting_on_refused},
    {MENDEL__ENVELOPE__BODY_HELLO_AGAIN, greeting_on_hello_again},
    {MENDEL__ENVELOPE__BODY_CANDIDATE, work_on_candidate},
    {MENDEL__ENVELOPE__BODY_NO_WORK, work_on_no_work},
    {MENDEL__ENVELOPE__BODY_STOP, work_on_stop},
    {MENDEL__ENVELOPE__BODY_RESULT_ACK, report_on_result_ack},
    {MENDEL__ENVELOPE__BODY_BLOB, files_on_blob},
    {MENDEL__ENVELOPE__BODY_BLOB_ACK, files_on_blob_ack},
};

/* Is it for this session, of this run, and not from a coordinator that another one has replaced? */
static bool concerns(client *c, const envelope *e)
{
    wire_id session, run;
    if (!wire_id_read(&e->session, &session) || !wire_id_equal(&session, &c->ids.session)) return false;
    if (!wire_id_read(&e->run, &run)) return false;
    bool refused =
        e->body_case == MENDEL__ENVELOPE__BODY_REFUSED; /* maybe by another run, which is at this endpoint now */
    if (refused) return true;
    if (!c->ids.has_run) return e->body_case == MENDEL__ENVELOPE__BODY_WELCOME;
    return wire_id_equal(&run, &c->ids.run) && e->epoch >= c->epoch;
}

static void handle(client *c, envelope **e)
{
    FAULT_MESSAGE("worker hears", *e);
    contact_heard(c);
    if ((*e)->body_case != MENDEL__ENVELOPE__BODY_REFUSED) c->epoch = (*e)->epoch;
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].kind == (*e)->body_case) {
            handlers[i].handle(c, e);
            FAULT_WORD("worker has heard", wire_kind_name(handlers[i].kind));
            return;
        }
}

static void refuse_version(client *c, const envelope *e)
{
    wire_id session;
    if (!wire_id_read(&e->session, &session) || !wire_id_equal(&session, &c->ids.session)) return;
    FAIL(ERR_UNSUPPORTED,
         "the coordinator speaks version %u of the protocol and this worker version %d: use the same version of Mendel",
         e->version, WIRE_VERSION);
    client_end(c, ERR_UNSUPPORTED);
}

static void receive(client *c)
{
    for (int n = 0; n < MESSAGES_A_TURN && !c->over; n++) {
        envelope *e = NULL;
        status s = dealer_receive(c->dealer, &e);
        if (s == ERR_TIMEOUT) return;
        if (s == ERR_UNSUPPORTED) refuse_version(c, e);
        else if (s == OK && concerns(c, e)) handle(c, &e);
        else if (s != OK && !c->misunderstood) {
            c->misunderstood = true;
            log_warning("a message from the coordinator makes no sense and is left out: %s", status_message());
        }
        wire_free(&e);
    }
}

/* ---- leaving ---- */

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void say_goodbye(client *c, const char *reason)
{
    Mendel__Goodbye goodbye = MENDEL__GOODBYE__INIT;
    goodbye.reason = (char *)reason;
    if (c->ids.has_run) client_send(c, MENDEL__ENVELOPE__BODY_GOODBYE, &goodbye);
    dealer_close(c->dealer, LAST_WORDS_MS);
}

static void follow_signals(client *c)
{
    signals_wish wish = signals_seen();
    if (wish == SIGNAL_END && c->leaving != LEAVING_INTERRUPTED) {
        log_info("interrupted: stopping");
        work_leave(c, LEAVING_INTERRUPTED);
    } else if (wish == SIGNAL_YIELD && !c->leaving) {
        log_info("told to go: %s", work_idle(c) ? "leaving" : "saving what trains, to hand it on");
        work_leave(c, LEAVING_YIELD);
    }
}

/* A worker that was told to go leaves when nothing trains any more, and what it handed on is acknowledged or waited for long
 * enough. */
static void finish_leaving(client *c)
{
    bool waits = !work_idle(c);
    if (waits && c->now_ms < c->leave_ms) return;
    if (waits) { /* out of time */
        work_clear(c);
        c->leave_ms = c->now_ms;
    }
    if (c->leaving == LEAVING_INTERRUPTED) {
        FAIL(ERR_STOPPED, "interrupted");
        client_end(c, ERR_STOPPED);
        return;
    }
    if (!c->quiet_ms) c->quiet_ms = c->now_ms + last_acks_ms;
    bool unheard = c->state == CLIENT_WELCOME && spool_count_of(c->spool, &c->ids.run) > 0;
    if (!unheard || c->now_ms >= c->leave_ms || c->now_ms >= c->quiet_ms) client_end(c, OK);
}

static void finish_run(client *c)
{
    if (!work_idle(c)) return;
    size_t left = spool_count_of(c->spool, &c->ids.run);
    if (left && c->now_ms < c->leave_ms) return; /* its acks are still to come */
    if (left) log_warning("%zu deliveries stay in %s until the run is met again", left, spool_folder(c->spool));
    if (!c->o->stay) {
        client_end(c, OK);
        return;
    }
    say_goodbye(c, "the run is over");
    greeting_forget(c);
    wire_id_make(&c->ids.session);
    c->finished = false;
    for (int64_t i = 0; i < c->place->slots; i++) c->slots[i] = (slot){0};
    c->waiting_said = false;
    contact_restart(c, stay_pause_ms);
}

static void leave_in_time(client *c)
{
    follow_signals(c);
    if (c->leaving) finish_leaving(c);
    else if (c->finished) finish_run(c);
}

/* ---- waiting ---- */

static void add_descriptor(zmq_pollitem_t *items, int *count, int descriptor, short events)
{
    if (descriptor < 0) return;
    short wanted = (short)((events & POLLIN ? ZMQ_POLLIN : 0) | (events & POLLOUT ? ZMQ_POLLOUT : 0));
    items[(*count)++] = (zmq_pollitem_t){NULL, descriptor, wanted, 0};
}

/* When something is due, apart from what turn_most_ms takes care of. */
static int64_t next_deadline(const client *c)
{
    int64_t at = c->now_ms + turn_most_ms;
    if (c->state == CLIENT_SEEKING) at = earliest(at, c->seek_ms);
    if (c->state == CLIENT_GREETING) at = earliest(at, c->hello_ms);
    if (c->state == CLIENT_WELCOME) at = earliest(at, c->beat_ms);
    if (c->state == CLIENT_WELCOME && c->weights.state == NEED_FETCHING) at = earliest(at, c->weights.ask_ms);
    for (int64_t i = 0; i < c->place->slots; i++) {
        const slot *s = &c->slots[i];
        bool asks = s->state == SLOT_FREE || s->state == SLOT_ASKING;
        if (asks && work_may_ask(c)) at = earliest(at, s->next_ms);
        if (s->trial) at = earliest(at, trial_deadline_ms(s->trial));
    }
    for (size_t i = 0; c->state == CLIENT_WELCOME && i < spool_count(c->spool); i++)
        if (wire_id_equal(&spool_at(c->spool, i)->run, &c->ids.run)) at = earliest(at, spool_at(c->spool, i)->next_ms);
    return at;
}

static void wait_for_something(client *c, zmq_pollitem_t *items)
{
    int count = 0;
    void *socket = dealer_socket(c->dealer);
    if (socket) items[count++] = (zmq_pollitem_t){socket, 0, ZMQ_POLLIN, 0};
    if (c->check) add_descriptor(items, &count, check_descriptor(c->check), POLLIN);
    add_descriptor(items, &count, need_descriptor(&c->weights), POLLIN);
    for (int64_t i = 0; i < c->place->slots; i++) {
        struct pollfd polls[TRIAL_POLLS];
        int n = c->slots[i].trial ? trial_poll(c->slots[i].trial, polls) : 0;
        for (int k = 0; k < n; k++) add_descriptor(items, &count, polls[k].fd, polls[k].events);
        add_descriptor(items, &count, need_descriptor(&c->slots[i].resume), POLLIN);
    }
    int64_t left = next_deadline(c) - clock_ms();
    if (zmq_poll(items, count, left > 0 ? (long)left : 0) < 0 && zmq_errno() != EINTR)
        clock_sleep_ms(10); /* out of kernel memory, say: the loop goes on by its deadlines */
}

/* One reading of the clock a turn. */
static void take_time(client *c)
{
    int64_t now = clock_ms(), gap = now - c->now_ms;
    if (gap > gap_ms) {
        c->heard_ms += gap;
        for (int64_t i = 0; i < c->place->slots; i++)
            if (c->slots[i].trial) trial_forgive(c->slots[i].trial, gap);
    }
    c->now_ms = now;
}

/* ---- the whole ---- */

static void run_loop(client *c, zmq_pollitem_t *items)
{
    while (!c->over) {
        wait_for_something(c, items);
        take_time(c);
        receive(c);
        contact_follow(c);
        greeting_follow(c);
        work_follow(c);
        report_follow(c);
        work_ask(c);
        files_follow(c);
        leave_in_time(c);
    }
}

static status prepare(client *c, zmq_pollitem_t **items)
{
    char host[HOST_ROOM] = "";
    gethostname(host, sizeof host - 1);
    c->host = text_copy(host);
    c->now_ms = c->started_ms = c->idle_ms = clock_ms();
    if (!c->host) return FAIL(ERR_MEMORY, "out of memory");
    TRY(wire_id_make(&c->ids.session));
    uint64_t seed;
    memcpy(&seed, c->ids.session.bytes, sizeof seed);
    keyed_seed(&c->jitter, seed, 0, 0);
    TRY(array_new(&c->slots, (size_t)c->place->slots));
    TRY(array_new(items, 3 + (size_t)c->place->slots * (TRIAL_POLLS + 1)));
    return dealer_create(spool_worker_id(c->spool), &c->dealer);
}

static status finish(client *c)
{
    static const char *const goodbyes[] = {"ends", "handed on", "interrupted"};
    FAULT("worker ends");
    work_clear(c);
    if (c->dealer) say_goodbye(c, c->finished ? "the run is over" : goodbyes[c->leaving]);
    greeting_forget(c);
    dealer_destroy(&c->dealer);
    status s = c->result;
    if (s != OK) FAIL(s, "%s", c->words ? c->words : "out of memory");
    free(c->words);
    free(c->slots);
    free(c->endpoint);
    free(c->host);
    return s;
}

status client_run(const client_options *o, const client_place *place, spool *s)
{
    client c = {.o = o, .place = place, .spool = s, .weights = {.descriptor = -1}};
    zmq_pollitem_t *items = NULL;
    status started = prepare(&c, &items);
    if (started != OK) client_end(&c, started);
    run_loop(&c, items);
    free(items);
    return finish(&c);
}
