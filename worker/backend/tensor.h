/* tensor.h - types and shapes of tensors. */
#ifndef BACKEND_TENSOR_H
#define BACKEND_TENSOR_H

#include <stddef.h>
#include <stdint.h>

/* What callers see. What a plan computes with inside (bf16, fp16, blocked layouts) is its own business. */
typedef enum dtype { DTYPE_F32, DTYPE_I32, DTYPE_U8 } dtype;

enum { TENSOR_RANK = 6 };

typedef struct shape {
    int rank;
    int64_t dim[TENSOR_RANK];
} shape;

size_t dtype_size(dtype type);
int64_t shape_count(const shape *s);
int shape_equal(const shape *a, const shape *b);
shape shape_of(int rank, int64_t a, int64_t b, int64_t c, int64_t d);

#endif
