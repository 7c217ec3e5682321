/* parity_internal.h - the state of a run, for parity.c, fixtures.c and main.c alone. */
#ifndef TESTS_PARITY_INTERNAL_H
#define TESTS_PARITY_INTERNAL_H

#include <limits.h>

#include "tests/parity/parity.h"

typedef struct fixture_file {
    char *path; /* below the root */
    bool used;
} fixture_file;

typedef struct folder_count {
    char *name;
    int found, run, failed;
} folder_count;

struct parity {
    const char *root, *data_path, *only;
    fixture_file *files; /* all below root, sorted */
    size_t file_count, file_room;
    folder_count *folders;
    size_t folder_count, folder_room;
    char case_name[256];
    bool case_bad;
    int loose_failures; /* outside any case */
    void **kept;
    size_t kept_count, kept_room;
    yaml **json;
    size_t json_count, json_room;
    data_yaml data;
    bool data_read;
    const backend_ops *ops;
    device *device;
    char scratch[PATH_MAX];
};

void *parity_keep(parity *p, void *memory);
/* Find all files below the root. */
status fixtures_list(parity *p);
/* Print files that nobody asked for and return how many. */
int fixtures_unused(parity *p);
/* Free files and what was read from them. */
void fixtures_free(parity *p);

#endif
