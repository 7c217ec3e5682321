/* Candidates and attempts as rows: binds and reads in the order of CANDIDATE_COLUMNS and ATTEMPT_COLUMNS. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/inner.h"

#define STATE_AS_NAME(id, name) name,
static const char *const candidate_states[CANDIDATE_STATE_COUNT] = {CANDIDATE_STATES(STATE_AS_NAME)};
static const char *const attempt_states[ATTEMPT_STATE_COUNT] = {ATTEMPT_STATES(STATE_AS_NAME)};

const char *candidate_state_name(candidate_state s)
{
    return (unsigned)s < CANDIDATE_STATE_COUNT ? candidate_states[s] : "unknown";
}

const char *attempt_state_name(attempt_state s)
{
    return (unsigned)s < ATTEMPT_STATE_COUNT ? attempt_states[s] : "unknown";
}

void store_candidate_free(store_candidate *c)
{
    free(c->reason);
    free(c->detail);
    free(c->checkpoint_path);
    free(c->checkpoint_hash);
    c->reason = c->detail = c->checkpoint_path = c->checkpoint_hash = NULL;
}

void store_attempt_free(store_attempt *a)
{
    char **const texts[] = {&a->host, &a->device, &a->precision, &a->version, &a->reason, &a->detail, &a->log};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

/* ---- binding, column after column; the first error stays ---- */

typedef struct binder {
    sqlite3_stmt *statement;
    int column, code;
} binder;

static void note(binder *b, int code)
{
    if (b->code == SQLITE_OK) b->code = code;
}

static void bind_int(binder *b, int64_t value)
{
    note(b, sqlite3_bind_int64(b->statement, ++b->column, value));
}

static void bind_double(binder *b, double value)
{
    note(b, sqlite3_bind_double(b->statement, ++b->column, value)); /* NaN becomes NULL */
}

/* NULL stays NULL. Borrowed until the statement has run. */
static void bind_text(binder *b, const char *value)
{
    note(b, sqlite3_bind_text(b->statement, ++b->column, value, -1, SQLITE_STATIC));
}

static void bind_null(binder *b)
{
    note(b, sqlite3_bind_null(b->statement, ++b->column));
}

/* Takes the text. */
static void bind_json(binder *b, text *json)
{
    size_t length = json->length;
    char *bytes = text_take(json);
    if (!bytes) note(b, SQLITE_NOMEM);
    else note(b, sqlite3_bind_text64(b->statement, ++b->column, bytes, length, free, SQLITE_UTF8));
}

static void bind_results(binder *b, const double *results, int count)
{
    if (!count) {
        bind_null(b);
        return;
    }
    text json = {0};
    store_write_numbers(&json, results, (size_t)count);
    bind_json(b, &json);
}

static void bind_keyed(binder *b, const hyp_space *space, const double *values)
{
    text json = {0};
    store_write_keyed(&json, space, values);
    bind_json(b, &json);
}

/* ---- reading, column after column; the first thing that is wrong stays ---- */

typedef struct reader {
    store *store;
    sqlite3_stmt *statement;
    int column;
    bool whole;
    status result;
} reader;

static status damaged(reader *r)
{
    if (r->result != OK) return r->result;
    long long number = sqlite3_column_int64(r->statement, 0);
    return r->result = FAIL(ERR_FORMAT, "%s is damaged: candidate %lld has a bad %s", r->store->path, number,
                            sqlite3_column_name(r->statement, r->column - 1));
}

static int64_t read_int(reader *r)
{
    return sqlite3_column_int64(r->statement, r->column++);
}

static double read_double(reader *r)
{
    bool missing = sqlite3_column_type(r->statement, r->column) == SQLITE_NULL;
    double value = sqlite3_column_double(r->statement, r->column++);
    return missing ? NAN : value;
}

/* Borrowed from the row; NULL for NULL. */
static const char *read_words(reader *r)
{
    return (const char *)sqlite3_column_text(r->statement, r->column++);
}

static char *read_text(reader *r)
{
    const char *words = read_words(r);
    char *copy = words ? text_copy(words) : NULL;
    if (words && !copy && r->result == OK) r->result = FAIL(ERR_MEMORY, "%s: out of memory", r->store->path);
    return copy;
}

static void read_into(reader *r, char *into, size_t room)
{
    const char *words = read_words(r);
    size_t length = words ? strlen(words) : room;
    if (length >= room) damaged(r);
    else memcpy(into, words, length + 1);
}

static int read_name(reader *r, const char *const *names, int count)
{
    const char *words = read_words(r);
    for (int i = 0; words && i < count; i++)
        if (!strcmp(words, names[i])) return i;
    damaged(r);
    return 0;
}

static void read_results(reader *r, double *results, int *count)
{
    const char *json = read_words(r);
    size_t found = 0;
    if (json && !store_read_numbers(json, results, RESULT_COUNT, &found)) damaged(r);
    *count = (int)found;
}

static void read_keyed(reader *r, const hyp_space *space, double *values)
{
    const char *json = read_words(r);
    if (!json || !store_read_keyed(json, space, values)) damaged(r);
}

static void read_made(reader *r, const hyp_space *space, child *made)
{
    read_keyed(r, space, made->hyps);
    const char *parents = read_words(r);
    if (!parents || !store_read_integers(parents, made->parents, BREEDING_PARENTS, &made->parent_count)) damaged(r);
    const char *weights = read_words(r);
    size_t count;
    if (!weights || !store_read_numbers(weights, made->weights, BREEDING_PARENTS, &count) ||
        count != made->parent_count)
        damaged(r);
    made->parent = sqlite3_column_type(r->statement, r->column) == SQLITE_NULL
                       ? PARENT_MEAN
                       : sqlite3_column_int64(r->statement, r->column);
    r->column++;
    made->seen = (size_t)read_int(r);
    made->rounds = (int)read_int(r);
    if (r->whole) read_keyed(r, space, made->factors);
}

/* ---- candidates ---- */

static void bind_fate(binder *b, const store_candidate *c)
{
    bind_int(b, c->number);
    bind_text(b, candidate_state_name(c->state));
    bind_int(b, c->bred_ms);
    bind_int(b, c->ended_ms);
    bind_int(b, c->attempts);
    bind_int(b, c->lost);
    bind_int(b, c->crashes);
    bind_int(b, c->arrival);
    bind_results(b, c->results, c->result_count);
    bind_int(b, c->epoch);
    bind_text(b, c->reason);
    bind_text(b, c->detail);
    bind_text(b, c->checkpoint_path);
    bind_text(b, c->checkpoint_hash);
    bind_int(b, c->checkpoint_step);
}

static void bind_made(binder *b, const hyp_space *space, const child *made)
{
    bind_keyed(b, space, made->hyps);
    text parents = {0}, weights = {0};
    store_write_integers(&parents, made->parents, made->parent_count);
    bind_json(b, &parents);
    store_write_numbers(&weights, made->weights, made->parent_count);
    bind_json(b, &weights);
    if (made->parent == PARENT_MEAN) bind_null(b);
    else bind_int(b, made->parent);
    bind_int(b, (int64_t)made->seen);
    bind_int(b, made->rounds);
    bind_keyed(b, space, made->factors);
}

status store_put_candidate(store *s, const hyp_space *space, const store_candidate *c)
{
    TRY(store_begin(s));
    binder b = {0};
    TRY(store_statement(s, SQL_PUT_CANDIDATE, &b.statement));
    bind_fate(&b, c);
    bind_made(&b, space, &c->made);
    return store_step(s, b.statement, b.code, "write a candidate");
}

status store_update_candidate(store *s, const store_candidate *c)
{
    TRY(store_begin(s));
    binder b = {0};
    TRY(store_statement(s, SQL_UPDATE_CANDIDATE, &b.statement));
    bind_fate(&b, c);
    return store_step(s, b.statement, b.code, "write a candidate");
}

typedef struct candidate_walk {
    const hyp_space *space;
    bool whole;
    status (*visit)(void *state, store_candidate *c);
    void *state;
} candidate_walk;

static status read_candidate(store *s, sqlite3_stmt *statement, const candidate_walk *w, store_candidate *c)
{
    reader r = {.store = s, .statement = statement, .whole = w->whole};
    c->number = read_int(&r);
    c->state = (candidate_state)read_name(&r, candidate_states, CANDIDATE_STATE_COUNT);
    c->bred_ms = read_int(&r);
    c->ended_ms = read_int(&r);
    c->attempts = read_int(&r);
    c->lost = read_int(&r);
    c->crashes = read_int(&r);
    c->arrival = read_int(&r);
    read_results(&r, c->results, &c->result_count);
    c->epoch = read_int(&r);
    c->reason = read_text(&r);
    c->detail = read_text(&r);
    c->checkpoint_path = read_text(&r);
    c->checkpoint_hash = read_text(&r);
    c->checkpoint_step = read_int(&r);
    read_made(&r, w->space, &c->made);
    return r.result;
}

static status walk_part(store *s, const char *sql, const candidate_walk *w)
{
    sqlite3_stmt *statement = NULL;
    TRY(store_prepare(s, sql, &statement));
    status result = OK;
    int code = SQLITE_DONE;
    while (result == OK && (code = store_run(statement)) == SQLITE_ROW) {
        store_candidate c = {0};
        result = read_candidate(s, statement, w, &c);
        if (result == OK) result = w->visit(w->state, &c);
        store_candidate_free(&c);
    }
    if (result == OK && code != SQLITE_DONE) result = store_fail(s, code, "read the candidates");
    sqlite3_finalize(statement);
    return result;
}

/* In the order in which they lie there: nothing has to be sorted. */
static status walk_candidates(store *s, const candidate_walk *w)
{
    TRY(walk_part(s, "SELECT " CANDIDATE_COLUMNS " FROM candidates WHERE number < 0 ORDER BY number DESC", w));
    return walk_part(s, "SELECT " CANDIDATE_COLUMNS " FROM candidates WHERE number > 0 ORDER BY number", w);
}

status store_each_candidate(store *s, const hyp_space *space, status (*visit)(void *state, store_candidate *c),
                            void *state)
{
    return walk_candidates(s, &(candidate_walk){space, true, visit, state});
}

status store_each_candidate_short(store *s, const hyp_space *space, status (*visit)(void *state, store_candidate *c),
                                  void *state)
{
    return walk_candidates(s, &(candidate_walk){space, false, visit, state});
}

/* ---- attempts ---- */

status store_put_attempt(store *s, const store_attempt *a)
{
    TRY(store_begin(s));
    binder b = {0};
    TRY(store_statement(s, SQL_PUT_ATTEMPT, &b.statement));
    bind_int(&b, a->candidate);
    bind_int(&b, a->attempt);
    bind_int(&b, (int64_t)a->epoch);
    bind_text(&b, a->session);
    bind_text(&b, a->worker);
    bind_int(&b, a->slot);
    bind_int(&b, (int64_t)a->number);
    bind_text(&b, attempt_state_name(a->state));
    bind_int(&b, a->leased_ms);
    bind_int(&b, a->ended_ms);
    bind_text(&b, a->host);
    bind_text(&b, a->device);
    bind_text(&b, a->precision);
    bind_text(&b, a->version);
    bind_int(&b, a->threads);
    bind_int(&b, a->peak_memory);
    bind_double(&b, a->seconds);
    bind_int(&b, a->resumed);
    bind_text(&b, a->reason);
    bind_text(&b, a->detail);
    bind_text(&b, a->log);
    bind_results(&b, a->results, a->result_count);
    return store_step(s, b.statement, b.code, "write an attempt");
}

static status read_attempt(store *s, sqlite3_stmt *statement, store_attempt *a)
{
    reader r = {.store = s, .statement = statement};
    a->candidate = read_int(&r);
    a->attempt = read_int(&r);
    a->epoch = (uint64_t)read_int(&r);
    read_into(&r, a->session, sizeof a->session);
    read_into(&r, a->worker, sizeof a->worker);
    a->slot = read_int(&r);
    a->number = (uint64_t)read_int(&r);
    a->state = (attempt_state)read_name(&r, attempt_states, ATTEMPT_STATE_COUNT);
    a->leased_ms = read_int(&r);
    a->ended_ms = read_int(&r);
    a->host = read_text(&r);
    a->device = read_text(&r);
    a->precision = read_text(&r);
    a->version = read_text(&r);
    a->threads = read_int(&r);
    a->peak_memory = read_int(&r);
    a->seconds = read_double(&r);
    a->resumed = read_int(&r) != 0;
    a->reason = read_text(&r);
    a->detail = read_text(&r);
    a->log = read_text(&r);
    read_results(&r, a->results, &a->result_count);
    return r.result;
}

status store_each_attempt(store *s, int64_t only, status (*visit)(void *state, store_attempt *a), void *state_of_visit)
{
    const char *sql = only > 0 ? "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE candidate = ? ORDER BY attempt"
                               : "SELECT " ATTEMPT_COLUMNS " FROM attempts ORDER BY candidate, attempt";
    sqlite3_stmt *statement = NULL;
    TRY(store_prepare(s, sql, &statement));
    if (only > 0) sqlite3_bind_int64(statement, 1, only);
    status result = OK;
    int code = SQLITE_DONE;
    while (result == OK && (code = store_run(statement)) == SQLITE_ROW) {
        store_attempt a = {0};
        result = read_attempt(s, statement, &a);
        if (result == OK) result = visit(state_of_visit, &a);
        store_attempt_free(&a);
    }
    if (result == OK && code != SQLITE_DONE) result = store_fail(s, code, "read the attempts");
    sqlite3_finalize(statement);
    return result;
}

/* ---- looks ---- */

status store_put_look(store *s, int64_t candidate, int64_t epoch, double fitness)
{
    TRY(store_begin(s));
    binder b = {0};
    TRY(store_statement(s, SQL_PUT_LOOK, &b.statement));
    bind_int(&b, candidate);
    bind_int(&b, epoch);
    bind_double(&b, fitness);
    return store_step(s, b.statement, b.code, "write what a candidate has on its way");
}

status store_each_look(store *s, status (*visit)(void *state, int64_t candidate, int64_t epoch, double fitness),
                       void *state)
{
    sqlite3_stmt *statement = NULL;
    TRY(store_prepare(s, "SELECT candidate, epoch, fitness FROM looks ORDER BY candidate, epoch", &statement));
    status result = OK;
    int code = SQLITE_DONE;
    while (result == OK && (code = store_run(statement)) == SQLITE_ROW)
        result = visit(state, sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                       sqlite3_column_double(statement, 2));
    if (result == OK && code != SQLITE_DONE) result = store_fail(s, code, "read what candidates had on their way");
    sqlite3_finalize(statement);
    return result;
}
