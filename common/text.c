#include "common/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(text *t, size_t more)
{
    if (t->failed) return false;
    if (t->room - t->length > more) return true; /* strictly: one byte stays for the terminator */
    size_t room = t->room ? t->room : 64;
    while (room - t->length <= more) {
        if (room > SIZE_MAX / 2) {
            t->failed = true;
            return false;
        }
        room *= 2;
    }
    char *bytes = realloc(t->bytes, room);
    if (!bytes) {
        t->failed = true;
        return false;
    }
    t->bytes = bytes;
    t->room = room;
    return true;
}

void text_add(text *t, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) t->failed = true;
    if (length >= 0 && make_room(t, (size_t)length)) {
        vsnprintf(t->bytes + t->length, (size_t)length + 1, format, again);
        t->length += (size_t)length;
    }
    va_end(again);
}

void text_add_bytes(text *t, const void *bytes, size_t count)
{
    if (!make_room(t, count)) return;
    if (count) memcpy(t->bytes + t->length, bytes, count);
    t->length += count;
    t->bytes[t->length] = '\0';
}

void text_clear(text *t)
{
    t->length = 0;
    t->failed = false;
    if (t->bytes) t->bytes[0] = '\0';
}

status text_status(const text *t)
{
    return t->failed ? FAIL(ERR_MEMORY, "out of memory for a text of %zu bytes", t->length) : OK;
}

const char *text_string(const text *t)
{
    return t->bytes ? t->bytes : "";
}

char *text_take(text *t)
{
    if (!t->bytes) text_add_bytes(t, "", 0);
    char *bytes = t->failed ? NULL : t->bytes;
    if (t->failed) free(t->bytes);
    *t = (text){0};
    return bytes;
}

void text_free(text *t)
{
    free(t->bytes);
    *t = (text){0};
}

char *text_copy_bytes(const char *bytes, size_t count)
{
    char *copy = malloc(count + 1);
    if (!copy) return NULL;
    memcpy(copy, bytes, count);
    copy[count] = '\0';
    return copy;
}

char *text_copy(const char *string)
{
    return text_copy_bytes(string, strlen(string));
}

bool text_starts_with(const char *string, const char *front)
{
    return strncmp(string, front, strlen(front)) == 0;
}

bool text_ends_with(const char *string, const char *end)
{
    size_t a = strlen(string), b = strlen(end);
    return a >= b && memcmp(string + a - b, end, b) == 0;
}

/* How many bytes the UTF-8 character at `s` has, and which one it is; 0: it is none. */
static size_t read_character(const unsigned char *s, uint32_t *value)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* a longer way to write a character is none */
    size_t count = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    *value = count > 1 ? s[0] & (0x7fu >> count) : s[0];
    for (size_t i = 1; i < count; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0; /* the terminator too */
        *value = *value << 6 | (s[i] & 0x3f);
    }
    bool surrogate = *value >= 0xd800 && *value < 0xe000;
    return count && *value >= least[count] && *value <= 0x10ffff && !surrogate ? count : 0;
}

static bool is_harmful(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0), line = c == 0x2028 || c == 0x2029;
    bool direction = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f;
    return control || line || direction;
}

void text_clean(char *string, bool lines)
{
    for (unsigned char *s = (unsigned char *)string; *s;) {
        uint32_t value;
        size_t count = read_character(s, &value);
        if (*s == '\t') *s = ' ';
        else if (!count || (is_harmful(value) && !(lines && *s == '\n'))) memset(s, '?', count ? count : 1);
        s += count ? count : 1;
    }
}

bool text_to_double(const char *string, double *value)
{
    if (!*string || *string == ' ' || *string == '\t' || *string == '\n') return false;
    char *end;
    errno = 0;
    double number = strtod(string, &end);
    if (*end || (errno == ERANGE && isinf(number))) return false; /* an underflow to a denormal or 0 is fine */
    *value = number;
    return true;
}

bool text_to_long(const char *string, long long *value)
{
    if (!*string || *string == ' ' || *string == '\t' || *string == '\n') return false;
    char *end;
    errno = 0;
    long long number = strtoll(string, &end, 10);
    if (*end || errno == ERANGE) return false;
    *value = number;
    return true;
}

void text_from_double(char *into, double value)
{
    if (isnan(value) || isinf(value)) {
        strcpy(into, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    char digits[TEXT_DOUBLE_ROOM]; /* d.ddde+xx with the fewest digits that read back the same */
    int precision = 0;
    do snprintf(digits, sizeof digits, "%.*e", precision, value);
    while (strtod(digits, NULL) != value && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        char mantissa[TEXT_DOUBLE_ROOM];
        size_t length = (size_t)(strchr(digits, 'e') - digits);
        memcpy(mantissa, digits, length);
        mantissa[length] = '\0';
        snprintf(into, TEXT_DOUBLE_ROOM, "%.20se%c%02d", mantissa, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int decimals = precision - exponent;
    snprintf(into, TEXT_DOUBLE_ROOM, "%.*f", decimals > 1 ? decimals : 1, value);
}
