#include "worker/data/dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/progress.h"
#include "worker/data/image.h"
#include "worker/data/scan.h"

static const char *const split_names[DATA_SPLITS] = {"train", "val", "test"};

/* ---- the scan cache's place ---- */

/* <folder of the labels>.<split>.scan. NULL without memory. */
static char *cache_beside(const char *label_path, const char *split)
{
    char *folder = path_folder(label_path);
    text path = {0};
    if (folder) text_add(&path, "%s.%s.scan", folder, split);
    free(folder);
    return text_take(&path);
}

/* A name in the user's cache folder for a path of that name here; NULL when the user has none. */
static char *cache_at_home(const char *beside)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *folder = path_folder(beside), *real = folder ? path_real(folder) : NULL, hash[FS_HASH_ROOM];
    text path = {0}, name = {0};
    if (real && (cache && *cache == '/')) text_add(&path, "%s/mendel", cache);
    else if (real && home && *home == '/') text_add(&path, "%s/.cache/mendel", home);
    if (path.length) {
        text_add(&name, "%s/%s", real, path_name(beside));
        fs_hash_bytes(text_string(&name), name.length, hash);
        text_add(&path, "/%s.scan", hash);
    }
    text_free(&name);
    free(real);
    free(folder);
    if (path.length) return text_take(&path);
    text_free(&path);
    return NULL;
}

/* A folder whose owner may not write is left alone, even by a user who could. */
static bool is_writable(const char *path)
{
    struct stat about;
    char *folder = path_folder(path);
    bool good = folder && stat(folder, &about) == 0 && (about.st_mode & S_IWUSR);
    free(folder);
    return good;
}

/* Neither place takes it: the next start looks again, and nothing is lost. */
static void save_cache(const char *beside, const char *home, const scan *s)
{
    if (is_writable(beside) && scan_save(beside, s) == OK) return;
    char *folder = home ? path_folder(home) : NULL;
    if (!folder || fs_make_folders(folder, 0700) != OK || scan_save(home, s) != OK)
        log_debug("no place for the scan cache: neither %s nor %s", beside, home ? home : "a cache folder of the user");
    free(folder);
}

static void load_cache(const char *beside, const char *home, scan *out)
{
    if (scan_load(beside, out) == OK) return;
    if (!home || scan_load(home, out) != OK) *out = (scan){0};
}

/* ---- scanning ---- */

typedef struct scanner {
    const data_yaml *data;
    const dataset_options *options;
    const char *split;
    const fs_names *paths;
    image_reader *reader;
    scan old, now;
    bool changed; /* something had to be looked at */
} scanner;

/* Take over what an earlier scan found, if it is still true. */
static status reuse_entry(scanner *s, const scan_entry *old, bool *reused)
{
    label_list *labels = &s->now.labels;
    *reused = false;
    for (uint64_t i = 0; i < old->count; i++)
        if (!label_is_valid(&s->old.labels.rows[old->first + i])) return OK;
    scan_entry entry = *old;
    entry.first = labels->count;
    TRY(array_room(&labels->rows, &labels->room, labels->count + old->count));
    if (old->count)
        memcpy(labels->rows + labels->count, s->old.labels.rows + old->first, old->count * sizeof *labels->rows);
    labels->count += old->count;
    *reused = true;
    return scan_add(&s->now, &entry);
}

static status look_at(scanner *s, const char *path, const char *label_path, scan_entry *entry)
{
    int width = 0, height = 0;
    status seen = image_probe(s->reader, path, &width, &height);
    if (seen == ERR_MEMORY) return seen;
    entry->problem = seen == OK ? NULL : (char *)status_message();
    entry->width = width;
    entry->height = height;
    entry->first = s->now.labels.count;
    s->changed = true;
    TRY(scan_add(&s->now, entry)); /* before the message is overwritten */
    if (seen != OK) return OK;
    if (entry->labels.inode) TRY(labels_read(label_path, 0, s->data->path, &s->now.labels));
    s->now.entries[s->now.count - 1].count = s->now.labels.count - entry->first;
    return OK;
}

static status scan_picture(scanner *s, const char *path)
{
    char *label_path = labels_path(path, s->options->rules);
    if (!label_path) return FAIL(ERR_MEMORY, "out of memory for a list of pictures");
    scan_entry entry = {.name = (char *)path_name(path), .image = scan_stamp(path), .labels = scan_stamp(label_path)};
    const scan_entry *old = scan_find(&s->old, entry.name, &entry.image, &entry.labels);
    bool reused = false;
    status result = old ? reuse_entry(s, old, &reused) : OK;
    if (result == OK && !reused) result = look_at(s, path, label_path, &entry);
    free(label_path);
    return result;
}

static status scan_pictures(scanner *s)
{
    progress bar;
    text words = {0};
    text_add(&words, "Scanning %s of %s", s->split, s->data->path);
    progress_start(&bar, (int64_t)s->paths->count, "image");
    s->now.taken_ms = clock_wall_ms();
    status result = image_reader_create(&s->reader);
    for (size_t i = 0; result == OK && i < s->paths->count; i++) {
        result = scan_picture(s, s->paths->names[i]);
        progress_show(&bar, (int64_t)i + 1, text_string(&words));
    }
    if (result == OK && (s->changed || bar.shown > 0)) progress_finish(&bar, text_string(&words));
    text_free(&words);
    return result;
}

static status scan_split(scanner *s)
{
    if (s->options->no_cache) return scan_pictures(s);
    char *label_path = labels_path(s->paths->names[0], s->options->rules);
    char *beside = label_path ? cache_beside(label_path, s->split) : NULL,
         *home = beside ? cache_at_home(beside) : NULL;
    status result = beside ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) load_cache(beside, home, &s->old);
    if (result == OK) result = scan_pictures(s);
    if (result == OK && (s->changed || s->old.count != s->now.count)) save_cache(beside, home, &s->now);
    free(home);
    free(beside);
    free(label_path);
    return result;
}

/* ---- from scan to data set ---- */

/* A class of nc or more. Reading the file once more names the line. */
static status fail_class(const scanner *s, size_t picture, float cls)
{
    char *path = labels_path(s->paths->names[picture], s->options->rules);
    label_list again = {0};
    status result =
        path ? labels_read(path, s->data->classes, s->data->path, &again) : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) /* the file has changed since */
        result = FAIL(ERR_FORMAT, "%s: label class %g exceeds nc=%d in %s; possible class labels are 0-%d", path,
                      (double)cls, s->data->classes, s->data->path, s->data->classes - 1);
    labels_free(&again);
    free(path);
    return result;
}

static status add_labels(const scanner *s, size_t picture, dataset *d, dataset_image *image)
{
    const scan_entry *e = &s->now.entries[picture];
    const label *rows = s->now.labels.rows + e->first;
    bool *repeated;
    size_t repeated_count;
    TRY(array_new(&repeated, e->count));
    status result = labels_find_repeated(rows, e->count, repeated, &repeated_count);
    image->first = d->label_count;
    for (size_t i = 0; result == OK && i < e->count; i++) {
        if (repeated[i] && s->options->drop_repeated) continue;
        label *l = &d->labels[d->label_count++];
        *l = rows[i];
        if (s->options->single_class) l->cls = 0;
        if (l->cls >= (float)d->classes) result = fail_class(s, picture, l->cls);
    }
    image->labels = d->label_count - image->first;
    d->counts.repeated += repeated_count > 0;
    d->counts.found += e->count > 0;
    d->counts.empty += e->count == 0 && e->labels.inode;
    d->counts.missing += !e->labels.inode;
    free(repeated);
    return result;
}

static status build(const scanner *s, dataset *d)
{
    d->classes = s->options->single_class ? 1 : s->data->classes;
    TRY(array_new(&d->images, s->now.count));
    TRY(array_new(&d->labels, s->now.labels.count));
    for (size_t i = 0; i < s->now.count; i++) {
        const scan_entry *e = &s->now.entries[i];
        if (e->problem) {
            log_warning("left out: %s", e->problem);
            d->counts.broken++;
            continue;
        }
        dataset_image *image = &d->images[d->count++];
        *image = (dataset_image){.path = text_copy(s->paths->names[i]), .width = e->width, .height = e->height};
        if (!image->path) return FAIL(ERR_MEMORY, "out of memory for a list of pictures");
        TRY(add_labels(s, i, d, image));
    }
    return OK;
}

static status report(const scanner *s, const dataset *d)
{
    const dataset_counts *c = &d->counts;
    if (!d->count)
        return FAIL(ERR_NOT_FOUND, "%s: %s: none of the %zu pictures can be read", s->data->path, s->split,
                    s->now.count);
    log_info("%s: %d images: %d with labels, %d missing labels, %d empty, %d with repeated rows%s", s->split, d->count,
             c->found, c->missing, c->empty, c->repeated, c->repeated && s->options->drop_repeated ? " (dropped)" : "");
    if (c->broken) log_warning("%s: %d pictures cannot be read and are left out", s->split, c->broken);
    if (d->label_count) return OK;
    char *folder = path_folder(s->paths->names[0]);
    status result = OK;
    if (s->options->needs_labels)
        result = FAIL(ERR_NOT_FOUND, "%s: %s: no labels for the pictures in %s; cannot train without", s->data->path,
                      s->split, folder ? folder : "its folder");
    else
        log_warning("%s: %s: no labels for the pictures in %s", s->data->path, s->split,
                    folder ? folder : "its folder");
    free(folder);
    return result;
}

status dataset_create(const data_yaml *data, data_split split, const dataset_options *options, dataset **out)
{
    *out = NULL;
    fs_names paths;
    TRY(data_yaml_images(data, split, &paths));
    scanner s = {.data = data, .options = options, .split = split_names[split], .paths = &paths};
    dataset *d;
    status result = array_new(&d, 1);
    if (result == OK) result = scan_split(&s);
    if (result == OK) result = build(&s, d);
    if (result == OK) result = report(&s, d);
    image_reader_destroy(&s.reader);
    scan_free(&s.old);
    scan_free(&s.now);
    fs_names_free(&paths);
    if (result == OK) *out = d;
    else dataset_destroy(&d);
    return result;
}

void dataset_destroy(dataset **d)
{
    if (!*d) return;
    for (int i = 0; i < (*d)->count; i++) free((*d)->images[i].path);
    free((*d)->images);
    free((*d)->labels);
    free(*d);
    *d = NULL;
}

/* ---- weights ---- */

/* The sum as NumPy adds float64: eight partial sums from 8 values on, halves beyond 128. */
static double numpy_sum(const double *v, size_t n)
{
    enum { PARTS = 8, BLOCK = 128 };
    double sum = 0;
    if (n < PARTS) {
        for (size_t i = 0; i < n; i++) sum += v[i];
        return sum;
    }
    if (n > BLOCK) {
        size_t half = n / 2 - n / 2 % PARTS;
        return numpy_sum(v, half) + numpy_sum(v + half, n - half);
    }
    double r[PARTS];
    for (size_t k = 0; k < PARTS; k++) r[k] = v[k];
    size_t i = PARTS;
    for (; i + PARTS <= n; i += PARTS)
        for (size_t k = 0; k < PARTS; k++) r[k] += v[i + k];
    sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; i++) sum += v[i];
    return sum;
}

void dataset_class_weights(const dataset *d, double *weights)
{
    for (int c = 0; c < d->classes; c++) weights[c] = 0;
    for (size_t i = 0; i < d->label_count; i++) weights[(int)d->labels[i].cls] += 1;
    for (int c = 0; c < d->classes; c++) weights[c] = 1 / (weights[c] > 0 ? weights[c] : 1);
    double sum = numpy_sum(weights, (size_t)d->classes);
    for (int c = 0; c < d->classes; c++) weights[c] /= sum;
}

status dataset_image_weights(const dataset *d, const double *class_weights, const double *maps, double *weights)
{
    double *scaled, *row;
    TRY(array_new(&scaled, 2 * (size_t)d->classes));
    row = scaled + d->classes;
    for (int c = 0; c < d->classes; c++) {
        double miss = 1 - (maps ? maps[c] : 0);
        scaled[c] = class_weights[c] * (miss * miss);
    }
    for (int i = 0; i < d->count; i++) {
        for (int c = 0; c < d->classes; c++) row[c] = 0;
        for (size_t k = 0; k < d->images[i].labels; k++) row[(int)dataset_labels(d, i)[k].cls] += 1;
        for (int c = 0; c < d->classes; c++) row[c] *= scaled[c];
        weights[i] = numpy_sum(row, (size_t)d->classes);
    }
    free(scaled);
    return OK;
}
