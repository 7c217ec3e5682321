/* file_rows.h - the members of a population as the rows of evolve.txt, in the file's order, kept as members arrive.
 *
 * The reference adds a row with %10.4g results and %10.3g hyps, reads the file back, sorts, and saves all of it with %10.3g: the newest row
 * is sorted by its fourth digit, and loses it when the next one comes. Rows that were imported are what their file says until the second
 * row of our own has come.
 *
 * Source: print_mutation() of utils/general.py. */
#ifndef COORDINATOR_FILE_ROWS_H
#define COORDINATOR_FILE_ROWS_H

#include "coordinator/evolve/population.h"

typedef struct file_row {
    double fitness;
    size_t arrival;    /* index among the members */
    int64_t candidate; /* its number */
    bool twice;        /* a row before this one has the same line */
    char *line;        /* as it is saved, with its end of line */
    double values[];   /* results and hyps, as the reference has them in memory when it sorts and saves */
} file_row;

typedef struct file_rows file_rows;

/* None yet. ERR_MEMORY. */
status file_rows_create(file_rows **out);
void file_rows_destroy(file_rows **f);
/* Take what has changed of the population, which is borrowed until the next update: new members one by one, anything else anew. ERR_MEMORY;
 * then nothing is there. */
status file_rows_update(file_rows *f, const population *p);

/* The first `most` rows, duplicates left out, and how many that are. Borrowed until the next update. */
size_t file_rows_first(const file_rows *f, size_t most, const file_row **out);
/* How many there are without duplicates. */
size_t file_rows_count(const file_rows *f);
/* The row of the member that came last, unless it is a duplicate or there is no member of our own. */
const file_row *file_rows_newest(const file_rows *f);
/* The row's numbers with the file's digits. */
void file_row_read(const file_rows *f, const file_row *row, member *out);

/* A member's line as the file has it once others have come after it. The caller frees. ERR_MEMORY. */
status file_row_line(const population *p, size_t index, char **line);

#endif
