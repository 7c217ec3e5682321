#include "worker/model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/log.h"
#include "common/rng.h"
#include "worker/model/modules.h"

/* ---- layout ---- */

const weight *model_find(const model *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->weights[i].name, name)) return &m->weights[i];
    return NULL;
}

static bool contains(const char *string, const char *part)
{
    return strstr(string, part) != NULL;
}

int model_group(const weight *w)
{
    if (contains(w->name, ".bias")) return 2;
    return contains(w->name, ".weight") && !contains(w->name, ".bn") ? 1 : 0;
}

/* What does a norm multiply with before training: gamma 1, running variance 1. */
static void fill_norms(model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        bool gamma = w->kind == WEIGHT_PARAMETER && w->shape.rank == 1 && contains(w->name, ".weight");
        bool variance = w->kind == WEIGHT_STATE && contains(w->name, ".running_var");
        for (int64_t k = 0; (gamma || variance) && k < w->shape.dim[0]; k++) m->arena[w->offset + k] = 1;
    }
}

/* Pixels a cell of each head: how much smaller a map is than the picture. */
static status find_strides(model *m)
{
    enum { SIDE = 256 };
    graph g = {0};
    graph_ends ends;
    graph_request request = {.images = 1, .height = SIDE, .width = SIDE, .raw = true};
    for (int i = 0; i < m->config.levels; i++) m->stride[i] = 1; /* so that the size passes */
    status s = model_graph(m, &request, &g, &ends);
    for (int i = 0; s == OK && i < m->config.levels; i++)
        m->stride[i] = (float)SIDE / (float)g.tensors[ends.raw[i]].shape.dim[2];
    graph_free(&g);
    return s;
}

/* Anchors have to grow as the strides do; Detect turns them round otherwise. */
static void order_anchors(const model *m, float *pixels)
{
    int levels = m->config.levels, anchors = m->config.anchors, values = anchors * 2;
    const float *last = pixels + (levels * anchors - 1) * 2;
    float da = last[0] * last[1] - pixels[0] * pixels[1], ds = m->stride[levels - 1] - m->stride[0];
    if ((da > 0) - (da < 0) == (ds > 0) - (ds < 0)) return;
    for (int a = 0, b = levels - 1; a < b; a++, b--)
        for (int i = 0; i < values; i++) {
            float swap = pixels[a * values + i];
            pixels[a * values + i] = pixels[b * values + i];
            pixels[b * values + i] = swap;
        }
}

void model_set_anchors(model *m, const float *pixels)
{
    float ordered[GRAPH_LEVELS * GRAPH_ANCHORS * 2];
    int values = m->config.anchors * 2;
    memcpy(ordered, pixels, sizeof *ordered * (size_t)(m->config.levels * values));
    order_anchors(m, ordered);
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        if (w->kind != WEIGHT_ANCHORS) continue;
        bool in_pixels = contains(w->name, "anchor_grid");
        for (int k = 0; k < m->config.levels * values; k++)
            m->arena[w->offset + k] = in_pixels ? ordered[k] : ordered[k] / m->stride[k / values];
    }
}

status model_create(model_config *takes, model *out)
{
    *out = (model){.config = *takes};
    *takes = (model_config){0};
    for (size_t i = 0; i < out->config.count; i++) {
        status s = module_declare(out, (int)i);
        if (s != OK) return status_context(s, "layer %zu (line %d of the model yaml)", i, out->config.layers[i].line);
    }
    TRY(array_new(&out->arena, (size_t)out->arena_count));
    fill_norms(out);
    TRY(find_strides(out));
    float pixels[GRAPH_LEVELS * GRAPH_ANCHORS * 2];
    for (int level = 0, k = 0; level < out->config.levels; level++)
        for (int i = 0; i < 2 * out->config.anchors; i++) pixels[k++] = out->config.anchor[level][i / 2][i % 2];
    model_set_anchors(out, pixels);
    return OK;
}

void model_free(model *m)
{
    model_config_free(&m->config);
    free(m->weights);
    free(m->arena);
    *m = (model){0};
}

detect_parameters model_heads(const model *m)
{
    detect_parameters d = {.levels = m->config.levels, .anchors = m->config.anchors, .classes = m->config.classes};
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        if (w->kind != WEIGHT_ANCHORS || contains(w->name, "anchor_grid")) continue;
        for (int level = 0, k = 0; level < d.levels; level++)
            for (int v = 0; v < 2 * d.anchors; v++) d.anchor[level][v / 2][v % 2] = m->arena[w->offset + k++];
    }
    memcpy(d.stride, m->stride, sizeof d.stride);
    return d;
}

static size_t freeze_part(model *m, const char *part, size_t length)
{
    size_t found = 0;
    for (size_t i = 0; length && i < m->count; i++) {
        weight *w = &m->weights[i];
        if (w->kind != WEIGHT_PARAMETER || !memmem(w->name, strlen(w->name), part, length)) continue;
        if (!w->frozen) log_info("freezing %s", w->name);
        w->frozen = true;
        found++;
    }
    return found;
}

status model_freeze(model *m, const char *parts)
{
    for (const char *part = parts; *part;) {
        size_t length = strcspn(part, ",");
        if (!freeze_part(m, part, length))
            return FAIL(ERR_ARGUMENT, "--freeze: no parameter has '%.*s' in its name", (int)length, part);
        part += length + (part[length] == ',');
    }
    for (size_t i = 0; i < m->count; i++)
        if (m->weights[i].kind == WEIGHT_PARAMETER && !m->weights[i].frozen) return OK;
    return FAIL(ERR_ARGUMENT, "--freeze %s leaves nothing to train", parts);
}

status model_segments(const model *m, update_segment **segments, int *count)
{
    *count = 0;
    TRY(array_new(segments, m->count));
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        if (w->kind == WEIGHT_COUNTER || w->kind == WEIGHT_ANCHORS) continue;
        int group = w->kind == WEIGHT_STATE || w->frozen ? -1 : model_group(w);
        update_segment *last = *count ? &(*segments)[*count - 1] : NULL;
        int64_t elements = shape_count(&w->shape);
        if (last && last->group == group && last->offset + last->count == w->offset) last->count += elements;
        else (*segments)[(*count)++] = (update_segment){w->offset, elements, group};
    }
    return OK;
}

/* ---- initial weights ---- */

float model_bias_prior(const model *m, int level, int v)
{
    if (v < 4) return 0;
    double cells = 640.0 / (double)m->stride[level];
    return (float)(v == 4 ? log(8 / (cells * cells)) : log(0.6 / (m->config.classes - 0.99)));
}

/* torch's uniform_ of float32: 24 bits of one word of its MT19937. */
static float torch_uniform(mt19937 *mt, float low, float high)
{
    float x = (float)(mt19937_next(mt) & 0xffffff) * (1.0f / 16777216.0f);
    return x * (high - low) + low;
}

/* Bound of a convolution's initial weights: kaiming_uniform_(a = sqrt(5)), in the doubles that torch goes through; of its bias,
 * which follows the weight: 1 / sqrt(fan in). Both are the same number but for rounding. */
static float bound_of(const model *m, size_t index)
{
    const weight *w = &m->weights[index];
    bool bias = w->shape.rank == 1;
    if (bias) w = &m->weights[index - 1];
    double fan_in = (double)(w->shape.dim[1] * w->shape.dim[2] * w->shape.dim[3]), a = sqrt(5.0);
    return (float)(bias ? 1 / sqrt(fan_in) : sqrt(3.0) * (sqrt(2.0 / (1 + a * a)) / sqrt(fan_in)));
}

static bool belongs_to_conv(const model *m, size_t index)
{
    const weight *w = &m->weights[index];
    if (w->kind != WEIGHT_PARAMETER) return false;
    return w->shape.rank == 4 || (contains(w->name, ".bias") && index > 0 && m->weights[index - 1].shape.rank == 4);
}

void model_init(model *m, uint64_t seed)
{
    mt19937 mt;
    mt19937_seed(&mt, (uint32_t)seed); /* torch.manual_seed: init_genrand of the low word */
    fill_norms(m);
    int level = 0;
    for (size_t i = 0; i < m->count; i++) {
        const weight *w = &m->weights[i];
        int64_t count = shape_count(&w->shape);
        if (w->kind == WEIGHT_STATE) { /* one batch of zeros at torch's momentum of .1: mean 0, variance .9 + .1 * 0 */
            float value = contains(w->name, ".running_var") ? 0.9f : 0;
            for (int64_t k = 0; k < count; k++) m->arena[w->offset + k] = value;
        }
        if (!belongs_to_conv(m, i)) continue;
        float bound = bound_of(m, i);
        for (int64_t k = 0; k < count; k++) m->arena[w->offset + k] = torch_uniform(&mt, -bound, bound);
        bool head = w->layer == (int)m->config.count - 1 && w->shape.rank == 1;
        int values = 5 + m->config.classes;
        for (int64_t k = 0; head && k < count; k++)
            m->arena[w->offset + k] += model_bias_prior(m, level, (int)(k % values));
        level += head;
    }
    m->batches_tracked = 1;
}
