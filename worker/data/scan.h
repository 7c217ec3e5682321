/* scan.h - what reading a whole data set has found out, kept in a file so that the next start need not look again.
 *
 * An entry is believed only as long as picture and label file are those that were read: same names, inodes, sizes, times of
 * change. A file that was changed right before the scan could change again without another time to show for it, so entries
 * younger than SCAN_TRUST_MS at the scan are not believed either. A file that is cut off, foreign or damaged counts as none. */
#ifndef DATA_SCAN_H
#define DATA_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/data/labels.h"

enum { SCAN_TRUST_MS = 2000 };

/* A file as stat(2) describes it; all 0 when there is none. */
typedef struct file_stamp {
    uint64_t inode;
    int64_t size, modified_ns, changed_ns;
} file_stamp;

typedef struct scan_entry {
    char *name; /* of the picture, without folders */
    file_stamp image, labels;
    int32_t width, height;
    char *problem;         /* why the picture cannot be used; NULL: it can */
    uint64_t first, count; /* its rows in the scan's labels */
} scan_entry;

typedef struct scan {
    int64_t taken_ms; /* clock_wall_ms when it began */
    scan_entry *entries;
    size_t count, room;
    label_list labels;
} scan;

file_stamp scan_stamp(const char *path);

/* Read a scan for looking up: ERR_NOT_FOUND, ERR_IO, ERR_FORMAT. Then *out is empty. */
status scan_load(const char *path, scan *out);
/* Write one, atomically. */
status scan_save(const char *path, const scan *s);
/* Entry of a picture that has not changed, nor its labels; NULL if there is none. For scans that were loaded. */
const scan_entry *scan_find(const scan *s, const char *name, const file_stamp *image, const file_stamp *labels);
/* Append an entry, which is copied with its strings. */
status scan_add(scan *s, const scan_entry *entry);
void scan_free(scan *s);

#endif
