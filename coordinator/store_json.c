/* Numbers as JSON: exact, and readable in the sqlite3 shell. Reading takes what writing makes, with any white space between. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store_inner.h"

/* ---- writing ---- */

/* 15 digits are enough for most numbers that people and rounding make, 17 for every double. */
static void write_number(text *out, double value)
{
    if (isnan(value) || isinf(value)) {
        text_add(out, isnan(value) ? "\"nan\"" : value < 0 ? "\"-inf\"" : "\"inf\"");
        return;
    }
    char number[32];
    snprintf(number, sizeof number, "%.15g", value);
    if (strtod(number, NULL) != value) snprintf(number, sizeof number, "%.17g", value);
    text_add_bytes(out, number, strlen(number));
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

/* One byte of a key as it stands in a JSON string. */
static void escape(char byte, char escaped[8])
{
    if (byte == '"' || byte == '\\') snprintf(escaped, 8, "\\%c", byte);
    else snprintf(escaped, 8, (unsigned char)byte < 0x20 ? "\\u%04x" : "%c", (unsigned char)byte);
}

void store_write_keyed(text *out, const hyp_space *space, const double *values)
{
    text_add_bytes(out, "{", 1);
    for (size_t i = 0; i < space->count; i++) {
        text_add(out, i ? ", \"" : "\"");
        for (const char *c = space->rows[i].key; *c; c++) {
            char escaped[8];
            escape(*c, escaped);
            text_add_bytes(out, escaped, strlen(escaped));
        }
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
    for (; *key; key++) {
        char escaped[8];
        escape(*key, escaped);
        size_t length = strlen(escaped);
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
