/* scanner.h - look at every picture and label file of a split, with help from the scan cache.
 *
 * Labels are read first, since a mistake in them ends everything; then the pictures, which are decoded to the end, in threads.
 * What an earlier scan has seen of files that are still the same is taken over. The cache is `<folder of the labels>.<split>.scan`,
 * or a file in $XDG_CACHE_HOME/mendel or ~/.cache/mendel when that place is read-only. */
#ifndef DATA_SCANNER_H
#define DATA_SCANNER_H

#include "worker/data/dataset.h"
#include "worker/data/scan.h"

/* Scan the pictures in `paths`, one entry each in their order. A picture that cannot be used has a `problem` and no error; nothing
 * is remembered of one that could not even be read from the disk. Errors: those of labels_read, but for the class; ERR_MEMORY. The
 * caller frees *out, also after an error. */
status scanner_run(const data_yaml *data, const char *split, const fs_names *paths, const dataset_options *options,
                   scan *out);

#endif
