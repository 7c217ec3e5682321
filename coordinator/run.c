#include "coordinator/run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/remote.h"
#include "common/text.h"
#include "coordinator/bucket.h"
#include "coordinator/evolve/merge.h"
#include "coordinator/report/report.h"

/* A run that starts waits so long for a bucket that is away. */
static const int64_t bucket_patience_ms = 30000;

char *run_folder(const char *folder, const char *name)
{
    text path = {0};
    if (*folder) text_add(&path, "%s", folder);
    else text_add(&path, *name ? "runs/evolve_%s" : "runs/evolve%s", name);
    return text_take(&path);
}

/* ---- the parts of opening ---- */

/* `status` holds the lock for a moment when it looks whether somebody has it. */
static status take_lock(const char *path, int *lock)
{
    enum { TRIES = 5 };
    status s = ERR_BUSY;
    for (int i = 0; s == ERR_BUSY && i < TRIES; i++) {
        if (i) clock_sleep_ms(50);
        s = fs_lock(path, lock);
    }
    return s;
}

status run_lock(const char *folder, bool shared, run *r)
{
    char *path = path_join(folder, "lock"), *finished = path_join(folder, "finished");
    status s = path && finished ? take_lock(path, &r->lock) : FAIL(ERR_MEMORY, "out of memory");
    if (s == ERR_BUSY) s = status_context(s, "another coordinator runs on %s", folder);
    if (s == OK && (shared || owner_is_needed(folder))) s = owner_take(folder, &owner_options_default, &r->owner);
    r->was_over = s == OK && fs_exists(finished);
    if (r->was_over) s = fs_remove(finished);
    free(path);
    free(finished);
    return s;
}

/* Confirmations come to their end, too, but only a run that was over before is over then. */
void run_note_end(const run *r)
{
    char words[64], *path = path_join(r->home, "finished");
    snprintf(words, sizeof words, "%lld candidates evaluated\n", (long long)r->ledger_options.generations);
    bool over = !r->seeds || r->was_over;
    if (path && over && fs_write(path, words, strlen(words)) != OK) log_warning("%s", status_message());
    free(path);
}

static status take_folder(const run_request *q, run *out)
{
    char *asked = run_folder(q->o->run, q->train->name);
    status s = asked ? fs_make_folders(asked, 0777) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) {
        out->folder = path_real(asked);
        if (!out->folder) s = FAIL(ERR_IO, "cannot open the run folder %s", asked);
    }
    out->home = s == OK ? text_copy(out->folder) : NULL;
    if (s == OK && !out->home) s = FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = run_lock(out->folder, q->o->shared_folder, out);
    free(asked);
    return s;
}

/* Does the command line say anything of the specification? */
static bool has_wishes(const run_request *q)
{
    static const char *const own[] = {"strategy", "parent",   "mutation", "sigma",        "run-seed",   "meta",
                                      "fitness",  "external", "prune",    "prune-warmup", "prune-least"};
    for (size_t i = 0; i < TRAIN_ROWS; i++)
        if (q->train_given[i] && strcmp(train_rows[i].name, "name") && strcmp(train_rows[i].name, "bucket"))
            return true;
    for (size_t i = 0; i < COORDINATOR_ROWS; i++)
        for (size_t k = 0; q->given[i] && k < sizeof own / sizeof *own; k++)
            if (!strcmp(coordinator_rows[i].name, own[k])) return true;
    return false;
}

static status set_name(const run_request *q, run *out)
{
    const char *name = *q->train->name ? q->train->name : path_name(out->folder);
    out->name = text_copy(name);
    return out->name ? OK : FAIL(ERR_MEMORY, "out of memory");
}

/* An evolve.txt to start from: the one that is named, else one in the folder. The caller frees; NULL: none. */
static char *find_import(const run_request *q, const run *r)
{
    if (*q->o->import) return text_copy(q->o->import);
    char *own = path_join(r->folder, "evolve.txt");
    if (own && fs_is_file(own)) return own;
    free(own);
    return NULL;
}

static status start_new(const run_request *q, run *out, int64_t wall_ms)
{
    char id[WIRE_ID_ROOM];
    out->is_new = true;
    TRY(spec_make(q->o, q->train, q->train_given, &out->spec));
    TRY(set_name(q, out));
    TRY(store_open(out->folder, &out->store));
    TRY(wire_id_make(&out->id));
    wire_id_text(&out->id, id);
    TRY(store_set(out->store, "run_id", id));
    TRY(store_set(out->store, "name", out->name));
    TRY(store_set_int(out->store, "created_ms", wall_ms));
    return spec_save(out->store, &out->spec);
}

static status check_wishes(const run_request *q, const run *r)
{
    run_spec asked;
    if (*q->o->import) return FAIL(ERR_REFUSED, "--import: %s has a population already; give another --run", r->folder);
    if (!has_wishes(q)) return OK;
    TRY(spec_make(q->o, q->train, q->train_given, &asked));
    status s = spec_compare(&r->spec, &asked);
    spec_free(&asked);
    if (s != ERR_REFUSED) return s;
    return status_context(s, "%s goes on only as it was started", r->folder);
}

static status go_on(const run_request *q, run *out)
{
    char *id = NULL;
    TRY(store_open(out->folder, &out->store));
    TRY(store_get(out->store, "confirms", &id));
    if (id) {
        free(id);
        return FAIL(ERR_REFUSED, "%s holds what was confirmed of a run: coordinator confirm --run goes on with that",
                    out->folder);
    }
    TRY(store_get(out->store, "run_id", &id));
    status s = id ? wire_id_parse(id, &out->id) : FAIL(ERR_FORMAT, "%s: the store has no run in it", out->folder);
    free(id);
    if (s != OK) return s;
    TRY(store_get(out->store, "name", &out->name));
    if (!out->name) TRY(set_name(q, out));
    TRY(spec_load(out->store, &out->spec));
    return check_wishes(q, out);
}

/* A store is a run's once its first commit is through: before that nothing has come of it. */
static bool has_run(const run *r)
{
    store *s;
    char *id = NULL;
    status opened = store_open_reading(r->folder, &s);
    if (opened != OK) return opened != ERR_NOT_FOUND;     /* none, or one without anything in it yet */
    bool found = store_get(s, "run_id", &id) != OK || id; /* one that cannot be read is no new one */
    free(id);
    store_close(&s);
    return found;
}

static status raise_epoch(run *r)
{
    int64_t epoch;
    TRY(store_get_int(r->store, "epoch", 0, &epoch));
    r->epoch = (uint64_t)epoch + 1;
    TRY(store_set_int(r->store, "epoch", epoch + 1));
    return store_set_int(r->store, "generations", r->ledger_options.generations);
}

static bool was_given(const run_request *q, const char *name)
{
    for (size_t i = 0; i < COORDINATOR_ROWS; i++)
        if (q->given[i] && !strcmp(coordinator_rows[i].name, name)) return true;
    return false;
}

/* More generations extend a run; fewer than were asked for before would end it below what is there. */
static status choose_generations(const run_request *q, run *r)
{
    int64_t kept, asked = q->o->generations;
    TRY(store_get_int(r->store, "generations", asked, &kept));
    r->ledger_options.generations = was_given(q, "generations") ? asked : kept;
    return OK;
}

static status choose_keep(const run_request *q, run *r)
{
    int64_t kept, asked = q->o->keep;
    TRY(store_get_int(r->store, "keep", asked, &kept));
    if (was_given(q, "keep") || kept < KEEP_NONE || kept > KEEP_ALL) kept = asked;
    r->keep = (run_keep)kept;
    return store_set_int(r->store, "keep", kept);
}

static status choose_bucket(const run_request *q, run *r)
{
    bool given = q->train_given[options_find(train_rows, TRAIN_ROWS, "bucket") - train_rows];
    r->bucket = text_copy(given ? q->train->bucket : r->spec.train.bucket);
    if (!r->bucket) return FAIL(ERR_MEMORY, "out of memory");
    if (!*r->bucket || remote_check(r->bucket) == OK) return OK;
    return status_context(ERR_ARGUMENT, "--bucket");
}

static status open_ledger(const run_request *q, run *r, int64_t now_ms)
{
    TRY(choose_generations(q, r));
    TRY(choose_bucket(q, r));
    TRY(choose_keep(q, r));
    TRY(raise_epoch(r));
    r->ledger_options.max_lost = q->o->max_lost;
    r->ledger_options.max_failures = q->o->max_failures;
    r->ledger_options.lease_ms = (int64_t)(q->o->lease_s * 1000);
    r->ledger_options.epoch = r->epoch;
    return ledger_open(r->store, &r->spec, &r->ledger_options, now_ms, &r->ledger);
}

static status import(const run_request *q, run *r, int64_t wall_ms)
{
    char *path = find_import(q, r);
    if (!path) return OK;
    status s = ledger_import(r->ledger, path, wall_ms);
    if (s == OK) log_info("imported %zu rows of %s", ledger_population(r->ledger)->count, path);
    free(path);
    return s;
}

static status merge_file(run *r, const char *path, int64_t wall_ms)
{
    merge *m;
    population fresh;
    TRY(merge_create(&m));
    population_start(&fresh, &r->spec.space, r->spec.fitness);
    status s = merge_read(m, ledger_population(r->ledger), path, &fresh);
    if (s == OK) s = ledger_merge(r->ledger, &fresh, wall_ms);
    if (s == OK) log_info("imported %zu rows of the bucket's evolve.txt", fresh.count);
    population_free(&fresh);
    merge_destroy(&m);
    return s;
}

/* A new run starts from what its bucket has. One that is away is no reason not to start: its rows are taken in when it is back. */
static status import_bucket(run *r, int64_t wall_ms)
{
    char *path;
    if (!*r->bucket) return OK;
    log_info("looking for an evolve.txt in the bucket");
    status s = bucket_fetch(r->bucket, r->folder, bucket_patience_ms, &path);
    if (s == ERR_TIMEOUT) log_warning("%s; starting without its evolve.txt", status_message());
    if (s == ERR_TIMEOUT || (s == OK && !path)) return OK;
    if (s == OK) s = merge_file(r, path, wall_ms);
    if (path) fs_remove(path);
    free(path);
    return s;
}

/* ---- opening ---- */

static status open_run(const run_request *q, int64_t now_ms, int64_t wall_ms, run *out)
{
    FAULT("coordinator opens the run");
    TRY(take_folder(q, out));
    if (has_run(out)) TRY(go_on(q, out));
    else TRY(start_new(q, out, wall_ms));
    TRY(open_ledger(q, out, now_ms));
    if (out->is_new) TRY(import(q, out, wall_ms));
    else TRY(ledger_try_first_again(out->ledger));
    if (out->is_new) TRY(import_bucket(out, wall_ms));
    TRY(store_add_event(out->store, wall_ms, "start", out->is_new ? "the run was started" : "the run goes on"));
    return store_commit(out->store);
}

/* What could not be started leaves no store behind: nothing has come of it. The sentence that says why stays. */
static void drop(run *r)
{
    static const char *const files[] = {"store.sqlite", "store.sqlite-wal", "store.sqlite-shm"};
    char *folder = r->is_new && r->store ? text_copy(r->folder) : NULL, *why = text_copy(status_message());
    run_close(r);
    for (size_t i = 0; folder && i < sizeof files / sizeof *files; i++) {
        char *path = path_join(folder, files[i]);
        if (path) fs_remove(path);
        free(path);
    }
    if (why) FAIL(ERR_IO, "%s", why);
    free(folder);
    free(why);
}

status run_open(const run_request *request, int64_t now_ms, int64_t wall_ms, run *out)
{
    *out = (run){.lock = -1, .opened_ms = now_ms};
    status s = open_run(request, now_ms, wall_ms, out);
    if (s == OK) FAULT("coordinator has opened the run");
    if (s != OK) drop(out);
    return s;
}

void run_close(run *r)
{
    ledger_close(&r->ledger);
    store_close(&r->store);
    spec_free(&r->spec);
    owner_leave(&r->owner);
    if (r->lock >= 0) close(r->lock);
    free(r->folder);
    free(r->home);
    free(r->name);
    free(r->seeds);
    free(r->bucket);
    *r = (run){.lock = -1};
}

int64_t run_training_seed(const run *r, int64_t candidate)
{
    return r->seeds ? r->seeds[candidate - 1] : r->spec.train.seed;
}

status run_reload(run *r, int64_t now_ms)
{
    ledger *fresh;
    TRY(ledger_open(r->store, &r->spec, &r->ledger_options, now_ms, &fresh));
    ledger_close(&r->ledger);
    r->ledger = fresh;
    return OK;
}
