/* fixtures.c - the files below the fixture folder: listing, reading, and who has asked for which. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "tests/parity/parity_internal.h"

/* ---- listing ---- */

static status list_below(parity *p, const char *folder)
{
    fs_names names;
    char *full = path_join(p->root, folder);
    status s = full ? fs_list(full, &names) : FAIL(ERR_MEMORY, "out of memory");
    free(full);
    if (s != OK) return s;
    for (size_t i = 0; s == OK && i < names.count; i++) {
        char *path = path_join(folder, names.names[i]);
        if (!path) s = FAIL(ERR_MEMORY, "out of memory");
        else if (fs_is_folder(parity_path(p, path))) {
            s = list_below(p, path);
            free(path);
        } else {
            s = array_room(&p->files, &p->file_room, p->file_count + 1);
            if (s == OK) p->files[p->file_count++] = (fixture_file){.path = path};
            else free(path);
        }
    }
    fs_names_free(&names);
    return s;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const fixture_file *)a)->path, ((const fixture_file *)b)->path);
}

status fixtures_list(parity *p)
{
    TRY(list_below(p, ""));
    qsort(p->files, p->file_count, sizeof *p->files, by_path);
    return OK;
}

/* What is no case: the descriptions, and the curves of whole trainings (make check-curves). */
static bool is_description(const char *path)
{
    static const char *const names[] = {"README.md", "tolerance.json", "index.json", "info.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(path_name(path), names[i])) return true;
    return text_starts_with(path, "curves/");
}

int fixtures_unused(parity *p)
{
    int unused = 0;
    for (size_t i = 0; i < p->file_count; i++) {
        const char *path = p->files[i].path;
        if (p->files[i].used || is_description(path) || (p->only && !text_starts_with(path, p->only))) continue;
        printf("FAILED %s: nothing here knows this file\n", path);
        unused++;
    }
    return unused;
}

void fixtures_free(parity *p)
{
    for (size_t i = 0; i < p->file_count; i++) free(p->files[i].path);
    free(p->files);
    for (size_t i = 0; i < p->json_count; i++) yaml_destroy(&p->json[i]);
    free(p->json);
    for (size_t i = 0; i < p->kept_count; i++) free(p->kept[i]);
    free(p->kept);
    free(p->folders);
}

/* ---- asking ---- */

static fixture_file *find(parity *p, const char *path)
{
    fixture_file key = {.path = (char *)path};
    return bsearch(&key, p->files, p->file_count, sizeof *p->files, by_path);
}

bool parity_has(parity *p, const char *path)
{
    return find(p, path) != NULL;
}

const char *parity_path(parity *p, const char *path)
{
    return parity_keep(p, path_join(p->root, path));
}

void parity_use(parity *p, const char *path)
{
    fixture_file *file = find(p, path);
    if (file) file->used = true;
}

void parity_not_yet(parity *p, const char *path, const char *reason)
{
    if (!find(p, path)) return;
    parity_use(p, path);
    printf("not yet: %s: %s\n", path, reason);
}

const fs_names *parity_list(parity *p, const char *folder)
{
    fs_names *names = parity_alloc(p, sizeof *names);
    const char *full = parity_path(p, folder);
    if (!fs_is_folder(full)) return names;
    if (fs_list(full, names) != OK) case_fail(p, "%s", status_message());
    for (size_t i = 0; i < names->count; i++) parity_keep(p, names->names[i]);
    if (names->names) parity_keep(p, names->names);
    return names;
}

const char *parity_text(parity *p, const char *path, size_t *length)
{
    char *bytes;
    if (!case_ok(p, path, fs_read(parity_path(p, path), 0, &bytes, length))) return NULL;
    parity_use(p, path);
    return parity_keep(p, bytes);
}

const yaml_node *parity_json(parity *p, const char *path)
{
    yaml *file;
    if (!case_ok(p, path, yaml_read(parity_path(p, path), &file))) return NULL;
    parity_use(p, path);
    if (array_room(&p->json, &p->json_room, p->json_count + 1) != OK) exit(2);
    p->json[p->json_count++] = file;
    return yaml_root(file);
}

/* ---- npy ---- */

/* The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } */
static bool read_header(const char *header, char *type, shape *dims)
{
    const char *descr = strstr(header, "'descr': '"), *at = strstr(header, "'shape': (");
    if (!descr || !at || !strstr(header, "'fortran_order': False")) return false;
    snprintf(type, 8, "%.3s", descr + 10);
    dims->rank = 0;
    for (at += 10; *at && *at != ')'; at += strspn(at, ", ")) {
        char *end;
        if (dims->rank == TENSOR_RANK) return false;
        dims->dim[dims->rank++] = strtoll(at, &end, 10);
        if (end == at) return false;
        at = end;
    }
    return true;
}

static bool convert(parity *p, const char *type, const unsigned char *from, size_t bytes, npy *out)
{
    bool is_float = !strcmp(type, "<f4"), is_int = !strcmp(type, "<i8"), is_byte = !strcmp(type, "|u1");
    size_t size = is_float ? 4 : is_int ? 8 : is_byte ? 1 : 0;
    if (!size || bytes < out->count * size) return false;
    out->f = parity_alloc(p, out->count * sizeof *out->f);
    if (is_float) memcpy(out->f, from, out->count * size);
    else out->i = parity_alloc(p, out->count * sizeof *out->i);
    if (is_int) memcpy(out->i, from, out->count * size);
    if (is_byte) {
        out->u = parity_alloc(p, out->count);
        memcpy(out->u, from, out->count);
        for (size_t k = 0; k < out->count; k++) out->i[k] = from[k];
    }
    for (size_t k = 0; !is_float && k < out->count; k++) out->f[k] = (float)out->i[k];
    return true;
}

const npy *parity_npy(parity *p, const char *format, ...)
{
    char path[PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    size_t length;
    const unsigned char *bytes = (const unsigned char *)parity_text(p, path, &length);
    if (!bytes) return NULL;
    npy *out = parity_alloc(p, sizeof *out);
    char type[8];
    bool good = length > 10 && !memcmp(bytes, "\x93NUMPY", 6);
    size_t header = good ? (size_t)bytes[8] | (size_t)bytes[9] << 8 : 0, start = 10 + header;
    good = good && bytes[6] == 1 && length >= start && read_header((const char *)bytes + 10, type, &out->shape);
    if (good) out->count = (size_t)shape_count(&out->shape);
    if (good) good = convert(p, type, bytes + start, length - start, out);
    if (!good) case_fail(p, "%s: not an array of float32, int64 or uint8 in C order", path);
    return good ? out : NULL;
}

/* ---- JSON ---- */

const yaml_node *json_get(parity *p, const yaml_node *map, const char *key)
{
    const yaml_node *node = yaml_get(map, key);
    if (!node) case_fail(p, "the fixture has no \"%s\"", key);
    return node;
}

double json_number(parity *p, const yaml_node *node)
{
    double value = 0;
    if (node && node->kind == YAML_BOOL) return node->boolean;
    if (!node || !node->scalar || !text_to_double(node->scalar, &value)) case_fail(p, "the fixture has no number here");
    return value;
}

double json_double(parity *p, const yaml_node *map, const char *key)
{
    const yaml_node *node = json_get(p, map, key);
    return node ? json_number(p, node) : 0;
}

int64_t json_int(parity *p, const yaml_node *map, const char *key)
{
    const yaml_node *node = json_get(p, map, key);
    if (node && node->kind == YAML_INT) return node->integer;
    return node ? (int64_t)json_number(p, node) : 0;
}

bool json_bool(parity *p, const yaml_node *map, const char *key)
{
    const yaml_node *node = json_get(p, map, key);
    if (node && node->kind != YAML_BOOL) case_fail(p, "\"%s\": true or false was expected", key);
    return node && node->kind == YAML_BOOL && node->boolean;
}

const char *json_string(parity *p, const yaml_node *map, const char *key)
{
    const yaml_node *node = json_get(p, map, key);
    const char *string = node ? yaml_string(node) : NULL;
    if (node && !string) case_fail(p, "\"%s\": a text was expected", key);
    return string ? string : "";
}

static size_t count_numbers(const yaml_node *node)
{
    if (node->kind != YAML_LIST) return 1;
    size_t count = 0;
    for (size_t i = 0; i < node->count; i++) count += count_numbers(&node->items[i]);
    return count;
}

static double *collect(parity *p, const yaml_node *node, double *into)
{
    if (node->kind != YAML_LIST) {
        *into = json_number(p, node);
        return into + 1;
    }
    for (size_t i = 0; i < node->count; i++) into = collect(p, &node->items[i], into);
    return into;
}

const double *json_numbers(parity *p, const yaml_node *node, size_t *count)
{
    *count = node ? count_numbers(node) : 0;
    double *values = parity_alloc(p, *count * sizeof *values);
    if (node) collect(p, node, values);
    return values;
}

const double *json_exact(parity *p, const yaml_node *map, const char *key, size_t *count)
{
    char hex[128];
    snprintf(hex, sizeof hex, "%s_hex", key);
    const yaml_node *twin = yaml_get(map, hex);
    return json_numbers(p, twin ? twin : json_get(p, map, key), count);
}
