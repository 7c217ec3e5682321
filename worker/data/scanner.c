#include "worker/data/scanner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/log.h"
#include "common/progress.h"
#include "worker/data/image.h"

/* ---- the scan cache's place ---- */

/* <folder of the labels>.<split>.scan. NULL without memory. */
static char *cache_beside(const char *label_path, const char *split)
{
    char *folder = path_folder(label_path);
    text path = {0};
    if (folder) text_add(&path, "%s.%s.scan", folder, split);
    free(folder);
    return text_take(&path);
}

/* A name in the user's cache folder for a path of that name here; NULL when the user has none. */
static char *cache_at_home(const char *beside)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *folder = path_folder(beside), *real = folder ? path_real(folder) : NULL, hash[FS_HASH_ROOM];
    text path = {0}, name = {0};
    if (real && (cache && *cache == '/')) text_add(&path, "%s/mendel", cache);
    else if (real && home && *home == '/') text_add(&path, "%s/.cache/mendel", home);
    if (path.length) {
        text_add(&name, "%s/%s", real, path_name(beside));
        fs_hash_bytes(text_string(&name), name.length, hash);
        text_add(&path, "/%s.scan", hash);
    }
    text_free(&name);
    free(real);
    free(folder);
    if (path.length) return text_take(&path);
    text_free(&path);
    return NULL;
}

/* A folder whose owner may not write is left alone, even by a user who could. */
static bool is_writable(const char *path)
{
    struct stat about;
    char *folder = path_folder(path);
    bool good = folder && stat(folder, &about) == 0 && (about.st_mode & S_IWUSR);
    free(folder);
    return good;
}

/* Neither place takes it: the next start looks again, and nothing is lost. */
static void save_cache(const char *beside, const char *home, const scan *s)
{
    if (is_writable(beside) && scan_save(beside, s) == OK) return;
    char *folder = home ? path_folder(home) : NULL;
    if (!folder || fs_make_folders(folder, 0700) != OK || scan_save(home, s) != OK)
        log_debug("no place for the scan cache: neither %s nor %s", beside, home ? home : "a cache folder of the user");
    free(folder);
}

static void load_cache(const char *beside, const char *home, scan *out)
{
    if (scan_load(beside, out) == OK) return;
    if (!home || scan_load(home, out) != OK) *out = (scan){0};
}

/* ---- labels, and what is known already ---- */

typedef struct scanner {
    const data_yaml *data;
    const dataset_options *options;
    const char *split;
    const fs_names *paths;
    scan old, *now;
    size_t *fresh; /* pictures to look at */
    size_t fresh_count;
} scanner;

/* Take over what an earlier scan found, if it can be true. */
static status reuse_entry(scanner *s, const scan_entry *old, bool *reused)
{
    label_list *labels = &s->now->labels;
    *reused = false;
    for (uint64_t i = 0; i < old->count; i++)
        if (!label_is_valid(&s->old.labels.rows[old->first + i])) return OK;
    scan_entry entry = *old;
    entry.first = labels->count;
    TRY(array_room(&labels->rows, &labels->room, labels->count + old->count));
    if (old->count)
        memcpy(labels->rows + labels->count, s->old.labels.rows + old->first, old->count * sizeof *labels->rows);
    labels->count += old->count;
    *reused = true;
    return scan_add(s->now, &entry);
}

static status scan_labels(scanner *s, size_t number)
{
    const char *path = s->paths->names[number];
    char *label_path = labels_path(path, s->options->rules);
    if (!label_path) return FAIL(ERR_MEMORY, "out of memory for a list of pictures");
    label_list *labels = &s->now->labels;
    scan_entry entry = {.name = (char *)path_name(path), .first = labels->count};
    entry.image = scan_stamp(path);
    entry.labels = scan_stamp(label_path);
    const scan_entry *old = scan_find(&s->old, entry.name, &entry.image, &entry.labels);
    bool reused = false;
    status result = old ? reuse_entry(s, old, &reused) : OK;
    if (result == OK && !reused) {
        s->fresh[s->fresh_count++] = number;
        if (entry.labels.inode) result = labels_read(label_path, 0, s->data->path, labels);
        entry.count = labels->count - entry.first;
        if (result == OK) result = scan_add(s->now, &entry);
    }
    free(label_path);
    return result;
}

static void name_stage(const scanner *s, const char *stage, text *words)
{
    text_clear(words);
    text_add(words, "Scanning %s of %s: %s", s->split, s->data->path, stage);
}

static status scan_all_labels(scanner *s, text *words)
{
    progress bar;
    status result = array_new(&s->fresh, s->paths->count);
    name_stage(s, "labels", words);
    progress_start(&bar, (int64_t)s->paths->count, "file");
    for (size_t i = 0; result == OK && i < s->paths->count; i++) {
        result = scan_labels(s, i);
        progress_show(&bar, (int64_t)i + 1, text_string(words));
    }
    if (result == OK && bar.shown > 0) progress_finish(&bar, text_string(words));
    return result;
}

/* ---- pictures ---- */

typedef struct looking {
    scanner *s;
    atomic_size_t next, done;
    atomic_bool memory_failed;
} looking;

static void look_at(looking *l, image_reader *reader, size_t number)
{
    scan_entry *entry = &l->s->now->entries[number];
    int width = 0, height = 0;
    status seen = image_probe(reader, l->s->paths->names[number], &width, &height);
    entry->width = width;
    entry->height = height;
    if (seen == OK) return;
    entry->problem = text_copy(status_message());
    if (seen == ERR_MEMORY || !entry->problem) atomic_store(&l->memory_failed, true);
    bool of_file = seen == ERR_FORMAT || seen == ERR_UNSUPPORTED || seen == ERR_RANGE;
    if (!of_file) entry->image = (file_stamp){0}; /* a disk's or a network's mood: look again next time */
}

/* Take pictures until there is none left; `bar` belongs to the one thread that draws. */
static void look(looking *l, progress *bar, const char *words)
{
    image_reader *reader;
    if (image_reader_create(&reader) != OK) {
        atomic_store(&l->memory_failed, true);
        return;
    }
    for (size_t i; !atomic_load(&l->memory_failed) && (i = atomic_fetch_add(&l->next, 1)) < l->s->fresh_count;) {
        look_at(l, reader, l->s->fresh[i]);
        size_t done = atomic_fetch_add(&l->done, 1) + 1;
        if (bar) progress_show(bar, (int64_t)done, words);
    }
    image_reader_destroy(&reader);
}

static void *look_thread(void *argument)
{
    look(argument, NULL, NULL);
    return NULL;
}

static status look_at_pictures(scanner *s, text *words)
{
    looking l = {.s = s};
    pthread_t *thread;
    progress bar;
    size_t wish = s->options->threads > 0 ? (size_t)s->options->threads : (size_t)cores_available(), started = 0;
    size_t threads = wish < s->fresh_count ? wish : s->fresh_count;
    if (!s->fresh_count) return OK;
    TRY(array_new(&thread, threads));
    name_stage(s, "pictures", words);
    progress_start(&bar, (int64_t)s->fresh_count, "image");
    while (started < threads - 1 && pthread_create(&thread[started], NULL, look_thread, &l) == 0) started++;
    look(&l, &bar, text_string(words)); /* this thread is one of them; fewer are slower, and no error */
    for (size_t i = 0; i < started; i++) pthread_join(thread[i], NULL);
    free(thread);
    if (atomic_load(&l.memory_failed)) return FAIL(ERR_MEMORY, "no memory for looking at the pictures of %s", s->split);
    progress_finish(&bar, text_string(words));
    return OK;
}

/* ---- all ---- */

static status scan_pictures(scanner *s)
{
    text words = {0};
    s->now->taken_ms = clock_wall_ms();
    status result = scan_all_labels(s, &words);
    if (result == OK) result = look_at_pictures(s, &words);
    text_free(&words);
    return result;
}

static status scan_with_cache(scanner *s)
{
    char *label_path = labels_path(s->paths->names[0], s->options->rules);
    char *beside = label_path ? cache_beside(label_path, s->split) : NULL,
         *home = beside ? cache_at_home(beside) : NULL;
    status result = beside ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) load_cache(beside, home, &s->old);
    if (result == OK) result = scan_pictures(s);
    if (result == OK && (s->fresh_count || s->old.count != s->now->count)) save_cache(beside, home, s->now);
    free(home);
    free(beside);
    free(label_path);
    return result;
}

status scanner_run(const data_yaml *data, const char *split, const fs_names *paths, const dataset_options *options,
                   scan *out)
{
    *out = (scan){0};
    scanner s = {.data = data, .options = options, .split = split, .paths = paths, .now = out};
    status result = options->no_cache ? scan_pictures(&s) : scan_with_cache(&s);
    scan_free(&s.old);
    free(s.fresh);
    return result;
}
