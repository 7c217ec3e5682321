/* config_layer.c - one layer of a model yaml: its module, and what its arguments mean.
 *
 * Source: parse_model() of models/yolo.py, the constructors in models/common.py and models/experimental.py. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/log.h"
#include "worker/model/config_inner.h"

/* What args mean, position by position, after the output channels. */
typedef enum argument_kind {
    ARG_END, /* no more */
    ARG_KERNEL,
    ARG_STRIDE,
    ARG_PAD,
    ARG_GROUPS,
    ARG_ACTIVATION,
    ARG_SHORTCUT,
    ARG_EXPANSION,
    ARG_POOLS,
    ARG_KERNELS,
    ARG_EQUAL,
    ARG_IGNORED, /* checked elsewhere, or of no effect */
} argument_kind;

enum { ARGUMENTS_MOST = 6 };

/* The modules: the name in a yaml, the reference's own, whether the first argument is the number of output channels, what follows
 * it, and whether the module came later than 2020-08-31. */
/* clang-format off */
static const struct {
    const char *name, *full_name;
    bool has_channels;
    argument_kind arguments[ARGUMENTS_MOST];
    bool later;
} modules[MODULE_KINDS] = {
    [MODULE_FOCUS] = {"Focus", "models.common.Focus", true,
                      {ARG_KERNEL, ARG_STRIDE, ARG_PAD, ARG_GROUPS, ARG_ACTIVATION}, false},
    [MODULE_CONV] = {"Conv", "models.common.Conv", true,
                     {ARG_KERNEL, ARG_STRIDE, ARG_PAD, ARG_GROUPS, ARG_ACTIVATION}, false},
    [MODULE_DWCONV] = {"DWConv", "models.common.DWConv", true, {ARG_KERNEL, ARG_STRIDE, ARG_ACTIVATION}, false},
    [MODULE_BOTTLENECK] = {"Bottleneck", "models.common.Bottleneck", true,
                           {ARG_SHORTCUT, ARG_GROUPS, ARG_EXPANSION}, false},
    [MODULE_BOTTLENECK_CSP] = {"BottleneckCSP", "models.common.BottleneckCSP", true,
                               {ARG_SHORTCUT, ARG_GROUPS, ARG_EXPANSION}, false},
    [MODULE_CROSS_CONV] = {"CrossConv", "models.experimental.CrossConv", true,
                           {ARG_KERNEL, ARG_STRIDE, ARG_GROUPS, ARG_EXPANSION, ARG_SHORTCUT}, false},
    [MODULE_CROSS_C3] = {"C3", "models.experimental.C3", true, {ARG_SHORTCUT, ARG_GROUPS, ARG_EXPANSION}, false},
    [MODULE_C3] = {"C3", "models.common.C3", true, {ARG_SHORTCUT, ARG_GROUPS, ARG_EXPANSION}, true},
    [MODULE_MIX_CONV] = {"MixConv2d", "models.experimental.MixConv2d", true,
                         {ARG_KERNELS, ARG_STRIDE, ARG_EQUAL}, false},
    [MODULE_SPP] = {"SPP", "models.common.SPP", true, {ARG_POOLS}, false},
    [MODULE_SPPF] = {"SPPF", "models.common.SPPF", true, {ARG_KERNEL}, true},
    [MODULE_CONCAT] = {"Concat", "models.common.Concat", false, {ARG_IGNORED}, false},
    [MODULE_UPSAMPLE] = {"nn.Upsample", "torch.nn.modules.upsampling.Upsample", false,
                         {ARG_IGNORED, ARG_IGNORED, ARG_IGNORED}, false},
    [MODULE_CONV2D] = {"nn.Conv2d", "torch.nn.modules.conv.Conv2d", true, {ARG_KERNEL, ARG_STRIDE, ARG_PAD}, false},
    [MODULE_BATCH_NORM] = {"nn.BatchNorm2d", "torch.nn.modules.batchnorm.BatchNorm2d", false, {ARG_IGNORED}, false},
    [MODULE_MAXPOOL] = {"nn.MaxPool2d", "torch.nn.modules.pooling.MaxPool2d", false,
                        {ARG_KERNEL, ARG_STRIDE, ARG_PAD}, false},
    [MODULE_DETECT] = {"Detect", "models.yolo.Detect", false, {ARG_IGNORED, ARG_IGNORED}, false},
};
/* clang-format on */

const char *module_name(module_kind kind)
{
    return modules[kind].full_name;
}

bool config_is_later_module(const char *name)
{
    for (int kind = 0; kind < MODULE_KINDS; kind++) /* C3 is a name of both times */
        if (kind != MODULE_C3 && modules[kind].later && !strcmp(modules[kind].name, name)) return true;
    return false;
}

enum { CHANNELS_MOST = 1 << 16, REPEATS_MOST = 1000, KERNEL_MOST = 63 };

/* ---- one layer ---- */

static status read_from(const config_reader *r, const yaml_node *node, int index, layer *l)
{
    bool list = node->kind == YAML_LIST;
    size_t count = list ? node->count : 1;
    if (!count || count > LAYER_INPUTS)
        return yaml_fail(r->file, node, "from: 1 to %d layers were expected", LAYER_INPUTS);
    l->from_list = list;
    l->from_count = (int)count;
    for (size_t i = 0; i < count; i++) {
        int64_t from;
        TRY(yaml_need_int(r->file, list ? &node->items[i] : node, "from", -index - 1, index - 1, &from));
        l->from_written[i] = (int)from;
        l->from[i] = (int)(from < 0 ? index + from : from); /* -1 of layer 0 is the input */
    }
    return OK;
}

static status read_module(const config_reader *r, const yaml_node *node, layer *l)
{
    const char *name;
    TRY(yaml_need_string(r->file, node, "module", &name));
    for (int kind = 0; kind < MODULE_KINDS; kind++) {
        if (strcmp(modules[kind].name, name) || kind == (r->later_c3 ? MODULE_CROSS_C3 : MODULE_C3)) continue;
        l->kind = (module_kind)kind;
        if (kind == MODULE_CROSS_C3)
            log_warning("%s:%d: C3 is the stage of cross convolutions of 2020-08-31; a line 'activation: SiLU' in the "
                        "file makes "
                        "it that of later releases",
                        yaml_name(r->file), node->line);
        return OK;
    }
    return yaml_fail(r->file, node, "unknown module '%s'", name);
}

static status read_int(const config_reader *r, const yaml_node *node, const char *what, int low, int high, int *value)
{
    int64_t number;
    TRY(yaml_need_int(r->file, node, what, low, high, &number));
    *value = (int)number;
    return OK;
}

static status read_bool(const config_reader *r, const yaml_node *node, const char *what, bool *value)
{
    if (node->kind != YAML_BOOL) return yaml_fail(r->file, node, "%s: True or False was expected", what);
    *value = node->boolean;
    return OK;
}

/* A list of odd sizes, which keep a map's size when it is padded by half of them. */
static status read_sizes(const config_reader *r, const yaml_node *node, const char *what, layer *l)
{
    if (node->kind != YAML_LIST || node->count > LAYER_SIZES || !node->count)
        return yaml_fail(r->file, node, "1 to %d %ss were expected", LAYER_SIZES, what);
    l->sizes = (int)node->count;
    for (int i = 0; i < l->sizes; i++) {
        TRY(read_int(r, &node->items[i], what, 1, KERNEL_MOST, &l->size[i]));
        if (l->size[i] % 2 == 0) return yaml_fail(r->file, &node->items[i], "%s: an odd number was expected", what);
    }
    return OK;
}

static status read_expansion(const config_reader *r, const yaml_node *node, layer *l)
{
    TRY(yaml_need_double(r->file, node, "expansion", &l->expansion));
    bool good = l->expansion > 0 && l->expansion <= 16 && (int)(l->out * l->expansion) > 0;
    return good ? OK : yaml_fail(r->file, node, "expansion: a number that leaves some channels was expected, up to 16");
}

static status read_argument(const config_reader *r, const yaml_node *node, argument_kind kind, layer *l)
{
    switch (kind) {
    case ARG_KERNEL: return read_int(r, node, "kernel", 1, KERNEL_MOST, &l->kernel);
    case ARG_STRIDE: return read_int(r, node, "stride", 1, 16, &l->stride);
    case ARG_PAD:
        return node->kind == YAML_STRING || node->kind == YAML_NULL
                   ? OK
                   : read_int(r, node, "padding", 0, KERNEL_MOST, &l->pad);
    case ARG_GROUPS: return read_int(r, node, "groups", 1, CHANNELS_MOST, &l->groups);
    case ARG_ACTIVATION: return read_bool(r, node, "activation", &l->activation);
    case ARG_SHORTCUT: return read_bool(r, node, "shortcut", &l->shortcut);
    case ARG_EXPANSION: return read_expansion(r, node, l);
    case ARG_POOLS: return read_sizes(r, node, "pooling size", l);
    case ARG_KERNELS: return read_sizes(r, node, "kernel", l);
    case ARG_EQUAL: return read_bool(r, node, "equal channels", &l->equal);
    case ARG_IGNORED: return OK;
    case ARG_END: break;
    }
    return yaml_fail(r->file, node, "more arguments than %s has", modules[l->kind].name);
}

static int channels_of(const model_config *c, int from)
{
    return from < 0 ? 3 : c->layers[from].out;
}

/* round(n * gain) as Python does, at least 1; a single one stays single. */
static int scaled_repeats(int64_t number, double gain)
{
    double n = nearbyint((double)number * gain);
    return number > 1 ? n > 1 ? (int)n : 1 : (int)number;
}

/* Output channels: those of the head as they are, others times the width, up to a multiple of 8. */
static int scaled_channels(const config_reader *r, int64_t channels)
{
    int head = r->c->anchors * (r->c->classes + 5);
    if (channels == head) return (int)channels;
    return (int)ceil((double)channels * r->c->width_multiple / 8) * 8;
}

static status read_channels(const config_reader *r, const yaml_node *arguments, layer *l)
{
    int64_t channels;
    const yaml_node *first = arguments->count ? &arguments->items[0] : NULL;
    if (!first)
        return yaml_fail(r->file, arguments, "%s: the number of output channels was expected", modules[l->kind].name);
    TRY(yaml_need_int(r->file, first, "output channels", 1, CHANNELS_MOST, &channels));
    l->out = scaled_channels(r, channels);
    return OK;
}

/* What the constructors take when an argument is not given. */
static void set_defaults(layer *l)
{
    static const int pools[] = {5, 9, 13}, kernels[] = {1, 3};
    l->kernel = l->kind == MODULE_CROSS_CONV ? 3 : l->kind == MODULE_SPPF ? 5 : 1;
    l->stride = l->kind == MODULE_MAXPOOL ? 0 : 1; /* 0: as the window */
    l->pad = -1;                                   /* half of the kernel */
    l->groups = 1;
    l->activation = l->equal = true;
    l->shortcut = l->kind != MODULE_CROSS_CONV;
    l->expansion = l->kind == MODULE_CROSS_CONV ? 1 : 0.5;
    l->sizes = l->kind == MODULE_SPP ? 3 : l->kind == MODULE_MIX_CONV ? 2 : 0;
    memcpy(l->size, l->kind == MODULE_SPP ? pools : kernels, sizeof *l->size * (size_t)l->sizes);
}

static status read_arguments(const config_reader *r, const yaml_node *arguments, layer *l)
{
    size_t first = modules[l->kind].has_channels;
    set_defaults(l);
    if (first) TRY(read_channels(r, arguments, l));
    for (size_t i = first; i < arguments->count; i++) {
        size_t k = i - first;
        argument_kind kind = k < ARGUMENTS_MOST ? modules[l->kind].arguments[k] : ARG_END;
        TRY(read_argument(r, &arguments->items[i], kind, l));
    }
    return OK;
}

/* Stages, which repeat something inside. */
static bool is_stage(module_kind kind)
{
    return kind == MODULE_BOTTLENECK_CSP || kind == MODULE_CROSS_C3 || kind == MODULE_C3;
}

/* ---- the arguments as Python prints them ---- */

static void write_argument(text *out, const yaml_node *node)
{
    if (node->kind == YAML_LIST) {
        text_add(out, "[");
        for (size_t i = 0; i < node->count; i++) {
            if (i) text_add(out, ", ");
            write_argument(out, &node->items[i]);
        }
        text_add(out, "]");
    } else if (node->kind == YAML_BOOL) text_add(out, node->boolean ? "True" : "False");
    else if (node->kind == YAML_NULL || !strcmp(node->scalar, "None")) text_add(out, "None");
    else if (node->kind == YAML_STRING) text_add(out, "'%s'", node->scalar);
    else text_add(out, "%s", node->scalar);
}

/* [in, out, ...] for what has channels; a CSP stage's repetitions stand behind them; Detect's are its classes, anchors, inputs. */
static status write_arguments(const config_reader *r, const yaml_node *arguments, layer *l)
{
    text out = {0};
    text_add(&out, "[");
    size_t first = 0;
    if (modules[l->kind].has_channels) {
        text_add(&out, "%d, %d", l->in, l->out);
        if (is_stage(l->kind)) text_add(&out, ", %d", l->inner);
        first = 1;
    } else if (l->kind == MODULE_BATCH_NORM) text_add(&out, "%d", l->in);
    else if (l->kind == MODULE_DETECT) {
        text_add(&out, "%d, ", r->c->classes);
        write_argument(&out, yaml_get(r->root, "anchors"));
        text_add(&out, ", [");
        for (int i = 0; i < l->from_count; i++) text_add(&out, i ? ", %d" : "%d", channels_of(r->c, l->from[i]));
        text_add(&out, "]");
        first = arguments->count;
    }
    for (size_t i = first; i < arguments->count; i++) {
        if (i) text_add(&out, ", ");
        write_argument(&out, &arguments->items[i]);
    }
    text_add(&out, "]");
    TRY(text_status(&out));
    l->arguments = text_take(&out);
    return OK;
}

/* ---- modules that check more ---- */

static int common_divisor(int a, int b)
{
    while (b) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* MixConv2d: output channels of each kernel. Equal ones are counted as the reference does, in torch.linspace's float32; others get
 * as many weights each, which is what its least squares come to. */
static status split_channels(const config_reader *r, const yaml_node *node, layer *l)
{
    double weights = 0;
    int sum = 0;
    float end = (float)(l->sizes - 1e-6), step = l->out > 1 ? end / (float)(l->out - 1) : 0;
    for (int k = 0; k < l->sizes; k++) weights += 1.0 / (l->size[k] * l->size[k]);
    for (int i = 0; l->equal && i < l->out; i++)
        l->part[(int)(i < l->out / 2 ? step * (float)i : end - step * (float)(l->out - 1 - i))]++;
    for (int k = 0; k < l->sizes; k++) {
        if (!l->equal) l->part[k] = (int)nearbyint(l->out / weights / (l->size[k] * l->size[k]));
        if (l->part[k] < 1)
            return yaml_fail(r->file, node, "MixConv2d: no channels are left for kernel %d", l->size[k]);
        sum += l->part[k];
    }
    return sum == l->out ? OK : yaml_fail(r->file, node, "MixConv2d: %d channels cannot be split like this", l->out);
}

static status finish_layer(config_reader *r, const yaml_node *node, layer *l)
{
    if (l->from_count > 1 && l->kind != MODULE_CONCAT && l->kind != MODULE_DETECT)
        return yaml_fail(r->file, node, "%s reads one layer", modules[l->kind].name);
    l->in = channels_of(r->c, l->from[0]);
    if (!modules[l->kind].has_channels) l->out = l->in;
    switch (l->kind) {
    case MODULE_CONCAT:
        for (int i = 1; i < l->from_count; i++) l->in += channels_of(r->c, l->from[i]);
        l->out = l->in;
        break;
    case MODULE_FOCUS:
        if (l->from[0] >= 0) return yaml_fail(r->file, node, "Focus is for the first layer");
        break;
    case MODULE_DWCONV: l->groups = common_divisor(l->in, l->out); break; /* as many groups as there can be */
    case MODULE_MIX_CONV:
        if (l->in != l->out || l->stride != 1)
            return yaml_fail(r->file, node, "MixConv2d adds its input: %d channels and stride 1 were expected", l->in);
        return split_channels(r, node, l);
    case MODULE_MAXPOOL:
        if (!l->stride) l->stride = l->kernel;
        if (l->pad < 0) l->pad = 0;
        if (2 * l->pad > l->kernel) return yaml_fail(r->file, node, "nn.MaxPool2d: padding of at most half the kernel");
        break;
    default: break;
    }
    if (is_stage(l->kind)) {
        l->inner = l->repeats;
        l->repeats = 1;
    }
    return OK;
}

static status check_upsample(const config_reader *r, const yaml_node *arguments)
{
    bool good = arguments->count == 3 && arguments->items[1].kind == YAML_INT && arguments->items[1].integer == 2 &&
                arguments->items[2].scalar && !strcmp(arguments->items[2].scalar, "nearest");
    return good ? OK : yaml_fail(r->file, arguments, "nn.Upsample: [None, 2, 'nearest'] was expected");
}

static status check_detect(config_reader *r, const yaml_node *node, const layer *l)
{
    if (!r->c->levels) r->c->levels = l->from_count;
    if (l->from_count != r->c->levels)
        return yaml_fail(r->file, node, "Detect reads %d layers, but there are anchors for %d", l->from_count,
                         r->c->levels);
    return OK;
}

status config_read_layer(config_reader *r, const yaml_node *node)
{
    model_config *c = r->c;
    if (node->kind != YAML_LIST || node->count != 4 || node->items[3].kind != YAML_LIST)
        return yaml_fail(r->file, node, "a layer is [from, number, module, args]");
    TRY(array_room(&c->layers, &c->room, c->count + 1));
    layer *l = &c->layers[c->count];
    *l = (layer){.line = node->line};
    int64_t number;
    TRY(read_from(r, &node->items[0], (int)c->count, l));
    TRY(yaml_need_int(r->file, &node->items[1], "number", 1, REPEATS_MOST, &number));
    TRY(read_module(r, &node->items[2], l));
    l->repeats = scaled_repeats(number, c->depth_multiple);
    const yaml_node *arguments = &node->items[3];
    TRY(read_arguments(r, arguments, l));
    if (l->kind == MODULE_UPSAMPLE) TRY(check_upsample(r, arguments));
    if (l->kind == MODULE_DETECT) TRY(check_detect(r, node, l));
    TRY(finish_layer(r, node, l));
    c->count++;
    return write_arguments(r, arguments, l);
}
