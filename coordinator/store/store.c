/* Commits, settings and events. The rules of durability are SQLite's: with WAL and synchronous=FULL a COMMIT returns after
 * its frames in the log are synced; copying them into the database file (a checkpoint) can wait, and is never part of a
 * commit unless the log has grown much. */
#include "coordinator/store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "coordinator/store/inner.h"

static const char *const statements[STORE_SQL_COUNT] = {
#define SQL_AS_TEXT(id, sql) sql,
    STORE_STATEMENTS(SQL_AS_TEXT)};

/* ---- errors ---- */

status store_fail(store *s, int code, const char *what)
{
    int cause = errno;
    const char *words = sqlite3_errmsg(s->db);
    if (sqlite3_errcode(s->db) != code) words = sqlite3_errstr(code);
    switch (code & 0xff) {
    case SQLITE_NOMEM: return FAIL(ERR_MEMORY, "%s: cannot %s: out of memory", s->path, what);
    case SQLITE_FULL: return FAIL(ERR_NO_SPACE, "%s: cannot %s: no space left on the disk", s->path, what);
    case SQLITE_BUSY:
        return FAIL(ERR_BUSY, "%s: cannot %s: another process has held it for %d s", s->path, what,
                    STORE_BUSY_MS / 1000);
    case SQLITE_IOERR:
        if (code == SQLITE_IOERR_NOMEM) return FAIL(ERR_MEMORY, "%s: cannot %s: out of memory", s->path, what);
        if (cause == ENOSPC || cause == EDQUOT)
            return FAIL(ERR_NO_SPACE, "%s: cannot %s: %s", s->path, what, strerror(cause));
        return FAIL(ERR_IO, "%s: cannot %s: %s (%s)", s->path, what, words,
                    cause ? strerror(cause) : "no system error");
    case SQLITE_CANTOPEN:
        return FAIL(cause == ENOSPC || cause == EDQUOT ? ERR_NO_SPACE : ERR_IO, "%s: cannot %s: %s", s->path, what,
                    cause ? strerror(cause) : words);
    default: return FAIL(ERR_IO, "%s: cannot %s: %s", s->path, what, words);
    }
}

/* ---- statements ---- */

int store_run(sqlite3_stmt *statement)
{
    errno = 0;
    return sqlite3_step(statement);
}

status store_prepare(store *s, const char *sql, sqlite3_stmt **out)
{
    int code = sqlite3_prepare_v2(s->db, sql, -1, out, NULL);
    return code == SQLITE_OK ? OK : store_fail(s, code, "read it");
}

status store_statement(store *s, store_sql which, sqlite3_stmt **out)
{
    if (!s->kept[which]) {
        int code = sqlite3_prepare_v3(s->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, &s->kept[which], NULL);
        if (code != SQLITE_OK) return store_fail(s, code, "prepare a statement");
    }
    *out = s->kept[which];
    return OK;
}

status store_begin(store *s)
{
    assert(!s->reading);
    if (s->doomed != OK)
        return FAIL(s->doomed, "%s: an earlier write of the same commit failed: %s", s->path, status_text(s->doomed));
    if (s->dirty) return OK;
    sqlite3_stmt *begin = NULL;
    TRY(store_statement(s, SQL_BEGIN, &begin));
    int code = store_run(begin);
    status result = code == SQLITE_DONE ? OK : store_fail(s, code, "begin to write");
    sqlite3_reset(begin);
    s->dirty = result == OK;
    return result;
}

status store_step(store *s, sqlite3_stmt *statement, int bound, const char *what)
{
    int code = bound == SQLITE_OK ? store_run(statement) : bound;
    status result = code == SQLITE_DONE ? OK : store_fail(s, code, what);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    /* SQLite may have rolled all of it back by itself: what comes later must not be committed without what came before. */
    if (result != OK) s->doomed = result;
    return result;
}

/* ---- commits ---- */

void store_rollback(store *s)
{
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->dirty = false;
    s->doomed = OK;
}

status store_commit(store *s)
{
    if (!s->dirty) return OK;
    status result = s->doomed;
    if (result != OK) FAIL(result, "%s: a write before this commit failed: %s", s->path, status_text(result));
    else {
        sqlite3_stmt *commit = NULL;
        result = store_statement(s, SQL_COMMIT, &commit);
        if (result == OK) {
            FAULT("coordinator commits");
            int code = store_run(commit);
            if (code != SQLITE_DONE) result = store_fail(s, code, "commit");
            sqlite3_reset(commit);
        }
    }
    if (result != OK) {
        store_rollback(s);
        return result;
    }
    s->dirty = false;
    s->commits++;
    FAULT("coordinator has committed");
    if (s->log_pages >= s->sweep_pages) {
        store_checkpoint(s);
        s->sweep_pages = s->log_pages + STORE_SWEEP_PAGES; /* where it could not be done, not again at once */
    }
    return OK;
}

int64_t store_commits(const store *s)
{
    return s->commits;
}

bool store_dirty(const store *s)
{
    return s->dirty;
}

void store_checkpoint(store *s)
{
    if (s->dirty || !s->log_pages) return;
    FAULT("coordinator sweeps its log");
    int in_log = 0, copied = 0;
    errno = 0;
    int code = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
    if (code != SQLITE_OK && code != SQLITE_BUSY) {
        if (store_fail(s, code, "copy the log into the database") != ERR_NO_SPACE)
            log_warning("%s", status_message()); /* nothing is lost: the log keeps what could not be copied */
    }
    if (code == SQLITE_OK && in_log == copied) {
        s->log_pages = 0;
        s->sweep_pages = STORE_SWEEP_PAGES;
    }
}

int64_t store_version(store *s)
{
    sqlite3_stmt *statement = NULL;
    if (store_statement(s, SQL_VERSION, &statement) != OK) return 0;
    int64_t version = store_run(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return version;
}

/* ---- settings and events ---- */

status store_set(store *s, const char *name, const char *value)
{
    TRY(store_begin(s));
    sqlite3_stmt *set = NULL;
    TRY(store_statement(s, SQL_SET, &set));
    int bound = sqlite3_bind_text(set, 1, name, -1, SQLITE_STATIC);
    if (bound == SQLITE_OK) bound = sqlite3_bind_text(set, 2, value, -1, SQLITE_STATIC);
    return store_step(s, set, bound, "write a setting");
}

status store_get(store *s, const char *name, char **value)
{
    *value = NULL;
    sqlite3_stmt *get = NULL;
    TRY(store_statement(s, SQL_GET, &get));
    int code = sqlite3_bind_text(get, 1, name, -1, SQLITE_STATIC);
    if (code == SQLITE_OK) code = sqlite3_step(get);
    status result = code == SQLITE_ROW || code == SQLITE_DONE ? OK : store_fail(s, code, "read a setting");
    if (code == SQLITE_ROW) {
        const char *words = (const char *)sqlite3_column_text(get, 0);
        *value = words ? text_copy(words) : NULL;
        if (!*value) result = FAIL(ERR_MEMORY, "%s: out of memory", s->path);
    }
    sqlite3_reset(get);
    sqlite3_clear_bindings(get);
    return result;
}

status store_set_int(store *s, const char *name, int64_t value)
{
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)value);
    return store_set(s, name, number);
}

status store_get_int(store *s, const char *name, int64_t missing, int64_t *value)
{
    *value = missing;
    char *words;
    TRY(store_get(s, name, &words));
    long long number = missing;
    bool good = !words || text_to_long(words, &number);
    status result = good ? OK : FAIL(ERR_FORMAT, "%s: the setting %s is no whole number: %s", s->path, name, words);
    if (good) *value = number;
    free(words);
    return result;
}

status store_add_event(store *s, int64_t wall_ms, const char *kind, const char *words)
{
    TRY(store_begin(s));
    sqlite3_stmt *add = NULL;
    TRY(store_statement(s, SQL_ADD_EVENT, &add));
    int bound = sqlite3_bind_int64(add, 1, wall_ms);
    if (bound == SQLITE_OK) bound = sqlite3_bind_text(add, 2, kind, -1, SQLITE_STATIC);
    if (bound == SQLITE_OK) bound = sqlite3_bind_text(add, 3, words, -1, SQLITE_STATIC);
    return store_step(s, add, bound, "write an event");
}

status store_set_paused(store *s, int64_t wall_ms, bool paused)
{
    TRY(store_set_int(s, "paused", paused));
    return store_add_event(s, wall_ms, paused ? "pause" : "resume",
                           paused ? "a person paused the run" : "a person let the run go on");
}
