/* history: does what a run has left hold together?
 *
 *   history RUN check N        a finished run: exactly N evaluated, no rule of the protocol broken, evolve.txt as the store has it
 *   history RUN check-untimed N   the same of a run whose clocks jumped: what was before what is not asked
 *   history RUN select SQL     the rows of a query on the run's store, columns separated by tabs
 *
 * It shares no code with the coordinator: it reads the store as schema.sql describes it, and prints rows as the reference does. A
 * fault is a line on standard output; the exit status is 1 when there was one, 2 when the store cannot be read. */
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 10000, RESULTS = 7, SHOWN_MOST = 5 };

/* ---- the store ---- */

static void give_up(const char *what, const char *why)
{
    printf("%s: %s\n", what, why);
    exit(2);
}

static void *need(void *memory)
{
    if (!memory) give_up("history", "out of memory");
    return memory;
}

static char *need_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *need_print(const char *format, ...)
{
    char *made;
    va_list values;
    va_start(values, format);
    if (vasprintf(&made, format, values) < 0) give_up("history", "out of memory");
    va_end(values);
    return made;
}

static sqlite3 *open_store(const char *run)
{
    sqlite3 *store;
    char *path = need_print("%s/store.sqlite", run);
    if (sqlite3_open_v2(path, &store, SQLITE_OPEN_READONLY, NULL)) give_up(path, sqlite3_errmsg(store));
    sqlite3_busy_timeout(store, BUSY_MS);
    free(path);
    return store;
}

static sqlite3_stmt *prepare(sqlite3 *store, const char *sql)
{
    sqlite3_stmt *query;
    if (sqlite3_prepare_v2(store, sql, -1, &query, NULL)) give_up(sql, sqlite3_errmsg(store));
    return query;
}

static int step(sqlite3 *store, sqlite3_stmt *query)
{
    int got = sqlite3_step(query);
    if (got != SQLITE_ROW && got != SQLITE_DONE) give_up(sqlite3_sql(query), sqlite3_errmsg(store));
    return got == SQLITE_ROW;
}

static void print_row(sqlite3_stmt *query)
{
    for (int i = 0; i < sqlite3_column_count(query); i++) {
        const unsigned char *value = sqlite3_column_text(query, i);
        printf("%s%s", i ? "\t" : "", value ? (const char *)value : "");
    }
    putchar('\n');
}

static void select_rows(sqlite3 *store, const char *sql)
{
    sqlite3_stmt *query = prepare(store, sql);
    while (step(store, query)) print_row(query);
    sqlite3_finalize(query);
}

static long long select_number(sqlite3 *store, const char *sql)
{
    sqlite3_stmt *query = prepare(store, sql);
    long long number = step(store, query) ? sqlite3_column_int64(query, 0) : 0;
    sqlite3_finalize(query);
    return number;
}

/* ---- what must not be: each query finds the places where it is ---- */

typedef struct rule {
    const char *fault, *sql;
} rule;

// clang-format off
static const rule rules[] = {
    {"a candidate is missing before this one",
     "select number from candidates where number > 1 and number - 1 not in (select number from candidates)"},
    {"a candidate or an attempt is still leased, though the run is over",
     "select number from candidates where state = 'leased' union all select candidate from attempts where state = 'leased'"},
    {"the results' order of arrival has a gap, or a place taken twice",
     "select c.number from candidates c where state in ('done', 'stopped') and not arrival between 1 and "
     "  (select count(*) from candidates where arrival > 0) "
     "union all select min(number) from candidates where arrival > 0 group by arrival having count(*) > 1"},
    {"a candidate is done, but not by exactly one of its attempts",
     "select c.number from candidates c where state = 'done' and 1 <> "
     "  (select count(*) from attempts a where a.candidate = c.number and a.state = 'done')"},
    {"an attempt is done, but not its candidate",
     "select c.number from candidates c join attempts a on a.candidate = c.number where a.state = 'done' and c.state <> 'done'"},
    {"a candidate's results are not those of the attempt that did it",
     "select c.number from candidates c join attempts a on a.candidate = c.number where a.state = 'done' and a.results is not c.results"},
    {"a result is no seven numbers",
     "select number from candidates where state in ('done', 'imported') and "
     "  (results is null or json_array_length(results) <> 7)"},
    {"attempts are miscounted",
     "select c.number from candidates c where number > 0 and "
     "  (attempts <> (select count(*) from attempts a where a.candidate = c.number) or "
     "   attempts <> (select coalesce(max(attempt), 0) from attempts a where a.candidate = c.number))"},
    {"a request was answered with two attempts",
     "select min(candidate), session, slot, number from attempts where number > 0 group by session, slot, number having count(*) > 1"},
    {"the run's epoch is not the number of its starts",
     "select value from settings where name = 'epoch' and value <> (select count(*) from events where kind = 'start')"},
    {"a failure has no reason",
     "select number from candidates where state = 'failed' and reason is null "
     "union all select candidate from attempts where state = 'failed' and (reason is null or detail is null)"},
};
/* What was before what, by the times of day in the store. */
static const rule rules_of_time[] = {
    {"an attempt was leased after its candidate had ended",
     "select c.number from candidates c join attempts a on a.candidate = c.number where c.ended_ms > 0 and a.leased_ms > c.ended_ms"},
    {"an attempt was leased while another one, never given up, was under way",
     "select a.candidate, a.attempt from attempts a join attempts b on b.candidate = a.candidate and b.attempt > a.attempt "
     "where (a.ended_ms = 0 or a.ended_ms > b.leased_ms) and a.reason is not 'lost' and a.state <> 'failed'"}, /* may have been lost before */
    {"the run's epoch goes back",
     "select a.candidate, b.candidate from attempts a join attempts b on a.leased_ms < b.leased_ms and a.epoch > b.epoch"},
};
// clang-format on

static int check_rules(sqlite3 *store, const rule *list, size_t count)
{
    int faults = 0;
    for (size_t i = 0; i < count; i++) {
        sqlite3_stmt *query = prepare(store, list[i].sql);
        for (int shown = 0; step(store, query) && shown < SHOWN_MOST; shown++) {
            printf("%s: ", list[i].fault);
            print_row(query);
            faults++;
        }
        sqlite3_finalize(query);
    }
    return faults;
}

static int check_number(sqlite3 *store, long long wanted)
{
    long long found =
        select_number(store, "select count(*) from candidates where number > 0 and state in ('done', 'stopped')");
    if (found == wanted) return 0;
    printf("%lld candidates are evaluated, not %lld\n", found, wanted);
    return 1;
}

/* ---- evolve.txt ---- */

typedef struct lines {
    char **items;
    size_t count;
} lines;

static void add_line(lines *l, char *line)
{
    l->items = need(realloc(l->items, (l->count + 1) * sizeof *l->items));
    l->items[l->count++] = line;
}

static void free_lines(lines *l)
{
    for (size_t i = 0; i < l->count; i++) free(l->items[i]);
    free(l->items);
}

static int has_line(const lines *l, const char *line)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->items[i], line)) return 1;
    return 0;
}

/* A number as it stands in evolve.txt: results are printed with four digits, read again and printed with three. */
static char *add_column(char *row, double value, int is_result)
{
    char four[64];
    snprintf(four, sizeof four, is_result ? "%10.4g" : "%10.3g", value);
    char *longer = need_print("%s%s%10.3g", row, *row ? " " : "", strtod(four, NULL));
    free(row);
    return longer;
}

static char *row_of(sqlite3 *store, long long number)
{
    char *row = need(strdup(""));
    char *sql = need_print("select value, 1 from candidates, json_each(results) where number = %lld union all "
                           "select * from (select value, 0 from candidates, json_each(hyps) where number = %lld)",
                           number, number);
    sqlite3_stmt *query = prepare(store, sql);
    while (step(store, query)) row = add_column(row, sqlite3_column_double(query, 0), sqlite3_column_int(query, 1));
    sqlite3_finalize(query);
    free(sql);
    return row;
}

/* The distinct rows that the store's results make. */
static lines rows_of_store(sqlite3 *store)
{
    lines rows = {0};
    sqlite3_stmt *query = prepare(store, "select number from candidates where state in ('done', 'imported')");
    while (step(store, query)) {
        char *row = row_of(store, sqlite3_column_int64(query, 0));
        if (has_line(&rows, row)) free(row);
        else add_line(&rows, row);
    }
    sqlite3_finalize(query);
    return rows;
}

static lines rows_of_file(const char *run)
{
    lines rows = {0};
    char *path = need_print("%s/evolve.txt", run), *line = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "r");
    if (!file) give_up(path, strerror(errno));
    while (getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        add_line(&rows, need(strdup(line)));
    }
    free(line);
    fclose(file);
    free(path);
    return rows;
}

/* The reference's fitness: .1 mAP@.5 + .9 mAP@.5:.95. NAN when a row is not numbers alone. */
static double fitness_of(const char *row)
{
    double values[RESULTS] = {0};
    int count = 0;
    for (const char *at = row; *at;) {
        char *end;
        double value = strtod(at, &end);
        if (end == at) return NAN;
        if (count < RESULTS) values[count] = value;
        count++;
        at = end + strspn(end, " ");
    }
    return count > RESULTS ? 0.1 * values[2] + 0.9 * values[3] : NAN;
}

/* The newest row stands where its fourth digit puts it. */
static int is_above(double higher, double lower)
{
    const double fourth_digit = 1e-2;
    return lower <= higher * (1 + fourth_digit);
}

static int check_evolve(sqlite3 *store, const char *run)
{
    lines there = rows_of_file(run), wanted = rows_of_store(store);
    int faults = 0;
    for (size_t i = 0; i < there.count; i++) {
        double own = fitness_of(there.items[i]);
        const char *fault = isnan(own)                                            ? "is no row of numbers"
                            : !has_line(&wanted, there.items[i])                  ? "is not in the store"
                            : i && !is_above(fitness_of(there.items[i - 1]), own) ? "is better than the one before it"
                                                                                  : NULL;
        if (!fault) continue;
        printf("evolve.txt:%zu %s: %s\n", i + 1, fault, there.items[i]);
        faults++;
    }
    if (there.count != wanted.count) {
        printf("evolve.txt has %zu rows, the store %zu distinct ones\n", there.count, wanted.count);
        faults++;
    }
    free_lines(&there);
    free_lines(&wanted);
    return faults;
}

/* ---- the program ---- */

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[2], "check") && strcmp(argv[2], "check-untimed") && strcmp(argv[2], "select"))) {
        fprintf(stderr, "usage: history RUN check|check-untimed N\n       history RUN select SQL\n");
        return 2;
    }
    sqlite3 *store = open_store(argv[1]);
    int faults = 0;
    if (!strcmp(argv[2], "select")) select_rows(store, argv[3]);
    else {
        faults = check_number(store, atoll(argv[3])) + check_evolve(store, argv[1]);
        faults += check_rules(store, rules, sizeof rules / sizeof *rules);
        if (!strcmp(argv[2], "check"))
            faults += check_rules(store, rules_of_time, sizeof rules_of_time / sizeof *rules_of_time);
    }
    sqlite3_close(store);
    return faults ? 1 : 0;
}
