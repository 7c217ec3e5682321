/* onnx.h - a model as an ONNX file, for onnxruntime and others.
 *
 * Operator set 12, float32. The input `images` is (batch, 3, height, width), RGB from 0 to 1; batch is free, the size is not. The
 * outputs are, as the reference's export.py has them, the raw heads: (batch, anchors, ny, nx, 5 + classes) a level, named output,
 * output1, output2; or, decoded, one `output` (batch, rows, 5 + classes): boxes x y w h in pixels, objectness and classes from 0 to 1,
 * the rows of a level over anchor, y, x.
 *
 * Norms that follow a convolution are folded into it. Hardswish is x * HardSigmoid(x), which this operator set has no operator for.
 *
 * Source: export.py of models/; the operators are ONNX's. */
#ifndef MODEL_ONNX_H
#define MODEL_ONNX_H

#include "worker/model/model.h"

typedef struct onnx_options {
    int height, width;        /* of the pictures: multiples of the largest stride */
    bool decode;              /* boxes instead of raw heads */
    const char *const *names; /* of the model's classes, kept in the file; NULL: none */
} onnx_options;

/* Append the file's bytes. ERR_ARGUMENT for a size that does not go, ERR_MEMORY. */
status onnx_build(const model *m, const onnx_options *o, text *out);
/* Write it, atomically; errors of fs_write besides. */
status onnx_write(const model *m, const onnx_options *o, const char *path);

#endif
