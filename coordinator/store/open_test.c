/* open.c: readers without a writer, files that are no store of ours, damage. */
#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/store/bench.h"

/* ---- readers without a writer ---- */

/* The folder as a writer leaves it that was killed: log and all. */
static void copy_as_killed(const bench *from, bench *to)
{
    char *source = path_in(from, "store.sqlite"), *log = path_in(from, "store.sqlite-wal");
    char *copy = path_in(to, "store.sqlite"), *log_copy = path_in(to, "store.sqlite-wal");
    assert_ok(fs_copy(source, copy));
    assert_ok(fs_copy(log, log_copy));
    free(source);
    free(log);
    free(copy);
    free(log_copy);
}

static void a_killed_writers_log_is_read(void **state)
{
    bench *b = *state, killed = *b;
    strcpy(killed.folder, "/tmp/store_test_XXXXXX");
    assert_non_null(mkdtemp(killed.folder));
    store *s = open_store(b), *reader;
    put_plain(s, b, 1);
    assert_ok(store_commit(s));
    copy_as_killed(b, &killed);
    store_close(&s);
    for (int n = 0; n < 2; n++) { /* a reader does not use the log up */
        assert_ok(store_open_reading(killed.folder, &reader));
        assert_int_equal(count_candidates(reader, b), 1);
        store_close(&reader);
    }
    s = open_store(&killed);
    assert_int_equal(count_candidates(s, b), 1);
    store_close(&s);
    fs_remove(killed.folder);
}

/* In a child without root's rights: 0 as it should be, else the line. */
#define CHILD_NEEDS(condition)                                                                                         \
    if (!(condition)) {                                                                                                \
        fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, status_message());                                 \
        _exit(1);                                                                                                      \
    }

static void read_only_folder_child(const bench *b, bool with_log)
{
    if (geteuid() == 0 && seteuid(65534)) _exit(2);
    store *reader;
    status result = store_open_reading(b->folder, &reader);
    if (with_log) {
        CHILD_NEEDS(result == ERR_IO && !reader && strstr(status_message(), "copy the folder"));
    } else {
        size_t count = 0;
        CHILD_NEEDS(result == OK);
        CHILD_NEEDS(store_each_candidate(reader, &b->space, count_one, &count) == OK && count == 1);
        store_close(&reader);
    }
    store *writer;
    CHILD_NEEDS(store_open(b->folder, &writer) == ERR_IO && strstr(status_message(), "cannot be written"));
    CHILD_NEEDS(store_open_control(b->folder, &writer) == ERR_IO);
    _exit(0);
}

static void in_child(const bench *b, bool with_log)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) read_only_folder_child(b, with_log);
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
}

static void a_folder_without_write_permission(void **state)
{
    bench *b = *state, killed = *b;
    strcpy(killed.folder, "/tmp/store_test_XXXXXX");
    assert_non_null(mkdtemp(killed.folder));
    store *s = open_store(b);
    put_plain(s, b, 1);
    assert_ok(store_commit(s));
    copy_as_killed(b, &killed);
    store_close(&s);
    char *file = path_in(b, "store.sqlite"), *copy = path_in(&killed, "store.sqlite");
    assert_int_equal(chmod(file, 0444) | chmod(copy, 0444) | chmod(b->folder, 0555) | chmod(killed.folder, 0555), 0);
    in_child(b, false);
    in_child(&killed, true);
    chmod(killed.folder, 0755);
    fs_remove(killed.folder);
    free(file);
    free(copy);
}

/* ---- files that are no store ---- */

static void refuse(const bench *b, status expected, const char *words)
{
    store *s;
    assert_refused(store_open(b->folder, &s), expected, words);
    assert_null(s);
    assert_refused(store_open_reading(b->folder, &s), expected, words);
    assert_null(s);
}

static void write_store(const bench *b, const void *contents, size_t count)
{
    char *path = path_in(b, "store.sqlite");
    assert_ok(fs_write(path, contents, count));
    free(path);
}

static void run_sql(const bench *b, const char *sql)
{
    char *path = path_in(b, "store.sqlite");
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    free(path);
}

static void nothing_there(void **state)
{
    bench *b = *state;
    store *s;
    assert_false(store_exists(b->folder));
    assert_refused(store_open_reading(b->folder, &s), ERR_NOT_FOUND, b->folder);
    assert_refused(store_open_control(b->folder, &s), ERR_NOT_FOUND, b->folder);
    assert_false(store_exists(b->folder));
    assert_refused(store_open("/nowhere/at/all", &s), ERR_IO, "/nowhere/at/all/store.sqlite");
    write_store(b, "", 0); /* a start that was cut short */
    assert_true(store_exists(b->folder));
    assert_refused(store_open_reading(b->folder, &s), ERR_NOT_FOUND, "empty");
    assert_refused(store_open_control(b->folder, &s), ERR_NOT_FOUND, "empty");
    s = open_store(b);
    store_close(&s);
    assert_ok(store_open_reading(b->folder, &s));
    store_close(&s);
}

static void foreign_files_are_refused(void **state)
{
    bench *b = *state;
    char page[4096];
    memset(page, 'x', sizeof page);
    write_store(b, page, sizeof page);
    refuse(b, ERR_FORMAT, "no SQLite database");
    char *path = path_in(b, "store.sqlite");
    assert_ok(fs_remove(path));
    free(path);
    run_sql(b, "CREATE TABLE notes (words TEXT)");
    refuse(b, ERR_FORMAT, "another program");
}

static void another_version_is_refused(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    store_close(&s);
    run_sql(b, "PRAGMA user_version = 3");
    refuse(b, ERR_FORMAT, "has schema 3, this program knows schema 2");
}

static status take_look(void *state, int64_t candidate, int64_t epoch, double fitness)
{
    double *seen = state;
    seen[0]++;
    seen[1] = (double)candidate * 100 + (double)epoch + fitness;
    return OK;
}

static void a_store_without_looks_gets_them(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    put_plain(s, b, 1);
    assert_ok(store_commit(s));
    store_close(&s);
    run_sql(b, "DROP TABLE looks; PRAGMA user_version = 1");
    assert_ok(store_open_reading(b->folder, &s)); /* as it is */
    assert_int_equal(count_candidates(s, b), 1);
    store_close(&s);
    for (int times = 0; times < 2; times++) {
        double seen[2] = {0};
        s = open_store(b);
        assert_int_equal(count_candidates(s, b), 1);
        if (!times) assert_ok(store_put_look(s, 3, 7, 0.5));
        assert_ok(store_put_look(s, 3, 7, 0.25));
        assert_ok(store_commit(s));
        assert_ok(store_each_look(s, take_look, seen));
        assert_true(seen[0] == 1 && seen[1] == 307.25);
        store_close(&s);
    }
}

static void damage_is_found(void **state)
{
    bench *b = *state;
    store *s = open_store(b);
    for (int n = 1; n <= 200; n++) put_plain(s, b, n);
    assert_ok(store_commit(s));
    store_close(&s);
    char *path = path_in(b, "store.sqlite"), *whole;
    size_t count;
    assert_ok(fs_read(path, 0, &whole, &count));
    assert_true(count > 8 * 4096);
    write_store(b, whole, count / 2 / 4096 * 4096);
    assert_refused(store_open(b->folder, &s), ERR_FORMAT, "damaged");
    char *broken = malloc(count);
    assert_non_null(broken);
    for (size_t page = 1; page < count / 4096; page += 3) { /* some pages as a dying disk leaves them */
        memcpy(broken, whole, count);
        memset(broken + page * 4096, 0xa5, 4096);
        write_store(b, broken, count);
        assert_refused(store_open(b->folder, &s), ERR_FORMAT, "damaged");
        assert_null(s);
    }
    free(broken);
    free(whole);
    free(path);
}

/* Whole as a database, but with a row that is not ours. */
static void a_bad_row_is_named(void **state)
{
    bench *b = *state;
    static const struct {
        const char *sql, *column;
    } cases[] = {
        {"UPDATE candidates SET state = 'cooked' WHERE number = 2", "state"},
        {"UPDATE candidates SET hyps = '{\"lr0\": 1}' WHERE number = 2", "hyps"},
        {"UPDATE candidates SET hyps = '' WHERE number = 2", "hyps"},
        {"UPDATE candidates SET results = '[1, 2, 3, 4, 5, 6, 7, 8]' WHERE number = 2", "results"},
        {"UPDATE candidates SET results = '[nan]' WHERE number = 2", "results"},
        {"UPDATE candidates SET results = '[\"1\"]' WHERE number = 2", "results"},
        {"UPDATE candidates SET parents = '[1, 2, 3, 4, 5, 6]' WHERE number = 2", "parents"},
        {"UPDATE candidates SET parents = '[1.5]' WHERE number = 2", "parents"},
        {"UPDATE candidates SET weights = '[1]' WHERE number = 2", "weights"},
        {"UPDATE candidates SET factors = hyps || 'x' WHERE number = 2", "factors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        store *s = open_store(b);
        for (int n = 1; n <= 3; n++) put_plain(s, b, n);
        assert_ok(store_commit(s));
        store_close(&s);
        run_sql(b, cases[i].sql);
        s = open_store(b);
        text expected = {0};
        text_add(&expected, "candidate 2 has a bad %s", cases[i].column);
        size_t count = 0;
        assert_refused(store_each_candidate(s, &b->space, count_one, &count), ERR_FORMAT, text_string(&expected));
        text_free(&expected);
        store_close(&s);
    }
    store *s = open_store(b);
    put_plain(s, b, 2);
    store_attempt a = {.candidate = 2, .attempt = 1};
    assert_ok(store_put_attempt(s, &a));
    assert_ok(store_commit(s));
    store_close(&s);
    run_sql(b, "UPDATE attempts SET session = '0123456789abcdef0123456789abcdef0'");
    s = open_store(b);
    assert_refused(store_each_attempt(s, 0, NULL, NULL), ERR_FORMAT, "bad session");
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_killed_writers_log_is_read),
        CASE(a_folder_without_write_permission),
        CASE(nothing_there),
        CASE(foreign_files_are_refused),
        CASE(another_version_is_refused),
        CASE(a_store_without_looks_gets_them),
        CASE(damage_is_found),
        CASE(a_bad_row_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
