/* Any bytes as a scan cache: a scan whose parts hang together, or none. The hash (scan.c shows the layout) is put right first, else
 * nothing would get past it. */
#include <string.h>
#include <xxhash.h>

#include "common/log.h"
#include "tests/fuzz/file.h"
#include "worker/data/scan.h"

enum { HASH_AT = 16, HASH_BYTES = 16, START = HASH_AT + HASH_BYTES };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char path[FUZZ_PATH_ROOM];
    scan s;
    uint8_t *sealed = malloc(count + 1);
    if (!sealed) return 0;
    log_set_level(LEVEL_SILENT);
    memcpy(sealed, bytes, count);
    if (count >= START) {
        XXH128_canonical_t hash;
        XXH128_canonicalFromHash(&hash, XXH3_128bits(sealed + START, count - START));
        memcpy(sealed + HASH_AT, hash.digest, HASH_BYTES);
    }
    int descriptor = fuzz_file(sealed, count, path);
    if (scan_load(path, &s) == OK)
        for (size_t i = 0; i < s.count; i++) {
            const scan_entry *e = &s.entries[i];
            if (!e->name || e->first > s.labels.count || e->count > s.labels.count - e->first) abort();
            scan_find(&s, e->name, &e->image, &e->labels);
        }
    scan_free(&s);
    close(descriptor);
    free(sealed);
    return 0;
}
