/* device.h - what the parts of the CPU backend share: the device, buffers, and how oneDNN's errors become ours. */
#ifndef CPU_DEVICE_H
#define CPU_DEVICE_H

#include <oneapi/dnnl/dnnl.h>

#include "worker/backend/backend.h"
#include "worker/backend/cpu/kernels.h"

struct device {
    int threads;
    bool has_bf16;  /* instructions for it: without them it is not offered */
    bool has_tiles; /* AMX: matrix multiplication of bf16, with which it is faster than fp32 */
    const kernels *kernels;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

struct buffer {
    char *memory;
    size_t bytes;
    bool wrapped;          /* the memory is the caller's */
    int64_t version;       /* raised by every write and update: packed copies of weights are out of date */
    int64_t state_version; /* raised besides when running statistics move */
};

/* From a oneDNN call: OK, or ERR_MEMORY, ERR_UNSUPPORTED, ERR_DEVICE with what was being done. */
status dnnl_check(dnnl_status_t result, const char *what);
#define TRY_DNNL(call, what) TRY(dnnl_check((call), (what)))

/* The layout of feature maps: nChw16c or nChw8c. */
dnnl_format_tag_t device_map_tag(const device *d);

#endif
