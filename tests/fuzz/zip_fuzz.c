/* Any bytes as a zip archive: all of it lands in the folder that was named, or nothing does. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "common/fs.h"
#include "common/log.h"
#include "tests/fuzz/file.h"
#include "worker/data/unzip.h"

/* What an archive grows to is its user's disk's matter; here files end at a megabyte, as on a full one. */
static const rlim_t most_bytes = 1 << 20;
static char root[] = "/dev/shm/mendel-zip-XXXXXX", target[sizeof root + 16];

static void remove_root(void)
{
    fs_remove(root);
}

static void prepare(void)
{
    struct rlimit size;
    if (*target) return;
    log_set_level(LEVEL_SILENT);
    if (!mkdtemp(root) || getrlimit(RLIMIT_FSIZE, &size)) abort();
    atexit(remove_root);
    size.rlim_cur = most_bytes;
    if (setrlimit(RLIMIT_FSIZE, &size) || signal(SIGXFSZ, SIG_IGN) == SIG_ERR) abort();
    snprintf(target, sizeof target, "%s/target", root);
}

static size_t count_names(const char *folder)
{
    fs_names names;
    if (fs_list(folder, &names) != OK) abort();
    size_t count = names.count;
    fs_names_free(&names);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char path[FUZZ_PATH_ROOM], *top = NULL;
    prepare();
    if (count > (size_t)most_bytes) return 0;
    int descriptor = fuzz_file(bytes, count, path);
    status named = unzip_top(path, &top);
    if ((named == OK) != (top != NULL) || (top && (strchr(top, '/') || !strcmp(top, "..")))) abort();
    bool unpacked = unzip(path, target) == OK, there = fs_is_folder(target);
    if (unpacked && !there) abort();
    if (!unpacked && there && count_names(target)) abort();
    if (there && fs_remove(target) != OK) abort();
    if (count_names(root)) abort(); /* what left the folder */
    free(top);
    close(descriptor);
    return 0;
}
