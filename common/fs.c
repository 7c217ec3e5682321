#include "common/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/fault.h"
#include "common/text.h"

/* ---- names ---- */

char *path_join(const char *folder, const char *name)
{
    text path = {0};
    if (*folder && *name != '/') text_add(&path, text_ends_with(folder, "/") ? "%s" : "%s/", folder);
    text_add(&path, "%s", name);
    return text_take(&path);
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return text_copy(".");
    return slash == path ? text_copy("/") : text_copy_bytes(path, (size_t)(slash - path));
}

const char *path_extension(const char *path)
{
    const char *name = path_name(path), *dot = strrchr(name, '.');
    return dot && dot != name ? dot : name + strlen(name);
}

char *path_real(const char *path)
{
    return realpath(path, NULL);
}

status fs_status_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT: return ERR_NO_SPACE;
    case ENOENT:
    case ENOTDIR: return ERR_NOT_FOUND;
    case ENOMEM: return ERR_MEMORY;
    case EEXIST: return ERR_EXISTS;
    default: return ERR_IO;
    }
}

#define FAIL_ERRNO(verb, path) FAIL(fs_status_of_errno(errno), "cannot %s %s: %s", (verb), (path), strerror(errno))

/* ---- questions ---- */

bool fs_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

bool fs_is_file(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

bool fs_is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* Numbers from linux/magic.h and the file systems' own headers. */
bool fs_on_network(const char *path)
{
    static const uint32_t magic[] = {
        0x6969,     0xff534d42, 0xfe534d42, 0x517b,     0x5346414f, /* nfs, cifs, smb2, smb, afs */
        0x0bd00bd0, 0x47504653, 0x19830326, 0x00c36400, 0x01021997, /* lustre, gpfs, beegfs, ceph, 9p */
        0x61756673, 0xaad7aaea, 0x013111a8, 0x7461636f,             /* aufs, panfs, ibrix, ocfs2 */
    };
    struct statfs about;
    if (statfs(path, &about)) return false;
    for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
        if ((uint32_t)about.f_type == magic[i]) return true;
    return false;
}

/* Add to `found` what is below `folder` ("" is the working directory) and ends in /name. */
static status search_below(const char *folder, const char *name, fs_names *found)
{
    char *here = path_join(folder, name);
    if (!here) return FAIL(ERR_MEMORY, "out of memory while looking for %s", name);
    status s = fs_is_file(here) ? fs_names_add(found, here) : OK;
    free(here);
    fs_names inside = {0};
    if (s == OK) s = fs_list(*folder ? folder : ".", &inside);
    for (size_t i = 0; s == OK && i < inside.count; i++) {
        if (inside.names[i][0] == '.') continue;
        char *path = path_join(folder, inside.names[i]);
        struct stat about; /* lstat: a link to a folder above would never end */
        if (!path) s = FAIL(ERR_MEMORY, "out of memory while looking for %s", name);
        else if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode) && access(path, R_OK | X_OK) == 0)
            s = search_below(path, name, found);
        free(path);
    }
    fs_names_free(&inside);
    return s;
}

status fs_find_file(const char *name, char **out)
{
    *out = NULL;
    if (fs_is_file(name)) {
        *out = text_copy(name);
        return *out ? OK : FAIL(ERR_MEMORY, "out of memory");
    }
    if (*name == '/' || !*name) return FAIL(ERR_NOT_FOUND, "no file %s", *name ? name : "'' (an empty name)");
    fs_names found = {0};
    status s = search_below("", name, &found);
    if (s == OK && found.count == 0) s = FAIL(ERR_NOT_FOUND, "no file %s, neither here nor in a folder below", name);
    if (s == OK && found.count > 1)
        s = FAIL(ERR_ARGUMENT, "%s is ambiguous: %s and %s; give the path", name, found.names[0], found.names[1]);
    if (s == OK) {
        *out = found.names[0];
        found.names[0] = NULL;
    }
    fs_names_free(&found);
    return s;
}

/* ---- reading ---- */

status fs_read(const char *path, size_t limit, char **bytes, size_t *count)
{
    *bytes = NULL;
    *count = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return FAIL_ERRNO("open", path);
    status s = OK;
    text all = {0};
    char part[65536];
    for (;;) {
        ssize_t n = read(descriptor, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) s = FAIL_ERRNO("read", path);
        if (n <= 0) break;
        text_add_bytes(&all, part, (size_t)n);
        if (limit && all.length > limit)
            s = FAIL(ERR_RANGE, "%s is larger than the %zu bytes that are accepted here", path, limit);
        if (s != OK || all.failed) break;
    }
    close(descriptor);
    if (s == OK) s = text_status(&all);
    if (s == OK) {
        *count = all.length;
        *bytes = text_take(&all);
        if (!*bytes) s = FAIL(ERR_MEMORY, "out of memory for %s", path);
    }
    text_free(&all);
    return s;
}

status fs_names_add(fs_names *list, const char *name)
{
    TRY(array_room(&list->names, &list->room, list->count + 1));
    char *copy = text_copy(name);
    if (!copy) return FAIL(ERR_MEMORY, "out of memory for a list of files");
    list->names[list->count++] = copy;
    return OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void fs_names_sort(fs_names *list)
{
    if (list->count > 1) qsort(list->names, list->count, sizeof *list->names, by_bytes);
}

void fs_names_free(fs_names *list)
{
    for (size_t i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
    *list = (fs_names){0};
}

status fs_list(const char *folder, fs_names *out)
{
    *out = (fs_names){0};
    DIR *d = opendir(folder);
    if (!d) return FAIL_ERRNO("open the folder", folder);
    status s = OK;
    for (struct dirent *entry; s == OK && (errno = 0, entry = readdir(d));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) s = fs_names_add(out, entry->d_name);
    if (s == OK && errno) s = FAIL_ERRNO("read the folder", folder);
    closedir(d);
    if (s == OK) fs_names_sort(out);
    else fs_names_free(out);
    return s;
}

/* ---- writing ---- */

status fs_make_folders(const char *path, mode_t mode)
{
    if (fs_is_folder(path)) return OK;
    char *above = path_folder(path);
    if (!above) return FAIL(ERR_MEMORY, "out of memory");
    status s = strcmp(above, path) ? fs_make_folders(above, mode) : OK;
    free(above);
    if (s == OK && mkdir(path, mode) && errno != EEXIST) s = FAIL_ERRNO("make the folder", path);
    if (s == OK && !fs_is_folder(path)) s = FAIL(ERR_EXISTS, "%s is there and is not a folder", path);
    return s;
}

status fs_write_all(int descriptor, const void *bytes, size_t count, const char *path)
{
    const char *from = bytes;
    while (count) {
        ssize_t n = write(descriptor, from, count);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FAIL_ERRNO("write", path);
        from += n;
        count -= (size_t)n;
    }
    return OK;
}

static int sync_to_disk(int descriptor)
{
    return SEEDED(spool_not_synced) ? 0 : fsync(descriptor);
}

status fs_sync_folder(const char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return FAIL_ERRNO("open the folder", folder);
    status s = OK;
    if (sync_to_disk(descriptor) && errno != EINVAL && errno != ENOTSUP) s = FAIL_ERRNO("sync the folder", folder);
    close(descriptor);
    return s;
}

status fs_replace_start(const char *path, mode_t mode, int *descriptor, char **part)
{
    text name = {0};
    text_add(&name, "%s.part-XXXXXX", path); /* a name of its own: two writers never share one */
    *descriptor = -1;
    *part = text_take(&name);
    if (!*part) return FAIL(ERR_MEMORY, "out of memory");
    *descriptor = mkostemp(*part, O_CLOEXEC);
    status s = OK;
    if (*descriptor < 0) s = FAIL_ERRNO("write", path);
    else if (fchmod(*descriptor, mode)) s = FAIL_ERRNO("set the mode of", *part);
    if (s == OK) return OK;
    if (*descriptor >= 0) {
        close(*descriptor);
        unlink(*part);
    }
    free(*part);
    *part = NULL;
    *descriptor = -1;
    return s;
}

status fs_replace_finish(const char *path, int descriptor, const char *part, status result)
{
    status s = result;
    if (s == OK && sync_to_disk(descriptor)) s = FAIL_ERRNO("sync", part);
    if (close(descriptor) && s == OK) s = FAIL_ERRNO("close", part);
    if (s == OK && rename(part, path)) s = FAIL_ERRNO("rename a new file to", path);
    if (s != OK) {
        unlink(part);
        return s;
    }
    char *folder = path_folder(path);
    if (!folder) return FAIL(ERR_MEMORY, "out of memory");
    s = fs_sync_folder(folder); /* else the rename may not outlive a power cut */
    free(folder);
    return s;
}

status fs_write_mode(const char *path, const void *bytes, size_t count, mode_t mode)
{
    int descriptor;
    char *part;
    TRY(fs_replace_start(path, mode, &descriptor, &part));
    status s = fs_replace_finish(path, descriptor, part, fs_write_all(descriptor, bytes, count, path));
    free(part);
    return s;
}

status fs_write(const char *path, const void *bytes, size_t count)
{
    struct stat about;
    mode_t mode = stat(path, &about) == 0 ? about.st_mode & 07777 : 0644;
    return fs_write_mode(path, bytes, count, mode);
}

static status copy_file(const char *from, const char *to, mode_t mode)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return FAIL_ERRNO("open", from);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 07777);
    status s = out < 0 ? FAIL_ERRNO("write", to) : OK;
    char part[65536];
    while (s == OK) {
        ssize_t n = read(in, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) s = FAIL_ERRNO("read", from);
        if (n <= 0) break;
        s = fs_write_all(out, part, (size_t)n, to);
    }
    if (s == OK && fsync(out)) s = FAIL_ERRNO("sync", to);
    close(in);
    if (out >= 0 && close(out) && s == OK) s = FAIL_ERRNO("close", to);
    return s;
}

status fs_copy(const char *from, const char *to)
{
    struct stat about;
    if (stat(from, &about)) return FAIL_ERRNO("read", from);
    if (!S_ISDIR(about.st_mode)) return copy_file(from, to, about.st_mode);
    if (mkdir(to, about.st_mode & 07777)) return FAIL_ERRNO("make the folder", to);
    fs_names inside;
    TRY(fs_list(from, &inside));
    status s = OK;
    for (size_t i = 0; s == OK && i < inside.count; i++) {
        char *a = path_join(from, inside.names[i]), *b = path_join(to, inside.names[i]);
        s = a && b ? fs_copy(a, b) : FAIL(ERR_MEMORY, "out of memory");
        free(a);
        free(b);
    }
    fs_names_free(&inside);
    return s;
}

status fs_remove(const char *path)
{
    struct stat about;
    if (lstat(path, &about)) return errno == ENOENT ? OK : FAIL_ERRNO("read", path);
    if (!S_ISDIR(about.st_mode)) return unlink(path) && errno != ENOENT ? FAIL_ERRNO("remove", path) : OK;
    fs_names inside;
    TRY(fs_list(path, &inside));
    status s = OK;
    for (size_t i = 0; s == OK && i < inside.count; i++) {
        char *below = path_join(path, inside.names[i]);
        s = below ? fs_remove(below) : FAIL(ERR_MEMORY, "out of memory");
        free(below);
    }
    fs_names_free(&inside);
    if (s == OK && rmdir(path) && errno != ENOENT) s = FAIL_ERRNO("remove", path);
    return s;
}

status fs_lock(const char *path, int *descriptor)
{
    *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*descriptor < 0) return FAIL_ERRNO("open", path);
    char pid[32] = "";
    status s = OK;
    if (flock(*descriptor, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK) s = FAIL_ERRNO("lock", path);
        else {
            ssize_t n = pread(*descriptor, pid, sizeof pid - 1, 0);
            pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
            s = FAIL(ERR_BUSY, "%s is held by process %s", path, *pid ? pid : "unknown");
        }
    } else {
        int length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (ftruncate(*descriptor, 0) || pwrite(*descriptor, pid, (size_t)length, 0) != length)
            s = FAIL_ERRNO("write", path);
    }
    if (s != OK) {
        close(*descriptor);
        *descriptor = -1;
    }
    return s;
}

/* ---- content ids ---- */

static void hash_to_hex(XXH128_hash_t value, char hash[FS_HASH_ROOM])
{
    snprintf(hash, FS_HASH_ROOM, "%016llx%016llx", (unsigned long long)value.high64, (unsigned long long)value.low64);
}

void fs_hash_bytes(const void *bytes, size_t count, char hash[FS_HASH_ROOM])
{
    hash_to_hex(XXH3_128bits(bytes, count), hash);
}

status fs_hash_file(const char *path, char hash[FS_HASH_ROOM])
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return FAIL_ERRNO("open", path);
    XXH3_state_t *state = XXH3_createState();
    if (!state) {
        close(descriptor);
        return FAIL(ERR_MEMORY, "out of memory");
    }
    XXH3_128bits_reset(state);
    status s = OK;
    char part[65536];
    for (;;) {
        ssize_t n = read(descriptor, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) s = FAIL_ERRNO("read", path);
        if (n <= 0) break;
        XXH3_128bits_update(state, part, (size_t)n);
    }
    hash_to_hex(XXH3_128bits_digest(state), hash);
    XXH3_freeState(state);
    close(descriptor);
    return s;
}
