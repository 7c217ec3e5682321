#include "common/options.h"

#include <stdlib.h>
#include <string.h>

#include "common/yaml.h"

static void *value_at(const option_row *row, void *values)
{
    return (char *)values + row->offset;
}

static const void *const_value_at(const option_row *row, const void *values)
{
    return (const char *)values + row->offset;
}

void options_key(const option_row *row, char *key)
{
    size_t i = 0;
    for (; row->name[i] && i < OPTION_KEY_ROOM - 1; i++) key[i] = row->name[i] == '-' ? '_' : row->name[i];
    key[i] = '\0';
}

/* ---- one value ---- */

static status replace_string(char **at, const char *value)
{
    char *copy = text_copy(value);
    if (!copy) return FAIL(ERR_MEMORY, "out of memory for the options");
    free(*at);
    *at = copy;
    return OK;
}

static status parse_int(const option_row *row, const char *value, const char *origin, int64_t *into)
{
    long long number;
    if (!text_to_long(value, &number))
        return FAIL(ERR_ARGUMENT, "%s: a whole number was expected, found '%s'", origin, value);
    if ((double)number < row->low || (double)number > row->high)
        return FAIL(ERR_ARGUMENT, "%s: %.0f to %.0f was expected, found %lld", origin, row->low, row->high, number);
    *into = number;
    return OK;
}

static status parse_ints(const option_row *row, const char *value, const char *origin, int_list *into)
{
    int_list list = {0};
    char *copy = text_copy(value), *rest = NULL;
    if (!copy) return FAIL(ERR_MEMORY, "out of memory for the options");
    status s = OK;
    for (char *word = strtok_r(copy, " ,", &rest); s == OK && word; word = strtok_r(NULL, " ,", &rest)) {
        if (list.count == INT_LIST_MOST) s = FAIL(ERR_ARGUMENT, "%s: more than %d numbers", origin, INT_LIST_MOST);
        else s = parse_int(row, word, origin, &list.values[list.count++]);
    }
    free(copy);
    if (s == OK && !list.count && *row->fallback) s = FAIL(ERR_ARGUMENT, "%s: a number was expected", origin);
    if (s == OK) *into = list;
    return s;
}

/* Index of a choice in "a|b|c", -1 if it is none of them. */
static int find_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (int i = 0; *choices; i++) {
        size_t n = strcspn(choices, "|");
        if (n == length && !memcmp(choices, value, n)) return i;
        choices += n + (choices[n] == '|');
    }
    return -1;
}

status options_set(const option_row *row, void *values, const char *value, const char *origin)
{
    void *at = value_at(row, values);
    switch (row->type) {
    case OPTION_FLAG: {
        bool on = !strcmp(value, "true"), off = !strcmp(value, "false") || !*value;
        if (!on && !off) return FAIL(ERR_ARGUMENT, "%s: true or false was expected, found '%s'", origin, value);
        *(bool *)at = on;
        return OK;
    }
    case OPTION_INT: return parse_int(row, value, origin, at);
    case OPTION_INTS: return parse_ints(row, value, origin, at);
    case OPTION_DOUBLE: {
        double number;
        if (!text_to_double(value, &number))
            return FAIL(ERR_ARGUMENT, "%s: a number was expected, found '%s'", origin, value);
        if (!(number >= row->low && number <= row->high))
            return FAIL(ERR_ARGUMENT, "%s: %g to %g was expected, found %s", origin, row->low, row->high, value);
        *(double *)at = number;
        return OK;
    }
    case OPTION_CHOICE: {
        int choice = find_choice(row->value, value);
        if (choice < 0) return FAIL(ERR_ARGUMENT, "%s: one of %s was expected, found '%s'", origin, row->value, value);
        *(int *)at = choice;
        return OK;
    }
    case OPTION_STRING: return replace_string(at, value);
    case OPTION_MAYBE: return replace_string(at, !strcmp(value, "false") ? "" : value);
    }
    return FAIL(ERR_ARGUMENT, "%s: an option of unknown type", origin);
}

void options_get(const option_row *row, const void *values, text *out)
{
    const void *at = const_value_at(row, values);
    char number[TEXT_DOUBLE_ROOM];
    switch (row->type) {
    case OPTION_FLAG: text_add(out, "%s", *(const bool *)at ? "true" : "false"); break;
    case OPTION_INT: text_add(out, "%lld", (long long)*(const int64_t *)at); break;
    case OPTION_DOUBLE:
        text_from_double(number, *(const double *)at);
        text_add(out, "%s", number);
        break;
    case OPTION_CHOICE: {
        const char *choices = row->value;
        for (int i = 0; i < *(const int *)at; i++) choices += strcspn(choices, "|") + 1;
        text_add(out, "%.*s", (int)strcspn(choices, "|"), choices);
        break;
    }
    case OPTION_INTS: {
        const int_list *list = at;
        for (size_t i = 0; i < list->count; i++) text_add(out, i ? " %lld" : "%lld", (long long)list->values[i]);
        break;
    }
    case OPTION_STRING:
    case OPTION_MAYBE: text_add(out, "%s", *(char *const *)at); break;
    }
}

status options_defaults(const option_section *sections, size_t count)
{
    for (size_t i = 0; i < count; i++) /* first, so that options_free is safe after a failure in the middle */
        for (size_t r = 0; r < sections[i].count; r++) {
            const option_row *row = &sections[i].rows[r];
            if (row->type == OPTION_STRING || row->type == OPTION_MAYBE)
                *(char **)value_at(row, sections[i].values) = NULL;
            if (sections[i].given) sections[i].given[r] = false;
        }
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < sections[i].count; r++)
            TRY(options_set(&sections[i].rows[r], sections[i].values, sections[i].rows[r].fallback,
                            sections[i].rows[r].name));
    return OK;
}

void options_free(const option_section *sections, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < sections[i].count; r++) {
            const option_row *row = &sections[i].rows[r];
            if (row->type != OPTION_STRING && row->type != OPTION_MAYBE) continue;
            char **at = value_at(row, sections[i].values);
            free(*at);
            *at = NULL;
        }
}

/* ---- finding a row ---- */

/* Do the first `length` letters of `wish` name this option? 2: wholly, 1: as the front of its name, 0: no. */
static int matches(const char *name, const char *wish, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char a = name[i] == '_' ? '-' : name[i], b = wish[i] == '_' ? '-' : wish[i];
        if (a != b) return 0; /* also at the end of name */
    }
    return name[length] == '\0' ? 2 : 1;
}

/* The best match among a row's name and aliases. */
static int row_matches(const option_row *row, const char *wish, size_t length)
{
    int best = matches(row->name, wish, length);
    for (const char *alias = row->aliases; *alias && best < 2;) {
        char one[OPTION_KEY_ROOM] = "";
        size_t n = strcspn(alias, " ");
        if (n < sizeof one) memcpy(one, alias, n);
        int match = matches(one, wish, length);
        if (match > best) best = match;
        alias += n + (alias[n] == ' ');
    }
    return best;
}

const option_row *options_find(const option_row *rows, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (row_matches(&rows[i], key, strlen(key)) == 2) return &rows[i];
    return NULL;
}

typedef struct found_row {
    const option_section *section;
    size_t index;
} found_row;

static status find_by_front(const option_section *sections, size_t count, const char *wish, size_t length,
                            found_row *found)
{
    const option_row *other = NULL;
    found->section = NULL;
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < sections[i].count; r++) {
            int match = row_matches(&sections[i].rows[r], wish, length);
            if (match == 1 && found->section) other = &sections[i].rows[r];
            if (match == 2 || (match == 1 && !found->section)) *found = (found_row){&sections[i], r};
            if (match == 2) return OK;
        }
    if (!found->section) return FAIL(ERR_ARGUMENT, "unknown option --%.*s (see --help)", (int)length, wish);
    if (other)
        return FAIL(ERR_ARGUMENT, "--%.*s is ambiguous: --%s or --%s", (int)length, wish,
                    found->section->rows[found->index].name, other->name);
    return OK;
}

/* ---- the command line ---- */

/* Is this word a value rather than an option? A lone dash and negative numbers are values. */
static bool is_value(const char *word)
{
    double number;
    return word && (word[0] != '-' || !word[1] || text_to_double(word, &number));
}

/* The values that belong to an option at argv[*at], put together in `value`; *at moves to the last word used. */
static status take_values(const option_row *row, int argc, char **argv, int *at, const char *attached, text *value)
{
    if (attached) text_add(value, "%s", attached);
    else if (row->type == OPTION_FLAG) text_add(value, "true");
    else if (row->type == OPTION_INTS) {
        while (*at + 1 < argc && is_value(argv[*at + 1])) text_add(value, value->length ? " %s" : "%s", argv[++*at]);
        if (!value->length) return FAIL(ERR_ARGUMENT, "--%s needs a number", row->name);
    } else if (row->type == OPTION_MAYBE) {
        bool there = *at + 1 < argc && is_value(argv[*at + 1]);
        text_add(value, "%s", there ? argv[++*at] : "true");
    } else {
        if (*at + 1 >= argc || !is_value(argv[*at + 1])) return FAIL(ERR_ARGUMENT, "--%s needs a value", row->name);
        text_add(value, "%s", argv[++*at]);
    }
    return text_status(value);
}

static status parse_option(const option_section *sections, size_t count, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    found_row found = {0};
    TRY(find_by_front(sections, count, name, equals ? (size_t)(equals - name) : strlen(name), &found));
    const option_row *row = &found.section->rows[found.index];
    char origin[OPTION_KEY_ROOM + 2];
    snprintf(origin, sizeof origin, "--%s", row->name);
    text value = {0};
    status s = take_values(row, argc, argv, at, equals ? equals + 1 : NULL, &value);
    if (s == OK) s = options_set(row, found.section->values, text_string(&value), origin);
    if (s == OK && found.section->given) found.section->given[found.index] = true;
    text_free(&value);
    return s;
}

status options_parse(const option_section *sections, size_t count, int argc, char **argv, fs_names *positional)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] == '-' && argv[i][2]) TRY(parse_option(sections, count, argc, argv, &i));
        else if (argv[i][0] == '-' && argv[i][1]) return FAIL(ERR_ARGUMENT, "unknown option %s (see --help)", argv[i]);
        else if (positional) TRY(fs_names_add(positional, argv[i]));
        else return FAIL(ERR_ARGUMENT, "unexpected '%s' (see --help)", argv[i]);
    }
    return OK;
}

/* ---- writing ---- */

void options_write_yaml(const option_row *rows, size_t count, const void *values, text *out)
{
    for (size_t i = 0; i < count; i++) {
        const void *at = const_value_at(&rows[i], values);
        char key[OPTION_KEY_ROOM];
        options_key(&rows[i], key);
        if (rows[i].type == OPTION_INTS) {
            const int_list *list = at;
            text_add(out, list->count ? "%s:\n" : "%s: []\n", key);
            for (size_t k = 0; k < list->count; k++) text_add(out, "- %lld\n", (long long)list->values[k]);
            continue;
        }
        text_add(out, "%s: ", key);
        text value = {0};
        options_get(&rows[i], values, &value);
        const char *plain = text_string(&value);
        if (rows[i].type == OPTION_DOUBLE) yaml_write_double(out, *(const double *)at);
        else if (rows[i].type == OPTION_MAYBE && (!*plain || !strcmp(plain, "true"))) yaml_write_bool(out, *plain);
        else if (rows[i].type == OPTION_FLAG || rows[i].type == OPTION_INT) text_add(out, "%s", plain);
        else yaml_write_string(out, plain);
        text_add(out, "\n");
        text_free(&value);
    }
}

/* "--name VALUE", the way it is typed. */
static void write_spelling(const option_row *row, text *out)
{
    text_add(out, "--%s", row->name);
    if (row->type == OPTION_MAYBE) text_add(out, " [%s]", row->value);
    else if (row->type != OPTION_FLAG) text_add(out, " %s", row->value);
}

static bool shows_default(const option_row *row)
{
    return row->type != OPTION_FLAG && row->type != OPTION_MAYBE && *row->fallback;
}

void options_help(const option_section *sections, size_t count, const char *usage, const char *about, FILE *to)
{
    enum { HELP_COLUMN = 30 };
    fprintf(to, "usage: %s\n\n%s\n", usage, about);
    for (size_t i = 0; i < count; i++) {
        fprintf(to, "\n%s:\n", sections[i].title);
        for (size_t r = 0; r < sections[i].count; r++) {
            const option_row *row = &sections[i].rows[r];
            if (!*row->help) continue;
            text spelling = {0};
            write_spelling(row, &spelling);
            fprintf(to, "  %-*s", HELP_COLUMN - 2, text_string(&spelling));
            if (spelling.length > HELP_COLUMN - 3) fprintf(to, "\n%*s", HELP_COLUMN, "");
            fprintf(to, "%s", row->help);
            if (shows_default(row)) fprintf(to, " (%s)", row->fallback);
            if (*row->aliases) fprintf(to, "; also --%s", row->aliases);
            fputc('\n', to);
            text_free(&spelling);
        }
    }
}

/* Plain text as troff: dashes are minus signs, a leading dot or quote is no request. */
static void write_troff(const char *plain, FILE *to)
{
    bool line_start = true;
    for (; *plain; plain++) {
        if (line_start && (*plain == '.' || *plain == '\'')) fputs("\\&", to);
        if (*plain == '-') fputs("\\-", to);
        else if (*plain == '\\') fputs("\\e", to);
        else fputc(*plain, to);
        line_start = *plain == '\n';
    }
}

void options_man(const option_section *sections, size_t count, const char *name, const char *usage, const char *about,
                 FILE *to)
{
    fprintf(to, ".TH %s 1\n.SH NAME\n%s \\- ", name, name);
    const char *stop = strchr(about, '\n');
    text first = {0};
    text_add_bytes(&first, about, stop ? (size_t)(stop - about) : strlen(about));
    write_troff(text_string(&first), to);
    text_free(&first);
    fputs("\n.SH SYNOPSIS\n.nf\n", to);
    write_troff(usage, to);
    fputs("\n.fi\n.SH DESCRIPTION\n", to);
    write_troff(about, to);
    fputc('\n', to);
    for (size_t i = 0; i < count; i++) {
        fprintf(to, ".SH %s\n", sections[i].title);
        for (size_t r = 0; r < sections[i].count; r++) {
            const option_row *row = &sections[i].rows[r];
            if (!*row->help) continue;
            text spelling = {0};
            write_spelling(row, &spelling);
            fputs(".TP\n.B ", to);
            write_troff(text_string(&spelling), to);
            fputc('\n', to);
            write_troff(row->help, to);
            if (shows_default(row)) {
                fputs(" (default: ", to);
                write_troff(row->fallback, to);
                fputc(')', to);
            }
            fputs(".\n", to);
            text_free(&spelling);
        }
    }
}
