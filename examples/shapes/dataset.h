/* dataset.h - the folder with all pictures.
 *
 *     DIR/shapes.yaml                 what `train --data` takes; its paths hold wherever DIR is
 *     DIR/images/{train,val}/0000.jpg
 *     DIR/labels/{train,val}/0000.txt
 *     DIR/.shapes                     the options it was made with; "complete" once everything is there
 */
#ifndef EXAMPLES_SHAPES_DATASET_H
#define EXAMPLES_SHAPES_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

typedef struct dataset_options {
    char *out;          /* DIR */
    int64_t train, val; /* pictures */
    int64_t size;       /* their width; the height is three quarters of it */
    int64_t seed;
} dataset_options;

/* Make the data set. *made is false when it is there already, whole and with the same options. A folder that was left
 * unfinished by the same command is finished. Errors: ERR_EXISTS when DIR holds other things or shapes of other options, and
 * then nothing is changed; ERR_STOPPED when the process was asked to end; ERR_IO, ERR_NO_SPACE, ERR_MEMORY. */
status dataset_make(const dataset_options *o, bool *made);

#endif
