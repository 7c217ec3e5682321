#include "common/words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"

/* ---- splitting ---- */

/* A quoted part; *at is behind the opening quote, and then behind the closing one. */
static status read_quoted(const char *line, const char **at, char quote, text *word)
{
    for (; **at && **at != quote; (*at)++) {
        bool escapes = quote == '"' && **at == '\\' && ((*at)[1] == '"' || (*at)[1] == '\\');
        if (escapes) (*at)++;
        text_add_bytes(word, *at, 1);
    }
    if (!**at) return FAIL(ERR_ARGUMENT, "the %c quote does not end in: %s", quote, line);
    (*at)++;
    return OK;
}

static status read_word(const char *line, const char **at, text *word)
{
    text_add(word, "%s", ""); /* an empty word is one, too */
    while (**at && !isspace((unsigned char)**at)) {
        char c = *(*at)++;
        if (c == '\'' || c == '"') {
            TRY(read_quoted(line, at, c, word));
            continue;
        }
        if (c == '\\') {
            if (!**at) return FAIL(ERR_ARGUMENT, "a backslash with nothing behind it ends: %s", line);
            c = *(*at)++;
        }
        text_add_bytes(word, &c, 1);
    }
    return text_status(word);
}

status words_split(const char *line, fs_names *out)
{
    const char *at = line;
    status s = OK;
    *out = (fs_names){0};
    while (s == OK) {
        while (isspace((unsigned char)*at)) at++;
        if (!*at) break;
        text word = {0};
        s = read_word(line, &at, &word);
        if (s == OK) s = fs_names_add(out, text_string(&word));
        text_free(&word);
    }
    if (s == OK && !out->count) s = FAIL(ERR_ARGUMENT, "a command was expected, found nothing");
    if (s != OK) fs_names_free(out);
    return s;
}

/* ---- finding ---- */

static status check_program(const char *name, char *path, char **out)
{
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    status s = OK;
    if (!fs_is_file(path)) s = FAIL(ERR_NOT_FOUND, "%s is not there", name);
    else if (access(path, X_OK)) s = FAIL(ERR_REFUSED, "%s is no program that may be run", path);
    if (s == OK) *out = path;
    else free(path);
    return s;
}

status words_find_program(const char *name, char **path)
{
    *path = NULL;
    if (strchr(name, '/')) return check_program(name, text_copy(name), path);
    const char *folders = getenv("PATH");
    for (const char *at = folders ? folders : "/usr/bin:/bin"; *at;) {
        size_t length = strcspn(at, ":");
        char *folder = length ? text_copy_bytes(at, length) : text_copy(".");
        char *whole = folder ? path_join(folder, name) : NULL;
        bool found = whole && fs_is_file(whole) && !access(whole, X_OK);
        bool memory = whole != NULL;
        free(folder);
        if (found) {
            *path = whole;
            return OK;
        }
        free(whole);
        if (!memory) return FAIL(ERR_MEMORY, "out of memory");
        at += length + (at[length] == ':');
    }
    return FAIL(ERR_NOT_FOUND, "there is no program '%s' in PATH", name);
}

status words_check(const char *line)
{
    fs_names words;
    char *program = NULL;
    TRY(words_split(line, &words));
    status s = words_find_program(words.names[0], &program);
    free(program);
    fs_names_free(&words);
    return s;
}
