#include "worker/train/resume.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/yaml.h"

/* ---- finding ---- */

typedef struct newest {
    char *path;
    struct timespec changed;
} newest;

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static status look_below(const char *folder, newest *found)
{
    fs_names inside;
    if (fs_list(folder, &inside) != OK) return OK; /* what cannot be read is not ours */
    status s = OK;
    for (size_t i = 0; s == OK && i < inside.count; i++) {
        const char *name = inside.names[i];
        char *path = path_join(folder, name);
        struct stat about;
        if (!path) s = FAIL(ERR_MEMORY, "out of memory");
        else if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode)) s = look_below(path, found);
        else if (text_starts_with(name, "last") && text_ends_with(name, ".pt") && lstat(path, &about) == 0 &&
                 (!found->path || is_later(&about.st_ctim, &found->changed))) {
            free(found->path);
            *found = (newest){path, about.st_ctim};
            path = NULL;
        }
        free(path);
    }
    fs_names_free(&inside);
    return s;
}

status resume_find(const char *given, char **checkpoint, char **folder)
{
    newest found = {0};
    *checkpoint = *folder = NULL;
    if (strcmp(given, "true")) {
        if (!fs_is_file(given)) return FAIL(ERR_NOT_FOUND, "--resume: no checkpoint %s", given);
        found.path = text_copy(given);
        if (!found.path) return FAIL(ERR_MEMORY, "out of memory");
    } else {
        TRY(look_below("runs", &found));
        if (!found.path) return FAIL(ERR_NOT_FOUND, "--resume: no last*.pt below runs/");
    }
    char *weights = path_folder(found.path), *run = weights ? path_folder(weights) : NULL;
    free(weights);
    *checkpoint = found.path;
    *folder = run;
    return run ? OK : FAIL(ERR_MEMORY, "out of memory");
}

/* ---- options ---- */

static status set_from(const yaml *file, const yaml_node *key, const yaml_node *value, train_options *o)
{
    const char *name = yaml_string(key);
    const option_row *row = name ? options_find(train_rows, TRAIN_ROWS, name) : NULL;
    if (!row) {
        log_debug("%s:%d: %s is not known here", yaml_name(file), key->line, name ? name : "?");
        return OK;
    }
    text words = {0}, origin = {0};
    text_add(&origin, "%s:%d: %s", yaml_name(file), key->line, name);
    if (value->kind == YAML_LIST)
        for (size_t i = 0; i < value->count; i++) text_add(&words, i ? " %s" : "%s", value->items[i].scalar);
    else text_add(&words, "%s", value->kind == YAML_NULL || !value->scalar ? "" : value->scalar);
    status s = text_status(&words);
    if (s == OK) s = text_status(&origin);
    if (s == OK) s = options_set(row, o, text_string(&words), text_string(&origin));
    text_free(&words);
    text_free(&origin);
    return s;
}

status resume_options(const char *folder, const char *checkpoint, train_options *o)
{
    char *path = path_join(folder, "opt.yaml");
    yaml *file = NULL;
    status s = path ? yaml_read(path, &file) : FAIL(ERR_MEMORY, "out of memory");
    const yaml_node *root = s == OK ? yaml_root(file) : NULL;
    if (s == OK && root->kind != YAML_MAP) s = yaml_fail(file, root, "a map of options was expected");
    for (size_t i = 0; s == OK && i < root->count; i++) s = set_from(file, &root->keys[i], &root->items[i], o);
    if (s == OK) s = options_set(options_find(train_rows, TRAIN_ROWS, "cfg"), o, "", "--resume");
    if (s == OK) s = options_set(options_find(train_rows, TRAIN_ROWS, "weights"), o, checkpoint, "--resume");
    yaml_destroy(&file);
    free(path);
    return s;
}
