#include "coordinator/evolve/file_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/decimal.h"

/* Digits of a number in evolve.txt, as printed with %.<digits>g. */
enum { NEW_RESULT_DIGITS = 4, NEW_HYP_DIGITS = 3, SAVED_DIGITS = 3 };

struct file_rows {
    const population *p;
    file_row **rows; /* in order, all but the newest */
    size_t count, room, twice;
    file_row *newest;  /* of the own member that came last; NULL: there is none */
    file_row *saved;   /* the same, as it will be saved when the next one comes */
    size_t taken, own; /* members that are in the rows; of them our own */
};

/* ---- one row ---- */

static void round_values(const hyp_space *space, double *values, int result_digits, int hyp_digits)
{
    for (int i = 0; i < RESULT_COUNT; i++) values[i] = decimal_shorten(values[i], result_digits);
    for (size_t i = 0; i < space->count; i++)
        values[RESULT_COUNT + i] = decimal_shorten(values[RESULT_COUNT + i], hyp_digits);
}

static char *saved_line(const hyp_space *space, const double *values)
{
    text line = {0};
    for (size_t i = 0; i < RESULT_COUNT + space->count; i++)
        text_add(&line, i ? " %10.*g" : "%10.*g", SAVED_DIGITS, values[i]);
    text_add(&line, "\n");
    return text_take(&line);
}

static void row_free(file_row *row)
{
    if (row) free(row->line);
    free(row);
}

/* `saved`: it has been read back from the file and saved again. */
static status row_make(const population *p, size_t arrival, bool saved, file_row **out)
{
    const member *m = &p->members[arrival];
    size_t hyps = p->space->count;
    file_row *row = *out = calloc(1, sizeof *row + (RESULT_COUNT + hyps) * sizeof *row->values);
    if (!row) return FAIL(ERR_MEMORY, "out of memory for evolve.txt");
    row->arrival = arrival;
    row->candidate = m->candidate;
    memcpy(row->values, m->results, sizeof m->results);
    memcpy(row->values + RESULT_COUNT, m->hyps, hyps * sizeof *m->hyps);
    if (m->candidate >= 0) round_values(p->space, row->values, NEW_RESULT_DIGITS, NEW_HYP_DIGITS);
    if (saved) round_values(p->space, row->values, SAVED_DIGITS, SAVED_DIGITS);
    row->fitness = fitness(row->values, p->weights);
    row->line = saved_line(p->space, row->values);
    if (row->line) return OK;
    row_free(row);
    *out = NULL;
    return FAIL(ERR_MEMORY, "out of memory for evolve.txt");
}

/* ---- order ---- */

/* Three-way, NaN last, as NumPy sorts. */
static int compare_numbers(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

/* Fitness downwards; equal ones as np.unique leaves them, rows upwards column by column. */
static int compare(const file_rows *f, const file_row *a, const file_row *b)
{
    int order = compare_numbers(b->fitness, a->fitness);
    for (size_t i = 0; !order && i < RESULT_COUNT + f->p->space->count; i++)
        order = compare_numbers(a->values[i], b->values[i]);
    return order;
}

/* Equal rows in order of arrival. */
static int by_fitness(const void *left, const void *right, void *context)
{
    const file_row *a = *(file_row *const *)left, *b = *(file_row *const *)right;
    int order = compare(context, a, b);
    return order ? order : (a->arrival > b->arrival) - (a->arrival < b->arrival);
}

/* Where the first row stands that does not come before this one (`after`: that comes after it). */
static size_t find_place(const file_rows *f, const file_row *row, bool after)
{
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(f, f->rows[middle], row);
        if (order < 0 || (after && !order)) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The first row with this row's line; SIZE_MAX: there is none. Rows with the same line are equal in order. */
static size_t find_twin(const file_rows *f, const file_row *row, size_t before)
{
    for (size_t i = find_place(f, row, false); i < before && !compare(f, f->rows[i], row); i++)
        if (!f->rows[i]->twice && !strcmp(f->rows[i]->line, row->line)) return i;
    return SIZE_MAX;
}

/* ---- taking members ---- */

/* Behind its equals, which have all come before it. Takes the row. */
static status insert(file_rows *f, file_row *row)
{
    status s = array_room(&f->rows, &f->room, f->count + 1);
    if (s != OK) {
        row_free(row);
        return s;
    }
    size_t place = find_place(f, row, true);
    row->twice = find_twin(f, row, place) != SIZE_MAX;
    f->twice += row->twice;
    memmove(&f->rows[place + 1], &f->rows[place], (f->count - place) * sizeof *f->rows);
    f->rows[place] = row;
    f->count++;
    return OK;
}

static void clear(file_rows *f)
{
    for (size_t i = 0; i < f->count; i++) row_free(f->rows[i]);
    row_free(f->newest);
    row_free(f->saved);
    f->newest = f->saved = NULL;
    f->count = f->twice = f->taken = f->own = 0;
}

static status set_newest(file_rows *f, size_t arrival)
{
    TRY(row_make(f->p, arrival, false, &f->newest));
    return row_make(f->p, arrival, true, &f->saved);
}

/* Members of our own from `first` on, and the last of them. */
static size_t count_own(const population *p, size_t first, size_t *last)
{
    size_t own = 0;
    for (size_t i = first; i < p->count; i++)
        if (p->members[i].candidate >= 0) {
            *last = i;
            own++;
        }
    return own;
}

/* Members after two or more of our own: but for the last of ours they come as they are saved, and so does what was the newest. */
static status take_more(file_rows *f)
{
    size_t newest = SIZE_MAX, own = count_own(f->p, f->taken, &newest);
    if (own) {
        file_row *row = f->saved;
        row_free(f->newest);
        f->newest = f->saved = NULL;
        TRY(insert(f, row));
    }
    for (size_t i = f->taken; i < f->p->count; i++) {
        file_row *row = NULL;
        if (i == newest) continue;
        TRY(row_make(f->p, i, true, &row));
        TRY(insert(f, row));
    }
    f->own += own;
    return own ? set_newest(f, newest) : OK;
}

static int by_line(const void *left, const void *right)
{
    const file_row *const *a = *(const file_row *const *const *)left, *const *b =
                                                                          *(const file_row *const *const *)right;
    int order = strcmp((*a)->line, (*b)->line);
    return order ? order : (a > b) - (a < b);
}

/* Of rows with the same line the first one stays; imported ones may have it and differ. */
static status mark_duplicates(file_rows *f)
{
    file_row ***places;
    TRY(array_new(&places, f->count));
    for (size_t i = 0; i < f->count; i++) places[i] = &f->rows[i];
    qsort(places, f->count, sizeof *places, by_line);
    for (size_t i = 1; i < f->count; i++) {
        (*places[i])->twice = !strcmp((*places[i])->line, (*places[i - 1])->line);
        f->twice += (*places[i])->twice;
    }
    free(places);
    return OK;
}

static status take_all(file_rows *f)
{
    size_t newest = SIZE_MAX;
    clear(f);
    f->own = count_own(f->p, 0, &newest);
    TRY(array_room(&f->rows, &f->room, f->p->count));
    for (size_t i = 0; i < f->p->count; i++) {
        if (i == newest) continue;
        bool saved = f->p->members[i].candidate >= 0 || f->own >= 2;
        TRY(row_make(f->p, i, saved, &f->rows[f->count]));
        f->count++;
    }
    qsort_r(f->rows, f->count, sizeof *f->rows, by_fitness, f);
    TRY(mark_duplicates(f));
    return newest == SIZE_MAX ? OK : set_newest(f, newest);
}

status file_rows_update(file_rows *f, const population *p)
{
    f->p = p;
    bool goes_on = f->own >= 2 && f->p->count >= f->taken;
    status s = f->taken == f->p->count ? OK : goes_on ? take_more(f) : take_all(f);
    if (s == OK) f->taken = f->p->count;
    else clear(f);
    return s;
}

status file_rows_create(file_rows **out)
{
    return array_new(out, 1);
}

void file_rows_destroy(file_rows **f)
{
    if (!*f) return;
    clear(*f);
    free((*f)->rows);
    free(*f);
    *f = NULL;
}

/* ---- looking ---- */

/* How the newest row stands among the others: whichever of it and its twin comes later is a duplicate. */
typedef struct standing {
    size_t place; /* of the newest */
    size_t twin;  /* SIZE_MAX: none */
} standing;

static standing stand(const file_rows *f)
{
    standing s = {SIZE_MAX, SIZE_MAX};
    if (!f->newest) return s;
    s.place = find_place(f, f->newest, true);
    s.twin = find_twin(f, f->saved, f->count);
    /* before the second of our own, imported rows are not as they are saved */
    for (size_t i = 0; f->own < 2 && s.twin == SIZE_MAX && i < f->count; i++)
        if (!f->rows[i]->twice && !strcmp(f->rows[i]->line, f->newest->line)) s.twin = i;
    return s;
}

static bool newest_is_twice(const standing *s)
{
    return s->twin < s->place;
}

size_t file_rows_first(const file_rows *f, size_t most, const file_row **out)
{
    standing s = stand(f);
    size_t count = 0;
    for (size_t i = 0; i <= f->count && count < most; i++) {
        if (f->newest && i == s.place && !newest_is_twice(&s)) out[count++] = f->newest;
        if (i == f->count || count == most) break;
        bool twice = f->rows[i]->twice || (i == s.twin && !newest_is_twice(&s));
        if (!twice) out[count++] = f->rows[i];
    }
    return count;
}

size_t file_rows_count(const file_rows *f)
{
    return f->count - f->twice + (f->newest && stand(f).twin == SIZE_MAX);
}

const file_row *file_rows_newest(const file_rows *f)
{
    standing s = stand(f);
    return f->newest && !newest_is_twice(&s) ? f->newest : NULL;
}

void file_row_read(const file_rows *f, const file_row *row, member *out)
{
    double values[RESULT_COUNT + HYP_MAX];
    size_t hyps = f->p->space->count;
    memcpy(values, row->values, (RESULT_COUNT + hyps) * sizeof *values);
    round_values(f->p->space, values, SAVED_DIGITS, SAVED_DIGITS);
    *out = (member){.candidate = row->candidate};
    memcpy(out->results, values, sizeof out->results);
    memcpy(out->hyps, values + RESULT_COUNT, hyps * sizeof *values);
}

status file_row_line(const population *p, size_t index, char **line)
{
    file_row *row;
    TRY(row_make(p, index, true, &row));
    *line = row->line;
    row->line = NULL;
    row_free(row);
    return OK;
}
