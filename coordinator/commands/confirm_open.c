#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "coordinator/commands/confirm.h"

/* One row with one seed. */
typedef struct pairing {
    int64_t row, seed;
} pairing;

typedef struct plan {
    const char *folder; /* of the run */
    run_spec spec;
    trials parent;
    char *run_id;
    member *rows; /* the start (candidate 0), then the best */
    size_t count;
    pairing *known; /* that are in the store: of candidates 1, 2, ... */
    size_t known_count, known_room;
} plan;

static void plan_free(plan *p)
{
    trials_free(&p->parent);
    spec_free(&p->spec);
    free(p->run_id);
    free(p->rows);
    free(p->known);
}

/* ---- the rows ---- */

static status read_parent(plan *p)
{
    store *s;
    TRY(store_open_reading(p->folder, &s));
    status result = store_get(s, "run_id", &p->run_id);
    if (result == OK && !p->run_id) result = FAIL(ERR_NOT_FOUND, "%s has no run yet", p->folder);
    if (result == OK) result = spec_load(s, &p->spec);
    if (result == OK) result = trials_read(s, &p->spec.space, p->spec.fitness, &p->parent);
    if (result == OK && !p->parent.members.count)
        result = FAIL(ERR_NOT_FOUND, "%s: no candidate has been evaluated yet", p->folder);
    store_close(&s);
    return result;
}

static bool has_hyps(const plan *p, const double *hyps)
{
    for (size_t i = 0; i < p->count; i++)
        if (!memcmp(p->rows[i].hyps, hyps, p->spec.space.count * sizeof *hyps)) return true;
    return false;
}

/* The best member that is not among the rows; NULL: all are. */
static const member *next_best(const plan *p)
{
    const population *all = &p->parent.members;
    const member *best = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const member *m = &all->members[i];
        if (has_hyps(p, m->hyps)) continue;
        if (!best || member_fitness(all, m) > member_fitness(all, best)) best = m;
    }
    return best;
}

static status choose_rows(plan *p, int64_t top)
{
    const member *best;
    TRY(array_new(&p->rows, (size_t)top + 1));
    memcpy(p->rows[0].hyps, p->spec.base, p->spec.space.count * sizeof *p->spec.base);
    hyp_constrain(&p->spec.space, p->rows[0].hyps);
    p->count = 1;
    while ((int64_t)p->count <= top && (best = next_best(p)) != NULL) p->rows[p->count++] = *best;
    return OK;
}

/* ---- the store ---- */

static void seed_name(int64_t candidate, char name[32])
{
    snprintf(name, 32, "seed of %lld", (long long)candidate);
}

static status open_store(const plan *p, run *r)
{
    char *confirms = NULL, *id = NULL, fresh[WIRE_ID_ROOM];
    TRY(fs_make_folders(r->folder, 0777));
    TRY(store_open(r->folder, &r->store));
    TRY(store_get(r->store, "confirms", &confirms));
    bool other = confirms && strcmp(confirms, p->run_id);
    free(confirms);
    if (other) return FAIL(ERR_REFUSED, "%s holds what was confirmed of another run: remove it", r->folder);
    TRY(store_get(r->store, "run_id", &id));
    status s = id ? wire_id_parse(id, &r->id) : wire_id_make(&r->id);
    free(id);
    if (s != OK) return s;
    wire_id_text(&r->id, fresh);
    TRY(store_set(r->store, "run_id", fresh));
    TRY(store_set(r->store, "confirms", p->run_id));
    TRY(store_set(r->store, "name", r->name));
    return spec_save(r->store, &r->spec);
}

/* What did not work out is tried again, since its user asks for it again. */
static status take_known(store *s, plan *p, store_candidate *c)
{
    char name[32];
    TRY(array_room(&p->known, &p->known_room, p->known_count + 1));
    pairing *k = &p->known[p->known_count++];
    k->row = c->made.parents[0];
    seed_name(c->number, name);
    TRY(store_get_int(s, name, 0, &k->seed));
    if (c->state != CANDIDATE_FAILED) return OK;
    c->state = CANDIDATE_BRED;
    c->ended_ms = c->lost = c->crashes = 0;
    return store_put_candidate(s, &p->spec.space, c);
}

static status read_known(plan *p, store *s)
{
    trials t;
    TRY(trials_read(s, &p->spec.space, p->spec.fitness, &t));
    status result = OK;
    for (size_t i = 0; result == OK && i < t.count; i++) {
        store_candidate *c = &t.candidates[i];
        if (c->number != (int64_t)i + 1 || c->made.parent_count != 1)
            result = FAIL(ERR_FORMAT, "%s/confirm: candidate %lld confirms nothing", p->folder, (long long)c->number);
        if (result == OK) result = take_known(s, p, c);
    }
    trials_free(&t);
    return result;
}

static bool is_known(const plan *p, pairing wanted)
{
    for (size_t i = 0; i < p->known_count; i++)
        if (p->known[i].row == wanted.row && p->known[i].seed == wanted.seed) return true;
    return false;
}

static status add(plan *p, store *s, const member *row, int64_t seed, int64_t wall_ms)
{
    char name[32];
    pairing wanted = {row->candidate, seed};
    if (is_known(p, wanted)) return OK;
    TRY(array_room(&p->known, &p->known_room, p->known_count + 1));
    p->known[p->known_count++] = wanted;
    store_candidate c = {.number = (int64_t)p->known_count, .state = CANDIDATE_BRED, .bred_ms = wall_ms};
    c.made.parents[0] = c.made.parent = row->candidate;
    c.made.parent_count = 1;
    c.made.weights[0] = 1;
    memcpy(c.made.hyps, row->hyps, p->spec.space.count * sizeof *row->hyps);
    for (size_t i = 0; i < p->spec.space.count; i++) c.made.factors[i] = 1;
    seed_name(c.number, name);
    TRY(store_set_int(s, name, seed));
    return store_put_candidate(s, &p->spec.space, &c);
}

/* All rows with one seed, then all with the next: a confirmation that is cut short has compared all of them. */
static status add_missing(plan *p, store *s, int64_t seeds, int64_t wall_ms)
{
    for (int64_t k = 1; k <= seeds; k++) {
        int64_t seed = (int64_t)(uint32_t)(p->spec.train.seed + k);
        for (size_t i = 0; i < p->count; i++) TRY(add(p, s, &p->rows[i], seed, wall_ms));
    }
    return OK;
}

/* ---- the run ---- */

static status open_ledger(const coordinator_options *o, const plan *p, run *r, int64_t now_ms)
{
    int64_t epoch;
    TRY(array_new(&r->seeds, p->known_count));
    for (size_t i = 0; i < p->known_count; i++) r->seeds[i] = p->known[i].seed;
    TRY(store_get_int(r->store, "epoch", 0, &epoch));
    r->epoch = (uint64_t)epoch + 1;
    TRY(store_set_int(r->store, "epoch", epoch + 1));
    TRY(store_set_int(r->store, "generations", (int64_t)p->known_count));
    r->ledger_options = (ledger_options){.generations = (int64_t)p->known_count,
                                         .max_lost = o->max_lost,
                                         .max_failures = o->max_failures,
                                         .lease_ms = (int64_t)(o->lease_s * 1000),
                                         .epoch = r->epoch,
                                         .fixed = true};
    return ledger_open(r->store, &r->spec, &r->ledger_options, now_ms, &r->ledger);
}

static status find_folders(const char *folder, run *r)
{
    r->home = path_real(folder);
    if (!r->home || !store_exists(r->home)) return FAIL(ERR_NOT_FOUND, "%s has no run: no store.sqlite", folder);
    r->folder = path_join(r->home, "confirm");
    r->name = text_copy(path_name(r->home));
    return r->folder && r->name ? OK : FAIL(ERR_MEMORY, "out of memory");
}

static status open_all(plan *p, const coordinator_options *o, int64_t top, int64_t seeds, int64_t now_ms,
                       int64_t wall_ms, run *r)
{
    TRY(find_folders(p->folder, r));
    TRY(run_lock(r->home, false, r));
    TRY(read_parent(p));
    TRY(choose_rows(p, top));
    store *parent;
    TRY(store_open_reading(p->folder, &parent));
    status s = spec_load(parent, &r->spec); /* once more: the run keeps its own */
    store_close(&parent);
    if (s != OK) return s;
    r->spec.prune.rule = prune_rule_find("none"); /* a spread of those that were not stopped would tell nothing */
    r->spec.train.test_every = 0;
    TRY(open_store(p, r));
    TRY(read_known(p, r->store));
    TRY(add_missing(p, r->store, seeds, wall_ms));
    TRY(open_ledger(o, p, r, now_ms));
    TRY(store_add_event(r->store, wall_ms, "start", "a confirmation was started"));
    return store_commit(r->store);
}

status confirm_open(const char *folder, const coordinator_options *o, int64_t top, int64_t seeds, int64_t now_ms,
                    int64_t wall_ms, run *out)
{
    plan p = {.folder = folder};
    *out = (run){.lock = -1, .opened_ms = now_ms};
    status s = open_all(&p, o, top, seeds, now_ms, wall_ms, out);
    plan_free(&p);
    if (s != OK) run_close(out);
    return s;
}
