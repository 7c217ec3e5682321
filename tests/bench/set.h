/* set.h - the data set that a benchmark reads: made in a folder of its own, or the user's.
 *
 * What is made are JPEGs of 640 x 480 by the program `shapes`; drawing them takes long, so a few stand there many times, under as
 * many names. */
#ifndef TESTS_BENCH_SET_H
#define TESTS_BENCH_SET_H

#include "common/data_yaml.h"

enum { SET_TRAIN = 205, SET_VAL = 87 }; /* pictures, as many as the blood cell set has */

typedef struct bench_set {
    char *folder; /* made for it; NULL: the user's data */
    char *yaml;   /* text */
    char *root;   /* where its relative paths start */
    data_yaml data;
} bench_set;

/* `yaml` is a file, or "": make one. {0} and what is open can be closed. */
status bench_set_open(const char *yaml, bench_set *out);
void bench_set_close(bench_set *s);

#endif
