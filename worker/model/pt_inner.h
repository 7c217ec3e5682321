/* pt_inner.h - an open torch file, for the pt*.c alone. */
#ifndef MODEL_PT_INNER_H
#define MODEL_PT_INNER_H

#include <zip.h>

#include "worker/model/pt.h"

/* A run of numbers in the file that tensors are views of. */
typedef struct pt_storage {
    const char *key;
    pt_type type;
    int64_t count;
    int64_t place; /* index in the archive, or byte offset in a file of the older format; -1: not found yet */
} pt_storage;

struct pt_file {
    char *path;
    zip_t *archive; /* NULL in the older format */
    int descriptor; /* of the older format, else -1 */
    int64_t bytes;
    pickle *p;
    pt_storage *storages; /* sorted by key */
    size_t storage_count, storage_room;
};

extern const int pt_type_bytes[PT_TYPES];
/* The storage of a key, NULL if there is none. */
pt_storage *pt_find_storage(const pt_file *f, const char *key);
/* `bytes` of the storage from byte `from` on. Where that is all of it the archive's checksum is compared. */
status pt_read_bytes(const pt_file *f, const pt_storage *st, int64_t from, void *into, int64_t bytes);

#endif
