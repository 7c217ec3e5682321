#include "worker/model/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/yaml.h"

/* What args mean, position by position, after the output channels. */
typedef enum argument_kind {
    ARG_KERNEL,
    ARG_STRIDE,
    ARG_PAD,
    ARG_GROUPS,
    ARG_ACTIVATION,
    ARG_SHORTCUT,
    ARG_EXPANSION,
    ARG_POOLS,
    ARG_END
} argument_kind;

enum { ARGUMENTS_MOST = 6 };

/* The modules: the name in a yaml, the reference's own, whether the first argument is the number of output channels, and what
 * follows it. */
static const struct {
    const char *name, *full_name;
    bool has_channels;
    argument_kind arguments[ARGUMENTS_MOST];
} modules[MODULE_KINDS] = {
    [MODULE_FOCUS] = {"Focus",
                      "models.common.Focus",
                      true,
                      {ARG_KERNEL, ARG_STRIDE, ARG_PAD, ARG_GROUPS, ARG_ACTIVATION, ARG_END}},
    [MODULE_CONV] = {"Conv",
                     "models.common.Conv",
                     true,
                     {ARG_KERNEL, ARG_STRIDE, ARG_PAD, ARG_GROUPS, ARG_ACTIVATION, ARG_END}},
    [MODULE_DWCONV] = {"DWConv", "models.common.DWConv", true, {ARG_KERNEL, ARG_STRIDE, ARG_ACTIVATION, ARG_END}},
    [MODULE_BOTTLENECK] = {"Bottleneck",
                           "models.common.Bottleneck",
                           true,
                           {ARG_SHORTCUT, ARG_GROUPS, ARG_EXPANSION, ARG_END}},
    [MODULE_BOTTLENECK_CSP] = {"BottleneckCSP",
                               "models.common.BottleneckCSP",
                               true,
                               {ARG_SHORTCUT, ARG_GROUPS, ARG_EXPANSION, ARG_END}},
    [MODULE_SPP] = {"SPP", "models.common.SPP", true, {ARG_POOLS, ARG_END}},
    [MODULE_CONCAT] = {"Concat", "models.common.Concat", false, {ARG_END}},
    [MODULE_UPSAMPLE] = {"nn.Upsample", "torch.nn.modules.upsampling.Upsample", false, {ARG_END}},
    [MODULE_CONV2D] = {"nn.Conv2d", "torch.nn.modules.conv.Conv2d", true, {ARG_KERNEL, ARG_STRIDE, ARG_PAD, ARG_END}},
    [MODULE_BATCH_NORM] = {"nn.BatchNorm2d", "torch.nn.modules.batchnorm.BatchNorm2d", false, {ARG_END}},
    [MODULE_DETECT] = {"Detect", "models.yolo.Detect", false, {ARG_END}},
};

const char *module_name(module_kind kind)
{
    return modules[kind].full_name;
}

enum { CHANNELS_MOST = 1 << 16, REPEATS_MOST = 1000, KERNEL_MOST = 63 };

typedef struct config_reader {
    const yaml *file;
    model_config *c;
} config_reader;

/* ---- numbers at the top ---- */

static status read_double(const config_reader *r, const yaml_node *root, const char *key, double *value)
{
    const yaml_node *node = yaml_get(root, key);
    if (!node) return yaml_fail(r->file, root, "%s is missing", key);
    TRY(yaml_need_double(r->file, node, key, value));
    return *value > 0 && *value < 100 ? OK : yaml_fail(r->file, node, "%s: a number above 0 was expected", key);
}

static status read_level(const config_reader *r, const yaml_node *list, int level)
{
    model_config *c = r->c;
    if (list->kind != YAML_LIST || list->count < 2 || list->count % 2 || list->count > 2 * GRAPH_ANCHORS)
        return yaml_fail(r->file, list, "anchors: pairs of width and height were expected, up to %d a level",
                         GRAPH_ANCHORS);
    if (level && (int)list->count / 2 != c->anchors)
        return yaml_fail(r->file, list, "anchors: as many on each level were expected");
    c->anchors = (int)list->count / 2;
    for (size_t i = 0; i < list->count; i++) {
        double value;
        TRY(yaml_need_double(r->file, &list->items[i], "anchors", &value));
        if (!(value > 0)) return yaml_fail(r->file, &list->items[i], "anchors: a size above 0 was expected");
        c->anchor[level][i / 2][i % 2] = (float)value;
    }
    return OK;
}

/* A list of levels, or a number of anchors, which the reference fills with 0, 1, 2, ... until autoanchor finds better ones. */
static status read_anchors(config_reader *r, const yaml_node *root)
{
    const yaml_node *node = yaml_get(root, "anchors");
    if (!node) return yaml_fail(r->file, root, "anchors is missing");
    if (node->kind == YAML_INT) {
        int64_t anchors;
        TRY(yaml_need_int(r->file, node, "anchors", 1, GRAPH_ANCHORS, &anchors));
        r->c->anchors = (int)anchors;
        for (int level = 0; level < GRAPH_LEVELS; level++)
            for (int i = 0; i < 2 * r->c->anchors; i++) r->c->anchor[level][i / 2][i % 2] = (float)i;
        return OK;
    }
    if (node->kind != YAML_LIST || !node->count || node->count > GRAPH_LEVELS)
        return yaml_fail(r->file, node, "anchors: a list of 1 to %d levels was expected", GRAPH_LEVELS);
    r->c->levels = (int)node->count;
    for (int level = 0; level < r->c->levels; level++) TRY(read_level(r, &node->items[level], level));
    return OK;
}

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
    for (int kind = 0; kind < MODULE_KINDS; kind++)
        if (!strcmp(modules[kind].name, name)) {
            l->kind = (module_kind)kind;
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

static status read_pools(const config_reader *r, const yaml_node *node, layer *l)
{
    if (node->kind != YAML_LIST || node->count > LAYER_POOLS || !node->count)
        return yaml_fail(r->file, node, "1 to %d pooling sizes were expected", LAYER_POOLS);
    l->pools = (int)node->count;
    for (int i = 0; i < l->pools; i++) {
        TRY(read_int(r, &node->items[i], "pooling size", 1, KERNEL_MOST, &l->pool[i]));
        if (l->pool[i] % 2 == 0) return yaml_fail(r->file, &node->items[i], "pooling size: an odd number was expected");
    }
    return OK;
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
    case ARG_EXPANSION: return yaml_need_double(r->file, node, "expansion", &l->expansion);
    case ARG_POOLS: return read_pools(r, node, l);
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
    for (size_t i = 1; i < arguments->count; i++) {
        size_t k = 0;
        while (k < i - 1 && modules[l->kind].arguments[k] != ARG_END) k++;
        TRY(read_argument(r, &arguments->items[i], modules[l->kind].arguments[k], l));
    }
    return OK;
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
static status write_arguments(const config_reader *r, const yaml_node *root, const yaml_node *arguments, layer *l)
{
    text out = {0};
    text_add(&out, "[");
    size_t first = 0;
    if (modules[l->kind].has_channels) {
        text_add(&out, "%d, %d", l->in, l->out);
        if (l->kind == MODULE_BOTTLENECK_CSP) text_add(&out, ", %d", l->inner);
        first = 1;
    } else if (l->kind == MODULE_BATCH_NORM) text_add(&out, "%d", l->in);
    else if (l->kind == MODULE_DETECT) {
        text_add(&out, "%d, ", r->c->classes);
        write_argument(&out, yaml_get(root, "anchors"));
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

static status finish_layer(config_reader *r, const yaml_node *node, layer *l)
{
    if (l->from_count > 1 && l->kind != MODULE_CONCAT && l->kind != MODULE_DETECT)
        return yaml_fail(r->file, node, "%s reads one layer", modules[l->kind].name);
    l->in = channels_of(r->c, l->from[0]);
    switch (l->kind) {
    case MODULE_CONCAT:
        for (int i = 1; i < l->from_count; i++) l->in += channels_of(r->c, l->from[i]);
        l->out = l->in;
        break;
    case MODULE_UPSAMPLE:
    case MODULE_BATCH_NORM:
    case MODULE_DETECT: l->out = l->in; break;
    case MODULE_FOCUS:
        if (l->from[0] >= 0) return yaml_fail(r->file, node, "Focus is for the first layer");
        break;
    case MODULE_BOTTLENECK_CSP:
        l->inner = l->repeats;
        l->repeats = 1;
        break;
    case MODULE_DWCONV: {
        int a = l->in, b = l->out; /* as many groups as both numbers of channels can be divided into */
        while (b) {
            int rest = a % b;
            a = b;
            b = rest;
        }
        l->groups = a;
        break;
    }
    default: break;
    }
    if (l->in % l->groups || l->out % l->groups)
        return yaml_fail(r->file, node, "%d groups do not divide %d and %d channels", l->groups, l->in, l->out);
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

static status read_layer(config_reader *r, const yaml_node *root, const yaml_node *node)
{
    model_config *c = r->c;
    if (node->kind != YAML_LIST || node->count != 4 || node->items[3].kind != YAML_LIST)
        return yaml_fail(r->file, node, "a layer is [from, number, module, args]");
    TRY(array_room(&c->layers, &c->room, c->count + 1));
    layer *l = &c->layers[c->count];
    *l = (layer){.line = node->line,
                 .kernel = 1,
                 .stride = 1,
                 .pad = -1,
                 .groups = 1,
                 .activation = true,
                 .shortcut = true};
    l->expansion = 0.5;
    int64_t number;
    TRY(read_from(r, &node->items[0], (int)c->count, l));
    TRY(yaml_need_int(r->file, &node->items[1], "number", 1, REPEATS_MOST, &number));
    TRY(read_module(r, &node->items[2], l));
    l->repeats = scaled_repeats(number, c->depth_multiple);
    const yaml_node *arguments = &node->items[3];
    if (l->kind == MODULE_SPP) {
        l->pools = 3;
        memcpy(l->pool, (int[]){5, 9, 13}, 3 * sizeof(int));
    }
    if (modules[l->kind].has_channels) TRY(read_channels(r, arguments, l));
    if (l->kind == MODULE_UPSAMPLE) TRY(check_upsample(r, arguments));
    if (l->kind == MODULE_DETECT) TRY(check_detect(r, node, l));
    TRY(finish_layer(r, node, l));
    c->count++;
    return write_arguments(r, root, arguments, l);
}

/* ---- the file ---- */

static status read_layers(config_reader *r, const yaml_node *root)
{
    static const char *const parts[] = {"backbone", "head"};
    for (int part = 0; part < 2; part++) {
        const yaml_node *list = yaml_get(root, parts[part]);
        if (!list || list->kind != YAML_LIST)
            return yaml_fail(r->file, list ? list : root, "%s: a list of layers was expected", parts[part]);
        for (size_t i = 0; i < list->count; i++) TRY(read_layer(r, root, &list->items[i]));
    }
    if (!r->c->count || r->c->layers[r->c->count - 1].kind != MODULE_DETECT)
        return yaml_fail(r->file, root, "the last layer has to be Detect");
    for (size_t i = 0; i + 1 < r->c->count; i++)
        if (r->c->layers[i].kind == MODULE_DETECT)
            return FAIL(ERR_FORMAT, "%s:%d: Detect has to be the last layer", yaml_name(r->file), r->c->layers[i].line);
    return OK;
}

static status read_config(const yaml *file, int classes, model_config *c)
{
    const yaml_node *root = yaml_root(file), *nc = yaml_get(root, "nc");
    config_reader r = {.file = file, .c = c};
    if (root->kind != YAML_MAP)
        return yaml_fail(file, root, "nc, depth_multiple, width_multiple, anchors, backbone and head were expected");
    if (!nc) return yaml_fail(file, root, "nc is missing");
    int declared;
    TRY(read_int(&r, nc, "nc", 1, 100000, &declared));
    c->classes = classes > 0 ? classes : declared;
    if (c->classes != declared) log_info("Overriding %s nc=%d with nc=%d", yaml_name(file), declared, c->classes);
    TRY(read_double(&r, root, "depth_multiple", &c->depth_multiple));
    TRY(read_double(&r, root, "width_multiple", &c->width_multiple));
    TRY(read_anchors(&r, root));
    return read_layers(&r, root);
}

status model_config_parse(const char *name, const char *yaml_text, int classes, model_config *out)
{
    *out = (model_config){0};
    yaml *file;
    TRY(yaml_parse(name, yaml_text, strlen(yaml_text), &file));
    out->text = text_copy(yaml_text);
    status s = out->text ? read_config(file, classes, out) : FAIL(ERR_MEMORY, "out of memory");
    yaml_destroy(&file);
    if (s != OK) model_config_free(out);
    return s;
}

status model_config_read(const char *path, int classes, model_config *out)
{
    enum { BYTES_MOST = 1 << 20 };
    char *bytes;
    size_t count;
    *out = (model_config){0};
    TRY(fs_read(path, BYTES_MOST, &bytes, &count));
    status s = model_config_parse(path, bytes, classes, out);
    free(bytes);
    return s;
}

void model_config_free(model_config *c)
{
    for (size_t i = 0; i < c->count; i++) free(c->layers[i].arguments);
    free(c->layers);
    free(c->text);
    *c = (model_config){0};
}
