/* evaluate.h - a trained model on a data set, without training: `train --task val|test --weights X`. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "common/data_yaml.h"
#include "common/train_options.h"

typedef struct evaluate_options {
    const train_options *train; /* weights, data, batch and picture size, device, precision */
    const data_yaml *data;
    data_split split;
    double min_score, max_iou;
    bool merge, verbose; /* box averaging; a line for each class */
    bool agnostic;       /* boxes of different classes suppress each other */
    int_list classes;    /* boxes of these classes alone; none: of all */
    bool json;           /* COCO's result format, too: also when the data yaml's name ends with coco.yaml */
    const char *folder;  /* for that and for pictures; made when they are wanted */
} evaluate_options;

/* Print the table of precision, recall and mAP to standard output, and the speed. Losses are not computed. */
status evaluate_run(const evaluate_options *o);

#endif
