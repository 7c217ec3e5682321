#include "worker/data/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/data_yaml.h"
#include "common/fs.h"
#include "common/text.h"

enum { COLUMNS = 5, FILE_BYTES_MOST = 1 << 28 };
/* Classes are counted in arrays of ints and carried in float32, which holds whole numbers up to here. */
static const double class_most = 16777216;

/* ---- where ---- */

/* Every `from` in `string` becomes `to`. */
static char *replace_all(const char *string, const char *from, const char *to)
{
    text out = {0};
    size_t length = strlen(from);
    for (const char *at; length && (at = strstr(string, from)); string = at + length) {
        text_add_bytes(&out, string, (size_t)(at - string));
        text_add(&out, "%s", to);
    }
    text_add(&out, "%s", string);
    return text_take(&out);
}

char *labels_path(const char *image, train_label_rules rules)
{
    if (rules == LABELS_MENDEL) return data_label_path(image);
    char *there = replace_all(image, "images", "labels");
    char *path = there ? replace_all(there, path_extension(image), ".txt") : NULL;
    free(there);
    return path;
}

/* ---- reading ---- */

typedef struct label_line {
    const char *path, *data;
    int number, classes;
} label_line;

/* Numbers on the line into values; how many there are, which may be more than COLUMNS. */
static status read_numbers(const label_line *line, char *bytes, double values[COLUMNS], int *count)
{
    static const char spaces[] = " \t\v\f\r";
    char *rest = NULL;
    *count = 0;
    for (char *word = strtok_r(bytes, spaces, &rest); word; word = strtok_r(NULL, spaces, &rest), ++*count) {
        double value;
        if (!text_to_double(word, &value))
            return FAIL(ERR_FORMAT, "%s:%d: a number was expected, found '%.40s'", line->path, line->number, word);
        if (*count < COLUMNS) values[*count] = value;
    }
    return OK;
}

static status check_row(const label_line *line, const double values[COLUMNS])
{
    static const char *const names[COLUMNS] = {"class", "x", "y", "width", "height"};
    if (!(values[0] >= 0 && values[0] < class_most) || values[0] != floor(values[0]))
        return FAIL(ERR_FORMAT, "%s:%d: a class is a whole number from 0 up, found %g", line->path, line->number,
                    values[0]);
    for (int i = 1; i < COLUMNS; i++)
        if (!((float)values[i] >= 0 &&
              (float)values[i] <= 1)) /* as float32, as the reference checks it; NaN fails too */
            return FAIL(ERR_FORMAT, "%s:%d: the %s has to be a part of the picture, 0 to 1; found %g", line->path,
                        line->number, names[i], values[i]);
    if (line->classes && values[0] >= line->classes)
        return FAIL(ERR_FORMAT, "%s:%d: label class %g exceeds nc=%d in %s; possible class labels are 0-%d", line->path,
                    line->number, values[0], line->classes, line->data, line->classes - 1);
    return OK;
}

static status read_line(const label_line *line, char *bytes, label_list *out)
{
    double v[COLUMNS];
    int count;
    TRY(read_numbers(line, bytes, v, &count));
    if (count == 0) return OK;
    if (count != COLUMNS)
        return FAIL(ERR_FORMAT, "%s:%d: 5 numbers were expected (class x y width height), found %d", line->path,
                    line->number, count);
    TRY(check_row(line, v));
    TRY(array_room(&out->rows, &out->room, out->count + 1));
    out->rows[out->count++] = (label){(float)v[0], (float)v[1], (float)v[2], (float)v[3], (float)v[4]};
    return OK;
}

status labels_read(const char *path, int classes, const char *data, label_list *out)
{
    char *bytes;
    size_t length, before = out->count;
    TRY(fs_read(path, FILE_BYTES_MOST, &bytes, &length));
    label_line line = {.path = path, .data = data, .classes = classes};
    status s = OK;
    if (memchr(bytes, 0, length)) s = FAIL(ERR_FORMAT, "%s: not a text file", path);
    for (char *at = bytes; s == OK && at < bytes + length;) {
        char *end = at + strcspn(at, "\n");
        *end = '\0'; /* fs_read leaves room for the last one */
        line.number++;
        s = read_line(&line, at, out);
        at = end + 1;
    }
    if (s != OK) out->count = before;
    free(bytes);
    return s;
}

bool label_is_valid(const label *l)
{
    const float parts[] = {l->x, l->y, l->w, l->h};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!(parts[i] >= 0 && parts[i] <= 1)) return false;
    return l->cls >= 0 && l->cls < class_most && l->cls == floorf(l->cls);
}

/* ---- rows that stand twice ---- */

static int by_value(const void *a, const void *b)
{
    const label *x = *(const label *const *)a, *y = *(const label *const *)b;
    const float p[] = {x->cls, x->x, x->y, x->w, x->h}, q[] = {y->cls, y->x, y->y, y->w, y->h};
    for (int i = 0; i < COLUMNS; i++)
        if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
    return x < y ? -1 : x > y; /* equal rows in the order of the file */
}

status labels_find_repeated(const label *rows, size_t row_count, bool *repeated, size_t *count)
{
    const label **sorted;
    *count = 0;
    TRY(array_new(&sorted, row_count));
    for (size_t i = 0; i < row_count; i++) {
        sorted[i] = &rows[i];
        repeated[i] = false;
    }
    qsort(sorted, row_count, sizeof *sorted, by_value);
    for (size_t i = 1; i < row_count; i++) {
        const label *a = sorted[i - 1], *b = sorted[i];
        if (a->cls != b->cls || a->x != b->x || a->y != b->y || a->w != b->w || a->h != b->h) continue;
        repeated[b - rows] = true;
        ++*count;
    }
    free(sorted);
    return OK;
}

void labels_free(label_list *l)
{
    free(l->rows);
    *l = (label_list){0};
}
