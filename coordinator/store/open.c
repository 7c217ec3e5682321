/* Opening the store: whose file it is, whether it is whole, and how SQLite is to treat it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/fs.h"
#include "coordinator/store/inner.h"
#include "coordinator/store/owner.h"

enum { APPLICATION_ID = 0x4d454e44, SCHEMA_VERSION = 2 };

static bool log_has_something(const char *path)
{
    text log = {0};
    text_add(&log, "%s-wal", path);
    struct stat information;
    bool has = log.failed || (!stat(log.bytes, &information) && information.st_size > 0);
    text_free(&log);
    return has;
}

/* What goes wrong while a store is being opened says something about the file. */
static status open_fail(store *s, int code)
{
    switch (code & 0xff) {
    case SQLITE_NOTADB: return FAIL(ERR_FORMAT, "%s is not a run's store: no SQLite database", s->path);
    case SQLITE_CORRUPT: return FAIL(ERR_FORMAT, "%s is damaged: %s", s->path, sqlite3_errmsg(s->db));
    case SQLITE_READONLY: /* without a place for the shared memory of its log */
    case SQLITE_CANTOPEN:
        if (s->reading && !eaccess(s->path, R_OK) && log_has_something(s->path))
            return FAIL(ERR_IO,
                        "%s cannot be read from a folder without write permission while its log (%s-wal) holds "
                        "results: copy the folder, or read it as its owner",
                        s->path, path_name(s->path));
        return store_fail(s, code, "open it");
    default: return store_fail(s, code, "open it");
    }
}

static int run(store *s, const char *sql)
{
    errno = 0;
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

/* The first column of the first row, as a number. */
static int ask_int(store *s, const char *sql, int64_t *value)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
    if (code != SQLITE_OK) return code;
    code = store_run(statement);
    if (code == SQLITE_ROW) *value = sqlite3_column_int64(statement, 0);
    int end = sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : end != SQLITE_OK ? end : SQLITE_CORRUPT;
}

/* ---- opening ---- */

/* Whose file is it? *fresh: nobody's yet. */
static status check_identity(store *s, bool *fresh)
{
    int64_t application = 0, version = 0, tables = 0;
    int code = ask_int(s, "PRAGMA application_id", &application);
    if (code == SQLITE_OK) code = ask_int(s, "PRAGMA user_version", &version);
    if (code == SQLITE_OK) code = ask_int(s, "SELECT count(*) FROM sqlite_schema", &tables);
    if (code != SQLITE_OK) return open_fail(s, code);
    *fresh = !application && !version && !tables;
    if (*fresh) return OK;
    if (application != APPLICATION_ID)
        return FAIL(ERR_FORMAT, "%s is not a run's store: a database of another program", s->path);
    if (version < 1 || version > SCHEMA_VERSION)
        return FAIL(ERR_FORMAT, "%s has schema %lld, this program knows schema %d: use the program that made it",
                    s->path, (long long)version, SCHEMA_VERSION);
    return OK;
}

/* Check every page and index once at the start: a damaged store must be found before a run is built on it. */
static status check_pages(store *s)
{
    sqlite3_stmt *check = NULL;
    int code = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &check, NULL);
    if (code != SQLITE_OK) return open_fail(s, code);
    code = store_run(check);
    const char *words = code == SQLITE_ROW ? (const char *)sqlite3_column_text(check, 0) : NULL;
    status result = OK;
    if (code != SQLITE_ROW) result = open_fail(s, code);
    else if (!words || strcmp(words, "ok"))
        result = FAIL(ERR_FORMAT, "%s is damaged: %s", s->path, words ? words : "no answer from its check");
    sqlite3_finalize(check);
    return result;
}

static status make_schema(store *s)
{
    text sql = {0};
    text_add(&sql, "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", store_schema,
             APPLICATION_ID, SCHEMA_VERSION);
    status result = text_status(&sql);
    if (result == OK) {
        int code = run(s, sql.bytes);
        if (code != SQLITE_OK) result = store_fail(s, code, "make it");
    }
    text_free(&sql);
    return result;
}

/* Version 1 had no looks; all else is as it was. */
static status upgrade_schema(store *s)
{
    int64_t version = 0;
    int code = ask_int(s, "PRAGMA user_version", &version);
    if (code != SQLITE_OK) return open_fail(s, code);
    if (version == SCHEMA_VERSION) return OK;
    const char *from = strstr(store_schema, "CREATE TABLE looks");
    text sql = {0};
    text_add(&sql, "BEGIN IMMEDIATE; %.*s; PRAGMA user_version = %d; COMMIT", (int)strcspn(from, ";"), from,
             SCHEMA_VERSION);
    status result = text_status(&sql);
    if (result == OK && (code = run(s, sql.bytes)) != SQLITE_OK) result = store_fail(s, code, "bring it up to date");
    text_free(&sql);
    return result;
}

/* Called by SQLite after every commit, in place of its own checkpoints. */
static int after_commit(void *state, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((store *)state)->log_pages = pages;
    return SQLITE_OK;
}

static status ask_for_wal(store *s)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (code != SQLITE_OK) return open_fail(s, code);
    code = store_run(statement);
    const char *mode = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    status result = OK;
    if (code != SQLITE_ROW) result = open_fail(s, code);
    else if (!mode || strcmp(mode, "wal"))
        result = FAIL(ERR_UNSUPPORTED, "%s: this file system cannot hold a store: it has no shared memory for its log",
                      s->path);
    /* The file says so only when the statement has ended. */
    else if ((code = store_run(statement)) != SQLITE_DONE) result = open_fail(s, code);
    sqlite3_finalize(statement);
    return result;
}

static status set_up_writing(store *s, const char *run_folder, bool may_make)
{
    /* Memory cannot be shared between machines, which WAL needs unless one process has the database for itself. */
    if (may_make && owner_is_needed(run_folder) && run(s, "PRAGMA locking_mode = EXCLUSIVE") != SQLITE_OK)
        return store_fail(s, sqlite3_errcode(s->db), "lock it");
    bool fresh;
    TRY(check_identity(s, &fresh));
    if (fresh && !may_make) return FAIL(ERR_NOT_FOUND, "%s is empty: no run was started here", s->path);
    /* EXTRA: the journal that precedes the log must not come back after a power cut, when it would undo all that followed. */
    int code = run(s, "PRAGMA synchronous = EXTRA");
    if (code != SQLITE_OK) return open_fail(s, code);
    TRY(ask_for_wal(s));
    code = run(s, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 16777216");
    if (code != SQLITE_OK) return open_fail(s, code);
    sqlite3_wal_hook(s->db, after_commit, s); /* also turns SQLite's own checkpoints off */
    s->sweep_pages = STORE_SWEEP_PAGES;
    if (!fresh && may_make) TRY(check_pages(s));
    if (!fresh) return may_make ? upgrade_schema(s) : OK;
    TRY(make_schema(s));
    return fs_sync_folder(run_folder);
}

static status set_up_reading(store *s)
{
    /* A reader leaves the log to the writer that will come back. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    bool fresh;
    TRY(check_identity(s, &fresh));
    return fresh ? FAIL(ERR_NOT_FOUND, "%s is empty: no run was started here", s->path) : OK;
}

/* Percent-encoded, with the wish that SQLite takes it for a file that nobody changes. */
static char *uri_of_unchanging(const char *path)
{
    text uri = {0};
    text_add(&uri, "file:");
    for (const char *c = path; *c; c++) text_add(&uri, strchr("%?#", *c) ? "%%%02x" : "%c", (unsigned char)*c);
    text_add(&uri, "?immutable=1");
    return text_take(&uri);
}

static status open_database(store *s, const char *name, int flags)
{
    errno = 0;
    int code = sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (!s->db) return FAIL(ERR_MEMORY, "%s: out of memory", s->path);
    if (code != SQLITE_OK) return open_fail(s, code);
    if (!s->reading && sqlite3_db_readonly(s->db, "main") == 1)
        return FAIL(ERR_IO, "%s cannot be written: permission denied", s->path);
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    return OK;
}

static status new_store(const char *run_folder, store **out)
{
    TRY(array_create(out, 1, sizeof **out));
    (*out)->path = path_join(run_folder, "store.sqlite");
    if ((*out)->path) return OK;
    store_close(out);
    return FAIL(ERR_MEMORY, "%s: out of memory", run_folder);
}

static status open_writing(const char *run_folder, bool may_make, store **out)
{
    TRY(new_store(run_folder, out));
    store *s = *out;
    status result = OK;
    if (!may_make && !fs_exists(s->path)) result = FAIL(ERR_NOT_FOUND, "%s has no run: no store.sqlite", run_folder);
    if (result == OK) result = open_database(s, s->path, SQLITE_OPEN_READWRITE | (may_make ? SQLITE_OPEN_CREATE : 0));
    if (result == OK) result = set_up_writing(s, run_folder, may_make);
    if (result != OK) store_close(out);
    return result;
}

status store_open(const char *run_folder, store **out)
{
    return open_writing(run_folder, true, out);
}

status store_open_control(const char *run_folder, store **out)
{
    return open_writing(run_folder, false, out);
}

status store_open_reading(const char *run_folder, store **out)
{
    TRY(new_store(run_folder, out));
    store *s = *out;
    s->reading = true;
    status result = OK;
    if (!fs_exists(s->path)) result = FAIL(ERR_NOT_FOUND, "%s has no run: no store.sqlite", run_folder);
    if (result == OK) result = open_database(s, s->path, SQLITE_OPEN_READONLY);
    if (result == OK) result = set_up_reading(s);
    /* In a folder that cannot be written there is no place for the shared memory of the log. Without a log none is needed. */
    if (result == ERR_IO && s->db && !log_has_something(s->path)) {
        sqlite3_close(s->db);
        s->db = NULL;
        char *uri = uri_of_unchanging(s->path);
        result = uri ? open_database(s, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI)
                     : FAIL(ERR_MEMORY, "%s: out of memory", s->path);
        free(uri);
        if (result == OK) result = set_up_reading(s);
    }
    if (result != OK) store_close(out);
    return result;
}

void store_close(store **s)
{
    if (!*s) return;
    for (int i = 0; i < STORE_SQL_COUNT; i++) sqlite3_finalize((*s)->kept[i]);
    sqlite3_close((*s)->db);
    free((*s)->path);
    free(*s);
    *s = NULL;
}

bool store_exists(const char *run_folder)
{
    char *path = path_join(run_folder, "store.sqlite");
    bool exists = path && fs_exists(path);
    free(path);
    return exists;
}
