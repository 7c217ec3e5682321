/* pickle_inner.h - the machine and how values are made, for the pickle*.c alone. */
#ifndef MODEL_PICKLE_INNER_H
#define MODEL_PICKLE_INNER_H

#include "worker/model/pickle.h"

enum { PICKLE_CHUNK = 1024 };

/* Values lie in chunks, so that they stay where they are and are freed without following any reference. */
struct pickle {
    pickle_value **chunks;
    size_t chunk_count, chunk_room, value_count;
    char **texts;
    size_t text_count, text_room;
    size_t text_bytes, members; /* in all: calls copy, so a short pickle could ask for much */
    pickle_value *root;
};

status pickle_new(pickle *p, pickle_kind kind, pickle_value **out);
/* A copy of bytes, terminated, that lives as long as the pickle. */
status pickle_keep_bytes(pickle *p, const void *bytes, size_t count, const char **out);
/* Append a member; `key` is NULL for what has none. ERR_FORMAT if the kind has no members. */
status pickle_add(pickle *p, pickle_value *v, const pickle_value *key, const pickle_value *item);
/* What calling `callable` with `arguments`, a TUPLE, stands for: the plain values that Python's own types pickle as calls
 * (OrderedDict, set, bytes), else an inert object. */
status pickle_call(pickle *p, const pickle_value *callable, const pickle_value *arguments, pickle_value **out);

/* ---- the machine ---- */

typedef struct pickle_machine {
    const char *name;
    const unsigned char *bytes;
    size_t count, at; /* at: the next byte */
    size_t start;     /* of the opcode in hand */
    int64_t steps;
    pickle *p;
    pickle_value **stack;
    size_t depth, stack_room;
    size_t *marks; /* depth of the stack when each was set */
    size_t mark_count, mark_room;
    pickle_value **memo;
    size_t memo_count, memo_room; /* how many are put; places in the array */
    bool done;
} pickle_machine;

typedef pickle_machine machine;

/* ERR_FORMAT with the place of the opcode in hand. */
status pickle_malformed(const machine *m, const char *what);
/* The next bytes; an unsigned number of `width` of them, least significant first; the rest of the line without its end, as a
 * copy that lives as long as the pickle. */
status pickle_take(machine *m, size_t count, const unsigned char **out);
status pickle_take_number(machine *m, int width, uint64_t *out);
status pickle_take_line(machine *m, const char **out, size_t *length);
/* Push a value; a fresh one; one of text. */
status pickle_push(machine *m, pickle_value *v);
status pickle_push_new(machine *m, pickle_kind kind, pickle_value **out);
status pickle_push_text(machine *m, pickle_kind kind, const void *bytes, size_t count);

/* Opcodes of scalars. The second argument is what distinguishes relatives: the letter, or the width in bytes. */
status pickle_do_constant(machine *m, int letter);
status pickle_do_int(machine *m, int width);
status pickle_do_long(machine *m, int width);
status pickle_do_double(machine *m, int unused);
status pickle_do_number_line(machine *m, int letter);
status pickle_do_string(machine *m, int width);
status pickle_do_bytes(machine *m, int width);
status pickle_do_text_line(machine *m, int letter);

#endif
