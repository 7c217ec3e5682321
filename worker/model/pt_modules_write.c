/* pt_modules_write.c - each module as the reference's object, with the attributes that its constructor and torch's give it. */
#include <stdio.h>

#include "worker/model/pt_model_write_inner.h"

static void put_key_pair(pt_writer *w, const char *key, int a, int b)
{
    pt_put_string(w, key);
    pt_put_start(w, PT_TUPLE);
    pt_put_int(w, a);
    pt_put_int(w, b);
    pt_put_end(w);
}

static void put_tensor(pt_module_writer *o, const prefix *p, const char *name, bool parameter)
{
    prefix full = module_below(p, name);
    pt_put_string(o->w, name);
    if (o->result == OK) o->result = o->from->tensor(o->from->state, o->w, full.text, parameter);
}

/* ---- modules of torch ---- */

typedef struct conv_shape {
    int in, out, height, width, stride_h, stride_w, pad_h, pad_w, groups;
} conv_shape;

/* Padded so that it keeps the size. */
static conv_shape square(int in, int out, int kernel, int stride, int groups)
{
    return (conv_shape){in, out, kernel, kernel, stride, stride, kernel / 2, kernel / 2, groups};
}

static void start_conv2d(pt_module_writer *o, const prefix *p, conv_shape c, bool bias)
{
    pt_start_module(o, "torch.nn.modules.conv.Conv2d");
    pt_start_dict(o->w, "_parameters");
    put_tensor(o, p, "weight", true);
    if (bias) put_tensor(o, p, "bias", true);
    else pt_put_key_none(o->w, "bias");
    pt_put_end(o->w);
    pt_put_empty_dict(o->w, "_buffers");
    pt_put_empty_dict(o->w, "_modules");
    pt_put_key_int(o->w, "in_channels", c.in);
    pt_put_key_int(o->w, "out_channels", c.out);
    put_key_pair(o->w, "kernel_size", c.height, c.width);
    put_key_pair(o->w, "stride", c.stride_h, c.stride_w);
    put_key_pair(o->w, "padding", c.pad_h, c.pad_w);
    put_key_pair(o->w, "dilation", 1, 1);
    pt_put_key_bool(o->w, "transposed", false);
    put_key_pair(o->w, "output_padding", 0, 0);
    pt_put_key_int(o->w, "groups", c.groups);
    pt_put_key_string(o->w, "padding_mode", "zeros");
    pt_put_string(o->w, "_reversed_padding_repeated_twice");
    pt_put_start(o->w, PT_TUPLE);
    for (int i = 0; i < 4; i++) pt_put_int(o->w, i < 2 ? c.pad_w : c.pad_h);
    pt_put_end(o->w);
}

static void put_conv2d(pt_module_writer *o, const prefix *p, const char *name, conv_shape c, bool bias)
{
    prefix own = module_below(p, name);
    pt_put_string(o->w, name);
    start_conv2d(o, &own, c, bias);
    pt_put_end(o->w);
}

static void start_norm(pt_module_writer *o, const prefix *p, int channels)
{
    pt_start_module(o, "torch.nn.modules.batchnorm.BatchNorm2d");
    pt_start_dict(o->w, "_parameters");
    put_tensor(o, p, "weight", true);
    put_tensor(o, p, "bias", true);
    pt_put_end(o->w);
    pt_start_dict(o->w, "_buffers");
    put_tensor(o, p, "running_mean", false);
    put_tensor(o, p, "running_var", false);
    put_tensor(o, p, "num_batches_tracked", false);
    pt_put_end(o->w);
    pt_put_empty_dict(o->w, "_modules");
    pt_put_key_int(o->w, "num_features", channels);
    pt_put_key_double(o->w, "eps", 1e-3);
    pt_put_key_double(o->w, "momentum", 0.03);
    pt_put_key_bool(o->w, "affine", true);
    pt_put_key_bool(o->w, "track_running_stats", true);
}

static void put_norm(pt_module_writer *o, const prefix *p, int channels)
{
    prefix own = module_below(p, "bn");
    pt_put_string(o->w, "bn");
    start_norm(o, &own, channels);
    pt_put_end(o->w);
}

static void put_activation(pt_module_writer *o, activation kind)
{
    static const char *const classes[] = {
        [ACTIVATION_HARDSWISH] = "torch.nn.modules.activation.Hardswish",
        [ACTIVATION_LEAKY_RELU] = "torch.nn.modules.activation.LeakyReLU",
        [ACTIVATION_SILU] = "torch.nn.modules.activation.SiLU",
        [ACTIVATION_RELU] = "torch.nn.modules.activation.ReLU",
    };
    pt_put_string(o->w, "act");
    pt_start_leaf(o, classes[kind]);
    if (kind == ACTIVATION_LEAKY_RELU) pt_put_key_double(o->w, "negative_slope", 0.1);
    pt_put_key_bool(o->w, "inplace", kind != ACTIVATION_HARDSWISH);
    pt_put_end(o->w);
}

static void start_pool(pt_module_writer *o, int kernel, int stride, int pad)
{
    pt_start_leaf(o, "torch.nn.modules.pooling.MaxPool2d");
    pt_put_key_int(o->w, "kernel_size", kernel);
    pt_put_key_int(o->w, "stride", stride);
    pt_put_key_int(o->w, "padding", pad);
    pt_put_key_int(o->w, "dilation", 1);
    pt_put_key_bool(o->w, "return_indices", false);
    pt_put_key_bool(o->w, "ceil_mode", false);
}

static void start_upsample(pt_module_writer *o)
{
    pt_start_leaf(o, "torch.nn.modules.upsampling.Upsample");
    pt_put_key_string(o->w, "name", "Upsample");
    pt_put_key_none(o->w, "size");
    pt_put_key_double(o->w, "scale_factor", 2);
    pt_put_key_string(o->w, "mode", "nearest");
    pt_put_key_none(o->w, "align_corners");
    pt_put_key_none(o->w, "recompute_scale_factor");
}

/* ---- modules of the reference ---- */

static void start_conv(pt_module_writer *o, const prefix *p, const char *class, conv_shape c, bool activated)
{
    pt_start_parent(o, class);
    put_conv2d(o, p, "conv", c, false);
    put_norm(o, p, c.out);
    if (activated) put_activation(o, o->from->m->config.activation);
    else {
        pt_put_string(o->w, "act");
        pt_start_leaf(o, "torch.nn.modules.linear.Identity");
        pt_put_end(o->w);
    }
    pt_put_end(o->w);
}

static void put_conv(pt_module_writer *o, const prefix *p, const char *name, conv_shape c, bool activated)
{
    prefix own = module_below(p, name);
    pt_put_string(o->w, name);
    start_conv(o, &own, "models.common.Conv", c, activated);
    pt_put_end(o->w);
}

static void start_bottleneck(pt_module_writer *o, const prefix *p, const layer *l, int in, int out, double expansion)
{
    int hidden = (int)(out * expansion);
    pt_start_parent(o, "models.common.Bottleneck");
    put_conv(o, p, "cv1", square(in, hidden, 1, 1, 1), true);
    put_conv(o, p, "cv2", square(hidden, out, 3, 1, l->groups), true);
    pt_put_end(o->w);
    pt_put_key_bool(o->w, "add", l->shortcut && in == out);
}

static void start_cross(pt_module_writer *o, const prefix *p, const layer *l, int in, int out, int kernel, int stride,
                        double expansion)
{
    int hidden = (int)(out * expansion);
    pt_start_parent(o, "models.experimental.CrossConv");
    put_conv(o, p, "cv1", (conv_shape){in, hidden, 1, kernel, 1, stride, 0, kernel / 2, 1}, true);
    put_conv(o, p, "cv2", (conv_shape){hidden, out, kernel, 1, stride, 1, kernel / 2, 0, l->groups}, true);
    pt_put_end(o->w);
    pt_put_key_bool(o->w, "add", l->shortcut && in == out);
}

/* "m": a Sequential of what a stage repeats. */
static void put_inner(pt_module_writer *o, const prefix *p, const layer *l, int hidden)
{
    prefix inner = module_below(p, "m");
    char number[16];
    pt_put_string(o->w, "m");
    pt_start_parent(o, "torch.nn.modules.container.Sequential");
    for (int i = 0; i < l->inner; i++) {
        prefix one = module_numbered(&inner, i);
        snprintf(number, sizeof number, "%d", i);
        pt_put_string(o->w, number);
        if (l->kind == MODULE_CROSS_C3) start_cross(o, &one, l, hidden, hidden, 3, 1, 1);
        else start_bottleneck(o, &one, l, hidden, hidden, 1);
        pt_put_end(o->w);
    }
    pt_put_end(o->w);
    pt_put_end(o->w);
}

static void start_stage(pt_module_writer *o, const prefix *p, const layer *l, int in)
{
    int hidden = (int)(l->out * l->expansion);
    pt_start_parent(o, module_name(l->kind));
    put_conv(o, p, "cv1", square(in, hidden, 1, 1, 1), true);
    if (l->kind == MODULE_C3) {
        put_conv(o, p, "cv2", square(in, hidden, 1, 1, 1), true);
        put_conv(o, p, "cv3", square(2 * hidden, l->out, 1, 1, 1), true);
    } else {
        put_conv2d(o, p, "cv2", square(in, hidden, 1, 1, 1), false);
        put_conv2d(o, p, "cv3", square(hidden, hidden, 1, 1, 1), false);
        put_conv(o, p, "cv4", square(2 * hidden, l->out, 1, 1, 1), true);
        put_norm(o, p, 2 * hidden);
        put_activation(o, ACTIVATION_LEAKY_RELU);
    }
    put_inner(o, p, l, hidden);
    pt_put_end(o->w);
}

static void start_mix(pt_module_writer *o, const prefix *p, const layer *l, int in)
{
    prefix parts = module_below(p, "m");
    char number[16];
    pt_start_parent(o, module_name(l->kind));
    pt_put_string(o->w, "m");
    pt_start_parent(o, "torch.nn.modules.container.ModuleList");
    for (int i = 0; i < l->sizes; i++) {
        snprintf(number, sizeof number, "%d", i);
        put_conv2d(o, &parts, number, square(in, l->part[i], l->size[i], l->stride, 1), false);
    }
    pt_put_end(o->w);
    pt_put_end(o->w);
    put_norm(o, p, l->out);
    put_activation(o, ACTIVATION_LEAKY_RELU);
    pt_put_end(o->w);
}

static void start_spp(pt_module_writer *o, const prefix *p, const layer *l, int in)
{
    int pools = l->kind == MODULE_SPPF ? 3 : l->sizes;
    char number[16];
    pt_start_parent(o, module_name(l->kind));
    put_conv(o, p, "cv1", square(in, in / 2, 1, 1, 1), true);
    put_conv(o, p, "cv2", square(in / 2 * (pools + 1), l->out, 1, 1, 1), true);
    pt_put_string(o->w, "m");
    if (l->kind == MODULE_SPPF) start_pool(o, l->kernel, 1, l->kernel / 2);
    else {
        pt_start_parent(o, "torch.nn.modules.container.ModuleList");
        for (int i = 0; i < l->sizes; i++) {
            snprintf(number, sizeof number, "%d", i);
            pt_put_string(o->w, number);
            start_pool(o, l->size[i], 1, l->size[i] / 2);
            pt_put_end(o->w);
        }
        pt_put_end(o->w);
    }
    pt_put_end(o->w);
    pt_put_end(o->w);
}

static void start_detect(pt_module_writer *o, const prefix *p, const layer *l)
{
    static const float zero[1];
    const model_config *c = &o->from->m->config;
    prefix heads = module_below(p, "m");
    char number[16];
    pt_start_module(o, module_name(l->kind));
    pt_put_empty_dict(o->w, "_parameters");
    pt_start_dict(o->w, "_buffers");
    put_tensor(o, p, "anchors", false);
    put_tensor(o, p, "anchor_grid", false);
    pt_put_end(o->w);
    pt_start_dict(o->w, "_modules");
    pt_put_string(o->w, "m");
    pt_start_parent(o, "torch.nn.modules.container.ModuleList");
    for (int i = 0; i < c->levels; i++) {
        snprintf(number, sizeof number, "%d", i);
        put_conv2d(o, &heads, number, square(c->layers[l->from[i]].out, c->anchors * (5 + c->classes), 1, 1, 1), true);
    }
    pt_put_end(o->w);
    pt_put_end(o->w);
    pt_put_end(o->w);
    pt_put_key_int(o->w, "nc", c->classes);
    pt_put_key_int(o->w, "no", c->classes + 5);
    pt_put_key_int(o->w, "nl", c->levels);
    pt_put_key_int(o->w, "na", c->anchors);
    pt_put_string(o->w, "grid");
    pt_put_start(o->w, PT_LIST);
    for (int i = 0; i < c->levels; i++) pt_put_floats(o->w, PT_FLOAT, 1, (int64_t[]){1}, zero);
    pt_put_end(o->w);
    pt_put_strides(o);
}

/* ---- any layer ---- */

void pt_start_layer(pt_module_writer *o, const prefix *p, const layer *l, int in)
{
    conv_shape own = square(in, l->out, l->kernel, l->stride, l->groups);
    if (l->pad >= 0) own.pad_h = own.pad_w = l->pad;
    conv_shape focus = own;
    switch (l->kind) {
    case MODULE_FOCUS:
        focus.in = 4 * in;
        pt_start_parent(o, module_name(l->kind));
        put_conv(o, p, "conv", focus, l->activation);
        pt_put_end(o->w);
        break;
    case MODULE_CONV:
    case MODULE_DWCONV: start_conv(o, p, "models.common.Conv", own, l->activation); break; /* DWConv makes a Conv */
    case MODULE_BOTTLENECK: start_bottleneck(o, p, l, in, l->out, l->expansion); break;
    case MODULE_CROSS_CONV: start_cross(o, p, l, in, l->out, l->kernel, l->stride, l->expansion); break;
    case MODULE_BOTTLENECK_CSP:
    case MODULE_CROSS_C3:
    case MODULE_C3: start_stage(o, p, l, in); break;
    case MODULE_MIX_CONV: start_mix(o, p, l, in); break;
    case MODULE_SPP:
    case MODULE_SPPF: start_spp(o, p, l, in); break;
    case MODULE_CONCAT:
        pt_start_leaf(o, module_name(l->kind));
        pt_put_key_int(o->w, "d", 1);
        break;
    case MODULE_UPSAMPLE: start_upsample(o); break;
    case MODULE_CONV2D:
        if (l->pad < 0) own.pad_h = own.pad_w = 0;
        start_conv2d(o, p, own, true);
        break;
    case MODULE_BATCH_NORM: start_norm(o, p, in); break;
    case MODULE_MAXPOOL: start_pool(o, l->kernel, l->stride, l->pad); break;
    case MODULE_DETECT: start_detect(o, p, l); break;
    case MODULE_KINDS: break;
    }
}
