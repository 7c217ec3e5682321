#include "worker/backend/tensor.h"

size_t dtype_size(dtype type)
{
    return type == DTYPE_U8 ? 1 : 4;
}

int64_t shape_count(const shape *s)
{
    int64_t count = 1;
    for (int i = 0; i < s->rank; i++) count *= s->dim[i];
    return count;
}

int shape_equal(const shape *a, const shape *b)
{
    if (a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

shape shape_of(int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (shape){.rank = rank, .dim = {a, b, c, d}};
}
