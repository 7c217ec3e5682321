#include "worker/model/config.h"

#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/log.h"
#include "worker/model/config_inner.h"

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

/* ---- the activation ---- */

/* As later releases write it: nn.SiLU(), or the name alone. */
static status read_activation(config_reader *r)
{
    static const char *const names[] = {
        [ACTIVATION_HARDSWISH] = "Hardswish",
        [ACTIVATION_LEAKY_RELU] = "LeakyReLU",
        [ACTIVATION_SILU] = "SiLU",
        [ACTIVATION_RELU] = "ReLU",
    };
    const yaml_node *node = yaml_get(r->root, "activation");
    const char *words;
    r->c->activation = ACTIVATION_HARDSWISH;
    if (!node) return OK;
    TRY(yaml_need_string(r->file, node, "activation", &words));
    const char *name = text_starts_with(words, "nn.") ? words + 3 : words;
    size_t length = strcspn(name, "(");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) != length || strncmp(names[i], name, length)) continue;
        const char *rest = name + length; /* LeakyReLU has the slope of CSP stages, and may say so */
        if (*rest && strcmp(rest, "()") && !(i == ACTIVATION_LEAKY_RELU && !strcmp(rest, "(0.1)"))) break;
        r->c->activation = (activation)i;
        return OK;
    }
    return yaml_fail(r->file, node, "activation: Hardswish, SiLU, ReLU or LeakyReLU was expected, found %s", words);
}

/* ---- the file ---- */

static const char *const parts[] = {"backbone", "head"};

/* Files of later releases give an activation, or have a module that came later. */
static bool is_later(const yaml_node *root)
{
    if (yaml_get(root, "activation")) return true;
    for (int part = 0; part < 2; part++) {
        const yaml_node *list = yaml_get(root, parts[part]);
        for (size_t i = 0; list && list->kind == YAML_LIST && i < list->count; i++) {
            const yaml_node *layer = &list->items[i];
            const char *name = layer->kind == YAML_LIST && layer->count > 2 ? yaml_string(&layer->items[2]) : NULL;
            if (name && config_is_later_module(name)) return true;
        }
    }
    return false;
}

static status read_layers(config_reader *r)
{
    const yaml_node *root = r->root;
    for (int part = 0; part < 2; part++) {
        const yaml_node *list = yaml_get(root, parts[part]);
        if (!list || list->kind != YAML_LIST)
            return yaml_fail(r->file, list ? list : root, "%s: a list of layers was expected", parts[part]);
        for (size_t i = 0; i < list->count; i++) TRY(config_read_layer(r, &list->items[i]));
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
    config_reader r = {.file = file, .root = root, .c = c};
    if (root->kind != YAML_MAP)
        return yaml_fail(file, root, "nc, depth_multiple, width_multiple, anchors, backbone and head were expected");
    if (!nc) return yaml_fail(file, root, "nc is missing");
    int64_t declared;
    TRY(yaml_need_int(file, nc, "nc", 1, 100000, &declared));
    c->classes = classes > 0 ? classes : (int)declared;
    if (c->classes != declared)
        log_info("Overriding %s nc=%lld with nc=%d", yaml_name(file), (long long)declared, c->classes);
    TRY(read_double(&r, root, "depth_multiple", &c->depth_multiple));
    TRY(read_double(&r, root, "width_multiple", &c->width_multiple));
    TRY(read_anchors(&r, root));
    TRY(read_activation(&r));
    r.later_c3 = is_later(root);
    return read_layers(&r);
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
