/* events.h - what TensorBoard shows of a training: numbers, a histogram and pictures, in an event file.
 *
 * The file is a row of records, each one message of proto/event.proto:
 *
 *     8 bytes   length of the message, little endian
 *     4 bytes   checksum of these 8
 *     length    the message
 *     4 bytes   checksum of the message
 *
 * A checksum is CRC-32C, turned right by 15 bits, plus 0xa282ead8. Its name, events.out.tfevents.<seconds>.<host>.<pid>.0, is how
 * TensorBoard finds it; a resumed training adds a file to those of the folder.
 *
 * Source: train() of train.py, SummaryWriter of torch.utils.tensorboard; the record format is TensorFlow's. */
#ifndef TRAIN_EVENTS_H
#define TRAIN_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "worker/backend/graph.h"
#include "worker/train/results.h"

typedef struct events events;

/* Start a file in the folder. On error *out is NULL. */
status events_open(const char *folder, events **out);
/* What was not flushed is dropped. */
void events_close(events **e);

/* These gather; events_flush writes. A failed allocation is remembered until then. */
void events_scalar(events *e, const char *tag, int64_t step, double value);
/* In the buckets of SummaryWriter's add_histogram: limits grow by a tenth from one to the next. `values` are finite; without any,
 * nothing is added. */
void events_histogram(events *e, const char *tag, int64_t step, const double *values, size_t count);
/* `file` is a whole JPEG or PNG. */
void events_image(events *e, const char *tag, int64_t step, int width, int height, const void *file, size_t length);

/* The reference's thirteen numbers of an epoch, in its order: losses, metrics, learning rates of the three groups. */
void events_epoch(events *e, const results_row *row, const double lr[UPDATE_GROUPS]);

/* Hand all that was gathered to the operating system. ERR_MEMORY, ERR_IO, ERR_NO_SPACE; then the file is as it was, and what was
 * gathered is dropped. */
status events_flush(events *e);

#endif
