/* cache.c: pictures in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "worker/data/cache.h"
#include "worker/data/test_files.h"

enum { PICTURES = 11, SIZE = 32 };
static char *folder;
static data_yaml yaml;
static dataset *data;

static int start(void **state)
{
    (void)state;
    log_set_level(LEVEL_ERROR);
    folder = test_folder();
    test_data_set(folder, PICTURES);
    test_data_yaml(folder, &yaml);
    assert_int_equal(dataset_create(&yaml, DATA_TRAIN, &(dataset_options){.no_cache = true}, &data), OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    dataset_destroy(&data);
    data_yaml_free(&yaml);
    test_remove(folder);
    return 0;
}

static void every_picture_is_what_loading_it_gives(void **state)
{
    (void)state;
    static const resize_kind kinds[] = {RESIZE_LINEAR, RESIZE_AREA};
    image_reader *reader;
    image spare = {0}, one = {0};
    assert_int_equal(image_reader_create(&reader), OK);
    for (int k = 0; k < 2; k++) {
        cache *c;
        assert_int_equal(cache_create(data, SIZE, kinds[k], NULL, &c), OK);
        size_t bytes = 0;
        for (int i = 0; i < PICTURES; i++) {
            const cached_picture *p = &c->pictures[i];
            assert_int_equal(cache_want(c, i, reader, &spare), OK);
            assert_int_equal(cache_load_picture(reader, &data->images[i], SIZE, kinds[k], &spare, &one), OK);
            assert_true(p->width == one.width && p->height == one.height && p->offset == bytes);
            assert_int_equal(one.width > one.height ? one.width : one.height, SIZE);
            assert_memory_equal(c->pixels + p->offset, one.pixels, image_bytes(one.width, one.height));
            bytes += image_bytes(one.width, one.height);
        }
        assert_int_equal(c->bytes, bytes);
        for (int i = 0; i < CACHE_SPARE_BYTES; i++) assert_int_equal(c->pixels[bytes + (size_t)i], 0);
        cache_destroy(&c);
        assert_null(c);
    }
    image_free(&spare);
    image_free(&one);
    image_reader_destroy(&reader);
}

/* Ask for one picture of a new cache. */
static status want(int index, int size)
{
    image_reader *reader;
    image spare = {0};
    cache *c;
    assert_int_equal(image_reader_create(&reader), OK);
    assert_int_equal(cache_create(data, size, RESIZE_LINEAR, NULL, &c), OK);
    status first = cache_want(c, index, reader, &spare), again = cache_want(c, index, reader, &spare);
    assert_int_equal(first, again);
    cache_destroy(&c);
    image_reader_destroy(&reader);
    image_free(&spare);
    return first;
}

static void a_picture_is_read_once(void **state)
{
    (void)state;
    image_reader *reader;
    image spare = {0};
    cache *c;
    assert_int_equal(image_reader_create(&reader), OK);
    assert_int_equal(cache_create(data, SIZE, RESIZE_LINEAR, NULL, &c), OK);
    assert_int_equal(cache_want(c, 3, reader, &spare), OK);
    assert_int_equal(unlink(data->images[3].path), 0);
    assert_int_equal(unlink(data->images[4].path), 0);
    assert_int_equal(cache_want(c, 3, reader, &spare), OK);
    assert_int_equal(cache_want(c, 4, reader, &spare), ERR_NOT_FOUND);
    cache_destroy(&c);
    image_reader_destroy(&reader);
    image_free(&spare);
}

/* ---- several threads ---- */

enum { THREADS = 6 };

typedef struct wanting {
    cache *cache;
    pthread_barrier_t start;
    int failures[THREADS], wrong[THREADS];
} wanting;

typedef struct wanter {
    wanting *all;
    int number;
} wanter;

/* Everybody wants the same pictures in the same order, so that most come while another has the picture in hands. */
static void *want_all(void *argument)
{
    const wanter *w = argument;
    image_reader *reader;
    image spare = {0}, one = {0};
    if (image_reader_create(&reader) != OK) return NULL;
    pthread_barrier_wait(&w->all->start);
    for (int i = 0; i < PICTURES; i++) {
        const cached_picture *p = &w->all->cache->pictures[i];
        bool good = cache_want(w->all->cache, i, reader, &spare) == OK;
        w->all->failures[w->number] += !good;
        if (!good || cache_load_picture(reader, &data->images[i], SIZE, RESIZE_LINEAR, &spare, &one) != OK) continue;
        w->all->wrong[w->number] +=
            memcmp(w->all->cache->pixels + p->offset, one.pixels, image_bytes(one.width, one.height)) != 0;
    }
    image_free(&spare);
    image_free(&one);
    image_reader_destroy(&reader);
    return NULL;
}

static void threads_find_every_picture_whole(void **state)
{
    (void)state;
    assert_int_equal(unlink(data->images[5].path), 0);
    for (int round = 0; round < 20; round++) {
        wanting all = {0};
        wanter each[THREADS];
        pthread_t threads[THREADS];
        assert_int_equal(cache_create(data, SIZE, RESIZE_LINEAR, NULL, &all.cache), OK);
        pthread_barrier_init(&all.start, NULL, THREADS);
        for (int i = 0; i < THREADS; i++) {
            each[i] = (wanter){&all, i};
            assert_int_equal(pthread_create(&threads[i], NULL, want_all, &each[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(all.failures[i], 1); /* the one that is missing, and nobody waits for it for ever */
            assert_int_equal(all.wrong[i], 0);
        }
        pthread_barrier_destroy(&all.start);
        cache_destroy(&all.cache);
    }
}

/* ---- shared ---- */

static cache *create_shared(shelf *s, const dataset *d, int size, resize_kind shrink)
{
    cache *c;
    if (cache_create(d, size, shrink, s, &c) != OK) fail_msg("%s", status_message());
    return c;
}

static void check_pictures(cache *c, resize_kind shrink)
{
    image_reader *reader;
    image spare = {0}, one = {0};
    assert_int_equal(image_reader_create(&reader), OK);
    for (int i = 0; i < PICTURES; i++) {
        assert_int_equal(cache_want(c, i, reader, &spare), OK);
        assert_int_equal(cache_load_picture(reader, &data->images[i], SIZE, shrink, &spare, &one), OK);
        assert_memory_equal(c->pixels + c->pictures[i].offset, one.pixels, image_bytes(one.width, one.height));
    }
    for (int i = 0; i < CACHE_SPARE_BYTES; i++) assert_int_equal(c->pixels[c->bytes + (size_t)i], 0);
    image_free(&spare);
    image_free(&one);
    image_reader_destroy(&reader);
}

static status want_from(cache *c, int index)
{
    image_reader *reader;
    image spare = {0};
    assert_int_equal(image_reader_create(&reader), OK);
    status s = cache_want(c, index, reader, &spare);
    image_reader_destroy(&reader);
    image_free(&spare);
    return s;
}

static void what_one_cache_has_decoded_another_finds(void **state)
{
    (void)state;
    shelf *s;
    assert_int_equal(shelf_hold(folder, &s), OK);
    cache *a = create_shared(s, data, SIZE, RESIZE_LINEAR), *b = create_shared(s, data, SIZE, RESIZE_LINEAR);
    check_pictures(a, RESIZE_LINEAR);
    check_pictures(b, RESIZE_LINEAR);
    cache_destroy(&a);
    assert_int_equal(unlink(data->images[3].path), 0);
    assert_int_equal(want_from(b, 3), OK);
    cache *c = create_shared(s, data, SIZE, RESIZE_LINEAR); /* comes when nobody but `b` has it */
    assert_int_equal(want_from(c, 3), OK);
    cache_destroy(&b);
    cache_destroy(&c);
    c = create_shared(s, data, SIZE, RESIZE_LINEAR); /* and when nobody has */
    assert_int_equal(want_from(c, 3), OK);
    cache_destroy(&c);
    shelf_let_go(&s);
}

/* Another size, another way to shrink, a file that has changed: nothing of what is there is taken for it. */
static void what_is_not_the_same_is_not_shared(void **state)
{
    (void)state;
    shelf *s;
    assert_int_equal(shelf_hold(folder, &s), OK);
    cache *all = create_shared(s, data, SIZE, RESIZE_LINEAR);
    check_pictures(all, RESIZE_LINEAR);
    cache *c = create_shared(s, data, SIZE, RESIZE_AREA);
    check_pictures(c, RESIZE_AREA);
    cache_destroy(&c);
    assert_int_equal(unlink(data->images[3].path), 0);
    c = create_shared(s, data, SIZE / 2, RESIZE_LINEAR);
    assert_int_equal(want_from(c, 3), ERR_NOT_FOUND);
    cache_destroy(&c);
    dataset changed = *data;
    changed.images = malloc((size_t)data->count * sizeof *changed.images);
    assert_non_null(changed.images);
    memcpy(changed.images, data->images, (size_t)data->count * sizeof *changed.images);
    changed.images[7].stamp.changed_ns++;
    c = create_shared(s, &changed, SIZE, RESIZE_LINEAR);
    assert_int_equal(want_from(c, 3), ERR_NOT_FOUND);
    cache_destroy(&c);
    free(changed.images);
    cache_destroy(&all);
    shelf_let_go(&s);
}

/* ---- errors ---- */

static void a_picture_broken_since_the_scan_is_named(void **state)
{
    (void)state;
    test_write_text(test_path(folder, "images/train/a06.jpg"), "no picture any more");
    assert_int_equal(want(6, SIZE), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "images/train/a06.jpg: not a JPEG, PNG or BMP picture"));
    assert_int_equal(want(5, SIZE), OK);
}

static void a_picture_of_another_size_than_at_the_scan_is_named(void **state)
{
    (void)state;
    static const int sizes[][2] = {{20, 20}, {300, 200}};
    for (int i = 0; i < 2; i++) {
        test_jpeg(test_path(folder, "images/train/a00.jpg"), sizes[i][0], sizes[i][1], 0);
        assert_int_equal(want(0, SIZE), ERR_FORMAT);
        assert_non_null(strstr(status_message(), "images/train/a00.jpg has "));
        assert_non_null(strstr(status_message(), "48 x 64 when the data set was read; start again"));
        /* at its own size it would be decoded straight into the place that is laid out for it */
        assert_int_not_equal(want(0, 64), OK);
        assert_non_null(strstr(status_message(), "images/train/a00.jpg has "));
    }
}

static void a_missing_picture_is_named(void **state)
{
    (void)state;
    assert_int_equal(unlink(test_path(folder, "images/train/a10.jpg")), 0);
    assert_int_equal(want(10, SIZE), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "images/train/a10.jpg"));
}

static void more_than_the_machine_has_is_refused_with_numbers(void **state)
{
    (void)state;
    enum { MANY = 1 << 20 };
    dataset_image *images = calloc(MANY, sizeof *images);
    assert_non_null(images);
    for (int i = 0; i < MANY; i++) images[i] = (dataset_image){.width = 60000, .height = 60000};
    dataset vast = {.images = images, .count = MANY};
    cache *c = (cache *)1;
    assert_int_equal(cache_create(&vast, 60000, RESIZE_LINEAR, NULL, &c), ERR_MEMORY);
    assert_null(c);
    assert_non_null(strstr(status_message(), "1048576 images"));
    assert_non_null(strstr(status_message(), " GB"));
    free(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_picture_is_what_loading_it_gives, start, end),
        cmocka_unit_test_setup_teardown(a_picture_is_read_once, start, end),
        cmocka_unit_test_setup_teardown(threads_find_every_picture_whole, start, end),
        cmocka_unit_test_setup_teardown(what_one_cache_has_decoded_another_finds, start, end),
        cmocka_unit_test_setup_teardown(what_is_not_the_same_is_not_shared, start, end),
        cmocka_unit_test_setup_teardown(a_picture_broken_since_the_scan_is_named, start, end),
        cmocka_unit_test_setup_teardown(a_picture_of_another_size_than_at_the_scan_is_named, start, end),
        cmocka_unit_test_setup_teardown(a_missing_picture_is_named, start, end),
        cmocka_unit_test(more_than_the_machine_has_is_refused_with_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
