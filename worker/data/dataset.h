/* dataset.h - the pictures of a split: where they are, how large, and their labels.
 *
 * Source: LoadImagesAndLabels.__init__() and cache_labels() in utils/datasets.py, labels_to_class_weights() and
 * labels_to_image_weights() in utils/general.py of the reference. Mended: pictures that cannot be read are left out with a
 * warning (the reference stops later), missing and empty label files are told apart. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "common/data_yaml.h"
#include "worker/data/labels.h"
#include "worker/data/scan.h"

typedef struct dataset_image {
    char *path;
    int width, height;    /* upright */
    file_stamp stamp;     /* of the file when it was looked at */
    size_t first, labels; /* rows of the data set's labels */
} dataset_image;

typedef struct dataset_counts {
    int found, missing, empty; /* pictures with labels, without a label file, with one that has no rows */
    int repeated;              /* label files with rows that stand twice */
    int broken;                /* pictures left out */
} dataset_counts;

typedef struct dataset {
    dataset_image *images; /* sorted by path */
    int count;             /* at least 1 */
    label *labels;         /* picture by picture, in the order of the files */
    size_t label_count;
    int classes; /* every label's class is below it */
    dataset_counts counts;
} dataset;

typedef struct dataset_options { /* {0} is a valid set: validation, Mendel's rules, with a scan cache */
    bool needs_labels;           /* none at all is an error (training) instead of a warning */
    bool single_class;           /* every label becomes class 0 of 1 */
    bool drop_repeated;          /* keep the first of equal rows */
    bool no_cache;               /* neither read nor write the scan cache */
    int threads;                 /* that look at pictures; 0: one a core */
    train_label_rules rules;
} dataset_options;

/* Find, check and read all pictures and label files of a split (scanner.h), with a progress line.
 * Pictures that cannot be decoded are left out, with a warning each. Errors: ERR_NOT_FOUND when nothing is left, or without any
 * label where they are needed; those of data_yaml_images and labels_read (file and line; also a class of nc or more). */
status dataset_create(const data_yaml *data, data_split split, const dataset_options *options, dataset **out);
void dataset_destroy(dataset **d);

static inline const label *dataset_labels(const dataset *d, int image)
{
    return d->labels + d->images[image].first;
}

/* ---- weights ---- */

/* 1 / labels of the class (none counts as 1), scaled to a sum of 1; weights[classes]. */
void dataset_class_weights(const dataset *d, double *weights);
/* weights[count]: of each picture, the sum over its labels of class weight * (1 - map of the class)^2. NULL for maps: all 0.
 * ERR_MEMORY. */
status dataset_image_weights(const dataset *d, const double *class_weights, const double *maps, double *weights);

#endif
