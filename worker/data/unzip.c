#include "worker/data/unzip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zip.h>

#include "common/fs.h"
#include "common/progress.h"
#include "common/text.h"

/* ---- the archive ---- */

static status open_archive(const char *path, zip_t **out)
{
    int code = 0;
    *out = zip_open(path, ZIP_RDONLY, &code);
    if (*out) return OK;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    status s = FAIL(ERR_FORMAT, "%s cannot be unpacked: %s", path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return s;
}

/* Does a name stay below the folder that it is put into? */
static bool stays_inside(const char *name)
{
    if (!*name || *name == '/' || strchr(name, '\\')) return false;
    while (*name) {
        size_t part = strcspn(name, "/");
        if (part == 2 && !memcmp(name, "..", 2)) return false;
        name += part + (name[part] == '/');
    }
    return true;
}

/* Archives made on Unix say what kind of file an entry is. */
static bool is_plain(zip_t *z, zip_uint64_t index)
{
    zip_uint8_t system;
    zip_uint32_t attributes;
    if (zip_file_get_external_attributes(z, index, 0, &system, &attributes) || system != ZIP_OPSYS_UNIX) return true;
    mode_t kind = (mode_t)(attributes >> 16) & S_IFMT;
    return kind == 0 || kind == S_IFREG || kind == S_IFDIR;
}

static status check_entry(zip_t *z, const char *archive, zip_uint64_t index, zip_stat_t *about)
{
    if (zip_stat_index(z, index, 0, about) || !(about->valid & ZIP_STAT_NAME))
        return FAIL(ERR_FORMAT, "%s: %s", archive, zip_strerror(z));
    if (!stays_inside(about->name))
        return FAIL(ERR_FORMAT, "%s: the name '%s' leads out of the folder that it is unpacked into", archive,
                    about->name);
    if (is_plain(z, index)) return OK;
    return FAIL(ERR_FORMAT, "%s: '%s' is neither a file nor a folder", archive, about->name);
}

static status check_entries(zip_t *z, const char *archive)
{
    zip_stat_t about;
    zip_int64_t count = zip_get_num_entries(z, 0);
    for (zip_int64_t i = 0; i < count; i++) TRY(check_entry(z, archive, (zip_uint64_t)i, &about));
    return OK;
}

/* ---- unpacking ---- */

static status copy_out(zip_file_t *from, const char *archive, const char *path, int to)
{
    char part[65536];
    for (;;) {
        zip_int64_t n = zip_fread(from, part, sizeof part);
        if (n < 0)
            return FAIL(ERR_FORMAT, "%s: %s: %s", archive, path_name(path),
                        zip_error_strerror(zip_file_get_error(from)));
        if (n == 0) return OK;
        TRY(fs_write_all(to, part, (size_t)n, path));
    }
}

static status write_file(zip_t *z, const char *archive, zip_uint64_t index, const char *path)
{
    char *folder = path_folder(path);
    status s = folder ? fs_make_folders(folder, 0777) : FAIL(ERR_MEMORY, "out of memory");
    free(folder);
    TRY(s);
    zip_file_t *from = zip_fopen_index(z, index, 0);
    if (!from) return FAIL(ERR_FORMAT, "%s: %s: %s", archive, path_name(path), zip_strerror(z));
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (to < 0) s = FAIL(fs_status_of_errno(errno), "cannot write %s: %s", path, strerror(errno));
    if (s == OK) s = copy_out(from, archive, path, to);
    if (to >= 0 && close(to) && s == OK)
        s = FAIL(fs_status_of_errno(errno), "cannot write %s: %s", path, strerror(errno));
    zip_fclose(from);
    return s;
}

static status write_entry(zip_t *z, const char *archive, zip_uint64_t index, const char *folder)
{
    zip_stat_t about;
    TRY(check_entry(z, archive, index, &about));
    char *path = path_join(folder, about.name);
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    size_t length = strlen(path);
    bool is_folder = path[length - 1] == '/';
    if (is_folder) path[length - 1] = '\0';
    status s = is_folder ? fs_make_folders(path, 0777) : write_file(z, archive, index, path);
    free(path);
    return s;
}

static status write_entries(zip_t *z, const char *archive, const char *folder)
{
    progress bar;
    zip_int64_t count = zip_get_num_entries(z, 0);
    progress_start(&bar, count, "file");
    for (zip_int64_t i = 0; i < count; i++) {
        TRY(write_entry(z, archive, (zip_uint64_t)i, folder));
        progress_show(&bar, i + 1, "unpacking");
    }
    progress_finish(&bar, "unpacking");
    return OK;
}

/* ---- to their places ---- */

/* Everything in `from` to the same name in `to`; folders that are there already are filled up. */
static status move_all(const char *from, const char *to)
{
    fs_names names;
    TRY(fs_make_folders(to, 0777));
    TRY(fs_list(from, &names));
    status s = OK;
    for (size_t i = 0; s == OK && i < names.count; i++) {
        char *source = path_join(from, names.names[i]), *place = path_join(to, names.names[i]);
        if (!source || !place) s = FAIL(ERR_MEMORY, "out of memory");
        else if (fs_is_folder(source) && fs_is_folder(place)) s = move_all(source, place);
        else if (rename(source, place))
            s = FAIL(fs_status_of_errno(errno), "cannot put %s in its place: %s", place, strerror(errno));
        free(source);
        free(place);
    }
    fs_names_free(&names);
    return s;
}

static status unpack(zip_t *z, const char *archive, const char *target)
{
    text room = {0};
    text_add(&room, "%s/.unpacking-XXXXXX", target);
    status s = text_status(&room);
    if (s == OK && !mkdtemp(room.bytes))
        s = FAIL(fs_status_of_errno(errno), "cannot unpack into %s: %s", target, strerror(errno));
    if (s == OK) {
        s = write_entries(z, archive, room.bytes);
        if (s == OK) s = move_all(room.bytes, target);
        char *why = s == OK ? NULL : text_copy(status_message());
        status removed = fs_remove(room.bytes);
        if (s == OK) s = removed;
        else if (why) FAIL(s, "%s", why);
        free(why);
    }
    text_free(&room);
    return s;
}

status unzip(const char *archive, const char *target)
{
    zip_t *z;
    TRY(open_archive(archive, &z));
    status s = check_entries(z, archive);
    if (s == OK) s = fs_make_folders(target, 0777);
    if (s == OK) s = unpack(z, archive, target);
    zip_discard(z);
    return s;
}

status unzip_top(const char *archive, char **top)
{
    zip_t *z;
    *top = NULL;
    TRY(open_archive(archive, &z));
    status s = check_entries(z, archive);
    zip_int64_t count = s == OK ? zip_get_num_entries(z, 0) : 0;
    bool one = count > 0;
    for (zip_int64_t i = 0; one && i < count; i++) {
        const char *name = zip_get_name(z, (zip_uint64_t)i, 0);
        size_t length = name ? strcspn(name, "/") : 0;
        one = name && name[length] == '/';
        if (one && !*top) one = (*top = text_copy_bytes(name, length)) != NULL;
        else if (one) one = strlen(*top) == length && !memcmp(*top, name, length);
    }
    if (!one) {
        free(*top);
        *top = s == OK ? text_copy("") : NULL;
    }
    if (s == OK && !*top) s = FAIL(ERR_MEMORY, "out of memory");
    zip_discard(z);
    return s;
}
