#include "worker/train/results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/fs.h"

/* Columns of a line; bytes of a file, 1.5 million lines. */
enum { COLUMNS = 2 + LOSS_ITEMS + 2 + RESULT_COUNT, BYTES_MOST = 1 << 28 };

void loss_means_add(loss_means *m, const float items[LOSS_ITEMS])
{
    float before = (float)m->batches++, after = (float)m->batches;
    for (int k = 0; k < LOSS_ITEMS; k++) {
        float sum = m->items[k] * before;
        sum += items[k];
        m->items[k] = sum / after;
    }
}

/* ---- writing ---- */

void results_add_progress(text *out, const results_row *row)
{
    char epoch[64], memory[32];
    snprintf(epoch, sizeof epoch, "%g/%g", (double)row->epoch, (double)(row->epochs - 1));
    snprintf(memory, sizeof memory, "%.3gG", row->memory_gb);
    text_add(out, "%10s%10s", epoch, memory);
    for (int k = 0; k < LOSS_ITEMS; k++) text_add(out, "%10.4g", (double)row->losses[k]);
    text_add(out, "%10.4g%10.4g", (double)row->targets, (double)row->img_size);
}

void results_add_line(text *out, const results_row *row)
{
    results_add_progress(out, row);
    for (int k = 0; k < RESULT_COUNT; k++) text_add(out, "%10.4g", row->metrics[k]);
    text_add(out, "\n");
}

/* Append to an open file; what a failed write left of the line is cut off again. */
static status append_line(int descriptor, const char *path, const text *line)
{
    struct stat before;
    if (fstat(descriptor, &before)) return FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno));
    status s = fs_write_all(descriptor, line->bytes, line->length, path);
    if (s != OK && ftruncate(descriptor, before.st_size)) return status_context(s, "half a line stays");
    return s;
}

status results_append(const char *path, const results_row *row)
{
    text line = {0};
    results_add_line(&line, row);
    status s = text_status(&line);
    int descriptor = s == OK ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (s == OK && descriptor < 0) s = FAIL(fs_status_of_errno(errno), "cannot open %s: %s", path, strerror(errno));
    if (s == OK) s = append_line(descriptor, path, &line);
    if (descriptor >= 0 && close(descriptor) && s == OK) s = FAIL(ERR_IO, "cannot close %s: %s", path, strerror(errno));
    text_free(&line);
    return s;
}

/* ---- reading ---- */

typedef struct place {
    const char *name;
    size_t line, column; /* from 1 */
} place;

static status wrong(const place *at, const char *expected, const char *found)
{
    return FAIL(ERR_FORMAT, "%s:%zu: column %zu: %s was expected, found '%s'", at->name, at->line, at->column, expected,
                found);
}

static status read_epoch(const place *at, char *word, results_row *row)
{
    char *slash = strchr(word, '/');
    double epoch, last;
    if (slash) *slash = '\0';
    bool good = slash && text_to_double(word, &epoch) && text_to_double(slash + 1, &last);
    if (slash) *slash = '/';
    if (!good || !(epoch >= 0 && epoch <= last && last < 1e15)) return wrong(at, "epoch/last epoch", word);
    row->epoch = (int64_t)epoch;
    row->epochs = (int64_t)last + 1;
    return OK;
}

static status read_memory(const place *at, char *word, results_row *row)
{
    size_t length = strlen(word);
    bool good = length > 1 && word[length - 1] == 'G';
    if (good) word[length - 1] = '\0';
    if (good && text_to_double(word, &row->memory_gb)) return OK;
    if (good) word[length - 1] = 'G';
    return wrong(at, "memory such as 3.2G", word);
}

static status read_count(const place *at, double value, const char *word, int64_t *count)
{
    if (!(value >= 0 && value < 1e15)) return wrong(at, "a count", word);
    *count = (int64_t)value;
    return OK;
}

static status read_word(const place *at, char *word, results_row *row)
{
    size_t column = at->column - 1;
    if (column == 0) return read_epoch(at, word, row);
    if (column == 1) return read_memory(at, word, row);
    double value;
    if (!text_to_double(word, &value)) return wrong(at, "a number", word);
    column -= 2;
    if (column < LOSS_ITEMS) row->losses[column] = (float)value;
    else if (column == LOSS_ITEMS) return read_count(at, value, word, &row->targets);
    else if (column == LOSS_ITEMS + 1) return read_count(at, value, word, &row->img_size);
    else row->metrics[column - LOSS_ITEMS - 2] = value;
    return OK;
}

static status read_line(place *at, char *line, results_row *row)
{
    char *rest = NULL;
    at->column = 0;
    for (char *word = strtok_r(line, " \t\r", &rest); word; word = strtok_r(NULL, " \t\r", &rest)) {
        if (++at->column > COLUMNS) return wrong(at, "the end of the line", word);
        TRY(read_word(at, word, row));
    }
    if (at->column == COLUMNS) return OK;
    at->column++;
    return wrong(at, "a number", "the end of the line");
}

static status read_lines(const char *name, char *lines, results_row **rows, size_t *count)
{
    place at = {.name = name};
    size_t room = 0;
    for (char *line = lines; *line;) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = '\0';
        at.line++;
        if (line[strspn(line, " \t\r")]) {
            TRY(array_room(rows, &room, *count + 1));
            TRY(read_line(&at, line, &(*rows)[*count]));
            ++*count;
        }
        line = next;
    }
    return OK;
}

status results_parse(const char *name, const char *lines, results_row **rows, size_t *count)
{
    *rows = NULL;
    *count = 0;
    char *copy = text_copy(lines);
    if (!copy) return FAIL(ERR_MEMORY, "out of memory for %s", name);
    results_row *found = NULL;
    status s = read_lines(name, copy, &found, count);
    free(copy);
    if (s == OK) *rows = found;
    else {
        free(found);
        *count = 0;
    }
    return s;
}

status results_read(const char *path, results_row **rows, size_t *count)
{
    char *bytes;
    size_t length;
    *rows = NULL;
    *count = 0;
    TRY(fs_read(path, BYTES_MOST, &bytes, &length));
    status s = results_parse(path, bytes, rows, count);
    free(bytes);
    return s;
}
