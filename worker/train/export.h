/* export.h - a trained model as an ONNX file: `train --task export --weights best.pt`. */
#ifndef TRAIN_EXPORT_H
#define TRAIN_EXPORT_H

#include "common/train_options.h"

typedef struct export_options {
    const train_options *train; /* weights; cfg for weights without a yaml; img_size: height, width */
    bool decode;                /* boxes instead of raw heads */
} export_options;

/* Write it beside the weights: best.onnx for best.pt. Says where, and with which shapes. */
status export_run(const export_options *o);

#endif
