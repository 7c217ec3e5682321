/* Any bytes as an access file, or (after a first byte with the lowest bit set) as a coordinator's list of keys. What is taken for an
 * access file reads the same once it has been written. */
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "coordinator/server/keys.h"
#include "tests/fuzz/file.h"

static void check_same(const access_file *a, const access_file *b)
{
    if (a->addresses.count != b->addresses.count) abort();
    for (size_t i = 0; i < a->addresses.count; i++)
        if (strcmp(a->addresses.names[i], b->addresses.names[i])) abort();
    if (strcmp(a->server, b->server) || strcmp(a->worker, b->worker)) abort();
    if (strcmp(a->public_key, b->public_key) || strcmp(a->secret_key, b->secret_key)) abort();
}

static void read_access(const char *path)
{
    access_file a, again;
    if (access_read(path, &a) != OK) {
        if (a.addresses.names || *a.secret_key) abort(); /* nothing is left of what is refused */
        return;
    }
    char copy[] = "/tmp/mendel-fuzz-access-XXXXXX";
    int descriptor = mkstemp(copy);
    if (descriptor < 0 || access_write(copy, &a) != OK || access_read(copy, &again) != OK) abort();
    check_same(&a, &again);
    access_free(&again);
    access_free(&a);
    close(descriptor);
    unlink(copy);
}

static void read_list(const char *path)
{
    worker_keys k;
    if (keys_read_workers(path, &k) != OK) return;
    for (size_t i = 0; i < k.count; i++)
        if (!access_is_name(k.items[i].name) || !access_is_key(k.items[i].public_key)) abort();
    worker_keys_free(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char path[FUZZ_PATH_ROOM];
    if (!count) return 0;
    log_set_level(LEVEL_SILENT);
    int descriptor = fuzz_file(bytes + 1, count - 1, path);
    if (fchmod(descriptor, 0600)) abort();
    if (bytes[0] & 1) read_list(path);
    else read_access(path);
    close(descriptor);
    return 0;
}
