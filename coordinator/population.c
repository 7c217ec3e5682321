#include "coordinator/population.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/yaml.h"

/* Digits of a number in evolve.txt, as printed with %.<digits>g. */
enum { NEW_RESULT_DIGITS = 4, NEW_HYP_DIGITS = 3, SAVED_DIGITS = 3 };
/* Of an evolve.txt that is imported; 300 rows have 90 kB. */
enum { IMPORT_BYTES_MOST = 1 << 28 };

void population_start(population *p, const hyp_space *space, const double weights[FITNESS_TERMS])
{
    *p = (population){.space = space};
    memcpy(p->weights, weights, sizeof p->weights);
}

void population_free(population *p)
{
    free(p->members);
    p->members = NULL;
    p->count = p->room = 0;
}

double member_fitness(const population *p, const member *m)
{
    return fitness(m->results, p->weights);
}

status population_add(population *p, const member *m)
{
    double f = member_fitness(p, m);
    if (!isfinite(f)) return FAIL(ERR_NOT_FINITE, "candidate %lld: its fitness is %g", (long long)m->candidate, f);
    for (size_t i = 0; i < p->space->count; i++)
        if (!isfinite(m->hyps[i]))
            return FAIL(ERR_NOT_FINITE, "candidate %lld: its %s is %g", (long long)m->candidate, p->space->rows[i].key,
                        m->hyps[i]);
    TRY(array_room(&p->members, &p->room, p->count + 1));
    p->members[p->count++] = *m;
    return OK;
}

/* ---- import ---- */

typedef struct row_place {
    const char *path;
    size_t line;
} row_place;

/* Column `column` (from 0) of a row, as a number. Only the validation losses may be NaN or infinite: diverged trainings
 * leave such rows in the reference's file, and nothing depends on them. */
static status read_column(const row_place *at, size_t column, const char *word, member *m)
{
    double value;
    bool is_loss = column >= FITNESS_TERMS && column < RESULT_COUNT;
    if (!text_to_double(word, &value))
        return FAIL(ERR_FORMAT, "%s:%zu: column %zu: a number was expected, found '%s'", at->path, at->line, column + 1,
                    word);
    if (!isfinite(value) && !is_loss)
        return FAIL(ERR_FORMAT, "%s:%zu: column %zu: a finite number was expected, found '%s'", at->path, at->line,
                    column + 1, word);
    if (column < RESULT_COUNT) m->results[column] = value;
    else m->hyps[column - RESULT_COUNT] = value;
    return OK;
}

/* One line without its end into *m; *columns is how many there were, 0 for an empty line. */
static status read_row(const row_place *at, char *line, size_t expected, member *m, size_t *columns)
{
    line[strcspn(line, "#")] = '\0';
    char *rest = NULL;
    *columns = 0;
    for (char *word = strtok_r(line, " \t\r\v\f", &rest); word; word = strtok_r(NULL, " \t\r\v\f", &rest)) {
        if (*columns == expected)
            return FAIL(ERR_FORMAT, "%s:%zu: column %zu: the row has more than the %zu columns expected", at->path,
                        at->line, expected + 1, expected);
        TRY(read_column(at, (*columns)++, word, m));
    }
    if (*columns && *columns < expected)
        return FAIL(ERR_FORMAT, "%s:%zu: column %zu: the row ends here, %zu columns were expected", at->path, at->line,
                    *columns + 1, expected);
    return OK;
}

static status read_rows(population *p, const char *path, char *bytes, size_t count)
{
    row_place at = {.path = path};
    int64_t next = -1;
    for (size_t i = 0; i < p->count; i++)
        if (p->members[i].candidate <= next) next = p->members[i].candidate - 1;
    for (char *line = bytes, *end = bytes + count; line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end; /* fs_read has put a 0 there */
        *stop = '\0';
        at.line++;
        if (strlen(line) != (size_t)(stop - line))
            return FAIL(ERR_FORMAT, "%s:%zu: column 1: a zero byte, this is no text", path, at.line);
        member m = {.candidate = next};
        size_t columns;
        TRY(read_row(&at, line, RESULT_COUNT + p->space->count, &m, &columns));
        if (columns) {
            TRY(population_add(p, &m));
            next--;
        }
        line = stop + 1;
    }
    return OK;
}

status population_import(population *p, const char *path)
{
    char *bytes;
    size_t count, before = p->count;
    TRY(fs_read(path, IMPORT_BYTES_MOST, &bytes, &count));
    status s = read_rows(p, path, bytes, count);
    free(bytes);
    if (s != OK) p->count = before;
    return s;
}

/* ---- rows as the file has them ---- */

typedef struct file_row {
    member m; /* as the reference has it in memory when it sorts and saves */
    double fitness;
    size_t arrival; /* index among the members */
    char *line;     /* as it saves it */
    bool twice;     /* a row before this one has the same line */
} file_row;

typedef struct file_rows {
    const hyp_space *space;
    file_row *rows;
    size_t count;
} file_rows;

/* What is left of a value that has been printed with %.<digits>g and read again. */
static double through_text(double value, int digits)
{
    char printed[32];
    snprintf(printed, sizeof printed, "%.*g", digits, value);
    return strtod(printed, NULL);
}

static void round_member(const hyp_space *space, member *m, int result_digits, int hyp_digits)
{
    for (int i = 0; i < RESULT_COUNT; i++) m->results[i] = through_text(m->results[i], result_digits);
    for (size_t i = 0; i < space->count; i++) m->hyps[i] = through_text(m->hyps[i], hyp_digits);
}

static char *saved_line(const hyp_space *space, const member *m)
{
    text line = {0};
    for (int i = 0; i < RESULT_COUNT; i++) text_add(&line, i ? " %10.*g" : "%10.*g", SAVED_DIGITS, m->results[i]);
    for (size_t i = 0; i < space->count; i++) text_add(&line, " %10.*g", SAVED_DIGITS, m->hyps[i]);
    text_add(&line, "\n");
    return text_take(&line);
}

/* Three-way, NaN last, as NumPy sorts. */
static int compare_numbers(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

/* Fitness downwards; equal ones as np.unique leaves them, rows upwards column by column; equal rows in order of arrival. */
static int by_fitness(const void *left, const void *right, void *context)
{
    const file_row *a = left, *b = right;
    const hyp_space *space = context;
    int order = compare_numbers(b->fitness, a->fitness);
    for (int i = 0; !order && i < RESULT_COUNT; i++) order = compare_numbers(a->m.results[i], b->m.results[i]);
    for (size_t i = 0; !order && i < space->count; i++) order = compare_numbers(a->m.hyps[i], b->m.hyps[i]);
    if (!order) order = (a->arrival > b->arrival) - (a->arrival < b->arrival);
    return order;
}

static int by_line(const void *left, const void *right)
{
    const file_row *a = *(file_row *const *)left, *b = *(file_row *const *)right;
    int order = strcmp(a->line, b->line);
    return order ? order : (a > b) - (a < b);
}

/* Of rows with the same text the first one stays. */
static status mark_duplicates(file_rows *f)
{
    file_row **sorted;
    TRY(array_new(&sorted, f->count));
    for (size_t i = 0; i < f->count; i++) sorted[i] = &f->rows[i];
    qsort(sorted, f->count, sizeof *sorted, by_line);
    for (size_t i = 1; i < f->count; i++) sorted[i]->twice = !strcmp(sorted[i]->line, sorted[i - 1]->line);
    free(sorted);
    return OK;
}

static void file_rows_free(file_rows *f)
{
    for (size_t i = 0; i < f->count; i++) free(f->rows[i].line);
    free(f->rows);
    *f = (file_rows){0};
}

/* Members whose results came here rather than from a file, and the last of them. */
static size_t count_own(const population *p, size_t *last)
{
    size_t own = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->members[i].candidate >= 0) {
            *last = i;
            own++;
        }
    return own;
}

static status file_rows_make(const population *p, file_rows *f)
{
    *f = (file_rows){.space = p->space};
    TRY(array_new(&f->rows, p->count));
    f->count = p->count;
    size_t newest = SIZE_MAX, own = count_own(p, &newest);
    status s = OK;
    for (size_t i = 0; s == OK && i < p->count; i++) {
        file_row *row = &f->rows[i];
        row->m = p->members[i];
        row->arrival = i;
        if (row->m.candidate >= 0) round_member(p->space, &row->m, NEW_RESULT_DIGITS, NEW_HYP_DIGITS);
        bool saved_before = row->m.candidate >= 0 ? i != newest : own >= 2;
        if (saved_before) round_member(p->space, &row->m, SAVED_DIGITS, SAVED_DIGITS);
        row->fitness = member_fitness(p, &row->m);
        row->line = saved_line(p->space, &row->m);
        if (!row->line) s = FAIL(ERR_MEMORY, "out of memory for evolve.txt");
    }
    if (s == OK) {
        qsort_r(f->rows, f->count, sizeof *f->rows, by_fitness, (void *)p->space);
        s = mark_duplicates(f);
    }
    if (s != OK) file_rows_free(f);
    return s;
}

status population_rows(const population *p, member **rows, size_t *count)
{
    *rows = NULL;
    *count = 0;
    file_rows f;
    TRY(file_rows_make(p, &f));
    member *out;
    status s = array_new(&out, f.count);
    for (size_t i = 0; s == OK && i < f.count; i++) {
        if (f.rows[i].twice) continue;
        out[*count] = f.rows[i].m;
        round_member(p->space, &out[(*count)++], SAVED_DIGITS, SAVED_DIGITS);
    }
    file_rows_free(&f);
    if (s == OK) *rows = out;
    return s;
}

/* ---- texts ---- */

status population_evolve_txt(const population *p, text *out)
{
    file_rows f;
    TRY(file_rows_make(p, &f));
    for (size_t i = 0; i < f.count; i++)
        if (!f.rows[i].twice) text_add(out, "%s", f.rows[i].line);
    file_rows_free(&f);
    return text_status(out);
}

static void add_results(text *out, const double *results)
{
    for (int i = 0; i < RESULT_COUNT; i++) text_add(out, "%10.*g", NEW_RESULT_DIGITS, results[i]);
}

status population_hyp_evolved(const population *p, text *out)
{
    file_rows f;
    TRY(file_rows_make(p, &f));
    if (f.count) {
        size_t unique = 0;
        for (size_t i = 0; i < f.count; i++) unique += !f.rows[i].twice;
        text_add(out, "# Hyperparameter Evolution Results\n# Generations: %g\n# Metrics: ", (double)unique);
        add_results(out, f.rows[0].m.results);
        text_add(out, "\n\n");
        hyp_write(out, p->space, f.rows[0].m.hyps);
    }
    file_rows_free(&f);
    return text_status(out);
}

status population_console(const population *p, const member *m, text *out)
{
    text_add(out, "\n");
    for (size_t i = 0; i < p->space->count; i++) text_add(out, "%10s", p->space->rows[i].key);
    text_add(out, "\n");
    for (size_t i = 0; i < p->space->count; i++) text_add(out, "%10.*g", NEW_HYP_DIGITS, m->hyps[i]);
    text_add(out, "\nEvolved fitness: ");
    add_results(out, m->results);
    text_add(out, "\n\n");
    return text_status(out);
}
