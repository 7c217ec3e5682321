#include "tests/parity/heads.h"

#include <math.h>
#include <stdio.h>

#include "worker/loss/detection.h"

const char *const heads_layouts[HEADS_LAYOUTS] = {"nChw16c", "nChw8c", "NHWC"};
static const int blocks[HEADS_LAYOUTS] = {16, 8, 0};

bool heads_read(parity *p, const char *name, detect_parameters *out)
{
    char path[256];
    snprintf(path, sizeof path, "model/%s/info.json", name);
    const yaml_node *info = parity_json(p, path);
    if (!info) return false;
    const yaml_node *anchors = json_get(p, info, "anchors_in_grid_units");
    size_t levels, numbers, per_level;
    const double *strides = json_numbers(p, json_get(p, info, "stride"), &levels);
    const double *sizes = json_numbers(p, anchors, &numbers);
    per_level = levels ? numbers / levels / 2 : 0;
    if (levels < 1 || levels > GRAPH_LEVELS || per_level < 1 || per_level > GRAPH_ANCHORS ||
        per_level * levels * 2 != numbers) {
        case_fail(p, "%s: %zu strides and %zu anchor sizes: cannot be", path, levels, numbers);
        return false;
    }
    *out =
        (detect_parameters){.levels = (int)levels, .anchors = (int)per_level, .classes = (int)json_int(p, info, "nc")};
    for (size_t i = 0; i < levels; i++) {
        out->stride[i] = (float)strides[i];
        for (size_t a = 0; a < per_level; a++)
            for (size_t k = 0; k < 2; k++) out->anchor[i][a][k] = (float)sizes[(i * per_level + a) * 2 + k];
    }
    return true;
}

const char *heads_find(parity *p, int classes, int levels)
{
    const fs_names *models = parity_list(p, "model");
    for (size_t i = 0; i < models->count; i++) {
        char path[256];
        detect_parameters heads;
        snprintf(path, sizeof path, "model/%s/info.json", models->names[i]);
        if (parity_has(p, path) && heads_read(p, models->names[i], &heads) && heads.classes == classes &&
            heads.levels == levels)
            return models->names[i];
    }
    return NULL;
}

void heads_loss(parity *p, const yaml_node *hyp, const detect_parameters *heads, loss_parameters *out)
{
    hyp_space space;
    double hyps[HYP_COUNT] = {0};
    hyp_space_default(&space);
    for (size_t i = 0; hyp && i < hyp->count; i++) {
        const char *key = yaml_string(&hyp->keys[i]);
        int row = key ? hyp_find(&space, key) : -1;
        if (row < 0) case_fail(p, "unknown hyperparameter %s", key ? key : "?");
        else hyps[row] = json_number(p, &hyp->items[i]);
    }
    loss_parameters_from(hyps, heads, out);
    out->cls_gain = (float)hyps[HYP_cls];
}

static float *not_a_numbers(parity *p, size_t count)
{
    float *values = parity_alloc(p, count * sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = NAN;
    return values;
}

/* Where the reference's element (image, anchor, y, x, k) lies in a view. */
static size_t place(const detect_view *v, int64_t image, int64_t channel, int64_t cell)
{
    return (size_t)(image * v->image_stride + channel / v->block * v->block_stride + cell * v->block +
                    channel % v->block);
}

detect_view heads_view(parity *p, const npy *raw, int64_t from, int64_t images, int layout, bool gradient)
{
    int64_t anchors = raw->shape.dim[1], height = raw->shape.dim[2], width = raw->shape.dim[3], row = raw->shape.dim[4];
    int block = blocks[layout] ? blocks[layout] : (int)(anchors * row);
    detect_view v = {.images = (int)images, .height = (int)height, .width = (int)width, .block = block};
    v.block_stride = height * width * block;
    v.image_stride = (anchors * row + block - 1) / block * v.block_stride;
    v.value = not_a_numbers(p, (size_t)(images * v.image_stride));
    if (gradient) v.gradient = not_a_numbers(p, (size_t)(images * v.image_stride));
    const float *next = raw->f + from * anchors * height * width * row;
    for (int64_t n = 0; n < images; n++)
        for (int64_t a = 0; a < anchors; a++)
            for (int64_t cell = 0; cell < height * width; cell++)
                for (int64_t k = 0; k < row; k++) v.value[place(&v, n, a * row + k, cell)] = *next++;
    return v;
}

const float *heads_gradient(parity *p, const detect_view *v, const npy *raw)
{
    int64_t anchors = raw->shape.dim[1], row = raw->shape.dim[4], cells = (int64_t)v->height * v->width;
    int64_t padded = v->image_stride / v->block_stride * v->block;
    float *out = parity_alloc(p, raw->count * sizeof *out), *next = out;
    for (int64_t n = 0; n < v->images; n++) {
        for (int64_t a = 0; a < anchors; a++)
            for (int64_t cell = 0; cell < cells; cell++)
                for (int64_t k = 0; k < row; k++) *next++ = v->gradient[place(v, n, a * row + k, cell)];
        for (int64_t channel = anchors * row; channel < padded; channel++)
            for (int64_t cell = 0; cell < cells; cell++)
                if (v->gradient[place(v, n, channel, cell)] != 0) {
                    case_fail(p, "the gradient of padding channel %lld is %g", (long long)channel,
                              (double)v->gradient[place(v, n, channel, cell)]);
                    return out;
                }
    }
    return out;
}
