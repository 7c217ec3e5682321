/* yaml.h - read YAML into a tree that remembers its lines, and write it as the reference does.
 *
 * Reading is libyaml's parser with the types of YAML 1.1 as PyYAML resolves them (so yes/no are booleans, and 1e-5
 * without a dot is a string, which yaml_need_double accepts as a number all the same). Anchors, tags and several
 * documents are refused: the files read here have none. Depth and size are bounded.
 *
 * Writing gives the bytes of yaml.dump(..., sort_keys=False) for maps of numbers, booleans, strings, null and lists of
 * them. */
#ifndef COMMON_YAML_H
#define COMMON_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "common/text.h"

typedef enum yaml_kind { YAML_NULL, YAML_BOOL, YAML_INT, YAML_FLOAT, YAML_STRING, YAML_LIST, YAML_MAP } yaml_kind;

typedef struct yaml_node yaml_node;
struct yaml_node {
    yaml_kind kind;
    int line;     /* counted from 1 */
    char *scalar; /* the text of a scalar as written, without quotes; NULL for lists and maps */
    union {
        bool boolean;
        int64_t integer;
        double number; /* of YAML_FLOAT */
    };
    size_t count, room; /* of a list or map */
    size_t key_room;
    yaml_node *items; /* of a list or map */
    yaml_node *keys;  /* of a map, as many as items; NULL otherwise */
};

typedef struct yaml yaml; /* a parsed file: its name and its root */

/* Read a file, or text that goes by `name` in messages. Errors: ERR_NOT_FOUND, ERR_IO; ERR_FORMAT with file and line.
 * An empty document is a YAML_NULL root. */
status yaml_read(const char *path, yaml **out);
status yaml_parse(const char *name, const char *bytes, size_t count, yaml **out);
void yaml_destroy(yaml **file);

/* Borrowed from the file. */
const yaml_node *yaml_root(const yaml *file);
const char *yaml_name(const yaml *file);
/* Value of a key in a map; NULL if `map` is no map or has no such key. */
const yaml_node *yaml_get(const yaml_node *map, const char *key);
/* Text of any scalar (a number's as it was written); NULL for lists, maps and null. */
const char *yaml_string(const yaml_node *node);

/* ERR_FORMAT with "file:line: " in front. */
status yaml_fail(const yaml *file, const yaml_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The value of a node, or an error that names file, line, `what` it is, and what was found. Numbers may be integers or
 * floats, and strings such as 1e-5 that YAML 1.1 does not take for floats. */
status yaml_need_double(const yaml *file, const yaml_node *node, const char *what, double *value);
status yaml_need_int(const yaml *file, const yaml_node *node, const char *what, int64_t low, int64_t high,
                     int64_t *value);
status yaml_need_string(const yaml *file, const yaml_node *node, const char *what, const char **value);

/* ---- writing: each appends one scalar as PyYAML writes it; failures stay in the text ---- */

void yaml_write_double(text *out, double value);
void yaml_write_bool(text *out, bool value);
/* Plain where that reads back as the same string, else in single quotes (double where control characters need it). */
void yaml_write_string(text *out, const char *value);
/* A whole tree (map or list at the top) in block style. */
void yaml_write(text *out, const yaml_node *node);

#endif
