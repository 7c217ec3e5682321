#include "tests/chaos/checker.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "tests/chaos/record.h"

/* ---- evolve.txt ---- */

double checker_best_of_file(const char *run)
{
    enum { RESULTS = 7 };
    char *path = path_join(run, "evolve.txt"), *bytes = NULL;
    size_t count;
    status s = path ? fs_read(path, 0, &bytes, &count) : ERR_MEMORY;
    double values[RESULTS] = {0};
    int found = 0;
    if (s == OK && count) {
        bytes[strcspn(bytes, "\n")] = '\0';
        for (char *at = bytes, *end; *(at += strspn(at, " ")); at = end) {
            double value = strtod(at, &end);
            if (end == at) found = -1000;
            if (end == at) break;
            if (found < RESULTS) values[found] = value;
            found++;
        }
    }
    free(bytes);
    free(path);
    if (!found) return 0;
    return found > RESULTS ? 0.1 * values[2] + 0.9 * values[3] : -INFINITY;
}

/* ---- the store ---- */

static status open_store(const stage *s, sqlite3 **out)
{
    char *path = path_join(s->run, "store.sqlite");
    int code = path ? sqlite3_open_v2(path, out, SQLITE_OPEN_READONLY, NULL) : SQLITE_NOMEM;
    status result = code == SQLITE_OK ? OK : FAIL(ERR_IO, "%s: %s", path ? path : "", sqlite3_errstr(code));
    free(path);
    return result;
}

/* Are these the same numbers: "0.5 1" and "[0.5,1]"? */
static bool same_numbers(const char *words, const char *json)
{
    for (;;) {
        char *end, *other_end;
        words += strspn(words, " ");
        json += strspn(json, " [,");
        if (!*words || !*json || *json == ']') return !*words && *json == ']';
        double one = strtod(words, &end), other = strtod(json, &other_end);
        if (end == words || other_end == json || one != other) return false;
        words = end;
        json = other_end;
    }
}

typedef struct row {
    long long candidate, attempt, epoch;
    const char *state, *results, *detail; /* NULL: none */
} row;

static void check_row(stage *s, const row *r, const track *t)
{
    if (r->detail && strstr(r->detail, "damaged"))
        stage_fault(s, "attempt %lld of candidate %lld: %s", r->attempt, r->candidate, r->detail);
    if (!t) {
        stage_fault(s, "the store has attempt %lld of candidate %lld, of which nothing was ever said", r->attempt,
                    r->candidate);
        return;
    }
    if (strcmp(t->committed, r->state) && strcmp(t->doubtful, r->state))
        stage_fault(s, "attempt %lld of candidate %lld is %s in the store, and was %s", r->attempt, r->candidate,
                    r->state, t->committed);
    if (r->results && !t->results)
        stage_fault(s, "attempt %lld of candidate %lld has results that no worker has spooled", r->attempt,
                    r->candidate);
    else if (r->results && !same_numbers(t->results, r->results))
        stage_fault(s, "attempt %lld of candidate %lld has results %s, and its worker had %s", r->attempt, r->candidate,
                    r->results, t->results);
}

static status check_attempts(stage *s, const record *r)
{
    sqlite3 *store;
    sqlite3_stmt *query = NULL;
    size_t rows = 0, committed = 0;
    status result = open_store(s, &store);
    int code = SQLITE_ERROR;
    if (result == OK)
        code = sqlite3_prepare_v2(store, "select candidate, attempt, epoch, state, results, detail from attempts", -1,
                                  &query, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(query);
        if (code != SQLITE_ROW) break;
        row found = {sqlite3_column_int64(query, 0),
                     sqlite3_column_int64(query, 1),
                     sqlite3_column_int64(query, 2),
                     (const char *)sqlite3_column_text(query, 3),
                     (const char *)sqlite3_column_text(query, 4),
                     (const char *)sqlite3_column_text(query, 5)};
        check_row(s, &found, record_find(r, found.candidate, found.attempt));
        rows++;
    }
    if (result == OK && code != SQLITE_DONE) result = FAIL(ERR_IO, "the store: %s", sqlite3_errmsg(store));
    for (size_t i = 0; i < r->count; i++) committed += *r->tracks[i].committed != '\0';
    if (result == OK && rows < committed)
        stage_fault(s, "%zu attempts were committed, the store has %zu", committed, rows);
    sqlite3_finalize(query);
    sqlite3_close(store);
    return result;
}

/* ---- deliveries ---- */

/* How many lie in the spools of all workers. */
static size_t count_spooled(const stage *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->worker_count; i++) {
        fs_names names;
        text folder = {0};
        text_add(&folder, "%s/worker %zu.spool", s->folder, i);
        if (text_status(&folder) == OK && fs_list(folder.bytes, &names) == OK) {
            for (size_t k = 0; k < names.count; k++)
                count += text_starts_with(names.names[k], "delivery-") && !strchr(names.names[k], '.');
            fs_names_free(&names);
        }
        text_free(&folder);
    }
    return count;
}

/* The files themselves are worker/spool_test's business: here it is enough that as many are left as nobody has taken. */
static void check_deliveries(stage *s, const record *r)
{
    size_t waiting = 0, left = count_spooled(s);
    for (size_t i = 0; i < r->count; i++) waiting += r->tracks[i].spooled && !r->tracks[i].forgotten;
    if (waiting <= left) return;
    stage_fault(s, "%zu deliveries were spooled and never acknowledged, %zu lie in the spools", waiting, left);
    for (size_t i = 0; i < r->count; i++) {
        const track *t = &r->tracks[i];
        if (t->spooled && !t->forgotten)
            stage_fault(s, "  attempt %lld of candidate %lld, of %s", (long long)t->attempt, (long long)t->candidate,
                        t->worker ? t->worker : "nobody");
    }
}

/* ---- files ---- */

/* Stand-ins leave files that begin with the hash of the rest. */
static void check_file(stage *s, const char *path)
{
    char *bytes = NULL, hash[FS_HASH_ROOM] = "";
    size_t count;
    bool whole = fs_read(path, 0, &bytes, &count) == OK && count > FS_HASH_ROOM;
    if (whole) fs_hash_bytes(bytes + FS_HASH_ROOM, count - FS_HASH_ROOM, hash);
    if (!whole || memcmp(hash, bytes, FS_HASH_ROOM)) stage_fault(s, "%s is damaged", path);
    free(bytes);
}

static void check_weights(stage *s)
{
    char *folder = path_join(s->run, "weights");
    fs_names names;
    if (folder && fs_list(folder, &names) == OK) {
        for (size_t i = 0; i < names.count; i++) {
            char *path = path_join(folder, names.names[i]);
            if (path && text_starts_with(names.names[i], "candidate_")) check_file(s, path);
            free(path);
        }
        fs_names_free(&names);
    }
    free(folder);
}

/* ---- epochs ---- */

typedef struct listener {
    char *who;
    unsigned long long epoch;
} listener;

typedef struct listeners {
    stage *stage;
    listener *items;
    size_t count, room;
} listeners;

static status note_epoch(void *state, const event *e)
{
    listeners *l = state;
    unsigned long long epoch = 0;
    const char *at = strstr(e->words, "epoch ");
    if (!text_starts_with(e->what, "worker hears ") || !at || sscanf(at, "epoch %llu", &epoch) != 1) return OK;
    if (!strcmp(e->what, "worker hears Refused")) return OK;
    size_t i = 0;
    while (i < l->count && strcmp(l->items[i].who, e->who)) i++;
    if (i == l->count) {
        TRY(array_room(&l->items, &l->room, l->count + 1));
        l->items[l->count++].who = text_copy(e->who);
    }
    if (!l->items[i].who) return FAIL(ERR_MEMORY, "out of memory");
    if (epoch < l->items[i].epoch)
        stage_fault(l->stage, "%s obeys epoch %llu after %llu", e->who, epoch, l->items[i].epoch);
    l->items[i].epoch = epoch;
    return OK;
}

static status check_epochs(stage *s)
{
    listeners l = {.stage = s};
    status result = record_each(s->history, note_epoch, &l);
    for (size_t i = 0; i < l.count; i++) free(l.items[i].who);
    free(l.items);
    return result;
}

/* ---- other programs ---- */

static status check_by(stage *s, const char *what, const char *folder, const char *program, const char *const *words)
{
    const char *arguments[8] = {NULL};
    char *path = path_join(folder, program), *output = path_join(s->folder, "check.log");
    arguments[0] = path;
    for (int i = 0; words[i]; i++) arguments[i + 1] = words[i];
    status result = path && output ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) {
        int code = stage_run(arguments, output);
        char *said = NULL;
        size_t count;
        if (code && fs_read(output, 0, &said, &count) == OK) stage_fault(s, "%s (exit %d):\n%s", what, code, said);
        else if (code) stage_fault(s, "%s (exit %d)", what, code);
        free(said);
        fs_remove(output);
    }
    free(path);
    free(output);
    return result;
}

static status check_programs(stage *s)
{
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)s->generations);
    const char *const history[] = {s->run, s->jumping ? "check-untimed" : "check", number, NULL};
    const char *const verify[] = {"verify", "--run", s->run, NULL};
    TRY(check_by(s, "history", s->theatre->plain, "tests/cluster/history", history));
    return check_by(s, "verify", s->theatre->programs, "coordinator", verify);
}

/* ---- all of it ---- */

status checker_check(stage *s)
{
    record r = {.faults = &s->faults, .generations = s->generations, .lease_us = s->lease_ms * 1000};
    status result = record_read(s->history, &r);
    if (result == OK) result = check_attempts(s, &r);
    if (result == OK) result = check_epochs(s);
    if (result == OK) result = check_programs(s);
    if (result == OK) check_deliveries(s, &r);
    if (!s->real) check_weights(s);
    record_free(&r);
    return result;
}
