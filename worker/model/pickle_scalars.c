/* pickle_scalars.c - opcodes that push numbers and texts. */
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "worker/model/pickle_inner.h"

/* ---- constants and numbers ---- */

status pickle_do_constant(machine *m, int what)
{
    pickle_value *v;
    TRY(pickle_push_new(m, what == 'N' ? PICKLE_NONE : PICKLE_BOOL, &v));
    v->boolean = what == 'T';
    return OK;
}

/* BININT is signed, BININT1 and BININT2 are not. */
status pickle_do_int(machine *m, int width)
{
    uint64_t bits;
    pickle_value *v;
    TRY(pickle_take_number(m, width, &bits));
    TRY(pickle_push_new(m, PICKLE_INT, &v));
    v->integer = width == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits;
    return OK;
}

status pickle_do_long(machine *m, int width)
{
    uint64_t length;
    const unsigned char *bytes;
    pickle_value *v;
    TRY(pickle_take_number(m, width, &length));
    TRY(pickle_take(m, length, &bytes));
    TRY(pickle_push_new(m, length > 8 ? PICKLE_LONG : PICKLE_INT, &v));
    if (length > 8) {
        v->length = length;
        return pickle_keep_bytes(m->p, bytes, length, &v->bytes);
    }
    uint64_t bits = length && bytes[length - 1] >> 7 ? UINT64_MAX : 0; /* the sign fills what is not written */
    for (uint64_t i = length; i-- > 0;) bits = bits << 8 | bytes[i];
    v->integer = (int64_t)bits;
    return OK;
}

status pickle_do_double(machine *m, int unused)
{
    (void)unused;
    const unsigned char *bytes;
    pickle_value *v;
    TRY(pickle_take(m, 8, &bytes));
    TRY(pickle_push_new(m, PICKLE_FLOAT, &v));
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) bits = bits << 8 | bytes[i]; /* most significant first, the only one */
    memcpy(&v->number, &bits, sizeof v->number);
    return OK;
}

/* Protocol 0: numbers as text. I00 and I01 are booleans, L ends in an L. */
status pickle_do_number_line(machine *m, int what)
{
    const char *line;
    size_t length;
    pickle_value *v;
    TRY(pickle_take_line(m, &line, &length));
    if (what == 'I' && (!strcmp(line, "00") || !strcmp(line, "01")))
        return pickle_do_constant(m, line[1] == '1' ? 'T' : 'F');
    TRY(pickle_push_new(m, what == 'F' ? PICKLE_FLOAT : PICKLE_INT, &v));
    if (what == 'F') return text_to_double(line, &v->number) ? OK : pickle_malformed(m, "a number was expected");
    char digits[32];
    if (length && line[length - 1] == 'L') length--;
    if (length >= sizeof digits) return pickle_malformed(m, "an integer of this size is not accepted");
    memcpy(digits, line, length);
    digits[length] = '\0';
    long long value;
    if (!text_to_long(digits, &value)) return pickle_malformed(m, "an integer of 64 bits was expected");
    v->integer = value;
    return OK;
}

/* ---- texts ---- */

status pickle_do_string(machine *m, int width)
{
    uint64_t length;
    const unsigned char *bytes;
    TRY(pickle_take_number(m, width, &length));
    TRY(pickle_take(m, length, &bytes));
    return pickle_push_text(m, PICKLE_STRING, bytes, length);
}

status pickle_do_bytes(machine *m, int width)
{
    uint64_t length;
    const unsigned char *bytes;
    TRY(pickle_take_number(m, width, &length));
    TRY(pickle_take(m, length, &bytes));
    return pickle_push_text(m, PICKLE_BYTES, bytes, length);
}

static void add_utf8(text *t, unsigned long c)
{
    char bytes[4];
    size_t count = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = count; i-- > 1; c >>= 6) bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(first[count] | c);
    text_add_bytes(t, bytes, count);
}

/* The character of a hexadecimal escape with so many digits; false if they are not there. */
static bool read_hex(const char *from, size_t digits, unsigned long *out)
{
    char part[9] = "";
    for (size_t i = 0; i < digits; i++) {
        if (!strchr("0123456789abcdefABCDEF", from[i]) || !from[i]) return false;
        part[i] = from[i];
    }
    *out = strtoul(part, NULL, 16);
    return *out < 0x110000;
}

/* One escape of protocol 0, after the backslash: \uXXXX and \UXXXXXXXX in unicode lines; \xXX, \n, \t, \r, \\, \' and \" in
 * quoted ones, as Python 2's repr() wrote them. Returns how many characters it has, 0 if it is none. */
static size_t read_escape(const char *from, bool unicode, text *out)
{
    static const char letters[] = "ntr\\'\"", meanings[] = "\n\t\r\\'\"";
    unsigned long c;
    size_t digits = unicode ? *from == 'u' ? 4 : *from == 'U' ? 8 : 0 : *from == 'x' ? 2 : 0;
    if (digits && read_hex(from + 1, digits, &c)) {
        if (unicode) add_utf8(out, c);
        else text_add_bytes(out, &(char){(char)c}, 1);
        return digits + 1;
    }
    const char *letter = *from && !unicode ? strchr(letters, *from) : NULL;
    if (letter) text_add_bytes(out, &meanings[letter - letters], 1);
    return letter ? 1 : 0;
}

status pickle_do_text_line(machine *m, int what)
{
    const char *line;
    size_t length, from = 0;
    bool unicode = what == 'V';
    TRY(pickle_take_line(m, &line, &length));
    if (!unicode) {
        bool quoted = length >= 2 && (*line == '\'' || *line == '"') && line[length - 1] == *line;
        if (!quoted) return pickle_malformed(m, "a text in quotes was expected");
        from = 1;
        length--;
    }
    text out = {0};
    text_add_bytes(&out, "", 0);
    for (size_t i = from; i < length; i++) {
        size_t escape = line[i] == '\\' ? read_escape(line + i + 1, unicode, &out) : 0;
        if (escape) i += escape;
        else if (unicode) add_utf8(&out, (unsigned char)line[i]); /* raw-unicode-escape: the rest is Latin-1 */
        else text_add_bytes(&out, line + i, 1);
    }
    status s = text_status(&out);
    if (s == OK) s = pickle_push_text(m, PICKLE_STRING, text_string(&out), out.length);
    text_free(&out);
    return s;
}
