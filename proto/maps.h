/* maps.h - MessagePack maps: what is open inside the messages (hyperparameters, options, metrics).
 *
 * A map goes from text keys to numbers, texts, booleans or lists of numbers. Reading validates everything against the tables
 * of common/: an unknown key, a wrong type or a value out of range is refused with words, so nothing else ever reaches a
 * trainer. Sizes are bounded. */
#ifndef PROTO_MAPS_H
#define PROTO_MAPS_H

#include <msgpack.h>
#include <stddef.h>

#include "common/hyp.h"
#include "common/options.h"
#include "common/status.h"

/* Bytes that the caller frees with bytes_free. */
typedef struct bytes {
    void *data;
    size_t count;
} bytes;
void bytes_free(bytes *b);
/* A copy. ERR_MEMORY. */
status bytes_copy(const void *data, size_t count, bytes *out);

/* No map in a message is larger. */
enum { MAP_BYTES_MOST = 1 << 16, MAP_KEYS_MOST = 1024 };

/* ---- whole maps ---- */

/* Hyperparameters: every key of the space, a number each. */
status map_pack_hyps(const hyp_space *space, const double *values, bytes *out);
status map_unpack_hyps(const void *data, size_t count, const hyp_space *space, double *values);

/* Hyperparameters of any trainer: values of rows that the space has are replaced, other plain keys become rows without limits.
 * `values` has room for HYP_MAX. ERR_PROTOCOL for what is no finite number or has no plain key. */
status map_unpack_any_hyps(const void *data, size_t count, hyp_space *space, double *values);

/* Options: the rows' keys as opt.yaml spells them, values as text. Unpacking sets only what the map has; `only` limits it
 * to keys for which it returns true (NULL: all). */
status map_pack_options(const option_row *rows, size_t row_count, const void *values, bytes *out);
status map_unpack_options(const void *data, size_t count, const option_row *rows, size_t row_count, void *values,
                          bool (*only)(const option_row *row));

/* Metrics: names and numbers in order. */
typedef struct metric {
    char key[HYP_KEY_ROOM];
    double value;
} metric;
enum { METRICS_MOST = 64 };
typedef struct metrics {
    size_t count;
    metric item[METRICS_MOST];
} metrics;
void metrics_add(metrics *m, const char *key, double value); /* beyond METRICS_MOST: dropped; long keys are cut */
/* NAN if it is not there. */
double metrics_get(const metrics *m, const char *key);
status map_pack_metrics(const metrics *m, bytes *out);
status map_unpack_metrics(const void *data, size_t count, metrics *out);

/* ---- reading and writing maps piece by piece ---- */

/* Unpack one whole object, which must be a map and fill the bytes. The caller calls msgpack_unpacked_destroy on *out,
 * whatever is returned. ERR_PROTOCOL. */
status map_open(const void *data, size_t count, msgpack_unpacked *out);
/* The value of a key, or NULL. */
const msgpack_object *map_get(const msgpack_object *map, const char *key);
/* Required values: ERR_PROTOCOL naming the key when missing, of another type or out of range. A text is returned as a copy
 * that the caller frees. */
status map_need_double(const msgpack_object *map, const char *key, double *value);
status map_need_int(const msgpack_object *map, const char *key, int64_t low, int64_t high, int64_t *value);
status map_need_text(const msgpack_object *map, const char *key, char **value);

void map_put_text(msgpack_packer *p, const char *key, const char *value);
void map_put_double(msgpack_packer *p, const char *key, double value);
void map_put_int(msgpack_packer *p, const char *key, int64_t value);

#endif
