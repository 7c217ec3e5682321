/* ceiling.c - how fast the convolutions of a plan could go: each alone, at its best. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "worker/backend/cpu/conv.h"
#include "worker/backend/cpu/winograd.h"

/* What one measurement is of: a pass in a layout. */
typedef struct trial {
    device *d;
    const conv_parameters *p;
    dnnl_dims_t x, y, w;
    dnnl_data_type_t type;
    dnnl_format_tag_t tag;
    dnnl_alg_kind_t way;
} trial;

/* Memory filled with small values that are not all alike. */
static status make_memory(const trial *t, const dnnl_memory_desc_t *m, dnnl_memory_t *out, void **memory)
{
    size_t bytes = dnnl_memory_desc_get_size(m);
    *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!*memory) return FAIL(ERR_MEMORY, "out of memory: %zu bytes to measure a convolution", bytes);
    for (size_t i = 0; i < bytes / 2; i++)
        ((uint16_t *)*memory)[i] = (uint16_t)(0x3c00 + i * 37 % 0x180); /* .008 to .03 */
    return dnnl_check(dnnl_memory_create(out, m, t->d->engine, *memory), "make memory");
}

static status describe(const trial *t, conv_pass which, dnnl_convolution_desc_t *out)
{
    dnnl_memory_desc_t x, y, w;
    const conv_parameters *p = t->p;
    dnnl_dims_t strides = {p->stride_h, p->stride_w}, pads = {p->pad_h, p->pad_w};
    dnnl_dims_t grouped = {p->groups, t->w[0] / p->groups, t->w[1], t->w[2], t->w[3]};
    dnnl_data_type_t weights = which == PASS_WEIGHTS ? dnnl_f32 : t->type;
    TRY_DNNL(dnnl_memory_desc_init_by_tag(&x, 4, t->x, t->type, t->tag), "describe a map");
    TRY_DNNL(dnnl_memory_desc_init_by_tag(&y, 4, t->y, t->type, t->tag), "describe a map");
    if (p->groups == 1)
        TRY_DNNL(dnnl_memory_desc_init_by_tag(&w, 4, t->w, weights, dnnl_format_tag_any), "describe weights");
    else TRY_DNNL(dnnl_memory_desc_init_by_tag(&w, 5, grouped, weights, dnnl_format_tag_any), "describe weights");
    if (which == PASS_FORWARD)
        return dnnl_check(dnnl_convolution_forward_desc_init(out, dnnl_forward_training, t->way, &x, &w, NULL, &y,
                                                             strides, pads, pads),
                          "describe a convolution");
    if (which == PASS_DATA)
        return dnnl_check(dnnl_convolution_backward_data_desc_init(out, t->way, &x, &w, &y, strides, pads, pads),
                          "describe a gradient");
    return dnnl_check(dnnl_convolution_backward_weights_desc_init(out, t->way, &x, &w, NULL, &y, strides, pads, pads),
                      "describe a gradient");
}

/* At least this often, and until this long has been spent: the best of them counts. */
enum { TIMES_LEAST = 3, TIMES_MOST = 20 };
static const double seconds_enough = 0.02;

static status time_primitive(const trial *t, conv_pass which, dnnl_primitive_desc_t description, double *best)
{
    static const int names[3][3] = {
        [PASS_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        [PASS_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        [PASS_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
    };
    dnnl_primitive_t primitive = NULL;
    dnnl_exec_arg_t arguments[3] = {{0, NULL}};
    void *memory[3] = {NULL};
    status s = dnnl_check(dnnl_primitive_create(&primitive, description), "make a convolution");
    for (int i = 0; s == OK && i < 3; i++) {
        arguments[i].arg = names[which][i];
        s = make_memory(t, dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, names[which][i]),
                        &arguments[i].memory, &memory[i]);
    }
    double spent = 0;
    for (int run = 0; s == OK && run < TIMES_MOST && (run < TIMES_LEAST || spent < seconds_enough); run++) {
        double started = clock_seconds();
        s = dnnl_check(dnnl_primitive_execute(primitive, t->d->stream, 3, arguments), "run a convolution");
        double passed = clock_seconds() - started;
        spent += passed;
        if (passed < *best) *best = passed;
    }
    for (int i = 0; i < 3; i++) {
        if (arguments[i].memory) dnnl_memory_destroy(arguments[i].memory);
        free(memory[i]);
    }
    if (primitive) dnnl_primitive_destroy(primitive);
    return s;
}

/* A reference implementation would take minutes and is never the best. */
static bool is_reference(dnnl_primitive_desc_t description)
{
    const char *name = "";
    dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, (void *)&name);
    return strstr(name, "ref") != NULL;
}

static status time_pass(const trial *t, conv_pass which, double *best)
{
    dnnl_convolution_desc_t description, forward_description;
    dnnl_primitive_desc_t chosen = NULL, forward = NULL;
    TRY(describe(t, PASS_FORWARD, &forward_description));
    TRY(describe(t, which, &description));
    if (dnnl_primitive_desc_create(&forward, &forward_description, NULL, t->d->engine, NULL) != dnnl_success) return OK;
    status s = OK;
    if (dnnl_primitive_desc_create(&chosen, &description, NULL, t->d->engine, which == PASS_FORWARD ? NULL : forward) ==
            dnnl_success &&
        (!is_reference(chosen) || *best == INFINITY))
        s = time_primitive(t, which, chosen, best);
    if (chosen) dnnl_primitive_desc_destroy(chosen);
    dnnl_primitive_desc_destroy(forward);
    return s;
}

/* Channels that fill whole blocks, as the plan lays them out. */
static int64_t fill(int64_t channels, int block)
{
    return (channels + block - 1) / block * block;
}

/* One of the layouts and ways there are to run a pass: bit 0 the layout, bit 1 the way. */
enum { TRIALS = 4 };

static trial make_trial(device *d, const conv_parameters *p, const shape *x, const shape *w, bool bf16, int number)
{
    bool blocked = !(number & 1);
    trial t = {.d = d, .p = p, .type = bf16 ? dnnl_bf16 : dnnl_f32};
    t.tag = blocked ? device_map_tag(d) : dnnl_nhwc;
    t.way = number & 2 ? dnnl_convolution_winograd : dnnl_convolution_direct;
    memcpy(t.x, x->dim, sizeof x->dim);
    memcpy(t.w, w->dim, sizeof w->dim);
    if (blocked && p->groups == 1) {
        t.x[1] = t.w[1] = fill(t.x[1], d->kernels->block);
        t.w[0] = fill(t.w[0], d->kernels->block);
    }
    t.y[0] = t.x[0];
    t.y[1] = t.w[0];
    t.y[2] = (t.x[2] + 2 * p->pad_h - p->kernel_h) / p->stride_h + 1;
    t.y[3] = (t.x[3] + 2 * p->pad_w - p->kernel_w) / p->stride_w + 1;
    return t;
}

status conv_best_time(device *d, const conv_parameters *p, const shape *x, const shape *w, bool bf16, bool gradients,
                      bool data_gradient, double *seconds)
{
    *seconds = 0;
    for (int which = PASS_FORWARD; which <= PASS_WEIGHTS; which++) {
        double best = INFINITY;
        if ((which != PASS_FORWARD && !gradients) || (which == PASS_DATA && !data_gradient)) continue;
        for (int i = 0; i < TRIALS; i++) {
            trial t = make_trial(d, p, x, w, bf16, i);
            TRY(time_pass(&t, (conv_pass)which, &best));
        }
        if (best < INFINITY) *seconds += best;
    }
    return OK;
}
