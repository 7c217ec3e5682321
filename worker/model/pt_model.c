#include "worker/model/pt_model.h"

#include <string.h>

#include "common/yaml.h"
#include "worker/model/pt_inner.h"

enum { YAML_DEPTH = 8, YAML_BYTES_MOST = 1 << 20, CLASSES_MOST = 100000, MODULES_DEEP = 8, MODULES_MOST = 1 << 14 };

bool pt_is_module(const pickle_value *v)
{
    return v && v->kind == PICKLE_OBJECT && pickle_get(v, "_modules");
}

/* ---- the yaml ---- */

static status bad_yaml(const pt_file *f, const char *what)
{
    return FAIL(ERR_FORMAT, "%s: the model's yaml: %s", f->path, what);
}

/* Within a list: what has a comma or bracket in it is quoted. */
static void add_string(text *out, const char *value)
{
    if (!strpbrk(value, ",[]{}")) {
        yaml_write_string(out, value);
        return;
    }
    text_add(out, "'");
    for (; *value; value++) text_add_bytes(out, *value == '\'' ? "''" : value, *value == '\'' ? 2 : 1);
    text_add(out, "'");
}

static status add_value(const pt_file *f, const pickle_value *v, int depth, text *out)
{
    if (depth == YAML_DEPTH || out->length > YAML_BYTES_MOST) return bad_yaml(f, "out of all bounds");
    switch (v->kind) {
    case PICKLE_NONE: text_add(out, "null"); return OK;
    case PICKLE_BOOL: yaml_write_bool(out, v->boolean); return OK;
    case PICKLE_INT: text_add(out, "%lld", (long long)v->integer); return OK;
    case PICKLE_FLOAT: yaml_write_double(out, v->number); return OK;
    case PICKLE_STRING:
        if (!pickle_string(v)) return bad_yaml(f, "a text with a zero in it");
        add_string(out, v->bytes);
        return OK;
    case PICKLE_LIST:
    case PICKLE_TUPLE: break;
    default: return bad_yaml(f, "numbers, texts and lists were expected");
    }
    text_add(out, "[");
    for (size_t i = 0; i < v->count; i++) {
        if (i) text_add(out, ", ");
        TRY(add_value(f, v->items[i], depth + 1, out));
    }
    text_add(out, "]");
    return OK;
}

static bool is_list_of_lists(const pickle_value *v)
{
    return v->kind == PICKLE_LIST && v->count && v->items[0]->kind == PICKLE_LIST;
}

static status add_pair(const pt_file *f, const char *key, const pickle_value *v, text *out)
{
    add_string(out, key);
    if (!is_list_of_lists(v)) {
        text_add(out, ": ");
        TRY(add_value(f, v, 0, out));
        text_add(out, "\n");
        return OK;
    }
    text_add(out, ":\n"); /* layers and anchors: one a line */
    for (size_t i = 0; i < v->count; i++) {
        text_add(out, "  - ");
        TRY(add_value(f, v->items[i], 1, out));
        text_add(out, "\n");
    }
    return OK;
}

/* ---- what the modules are ---- */

typedef struct survey {
    const char *activation; /* class of the first convolution's, NULL: none seen */
    bool later_c3;
    int modules; /* seen: shared ones could make a few bytes of pickle stand for any number */
} survey;

static void look_at(const pickle_value *module, int depth, survey *s)
{
    if (depth == MODULES_DEEP || ++s->modules > MODULES_MOST) return;
    const pickle_value *inside = pickle_get(module, "_modules"), *act = pickle_get(inside, "act");
    if (pickle_is(module, "models.common.C3")) s->later_c3 = true;
    if (pickle_is(module, "models.common.Conv") && !s->activation && act && act->kind == PICKLE_OBJECT)
        s->activation = act->bytes;
    for (size_t i = 0; inside && inside->keys && i < inside->count; i++)
        if (pt_is_module(inside->items[i])) look_at(inside->items[i], depth + 1, s);
}

/* "Hardswish" of torch.nn.modules.activation.Hardswish; in files of the middle of 2020 it is a class of the reference's own. */
static const char *class_name(const char *full)
{
    const char *dot = strrchr(full, '.');
    return dot ? dot + 1 : full;
}

status pt_model_yaml(const pt_file *f, const pickle_value *model, text *out)
{
    const pickle_value *yaml = pickle_get(model, "yaml");
    if (!yaml || yaml->kind != PICKLE_DICT || !yaml->keys) return OK;
    for (size_t i = 0; i < yaml->count; i++) {
        const char *key = pickle_string(yaml->keys[i]);
        if (!key) return bad_yaml(f, "keys of text were expected");
        TRY(add_pair(f, key, yaml->items[i], out));
    }
    survey s = {0};
    look_at(model, 0, &s);
    const char *activation = s.activation ? class_name(s.activation) : "Hardswish";
    if (!pickle_get(yaml, "activation") && (strcmp(activation, "Hardswish") || s.later_c3)) {
        text_add(out, "activation: ");
        add_string(out, activation);
        text_add(out, "\n");
    }
    return text_status(out);
}

/* ---- heads ---- */

/* The last of the model's layers, if that is a Detect. */
static const pickle_value *find_detect(const pickle_value *model)
{
    const pickle_value *layers = pickle_find(model, "_modules/model/_modules");
    const pickle_value *last = layers && layers->keys && layers->count ? layers->items[layers->count - 1] : NULL;
    return pickle_is(last, "models.yolo.Detect") && last->kind == PICKLE_OBJECT ? last : NULL;
}

static status read_floats(pt_file *f, const pickle_value *v, const char *what, int64_t most, pt_tensor *t, float *out)
{
    if (!pt_is_tensor(v)) return FAIL(ERR_FORMAT, "%s: Detect's %s: a tensor was expected", f->path, what);
    TRY(pt_tensor_of(f, v, t));
    if (t->count > most) return FAIL(ERR_FORMAT, "%s: Detect's %s: %lld numbers", f->path, what, (long long)t->count);
    return pt_read(f, t, out);
}

status pt_model_heads(pt_file *f, const pickle_value *model, detect_parameters *out)
{
    const pickle_value *detect = find_detect(model);
    float anchors[GRAPH_LEVELS * GRAPH_ANCHORS * 2], strides[GRAPH_LEVELS];
    pt_tensor a, s;
    int64_t classes;
    *out = (detect_parameters){0};
    if (!detect) return OK;
    const pickle_value *stride = pickle_get(detect, "stride");
    if (!pt_is_tensor(stride)) stride = pickle_get(model, "stride");
    TRY(read_floats(f, pickle_find(detect, "_buffers/anchors"), "anchors", sizeof anchors / sizeof *anchors, &a,
                    anchors));
    TRY(read_floats(f, stride, "strides", GRAPH_LEVELS, &s, strides));
    if (!pickle_int(pickle_get(detect, "nc"), &classes) || classes < 1 || classes > CLASSES_MOST || a.rank != 3 ||
        a.shape[0] < 1 || a.shape[0] > GRAPH_LEVELS || a.shape[1] < 1 || a.shape[1] > GRAPH_ANCHORS ||
        a.shape[2] != 2 || s.count != a.shape[0])
        return FAIL(ERR_FORMAT, "%s: Detect's classes, anchors and strides do not go together", f->path);
    out->classes = (int)classes;
    out->levels = (int)a.shape[0];
    out->anchors = (int)a.shape[1];
    for (int i = 0; i < out->levels; i++) {
        if (!(strides[i] > 0)) return FAIL(ERR_FORMAT, "%s: Detect has a stride of %g", f->path, (double)strides[i]);
        out->stride[i] = strides[i];
        for (int k = 0; k < 2 * out->anchors; k++) out->anchor[i][k / 2][k % 2] = anchors[i * 2 * out->anchors + k];
    }
    return OK;
}

const char *pt_model_class_name(const pickle_value *model, int number)
{
    return pickle_string(pickle_at(pickle_get(model, "names"), number));
}
