/* json_check.h - is a text JSON, in UTF-8 and nothing else? For tests; it shares no code with what writes it. */
#ifndef COORDINATOR_DASHBOARD_JSON_CHECK_H
#define COORDINATOR_DASHBOARD_JSON_CHECK_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static const char *json_check_value(const char *at, int depth);

static inline const char *json_check_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* Behind what was taken; NULL: it is not what it should be. */
static inline const char *json_check_string(const char *at)
{
    if (*at++ != '"') return NULL;
    while (*at != '"') {
        unsigned char c = (unsigned char)*at++;
        if (c < 0x20) return NULL;
        if (c == '\\') {
            if (*at == 'u') {
                for (int i = 1; i <= 4; i++)
                    if (!isxdigit((unsigned char)at[i])) return NULL;
                at += 5;
            } else if (!*at || !strchr("\"\\/bfnrt", *at++)) return NULL;
        } else if (c >= 0x80) {
            int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
            if (c < 0xc2 || c > 0xf4) return NULL;
            while (more--)
                if (((unsigned char)*at++ & 0xc0) != 0x80) return NULL;
        }
    }
    return at + 1;
}

static inline const char *json_check_number(const char *at)
{
    if (*at == '-') at++;
    if (*at == '0') at++;
    else if (isdigit((unsigned char)*at)) at += strspn(at, "0123456789");
    else return NULL;
    if (*at == '.') {
        if (!isdigit((unsigned char)*++at)) return NULL;
        at += strspn(at, "0123456789");
    }
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '+' || at[1] == '-');
        if (!isdigit((unsigned char)*at)) return NULL;
        at += strspn(at, "0123456789");
    }
    return at;
}

/* A list, or with `keys` an object. */
static inline const char *json_check_items(const char *at, bool keys, int depth)
{
    char end = keys ? '}' : ']';
    at = json_check_space(at + 1);
    if (*at == end) return at + 1;
    for (;;) {
        if (keys) {
            at = json_check_string(json_check_space(at));
            if (!at || *(at = json_check_space(at)) != ':') return NULL;
            at++;
        }
        at = json_check_value(at, depth + 1);
        if (!at) return NULL;
        at = json_check_space(at);
        if (*at == end) return at + 1;
        if (*at++ != ',') return NULL;
    }
}

static const char *json_check_value(const char *at, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    at = json_check_space(at);
    if (depth > 20) return NULL;
    if (*at == '{' || *at == '[') return json_check_items(at, *at == '{', depth);
    if (*at == '"') return json_check_string(at);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strncmp(at, words[i], strlen(words[i]))) return at + strlen(words[i]);
    return json_check_number(at);
}

static inline bool json_is_valid(const char *json)
{
    const char *end = json_check_value(json, 0);
    return end && !*json_check_space(end);
}

#endif
