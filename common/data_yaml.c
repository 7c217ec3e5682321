#include "common/data_yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/text.h"
#include "common/yaml.h"

static const char *const split_keys[DATA_SPLITS] = {"train", "val", "test"};
static const char *const image_extensions[] = {".bmp", ".jpg", ".jpeg", ".png"};
enum { CLASSES_MOST = 100000, LIST_BYTES_MOST = 1 << 30 };

/* ---- reading the yaml ---- */

/* Where relative paths start: the working directory and then a yaml's folder, or else a root and then the working directory. */
typedef struct start {
    const char *folder;
    bool is_root;
} start;

/* A source's path as it can be opened. The caller frees. */
static char *resolve(const char *given, const start *from)
{
    char *below = path_join(from->folder, given);
    bool is_below = below && (from->is_root ? fs_exists(below) : !fs_exists(given));
    if (!below || is_below) return below;
    free(below);
    return text_copy(given);
}

static status add_source(const yaml *file, const yaml_node *node, const start *root, const char *key, fs_names *sources)
{
    const char *given;
    TRY(yaml_need_string(file, node, key, &given));
    char *path = resolve(given, root);
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    status s = OK;
    if (!fs_exists(path)) s = yaml_fail(file, node, "%s: no folder or list file '%s'", key, given);
    else s = fs_names_add(sources, path);
    free(path);
    return s;
}

static status read_sources(const yaml *file, const yaml_node *root_node, const start *root, data_yaml *out)
{
    for (int split = 0; split < DATA_SPLITS; split++) {
        const char *key = split_keys[split];
        const yaml_node *node = yaml_get(root_node, key);
        if (split != DATA_TEST && (!node || node->kind == YAML_NULL))
            return yaml_fail(file, node ? node : root_node, "%s: a folder or list file of pictures is missing", key);
        if (!node || node->kind == YAML_NULL) continue;
        if (node->kind != YAML_LIST) {
            status s = add_source(file, node, root, key, &out->sources[split]);
            if (s != OK && split != DATA_TEST) return s; /* a data set without its test part can be trained on */
        } else
            for (size_t i = 0; i < node->count; i++)
                TRY(add_source(file, &node->items[i], root, key, &out->sources[split]));
    }
    return OK;
}

static status read_classes(const yaml *file, const yaml_node *root, data_yaml *out)
{
    const yaml_node *nc = yaml_get(root, "nc"), *names = yaml_get(root, "names");
    int64_t classes;
    if (!nc) return yaml_fail(file, root, "nc: the number of classes is missing");
    TRY(yaml_need_int(file, nc, "nc", 1, CLASSES_MOST, &classes));
    if (!names || names->kind != YAML_LIST) return yaml_fail(file, names ? names : root, "names: a list was expected");
    if (names->count != (size_t)classes)
        return yaml_fail(file, names, "names: %lld names were expected (nc), found %zu", (long long)classes,
                         names->count);
    TRY(array_new(&out->names, (size_t)classes));
    out->classes = (int)classes;
    for (size_t i = 0; i < names->count; i++) {
        const char *name;
        TRY(yaml_need_string(file, &names->items[i], "names", &name));
        out->names[i] = text_copy(name);
        if (!out->names[i]) return FAIL(ERR_MEMORY, "out of memory");
    }
    return OK;
}

static status read_data_yaml(const yaml *file, const start *root, data_yaml *out)
{
    const yaml_node *top = yaml_root(file);
    *out = (data_yaml){.path = text_copy(yaml_name(file))};
    status s = out->path ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && top->kind != YAML_MAP) s = yaml_fail(file, top, "train, val, nc and names were expected");
    if (s == OK) s = read_classes(file, top, out);
    if (s == OK) s = read_sources(file, top, root, out);
    if (s != OK) data_yaml_free(out);
    return s;
}

status data_yaml_read(const char *path, data_yaml *out)
{
    *out = (data_yaml){0};
    yaml *file;
    TRY(yaml_read(path, &file));
    char *folder = path_folder(path);
    start from = {folder, false};
    status s = folder ? read_data_yaml(file, &from, out) : FAIL(ERR_MEMORY, "out of memory");
    free(folder);
    yaml_destroy(&file);
    return s;
}

status data_yaml_parse(const char *name, const char *yaml_text, const char *root, data_yaml *out)
{
    *out = (data_yaml){0};
    yaml *file;
    TRY(yaml_parse(name, yaml_text, strlen(yaml_text), &file));
    start from = {root, true};
    status s = read_data_yaml(file, &from, out);
    yaml_destroy(&file);
    return s;
}

void data_yaml_free(data_yaml *d)
{
    free(d->path);
    for (int i = 0; i < DATA_SPLITS; i++) fs_names_free(&d->sources[i]);
    for (int i = 0; d->names && i < d->classes; i++) free(d->names[i]);
    free(d->names);
    *d = (data_yaml){0};
}

/* ---- pictures ---- */

static bool is_image(const char *path)
{
    for (size_t i = 0; i < sizeof image_extensions / sizeof *image_extensions; i++)
        if (!strcasecmp(path_extension(path), image_extensions[i])) return true;
    return false;
}

static status add_folder(const char *folder, fs_names *out)
{
    fs_names inside;
    TRY(fs_list(folder, &inside));
    status s = OK;
    for (size_t i = 0; s == OK && i < inside.count; i++) {
        if (!is_image(inside.names[i])) continue;
        char *path = path_join(folder, inside.names[i]);
        s = path ? fs_names_add(out, path) : FAIL(ERR_MEMORY, "out of memory");
        free(path);
    }
    fs_names_free(&inside);
    return s;
}

static status add_list(const char *list, fs_names *out)
{
    char *bytes, *rest = NULL, *folder = path_folder(list);
    size_t count;
    if (!folder) return FAIL(ERR_MEMORY, "out of memory");
    status s = fs_read(list, LIST_BYTES_MOST, &bytes, &count);
    for (char *line = s == OK ? strtok_r(bytes, "\r\n", &rest) : NULL; s == OK && line;
         line = strtok_r(NULL, "\r\n", &rest)) {
        if (!is_image(line)) continue;
        char *path = text_starts_with(line, "./") ? path_join(folder, line + 2) : text_copy(line);
        s = path ? fs_names_add(out, path) : FAIL(ERR_MEMORY, "out of memory");
        free(path);
    }
    free(bytes);
    free(folder);
    return s;
}

status data_yaml_images(const data_yaml *d, data_split split, fs_names *out)
{
    *out = (fs_names){0};
    const fs_names *sources = &d->sources[split];
    status s = OK;
    if (!sources->count) s = FAIL(ERR_NOT_FOUND, "%s: %s is not given or not there", d->path, split_keys[split]);
    for (size_t i = 0; s == OK && i < sources->count; i++)
        s = fs_is_folder(sources->names[i]) ? add_folder(sources->names[i], out) : add_list(sources->names[i], out);
    if (s == OK && !out->count)
        s = FAIL(ERR_NOT_FOUND, "%s: %s: no picture (.bmp .jpg .jpeg .png) in %s", d->path, split_keys[split],
                 sources->names[0]);
    if (s == OK) fs_names_sort(out);
    else fs_names_free(out);
    return s;
}

char *data_label_path(const char *image)
{
    static const char from[] = "images", to[] = "labels";
    enum { LENGTH = sizeof from - 1 };
    size_t stem = (size_t)(path_extension(image) - image);
    text path = {0};
    text_add_bytes(&path, image, stem);
    text_add(&path, ".txt");
    char *label = text_take(&path);
    for (size_t at = label ? stem : 0; at-- > 0;) {
        bool starts = at == 0 || label[at - 1] == '/';
        if (starts && !strncmp(label + at, from, LENGTH) && label[at + LENGTH] == '/') {
            memcpy(label + at, to, LENGTH);
            break;
        }
    }
    return label;
}

/* ---- digest ---- */

typedef struct digest_states {
    XXH3_state_t *names, *sizes, *labels;
} digest_states;

/* A picture's name below its source, so that the same set under another root has the same names. */
static const char *relative_name(const fs_names *sources, const char *image)
{
    for (size_t i = 0; i < sources->count; i++) {
        const char *source = sources->names[i];
        if (fs_is_folder(source) && text_starts_with(image, source)) {
            const char *name = image + strlen(source);
            return *name == '/' ? name + 1 : name;
        }
    }
    return path_name(image);
}

static status add_image(const fs_names *sources, const char *image, digest_states *h, data_digest *out)
{
    struct stat about;
    if (stat(image, &about)) return FAIL(fs_status_of_errno(errno), "cannot read %s: %s", image, strerror(errno));
    const char *name = relative_name(sources, image);
    int64_t size = about.st_size;
    XXH3_128bits_update(h->names, name, strlen(name) + 1);
    XXH3_128bits_update(h->sizes, &size, sizeof size);
    out->images++;
    out->image_bytes += size;
    char *label = data_label_path(image), *bytes = NULL;
    size_t count = 0;
    status s = label ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && fs_is_file(label)) {
        s = fs_read(label, 0, &bytes, &count);
        out->label_files++;
        out->label_bytes += (int64_t)count;
    }
    if (s == OK) {
        uint64_t length = bytes ? count : UINT64_MAX; /* a missing file is not an empty one */
        XXH3_128bits_update(h->labels, &length, sizeof length);
        XXH3_128bits_update(h->labels, bytes ? bytes : "", count);
    }
    free(bytes);
    free(label);
    return s;
}

static void finish_hash(XXH3_state_t *state, char hash[FS_HASH_ROOM])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    for (size_t i = 0; i < sizeof canonical.digest; i++) snprintf(hash + 2 * i, 3, "%02x", canonical.digest[i]);
}

status data_yaml_digest(const data_yaml *d, data_split split, data_digest *out)
{
    *out = (data_digest){0};
    fs_names images;
    TRY(data_yaml_images(d, split, &images));
    digest_states h = {XXH3_createState(), XXH3_createState(), XXH3_createState()};
    status s = h.names && h.sizes && h.labels ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) {
        XXH3_128bits_reset(h.names);
        XXH3_128bits_reset(h.sizes);
        XXH3_128bits_reset(h.labels);
    }
    for (size_t i = 0; s == OK && i < images.count; i++) s = add_image(&d->sources[split], images.names[i], &h, out);
    if (s == OK) {
        finish_hash(h.names, out->names);
        finish_hash(h.sizes, out->sizes);
        finish_hash(h.labels, out->labels);
    }
    XXH3_freeState(h.names);
    XXH3_freeState(h.sizes);
    XXH3_freeState(h.labels);
    fs_names_free(&images);
    return s;
}

status data_digest_compare(const char *split, const data_digest *here, const data_digest *there)
{
    static const char *const kinds[] = {"images", "bytes of images", "label files", "bytes of labels"};
    const int64_t a[] = {here->images, here->image_bytes, here->label_files, here->label_bytes};
    const int64_t b[] = {there->images, there->image_bytes, there->label_files, there->label_bytes};
    for (size_t i = 0; i < sizeof a / sizeof *a; i++)
        if (a[i] != b[i])
            return FAIL(ERR_REFUSED, "another data set: %s has %lld %s here, %lld there", split, (long long)a[i],
                        kinds[i], (long long)b[i]);
    const char *what = strcmp(here->names, there->names)     ? "names of the images"
                       : strcmp(here->sizes, there->sizes)   ? "sizes of the images"
                       : strcmp(here->labels, there->labels) ? "contents of the labels"
                                                             : NULL;
    return what ? FAIL(ERR_REFUSED, "another data set: the %s of %s differ", what, split) : OK;
}
