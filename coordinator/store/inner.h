/* inner.h - what the files of the store share.
 *
 * open.c opens; store.c commits and keeps statements; rows.c turns candidates and attempts into rows and back;
 * json.c writes and reads the numbers in them. Nobody else includes this. */
#ifndef COORDINATOR_STORE_INNER_H
#define COORDINATOR_STORE_INNER_H

#include <sqlite3.h>

#include "common/text.h"
#include "coordinator/store/store.h"

/* schema.sql, a terminated string. */
extern const char store_schema[];

/* Statements that are prepared once. The order of columns is that of the binds and reads in rows.c. */
/* What becomes of a candidate, and how it was bred. */
#define CANDIDATE_FATE                                                                                                 \
    "state, bred_ms, ended_ms, attempts, lost, crashes, arrival, results, epoch, reason, detail, checkpoint_path, "    \
    "checkpoint_hash, checkpoint_step"
#define CANDIDATE_COLUMNS "number, " CANDIDATE_FATE ", hyps, parents, weights, parent, seen, rounds, factors"
#define ATTEMPT_FATE                                                                                                   \
    "epoch, session, worker, slot, number, state, leased_ms, ended_ms, host, device, precision, version, threads, "    \
    "peak_memory, seconds, resumed, reason, detail, log, results"
#define ATTEMPT_COLUMNS "candidate, attempt, " ATTEMPT_FATE

#define STORE_STATEMENTS(ROW)                                                                                          \
    ROW(SQL_BEGIN, "BEGIN IMMEDIATE")                                                                                  \
    ROW(SQL_COMMIT, "COMMIT")                                                                                          \
    ROW(SQL_VERSION, "PRAGMA data_version")                                                                            \
    ROW(SQL_SET, "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)")                                        \
    ROW(SQL_GET, "SELECT value FROM settings WHERE name = ?")                                                          \
    ROW(SQL_PUT_CANDIDATE, "INSERT OR REPLACE INTO candidates (" CANDIDATE_COLUMNS ") VALUES "                         \
                           "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                       \
    ROW(SQL_UPDATE_CANDIDATE, "UPDATE candidates SET (" CANDIDATE_FATE ") = "                                          \
                              "(?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) WHERE number = ?1")      \
    ROW(SQL_PUT_ATTEMPT, "INSERT INTO attempts (" ATTEMPT_COLUMNS ") VALUES "                                          \
                         "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "                         \
                         "ON CONFLICT (candidate, attempt) DO UPDATE SET (" ATTEMPT_FATE ") = (excluded.epoch, "       \
                         "excluded.session, excluded.worker, excluded.slot, excluded.number, excluded.state, "         \
                         "excluded.leased_ms, excluded.ended_ms, excluded.host, excluded.device, "                     \
                         "excluded.precision, excluded.version, excluded.threads, excluded.peak_memory, "              \
                         "excluded.seconds, excluded.resumed, excluded.reason, excluded.detail, excluded.log, "        \
                         "excluded.results)")                                                                          \
    ROW(SQL_PUT_LOOK, "INSERT OR REPLACE INTO looks (candidate, epoch, fitness) VALUES (?, ?, ?)")                     \
    ROW(SQL_ADD_EVENT, "INSERT INTO events (wall_ms, kind, words) VALUES (?, ?, ?)")
#define STORE_SQL_AS_ID(id, sql) id,
typedef enum store_sql { STORE_STATEMENTS(STORE_SQL_AS_ID) STORE_SQL_COUNT } store_sql;

/* Readers hold locks for moments, pause and resume for one fsync. */
enum { STORE_BUSY_MS = 5000 };
/* 4 MB of log, of 4 kB pages: a sweep takes a few milliseconds, in which workers wait. */
enum { STORE_SWEEP_PAGES = 1000 };

struct store {
    sqlite3 *db;
    char *path;
    bool reading;  /* opened for reading only */
    bool dirty;    /* a transaction is open */
    status doomed; /* a write of the open transaction failed: it can only be rolled back */
    int64_t commits;
    int log_pages;   /* in the log, as of the last commit */
    int sweep_pages; /* when the log has so many pages a commit is followed by a checkpoint */
    sqlite3_stmt *kept[STORE_SQL_COUNT];
};

/* Turn SQLite's code into ours, with a sentence: "RUN/store.sqlite: cannot WHAT: why". */
status store_fail(store *s, int code, const char *what);
/* sqlite3_step with errno cleared before. What store_fail says of the cause comes from errno: sqlite3_system_errno is not set
 * when a COMMIT fails, and keeps old causes. */
int store_run(sqlite3_stmt *statement);
/* A kept statement, reset and without values. */
status store_statement(store *s, store_sql which, sqlite3_stmt **out);
/* A statement for one reading, which the caller finalizes. */
status store_prepare(store *s, const char *sql, sqlite3_stmt **out);
/* Before a write: opens the transaction, or repeats what doomed it. */
status store_begin(store *s);
/* Run a kept statement that writes, with `bound` the first error of its binds. Dooms the transaction when it fails. */
status store_step(store *s, sqlite3_stmt *statement, int bound, const char *what);

/* ---- numbers as JSON ---- */

/* Append [1.5, "nan", ...], or {"lr0": 0.01, ...} by the keys of the space. Failures stay in the text. */
void store_write_numbers(text *out, const double *values, size_t count);
void store_write_integers(text *out, const int64_t *values, size_t count);
void store_write_keyed(text *out, const hyp_space *space, const double *values);
/* Read them back. False when the text is not exactly such a list (of at most `room`), or not of this space. */
bool store_read_numbers(const char *json, double *values, size_t room, size_t *count);
bool store_read_integers(const char *json, int64_t *values, size_t room, size_t *count);
bool store_read_keyed(const char *json, const hyp_space *space, double *values);

#endif
