#include "worker/train/obtain.h"

#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "common/yaml.h"
#include "worker/data/download.h"
#include "worker/data/unzip.h"

extern char **environ;

/* ---- weights ---- */

static const char release[] = "https://github.com/ultralytics/yolov5/releases/download/v3.0";
static const char *const official[] = {"yolov5s.pt", "yolov5m.pt", "yolov5l.pt", "yolov5x.pt"};
static const int64_t weights_least = 1000000; /* the smallest of them has 15 MB; less is an error page */

const char *obtain_weights_url(void)
{
    const char *told = getenv("MENDEL_WEIGHTS_URL");
    return told && *told ? told : release;
}

static bool is_official(const char *file)
{
    for (size_t i = 0; i < sizeof official / sizeof *official; i++)
        if (!strcmp(file, official[i])) return true;
    return false;
}

static status download_weights(const char *name, const char *base)
{
    text url = {0};
    const char *file = path_name(name);
    text_add(&url, "%s%s%s", base, text_ends_with(base, "/") ? "" : "/", file);
    status s = text_status(&url);
    if (s == OK) s = download_file(text_string(&url), name, weights_least);
    text_free(&url);
    if (s == OK || s == ERR_STOPPED || s == ERR_NO_SPACE) return s;
    char *why = text_copy(status_message());
    FAIL(s,
         "--weights: there is no %s, and it could not be fetched: %s. Without a network put the file there by hand, "
         "name a mirror "
         "with --weights-url, or train from scratch with --cfg %.*s.yaml --weights ''",
         name, why ? why : "out of memory", (int)(path_extension(file) - file), file);
    free(why);
    return s;
}

status obtain_weights(const char *name, const char *base)
{
    char *found;
    if (!is_official(path_name(name))) return OK;
    status s = fs_find_file(name, &found);
    free(found);
    return s == ERR_NOT_FOUND ? download_weights(name, base) : OK;
}

/* ---- a data set ---- */

typedef struct data_source {
    const yaml *file;
    const char *folder;  /* of the yaml */
    const char *missing; /* the first path that is not there; NULL: none */
} data_source;

static void look_for(data_source *d, const yaml_node *node)
{
    const char *given = node ? yaml_string(node) : NULL;
    if (!given || d->missing || fs_exists(given)) return;
    char *below = path_join(d->folder, given);
    if (below && !fs_exists(below)) d->missing = given;
    free(below);
}

static void find_missing(data_source *d)
{
    static const char *const keys[] = {"train", "val"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const yaml_node *node = yaml_get(yaml_root(d->file), keys[i]);
        if (!node) continue;
        if (node->kind != YAML_LIST) look_for(d, node);
        else
            for (size_t k = 0; k < node->count; k++) look_for(d, &node->items[k]);
    }
}

/* ../coco128/images with the archive's folder coco128 is to lie in "..". The caller frees. */
static char *target_of(const char *missing, const char *top)
{
    size_t length = strlen(top);
    for (const char *at = missing; length && (at = strstr(at, top)); at++) {
        bool starts = at == missing || at[-1] == '/', ends = at[length] == '/' || !at[length];
        if (!starts || !ends) continue;
        if (at == missing) return text_copy(".");
        return at == missing + 1 ? text_copy("/") : text_copy_bytes(missing, (size_t)(at - missing) - 1);
    }
    return text_copy("..");
}

static status fetch_archive(const char *url, const char *missing)
{
    char *name = text_copy_bytes(url, strcspn(url, "?#")), *top = NULL;
    if (!name) return FAIL(ERR_MEMORY, "out of memory");
    const char *archive = *path_name(name) ? path_name(name) : "download.zip";
    status s = download_file(url, archive, 1);
    if (s == OK) {
        s = unzip_top(archive, &top);
        char *target = s == OK ? target_of(missing, top) : NULL;
        if (s == OK && !target) s = FAIL(ERR_MEMORY, "out of memory");
        if (s == OK) log_info("Unpacking %s into %s", archive, target);
        if (s == OK) s = unzip(archive, target);
        unlink(archive);
        free(target);
    }
    free(top);
    free(name);
    return s;
}

static status run_script(const char *script)
{
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    pid_t pid;
    int how, error = posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ);
    if (error) return FAIL(ERR_IO, "the download script cannot be started: %s", strerror(error));
    while (waitpid(pid, &how, 0) < 0)
        if (errno != EINTR) return FAIL(ERR_IO, "the download script is lost: %s", strerror(errno));
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return OK;
    return FAIL(ERR_IO, "the download script ended with %s %d", WIFEXITED(how) ? "exit status" : "signal",
                WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
}

static status fetch(const data_source *d, const char *download, bool scripts)
{
    bool url = text_starts_with(download, "http://") || text_starts_with(download, "https://");
    if (!url && !scripts)
        return FAIL(ERR_REFUSED,
                    "%s: %s is not there, and its download is a script, which is run only with "
                    "--allow-download-script: "
                    "%.*s",
                    yaml_name(d->file), d->missing, (int)strcspn(download, "\n"), download);
    log_info("%s: %s is not there, getting the data set from %s", yaml_name(d->file), d->missing,
             url ? download : "its script");
    status s = url ? fetch_archive(download, d->missing) : run_script(download);
    return s == OK ? OK : status_context(s, "%s: %s is not there", yaml_name(d->file), d->missing);
}

status obtain_data(const char *yaml_path, bool scripts)
{
    yaml *file;
    if (yaml_read(yaml_path, &file) != OK) return OK; /* its reader says why */
    char *folder = path_folder(yaml_path);
    data_source d = {.file = file, .folder = folder};
    const yaml_node *node = yaml_get(yaml_root(file), "download");
    const char *download = node ? yaml_string(node) : NULL;
    status s = folder ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && download && *download) find_missing(&d);
    if (s == OK && d.missing) s = fetch(&d, download, scripts);
    yaml_destroy(&file);
    free(folder);
    return s;
}
