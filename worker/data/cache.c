#include "worker/data/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/log.h"
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

enum { PAGE_BYTES = 4096 };

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
    return OK;
}

static status check_room(const dataset *d, const cache *c)
{
    int64_t free_bytes = memory_available();
    /* a tenth is left for what training itself needs */
    if (free_bytes < 0 || (double)c->bytes <= 0.9 * (double)free_bytes) return OK;
    return FAIL(ERR_MEMORY, "caching %d images takes %.2f GB of memory, %.2f GB are free", d->count,
                (double)c->bytes / 1e9, (double)free_bytes / 1e9);
}

/* Touched at once: what was found free must not be somebody else's when the pictures come. */
static status take_memory(const dataset *d, cache *c)
{
    c->pixels = malloc(c->bytes + CACHE_SPARE_BYTES);
    if (!c->pixels)
        return FAIL(ERR_MEMORY, "no memory for caching %d images: %.2f GB", d->count, (double)c->bytes / 1e9);
    for (size_t i = 0; i < c->bytes; i += PAGE_BYTES) ((volatile uint8_t *)c->pixels)[i] = 0;
    memset(c->pixels + c->bytes, 0, CACHE_SPARE_BYTES);
    return OK;
}

/* ---- all pictures ---- */

typedef enum picture_state { PICTURE_MISSING, PICTURE_IN_HANDS, PICTURE_THERE } picture_state;

struct cache_state {
    const dataset *data;
    int size;
    resize_kind shrink;
    atomic_uchar *pictures; /* picture_state of each; changed with the lock held */
    shelf_piece piece;      /* holds the pixels, if they are shared */
    atomic_uchar *shared;   /* there: of each picture, whether its pixels are complete */
    pthread_mutex_t lock;
    pthread_cond_t settled; /* a picture is no longer in hands */
};

static status make_state(const dataset *d, int size, resize_kind shrink, cache *c)
{
    TRY(array_new(&c->state, 1));
    struct cache_state *s = c->state;
    s->data = d;
    s->size = size;
    s->shrink = shrink;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->settled, NULL);
    return array_new(&s->pictures, (size_t)d->count);
}

/* ---- shared with other processes ---- */

/* A piece holds a byte for each picture, then, at the next multiple of SHARED_ALIGNMENT, the pixels. */
enum { SHARED_ALIGNMENT = 64 };

/* Everything that what is in the piece depends on: the files as they are now, the size, the code. */
static status name_piece(const dataset *d, int size, resize_kind shrink, char name[FS_HASH_ROOM])
{
    text all = {0};
    text_add(&all, "%s %d %d %d", MENDEL_VERSION, size, (int)shrink, d->count);
    for (int i = 0; i < d->count; i++) {
        const dataset_image *m = &d->images[i];
        text_add_bytes(&all, m->path, strlen(m->path) + 1);
        text_add_bytes(&all, &m->stamp, sizeof m->stamp);
        text_add_bytes(&all, &m->width, sizeof m->width);
        text_add_bytes(&all, &m->height, sizeof m->height);
    }
    status s = text_status(&all);
    if (s == OK) fs_hash_bytes(text_string(&all), all.length, name);
    text_free(&all);
    return s;
}

static int count_there(const cache *c, int count)
{
    int there = 0;
    for (int i = 0; i < count; i++) there += atomic_load(&c->state->shared[i]) == PICTURE_THERE;
    return there;
}

static status share_memory(const dataset *d, shelf *share, cache *c)
{
    struct cache_state *s = c->state;
    char name[FS_HASH_ROOM];
    size_t first = ((size_t)d->count + SHARED_ALIGNMENT - 1) / SHARED_ALIGNMENT * SHARED_ALIGNMENT,
           bytes = first + c->bytes + CACHE_SPARE_BYTES;
    TRY(name_piece(d, s->size, s->shrink, name));
    if (shelf_find(share, name, bytes, &s->piece) != OK) {
        TRY(check_room(d, c));
        TRY(shelf_make(share, name, bytes, &s->piece));
    }
    s->shared = s->piece.memory;
    c->pixels = (uint8_t *)s->piece.memory + first;
    return OK;
}

/* ---- all of it ---- */

static status get_memory(const dataset *d, shelf *share, cache *c)
{
    double size = (double)c->bytes / 1e9;
    status s = share ? share_memory(d, share, c) : ERR_NOT_FOUND;
    if (s == OK)
        log_info("Caching %d images (%.2fGB) for all trainings of this machine: %d are there, others come as they are "
                 "read",
                 d->count, size, count_there(c, d->count));
    if (s == OK || s == ERR_MEMORY) return s;
    if (share) log_debug("the decoded pictures are not shared: %s", status_message());
    TRY(check_room(d, c));
    TRY(take_memory(d, c));
    log_info("Caching %d images (%.2fGB) as they are read", d->count, size);
    return OK;
}

status cache_create(const dataset *d, int size, resize_kind shrink, shelf *share, cache **out)
{
    *out = NULL;
    cache *c;
    TRY(array_new(&c, 1));
    status s = make_state(d, size, shrink, c);
    if (s == OK) s = lay_out(d, size, c);
    if (s == OK) s = get_memory(d, share, c);
    if (s == OK) *out = c;
    else cache_destroy(&c);
    return s;
}

void cache_destroy(cache **c)
{
    if (!*c) return;
    struct cache_state *s = (*c)->state;
    if (s) {
        pthread_cond_destroy(&s->settled);
        pthread_mutex_destroy(&s->lock);
        free((void *)s->pictures);
        if (s->shared) (*c)->pixels = NULL; /* the shelf's */
        shelf_give_back(&s->piece);
    }
    free(s);
    free((*c)->pixels);
    free((*c)->pictures);
    free(*c);
    *c = NULL;
}

/* Wait while another has the picture in hands. True: it is the caller's to load now. */
static bool take_in_hands(struct cache_state *s, int index)
{
    pthread_mutex_lock(&s->lock);
    while (atomic_load(&s->pictures[index]) == PICTURE_IN_HANDS) pthread_cond_wait(&s->settled, &s->lock);
    bool missing = atomic_load(&s->pictures[index]) == PICTURE_MISSING;
    if (missing) atomic_store(&s->pictures[index], PICTURE_IN_HANDS);
    pthread_mutex_unlock(&s->lock);
    return missing;
}

static void settle(struct cache_state *s, int index, picture_state now)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->pictures[index], now);
    pthread_cond_broadcast(&s->settled);
    pthread_mutex_unlock(&s->lock);
}

static status load(const cache *c, int index, image_reader *r, image *spare)
{
    const struct cache_state *s = c->state;
    const cached_picture *p = &c->pictures[index];
    image place = {.pixels = c->pixels + p->offset, .room = image_bytes(p->width, p->height), .borrowed = true};
    return cache_load_picture(r, &s->data->images[index], s->size, s->shrink, spare, &place);
}

/* Another process may read the picture already, complete, while this one comes with its own copy: only the final bytes are ever
 * written there. */
static status load_shared(const cache *c, int index, image_reader *r, image *spare)
{
    const struct cache_state *s = c->state;
    const cached_picture *p = &c->pictures[index];
    image made = {0};
    if (atomic_load(&s->shared[index]) == PICTURE_THERE) return OK;
    status result = cache_load_picture(r, &s->data->images[index], s->size, s->shrink, spare, &made);
    if (result == OK) {
        memcpy(c->pixels + p->offset, made.pixels, image_bytes(p->width, p->height));
        atomic_store(&s->shared[index], PICTURE_THERE);
    }
    image_free(&made);
    return result;
}

status cache_want(cache *c, int index, image_reader *r, image *spare)
{
    struct cache_state *s = c->state;
    if (atomic_load(&s->pictures[index]) == PICTURE_THERE || !take_in_hands(s, index)) return OK;
    status result = s->shared ? load_shared(c, index, r, spare) : load(c, index, r, spare);
    settle(s, index, result == OK ? PICTURE_THERE : PICTURE_MISSING);
    return result;
}
