/* pt_tensors.c - tensors of torch files: where their numbers are, and what they are. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/model/half.h"
#include "worker/model/pt_inner.h"

static const int64_t elements_most = (int64_t)1 << 31; /* of a tensor; strides of 0 could make it any number */

/* The call that rebuilds the tensor, without the parameter around it; NULL if it is none. */
static const pickle_value *tensor_call(const pickle_value *v)
{
    if (pickle_is(v, "torch._utils._rebuild_parameter") || pickle_is(v, "torch._utils._rebuild_parameter_with_state"))
        v = v->arguments ? pickle_at(v->arguments, 0) : NULL;
    bool is_tensor = pickle_is(v, "torch._utils._rebuild_tensor_v2") || pickle_is(v, "torch._utils._rebuild_tensor");
    return is_tensor && v->kind == PICKLE_OBJECT ? v->arguments : NULL;
}

bool pt_is_tensor(const pickle_value *v)
{
    return tensor_call(v) != NULL;
}

static bool read_sizes(const pickle_value *v, int *rank, int64_t sizes[PT_RANK])
{
    if (pickle_is(v, "torch.Size") && v->arguments) v = pickle_at(v->arguments, 0);
    if (!v || v->kind != PICKLE_TUPLE || v->count > PT_RANK) return false;
    *rank = (int)v->count;
    for (int i = 0; i < *rank; i++)
        if (!pickle_int(v->items[i], &sizes[i]) || sizes[i] < 0) return false;
    return true;
}

/* Number of elements, and the last one's place counted from the first; false if they are out of all bounds. */
static bool measure(const pt_tensor *t, int64_t *count, int64_t *last)
{
    *count = 1;
    *last = 0;
    for (int i = 0; i < t->rank; i++) {
        int64_t step;
        if (__builtin_mul_overflow(*count, t->shape[i], count) || *count > elements_most) return false;
        if (t->shape[i] < 2) continue;
        if (__builtin_mul_overflow(t->shape[i] - 1, t->stride[i], &step) || __builtin_add_overflow(*last, step, last))
            return false;
    }
    return true;
}

status pt_tensor_of(const pt_file *f, const pickle_value *v, pt_tensor *out)
{
    const pickle_value *call = tensor_call(v), *from = call ? pickle_at(call, 0) : NULL;
    if (!call) return FAIL(ERR_FORMAT, "%s: a tensor was expected", f->path);
    int strides;
    int64_t last, end, view = 0;
    const char *key = from && from->kind == PICKLE_PERSISTENT ? pickle_string(pickle_at(from->items[0], 2)) : NULL;
    const pt_storage *st = key ? pt_find_storage(f, key) : NULL;
    if (!st || !pickle_int(pickle_at(call, 1), &out->offset) || out->offset < 0 ||
        !read_sizes(pickle_at(call, 2), &out->rank, out->shape) ||
        !read_sizes(pickle_at(call, 3), &strides, out->stride) || strides != out->rank ||
        !measure(out, &out->count, &last))
        return FAIL(ERR_FORMAT, "%s: a tensor is described in a way that cannot be", f->path);
    pickle_int(pickle_at(pickle_at(from->items[0], 5), 1), &view); /* of the older format: where a view starts */
    if (__builtin_add_overflow(out->offset, view, &out->offset) || __builtin_add_overflow(out->offset, last, &end) ||
        view < 0 || (out->count && end >= st->count))
        return FAIL(ERR_FORMAT, "%s: a tensor reaches beyond its storage %s", f->path, key);
    out->type = st->type;
    out->storage = (size_t)(st - f->storages);
    return OK;
}

/* The bytes of the storage from a tensor's first to its last element. The caller frees. */
static status read_span(const pt_file *f, const pt_tensor *t, unsigned char **out)
{
    const pt_storage *st = &f->storages[t->storage];
    int64_t count, last, size = pt_type_bytes[t->type];
    *out = NULL;
    if (!measure(t, &count, &last)) return FAIL(ERR_FORMAT, "%s: a tensor that cannot be", f->path);
    int64_t elements = count ? last + 1 : 0;
    TRY(array_create(out, (size_t)elements, (size_t)size));
    status s = pt_read_bytes(f, st, t->offset * size, *out, elements * size);
    if (s != OK) free(*out), *out = NULL;
    return s;
}

static int64_t integer_at(const unsigned char *bytes, pt_type type)
{
    int64_t wide;
    int32_t middle;
    int16_t narrow;
    switch (type) {
    case PT_LONG: memcpy(&wide, bytes, sizeof wide); return wide;
    case PT_INT: memcpy(&middle, bytes, sizeof middle); return middle;
    case PT_SHORT: memcpy(&narrow, bytes, sizeof narrow); return narrow;
    case PT_CHAR: return (signed char)*bytes;
    case PT_BOOL: return *bytes != 0;
    default: return *bytes;
    }
}

static float float_at(const unsigned char *bytes, pt_type type)
{
    float single;
    double wide;
    uint16_t half;
    switch (type) {
    case PT_FLOAT: memcpy(&single, bytes, sizeof single); return single;
    case PT_DOUBLE: memcpy(&wide, bytes, sizeof wide); return (float)wide;
    case PT_HALF: memcpy(&half, bytes, sizeof half); return half_to_float(half);
    case PT_BFLOAT16: memcpy(&half, bytes, sizeof half); return bfloat16_to_float(half);
    default: return (float)integer_at(bytes, type);
    }
}

/* Go through the elements in C order: set one of the two. */
static status read_elements(pt_file *f, const pt_tensor *t, float *floats, int64_t *integers)
{
    unsigned char *bytes;
    TRY(read_span(f, t, &bytes));
    int64_t index[PT_RANK] = {0}, at = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const unsigned char *from = bytes + at * pt_type_bytes[t->type];
        if (floats) floats[i] = float_at(from, t->type);
        else integers[i] = integer_at(from, t->type);
        for (int d = t->rank; d-- > 0;) { /* the next index, the last dimension fastest */
            at += t->stride[d];
            if (++index[d] < t->shape[d]) break;
            at -= index[d] * t->stride[d];
            index[d] = 0;
        }
    }
    free(bytes);
    return OK;
}

status pt_read(pt_file *f, const pt_tensor *t, float *out)
{
    return read_elements(f, t, out, NULL);
}

status pt_read_ints(pt_file *f, const pt_tensor *t, int64_t *out)
{
    if (t->type <= PT_DOUBLE) return FAIL(ERR_FORMAT, "%s: integers were expected, found floats", f->path);
    return read_elements(f, t, NULL, out);
}
