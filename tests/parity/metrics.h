/* metrics.h - what metrics.c and validation.c share. */
#ifndef TESTS_PARITY_METRICS_H
#define TESTS_PARITY_METRICS_H

#include "tests/parity/heads.h"

/* Compare rows of x1 y1 x2 y2 score class: the same ones in the same order. */
void metrics_check_boxes(parity *p, const char *what, const float *got, size_t count, const float *want,
                         size_t want_count);
/* Suppression as a fixture describes it (conf_thres, iou_thres, and agnostic, merge, classes where given). */
nms_parameters metrics_nms(parity *p, const yaml_node *about, int classes);
/* The numbers of a key as float32, kept by the parity. */
float *metrics_floats(parity *p, const yaml_node *about, const char *key, size_t *count);

/* metrics/test/. */
void metrics_validation(parity *p);

#endif
