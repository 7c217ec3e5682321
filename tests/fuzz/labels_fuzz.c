/* Any bytes as a label file: rows that are valid, or an error that leaves what was there. */
#include "common/log.h"
#include "tests/fuzz/file.h"
#include "worker/data/labels.h"

enum { CLASSES = 80 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char path[FUZZ_PATH_ROOM];
    label_list rows = {0};
    log_set_level(LEVEL_SILENT);
    int descriptor = fuzz_file(bytes, count, path);
    status s = labels_read(path, CLASSES, "data.yaml", &rows);
    if (s != OK && rows.count) abort();
    for (size_t i = 0; i < rows.count; i++)
        if (!label_is_valid(&rows.rows[i]) || rows.rows[i].cls >= CLASSES) abort();
    bool *repeated = calloc(rows.count + 1, sizeof *repeated);
    size_t found;
    if (repeated && labels_find_repeated(rows.rows, rows.count, repeated, &found) == OK && found > rows.count) abort();
    free(repeated);
    labels_free(&rows);
    close(descriptor);
    return 0;
}
