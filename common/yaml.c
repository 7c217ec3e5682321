#include "common/yaml.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/yaml_scalar.h"

/* Bounds for files that people write: a model is nested 4 deep and has a few hundred nodes. */
enum { DEPTH_MOST = 64, BYTES_MOST = 16 << 20 };

struct yaml {
    char *name;
    yaml_node root;
};

/* ---- reading ---- */

typedef struct reader {
    yaml_parser_t parser;
    const yaml *file;
} reader;

static void node_free(yaml_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        node_free(&node->items[i]);
        if (node->keys) node_free(&node->keys[i]);
    }
    free(node->items);
    free(node->keys);
    free(node->scalar);
    *node = (yaml_node){0};
}

static status next_event(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) return OK;
    const yaml_parser_t *p = &r->parser;
    size_t line = p->problem_mark.line + 1;
    return FAIL(ERR_FORMAT, "%s:%zu: malformed YAML: %s%s%s", r->file->name, line,
                p->problem ? p->problem : "unreadable", p->context ? ", " : "", p->context ? p->context : "");
}

static status read_node(reader *r, yaml_event_t *event, int depth, yaml_node *node);

static status read_scalar(const yaml_event_t *event, yaml_node *node)
{
    const char *value = (const char *)event->data.scalar.value;
    node->scalar = text_copy_bytes(value, event->data.scalar.length);
    if (!node->scalar) return FAIL(ERR_MEMORY, "out of memory for a YAML file");
    node->kind = YAML_STRING;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) yaml_resolve(node, node->scalar);
    return OK;
}

static status read_children(reader *r, yaml_event_type_t end, int depth, yaml_node *node)
{
    bool is_map = node->kind == YAML_MAP, at_key = true;
    for (;;) {
        yaml_event_t event;
        TRY(next_event(r, &event));
        if (event.type == end) {
            yaml_event_delete(&event);
            return OK;
        }
        status s = OK;
        yaml_node child = {0};
        if (!is_map || at_key) s = array_room(&node->items, &node->room, node->count + 1);
        if (is_map && at_key && s == OK) s = array_room(&node->keys, &node->key_room, node->count + 1);
        if (s == OK) s = read_node(r, &event, depth + 1, &child);
        yaml_event_delete(&event);
        if (s != OK) {
            node_free(&child);
            return s;
        }
        if (is_map && at_key) {
            node->keys[node->count] = child;
            node->items[node->count] = (yaml_node){0};
            node->count++; /* counted with its key, so that an error in the value frees both */
        } else if (is_map) node->items[node->count - 1] = child;
        else node->items[node->count++] = child;
        at_key = !at_key;
    }
}

static status read_node(reader *r, yaml_event_t *event, int depth, yaml_node *node)
{
    node->line = (int)event->start_mark.line + 1;
    if (depth > DEPTH_MOST)
        return FAIL(ERR_FORMAT, "%s:%d: nested deeper than %d", r->file->name, node->line, DEPTH_MOST);
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        if (event->data.scalar.anchor || (event->data.scalar.tag && event->data.scalar.plain_implicit == 0))
            return FAIL(ERR_FORMAT, "%s:%d: anchors and tags are not accepted here", r->file->name, node->line);
        return read_scalar(event, node);
    case YAML_SEQUENCE_START_EVENT:
        node->kind = YAML_LIST;
        return read_children(r, YAML_SEQUENCE_END_EVENT, depth, node);
    case YAML_MAPPING_START_EVENT: node->kind = YAML_MAP; return read_children(r, YAML_MAPPING_END_EVENT, depth, node);
    case YAML_ALIAS_EVENT: return FAIL(ERR_FORMAT, "%s:%d: aliases are not accepted here", r->file->name, node->line);
    default: return FAIL(ERR_FORMAT, "%s:%d: a value was expected", r->file->name, node->line);
    }
}

/* The one document of a stream into file->root. */
static status read_document(reader *r, yaml *file)
{
    for (bool seen = false;;) {
        yaml_event_t event;
        TRY(next_event(r, &event));
        yaml_event_type_t type = event.type;
        status s = OK;
        if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT && type != YAML_DOCUMENT_START_EVENT &&
            type != YAML_DOCUMENT_END_EVENT) {
            if (seen)
                s = FAIL(ERR_FORMAT, "%s:%zu: a second document was not expected", file->name,
                         event.start_mark.line + 1);
            else s = read_node(r, &event, 0, &file->root);
            seen = true;
        }
        yaml_event_delete(&event);
        if (s != OK || type == YAML_STREAM_END_EVENT) return s;
    }
}

status yaml_parse(const char *name, const char *bytes, size_t count, yaml **out)
{
    *out = NULL;
    yaml *file;
    TRY(array_new(&file, 1));
    file->name = text_copy(name);
    file->root.line = 1;
    reader r = {.file = file};
    if (!file->name || !yaml_parser_initialize(&r.parser)) {
        yaml_destroy(&file);
        return FAIL(ERR_MEMORY, "out of memory for %s", name);
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes, count);
    status s = read_document(&r, file);
    yaml_parser_delete(&r.parser);
    if (s != OK) yaml_destroy(&file);
    *out = file;
    return s;
}

status yaml_read(const char *path, yaml **out)
{
    *out = NULL;
    char *bytes;
    size_t count;
    TRY(fs_read(path, BYTES_MOST, &bytes, &count));
    status s = yaml_parse(path, bytes, count, out);
    free(bytes);
    return s;
}

void yaml_destroy(yaml **file)
{
    if (!*file) return;
    node_free(&(*file)->root);
    free((*file)->name);
    free(*file);
    *file = NULL;
}

const yaml_node *yaml_root(const yaml *file)
{
    return &file->root;
}

const char *yaml_name(const yaml *file)
{
    return file->name;
}

const yaml_node *yaml_get(const yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP) return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (map->keys[i].scalar && !strcmp(map->keys[i].scalar, key)) return &map->items[i];
    return NULL;
}

const char *yaml_string(const yaml_node *node)
{
    return node && node->kind != YAML_NULL ? node->scalar : NULL;
}

status yaml_fail(const yaml *file, const yaml_node *node, const char *format, ...)
{
    text sentence = {0};
    char part[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    text_add(&sentence, "%s:%d: %s", file->name, node->line, part);
    status s = FAIL(ERR_FORMAT, "%s", text_string(&sentence));
    text_free(&sentence);
    return s;
}

/* What a node is, in words, for "found ...". */
static const char *describe(const yaml_node *node)
{
    switch (node->kind) {
    case YAML_NULL: return "nothing";
    case YAML_LIST: return "a list";
    case YAML_MAP: return "a map";
    default: return node->scalar;
    }
}

status yaml_need_double(const yaml *file, const yaml_node *node, const char *what, double *value)
{
    if (node->kind == YAML_FLOAT) *value = node->number;
    else if (node->kind == YAML_INT) *value = (double)node->integer;
    else if (node->kind != YAML_STRING || !text_to_double(node->scalar, value))
        return yaml_fail(file, node, "%s: a number was expected, found %s", what, describe(node));
    return OK;
}

status yaml_need_int(const yaml *file, const yaml_node *node, const char *what, int64_t low, int64_t high,
                     int64_t *value)
{
    if (node->kind == YAML_INT) *value = node->integer;
    else if (node->kind == YAML_FLOAT && node->number == floor(node->number) && fabs(node->number) < 1e15)
        *value = (int64_t)node->number;
    else return yaml_fail(file, node, "%s: a whole number was expected, found %s", what, describe(node));
    if (*value < low || *value > high)
        return yaml_fail(file, node, "%s: %lld to %lld was expected, found %lld", what, (long long)low, (long long)high,
                         (long long)*value);
    return OK;
}

status yaml_need_string(const yaml *file, const yaml_node *node, const char *what, const char **value)
{
    *value = yaml_string(node);
    return *value ? OK : yaml_fail(file, node, "%s: a text was expected, found %s", what, describe(node));
}

/* ---- writing ---- */

void yaml_write_double(text *out, double value)
{
    if (isnan(value) || isinf(value)) {
        text_add(out, "%s", isnan(value) ? ".nan" : value < 0 ? "-.inf" : ".inf");
        return;
    }
    char number[TEXT_DOUBLE_ROOM];
    text_from_double(number, value);
    char *e = strchr(number, 'e');
    if (e && !strchr(number, '.'))
        text_add(out, "%.*s.0%s", (int)(e - number), number, e); /* 1.0e-05 reads as a float */
    else text_add(out, "%s", number);
}

void yaml_write_bool(text *out, bool value)
{
    text_add(out, value ? "true" : "false");
}

/* May this stand without quotes? The rules of PyYAML's analyze_scalar for block style, for one line of ASCII. */
static bool plain_is_safe(const char *s)
{
    size_t length = strlen(s);
    if (!length || yaml_is_special(s)) return false;
    if (s[0] == ' ' || s[length - 1] == ' ' || s[length - 1] == ':') return false;
    if (strchr("#,[]{}&*!|>'\"%@`", s[0])) return false;
    if (strchr("?:-", s[0]) && (s[1] == ' ' || !s[1])) return false;
    if (!strncmp(s, "---", 3) || !strncmp(s, "...", 3)) return false;
    return !strstr(s, ": ") && !strstr(s, " #");
}

static bool needs_escapes(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || (unsigned char)*s > '~') return true;
    return false;
}

/* Decode one UTF-8 character at *s and step over it; a stray byte stands for itself. */
static unsigned next_character(const unsigned char **s)
{
    unsigned c = *(*s)++;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    unsigned value = more == 3 ? c & 7 : more == 2 ? c & 15 : more == 1 ? c & 31 : c;
    for (; more && (**s & 0xc0) == 0x80; more--) value = value << 6 | (*(*s)++ & 63u);
    return value;
}

static void write_escaped(text *out, const char *value)
{
    text_add(out, "\"");
    for (const unsigned char *s = (const unsigned char *)value; *s;) {
        unsigned c = next_character(&s);
        if (c == '\n') text_add(out, "\\n");
        else if (c == '\t') text_add(out, "\\t");
        else if (c == '\r') text_add(out, "\\r");
        else if (c == '"' || c == '\\') text_add(out, "\\%c", (int)c);
        else if (c >= ' ' && c <= '~') text_add(out, "%c", (int)c);
        else if (c <= 0xff) text_add(out, "\\x%02X", c);
        else if (c <= 0xffff) text_add(out, "\\u%04X", c);
        else text_add(out, "\\U%08X", c);
    }
    text_add(out, "\"");
}

void yaml_write_string(text *out, const char *value)
{
    if (needs_escapes(value)) {
        write_escaped(out, value);
        return;
    }
    if (plain_is_safe(value)) {
        text_add(out, "%s", value);
        return;
    }
    text_add(out, "'");
    for (const char *s = value; *s; s++) text_add(out, *s == '\'' ? "''" : "%c", *s);
    text_add(out, "'");
}

static void write_scalar(text *out, const yaml_node *node)
{
    switch (node->kind) {
    case YAML_NULL: text_add(out, "null"); break;
    case YAML_BOOL: yaml_write_bool(out, node->boolean); break;
    case YAML_INT: text_add(out, "%lld", (long long)node->integer); break;
    case YAML_FLOAT: yaml_write_double(out, node->number); break;
    default: yaml_write_string(out, node->scalar ? node->scalar : ""); break;
    }
}

static void write_block(text *out, const yaml_node *node, int indent, bool after_dash)
{
    for (size_t i = 0; i < node->count; i++) {
        const yaml_node *item = &node->items[i];
        bool nested = (item->kind == YAML_LIST || item->kind == YAML_MAP) && item->count;
        if (i || !after_dash) text_add(out, "%*s", indent, "");
        if (node->kind == YAML_LIST) text_add(out, "- ");
        else {
            write_scalar(out, &node->keys[i]);
            text_add(out, nested ? ":" : ": ");
        }
        if (nested && node->kind == YAML_LIST) write_block(out, item, indent + 2, true);
        else if (nested) {
            text_add(out, "\n"); /* PyYAML does not indent a list under its key */
            write_block(out, item, item->kind == YAML_LIST ? indent : indent + 2, false);
        } else {
            if (item->kind == YAML_LIST || item->kind == YAML_MAP) text_add(out, item->kind == YAML_LIST ? "[]" : "{}");
            else write_scalar(out, item);
            text_add(out, "\n");
        }
    }
}

void yaml_write(text *out, const yaml_node *node)
{
    bool nested = (node->kind == YAML_LIST || node->kind == YAML_MAP) && node->count;
    if (nested) write_block(out, node, 0, false);
    else {
        write_scalar(out, node);
        text_add(out, "\n");
    }
}
