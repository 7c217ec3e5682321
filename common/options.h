/* options.h - command line options as tables.
 *
 * A program's options are sections of rows. Parsing, defaults, --help, man pages, opt.yaml and the maps on the wire all
 * come from the rows, so they cannot disagree. Each row says where its value lies in a struct:
 *
 *     typedef struct options { int64_t epochs; bool rect; char *name; } options;
 *     #define OPTIONS(ROW) \
 *         ROW(options, epochs, INT,    "epochs", "", "300", 1, 1e6, "N",  "passes over the training images") \
 *         ROW(options, rect,   FLAG,   "rect",   "", "",    0, 0,   "",   "rectangular training") \
 *         ROW(options, name,   STRING, "name",   "", "",    0, 0,   "NAME", "added to the run folder's name")
 *     static const option_row rows[] = {OPTIONS(OPTION_AS_ROW)};
 *
 * As argparse does, --name VALUE and --name=VALUE are the same, and an unambiguous front (--img, --batch) will do. */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/fs.h"
#include "common/status.h"
#include "common/text.h"

typedef enum option_type {
    OPTION_FLAG,   /* bool: false, or true when given; takes no value on the command line */
    OPTION_INT,    /* int64_t in low..high */
    OPTION_DOUBLE, /* double in low..high */
    OPTION_STRING, /* char *, owned by the struct, never NULL after options_defaults */
    OPTION_CHOICE, /* int: index into `value`, the choices separated by | */
    OPTION_INTS,   /* int_list: one or more numbers, each in low..high */
    OPTION_MAYBE,  /* char *: "" when not given; "true" when given without a value (argparse's nargs='?') */
} option_type;

enum { INT_LIST_MOST = 8 };
typedef struct int_list {
    size_t count;
    int64_t values[INT_LIST_MOST];
} int_list;

typedef struct option_row {
    const char *name;    /* without dashes: batch-size; in opt.yaml and on the wire batch_size */
    const char *aliases; /* other spellings, separated by spaces */
    option_type type;
    size_t offset;        /* of the value in its struct */
    const char *fallback; /* the default, as it would be written */
    double low, high;
    const char *value; /* what --help shows for the value; the choices of OPTION_CHOICE */
    const char *help;  /* one sentence without a stop; "" keeps the option out of --help */
} option_row;

#define OPTION_AS_ROW(into, field, kind, name, aliases, fallback, low, high, value, help)                              \
    {name, aliases, OPTION_##kind, offsetof(into, field), fallback, low, high, value, help},

typedef struct option_section {
    const char *title; /* of its part of --help */
    const option_row *rows;
    size_t count;
    void *values; /* the struct; borrowed */
    bool *given;  /* one a row: did the user say it? borrowed; may be NULL */
} option_section;

/* Set every value to its default. Call before anything else; options_free undoes it. ERR_MEMORY. */
status options_defaults(const option_section *sections, size_t count);
void options_free(const option_section *sections, size_t count);

/* Read a command line (argv[0] is skipped) over the defaults. What is no option goes to `positional`, which may be NULL
 * when none is allowed. Errors: ERR_ARGUMENT, one sentence. */
status options_parse(const option_section *sections, size_t count, int argc, char **argv, fs_names *positional);

/* Set one value from text, as opt.yaml and the wire do. `origin` starts the message ("opt.yaml:3", "coordinator").
 * Lists are given as numbers separated by spaces. */
status options_set(const option_row *row, void *values, const char *text_value, const char *origin);
/* Row of a key, in its spelling with dashes or underscores; NULL if unknown. */
const option_row *options_find(const option_row *rows, size_t count, const char *key);
/* A value as text that options_set reads back. */
void options_get(const option_row *row, const void *values, text *out);
/* The key as opt.yaml spells it. `room` of at least OPTION_KEY_ROOM. */
enum { OPTION_KEY_ROOM = 64 };
void options_key(const option_row *row, char *key);

/* Append `key: value` lines in YAML, as the reference writes opt.yaml. */
void options_write_yaml(const option_row *rows, size_t count, const void *values, text *out);

/* --help, and a man page in troff: the same rows. `usage` and `about` are plain text. */
void options_help(const option_section *sections, size_t count, const char *usage, const char *about, FILE *to);
void options_man(const option_section *sections, size_t count, const char *name, const char *usage, const char *about,
                 FILE *to);

#endif
