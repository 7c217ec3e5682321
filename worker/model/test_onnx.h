/* test_onnx.h - run an ONNX file, for tests: the operators that exported detectors have, as ONNX's own text defines them, slowly. */
#ifndef MODEL_TEST_ONNX_H
#define MODEL_TEST_ONNX_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/onnx.pb-c.h"

enum { TEST_ONNX_RANK = 6, TEST_ONNX_VALUES = 2000 };

typedef struct onnx_tensor {
    const char *name;
    int rank;
    int64_t dim[TEST_ONNX_RANK];
    float *f;         /* owned, unless it is an initializer's */
    const int64_t *i; /* of integers, instead */
    bool owned;
} onnx_tensor;

typedef struct onnx_run {
    const Onnx__GraphProto *graph;
    onnx_tensor values[TEST_ONNX_VALUES];
    int count;
} onnx_run;

static inline int64_t onnx_elements(const onnx_tensor *t)
{
    int64_t count = 1;
    for (int k = 0; k < t->rank; k++) count *= t->dim[k];
    return count;
}

/* Fails the test when a name is not there (yet). */
static inline const onnx_tensor *onnx_find(const onnx_run *r, const char *name)
{
    for (int k = 0; k < r->count; k++)
        if (!strcmp(r->values[k].name, name)) return &r->values[k];
    fail_msg("ONNX: no value %s", name);
    return NULL;
}

/* A new value of this shape. Fails when the name is taken: each is made once. */
static inline onnx_tensor *onnx_make(onnx_run *r, const char *name, int rank, const int64_t *dim)
{
    for (int k = 0; k < r->count; k++)
        if (!strcmp(r->values[k].name, name)) fail_msg("ONNX: two values %s", name);
    assert_true(r->count < TEST_ONNX_VALUES && rank <= TEST_ONNX_RANK);
    onnx_tensor *t = &r->values[r->count++];
    *t = (onnx_tensor){.name = name, .rank = rank, .owned = true};
    memcpy(t->dim, dim, (size_t)rank * sizeof *dim);
    t->f = calloc((size_t)onnx_elements(t) + 1, sizeof *t->f);
    assert_non_null(t->f);
    return t;
}

static inline const Onnx__AttributeProto *onnx_attribute(const Onnx__NodeProto *n, const char *name)
{
    for (size_t k = 0; k < n->n_attribute; k++)
        if (!strcmp(n->attribute[k]->name, name)) return n->attribute[k];
    fail_msg("ONNX: %s lacks %s", n->op_type, name);
    return NULL;
}

static inline const int64_t *onnx_ints_of(const Onnx__NodeProto *n, const char *name, size_t count)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, name);
    assert_int_equal(a->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    assert_int_equal(a->n_ints, count);
    return a->ints;
}

static inline float onnx_float_of(const Onnx__NodeProto *n, const char *name)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, name);
    assert_true(a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT && a->has_f);
    return a->f;
}

static inline int64_t onnx_int_of(const Onnx__NodeProto *n, const char *name)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, name);
    assert_true(a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT && a->has_i);
    return a->i;
}

static inline bool onnx_text_is(const Onnx__NodeProto *n, const char *name, const char *want)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, name);
    return a->s.len == strlen(want) && !memcmp(a->s.data, want, a->s.len);
}

/* ---- operators ---- */

static inline void onnx_conv(onnx_run *r, const Onnx__NodeProto *n)
{
    const onnx_tensor *x = onnx_find(r, n->input[0]), *w = onnx_find(r, n->input[1]);
    const onnx_tensor *b = n->n_input > 2 ? onnx_find(r, n->input[2]) : NULL;
    const int64_t *kernel = onnx_ints_of(n, "kernel_shape", 2), *stride = onnx_ints_of(n, "strides", 2);
    const int64_t *pad = onnx_ints_of(n, "pads", 4), group = onnx_int_of(n, "group");
    assert_true(w->dim[2] == kernel[0] && w->dim[3] == kernel[1] && w->dim[1] * group == x->dim[1]);
    assert_true(!b || (b->rank == 1 && b->dim[0] == w->dim[0]));
    int64_t dim[] = {x->dim[0], w->dim[0], (x->dim[2] + pad[0] + pad[2] - kernel[0]) / stride[0] + 1,
                     (x->dim[3] + pad[1] + pad[3] - kernel[1]) / stride[1] + 1};
    float *y = onnx_make(r, n->output[0], 4, dim)->f;
    x = onnx_find(r, n->input[0]);
    for (int64_t i = 0; i < dim[0] * dim[1]; i++)
        for (int64_t at = 0; at < dim[2] * dim[3]; at++) {
            int64_t o = i % dim[1], first = o / (dim[1] / group) * w->dim[1];
            double sum = b ? (double)b->f[o] : 0;
            for (int64_t c = 0; c < w->dim[1]; c++)
                for (int64_t k = 0; k < kernel[0] * kernel[1]; k++) {
                    int64_t row = at / dim[3] * stride[0] + k / kernel[1] - pad[0];
                    int64_t column = at % dim[3] * stride[1] + k % kernel[1] - pad[1];
                    if (row < 0 || column < 0 || row >= x->dim[2] || column >= x->dim[3]) continue;
                    int64_t from = ((i / dim[1] * x->dim[1] + first + c) * x->dim[2] + row) * x->dim[3] + column;
                    sum += (double)x->f[from] * (double)w->f[(o * w->dim[1] + c) * kernel[0] * kernel[1] + k];
                }
            y[i * dim[2] * dim[3] + at] = (float)sum;
        }
}

static inline void onnx_pool(onnx_run *r, const Onnx__NodeProto *n)
{
    const onnx_tensor *x = onnx_find(r, n->input[0]);
    const int64_t *kernel = onnx_ints_of(n, "kernel_shape", 2), *stride = onnx_ints_of(n, "strides", 2);
    const int64_t *pad = onnx_ints_of(n, "pads", 4);
    int64_t dim[] = {x->dim[0], x->dim[1], (x->dim[2] + pad[0] + pad[2] - kernel[0]) / stride[0] + 1,
                     (x->dim[3] + pad[1] + pad[3] - kernel[1]) / stride[1] + 1};
    float *y = onnx_make(r, n->output[0], 4, dim)->f;
    x = onnx_find(r, n->input[0]);
    for (int64_t i = 0; i < dim[0] * dim[1]; i++)
        for (int64_t at = 0; at < dim[2] * dim[3]; at++) {
            float most = -INFINITY;
            for (int64_t k = 0; k < kernel[0] * kernel[1]; k++) {
                int64_t row = at / dim[3] * stride[0] + k / kernel[1] - pad[0];
                int64_t column = at % dim[3] * stride[1] + k % kernel[1] - pad[1];
                if (row < 0 || column < 0 || row >= x->dim[2] || column >= x->dim[3]) continue;
                most = fmaxf(most, x->f[(i * x->dim[2] + row) * x->dim[3] + column]);
            }
            y[i * dim[2] * dim[3] + at] = most;
        }
}

static inline void onnx_norm(onnx_run *r, const Onnx__NodeProto *n)
{
    const onnx_tensor *x = onnx_find(r, n->input[0]), *p[4];
    for (int k = 0; k < 4; k++) p[k] = onnx_find(r, n->input[k + 1]);
    float eps = onnx_float_of(n, "epsilon"), *y = onnx_make(r, n->output[0], x->rank, x->dim)->f;
    int64_t each = x->dim[2] * x->dim[3], channels = x->dim[1];
    for (int64_t i = 0; i < onnx_elements(x); i++) {
        int64_t c = i / each % channels;
        y[i] = (x->f[i] - p[2]->f[c]) / sqrtf(p[3]->f[c] + eps) * p[0]->f[c] + p[1]->f[c];
    }
}

static inline float onnx_function(const Onnx__NodeProto *n, float x)
{
    const char *type = n->op_type;
    if (!strcmp(type, "Sigmoid")) return 1 / (1 + expf(-x));
    if (!strcmp(type, "Relu")) return fmaxf(x, 0);
    if (!strcmp(type, "LeakyRelu")) return x < 0 ? x * onnx_float_of(n, "alpha") : x;
    return fmaxf(0, fminf(1, onnx_float_of(n, "alpha") * x + onnx_float_of(n, "beta"))); /* HardSigmoid */
}

static inline void onnx_elementwise(onnx_run *r, const Onnx__NodeProto *n)
{
    const onnx_tensor *x = onnx_find(r, n->input[0]);
    float *y = onnx_make(r, n->output[0], x->rank, x->dim)->f;
    x = onnx_find(r, n->input[0]);
    for (int64_t i = 0; i < onnx_elements(x); i++) y[i] = onnx_function(n, x->f[i]);
}

/* Mul and Add; the second is of the first's shape, or has dimensions of 1 (or a single number) instead. */
static inline void onnx_binary(onnx_run *r, const Onnx__NodeProto *n)
{
    bool add = !strcmp(n->op_type, "Add");
    const onnx_tensor *a = onnx_find(r, n->input[0]), *b = onnx_find(r, n->input[1]);
    float *y = onnx_make(r, n->output[0], a->rank, a->dim)->f;
    bool single = onnx_elements(b) == 1;
    assert_true(single || a->rank == b->rank);
    for (int k = 0; k < a->rank && !single; k++) assert_true(b->dim[k] == a->dim[k] || b->dim[k] == 1);
    for (int64_t i = 0; i < onnx_elements(a); i++) {
        int64_t rest = i, at = 0, step = 1;
        for (int k = a->rank; k-- > 0 && !single; rest /= a->dim[k], step *= b->dim[k])
            if (b->dim[k] > 1) at += rest % a->dim[k] * step;
        y[i] = add ? a->f[i] + b->f[at] : a->f[i] * b->f[at];
    }
}

/* Products of the dimensions before and behind an axis. */
static inline void onnx_around(const onnx_tensor *t, int64_t axis, int64_t *before, int64_t *behind)
{
    *before = *behind = 1;
    for (int k = 0; k < t->rank; k++)
        if (k != axis) *(k < axis ? before : behind) *= t->dim[k];
}

static inline void onnx_concat(onnx_run *r, const Onnx__NodeProto *n)
{
    int64_t axis = onnx_int_of(n, "axis"), dim[TEST_ONNX_RANK], before, behind, at = 0;
    const onnx_tensor *first = onnx_find(r, n->input[0]);
    memcpy(dim, first->dim, sizeof dim);
    dim[axis] = 0;
    for (size_t k = 0; k < n->n_input; k++) dim[axis] += onnx_find(r, n->input[k])->dim[axis];
    float *y = onnx_make(r, n->output[0], first->rank, dim)->f;
    onnx_around(first, axis, &before, &behind);
    for (size_t k = 0; k < n->n_input; k++) {
        const onnx_tensor *x = onnx_find(r, n->input[k]);
        int64_t length = x->dim[axis] * behind;
        for (int d = 0; d < first->rank; d++) assert_true(d == axis || x->dim[d] == dim[d]);
        for (int64_t i = 0; i < before; i++)
            memcpy(y + i * dim[axis] * behind + at, x->f + i * length, (size_t)length * sizeof *y);
        at += length;
    }
}

static inline void onnx_split(onnx_run *r, const Onnx__NodeProto *n)
{
    int64_t axis = onnx_int_of(n, "axis"), before, behind, at = 0;
    const int64_t *sizes = onnx_ints_of(n, "split", n->n_output);
    for (size_t k = 0; k < n->n_output; k++) {
        onnx_tensor x = *onnx_find(r, n->input[0]);
        int64_t dim[TEST_ONNX_RANK], whole = x.dim[axis];
        memcpy(dim, x.dim, sizeof dim);
        dim[axis] = sizes[k];
        float *y = onnx_make(r, n->output[k], x.rank, dim)->f;
        onnx_around(&x, axis, &before, &behind);
        for (int64_t i = 0; i < before; i++)
            memcpy(y + i * sizes[k] * behind, x.f + (i * whole + at) * behind, (size_t)(sizes[k] * behind) * sizeof *y);
        at += sizes[k];
    }
    assert_int_equal(at, onnx_find(r, n->input[0])->dim[axis]);
}

/* Along the last two of four dimensions. */
static inline void onnx_slice(onnx_run *r, const Onnx__NodeProto *n)
{
    const onnx_tensor *x = onnx_find(r, n->input[0]);
    const int64_t *start = onnx_find(r, n->input[1])->i, *end = onnx_find(r, n->input[2])->i;
    const int64_t *axis = onnx_find(r, n->input[3])->i, *step = onnx_find(r, n->input[4])->i;
    assert_true(axis[0] == 2 && axis[1] == 3 && end[0] > x->dim[2] && end[1] > x->dim[3]);
    int64_t dim[] = {x->dim[0], x->dim[1], (x->dim[2] - start[0] + step[0] - 1) / step[0],
                     (x->dim[3] - start[1] + step[1] - 1) / step[1]};
    float *y = onnx_make(r, n->output[0], 4, dim)->f;
    x = onnx_find(r, n->input[0]);
    for (int64_t i = 0; i < dim[0] * dim[1]; i++)
        for (int64_t at = 0; at < dim[2] * dim[3]; at++) {
            int64_t row = start[0] + at / dim[3] * step[0], column = start[1] + at % dim[3] * step[1];
            y[i * dim[2] * dim[3] + at] = x->f[(i * x->dim[2] + row) * x->dim[3] + column];
        }
}

static inline void onnx_resize(onnx_run *r, const Onnx__NodeProto *n)
{
    const onnx_tensor *x = onnx_find(r, n->input[0]), *by = onnx_find(r, n->input[2]);
    assert_true(onnx_text_is(n, "mode", "nearest") && onnx_text_is(n, "nearest_mode", "floor"));
    assert_true(onnx_text_is(n, "coordinate_transformation_mode", "asymmetric"));
    assert_int_equal(onnx_elements(onnx_find(r, n->input[1])), 0);
    assert_true(by->dim[0] == 4 && by->f[0] == 1 && by->f[1] == 1);
    int64_t dim[] = {x->dim[0], x->dim[1], (int64_t)((float)x->dim[2] * by->f[2]),
                     (int64_t)((float)x->dim[3] * by->f[3])};
    float *y = onnx_make(r, n->output[0], 4, dim)->f;
    x = onnx_find(r, n->input[0]);
    for (int64_t i = 0; i < dim[0] * dim[1]; i++)
        for (int64_t at = 0; at < dim[2] * dim[3]; at++) {
            int64_t row = (int64_t)((float)(at / dim[3]) / by->f[2]),
                    column = (int64_t)((float)(at % dim[3]) / by->f[3]);
            y[i * dim[2] * dim[3] + at] = x->f[(i * x->dim[2] + row) * x->dim[3] + column];
        }
}

static inline void onnx_reshape(onnx_run *r, const Onnx__NodeProto *n)
{
    onnx_tensor x = *onnx_find(r, n->input[0]);
    const onnx_tensor *to = onnx_find(r, n->input[1]);
    int64_t dim[TEST_ONNX_RANK];
    for (int64_t k = 0; k < to->dim[0]; k++) dim[k] = to->i[k] ? to->i[k] : x.dim[k];
    onnx_tensor *y = onnx_make(r, n->output[0], (int)to->dim[0], dim);
    assert_int_equal(onnx_elements(y), onnx_elements(&x));
    memcpy(y->f, x.f, (size_t)onnx_elements(&x) * sizeof *x.f);
}

static inline void onnx_transpose(onnx_run *r, const Onnx__NodeProto *n)
{
    onnx_tensor x = *onnx_find(r, n->input[0]);
    const int64_t *order = onnx_ints_of(n, "perm", (size_t)x.rank);
    int64_t dim[TEST_ONNX_RANK], step[TEST_ONNX_RANK];
    for (int k = x.rank; k-- > 0;) step[k] = k == x.rank - 1 ? 1 : step[k + 1] * x.dim[k + 1];
    for (int k = 0; k < x.rank; k++) dim[k] = x.dim[order[k]];
    float *y = onnx_make(r, n->output[0], x.rank, dim)->f;
    for (int64_t i = 0; i < onnx_elements(&x); i++) {
        int64_t rest = i, from = 0;
        for (int k = x.rank; k-- > 0; rest /= dim[k]) from += rest % dim[k] * step[order[k]];
        y[i] = x.f[from];
    }
}

/* ---- the whole ---- */

static inline void onnx_run_node(onnx_run *r, const Onnx__NodeProto *n)
{
    static const struct {
        const char *type;
        void (*run)(onnx_run *r, const Onnx__NodeProto *n);
    } operators[] = {
        {"Conv", onnx_conv},
        {"MaxPool", onnx_pool},
        {"BatchNormalization", onnx_norm},
        {"Sigmoid", onnx_elementwise},
        {"Relu", onnx_elementwise},
        {"LeakyRelu", onnx_elementwise},
        {"HardSigmoid", onnx_elementwise},
        {"Mul", onnx_binary},
        {"Add", onnx_binary},
        {"Concat", onnx_concat},
        {"Split", onnx_split},
        {"Slice", onnx_slice},
        {"Resize", onnx_resize},
        {"Reshape", onnx_reshape},
        {"Transpose", onnx_transpose},
    };
    for (size_t k = 0; k < sizeof operators / sizeof *operators; k++)
        if (!strcmp(operators[k].type, n->op_type)) {
            operators[k].run(r, n);
            return;
        }
    fail_msg("ONNX: no operator %s", n->op_type);
}

/* Run over `images`, (batch, 3, height, width). Values are found by name with onnx_find; free with onnx_run_free. */
static inline onnx_run *onnx_run_model(const Onnx__ModelProto *m, const float *images, int64_t batch, int64_t height,
                                       int64_t width)
{
    onnx_run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->graph = m->graph;
    for (size_t k = 0; k < m->graph->n_initializer; k++) {
        const Onnx__TensorProto *from = m->graph->initializer[k];
        onnx_tensor *t = onnx_make(r, from->name, (int)from->n_dims, from->dims);
        bool floats = from->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        assert_int_equal(from->raw_data.len, (size_t)onnx_elements(t) * (floats ? sizeof(float) : sizeof(int64_t)));
        if (from->raw_data.len && floats) memcpy(t->f, from->raw_data.data, from->raw_data.len);
        if (floats) continue;
        int64_t *own = malloc(from->raw_data.len);
        assert_non_null(own);
        memcpy(own, from->raw_data.data, from->raw_data.len);
        t->i = own;
    }
    onnx_tensor *input = onnx_make(r, "images", 4, (const int64_t[]){batch, 3, height, width});
    memcpy(input->f, images, (size_t)onnx_elements(input) * sizeof *images);
    for (size_t k = 0; k < m->graph->n_node; k++) onnx_run_node(r, m->graph->node[k]);
    return r;
}

static inline void onnx_run_free(onnx_run *r)
{
    for (int k = 0; k < r->count; k++) {
        free(r->values[k].f);
        free((void *)r->values[k].i);
    }
    free(r);
}

#endif
