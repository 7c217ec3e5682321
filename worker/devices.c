#include "worker/devices.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"

/* ---- what can be seen ---- */

/* NULL: it is not set. */
static const char *visible_list(void)
{
    return getenv("CUDA_VISIBLE_DEVICES");
}

/* Item `number` of a list with commas; NULL: it has fewer. The length in *length. CUDA stops at the first that is empty or -1. */
static const char *find_item(const char *list, int number, size_t *length)
{
    for (int i = 0;; i++) {
        while (*list == ' ') list++;
        *length = strcspn(list, ",");
        if (!*length || text_starts_with(list, "-1") || text_starts_with(list, "NoDevFiles")) return NULL;
        if (i == number) return list;
        list += *length;
        if (*list) list++;
    }
}

int devices_visible(void)
{
    const char *list = visible_list();
    size_t length;
    int count = 0;
    if (!list) return -1;
    while (find_item(list, count, &length)) count++;
    return count;
}

int devices_task(void)
{
    const char *words = getenv("SLURM_LOCALID");
    long long number;
    return words && text_to_long(words, &number) && number >= 0 && number < 4096 ? (int)number : 0;
}

static bool is_number(const char *words, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isdigit((unsigned char)words[i])) return false;
    return length > 0;
}

/* Letters that a file's name may have. */
static void clean_name(char *name)
{
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '-' && *name != '.') *name = '_';
}

char *devices_key(int number, const char *id)
{
    const char *list = visible_list(), *job = getenv("SLURM_JOB_ID");
    size_t length = 0;
    const char *item = list ? find_item(list, number, &length) : NULL;
    text key = {0};
    bool partial = item && text_starts_with(item, "MIG"); /* a part of a GPU, which has the id of the whole */
    if (*id && !partial) text_add(&key, "%s", id);
    else if (item && !is_number(item, length)) text_add(&key, "%.*s", (int)length, item);
    else {
        if (job && *job) text_add(&key, "job-%s-", job);
        if (item) text_add(&key, "%.*s", (int)length, item);
        else text_add(&key, "%d", number);
    }
    char *name = text_take(&key);
    if (name) clean_name(name);
    return name;
}

/* ---- locks ---- */

/* A folder that everybody may make files in, and nobody may remove those of others. */
static bool is_usable(const char *folder)
{
    struct stat about;
    bool made = !mkdir(folder, 01777);
    if (made && chmod(folder, 01777)) return false; /* whatever the umask */
    return !lstat(folder, &about) && S_ISDIR(about.st_mode) && !access(folder, W_OK | X_OK);
}

static const char *lock_folder(void)
{
    static const char *const places[] = {"/run/lock/mendel", "/tmp/mendel-locks"};
    const char *own = getenv("MENDEL_LOCKS");
    if (own && *own) return is_usable(own) ? own : NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (is_usable(places[i])) return places[i];
    return NULL;
}

/* The file of another user is opened as it is: systems that protect sticky folders do not let it be made again. A lock needs no more
 * than reading. */
static int open_lock(const char *path)
{
    enum { HOW = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY };
    int file = open(path, O_RDWR | HOW);
    if (file < 0 && errno == EACCES) file = open(path, O_RDONLY | HOW);
    if (file >= 0 || errno != ENOENT) return file;
    file = open(path, O_RDWR | O_CREAT | O_EXCL | HOW, 0666);
    if (file >= 0) {
        if (fchmod(file, 0666)) log_debug("%s: %s", path, strerror(errno)); /* whatever the umask */
        return file;
    }
    return errno == EEXIST ? open(path, O_RDWR | HOW) : -1;
}

static long read_holder(int file)
{
    char words[32] = "";
    ssize_t n = pread(file, words, sizeof words - 1, 0);
    return n > 0 ? strtol(words, NULL, 10) : 0;
}

/* For whoever is refused. It is not needed for the lock. */
static void write_holder(int file)
{
    char words[32];
    int length = snprintf(words, sizeof words, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) || pwrite(file, words, (size_t)length, 0) != length)
        log_debug("the holder of a GPU cannot be noted: %s", strerror(errno));
}

status devices_lock(const char *key, int *descriptor, long *holder)
{
    const char *folder = lock_folder();
    text path = {0};
    *descriptor = -1;
    *holder = 0;
    if (!folder) {
        log_warning("there is no folder for locks: nothing keeps another worker off this GPU");
        return OK;
    }
    text_add(&path, "%s/gpu-%s.lock", folder, key);
    TRY(text_status(&path));
    int file = open_lock(path.bytes);
    if (file < 0) log_warning("%s: %s: nothing keeps another worker off this GPU", path.bytes, strerror(errno));
    text_free(&path);
    if (file < 0) return OK;
    if (flock(file, LOCK_EX | LOCK_NB)) {
        bool busy = errno == EWOULDBLOCK;
        if (!busy) log_warning("a GPU cannot be locked: %s", strerror(errno));
        *holder = busy ? read_holder(file) : 0;
        close(file);
        return busy ? FAIL(ERR_BUSY, "another worker trains on it") : OK;
    }
    write_holder(file);
    *descriptor = file;
    return OK;
}
