#include "common/yaml_scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *string, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(string, *list)) return true;
    return false;
}

static const char *const nulls[] = {"~", "null", "Null", "NULL", "", NULL};
static const char *const trues[] = {"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
static const char *const falses[] = {"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};

static const char *skip_sign(const char *s)
{
    return *s == '-' || *s == '+' ? s + 1 : s;
}

/* Everything to the end is one of `set`, and there is at least one letter. */
static bool all_of(const char *s, const char *set)
{
    return *s && s[strspn(s, set)] == '\0';
}

#define DIGITS "0123456789"

/* (:[0-5]?[0-9])+ at s; where it ends, or NULL. */
static const char *skip_sixties(const char *s)
{
    int parts = 0;
    while (*s == ':') {
        size_t digits = strspn(s + 1, DIGITS);
        if (digits < 1 || digits > 2 || (digits == 2 && s[1] > '5')) return NULL;
        s += 1 + digits;
        parts++;
    }
    return parts ? s : NULL;
}

/* Base of an integer by YAML 1.1's forms, 60 for 1:30; 0 if it is none. */
static int integer_base(const char *s)
{
    s = skip_sign(s);
    if (s[0] == '0' && s[1] == 'b') return all_of(s + 2, "01_") ? 2 : 0;
    if (s[0] == '0' && s[1] == 'x') return all_of(s + 2, DIGITS "abcdefABCDEF_") ? 16 : 0;
    if (s[0] == '0') return !s[1] ? 10 : all_of(s + 1, "01234567_") ? 8 : 0;
    if (*s < '1' || *s > '9') return 0;
    s += strspn(s, DIGITS "_");
    if (!*s) return 10;
    s = skip_sixties(s);
    return s && !*s ? 60 : 0;
}

/* 1 for a decimal with a point, 60 for 1:30.5, 0 if it is no float. (Infinities and NaN are looked up elsewhere.) */
static int float_form(const char *s)
{
    const char *start = s;
    s = skip_sign(s);
    if (*s == '.') {
        if (s != start || s[1] < '0' || s[1] > '9') return 0; /* no sign in front of a bare point */
    } else {
        if (*s < '0' || *s > '9') return 0;
        s += strspn(s, DIGITS "_");
        const char *end = skip_sixties(s);
        if (end) return *end == '.' && end[1 + strspn(end + 1, DIGITS "_")] == '\0' ? 60 : 0;
        if (*s != '.') return 0;
    }
    s++;
    s += strspn(s, DIGITS "_");
    if (*s == 'e' || *s == 'E') {
        if (s[1] != '-' && s[1] != '+') return 0; /* the exponent's sign is not optional in YAML 1.1 */
        return all_of(s + 2, DIGITS);
    }
    return *s == '\0';
}

/* 2020-07-20, or with a time behind it: PyYAML makes a date of it. */
static bool is_date(const char *s)
{
    static const int lengths[] = {4, 2, 2};
    for (int part = 0; part < 3; part++) {
        int digits = (int)strspn(s, DIGITS);
        if (part == 0 ? digits != 4 : digits < 1 || digits > lengths[part]) return false;
        s += digits;
        if (part < 2 && *s++ != '-') return false;
    }
    return !*s || *s == 'T' || *s == 't' || *s == ' ' || *s == '\t';
}

static double base_sixty(const char *s)
{
    double value = 0;
    while (*s) {
        char *end;
        value = value * 60 + strtod(s, &end);
        s = *end == ':' ? end + 1 : end;
    }
    return value;
}

/* The text without sign and underscores; the caller frees. NULL without memory. */
static char *bare_digits(const char *plain)
{
    const char *from = skip_sign(plain);
    char *copy = text_copy(from), *to = copy;
    if (!copy) return NULL;
    for (; *from; from++)
        if (*from != '_') *to++ = *from;
    *to = '\0';
    return copy;
}

static void resolve_number(yaml_node *node, const char *plain, int base, int form)
{
    char *digits = bare_digits(plain);
    if (!digits) return; /* stays a string: text_to_double will read it where a number is needed */
    double sign = *plain == '-' ? -1 : 1;
    if (form) {
        node->kind = YAML_FLOAT;
        node->number = sign * (form == 60 ? base_sixty(digits) : strtod(digits, NULL));
    } else if (base == 60) {
        double value = sign * base_sixty(digits);
        bool fits = fabs(value) < 0x1p63;
        node->kind = fits ? YAML_INT : YAML_FLOAT;
        if (fits) node->integer = (int64_t)value;
        else node->number = value;
    } else {
        char *end;
        unsigned long long value = strtoull(digits + (base == 2 || base == 16 ? 2 : 0), &end, base);
        bool fits = value <= INT64_MAX;
        node->kind = fits ? YAML_INT : YAML_FLOAT;
        if (fits) node->integer = sign < 0 ? -(int64_t)value : (int64_t)value;
        else node->number = sign * strtod(digits, NULL);
    }
    free(digits);
}

void yaml_resolve(yaml_node *node, const char *plain)
{
    int base, form;
    node->kind = YAML_STRING;
    if (is_one_of(plain, nulls)) node->kind = YAML_NULL;
    else if (is_one_of(plain, trues) || is_one_of(plain, falses)) {
        node->kind = YAML_BOOL;
        node->boolean = is_one_of(plain, trues);
    } else if (is_one_of(skip_sign(plain), infinities) || is_one_of(plain, nans)) {
        node->kind = YAML_FLOAT;
        node->number = is_one_of(plain, nans) ? NAN : *plain == '-' ? -INFINITY : INFINITY;
    } else if ((base = integer_base(plain)) != 0) resolve_number(node, plain, base, 0);
    else if ((form = float_form(plain)) != 0) resolve_number(node, plain, 0, form);
}

bool yaml_is_special(const char *plain)
{
    yaml_node node = {0};
    yaml_resolve(&node, plain);
    return node.kind != YAML_STRING || is_date(plain) || !strcmp(plain, "=") || !strcmp(plain, "<<");
}
