#include "worker/backend/cpu/conv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/primitive.h"
#include "worker/backend/cpu/winograd.h"

struct conv {
    conv_options o;
    device *d;
    map in, out[FILTERS_MOST];     /* copies: the network is gone when the plan runs */
    int in_channels, out_channels; /* physical, all filters together */
    bool direct;                   /* weights at rest can be packed as they are: one filter, no holes */
    bool has_bias;
    dnnl_memory_desc_t source, destination, plain; /* plain: weights as at rest, but with physical channels */
    primitive forward, data, weights, pack_forward, pack_data, unpack;
    dnnl_memory_desc_t forward_weights, data_weights, weights_gradient; /* their layouts */
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

static status describe_pass(const conv *c, conv_pass which, dnnl_alg_kind_t way, dnnl_convolution_desc_t *out)
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
        return dnnl_check(dnnl_convolution_forward_desc_init(out, kind, way, &c->source, &w, b, &y, strides, pads,
                                                             pads),
                          "describe a convolution");
    }
    if (which == PASS_DATA)
        return dnnl_check(dnnl_convolution_backward_data_desc_init(out, way, &c->source, &w, &y, strides, pads, pads),
                          "describe a convolution's gradient");
    return dnnl_check(dnnl_convolution_backward_weights_desc_init(out, way, &c->source, &w, b, &y, strides, pads, pads),
                      "describe a convolution's weight gradient");
}

static status make_in_way(conv *c, conv_pass which, dnnl_alg_kind_t way, primitive *out)
{
    dnnl_convolution_desc_t description;
    dnnl_primitive_attr_t attributes = NULL;
    TRY(describe_pass(c, which, way, &description));
    status s = make_attributes(&c->o, &attributes);
    const primitive *hint = which == PASS_FORWARD ? NULL : &c->forward;
    if (s == OK) s = primitive_create(c->d, &description, attributes, hint, out);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return s;
}

/* By Winograd's way where that pays and there is code for it; *layout: of the weights. */
static status make_pass(conv *c, conv_pass which, primitive *out, dnnl_memory_desc_t *layout)
{
    const conv_options *o = &c->o;
    bool quick = o->training && !o->bf16 &&
                 winograd_pays(&o->shape, which, o->images, c->in_channels, c->out_channels, c->in.height, c->in.width);
    status s = quick ? make_in_way(c, which, dnnl_convolution_winograd, out) : ERR_UNSUPPORTED;
    if (s == ERR_UNSUPPORTED) s = make_in_way(c, which, dnnl_convolution_direct, out);
    if (s == OK) *layout = *primitive_argument(out, which == PASS_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS);
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
    TRY(make_pass(c, PASS_FORWARD, &c->forward, &c->forward_weights));
    TRY(take(packed_size(&c->forward_weights), &c->packed_forward));
    TRY(primitive_create_reorder(c->d, &c->plain, &c->forward_weights, false, &c->pack_forward));
    if (!c->o.training) return OK;
    if (c->o.data_gradient) {
        TRY(make_pass(c, PASS_DATA, &c->data, &c->data_weights));
        TRY(take(packed_size(&c->data_weights), &c->packed_data));
        TRY(primitive_create_reorder(c->d, &c->plain, &c->data_weights, false, &c->pack_data));
    }
    TRY(make_pass(c, PASS_WEIGHTS, &c->weights, &c->weights_gradient));
    TRY(take(packed_size(&c->weights_gradient), &c->packed_gradient));
    return primitive_create_reorder(c->d, &c->weights_gradient, &c->plain, c->direct, &c->unpack);
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

void conv_destroy(conv **out)
{
    conv *c = *out;
    if (!c) return;
    primitive_free(&c->forward);
    primitive_free(&c->data);
    primitive_free(&c->weights);
    primitive_free(&c->pack_forward);
    primitive_free(&c->pack_data);
    primitive_free(&c->unpack);
    free(c->packed_forward);
    free(c->packed_data);
    free(c->packed_gradient);
    free(c->bias);
    free(c->bias_gradient);
    free(c->plain_weights);
    free(c);
    *out = NULL;
}

size_t conv_scratch(const conv *c)
{
    size_t a = primitive_scratch(&c->forward), b = primitive_scratch(&c->data), w = primitive_scratch(&c->weights);
    a = a > b ? a : b;
    return a > w ? a : w;
}

int64_t conv_memory(const conv *c)
{
    int64_t bytes = packed_size(&c->forward_weights);
    if (c->data.handle) bytes += packed_size(&c->data_weights);
    if (c->weights.handle) bytes += packed_size(&c->weights_gradient);
    return bytes + (c->plain_weights ? packed_size(&c->plain) : 0);
}

const char *conv_implementation(const conv *c)
{
    const char *name = "?";
    dnnl_primitive_desc_query(c->forward.description, dnnl_query_impl_info_str, 0, (void *)&name);
    return name;
}

/* ---- running ---- */

static status reorder(const conv *c, const primitive *p, const dnnl_memory_desc_t *from_layout, const void *from,
                      const dnnl_memory_desc_t *to_layout, void *to)
{
    primitive_call call = {.d = c->d};
    primitive_pass(&call, DNNL_ARG_FROM, from_layout, from);
    primitive_pass(&call, DNNL_ARG_TO, to_layout, to);
    return primitive_run(p, &call);
}

/* An argument in the layout that the pass wants it in. */
static void pass_as_wanted(primitive_call *call, const primitive *p, int argument, const void *memory)
{
    primitive_pass(call, argument, primitive_argument(p, argument), memory);
}

status conv_forward(const conv *c, const void *x, void *y, void *scratch)
{
    primitive_call call = {.d = c->d};
    primitive_pass(&call, DNNL_ARG_SRC, &c->source, x);
    primitive_pass(&call, DNNL_ARG_WEIGHTS, &c->forward_weights, c->packed_forward);
    if (c->has_bias) pass_as_wanted(&call, &c->forward, DNNL_ARG_BIAS, c->bias);
    pass_as_wanted(&call, &c->forward, DNNL_ARG_DST, y);
    pass_as_wanted(&call, &c->forward, DNNL_ARG_SCRATCHPAD, scratch);
    return primitive_run(&c->forward, &call);
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
    TRY(reorder(c, &c->pack_forward, &c->plain, plain, &c->forward_weights, c->packed_forward));
    return c->data.handle ? reorder(c, &c->pack_data, &c->plain, plain, &c->data_weights, c->packed_data) : OK;
}

static status backward_data(const conv *c, const void *dy, void *dx, void *scratch)
{
    primitive_call call = {.d = c->d};
    primitive_pass(&call, DNNL_ARG_DIFF_DST, &c->destination, dy);
    primitive_pass(&call, DNNL_ARG_WEIGHTS, &c->data_weights, c->packed_data);
    primitive_pass(&call, DNNL_ARG_DIFF_SRC, &c->source, dx);
    pass_as_wanted(&call, &c->data, DNNL_ARG_SCRATCHPAD, scratch);
    return primitive_run(&c->data, &call);
}

static status backward_weights(const conv *c, const void *x, const void *dy, void *scratch)
{
    primitive_call call = {.d = c->d};
    primitive_pass(&call, DNNL_ARG_SRC, &c->source, x);
    primitive_pass(&call, DNNL_ARG_DIFF_DST, &c->destination, dy);
    primitive_pass(&call, DNNL_ARG_DIFF_WEIGHTS, &c->weights_gradient, c->packed_gradient);
    if (c->has_bias) pass_as_wanted(&call, &c->weights, DNNL_ARG_DIFF_BIAS, c->bias_gradient);
    pass_as_wanted(&call, &c->weights, DNNL_ARG_SCRATCHPAD, scratch);
    return primitive_run(&c->weights, &call);
}

status conv_backward(conv *c, const void *x, const void *dy, void *dx, void *scratch)
{
    TRY(backward_weights(c, x, dy, scratch));
    return c->o.data_gradient ? backward_data(c, dy, dx, scratch) : OK;
}

status conv_collect(conv *c)
{
    float *plain = c->direct ? c->o.filter[0].weight_gradient : c->plain_weights;
    TRY(reorder(c, &c->unpack, &c->weights_gradient, c->packed_gradient, &c->plain, plain));
    if (!c->direct) collect_gradients(c);
    int first = 0;
    for (int f = 0; c->has_bias && f < c->o.filters; f++) {
        for (int o = 0; o < c->out[f].channels; o++) c->o.filter[f].bias_gradient[o] += c->bias_gradient[first + o];
        first += c->out[f].blocks * c->d->kernels->block;
    }
    return OK;
}
