/* Numbers as JSON: exact, and readable in the sqlite3 shell. Reading takes what writing makes, with any white space between. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/inner.h"

/* ---- writing ---- */

/* `whole` / 10^decimals, without zeros at its end. */
static void write_fixed(text *out, bool negative, uint64_t whole, int decimals)
{
    char number[32], *at = number + sizeof number;
    bool trailing = true;
    for (int i = 0; i < decimals; i++, whole /= 10) {
        trailing = trailing && whole % 10 == 0;
        if (!trailing) *--at = (char)('0' + whole % 10);
    }
    if (!trailing) *--at = '.';
    do *--at = (char)('0' + whole % 10);
    while (whole /= 10);
    if (negative) *--at = '-';
    text_add_bytes(out, at, (size_t)(number + sizeof number - at));
}

/* Most numbers that rounding makes have no more than nine decimals: they are written as such, and divide back exactly. False: not this
 * one. */
static bool write_short(text *out, double value)
{
    enum { DECIMALS = 9 };
    const double scale = 1e9, most = 9e6; /* so that the scaled number is a whole one that a double holds */
    if (!(fabs(value) < most)) return false;
    double whole = nearbyint(fabs(value) * scale);
    if (whole / scale != fabs(value)) return false;
    write_fixed(out, signbit(value), (uint64_t)whole, DECIMALS);
    return true;
}

/* Numbers around 1, as factors and results are, with so many decimals that the last one is worth less than the distance to the next double.
 * False: not this one. */
static bool write_long(text *out, double value)
{
    enum { DECIMALS = 17, DECIMALS_MOST = 22, BITS = 53 };
    double size = fabs(value), least = 0.25;
    int exponent, decimals = DECIMALS;
    unsigned __int128 scale = 100000000000000000u;
    for (; size < least && decimals < DECIMALS_MOST; least /= 10, scale *= 10) decimals++;
    if (size < least || size >= 8) return false;
    unsigned __int128 scaled = scale * (uint64_t)ldexp(frexp(size, &exponent), BITS);
    int shift = BITS - exponent; /* value = mantissa / 2^shift */
    write_fixed(out, value < 0, (uint64_t)((scaled + ((unsigned __int128)1 << (shift - 1))) >> shift), decimals);
    return true;
}

/* 17 digits tell every double. */
static void write_number(text *out, double value)
{
    if (isnan(value) || isinf(value)) text_add(out, isnan(value) ? "\"nan\"" : value < 0 ? "\"-inf\"" : "\"inf\"");
    else if (!write_short(out, value) && !write_long(out, value)) text_add(out, "%.17g", value);
}

void store_write_numbers(text *out, const double *values, size_t count)
{
    text_add_bytes(out, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i) text_add_bytes(out, ", ", 2);
        write_number(out, values[i]);
    }
    text_add_bytes(out, "]", 1);
}

void store_write_integers(text *out, const int64_t *values, size_t count)
{
    text_add_bytes(out, "[", 1);
    for (size_t i = 0; i < count; i++) text_add(out, i ? ", %lld" : "%lld", (long long)values[i]);
    text_add_bytes(out, "]", 1);
}

/* Bytes of a key that stand for themselves in a JSON string. */
static size_t plain_length(const char *key)
{
    size_t count = 0;
    while ((unsigned char)key[count] >= 0x20 && key[count] != '"' && key[count] != '\\') count++;
    return count;
}

/* Any other byte. */
static void escape(char byte, char escaped[8])
{
    if (byte == '"' || byte == '\\') snprintf(escaped, 8, "\\%c", byte);
    else snprintf(escaped, 8, "\\u%04x", (unsigned char)byte);
}

static void write_key(text *out, const char *key)
{
    for (;;) {
        size_t plain = plain_length(key);
        char escaped[8];
        text_add_bytes(out, key, plain);
        key += plain;
        if (!*key) return;
        escape(*key++, escaped);
        text_add_bytes(out, escaped, strlen(escaped));
    }
}

void store_write_keyed(text *out, const hyp_space *space, const double *values)
{
    text_add_bytes(out, "{", 1);
    for (size_t i = 0; i < space->count; i++) {
        text_add_bytes(out, i ? ", \"" : "\"", i ? 3 : 1);
        write_key(out, space->rows[i].key);
        text_add_bytes(out, "\": ", 3);
        write_number(out, values[i]);
    }
    text_add_bytes(out, "}", 1);
}

/* ---- reading: each function moves *at behind what it took ---- */

static bool take(const char **at, char mark)
{
    while (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r') ++*at;
    if (**at != mark) return false;
    ++*at;
    return true;
}

static bool take_key(const char **at, const char *key)
{
    if (!take(at, '"')) return false;
    for (;;) {
        size_t length = plain_length(key);
        char escaped[8];
        if (strncmp(*at, key, length)) return false;
        *at += length;
        key += length;
        if (!*key) break;
        escape(*key++, escaped);
        length = strlen(escaped);
        if (strncmp(*at, escaped, length)) return false;
        *at += length;
    }
    return *(*at)++ == '"';
}

static bool take_number(const char **at, double *value)
{
    bool quoted = take(at, '"');
    if (quoted && !strchr("ni-", **at)) return false;
    char *end;
    *value = strtod(*at, &end);
    if (end == *at || quoted == (bool)isfinite(*value)) return false;
    *at = end;
    return !quoted || take(at, '"');
}

static bool take_integer(const char **at, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(*at, &end, 10);
    if (end == *at || errno) return false;
    *at = end;
    return true;
}

static bool at_end(const char *at)
{
    return !at[strspn(at, " \t\r\n")];
}

bool store_read_numbers(const char *json, double *values, size_t room, size_t *count)
{
    *count = 0;
    if (!take(&json, '[')) return false;
    if (take(&json, ']')) return at_end(json);
    do {
        if (*count == room || !take_number(&json, &values[*count])) return false;
        ++*count;
    } while (take(&json, ','));
    return take(&json, ']') && at_end(json);
}

bool store_read_integers(const char *json, int64_t *values, size_t room, size_t *count)
{
    *count = 0;
    if (!take(&json, '[')) return false;
    if (take(&json, ']')) return at_end(json);
    do {
        if (*count == room || !take_integer(&json, &values[*count])) return false;
        ++*count;
    } while (take(&json, ','));
    return take(&json, ']') && at_end(json);
}

bool store_read_keyed(const char *json, const hyp_space *space, double *values)
{
    if (!take(&json, '{')) return false;
    for (size_t i = 0; i < space->count; i++) {
        if (i && !take(&json, ',')) return false;
        if (!take_key(&json, space->rows[i].key) || !take(&json, ':') || !take_number(&json, &values[i])) return false;
    }
    return take(&json, '}') && at_end(json);
}
