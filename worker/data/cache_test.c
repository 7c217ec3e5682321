/* cache.c: pictures in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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
    for (int k = 0; k < 4; k++) {
        cache *c;
        assert_int_equal(cache_create(data, SIZE, kinds[k % 2], k < 2 ? 1 : 3, &c), OK);
        size_t bytes = 0;
        for (int i = 0; i < PICTURES; i++) {
            const cached_picture *p = &c->pictures[i];
            assert_int_equal(cache_load_picture(reader, &data->images[i], SIZE, kinds[k % 2], &spare, &one), OK);
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

static void a_picture_broken_since_the_scan_is_named(void **state)
{
    (void)state;
    test_write_text(test_path(folder, "images/train/a06.jpg"), "no picture any more");
    for (int threads = 1; threads <= 3; threads += 2) {
        cache *c = (cache *)1;
        assert_int_equal(cache_create(data, SIZE, RESIZE_LINEAR, threads, &c), ERR_FORMAT);
        assert_null(c);
        assert_non_null(strstr(status_message(), "images/train/a06.jpg: not a JPEG, PNG or BMP picture"));
    }
}

static void a_picture_of_another_size_than_at_the_scan_is_named(void **state)
{
    (void)state;
    static const int sizes[][2] = {{20, 20}, {300, 200}};
    for (int i = 0; i < 2; i++) {
        cache *c;
        test_jpeg(test_path(folder, "images/train/a00.jpg"), sizes[i][0], sizes[i][1], 0);
        assert_int_equal(cache_create(data, SIZE, RESIZE_LINEAR, 2, &c), ERR_FORMAT);
        assert_non_null(strstr(status_message(), "images/train/a00.jpg has "));
        assert_non_null(strstr(status_message(), "48 x 64 when the data set was read; start again"));
        /* at its own size it would be decoded straight into the place that is laid out for it */
        assert_int_not_equal(cache_create(data, 64, RESIZE_LINEAR, 2, &c), OK);
        assert_non_null(strstr(status_message(), "images/train/a00.jpg has "));
    }
}

static void a_missing_picture_is_named(void **state)
{
    (void)state;
    cache *c;
    assert_int_equal(unlink(test_path(folder, "images/train/a10.jpg")), 0);
    assert_int_equal(cache_create(data, SIZE, RESIZE_LINEAR, 2, &c), ERR_NOT_FOUND);
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
    assert_int_equal(cache_create(&vast, 60000, RESIZE_LINEAR, 2, &c), ERR_MEMORY);
    assert_null(c);
    assert_non_null(strstr(status_message(), "1048576 images"));
    assert_non_null(strstr(status_message(), " GB"));
    free(images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_picture_is_what_loading_it_gives, start, end),
        cmocka_unit_test_setup_teardown(a_picture_broken_since_the_scan_is_named, start, end),
        cmocka_unit_test_setup_teardown(a_picture_of_another_size_than_at_the_scan_is_named, start, end),
        cmocka_unit_test_setup_teardown(a_missing_picture_is_named, start, end),
        cmocka_unit_test(more_than_the_machine_has_is_refused_with_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
