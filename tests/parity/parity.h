/* parity.h - compare Mendel with recorded results of the reference.
 *
 * `parity DIR [--data YAML] [--only FOLDER]` runs every case below DIR (the layout is described in ../shared/golden/README.md
 * of the development tree). Nothing about the fixtures is compiled in: each folder's runner finds its cases by reading the
 * folder, and every file that no runner has asked for counts as a failure in the end.
 *
 * A runner is a function in a file of the folder's name:
 *
 *     void parity_rng(parity *p)
 *     {
 *         yaml *file = parity_json(p, "rng/rng.json");
 *         ... for each case:
 *         case_start(p, "rng/%lld", seed);
 *         case_numbers(p, "random", got, want, n, EXACT);
 *         case_end(p);
 *     }
 *
 * A check that fails is printed and makes its case fail; the runner goes on. */
#ifndef TESTS_PARITY_H
#define TESTS_PARITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/data_yaml.h"
#include "common/yaml.h"
#include "worker/backend/backend.h"

typedef struct parity parity;

/* ---- runners: one a folder, in tests/parity/<folder>.c ---- */

void parity_rng(parity *p);
void parity_evolve(parity *p);
void parity_formats(parity *p);
void parity_schedule(parity *p);
void parity_data(parity *p);
void parity_anchors(parity *p);
void parity_metrics(parity *p);
void parity_loss(parity *p);
void parity_model(parity *p);
void parity_train(parity *p);

/* ---- the fixtures ---- */

/* Is there such a file below DIR? Asking does not mark it as used. */
bool parity_has(parity *p, const char *path);
/* Names in a folder below DIR, sorted; kept by the parity. Empty if it is not there. */
const fs_names *parity_list(parity *p, const char *folder);
/* A JSON file below DIR. Kept by the parity; NULL (and a failed case) if it cannot be read. JSON is read by the YAML reader,
 * so numbers keep their text. Marks the file as used, as all of these do. */
const yaml_node *parity_json(parity *p, const char *path);
/* A file's text and length; kept by the parity; NULL and a failed case if missing. */
const char *parity_text(parity *p, const char *path, size_t *length);
/* Mark a file as used by hand, or as one that a later version will use, with the reason: printed, not counted. */
void parity_use(parity *p, const char *path);
void parity_not_yet(parity *p, const char *path, const char *reason);
/* DIR/path as the operating system knows it; kept by the parity. */
const char *parity_path(parity *p, const char *path);

/* An array from a .npy file: C order. `f` holds the values as float32 whatever the file's type is; `i` as int64 for int64 and
 * uint8 files (NULL for float32), `u` the bytes of uint8 files (else NULL). Kept by the parity. */
typedef struct npy {
    shape shape;
    size_t count;
    float *f;
    int64_t *i;
    uint8_t *u;
} npy;
const npy *parity_npy(parity *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The data set that goes with the fixtures; NULL, with a failed case, if there is none. */
const data_yaml *parity_data_set(parity *p);
/* The CPU backend and its device (2 threads); NULL with a failed case if it cannot be loaded. */
const backend_ops *parity_backend(parity *p, device **d);
/* A folder for files that a test writes; removed at the end. */
const char *parity_scratch(parity *p);

/* ---- JSON values: a failed case and a neutral value when something else is there ---- */

const yaml_node *json_get(parity *p, const yaml_node *map, const char *key);
double json_double(parity *p, const yaml_node *map, const char *key);
int64_t json_int(parity *p, const yaml_node *map, const char *key);
bool json_bool(parity *p, const yaml_node *map, const char *key);
const char *json_string(parity *p, const yaml_node *map, const char *key);
/* The number in a node: decimal, C "%a" text, or "nan", "inf", "-inf". */
double json_number(parity *p, const yaml_node *node);
/* All numbers in a list (of lists ...), row by row; *count is how many. Kept by the parity. */
const double *json_numbers(parity *p, const yaml_node *node, size_t *count);
/* The doubles of `key`, from its exact "key_hex" twin if there is one. */
const double *json_exact(parity *p, const yaml_node *map, const char *key, size_t *count);

/* ---- cases ---- */

/* Start a case of this name; its folder is what stands before the first slash. */
void case_start(parity *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Count the case as run. */
void case_end(parity *p);
void case_fail(parity *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool case_failed(const parity *p);
/* False, and a failed case with the last sentence, when `s` is not OK. */
bool case_ok(parity *p, const char *what, status s);

typedef struct tolerance {
    double rel;    /* of each value, relative to the larger of the two */
    double abs;    /* of each value; one of rel and abs is enough */
    double rel_l2; /* |a - b| / |b| over all; 0: not asked */
    double max;    /* largest difference allowed besides; 0: not asked */
    double mean;   /* mean absolute difference allowed; 0: not asked */
} tolerance;
/* Equal doubles (NaN equals NaN, 0 equals -0). */
#define EXACT ((tolerance){0})

/* Compare: every value within rel or abs when either is given (exact when nothing at all is asked), and the norms asked for. */
bool case_numbers(parity *p, const char *what, const double *got, const double *want, size_t count, tolerance t);
bool case_floats(parity *p, const char *what, const float *got, const float *want, size_t count, tolerance t);
bool case_ints(parity *p, const char *what, const int64_t *got, const int64_t *want, size_t count);
bool case_bytes(parity *p, const char *what, const uint8_t *got, const uint8_t *want, size_t count, tolerance t);
bool case_text(parity *p, const char *what, const char *got, size_t got_length, const char *want, size_t want_length);
bool case_int(parity *p, const char *what, int64_t got, int64_t want);
bool case_number(parity *p, const char *what, double got, double want, tolerance t);

/* A text put together; kept by the parity. */
const char *parity_name(parity *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Memory that the parity frees in the end; the program ends without it. */
void *parity_alloc(parity *p, size_t bytes);

#endif
