/* data_shared.h - what data.c and data_samples.c have in common. */
#ifndef TESTS_PARITY_DATA_SHARED_H
#define TESTS_PARITY_DATA_SHARED_H

#include "common/hyp.h"
#include "tests/parity/parity.h"
#include "worker/data/dataset.h"
#include "worker/data/image.h"
#include "worker/data/sample.h"

/* The tolerances of the fixtures' README for 8-bit pixels. */
#define SAME_RESIZE ((tolerance){.mean = 0.25, .max = 2})
#define SAME_COLOUR ((tolerance){.mean = 0.5, .max = 9})

/* Cases of data_samples.c; `data` is NULL when the pictures are missing. */
void data_run_letterbox(parity *p);
void data_run_hsv(parity *p);
void data_run_perspective(parity *p);
void data_run_box_candidates(parity *p);
void data_run_mosaic(parity *p, const dataset *data);
void data_run_getitem(parity *p, const dataset *data);

/* The "cases" of a JSON file; NULL (and a failed case) if there are none. */
const yaml_node *data_cases(parity *p, const char *path);
/* Fail the case for every key that is not among `known`, names separated by spaces. */
void data_keys(parity *p, const yaml_node *map, const char *known);
/* Index of a picture by its file's name; -1, with a failed case, if there is none. */
int data_index(parity *p, const dataset *data, const char *name);
/* Numbers [a, b] of a key, or the same one twice when it is a single number. */
void data_pair(parity *p, const yaml_node *map, const char *key, int *a, int *b);

/* A fixture's BGR picture (H, W, 3) as RGB; kept by the parity. Empty if it is none. */
image data_picture(parity *p, const npy *bgr);
/* The part of a picture from (x, y); kept by the parity. */
image data_crop(parity *p, const image *from, int x, int y, int width, int height);
bool data_same_picture(parity *p, const char *what, const image *got, const image *want, tolerance t);

/* The forms of OP_AUGMENT that every sample is made by. */
typedef struct data_form {
    const char *name;
    status (*run)(const augment_sample *s, const uint8_t *images, size_t bytes, int width, int height, uint8_t *out);
} data_form;
enum { DATA_FORMS = 2 };
extern const data_form data_forms[DATA_FORMS];

/* Labels of a fixture (n, 6): 0 or the image, class, x, y, w, h. */
void data_same_labels(parity *p, const char *what, const label *got, size_t count, const npy *want);
sample_settings data_settings(parity *p, const dataset *data, const yaml_node *hyp, int image_size);

#endif
