/* text.h - a string that grows.
 *
 *     text line = {0};
 *     text_add(&line, "%s has %d rows", path, rows);
 *     TRY(text_status(&line));          // one check at the end: a failed allocation is remembered, and later adds do nothing
 *     puts(line.bytes);
 *     text_free(&line);
 *
 * {0} is an empty text. `bytes` is always terminated, never NULL after the first add, and owned by the text. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

typedef struct text {
    char *bytes;
    size_t length, room;
    bool failed;
} text;

void text_add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(text *t, const void *bytes, size_t count);
/* Keep the memory, drop the contents (and a remembered failure). */
void text_clear(text *t);
/* OK, or ERR_MEMORY if any add failed. */
status text_status(const text *t);
/* The contents as a string: "" for an untouched text. Borrowed. */
const char *text_string(const text *t);
/* Returns the string, which the caller frees, and leaves the text empty. NULL if an add failed. */
char *text_take(text *t);
void text_free(text *t);

/* Copy of a string, or of its first `count` bytes; the caller frees. NULL without memory. */
char *text_copy(const char *string);
char *text_copy_bytes(const char *bytes, size_t count);
bool text_starts_with(const char *string, const char *front);
bool text_ends_with(const char *string, const char *end);

/* Make a text that came from elsewhere harmless to terminals, logs and those who read them: what is no UTF-8, moves the cursor or
 * turns the direction of writing becomes question marks, a tab a space. With `lines` newlines stay. In place, of the same length. */
void text_clean(char *string, bool lines);

/* Parse a whole string as a number: nothing before or after it, in range, finite unless it says nan or inf.
 * False leaves *value alone. */
bool text_to_double(const char *string, double *value);
bool text_to_long(const char *string, long long *value);

/* The shortest decimal that reads back as the same double, written as Python's repr() does: 0.01, 1e-05, 1e+16, 3.0,
 * nan, inf. `room` of at least TEXT_DOUBLE_ROOM. */
enum { TEXT_DOUBLE_ROOM = 48 };
void text_from_double(char *into, double value);

#endif
