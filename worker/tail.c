#include "worker/tail.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the UTF-8 letter that starts here; 0 if it is none, or is cut off. */
static size_t letter_bytes(const unsigned char *at, size_t left)
{
    unsigned char c = at[0];
    if (c < 0x80) return c >= 0x20 && c != 0x7f ? 1 : 0;
    size_t n = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (!n || n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f)) return 0; /* overlong; half of a surrogate pair */
    if ((c == 0xf0 && at[1] < 0x90) || (c == 0xf4 && at[1] > 0x8f)) return 0;
    return n;
}

static void make_printable(char *line, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t n = letter_bytes((unsigned char *)line + i, length - i);
        if (!n) line[i] = line[i] == '\t' ? ' ' : '?';
        i += n ? n : 1;
    }
}

static void end_line(tail *t)
{
    size_t at = (t->first + t->count) % TAIL_LINES;
    memcpy(t->lines[at], t->open, t->open_length);
    t->lines[at][t->open_length] = '\0';
    make_printable(t->lines[at], t->open_length);
    if (t->count < TAIL_LINES) t->count++;
    else t->first = (t->first + 1) % TAIL_LINES;
    t->open_length = 0;
    t->ended++;
}

void tail_add(tail *t, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') tail_finish(t); /* so an empty line takes no place */
        else if (t->open_length < TAIL_LINE_MOST) t->open[t->open_length++] = bytes[i];
    }
}

void tail_finish(tail *t)
{
    if (t->open_length) end_line(t);
}

const char *tail_line(const tail *t, size_t i)
{
    return t->lines[(t->first + i) % TAIL_LINES];
}
