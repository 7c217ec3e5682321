/* backend.c - the CPU: its table, device and buffers. */
#include "worker/backend/cpu/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "worker/backend/cpu/collective.h"
#include "worker/backend/cpu/device.h"
#include "worker/backend/cpu/parallel.h"

/* ---- oneDNN ---- */

status dnnl_check(dnnl_status_t result, const char *what)
{
    switch (result) {
    case dnnl_success: return OK;
    case dnnl_out_of_memory: return FAIL(ERR_MEMORY, "out of memory: cannot %s", what);
    case dnnl_unimplemented: return FAIL(ERR_UNSUPPORTED, "oneDNN on this processor cannot %s", what);
    default: return FAIL(ERR_DEVICE, "oneDNN failed to %s (error %d)", what, (int)result);
    }
}

dnnl_format_tag_t device_map_tag(const device *d)
{
    return d->kernels->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
}

/* ---- kernels ---- */

extern const kernels kernels_generic;
#ifdef __x86_64__
extern const kernels kernels_avx2, kernels_avx512;
#endif

const kernels *kernels_choose(void)
{
#ifdef __x86_64__
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa(); /* our blocks have to be those that oneDNN's convolutions like */
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core) return &kernels_avx512;
    if ((isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2) return &kernels_avx2;
#endif
    return &kernels_generic;
}

/* ---- device ---- */

static int cpu_count(const char **why)
{
    if (why) *why = "";
    return 1;
}

static void cpu_close(device **d)
{
    if (!*d) return;
    if ((*d)->stream) dnnl_stream_destroy((*d)->stream);
    if ((*d)->engine) dnnl_engine_destroy((*d)->engine);
    free(*d);
    *d = NULL;
}

/* oneDNN keeps made primitives for reuse; a multi-scale training has a few thousand of them. */
enum { PRIMITIVES_KEPT = 8192 };

static status cpu_open(int index, const device_options *options, device **out)
{
    *out = NULL;
    if (index != 0) return FAIL(ERR_ARGUMENT, "there is one cpu, number 0, not %d", index);
    if (options->threads < 1) return FAIL(ERR_ARGUMENT, "the cpu needs at least one thread");
    device *d;
    TRY(array_new(&d, 1));
    d->threads = options->threads;
    parallel_set_threads(d->threads);
    dnnl_set_primitive_cache_capacity(PRIMITIVES_KEPT);
    d->kernels = kernels_choose();
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    d->has_bf16 = (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
    d->has_tiles = (isa & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
    status s = dnnl_check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "start its engine");
    if (s == OK)
        s = dnnl_check(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags), "start its stream");
    if (s != OK) cpu_close(&d);
    *out = d;
    return s;
}

/* "model name : ..." of /proc/cpuinfo; "" where there is none. */
static void processor_name(char *name, size_t room)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    *name = '\0';
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        snprintf(name, room, "%s", colon + 2);
        name[strcspn(name, "\n")] = '\0';
        break;
    }
    if (f) fclose(f);
}

static void cpu_info(const device *d, device_info *out)
{
    char processor[DEVICE_NAME_ROOM - 32];
    processor_name(processor, sizeof processor);
    /* Without matrix tiles bf16 costs more than it saves: oneDNN 2.6 trains yolov5s (320 px, batches of 16, two cores of a Xeon
     * with AVX512_BF16 alone) at 0.62 of fp32's rate, 12.4 images a second against 20.0. It halves the memory, so it stays
     * there for who asks. */
    *out = (device_info){.threads = d->threads, .best = d->has_tiles ? PRECISION_BF16 : PRECISION_FP32};
    snprintf(out->name, sizeof out->name, "cpu %s%s%s", processor, *processor ? ", " : "", d->kernels->name);
    out->memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    out->supports[PRECISION_FP32] = true;
    out->supports[PRECISION_BF16] = d->has_bf16;
}

/* ---- buffers ---- */

static status cpu_buffer_wrap(device *d, void *memory, size_t bytes, buffer **out)
{
    (void)d;
    TRY(array_new(out, 1));
    **out = (buffer){.memory = memory, .bytes = bytes, .wrapped = true, .version = 1, .state_version = 1};
    return OK;
}

static status cpu_buffer_create(device *d, size_t bytes, buffer **out)
{
    *out = NULL;
    size_t rounded = (bytes + 63) / 64 * 64;
    void *memory = aligned_alloc(64, rounded ? rounded : 64);
    if (!memory) return FAIL(ERR_MEMORY, "out of memory: a buffer of %zu bytes", bytes);
    memset(memory, 0, rounded);
    status s = cpu_buffer_wrap(d, memory, bytes, out);
    if (s == OK) (*out)->wrapped = false;
    else free(memory);
    return s;
}

static void cpu_buffer_destroy(buffer **b)
{
    if (!*b) return;
    if (!(*b)->wrapped) free((*b)->memory);
    free(*b);
    *b = NULL;
}

static status check_range(const buffer *b, size_t offset, size_t bytes)
{
    if (offset <= b->bytes && bytes <= b->bytes - offset) return OK;
    return FAIL(ERR_ARGUMENT, "bytes %zu to %zu of a buffer of %zu", offset, offset + bytes, b->bytes);
}

static status cpu_buffer_write(buffer *b, size_t offset, const void *from, size_t bytes)
{
    TRY(check_range(b, offset, bytes));
    memcpy(b->memory + offset, from, bytes);
    b->version++;
    b->state_version++;
    return OK;
}

static status cpu_buffer_read(buffer *b, size_t offset, void *to, size_t bytes)
{
    TRY(check_range(b, offset, bytes));
    memcpy(to, b->memory + offset, bytes);
    return OK;
}

static status cpu_buffer_clear(buffer *b)
{
    memset(b->memory, 0, b->bytes);
    b->version++;
    b->state_version++;
    return OK;
}

/* ---- the table ---- */

extern const backend_ops backend;
const backend_ops backend = {
    .abi = BACKEND_ABI,
    .name = "cpu",
    .count = cpu_count,
    .open = cpu_open,
    .close = cpu_close,
    .info = cpu_info,
    .buffer_create = cpu_buffer_create,
    .buffer_wrap = cpu_buffer_wrap,
    .buffer_destroy = cpu_buffer_destroy,
    .buffer_write = cpu_buffer_write,
    .buffer_read = cpu_buffer_read,
    .buffer_clear = cpu_buffer_clear,
    .plan_create = cpu_plan_create,
    .plan_destroy = cpu_plan_destroy,
    .plan_write = cpu_plan_write,
    .plan_read = cpu_plan_read,
    .plan_run = cpu_plan_run,
    .plan_memory = cpu_plan_memory,
    .plan_ceiling = cpu_plan_ceiling,
    .plan_profile = cpu_plan_profile,
    .team_ticket = cpu_team_ticket,
    .team_join = cpu_team_join,
    .team_leave = cpu_team_leave,
    .team_abort = cpu_team_abort,
    .team_sum = cpu_team_sum,
};
