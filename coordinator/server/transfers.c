/* transfers.c - files that deliveries name, on their way from the workers.
 *
 * A transfer is one file that a worker has and that is wanted. It waits for its turn, is asked for piece by piece, checked in a thread
 * of its own (blobs.h), and then acknowledged. Nothing of that is in the store: after a restart the worker names its file again, and
 * what came before is not sent twice. A file that cannot be kept is let go; what its delivery said has been committed long before. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/log.h"
#include "coordinator/server/blobs.h"
#include "coordinator/server/inner.h"

/* A piece is asked for again, and a worker that brings none is left alone until it names its file again. */
static const int64_t ask_again_ms = 2000, weights_patience_ms = 20000, checkpoint_patience_ms = 8000;
/* While the disk is busy with one that is complete. */
static const int64_t look_again_ms = 20;
/* What was damaged on the way, or by a power cut, is fetched once more. */
enum { TRIES = 2 };

typedef struct transfer {
    token of;
    wire_id session;
    bool checkpoint; /* of a Yield; else the weights of a Result */
    char hash[FS_HASH_ROOM];
    int64_t bytes;
    int64_t epoch, step; /* that a checkpoint goes on from */
    blob *blob;          /* NULL: it waits for its turn */
    int64_t asked_ms, heard_ms;
    int tries;
} transfer;

struct transfers {
    transfer *items;
    size_t count, room;
    int64_t best; /* whose weights best.pt is; 0: nobody's */
    double best_fitness;
    bool sweep; /* a checkpoint may have become needless */
};

/* Has all of it come? It may still have to be checked. */
static bool is_whole(const transfer *t)
{
    return t->blob && blob_offset(t->blob) == t->bytes;
}

static status say(server *s, const session *to, envelope_kind kind, void *body)
{
    return server_reply(s, &to->to, &to->id, kind, body);
}

/* ---- whose weights are kept ---- */

static double fitness_of(const server *s, int64_t candidate)
{
    const store_candidate *c = ledger_candidate(s->run->ledger, candidate);
    bool done = c && c->state == CANDIDATE_DONE && c->result_count == RESULT_COUNT;
    return done ? fitness(c->results, s->run->spec.fitness) : -INFINITY;
}

static bool is_better(const server *s, int64_t candidate)
{
    return !s->transfers->best || fitness_of(s, candidate) > s->transfers->best_fitness;
}

static bool has_weights(const server *s, int64_t candidate)
{
    char *path = blobs_weights_path(s->run->folder, candidate);
    bool has = path && fs_is_file(path);
    free(path);
    return has;
}

/* Are these weights worth having, as it stands now? */
static bool wants_weights(const server *s, int64_t candidate)
{
    if (s->run->keep == KEEP_NONE) return false;
    return s->run->keep == KEEP_ALL || is_better(s, candidate);
}

bool server_awaits_weights(const server *s, const store_attempt *a)
{
    return a->state == ATTEMPT_DONE && wants_weights(s, a->candidate) && !has_weights(s, a->candidate);
}

static void remove_weights(const server *s, int64_t candidate)
{
    char *path = blobs_weights_path(s->run->folder, candidate);
    if (path && unlink(path) && errno != ENOENT) log_warning("cannot remove %s: %s", path, strerror(errno));
    free(path);
}

/* What the best before it left, if it was kept for being the best alone. */
static status remove_former(server *s, int64_t candidate)
{
    int64_t former;
    TRY(store_get_int(s->run->store, "weights_of_best", 0, &former));
    if (former && former != candidate) remove_weights(s, former);
    return store_set_int(s->run->store, "weights_of_best", candidate);
}

/* The weights of a candidate have come. */
static status take_weights(server *s, int64_t candidate)
{
    struct transfers *f = s->transfers;
    if (!is_better(s, candidate)) { /* another one came before it */
        if (s->run->keep == KEEP_BEST) remove_weights(s, candidate);
        return OK;
    }
    if (blobs_set_best(s->run->folder, candidate) != OK) {
        log_warning("%s", status_message());
        return OK;
    }
    f->best = candidate;
    f->best_fitness = fitness_of(s, candidate);
    return s->run->keep == KEEP_BEST ? remove_former(s, candidate) : OK;
}

/* ---- checkpoints ---- */

static bool is_needed(void *state, int64_t candidate, const char *hash)
{
    const server *s = state;
    const store_candidate *c = ledger_candidate(s->run->ledger, candidate);
    for (size_t i = 0; i < s->transfers->count; i++) { /* in its place already, and not yet in the store */
        const transfer *t = &s->transfers->items[i];
        if (t->checkpoint && t->of.candidate == candidate && !strcmp(t->hash, hash)) return true;
    }
    if (!c || !c->checkpoint_hash || strcmp(c->checkpoint_hash, hash)) return false;
    return c->state == CANDIDATE_BRED || c->state == CANDIDATE_LEASED || c->state == CANDIDATE_LOST ||
           c->state == CANDIDATE_YIELDED;
}

/* ---- the list ---- */

status server_transfers_create(server *s)
{
    struct transfers *f = s->transfers = calloc(1, sizeof *f);
    if (!f) return FAIL(ERR_MEMORY, "out of memory");
    f->sweep = true;
    f->best = blobs_best(s->run->folder);
    f->best_fitness = fitness_of(s, f->best);
    return OK;
}

static void remove_transfer(server *s, size_t at, bool forget)
{
    struct transfers *f = s->transfers;
    transfer *t = &f->items[at];
    blob_destroy(&t->blob, forget);
    if (t->checkpoint) ledger_set_arriving(s->run->ledger, t->of.candidate, false);
    memmove(t, t + 1, (f->count - at - 1) * sizeof *t);
    f->count--;
}

void server_transfers_forget(server *s)
{
    while (s->transfers->count) remove_transfer(s, s->transfers->count - 1, false);
}

void server_transfers_destroy(server *s)
{
    if (!s->transfers) return;
    server_transfers_forget(s);
    if (ledger_finished(s->run->ledger)) blobs_drop_parts(s->run->folder);
    free(s->transfers->items);
    free(s->transfers);
    s->transfers = NULL;
}

static transfer *find(const server *s, token t)
{
    struct transfers *f = s->transfers;
    for (size_t i = 0; i < f->count; i++)
        if (token_equal(f->items[i].of, t)) return &f->items[i];
    return NULL;
}

/* One more that is to come; named again it only comes from another session. */
static Mendel__FileFate want(server *s, const session *from, const transfer *wanted)
{
    struct transfers *f = s->transfers;
    transfer *known = find(s, wanted->of);
    if (known) {
        known->session = from->id;
        return MENDEL__FILE_FATE__FILE_WANTED;
    }
    if (f->count == LIMIT_FILES) return MENDEL__FILE_FATE__FILE_WANTED; /* it is named again */
    if (array_room(&f->items, &f->room, f->count + 1) != OK) return MENDEL__FILE_FATE__FILE_WANTED;
    f->items[f->count] = *wanted;
    f->items[f->count].session = from->id;
    f->items[f->count++].heard_ms = s->now_ms;
    if (wanted->checkpoint) ledger_set_arriving(s->run->ledger, wanted->of.candidate, true);
    return MENDEL__FILE_FATE__FILE_WANTED;
}

static Mendel__FileFate weights_of(server *s, session *from, const Mendel__Result *r)
{
    transfer t = {.of = token_read(r->token), .bytes = r->weights_bytes};
    const store_attempt *a = ledger_attempt(s->run->ledger, t.of);
    if (!a || a->state != ATTEMPT_DONE || !*r->weights_hash || !r->weights_bytes) return MENDEL__FILE_FATE__FILE_LEFT;
    if (has_weights(s, a->candidate)) return MENDEL__FILE_FATE__FILE_TAKEN;
    if (!wants_weights(s, a->candidate)) return MENDEL__FILE_FATE__FILE_LEFT;
    snprintf(t.hash, sizeof t.hash, "%s", r->weights_hash);
    return want(s, from, &t);
}

/* Worth having while the candidate waits for somebody to go on with it, and has not come further already. */
static Mendel__FileFate checkpoint_of(server *s, session *from, const Mendel__Yield *y)
{
    transfer t = {.of = token_read(y->token), .bytes = y->checkpoint_bytes, .checkpoint = true};
    const store_candidate *c = ledger_candidate(s->run->ledger, t.of.candidate);
    if (!c || !*y->checkpoint_hash || !y->checkpoint_bytes) return MENDEL__FILE_FATE__FILE_LEFT;
    bool same = c->checkpoint_hash && !strcmp(c->checkpoint_hash, y->checkpoint_hash);
    if (same && server_has_checkpoint(s, c)) return MENDEL__FILE_FATE__FILE_TAKEN;
    bool waits = c->state == CANDIDATE_BRED || c->state == CANDIDATE_LOST || c->state == CANDIDATE_YIELDED;
    bool further =
        same || !c->checkpoint_hash || y->epoch > c->epoch || (y->epoch == c->epoch && y->step > c->checkpoint_step);
    if (!waits || !further) return MENDEL__FILE_FATE__FILE_LEFT;
    snprintf(t.hash, sizeof t.hash, "%s", y->checkpoint_hash);
    t.epoch = y->epoch;
    t.step = y->step;
    return want(s, from, &t);
}

Mendel__FileFate server_file_of(server *s, session *from, const envelope *e)
{
    s->transfers->sweep = true;
    if (e->body_case == MENDEL__ENVELOPE__BODY_RESULT) return weights_of(s, from, e->result);
    if (e->body_case == MENDEL__ENVELOPE__BODY_YIELD) return checkpoint_of(s, from, e->yield);
    return MENDEL__FILE_FATE__FILE_LEFT;
}

/* ---- from workers ---- */

/* The word that its worker waits for; then it is off the list. */
static status end_transfer(server *s, size_t at, Mendel__FileFate fate)
{
    const transfer *t = &s->transfers->items[at];
    const session *to = fleet_find(&s->fleet, &t->session);
    Mendel__ResultAck ack = MENDEL__RESULT_ACK__INIT;
    Mendel__Token name;
    token_write(t->of, &name);
    ack.token = &name;
    ack.file = fate;
    status result = to ? say(s, to, MENDEL__ENVELOPE__BODY_RESULT_ACK, &ack) : OK;
    remove_transfer(s, at, true);
    return result;
}

/* What cannot be kept is let go: nothing but these weights, or this checkpoint, is lost. */
static status let_go(server *s, size_t at)
{
    const transfer *t = &s->transfers->items[at];
    if (server_may_tell(s))
        log_warning("the %s of candidate %lld %s not kept: %s", t->checkpoint ? "checkpoint" : "weights",
                    (long long)t->of.candidate, t->checkpoint ? "is" : "are", status_message());
    return end_transfer(s, at, MENDEL__FILE_FATE__FILE_LEFT);
}

static status ask(server *s, transfer *t, const session *of)
{
    Mendel__BlobAck ack = MENDEL__BLOB_ACK__INIT;
    ack.hash = t->hash;
    ack.offset = blob_offset(t->blob);
    t->asked_ms = s->now_ms;
    return ack.offset < t->bytes ? say(s, of, MENDEL__ENVELOPE__BODY_BLOB_ACK, &ack) : OK;
}

static status begin(server *s, size_t at, const session *of)
{
    transfer *t = &s->transfers->items[at];
    blob_request r = {.folder = s->run->folder, .of = t->of, .hash = t->hash, .bytes = t->bytes};
    char *path = t->checkpoint ? blobs_checkpoint_path(r.folder, t->of.candidate, t->hash)
                               : blobs_weights_path(r.folder, t->of.candidate);
    r.path = path;
    status result = path ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK && t->checkpoint && blobs_checkpoint_bytes(r.folder) + t->bytes > LIMIT_CHECKPOINT_BYTES)
        result = FAIL(ERR_NO_SPACE, "more than %lld GB of checkpoints wait in %s",
                      (long long)(LIMIT_CHECKPOINT_BYTES >> 30), r.folder);
    if (result == OK) result = blob_start(&r, &t->blob);
    free(path);
    t->heard_ms = s->now_ms;
    t->tries++;
    return result == OK ? ask(s, t, of) : let_go(s, at);
}

/* May this one begin? A session brings one file at a time, and what is about to leave goes first. */
static bool has_turn(const server *s, const transfer *mine)
{
    const struct transfers *f = s->transfers;
    int active = 0;
    for (size_t i = 0; i < f->count; i++) {
        const transfer *t = &f->items[i];
        bool same = wire_id_equal(&t->session, &mine->session);
        if (same && (t->blob || (t->checkpoint && !mine->checkpoint))) return false;
        active += t->blob && t->checkpoint == mine->checkpoint;
    }
    return active < (mine->checkpoint ? LIMIT_CHECKPOINTS_AT_ONCE : LIMIT_WEIGHTS_AT_ONCE);
}

/* Weights that are coming give way to a checkpoint of the same session; what has come of them stays. */
static void give_way(server *s, const transfer *to)
{
    struct transfers *f = s->transfers;
    for (size_t i = 0; i < f->count; i++) {
        transfer *t = &f->items[i];
        bool gives = t->blob && !t->checkpoint && wire_id_equal(&t->session, &to->session);
        if (gives && blob_offset(t->blob) < t->bytes) {
            blob_destroy(&t->blob, false);
            t->tries--;
        }
    }
}

/* It has come, or was damaged. */
static status settle(server *s, size_t at, status found)
{
    transfer *t = &s->transfers->items[at];
    if (found == ERR_FORMAT && t->tries < TRIES) {
        blob_destroy(&t->blob, true);
        return OK;
    }
    if (found != OK) return let_go(s, at);
    if (t->checkpoint) TRY(ledger_set_checkpoint(s->run->ledger, t->of.candidate, t->hash, t->epoch, t->step));
    else TRY(take_weights(s, t->of.candidate));
    s->transfers->sweep = true;
    return end_transfer(s, at, MENDEL__FILE_FATE__FILE_TAKEN);
}

/* Somebody else may have been better meanwhile. */
static bool is_pointless(const server *s, const transfer *t)
{
    return !t->checkpoint && !wants_weights(s, t->of.candidate);
}

static status follow(server *s, size_t at)
{
    transfer *t = &s->transfers->items[at];
    const session *of = fleet_find(&s->fleet, &t->session);
    status found = t->blob ? blob_finished(t->blob) : ERR_TIMEOUT;
    if (found != ERR_TIMEOUT) return settle(s, at, found);
    if (is_whole(t)) return OK;
    if (is_pointless(s, t)) return end_transfer(s, at, MENDEL__FILE_FATE__FILE_LEFT);
    int64_t patience_ms = t->checkpoint ? checkpoint_patience_ms : weights_patience_ms;
    if (!of || (t->blob && s->now_ms - t->heard_ms >= patience_ms)) {
        remove_transfer(s, at, false);
        return OK;
    }
    if (t->blob) return s->now_ms - t->asked_ms >= ask_again_ms ? ask(s, t, of) : OK;
    if (t->checkpoint) give_way(s, t);
    return has_turn(s, t) ? begin(s, at, of) : OK;
}

status server_transfers_follow(server *s)
{
    struct transfers *f = s->transfers;
    for (size_t i = 0; i < f->count;) {
        size_t before = f->count;
        TRY(follow(s, i));
        if (f->count == before) i++;
    }
    if (f->sweep && !store_dirty(s->run->store)) { /* what the store says is on the disk */
        f->sweep = false;
        blobs_sweep_checkpoints(s->run->folder, is_needed, s);
    }
    return OK;
}

int64_t server_transfers_deadline(const server *s)
{
    const struct transfers *f = s->transfers;
    int64_t at = INT64_MAX;
    for (size_t i = 0; i < f->count; i++) {
        const transfer *t = &f->items[i];
        int64_t due = is_whole(t) ? s->now_ms + look_again_ms : t->blob ? t->asked_ms + ask_again_ms : INT64_MAX;
        if (due < at) at = due;
    }
    return f->sweep && at > s->now_ms + look_again_ms ? s->now_ms + look_again_ms : at;
}

bool server_transfers_busy(const server *s)
{
    return s->transfers->count > 0;
}

bool server_transfers_settling(const server *s)
{
    const struct transfers *f = s->transfers;
    for (size_t i = 0; i < f->count; i++)
        if (is_whole(&f->items[i])) return true;
    return false;
}

/* A piece that was asked for is no flood. */
status server_blob(server *s, session *from, const Mendel__Blob *b, size_t message_bytes)
{
    struct transfers *f = s->transfers;
    size_t at = 0;
    while (at < f->count && !(f->items[at].blob && wire_id_equal(&f->items[at].session, &from->id) &&
                              !strcmp(f->items[at].hash, b->hash)))
        at++;
    if (at == f->count) return OK;
    transfer *t = &f->items[at];
    if (!b->bytes) {
        FAIL(ERR_NOT_FOUND, "worker %s does not have the file any more", from->label);
        return let_go(s, at);
    }
    if (b->bytes != t->bytes || b->offset != blob_offset(t->blob) || !b->data.len) return OK; /* it came before */
    limits_give_back(s->limits, LIMIT_MESSAGES, from->to.bytes, from->to.count,
                     (double)message_bytes / LIMIT_UNIT_BYTES);
    if (blob_take(t->blob, b->data.data, b->data.len) != OK) return let_go(s, at);
    t->heard_ms = s->now_ms;
    return ask(s, t, from);
}
