#include "worker/model/modules.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "worker/model/modules_inner.h"

/* ---- names ---- */

prefix module_below(const prefix *p, const char *name)
{
    prefix result;
    snprintf(result.text, sizeof result.text, "%.*s%s%.*s", 60, p->text, *p->text ? "." : "", 30, name);
    return result;
}

prefix module_numbered(const prefix *p, int number)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    return module_below(p, digits);
}

prefix module_prefix(const layer *l, int index, int repetition)
{
    prefix model = {"model"}, one = module_numbered(&model, index);
    return l->repeats > 1 ? module_numbered(&one, repetition) : one;
}

/* ---- declaring ---- */

static status declare(model *m, int layer, const prefix *p, const char *name, weight_kind kind, shape s)
{
    TRY(array_room(&m->weights, &m->room, m->count + 1));
    weight *w = &m->weights[m->count++];
    prefix full = module_below(p, name);
    memcpy(w->name, full.text, sizeof w->name);
    w->kind = kind;
    w->shape = s;
    w->layer = layer;
    w->offset = kind == WEIGHT_COUNTER ? -1 : m->arena_count;
    if (kind != WEIGHT_COUNTER) m->arena_count += shape_count(&s);
    if (kind == WEIGHT_PARAMETER) m->config.layers[layer].parameters += shape_count(&s);
    return OK;
}

/* Channels and kernel of a convolution. */
typedef struct conv_size {
    int in, out, height, width, groups;
} conv_size;

static status declare_conv2d(model *m, int layer, const prefix *p, conv_size c, bool bias)
{
    if (c.in % c.groups || c.out % c.groups)
        return FAIL(ERR_ARGUMENT, "%d groups do not divide %d and %d channels", c.groups, c.in, c.out);
    TRY(declare(m, layer, p, "weight", WEIGHT_PARAMETER, shape_of(4, c.out, c.in / c.groups, c.height, c.width)));
    return bias ? declare(m, layer, p, "bias", WEIGHT_PARAMETER, shape_of(1, c.out, 0, 0, 0)) : OK;
}

static status declare_norm(model *m, int layer, const prefix *p, int channels)
{
    shape s = shape_of(1, channels, 0, 0, 0);
    TRY(declare(m, layer, p, "weight", WEIGHT_PARAMETER, s));
    TRY(declare(m, layer, p, "bias", WEIGHT_PARAMETER, s));
    TRY(declare(m, layer, p, "running_mean", WEIGHT_STATE, s));
    TRY(declare(m, layer, p, "running_var", WEIGHT_STATE, s));
    return declare(m, layer, p, "num_batches_tracked", WEIGHT_COUNTER, shape_of(0, 0, 0, 0, 0));
}

/* A Conv of this name within p; p itself for the name NULL. */
static status declare_conv(model *m, int layer, const prefix *p, const char *name, conv_size c)
{
    prefix own = name ? module_below(p, name) : *p, conv = module_below(&own, "conv"), norm = module_below(&own, "bn");
    TRY(declare_conv2d(m, layer, &conv, c, false));
    return declare_norm(m, layer, &norm, c.out);
}

/* A plain convolution without a bias. */
static status declare_entry(model *m, int layer, const prefix *p, const char *name, int in, int out)
{
    prefix own = module_below(p, name);
    return declare_conv2d(m, layer, &own, (conv_size){in, out, 1, 1, 1}, false);
}

static status declare_bottleneck(model *m, int layer, const prefix *p, int in, int out, int groups, double expansion)
{
    int hidden = (int)(out * expansion);
    TRY(declare_conv(m, layer, p, "cv1", (conv_size){in, hidden, 1, 1, 1}));
    return declare_conv(m, layer, p, "cv2", (conv_size){hidden, out, 3, 3, groups});
}

static status declare_cross(model *m, int layer, const prefix *p, int in, int out, int kernel, int groups,
                            double expansion)
{
    int hidden = (int)(out * expansion);
    TRY(declare_conv(m, layer, p, "cv1", (conv_size){in, hidden, 1, kernel, 1}));
    return declare_conv(m, layer, p, "cv2", (conv_size){hidden, out, kernel, 1, groups});
}

/* What a stage repeats. */
static status declare_inner(model *m, int layer, const prefix *p, const struct layer *l, int hidden)
{
    prefix inner = module_below(p, "m");
    for (int i = 0; i < l->inner; i++) {
        prefix one = module_numbered(&inner, i);
        if (l->kind == MODULE_CROSS_C3) TRY(declare_cross(m, layer, &one, hidden, hidden, 3, l->groups, 1));
        else TRY(declare_bottleneck(m, layer, &one, hidden, hidden, l->groups, 1));
    }
    return OK;
}

static status declare_csp(model *m, int layer, const prefix *p, const struct layer *l, int in)
{
    int hidden = (int)(l->out * l->expansion);
    prefix norm = module_below(p, "bn");
    TRY(declare_conv(m, layer, p, "cv1", (conv_size){in, hidden, 1, 1, 1}));
    TRY(declare_entry(m, layer, p, "cv2", in, hidden));
    TRY(declare_entry(m, layer, p, "cv3", hidden, hidden));
    TRY(declare_conv(m, layer, p, "cv4", (conv_size){2 * hidden, l->out, 1, 1, 1}));
    TRY(declare_norm(m, layer, &norm, 2 * hidden));
    return declare_inner(m, layer, p, l, hidden);
}

static status declare_c3(model *m, int layer, const prefix *p, const struct layer *l, int in)
{
    int hidden = (int)(l->out * l->expansion);
    TRY(declare_conv(m, layer, p, "cv1", (conv_size){in, hidden, 1, 1, 1}));
    TRY(declare_conv(m, layer, p, "cv2", (conv_size){in, hidden, 1, 1, 1}));
    TRY(declare_conv(m, layer, p, "cv3", (conv_size){2 * hidden, l->out, 1, 1, 1}));
    return declare_inner(m, layer, p, l, hidden);
}

static status declare_mix(model *m, int layer, const prefix *p, const struct layer *l, int in)
{
    prefix parts = module_below(p, "m"), norm = module_below(p, "bn");
    for (int i = 0; i < l->sizes; i++) {
        prefix one = module_numbered(&parts, i);
        TRY(declare_conv2d(m, layer, &one, (conv_size){in, l->part[i], l->size[i], l->size[i], 1}, false));
    }
    return declare_norm(m, layer, &norm, l->out);
}

static status declare_spp(model *m, int layer, const prefix *p, const struct layer *l, int in)
{
    int pools = l->kind == MODULE_SPPF ? 3 : l->sizes;
    if (in < 2) return FAIL(ERR_ARGUMENT, "two channels at least were expected");
    TRY(declare_conv(m, layer, p, "cv1", (conv_size){in, in / 2, 1, 1, 1}));
    return declare_conv(m, layer, p, "cv2", (conv_size){in / 2 * (pools + 1), l->out, 1, 1, 1});
}

static status declare_detect(model *m, int layer, const prefix *p, const struct layer *l)
{
    int levels = m->config.levels, anchors = m->config.anchors;
    prefix heads = module_below(p, "m");
    shape cells = {.rank = 3, .dim = {levels, anchors, 2}};
    TRY(declare(m, layer, p, "anchors", WEIGHT_ANCHORS, cells));
    /* The reference's shape is (levels, 1, anchors, 1, 1, 2); ours leaves out what is 1. */
    TRY(declare(m, layer, p, "anchor_grid", WEIGHT_ANCHORS, cells));
    for (int i = 0; i < levels; i++) {
        prefix head = module_numbered(&heads, i);
        int in = m->config.layers[l->from[i]].out, out = anchors * (5 + m->config.classes);
        TRY(declare_conv2d(m, layer, &head, (conv_size){in, out, 1, 1, 1}, true));
    }
    return OK;
}

static status declare_one(model *m, int layer, const prefix *p, int in)
{
    const struct layer *l = &m->config.layers[layer];
    const conv_size own = {in, l->out, l->kernel, l->kernel, l->groups};
    switch (l->kind) {
    case MODULE_FOCUS:
        return declare_conv(m, layer, p, "conv", (conv_size){4 * in, l->out, l->kernel, l->kernel, l->groups});
    case MODULE_CONV:
    case MODULE_DWCONV: return declare_conv(m, layer, p, NULL, own);
    case MODULE_BOTTLENECK: return declare_bottleneck(m, layer, p, in, l->out, l->groups, l->expansion);
    case MODULE_CROSS_CONV: return declare_cross(m, layer, p, in, l->out, l->kernel, l->groups, l->expansion);
    case MODULE_BOTTLENECK_CSP:
    case MODULE_CROSS_C3: return declare_csp(m, layer, p, l, in);
    case MODULE_C3: return declare_c3(m, layer, p, l, in);
    case MODULE_MIX_CONV: return declare_mix(m, layer, p, l, in);
    case MODULE_SPP:
    case MODULE_SPPF: return declare_spp(m, layer, p, l, in);
    case MODULE_CONV2D: return declare_conv2d(m, layer, p, own, true);
    case MODULE_BATCH_NORM: return declare_norm(m, layer, p, in);
    case MODULE_DETECT: return declare_detect(m, layer, p, l);
    case MODULE_CONCAT:
    case MODULE_UPSAMPLE:
    case MODULE_MAXPOOL:
    case MODULE_KINDS: break;
    }
    return OK;
}

status module_declare(model *m, int layer)
{
    const struct layer *l = &m->config.layers[layer];
    for (int i = 0; i < l->repeats; i++) {
        prefix p = module_prefix(l, layer, i);
        TRY(declare_one(m, layer, &p, i ? l->out : l->in));
    }
    return OK;
}
