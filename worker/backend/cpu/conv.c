#include "worker/backend/cpu/conv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

/* A primitive with the memory objects of its arguments; handles are set at each run. */
typedef struct primitive {
    dnnl_primitive_t handle;
    dnnl_primitive_desc_t description;
    dnnl_memory_desc_t weights;
} primitive;

struct conv {
    conv_options o;
    device *d;
    map in, out[FILTERS_MOST];     /* copies: the network is gone when the plan runs */
    int in_channels, out_channels; /* physical, all filters together */
    bool direct;                   /* weights at rest can be packed as they are: one filter, no holes */
    bool has_bias;
    dnnl_memory_desc_t source, destination, plain; /* plain: weights as at rest, but with physical channels */
    primitive forward, data, weights;
    dnnl_primitive_t pack_forward, pack_data, unpack; /* reorders */
    void *packed_forward, *packed_data;
    float *packed_gradient, *bias, *bias_gradient, *plain_weights;
};

/* ---- descriptions ---- */

static int64_t packed_size(const dnnl_memory_desc_t *m)
{
    return (int64_t)dnnl_memory_desc_get_size(m);
}

static status describe_maps(conv *c)
{
    const conv_options *o = &c->o;
    dnnl_format_tag_t tag = device_map_tag(c->d);
    dnnl_data_type_t type = o->bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_dims_t x = {o->images, c->in_channels, c->in.height, c->in.width};
    dnnl_dims_t y = {o->images, c->out_channels, c->out[0].height, c->out[0].width};
    TRY_DNNL(dnnl_memory_desc_init_by_tag(&c->source, 4, x, type, tag), "describe a feature map");
    TRY_DNNL(dnnl_memory_desc_init_by_tag(&c->destination, 4, y, type, tag), "describe a feature map");
    dnnl_dims_t w = {c->out_channels, c->in_channels, o->shape.kernel_h, o->shape.kernel_w};
    dnnl_dims_t g = {o->shape.groups, c->out_channels / o->shape.groups, c->in_channels / o->shape.groups, w[2], w[3]};
    if (o->shape.groups == 1)
        return dnnl_check(dnnl_memory_desc_init_by_tag(&c->plain, 4, w, dnnl_f32, dnnl_oihw), "weights");
    return dnnl_check(dnnl_memory_desc_init_by_tag(&c->plain, 5, g, dnnl_f32, dnnl_goihw), "weights");
}

/* The same weights in an order of oneDNN's choice. */
static dnnl_memory_desc_t any_order(const dnnl_memory_desc_t *plain, dnnl_data_type_t type)
{
    dnnl_memory_desc_t any;
    dnnl_memory_desc_init_by_tag(&any, plain->ndims, plain->dims, type, dnnl_format_tag_any);
    return any;
}

static status make_attributes(const conv_options *o, dnnl_primitive_attr_t *attributes)
{
    TRY_DNNL(dnnl_primitive_attr_create(attributes), "make a convolution");
    status s =
        dnnl_check(dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user), "scratch memory");
    if (s != OK || o->activation == ACTIVATION_NONE) return s;
    static const struct {
        dnnl_alg_kind_t kind;
        float alpha;
    } kinds[] = {
        [ACTIVATION_HARDSWISH] = {dnnl_eltwise_hardswish, 0},
        [ACTIVATION_LEAKY_RELU] = {dnnl_eltwise_relu, 0.1f},
        [ACTIVATION_SILU] = {dnnl_eltwise_swish, 1},
        [ACTIVATION_RELU] = {dnnl_eltwise_relu, 0},
    };
    dnnl_post_ops_t after;
    TRY_DNNL(dnnl_post_ops_create(&after), "make a convolution");
    s = dnnl_check(dnnl_post_ops_append_eltwise(after, 1, kinds[o->activation].kind, kinds[o->activation].alpha, 0),
                   "add an activation");
    if (s == OK) s = dnnl_check(dnnl_primitive_attr_set_post_ops(*attributes, after), "add an activation");
    dnnl_post_ops_destroy(after);
    return s;
}

typedef enum pass { PASS_FORWARD, PASS_DATA, PASS_WEIGHTS } pass;

static status describe_pass(const conv *c, pass which, dnnl_convolution_desc_t *out)
{
    const conv_parameters *p = &c->o.shape;
    dnnl_data_type_t type = c->o.bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t w = any_order(&c->plain, which == PASS_WEIGHTS ? dnnl_f32 : type), bias;
    dnnl_memory_desc_t y = c->destination;
    dnnl_dims_t strides = {p->stride_h, p->stride_w}, pads = {p->pad_h, p->pad_w}, channels = {c->out_channels};
    TRY_DNNL(dnnl_memory_desc_init_by_tag(&bias, 1, channels, dnnl_f32, dnnl_a), "describe a bias");
    const dnnl_memory_desc_t *b = c->has_bias ? &bias : NULL;
    if (which == PASS_FORWARD) {
        if (c->o.out_fp32) y.data_type = dnnl_f32;
        dnnl_prop_kind_t kind = c->o.training ? dnnl_forward_training : dnnl_forward_inference;
        return dnnl_check(dnnl_convolution_forward_desc_init(out, kind, dnnl_convolution_direct, &c->source, &w, b, &y,
                                                             strides, pads, pads),
                          "describe a convolution");
    }
    if (which == PASS_DATA)
        return dnnl_check(dnnl_convolution_backward_data_desc_init(out, dnnl_convolution_direct, &c->source, &w, &y,
                                                                   strides, pads, pads),
                          "describe a convolution's gradient");
    return dnnl_check(dnnl_convolution_backward_weights_desc_init(out, dnnl_convolution_direct, &c->source, &w, b, &y,
                                                                  strides, pads, pads),
                      "describe a convolution's weight gradient");
}

static status make_primitive(conv *c, pass which, const primitive *hint, primitive *out)
{
    dnnl_convolution_desc_t description;
    TRY(describe_pass(c, which, &description));
    dnnl_primitive_attr_t attributes = NULL;
    status s = make_attributes(&c->o, &attributes);
    if (s == OK)
        s = dnnl_check(dnnl_primitive_desc_create(&out->description, &description, attributes, c->d->engine,
                                                  hint ? hint->description : NULL),
                       "choose a convolution");
    if (s == OK) s = dnnl_check(dnnl_primitive_create(&out->handle, out->description), "make a convolution");
    if (s == OK)
        out->weights =
            *dnnl_primitive_desc_query_md(out->description,
                                          which == PASS_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md,
                                          0);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return s;
}

/* From one order to another; `add`: onto what is there. */
static status make_reorder(conv *c, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, bool add,
                           dnnl_primitive_t *out)
{
    dnnl_primitive_attr_t attributes;
    dnnl_post_ops_t after = NULL;
    dnnl_primitive_desc_t description = NULL;
    TRY_DNNL(dnnl_primitive_attr_create(&attributes), "make a reorder");
    status s = OK;
    if (add) {
        s = dnnl_check(dnnl_post_ops_create(&after), "make a reorder");
        if (s == OK) s = dnnl_check(dnnl_post_ops_append_sum(after, 1), "make a reorder");
        if (s == OK) s = dnnl_check(dnnl_primitive_attr_set_post_ops(attributes, after), "make a reorder");
    }
    if (s == OK)
        s = dnnl_check(dnnl_reorder_primitive_desc_create(&description, from, c->d->engine, to, c->d->engine,
                                                          attributes),
                       "choose a reorder");
    if (s == OK) s = dnnl_check(dnnl_primitive_create(out, description), "make a reorder");
    if (description) dnnl_primitive_desc_destroy(description);
    if (after) dnnl_post_ops_destroy(after);
    dnnl_primitive_attr_destroy(attributes);
    return s;
}

static status take(int64_t bytes, void *out)
{
    void *memory = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64 + 64);
    if (!memory) return FAIL(ERR_MEMORY, "out of memory: %lld bytes of weights", (long long)bytes);
    memset(memory, 0, (size_t)bytes);
    memcpy(out, &memory, sizeof memory);
    return OK;
}

static status make_passes(conv *c)
{
    TRY(make_primitive(c, PASS_FORWARD, NULL, &c->forward));
    TRY(take(packed_size(&c->forward.weights), &c->packed_forward));
    TRY(make_reorder(c, &c->plain, &c->forward.weights, false, &c->pack_forward));
    if (!c->o.training) return OK;
    if (c->o.data_gradient) {
        TRY(make_primitive(c, PASS_DATA, &c->forward, &c->data));
        TRY(take(packed_size(&c->data.weights), &c->packed_data));
        TRY(make_reorder(c, &c->plain, &c->data.weights, false, &c->pack_data));
    }
    TRY(make_primitive(c, PASS_WEIGHTS, &c->forward, &c->weights));
    TRY(take(packed_size(&c->weights.weights), &c->packed_gradient));
    return make_reorder(c, &c->weights.weights, &c->plain, c->direct, &c->unpack);
}

status conv_create(device *d, const conv_options *options, conv **out)
{
    conv *c;
    TRY(array_new(&c, 1));
    *out = c;
    c->o = *options;
    c->d = d;
    c->in = *options->in;
    int block = d->kernels->block;
    bool holes = c->in.runs > 1;
    c->in_channels = c->in.blocks * block;
    for (int f = 0; f < options->filters; f++) {
        c->out[f] = *options->filter[f].out;
        c->out_channels += c->out[f].blocks * block;
        c->has_bias |= options->filter[f].bias || options->filter[f].gamma;
    }
    if (options->shape.groups > 1) { /* oneDNN takes care of channels that do not fill a block */
        if (holes || options->filters > 1)
            return FAIL(ERR_UNSUPPORTED, "cpu: a grouped convolution over a concatenation of odd numbers of channels");
        c->in_channels = c->in.channels;
        c->out_channels = c->out[0].channels;
    }
    c->direct = options->filters == 1 && !holes && !options->filter[0].gamma && c->in_channels == c->in.channels &&
                c->out_channels == c->out[0].channels;
    TRY(describe_maps(c));
    TRY(make_passes(c));
    if (!c->direct) TRY(take(packed_size(&c->plain), &c->plain_weights));
    if (c->has_bias) TRY(take((int64_t)c->out_channels * 4, &c->bias));
    if (c->has_bias && options->training) TRY(take((int64_t)c->out_channels * 4, &c->bias_gradient));
    return conv_pack(c);
}

static void primitive_free(primitive *p)
{
    if (p->handle) dnnl_primitive_destroy(p->handle);
    if (p->description) dnnl_primitive_desc_destroy(p->description);
}

void conv_destroy(conv **out)
{
    conv *c = *out;
    if (!c) return;
    primitive_free(&c->forward);
    primitive_free(&c->data);
    primitive_free(&c->weights);
    if (c->pack_forward) dnnl_primitive_destroy(c->pack_forward);
    if (c->pack_data) dnnl_primitive_destroy(c->pack_data);
    if (c->unpack) dnnl_primitive_destroy(c->unpack);
    free(c->packed_forward);
    free(c->packed_data);
    free(c->packed_gradient);
    free(c->bias);
    free(c->bias_gradient);
    free(c->plain_weights);
    free(c);
    *out = NULL;
}

static size_t scratch_of(const primitive *p)
{
    return p->description
               ? dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(p->description, dnnl_query_scratchpad_md, 0))
               : 0;
}

size_t conv_scratch(const conv *c)
{
    size_t a = scratch_of(&c->forward), b = scratch_of(&c->data), w = scratch_of(&c->weights);
    a = a > b ? a : b;
    return a > w ? a : w;
}

int64_t conv_memory(const conv *c)
{
    int64_t bytes = packed_size(&c->forward.weights);
    if (c->data.handle) bytes += packed_size(&c->data.weights);
    if (c->weights.handle) bytes += packed_size(&c->weights.weights);
    return bytes + (c->plain_weights ? packed_size(&c->plain) : 0);
}

const char *conv_implementation(const conv *c)
{
    const char *name = "?";
    dnnl_primitive_desc_query(c->forward.description, dnnl_query_impl_info_str, 0, (void *)&name);
    return name;
}

/* ---- running ---- */

enum { ARGUMENTS_MOST = 5 };

typedef struct arguments {
    dnnl_exec_arg_t list[ARGUMENTS_MOST];
    int count;
    status result;
} arguments;

/* A memory object costs a small allocation; it lives for one call, so that runs in several threads share nothing. */
static void add_argument(arguments *a, const conv *c, int name, const dnnl_memory_desc_t *m, const void *at)
{
    if (a->result != OK) return;
    dnnl_memory_t memory;
    a->result = dnnl_check(dnnl_memory_create(&memory, m, c->d->engine, (void *)at), "pass memory to oneDNN");
    if (a->result == OK) a->list[a->count++] = (dnnl_exec_arg_t){name, memory};
}

static status execute(const conv *c, dnnl_primitive_t primitive, arguments *a)
{
    status s = a->result;
    if (s == OK)
        s = dnnl_check(dnnl_primitive_execute(primitive, c->d->stream, a->count, a->list), "run a convolution");
    for (int i = 0; i < a->count; i++) dnnl_memory_destroy(a->list[i].memory);
    return s;
}

static status reorder(const conv *c, dnnl_primitive_t primitive, const dnnl_memory_desc_t *from_desc, const void *from,
                      const dnnl_memory_desc_t *to_desc, void *to)
{
    arguments a = {0};
    add_argument(&a, c, DNNL_ARG_FROM, from_desc, from);
    add_argument(&a, c, DNNL_ARG_TO, to_desc, to);
    return execute(c, primitive, &a);
}

static const dnnl_memory_desc_t *description_of(const primitive *p, int argument)
{
    return dnnl_primitive_desc_query_md(p->description, dnnl_query_exec_arg_md, argument);
}

status conv_forward(const conv *c, const void *x, void *y, void *scratch)
{
    arguments a = {0};
    add_argument(&a, c, DNNL_ARG_SRC, &c->source, x);
    add_argument(&a, c, DNNL_ARG_WEIGHTS, &c->forward.weights, c->packed_forward);
    if (c->has_bias) add_argument(&a, c, DNNL_ARG_BIAS, description_of(&c->forward, DNNL_ARG_BIAS), c->bias);
    add_argument(&a, c, DNNL_ARG_DST, description_of(&c->forward, DNNL_ARG_DST), y);
    add_argument(&a, c, DNNL_ARG_SCRATCHPAD, description_of(&c->forward, DNNL_ARG_SCRATCHPAD), scratch);
    return execute(c, c->forward.handle, &a);
}

/* ---- weights between rest and work ---- */

/* One filter's channel c of the input map is physical channel physical_of(...). Walks runs; called in order of c. */
typedef struct walk {
    const map *m;
    int run, in_run, physical_start;
} walk;

static int next_physical(walk *w)
{
    const channel_run *r = &w->m->run[w->run];
    if (w->in_run == r->logical) {
        w->physical_start += r->physical;
        w->run++;
        w->in_run = 0;
    }
    return w->physical_start + w->in_run++;
}

/* The factor that folding a norm puts on output channel o. */
static float fold_scale(const conv_filter *f, int o)
{
    return f->gamma ? f->gamma[o] / sqrtf(f->variance[o] + f->eps) : 1.0f;
}

/* Weights at rest to physical channels. Rows of holes stay zero. */
static void spread_weights(conv *c)
{
    int kernel = c->o.shape.kernel_h * c->o.shape.kernel_w, inputs = c->in.channels / c->o.shape.groups;
    int in_physical = c->in_channels / c->o.shape.groups, first = 0, block = c->d->kernels->block;
    for (int f = 0; f < c->o.filters; f++) {
        const conv_filter *filter = &c->o.filter[f];
        for (int o = 0; o < c->out[f].channels; o++) {
            float scale = fold_scale(filter, o);
            const float *from = filter->weight + (int64_t)o * inputs * kernel;
            float *to = c->plain_weights + (int64_t)(first + o) * in_physical * kernel;
            walk w = {.m = &c->in};
            for (int i = 0; i < inputs; i++, from += kernel) {
                float *at = to + (int64_t)next_physical(&w) * kernel;
                for (int k = 0; k < kernel; k++) at[k] = from[k] * scale;
            }
        }
        first += c->out[f].blocks * block;
    }
}

/* Gradients of physical channels onto those at rest. */
static void collect_gradients(conv *c)
{
    int kernel = c->o.shape.kernel_h * c->o.shape.kernel_w, inputs = c->in.channels / c->o.shape.groups;
    int in_physical = c->in_channels / c->o.shape.groups, first = 0, block = c->d->kernels->block;
    for (int f = 0; f < c->o.filters; f++) {
        for (int o = 0; o < c->out[f].channels; o++) {
            float *to = c->o.filter[f].weight_gradient + (int64_t)o * inputs * kernel;
            const float *from = c->plain_weights + (int64_t)(first + o) * in_physical * kernel;
            walk w = {.m = &c->in};
            for (int i = 0; i < inputs; i++, to += kernel) {
                const float *at = from + (int64_t)next_physical(&w) * kernel;
                for (int k = 0; k < kernel; k++) to[k] += at[k];
            }
        }
        first += c->out[f].blocks * block;
    }
}

static void spread_biases(conv *c)
{
    int first = 0;
    for (int f = 0; f < c->o.filters; f++) {
        const conv_filter *filter = &c->o.filter[f];
        for (int o = 0; o < c->out[f].channels; o++) {
            float bias = filter->bias ? filter->bias[o] : 0;
            if (filter->gamma) bias = filter->beta[o] + (bias - filter->mean[o]) * fold_scale(filter, o);
            c->bias[first + o] = bias;
        }
        first += c->out[f].blocks * c->d->kernels->block;
    }
}

status conv_pack(conv *c)
{
    if (c->has_bias) spread_biases(c);
    if (!c->direct) {
        memset(c->plain_weights, 0, (size_t)packed_size(&c->plain)); /* it held gradients */
        spread_weights(c);
    }
    const float *plain = c->direct ? c->o.filter[0].weight : c->plain_weights;
    TRY(reorder(c, c->pack_forward, &c->plain, plain, &c->forward.weights, c->packed_forward));
    return c->pack_data ? reorder(c, c->pack_data, &c->plain, plain, &c->data.weights, c->packed_data) : OK;
}

static status backward_data(const conv *c, const void *dy, void *dx, void *scratch)
{
    arguments a = {0};
    add_argument(&a, c, DNNL_ARG_DIFF_DST, &c->destination, dy);
    add_argument(&a, c, DNNL_ARG_WEIGHTS, &c->data.weights, c->packed_data);
    add_argument(&a, c, DNNL_ARG_DIFF_SRC, &c->source, dx);
    add_argument(&a, c, DNNL_ARG_SCRATCHPAD, description_of(&c->data, DNNL_ARG_SCRATCHPAD), scratch);
    return execute(c, c->data.handle, &a);
}

static status backward_weights(const conv *c, const void *x, const void *dy, void *scratch)
{
    arguments a = {0};
    add_argument(&a, c, DNNL_ARG_SRC, &c->source, x);
    add_argument(&a, c, DNNL_ARG_DIFF_DST, &c->destination, dy);
    add_argument(&a, c, DNNL_ARG_DIFF_WEIGHTS, &c->weights.weights, c->packed_gradient);
    if (c->has_bias)
        add_argument(&a, c, DNNL_ARG_DIFF_BIAS, description_of(&c->weights, DNNL_ARG_DIFF_BIAS), c->bias_gradient);
    add_argument(&a, c, DNNL_ARG_SCRATCHPAD, description_of(&c->weights, DNNL_ARG_SCRATCHPAD), scratch);
    return execute(c, c->weights.handle, &a);
}

status conv_backward(conv *c, const void *x, const void *dy, void *dx, void *scratch)
{
    TRY(backward_weights(c, x, dy, scratch));
    float *plain = c->direct ? c->o.filter[0].weight_gradient : c->plain_weights;
    TRY(reorder(c, c->unpack, &c->weights.weights, c->packed_gradient, &c->plain, plain));
    if (!c->direct) collect_gradients(c);
    int first = 0;
    for (int f = 0; c->has_bias && f < c->o.filters; f++) {
        for (int o = 0; o < c->out[f].channels; o++) c->o.filter[f].bias_gradient[o] += c->bias_gradient[first + o];
        first += c->out[f].blocks * c->d->kernels->block;
    }
    return c->o.data_gradient ? backward_data(c, dy, dx, scratch) : OK;
}
