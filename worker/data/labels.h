/* labels.h - label files: one row a box, `class x y w h`, the box normalized to its picture.
 *
 * Source: LoadImagesAndLabels in utils/datasets.py of the reference, which asserts the same of whole arrays. Mended: empty
 * lines are skipped, errors name file and line, classes have to be whole numbers. */
#ifndef DATA_LABELS_H
#define DATA_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"
#include "common/train_options.h"

typedef struct label {
    float cls, x, y, w, h; /* class; centre, width and height as parts of the picture's, 0 to 1 */
} label;

typedef struct label_list {
    label *rows;
    size_t count, room;
} label_list;

/* Where a picture's labels are. The caller frees; NULL without memory. LABELS_MENDEL is data_label_path; LABELS_REFERENCE
 * replaces every "images" in the path by "labels", and every text like the extension by ".txt". */
char *labels_path(const char *image, train_label_rules rules);

/* Append the rows of a file. Errors name file and line: ERR_FORMAT unless there are 5 numbers, the class whole and from 0 to
 * below `classes` (0: any), the others from 0 to 1. `data` is the data yaml, for the message about a class. Then nothing is
 * added. */
status labels_read(const char *path, int classes, const char *data, label_list *out);

/* Could the row have come from labels_read? (Rows that were kept elsewhere are not trusted.) */
bool label_is_valid(const label *row);

/* Mark rows that stand further up in the same rows already: repeated[i] for rows[i]. Returns how many, in *count. */
status labels_find_repeated(const label *rows, size_t row_count, bool *repeated, size_t *count);

void labels_free(label_list *l);

#endif
