#include "coordinator/dashboard/json.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int utf8_length(const char *at)
{
    const unsigned char *c = (const unsigned char *)at;
    if (c[0] < 0x80) return 1;
    int length = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    if (c[0] < 0xc2 || c[0] > 0xf4) return 0;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80) return 0; /* the terminator too */
    /* Longer than it need be, a half of a surrogate pair, or beyond U+10FFFF. */
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f)) return 0;
    if ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f)) return 0;
    return length;
}

/* Bytes of the next character if it stands in a string as it is; 0: it does not, or the text ends. */
static int plain_length(const char *at)
{
    unsigned char c = (unsigned char)*at;
    return c < 0x20 || c == '"' || c == '\\' || c == 0x7f ? 0 : utf8_length(at);
}

static void add_escaped(text *out, unsigned char c)
{
    if (c >= 0x80) text_add_bytes(out, "\xef\xbf\xbd", 3); /* no UTF-8 */
    else if (c == '\n') text_add_bytes(out, "\\n", 2);
    else if (c == '\t') text_add_bytes(out, "\\t", 2);
    else text_add(out, c < 0x20 || c == 0x7f ? "\\u%04x" : "\\%c", c);
}

void json_string(text *out, const char *words)
{
    if (!words) {
        text_add_bytes(out, "null", 4);
        return;
    }
    text_add_bytes(out, "\"", 1);
    while (*words) {
        size_t count = 0;
        for (int length; (length = plain_length(words + count));) count += (size_t)length;
        text_add_bytes(out, words, count);
        words += count;
        if (*words) add_escaped(out, (unsigned char)*words++);
    }
    text_add_bytes(out, "\"", 1);
}

void json_number(text *out, double value)
{
    char digits[32] = "null";
    if (isfinite(value)) {
        snprintf(digits, sizeof digits, "%.15g", value);
        if (strtod(digits, NULL) != value) snprintf(digits, sizeof digits, "%.17g", value);
    }
    text_add_bytes(out, digits, strlen(digits));
}

void json_numbers(text *out, const double *values, size_t count)
{
    text_add_bytes(out, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i) text_add_bytes(out, ",", 1);
        json_number(out, values[i]);
    }
    text_add_bytes(out, "]", 1);
}
