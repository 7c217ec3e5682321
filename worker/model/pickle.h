/* pickle.h - read Python pickles as data.
 *
 * A pickle is a program for a small stack machine. Here it is walked and nothing of it is run: classes and functions that it
 * names become inert objects (name, arguments, state), so a hostile file can at most be refused. All opcodes of protocols
 * 0 to 4 are understood, but for the registry of extension codes. Size, number of values and of opcodes are bounded, and
 * nothing recurses.
 *
 * The values form a graph: one may be reached on several ways (Python's memo), even from within itself. */
#ifndef MODEL_PICKLE_H
#define MODEL_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_LONG, /* an integer beyond 64 bits: its bytes, two's complement, least significant first */
    PICKLE_FLOAT,
    PICKLE_STRING, /* UTF-8; of Python 2 any bytes */
    PICKLE_BYTES,
    PICKLE_LIST,
    PICKLE_TUPLE,
    PICKLE_SET,
    PICKLE_DICT,       /* collections.OrderedDict too */
    PICKLE_GLOBAL,     /* a class or function: its name, "torch.FloatStorage" */
    PICKLE_OBJECT,     /* what calling one would have made */
    PICKLE_PERSISTENT, /* something outside the pickle; items[0] says what */
} pickle_kind;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *bytes; /* LONG, STRING, BYTES, and the name of GLOBAL and OBJECT; terminated */
            size_t length;
        };
    };
    /* The members of LIST, TUPLE, SET; the values of DICT, its keys beside them. An OBJECT has them when its class is some kind
     * of list or dictionary. */
    const pickle_value **items, **keys;
    size_t count;
    const pickle_value *arguments; /* of OBJECT: a TUPLE */
    const pickle_value *state;  /* of OBJECT, also of a DICT with attributes: what __setstate__ would get; NULL: none */
    size_t item_room, key_room; /* for pickle.c */
};

typedef struct pickle pickle;

enum { PICKLE_BYTES_MOST = 64 << 20, PICKLE_VALUES_MOST = 4 << 20, PICKLE_STEPS_MOST = 16 << 20 };

/* Read one pickle from the front of `bytes`. `name` stands for it in messages; *used (may be NULL) is how long it is. ERR_FORMAT
 * with the place for what is malformed, ERR_RANGE for what exceeds the bounds, ERR_MEMORY. The bytes may go afterwards. */
status pickle_read(const char *name, const void *bytes, size_t count, pickle **out, size_t *used);
void pickle_destroy(pickle **p);

/* Values are borrowed from the pickle. All of these take NULL for a value that is not there, and then say so themselves. */
const pickle_value *pickle_root(const pickle *p);
/* All values in the order in which they were made: what is not reached from the root is among them. */
size_t pickle_count(const pickle *p);
const pickle_value *pickle_nth(const pickle *p, size_t index);
/* The value of a text key in a dictionary, or of an attribute of an object; of equal keys the last. */
const pickle_value *pickle_get(const pickle_value *v, const char *key);
/* The value of an integer key in a dictionary, or the member at that place of a list or tuple. */
const pickle_value *pickle_at(const pickle_value *v, int64_t index);
/* One step after the other: "optimizer/param_groups/0/lr". A part that is a number is looked up with pickle_at when it is no
 * text key. */
const pickle_value *pickle_find(const pickle_value *v, const char *path);

/* Is it an object made by, or is it itself, the class or function of that name? */
bool pickle_is(const pickle_value *v, const char *name);
/* False, and *out as it was, for another kind. Whole floats are no integers; integers are floats, and so are booleans both. */
bool pickle_int(const pickle_value *v, int64_t *out);
bool pickle_double(const pickle_value *v, double *out);
/* The text of a STRING without a 0 in it, else NULL. */
const char *pickle_string(const pickle_value *v);

#endif
