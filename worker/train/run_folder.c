#include "worker/train/run_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/text.h"

static const char stem[] = "exp", spaces[] = " \t\n\r\v\f";

/* The number of a run's name; false when it has none. One that does not fit is none either: nothing follows it. */
static bool number_of(const char *name, long long *number)
{
    if (!text_starts_with(name, stem)) return false;
    name += strlen(stem);
    size_t length = strcspn(name, "_"), front = strspn(name, spaces);
    if (front >= length) return false;
    while (length > front && strchr(spaces, name[length - 1])) length--;
    char *digits = text_copy_bytes(name + front, length - front);
    bool good = digits && text_to_long(digits, number) && *number < LLONG_MAX;
    free(digits);
    return good;
}

static status next_number(const char *logdir, long long *next)
{
    fs_names names;
    TRY(fs_list(logdir, &names));
    bool any = false;
    *next = 0;
    for (size_t i = 0; i < names.count; i++) {
        long long number;
        if (!number_of(names.names[i], &number)) continue;
        if (!any || number + 1 > *next) *next = number + 1;
        any = true;
    }
    fs_names_free(&names);
    return OK;
}

/* Make logdir/exp<number>_<name>. ERR_EXISTS when it is there. */
static status make_folder(const char *logdir, long long number, const char *name, char **path)
{
    text own = {0};
    text_add(&own, *name ? "%s%lld_%s" : "%s%lld", stem, number, name);
    *path = own.failed ? NULL : path_join(logdir, text_string(&own));
    text_free(&own);
    if (!*path) return FAIL(ERR_MEMORY, "out of memory for a run folder's name");
    if (mkdir(*path, 0777) == 0) return OK;
    status s = FAIL(fs_status_of_errno(errno), "cannot make the run folder %s: %s", *path, strerror(errno));
    free(*path);
    *path = NULL;
    return s;
}

static status check_name(const char *name)
{
    if (!strchr(name, '/')) return OK;
    return FAIL(ERR_ARGUMENT, "--name: a name without slashes was expected, found '%s'", name);
}

status run_folder_take(const char *logdir, const char *name, char **path)
{
    *path = NULL;
    TRY(check_name(name));
    *path = path_join(logdir, *name ? name : stem);
    status s = *path ? fs_make_folders(*path, 0777) : FAIL(ERR_MEMORY, "out of memory for a run folder's name");
    if (s != OK) {
        free(*path);
        *path = NULL;
    }
    return s;
}

status run_folder_make(const char *logdir, const char *name, char **path)
{
    *path = NULL;
    TRY(check_name(name));
    if (*logdir) TRY(fs_make_folders(logdir, 0777));
    status s = ERR_EXISTS;
    while (s == ERR_EXISTS) { /* another training took the number since we looked */
        long long number;
        TRY(next_number(*logdir ? logdir : ".", &number));
        s = make_folder(logdir, number, name, path);
    }
    return s;
}
