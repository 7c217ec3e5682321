#include "coordinator/evolve/population.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/yaml.h"
#include "coordinator/evolve/file_rows.h"

struct population_known {
    population_best best;
    file_rows *rows; /* NULL: nobody has asked for them */
};

/* Digits of a number as print_mutation prints it. */
enum { NEW_RESULT_DIGITS = 4, NEW_HYP_DIGITS = 3 };
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
    if (p->known) file_rows_destroy(&p->known->rows);
    free(p->known);
    p->known = NULL;
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
    if (!p->known) TRY(array_new(&p->known, 1));
    TRY(array_room_unset(&p->members, &p->room, p->count + 1));
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

status population_import_text(population *p, const char *name, char *bytes, size_t count)
{
    size_t before = p->count;
    status s = read_rows(p, name, bytes, count);
    if (s != OK) p->count = before;
    return s;
}

status population_import(population *p, const char *path)
{
    char *bytes;
    size_t count;
    TRY(fs_read(path, IMPORT_BYTES_MOST, &bytes, &count));
    status s = population_import_text(p, path, bytes, count);
    free(bytes);
    return s;
}

/* ---- the best of them ---- */

/* Members `from` and on are compared with the best so far; ties in the order of arrival. */
static void rank_further(const population *p, population_best *b)
{
    if (p->count < b->seen) *b = (population_best){0};
    for (; b->seen < p->count; b->seen++) {
        double f = member_fitness(p, &p->members[b->seen]);
        size_t at = b->count;
        while (at > 0 && f > b->fitness[at - 1]) at--;
        if (at == POPULATION_BEST) continue;
        if (b->count < POPULATION_BEST) b->count++;
        for (size_t k = b->count - 1; k > at; k--) {
            b->fitness[k] = b->fitness[k - 1];
            b->index[k] = b->index[k - 1];
        }
        b->fitness[at] = f;
        b->index[at] = b->seen;
    }
}

const population_best *population_ranked(const population *p)
{
    static const population_best none = {0};
    if (!p->known) return &none;
    rank_further(p, &p->known->best);
    return &p->known->best;
}

/* ---- rows as the file has them ---- */

/* What is kept of the members from call to call, brought up to date. NULL in *rows: there is no member. */
static status look_at_rows(const population *p, file_rows **rows)
{
    *rows = NULL;
    if (!p->known) return OK;
    if (!p->known->rows) TRY(file_rows_create(&p->known->rows));
    TRY(file_rows_update(p->known->rows, p));
    *rows = p->known->rows;
    return OK;
}

/* The first `most` rows of the file. One element more than there are, so that there is something to free. */
static status list_rows(const population *p, size_t most, file_rows **rows, const file_row ***list, size_t *count)
{
    *list = NULL;
    *count = 0;
    TRY(look_at_rows(p, rows));
    if (most > p->count) most = p->count;
    TRY(array_new(list, most + 1));
    if (*rows) *count = file_rows_first(*rows, most, *list);
    return OK;
}

status population_rows(const population *p, member **rows, size_t *count)
{
    file_rows *f;
    const file_row **list;
    *rows = NULL;
    *count = 0;
    TRY(list_rows(p, SIZE_MAX, &f, &list, count));
    status s = array_new(rows, *count);
    for (size_t i = 0; s == OK && i < *count; i++) file_row_read(f, list[i], &(*rows)[i]);
    free(list);
    return s;
}

/* The newest row may rise among the others when it loses its fourth digit; the others are in order. */
status population_first_rows(const population *p, member rows[POPULATION_FIRST], size_t *count)
{
    file_rows *f;
    const file_row **list;
    TRY(list_rows(p, POPULATION_FIRST - 1, &f, &list, count));
    const file_row *newest = f ? file_rows_newest(f) : NULL;
    for (size_t i = 0; i < *count; i++) {
        file_row_read(f, list[i], &rows[i]);
        if (list[i] == newest) newest = NULL;
    }
    if (newest) file_row_read(f, newest, &rows[(*count)++]);
    free(list);
    return OK;
}

/* ---- texts ---- */

status population_evolve_txt(const population *p, text *out)
{
    file_rows *f;
    const file_row **list;
    size_t count;
    TRY(list_rows(p, SIZE_MAX, &f, &list, &count));
    for (size_t i = 0; i < count; i++) text_add_bytes(out, list[i]->line, strlen(list[i]->line));
    free(list);
    return text_status(out);
}

static void add_results(text *out, const double *results)
{
    for (int i = 0; i < RESULT_COUNT; i++) text_add(out, "%10.*g", NEW_RESULT_DIGITS, results[i]);
}

status population_hyp_evolved(const population *p, text *out)
{
    file_rows *f;
    const file_row **list;
    size_t count;
    TRY(list_rows(p, 1, &f, &list, &count));
    if (count) {
        text_add(out, "# Hyperparameter Evolution Results\n# Generations: %g\n# Metrics: ", (double)file_rows_count(f));
        add_results(out, list[0]->values);
        text_add(out, "\n\n");
        hyp_write(out, p->space, list[0]->values + RESULT_COUNT);
    }
    free(list);
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
