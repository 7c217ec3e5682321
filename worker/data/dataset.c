#include "worker/data/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/log.h"
#include "worker/data/scanner.h"

static const char *const split_names[DATA_SPLITS] = {"train", "val", "test"};

typedef struct scanned {
    const data_yaml *data;
    const dataset_options *options;
    const char *split;
    const fs_names *paths;
    scan now;
} scanned;

/* ---- from scan to data set ---- */

/* A class of nc or more. Reading the file once more names the line. */
static status fail_class(const scanned *s, size_t picture, float cls)
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

static status add_labels(const scanned *s, size_t picture, dataset *d, dataset_image *image)
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

static status build(const scanned *s, dataset *d)
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
        *image = (dataset_image){.path = text_copy(s->paths->names[i]),
                                 .width = e->width,
                                 .height = e->height,
                                 .stamp = e->image};
        if (!image->path) return FAIL(ERR_MEMORY, "out of memory for a list of pictures");
        TRY(add_labels(s, i, d, image));
    }
    return OK;
}

static status report(const scanned *s, const dataset *d)
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
    scanned s = {.data = data, .options = options, .split = split_names[split], .paths = &paths};
    dataset *d;
    status result = array_new(&d, 1);
    if (result == OK) result = scanner_run(data, s.split, &paths, options, &s.now);
    if (result == OK) result = build(&s, d);
    if (result == OK) result = report(&s, d);
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
