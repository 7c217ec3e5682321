/* results.h - results.txt: what every epoch of a training came to.
 *
 * One line an epoch, columns as the reference prints them, each 10 wide:
 *
 *     epoch/last  memory  box obj cls total  targets  img_size  P R mAP@.5 mAP@.5:.95  val box obj cls
 *     %10s        %10s    %10.4g x 4         %10.4g   %10.4g    %10.4g x 7
 *
 * The first eight are the progress line's state after the epoch's last batch. With --notest the metrics are those of the last
 * validation, 0 before the first.
 *
 * Source: the training loop of train.py. */
#ifndef WORKER_TRAIN_RESULTS_H
#define WORKER_TRAIN_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/hyp.h"
#include "common/status.h"
#include "common/text.h"
#include "worker/backend/graph.h"

/* Means of the loss over the batches of an epoch, rounded to float32 after every step as the reference's tensor is:
 * mean = (mean * i + items) / (i + 1) after i batches. {0} is the start. */
typedef struct loss_means {
    float items[LOSS_ITEMS];
    int64_t batches;
} loss_means;
void loss_means_add(loss_means *m, const float items[LOSS_ITEMS]);

typedef struct results_row {
    int64_t epoch, epochs;        /* epoch from 0; epochs of the whole training */
    double memory_gb;             /* of the device, 0 on a CPU */
    float losses[LOSS_ITEMS];     /* means over the epoch */
    int64_t targets, img_size;    /* of the last batch */
    double metrics[RESULT_COUNT]; /* P R mAP@.5 mAP@.5:.95, validation losses box obj cls */
} results_row;

/* Append the first eight columns, which the progress line shows too; or a whole line with its end. */
void results_add_progress(text *out, const results_row *row);
void results_add_line(text *out, const results_row *row);

/* Append a line to the file, which is made when missing, and hand it to the operating system before returning. ERR_IO or
 * ERR_NO_SPACE; then the file is as it was. */
status results_append(const char *path, const results_row *row);

/* Read the lines of a results.txt, or of the text that a checkpoint carries (`name` stands for the file in messages).
 * ERR_FORMAT names file, line and column. Values come back with the digits that were printed. The caller frees *rows. */
status results_read(const char *path, results_row **rows, size_t *count);
status results_parse(const char *name, const char *lines, results_row **rows, size_t *count);

#endif
