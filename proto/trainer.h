/* trainer.h - what a worker and its trainer say to each other on one socketpair (`train --candidate-fd N`).
 *
 * Frame: 4 bytes length (big endian), then a MessagePack map with "type" and the fields below. Unknown types and fields are
 * skipped, so either side may be newer.
 *
 *   worker to trainer                                   answered by
 *     start {hyps, options, data, data_root, model,     hello, then iteration and epoch, at the end done, stopped or failed
 *            seed, folder, resume, weights}
 *     checkpoint {}                                     checkpointed, as soon as the batch in hand is done
 *     stop {}                                           stopped
 *   trainer to worker
 *     hello {device, threads, precision, version}       as soon as the device is open
 *     iteration {epoch, epochs, step, steps, loss, images_per_s, memory}     at most two a second; during a validation the
 *                                                       last one comes again, as a sign of life
 *     epoch {epoch, metrics}                            after each validation: the metrics, fitness among them
 *     checkpointed {path, epoch, step}
 *     stopped {results (0 or 7 numbers), epoch}
 *     done {results (7 numbers), seconds, memory, folder}
 *     failed {reason, detail}
 *
 * The trainer ends when the pipe closes. The worker counts a trainer that leaves without done, stopped or failed as crashed. */
#ifndef PROTO_TRAINER_H
#define PROTO_TRAINER_H

#include "common/status.h"
#include "proto/maps.h"

typedef enum trainer_kind {
    TRAINER_START,
    TRAINER_CHECKPOINT,
    TRAINER_STOP,
    TRAINER_HELLO,
    TRAINER_ITERATION,
    TRAINER_EPOCH,
    TRAINER_CHECKPOINTED,
    TRAINER_STOPPED,
    TRAINER_DONE,
    TRAINER_FAILED,
    TRAINER_KINDS,
} trainer_kind;

/* Why a training failed: what the coordinator decides by. */
#define TRAINER_REASONS(ROW)                                                                                           \
    ROW(REASON_NAN, "nan")         /* a non-finite loss: no second attempt */                                          \
    ROW(REASON_REFUSED, "refused") /* hyps, options or model are not acceptable: no second attempt */                  \
    ROW(REASON_DATA, "data")       /* data set missing or unreadable here */                                           \
    ROW(REASON_MEMORY, "memory")   /* out of memory, host or device */                                                 \
    ROW(REASON_DEVICE, "device")   /* the device failed or is missing */                                               \
    ROW(REASON_CRASH, "crash")     /* the process died; the worker says so */                                          \
    ROW(REASON_STALL, "stall")     /* no iteration for the stall time-out; the worker says so */                       \
    ROW(REASON_ERROR, "error")     /* anything else */
#define TRAINER_REASON_ID(id, name) id,
typedef enum trainer_reason { TRAINER_REASONS(TRAINER_REASON_ID) REASON_COUNT } trainer_reason;
const char *trainer_reason_name(trainer_reason reason);
/* REASON_ERROR for an unknown name. */
trainer_reason trainer_reason_find(const char *name);

/* One message. Texts and bytes are owned by it (trainer_message_free); fields that a kind does not have are 0. */
typedef struct trainer_message {
    trainer_kind kind;
    bytes hyps, options;                /* start: MessagePack maps */
    char *data, *data_root, *model;     /* start: the yaml texts; where relative picture paths start */
    char *folder;                       /* start: where to write; done: where results are */
    char *resume;                       /* start: a checkpoint to go on from, NULL for none */
    int64_t seed;                       /* start: of the training; overrides the one in the options */
    char *device, *precision, *version; /* hello */
    int64_t threads;                    /* hello */
    int64_t epoch, epochs, step, steps; /* iteration, epoch, checkpointed, stopped */
    double loss, images_per_s;          /* iteration */
    int64_t memory;                     /* iteration: bytes now; done: most bytes ever */
    metrics metrics;                    /* epoch */
    char *path;                         /* checkpointed: in the start's folder; "" if it could not be written.
                                           start: where the trained weights are to be left, there too; NULL: nowhere */
    int result_count;                   /* stopped: 0 or 7; done: 7 */
    double results[RESULT_COUNT];
    double seconds;        /* done */
    trainer_reason reason; /* failed */
    char *detail;          /* failed: one sentence */
} trainer_message;

void trainer_message_free(trainer_message *m);

/* One frame as bytes, for a caller that must not wait while it is written; freed with bytes_free. */
status trainer_pack(const trainer_message *m, bytes *out);
/* Write one frame, whole, to a blocking descriptor. ERR_IO when the other side is gone. */
status trainer_send(int descriptor, const trainer_message *m);

/* Frames from a descriptor, as they come in. */
typedef struct trainer_reader trainer_reader;
status trainer_reader_create(int descriptor, trainer_reader **out); /* the descriptor stays the caller's */
void trainer_reader_destroy(trainer_reader **r);
/* The next message in *out (the caller frees it). Waits for one when the descriptor blocks; on a non-blocking one
 * ERR_TIMEOUT says that none is complete yet. ERR_END when the other side has closed; ERR_PROTOCOL for a frame that is too
 * long or malformed. */
status trainer_receive(trainer_reader *r, trainer_message *out);

#endif
