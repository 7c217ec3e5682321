#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/client_inner.h"
#include "worker/start.h"

/* A trainer that is asked to stop has so long, and so long when the user is waiting at the keyboard. */
static const int64_t stop_grace_ms = 30000, interrupt_grace_ms = 3000;
/* A checkpoint that the coordinator does not send is done without after this. */
static const int64_t resume_patience_ms = 15000;
enum { MESSAGES_A_TURN = 100 };
/* What a trainer leaves in its folder. */
static const char weights_name[] = "weights.pt";

/* ---- slots ---- */

static void free_slot(client *c, slot *s)
{
    trial_destroy(&s->trial);
    need_clear(&s->resume);
    wire_free(&s->given);
    free(s->device);
    free(s->precision);
    free(s->weights);
    *s = (slot){.number = s->number, .next_ms = c->now_ms};
    c->idle_ms = c->now_ms;
}

static bool has_candidate(const slot *s)
{
    return s->state == SLOT_WAITING || s->state == SLOT_TRAINING;
}

bool work_idle(const client *c)
{
    for (int64_t i = 0; i < c->place->slots; i++)
        if (has_candidate(&c->slots[i])) return false;
    return true;
}

static slot *find_slot(client *c, token t)
{
    for (int64_t i = 0; i < c->place->slots; i++)
        if (has_candidate(&c->slots[i]) && token_equal(c->slots[i].token, t)) return &c->slots[i];
    return NULL;
}

/* ---- asking ---- */

static void ask(client *c, slot *s)
{
    Mendel__WorkRequest request = MENDEL__WORK_REQUEST__INIT;
    if (s->state == SLOT_FREE) s->number++;
    s->state = SLOT_ASKING;
    request.slot = s - c->slots;
    request.number = s->number;
    bool sent = client_send(c, MENDEL__ENVELOPE__BODY_WORK_REQUEST, &request) == OK;
    s->next_ms = c->now_ms + (sent ? client_retry_ms(c) : LEFT_UNSENT_MS);
}

bool work_may_ask(const client *c)
{
    return c->state == CLIENT_WELCOME && !c->finished && !c->leaving && need_met(&c->weights);
}

/* The slot that an answer is for; NULL if it answers no open request (a repeated answer, or an old one). */
static slot *asking_slot(client *c, int64_t number_of_slot, uint64_t number)
{
    if (number_of_slot >= c->place->slots) return NULL;
    slot *s = &c->slots[number_of_slot];
    return s->state == SLOT_ASKING && s->number == number ? s : NULL;
}

void work_on_no_work(client *c, envelope **e)
{
    const Mendel__NoWork *n = (*e)->no_work;
    slot *s = asking_slot(c, n->slot, n->number);
    if (!s) return;
    s->state = SLOT_FREE;
    int64_t wait = n->retry_ms > 0 ? n->retry_ms : client_retry_ms(c);
    s->next_ms = c->now_ms + wait;
    if (n->reason != MENDEL__NO_WORK_REASON__NO_WORK_FINISHED || c->finished) return;
    c->finished = true;
    c->leave_ms = c->now_ms + client_lease_ms(c);
    log_info("the run is over%s%s", *n->detail ? ": " : "", n->detail);
}

/* ---- starting ---- */

static status start_trial(client *c, slot *s)
{
    char *folder = NULL;
    trainer_message start = {0};
    trial_spec spec = {c->o->program, c->o->command, c->place->device, c->place->threads, c->run->stall_ms};
    start_place place = {.device = c->place->device, .threads = c->place->threads, .external = c->o->command != NULL};
    place.data_root = c->o->data_root ? c->o->data_root : c->local ? c->run->data_root : "";
    place.weights = c->weights.path ? c->weights.path : "";
    place.resume = s->resume.path;
    if (!greeting_knows_data(c)) return FAIL(ERR_REFUSED, "the run has another data set now than was compared");
    TRY(spool_slot_folder(c->spool, s - c->slots, &folder));
    place.folder = folder;
    if (c->run->keep_weights) place.leave = s->weights = path_join(folder, weights_name);
    status made = start_make(c->run, s->given->candidate, &place, &start);
    if (made != OK) report_failed(c, s, made == ERR_MEMORY ? REASON_MEMORY : REASON_REFUSED, status_message());
    status result = made == OK ? trial_start(&spec, &start, c->now_ms, &s->trial) : OK;
    trainer_message_free(&start);
    free(folder);
    return result;
}

static void begin(client *c, slot *s)
{
    s->started_ms = c->now_ms;
    s->resumed = s->resume.path != NULL;
    s->state = SLOT_TRAINING;
    FAULT("worker starts a trainer");
    status result = start_trial(c, s);
    FAULT("worker has started a trainer");
    if (result != OK) report_failed(c, s, REASON_ERROR, status_message());
    if (!s->trial) {
        free_slot(c, s);
        return;
    }
    log_info("candidate %lld started%s", (long long)s->token.candidate,
             s->resumed             ? " from a checkpoint"
             : s->token.attempt > 1 ? " again"
                                    : "");
}

/* Where the checkpoint may lie. A coordinator elsewhere can point at nothing but a checkpoint in some worker's spool. */
static const char *resume_hint(const client *c, const Mendel__Candidate *given)
{
    text end = {0};
    text_add(&end, "/checkpoints/%s.pt", given->resume_hash);
    bool usable = c->local || (*given->resume_hash && text_ends_with(given->resume_path, text_string(&end)));
    text_free(&end);
    return usable ? given->resume_path : "";
}

void work_on_candidate(client *c, envelope **e)
{
    const Mendel__Candidate *given = (*e)->candidate;
    slot *s = asking_slot(c, given->slot, given->number);
    if (!s || c->leaving) return;
    s->token = token_read(given->token);
    s->given = *e;
    *e = NULL;
    s->state = SLOT_WAITING;
    s->started_ms = c->now_ms;
    char *own = spool_fetched_path(c->spool, s - c->slots);
    status sought = own ? need_start(&s->resume, given->resume_hash, resume_hint(c, given), own,
                                     spool_worker_id(c->spool), c->now_ms)
                        : FAIL(ERR_MEMORY, "out of memory");
    free(own);
    if (sought != OK) {
        log_warning("candidate %lld starts anew: %s", (long long)s->token.candidate, status_message());
        need_clear(&s->resume);
    }
    if (need_met(&s->resume)) begin(c, s);
}

static void wait_for_resume(client *c, slot *s)
{
    need *n = &s->resume;
    need_follow(n, c->now_ms);
    bool silent = n->state == NEED_FETCHING && c->now_ms - n->heard_ms >= resume_patience_ms;
    if (n->state == NEED_FAILED || silent) {
        log_warning("candidate %lld starts anew, since its checkpoint cannot be had%s%s", (long long)s->token.candidate,
                    n->words ? ": " : "", n->words ? n->words : "");
        need_clear(n);
    }
    if (need_met(n)) begin(c, s);
}

/* ---- listening ---- */

static void hear_trial(client *c, slot *s)
{
    trainer_message m;
    for (int i = 0; i < MESSAGES_A_TURN && trial_next(s->trial, c->now_ms, &m) == OK; i++) {
        FAULT_TRAINER("worker hears its trainer say", m.kind);
        report_message(c, s, &m);
        trainer_message_free(&m);
    }
    report_warnings(c, s);
    if (trial_over(s->trial)) free_slot(c, s);
}

void work_follow(client *c)
{
    for (int64_t i = 0; i < c->place->slots; i++) {
        slot *s = &c->slots[i];
        if (s->state == SLOT_WAITING) wait_for_resume(c, s);
        if (s->state == SLOT_TRAINING) hear_trial(c, s);
    }
}

void work_ask(client *c)
{
    for (int64_t i = 0; i < c->place->slots; i++) {
        slot *s = &c->slots[i];
        bool asks = s->state == SLOT_FREE || s->state == SLOT_ASKING;
        if (asks && work_may_ask(c) && c->now_ms >= s->next_ms) ask(c, s);
    }
}

void work_again(client *c)
{
    for (int64_t i = 0; i < c->place->slots; i++)
        if (c->slots[i].state == SLOT_ASKING) c->slots[i].next_ms = c->now_ms;
}

/* ---- ending ---- */

void work_unwanted(client *c, token t)
{
    slot *s = find_slot(c, t);
    if (spool_remove(c->spool, &c->ids.run, t) || s)
        log_info("candidate %lld is not wanted any more", (long long)t.candidate);
    if (!s) return;
    s->unwanted = true;
    if (s->trial) trial_kill(s->trial);
    else free_slot(c, s);
}

void work_on_stop(client *c, envelope **e)
{
    const Mendel__Stop *stop = (*e)->stop;
    token t = token_read(stop->token);
    slot *s = find_slot(c, t);
    if (stop->unwanted) {
        work_unwanted(c, t);
        return;
    }
    if (!s || s->ended || s->unwanted) return;
    if (s->trial) {
        log_info("candidate %lld is to stop%s%s", (long long)t.candidate, *stop->reason ? ": " : "", stop->reason);
        trial_stop(s->trial, c->now_ms, stop_grace_ms);
        return;
    }
    trainer_message m = {.kind = TRAINER_STOPPED};
    report_message(c, s, &m);
    free_slot(c, s);
}

void work_leave(client *c, client_leaving how)
{
    FAULT("worker is told to go");
    c->leaving = how;
    c->leave_ms = c->now_ms + (how == LEAVING_YIELD ? c->o->yield_ms : interrupt_grace_ms);
    for (int64_t i = 0; i < c->place->slots; i++) {
        slot *s = &c->slots[i];
        if (!s->trial) {
            if (has_candidate(s)) free_slot(c, s);
            continue;
        }
        if (s->ended) continue;
        if (how == LEAVING_INTERRUPTED) {
            trial_stop(s->trial, c->now_ms, interrupt_grace_ms);
        } else trial_checkpoint(s->trial);
        s->leaving = true;
    }
}

void work_clear(client *c)
{
    for (int64_t i = 0; c->slots && i < c->place->slots; i++) free_slot(c, &c->slots[i]);
}
