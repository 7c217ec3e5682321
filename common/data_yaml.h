/* data_yaml.h - which pictures a data set has, where their labels are, and how to tell two data sets apart.
 *
 * A data yaml has train, val (and test), nc and names. train, val and test are each a folder (the pictures directly in it),
 * a list file (one picture a line; a line that starts with ./ is relative to the list), or a list of those.
 *
 * Source: LoadImagesAndLabels.__init__() and check_dataset() of the reference. Mended: a relative path is tried from the
 * working directory and then from the yaml's folder; of several folders named "images" in a path only the last one becomes
 * "labels". */
#ifndef COMMON_DATA_YAML_H
#define COMMON_DATA_YAML_H

#include <stddef.h>
#include <stdint.h>

#include "common/fs.h"
#include "common/status.h"

typedef enum data_split { DATA_TRAIN, DATA_VAL, DATA_TEST, DATA_SPLITS } data_split;

typedef struct data_yaml {
    char *path;                    /* of the yaml, for messages */
    fs_names sources[DATA_SPLITS]; /* folders and list files, resolved; empty for a split that is not given */
    int classes;                   /* nc */
    char **names;                  /* of the classes, `classes` of them */
} data_yaml;

/* Read a data yaml. Errors name file and line: no train or val, nc not 1 or more, as many names as nc, a source that is
 * neither folder nor file. */
status data_yaml_read(const char *path, data_yaml *out);
/* The same from text, with relative paths tried from `root` ("" is the working directory) and then from the working directory. */
status data_yaml_parse(const char *name, const char *yaml_text, const char *root, data_yaml *out);
void data_yaml_free(data_yaml *d);

/* The pictures of a split (.bmp .jpg .jpeg .png, any case), all sources together, sorted by path. ERR_NOT_FOUND when a
 * source is missing or there is no picture. */
status data_yaml_images(const data_yaml *d, data_split split, fs_names *out);

/* Where a picture's labels are: the last folder named "images" becomes "labels", the extension .txt. The caller frees;
 * NULL without memory. */
char *data_label_path(const char *image);

/* What two machines compare before they train the same thing. */
typedef struct data_digest {
    int64_t images, image_bytes, label_files, label_bytes;
    char names[FS_HASH_ROOM];  /* over the pictures' names, relative to their source */
    char sizes[FS_HASH_ROOM];  /* over the pictures' sizes in bytes */
    char labels[FS_HASH_ROOM]; /* over the contents of all label files */
} data_digest;

/* Digest of a split. Reads every label file, and of the pictures only their size. */
status data_yaml_digest(const data_yaml *d, data_split split, data_digest *out);
/* OK when equal, else ERR_REFUSED with the first difference in words ("204 images here, 205 there"). */
status data_digest_compare(const char *split, const data_digest *here, const data_digest *there);

#endif
