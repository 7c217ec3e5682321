/* backend.h - devices: the one table.
 *
 * A backend is a shared object (backend_cpu.so, backend_cuda.so) that exports `const backend_ops backend`. It knows
 * tensors and graphs, and nothing of files, options or runs. Every slot is filled; tests/backend walks the struct to prove
 * it. A backend is never unloaded: libgomp and CUDA keep threads in it.
 *
 * Threads: a device, and different plans of one device, may be used from several threads at once; one plan or buffer by
 * one thread at a time. Runs that use the same buffers follow each other as their callers order them. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdint.h>

#include "common/status.h"
#include "common/text.h"
#include "worker/backend/graph.h"

enum { BACKEND_ABI = 3, DEVICE_NAME_ROOM = 128, DEVICE_ID_ROOM = 64, TEAM_TICKET = 128, TEAM_RANKS = 64 };

typedef struct device device;
typedef struct buffer buffer; /* memory on a device */
typedef struct plan plan;     /* a graph, compiled for a device */
typedef struct team team;     /* a device among those of other processes that train together, its ranks */

typedef enum precision { PRECISION_FP32, PRECISION_BF16, PRECISION_FP16, PRECISION_COUNT } precision;

typedef struct device_options {
    int threads; /* CPU: compute threads, at least 1 */
} device_options;

typedef struct device_info {
    char name[DEVICE_NAME_ROOM]; /* for people and for the record of a result: "cpu AMD EPYC, avx512" */
    int threads;
    int64_t memory; /* bytes of the device in all */
    bool supports[PRECISION_COUNT];
    precision best; /* the fastest that trains well: what --precision auto means */
    char id
        [DEVICE_ID_ROOM]; /* tells it from the others of this machine, in every process the same; "": it is the only one */
} device_info;

typedef struct plan_options {
    bool training;       /* batch statistics, backward pass; otherwise inference with running statistics */
    precision precision; /* of feature maps and weights inside; weights at rest, statistics and loss stay fp32 */
    buffer *buffers[ARENA_COUNT]; /* borrowed, must outlive the plan; NULL where the graph stores nothing */
    /* Training: OP_NORM takes the statistics of all ranks' batches, which run the same graph at once. NULL: of its own.
     * Borrowed, must outlive the plan. */
    team *team;
    plan *share; /* NULL, or a plan that never runs at the same time: its memory for feature maps is used again
                                     if it is large enough. Borrowed; it must be destroyed later */
} plan_options;

/* A plan's value, or the gradient with respect to it: of inner, input and output tensors of a training plan. */
typedef enum plan_side { PLAN_VALUE, PLAN_GRADIENT } plan_side;

typedef struct backend_ops {
    int abi;          /* BACKEND_ABI, else the loader refuses the file */
    const char *name; /* as given to --device: "cpu", "cuda" */

    /* How many devices there are; 0 when the hardware or its driver is missing (*why says so; borrowed). */
    int (*count)(const char **why);
    status (*open)(int index, const device_options *options, device **out);
    void (*close)(device **d);
    void (*info)(const device *d, device_info *out);

    /* `bytes` of zeros. */
    status (*buffer_create)(device *d, size_t bytes, buffer **out);
    /* Make host memory usable as a buffer without copying where the device can (the CPU: always). Borrowed: it must stay
     * until the buffer is destroyed. */
    status (*buffer_wrap)(device *d, void *memory, size_t bytes, buffer **out);
    void (*buffer_destroy)(buffer **b);
    /* Copy in and out; ranges are checked (ERR_ARGUMENT). A write makes plans take their weights anew. */
    status (*buffer_write)(buffer *b, size_t offset, const void *from, size_t bytes);
    status (*buffer_read)(buffer *b, size_t offset, void *to, size_t bytes);
    status (*buffer_clear)(buffer *b);

    /* Compile: choose algorithms, lay out all memory. `g` is borrowed during the call only, what its nodes borrow until the
     * plan is destroyed. ERR_UNSUPPORTED names what the device cannot do, ERR_MEMORY how much was needed. */
    status (*plan_create)(device *d, const graph *g, const plan_options *options, plan **out);
    void (*plan_destroy)(plan **p);
    /* Copy a whole tensor in (inputs; gradients of outputs, where the graph has no loss) or out (outputs; the gradient of any
     * input, inner or output tensor), in the order and type of the graph's definition. plan_read waits for the run. */
    status (*plan_write)(plan *p, plan_side side, int tensor, const void *from, size_t bytes);
    status (*plan_read)(plan *p, plan_side side, int tensor, void *to, size_t bytes);
    /* One pass: forward, and in a training plan backward. Allocates nothing. ERR_DEVICE if the device fails. */
    status (*plan_run)(plan *p);
    /* Bytes of device memory that the plan holds. */
    int64_t (*plan_memory)(const plan *p);
    /* Best stand-alone times of all the plan's convolutions (forward; in training also both gradients) added up, in seconds:
     * the ceiling for a run. Measures; overwrites the plan's inner tensors. */
    status (*plan_ceiling)(plan *p, double *seconds);
    /* Run `runs` times and append a table of where the time goes: a line a kind of operation. */
    status (*plan_profile)(plan *p, int runs, text *out);

    /* What `ranks` processes need to find each other, at most TEAM_RANKS: made by rank 0, to be carried to the others by whoever
     * started them. */
    status (*team_ticket)(int ranks, unsigned char ticket[TEAM_TICKET]);
    /* Become one of the ranks, whose devices are of one kind; may return before the others have come. ERR_UNSUPPORTED when they
     * cannot reach each other, ERR_ARGUMENT for a ticket that is none. */
    status (*team_join)(device *d, const unsigned char ticket[TEAM_TICKET], int rank, int ranks, team **out);
    void (*team_leave)(team **t);
    /* From any thread: another rank is gone. What waits for it, now or later, returns ERR_DEVICE. */
    void (*team_abort)(team *t);
    /* Replace `count` float32 elements of a buffer by their sums over all ranks, which all call this with the same range. They are
     * added in the order of the ranks: everyone gets the same bits. */
    status (*team_sum)(team *t, buffer *b, size_t first, size_t count);
} backend_ops;

/* The symbol that a backend exports. */
#define BACKEND_SYMBOL "backend"

#endif
