#include "worker/data/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/progress.h"
#include "common/text.h"
#include "worker/data/letterbox.h"

/* ---- one picture ---- */

status cache_load_picture(image_reader *r, const dataset_image *from, int size, resize_kind shrink, image *spare,
                          image *out)
{
    int width, height;
    letterbox_load_size(from->width, from->height, size, &width, &height);
    bool as_it_is = width == from->width && height == from->height;
    image *decoded = as_it_is ? out : spare;
    status s = image_read(r, from->path, decoded);
    if (s == ERR_ARGUMENT) return status_context(s, "%s has changed since the data set was read", from->path);
    if (s != OK) return s;
    if (decoded->width != from->width || decoded->height != from->height)
        return FAIL(ERR_FORMAT, "%s has %d x %d pixels now, %d x %d when the data set was read; start again",
                    from->path, decoded->width, decoded->height, from->width, from->height);
    if (as_it_is) return OK;
    return image_resize(decoded, width < from->width ? shrink : RESIZE_LINEAR, width, height, out);
}

/* ---- memory ---- */

/* A number behind a key in a file like /proc/meminfo, or the first number of a file for key ""; -1 if there is none. */
static int64_t read_number(const char *path, const char *key)
{
    char line[256];
    long long value = -1;
    FILE *f = fopen(path, "re");
    while (f && value < 0 && fgets(line, sizeof line, f))
        if (text_starts_with(line, key)) sscanf(line + strlen(key), " %lld", &value);
    if (f) fclose(f);
    return value;
}

/* Bytes that can still be had: of the machine, and of the cgroup this process is in; -1 if that is unknown. */
static int64_t memory_available(void)
{
    int64_t machine = read_number("/proc/meminfo", "MemAvailable:");
    if (machine >= 0) machine *= 1024;
    int64_t limit = read_number("/sys/fs/cgroup/memory.max", ""),
            used = read_number("/sys/fs/cgroup/memory.current", "");
    int64_t group = limit > 0 && used >= 0 && limit > used ? limit - used : limit > 0 && used >= limit ? 0 : -1;
    if (machine < 0) return group;
    return group >= 0 && group < machine ? group : machine;
}

static status lay_out(const dataset *d, int size, cache *c)
{
    TRY(array_new(&c->pictures, (size_t)d->count));
    for (int i = 0; i < d->count; i++) {
        cached_picture *p = &c->pictures[i];
        letterbox_load_size(d->images[i].width, d->images[i].height, size, &p->width, &p->height);
        p->offset = c->bytes;
        c->bytes += image_bytes(p->width, p->height);
    }
    int64_t free_bytes = memory_available();
    /* a tenth is left for what training itself needs */
    if (free_bytes >= 0 && (double)c->bytes > 0.9 * (double)free_bytes)
        return FAIL(ERR_MEMORY, "caching %d images takes %.2f GB of memory, %.2f GB are free", d->count,
                    (double)c->bytes / 1e9, (double)free_bytes / 1e9);
    c->pixels = malloc(c->bytes + CACHE_SPARE_BYTES);
    if (!c->pixels)
        return FAIL(ERR_MEMORY, "no memory for caching %d images: %.2f GB", d->count, (double)c->bytes / 1e9);
    memset(c->pixels + c->bytes, 0, CACHE_SPARE_BYTES);
    return OK;
}

/* ---- filling ---- */

typedef struct filling {
    const dataset *data;
    cache *cache;
    int size;
    resize_kind shrink;
    atomic_int next, done;
    pthread_mutex_t lock; /* of what follows: the first error */
    status result;
    char *message;
} filling;

static void keep_error(filling *f, status s)
{
    pthread_mutex_lock(&f->lock);
    if (f->result == OK) {
        f->result = s;
        f->message = text_copy(status_message());
    }
    pthread_mutex_unlock(&f->lock);
    atomic_store(&f->next, f->data->count); /* nobody takes another picture */
}

/* Take pictures until there is none left; `bar` belongs to the one thread that draws. */
static void fill(filling *f, progress *bar)
{
    image_reader *reader = NULL;
    image spare = {0};
    status s = image_reader_create(&reader);
    for (int i; s == OK && (i = atomic_fetch_add(&f->next, 1)) < f->data->count;) {
        const cached_picture *p = &f->cache->pictures[i];
        image place = {.pixels = f->cache->pixels + p->offset,
                       .room = image_bytes(p->width, p->height),
                       .borrowed = true};
        s = cache_load_picture(reader, &f->data->images[i], f->size, f->shrink, &spare, &place);
        int done = atomic_fetch_add(&f->done, 1) + 1;
        if (bar) progress_show(bar, done, "Caching images");
    }
    if (s != OK) keep_error(f, s);
    image_free(&spare);
    image_reader_destroy(&reader);
}

static void *fill_thread(void *argument)
{
    fill(argument, NULL);
    return NULL;
}

static status fill_all(filling *f, int threads)
{
    pthread_t *thread;
    int started = 0;
    progress bar;
    text words = {0};
    TRY(array_new(&thread, (size_t)threads));
    progress_start(&bar, f->data->count, "image");
    while (started < threads - 1 && pthread_create(&thread[started], NULL, fill_thread, f) == 0) started++;
    fill(f, &bar); /* this thread is one of them; fewer are slower, and no error */
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    free(thread);
    text_add(&words, "Caching images (%.2fGB)", (double)f->cache->bytes / 1e9);
    if (f->result == OK) progress_finish(&bar, text_string(&words));
    text_free(&words);
    if (f->result == OK) return OK;
    status s = FAIL(f->result, "%s", f->message ? f->message : "an image cannot be cached");
    free(f->message);
    return s;
}

status cache_create(const dataset *d, int size, resize_kind shrink, int threads, cache **out)
{
    *out = NULL;
    cache *c;
    TRY(array_new(&c, 1));
    filling f = {.data = d, .cache = c, .size = size, .shrink = shrink, .lock = PTHREAD_MUTEX_INITIALIZER};
    status s = lay_out(d, size, c);
    if (s == OK) s = fill_all(&f, threads);
    if (s == OK) *out = c;
    else cache_destroy(&c);
    return s;
}

void cache_destroy(cache **c)
{
    if (!*c) return;
    free((*c)->pixels);
    free((*c)->pictures);
    free(*c);
    *c = NULL;
}
