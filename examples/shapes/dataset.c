#include "examples/shapes/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/progress.h"
#include "common/signals.h"
#include "examples/shapes/picture.h"
#include "examples/shapes/scene.h"

/* Counts up when the same options begin to give other pictures. */
enum { GENERATOR = 1 };

static const char stamp_name[] = ".shapes", yaml_name_in_folder[] = "shapes.yaml";
static const char *const splits[] = {"train", "val"};
enum { SPLITS = sizeof splits / sizeof *splits };

/* ---- the stamp ---- */

static status write_stamp(const dataset_options *o, bool complete, text *out)
{
    text_clear(out);
    text_add(out, "state: %s\ngenerator: %d\n", complete ? "complete" : "unfinished", GENERATOR);
    text_add(out, "train: %lld\nval: %lld\nsize: %lld\nseed: %lld\n", (long long)o->train, (long long)o->val,
             (long long)o->size, (long long)o->seed);
    return text_status(out);
}

static status save_stamp(const dataset_options *o, bool complete)
{
    text stamp = {0};
    char *path = path_join(o->out, stamp_name);
    status s = path ? write_stamp(o, complete, &stamp) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_write(path, stamp.bytes, stamp.length);
    free(path);
    text_free(&stamp);
    return s;
}

/* What follows the first line, which is the state. */
static const char *options_of(const char *stamp)
{
    const char *end = strchr(stamp, '\n');
    return end ? end + 1 : stamp;
}

/* Refuse because of the first line in which two stamps differ. */
static status refuse_other_options(const char *folder, const char *there, const char *wanted)
{
    while (*wanted) {
        size_t a = strcspn(there, "\n"), b = strcspn(wanted, "\n");
        if (a != b || memcmp(there, wanted, a))
            return FAIL(ERR_EXISTS, "%s holds shapes made with '%.*s', not '%.*s'; remove it or give another --out",
                        folder, (int)a, there, (int)b, wanted);
        there += a + (there[a] == '\n');
        wanted += b + (wanted[b] == '\n');
    }
    return FAIL(ERR_EXISTS, "%s/%s is not what this program writes; remove %s or give another --out", folder,
                stamp_name, folder);
}

static status compare_stamp(const dataset_options *o, const char *path, bool *complete)
{
    text wanted = {0};
    char *there;
    size_t count;
    TRY(fs_read(path, 1 << 16, &there, &count));
    status s = write_stamp(o, true, &wanted);
    if (s == OK && strcmp(options_of(there), options_of(wanted.bytes)))
        s = refuse_other_options(o->out, options_of(there), options_of(wanted.bytes));
    *complete = s == OK && !strcmp(there, wanted.bytes);
    free(there);
    text_free(&wanted);
    return s;
}

/* May the folder be written to? *complete says that there is nothing left to do. */
static status check_folder(const dataset_options *o, bool *complete)
{
    *complete = false;
    if (!fs_exists(o->out)) return OK;
    fs_names names;
    TRY(fs_list(o->out, &names));
    char *stamp = path_join(o->out, stamp_name);
    status s = OK;
    if (!stamp) s = FAIL(ERR_MEMORY, "out of memory");
    else if (fs_is_file(stamp)) s = compare_stamp(o, stamp, complete);
    else if (names.count)
        s = FAIL(ERR_EXISTS, "%s holds other things ('%s'); remove them or give another --out", o->out, names.names[0]);
    free(stamp);
    fs_names_free(&names);
    return s;
}

/* ---- the files ---- */

/* Not synced: the stamp says "complete" only after everything has reached the disk. */
static status write_file(const char *folder, const char *name, const void *bytes, size_t count)
{
    char *path = path_join(folder, name);
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    status s = descriptor < 0 ? FAIL(fs_status_of_errno(errno), "cannot write %s: %s", path, strerror(errno)) : OK;
    if (s == OK) s = fs_write_all(descriptor, bytes, count, path);
    if (descriptor >= 0 && close(descriptor) && s == OK) s = FAIL(ERR_IO, "cannot write %s: %s", path, strerror(errno));
    free(path);
    return s;
}

static status write_picture(const dataset_options *o, int split, int number, const char *images, const char *labels)
{
    picture p;
    char name[32];
    TRY(picture_make((uint64_t)o->seed, split, number, (int)o->size, (int)o->size * 3 / 4, &p));
    snprintf(name, sizeof name, "%04d.jpg", number);
    status s = write_file(images, name, p.jpeg, p.jpeg_count);
    snprintf(name, sizeof name, "%04d.txt", number);
    if (s == OK) s = write_file(labels, name, text_string(&p.labels), p.labels.length);
    picture_free(&p);
    return s;
}

/* DIR/kind/split, made; the caller frees. */
static status make_folder(const dataset_options *o, const char *kind, int split, char **out)
{
    text path = {0};
    text_add(&path, "%s/%s/%s", o->out, kind, splits[split]);
    *out = text_take(&path);
    return *out ? fs_make_folders(*out, 0777) : FAIL(ERR_MEMORY, "out of memory");
}

static status write_split(const dataset_options *o, int split, int64_t count, progress *bar)
{
    char *images = NULL, *labels = NULL;
    status s = make_folder(o, "images", split, &images);
    if (s == OK) s = make_folder(o, "labels", split, &labels);
    for (int i = 0; s == OK && i < count; i++) {
        if (signals_seen() != SIGNAL_NONE) s = FAIL(ERR_STOPPED, "stopped; the same command goes on");
        else s = write_picture(o, split, i, images, labels);
        progress_show(bar, bar->done + 1, o->out);
    }
    free(images);
    free(labels);
    return s;
}

static status write_yaml(const dataset_options *o)
{
    text yaml = {0};
    text_add(&yaml, "# Pictures of shapes, made by `shapes --train %lld --val %lld --size %lld --seed %lld`.\n",
             (long long)o->train, (long long)o->val, (long long)o->size, (long long)o->seed);
    for (int i = 0; i < SPLITS; i++) text_add(&yaml, "%s: images/%s\n", splits[i], splits[i]);
    text_add(&yaml, "\nnc: %d\nnames: [", SCENE_CLASSES);
    for (int i = 0; i < SCENE_CLASSES; i++) text_add(&yaml, i ? ", %s" : "%s", scene_class_names[i]);
    text_add(&yaml, "]\n");
    status s = text_status(&yaml);
    if (s == OK) s = write_file(o->out, yaml_name_in_folder, yaml.bytes, yaml.length);
    text_free(&yaml);
    return s;
}

/* Wait until all that was written below the folder is on the disk. */
static status sync_all(const char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return FAIL(fs_status_of_errno(errno), "cannot open %s: %s", folder, strerror(errno));
    status s = syncfs(descriptor) ? FAIL(fs_status_of_errno(errno), "cannot sync %s: %s", folder, strerror(errno)) : OK;
    close(descriptor);
    return s;
}

status dataset_make(const dataset_options *o, bool *made)
{
    bool complete;
    *made = false;
    TRY(check_folder(o, &complete));
    if (complete) return OK;
    const int64_t counts[SPLITS] = {o->train, o->val};
    progress bar;
    TRY(fs_make_folders(o->out, 0777));
    TRY(save_stamp(o, false));
    progress_start(&bar, o->train + o->val, "picture");
    for (int i = 0; i < SPLITS; i++) TRY(write_split(o, i, counts[i], &bar));
    progress_finish(&bar, o->out);
    TRY(write_yaml(o));
    TRY(sync_all(o->out));
    TRY(save_stamp(o, true));
    *made = true;
    return OK;
}
