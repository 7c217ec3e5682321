/* test_model.h - a detector of two levels and 12,000 parameters, for the tests of this folder. */
#ifndef TRAIN_TEST_MODEL_H
#define TRAIN_TEST_MODEL_H

static const char test_model[] =
    "nc: 2\ndepth_multiple: 0.33\nwidth_multiple: 0.25\nanchors:\n  - [8,8, 12,12]\n  - [16,16, 20,20]\n"
    "backbone:\n  - [-1, 1, Focus, [32, 3]]\n  - [-1, 1, Conv, [32, 3, 2]]\n"
    "  - [-1, 3, BottleneckCSP, [32]]\n  - [-1, 1, Conv, [64, 3, 2]]\n"
    "head:\n  - [[2, 3], 1, Detect, [nc, anchors]]\n";

#endif
