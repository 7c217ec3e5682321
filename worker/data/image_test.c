/* image.c: what is no picture, sizes, borrowed memory. The formats have tests of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/test_images.h"

static void what_is_no_picture_says_so(void **state)
{
    (void)state;
    int width, height;
    assert_int_equal(probe_bytes("", 0), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "/picture: empty file"));
    assert_int_equal(probe_bytes("GIF89a..........", 16), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "/picture: not a JPEG, PNG or BMP picture"));
    assert_int_equal(image_probe(reader, test_path(folder, "none.jpg"), &width, &height), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "none.jpg"));
    assert_int_equal(image_probe(reader, folder, &width, &height), ERR_FORMAT);
    assert_int_equal(image_read(reader, folder, &picture), ERR_FORMAT);
}

static void small_pictures_are_refused_by_probing_alone(void **state)
{
    (void)state;
    static const int sizes[][2] = {{9, 40}, {40, 9}, {1, 1}};
    for (int i = 0; i < 3; i++) {
        int width, height;
        const char *path = test_path(folder, "small.jpg");
        test_jpeg(path, sizes[i][0], sizes[i][1], 0);
        assert_int_equal(image_probe(reader, path, &width, &height), ERR_RANGE);
        assert_non_null(strstr(status_message(), "pixels; at least 10 a side are needed"));
        assert_int_equal(image_read(reader, path, &picture), OK);
    }
    const char *path = test_path(folder, "enough.jpg");
    int width, height;
    test_jpeg(path, 10, 10, 0);
    assert_int_equal(image_probe(reader, path, &width, &height), OK);
}

static void borrowed_memory_is_neither_grown_nor_freed(void **state)
{
    (void)state;
    uint8_t memory[64 * 48 * 3 + 1];
    image mine = {.pixels = memory, .room = 64 * 48 * 3 - 1, .borrowed = true};
    const char *path = test_path(folder, "a.jpg");
    test_jpeg(path, 64, 48, 0);
    assert_int_equal(image_read(reader, path, &mine), ERR_ARGUMENT);
    mine.room++;
    memory[sizeof memory - 1] = 77;
    assert_int_equal(image_read(reader, path, &mine), OK);
    assert_ptr_equal(mine.pixels, memory);
    assert_int_equal(memory[sizeof memory - 1], 77);
    image_free(&mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_picture_says_so),
        cmocka_unit_test(small_pictures_are_refused_by_probing_alone),
        cmocka_unit_test(borrowed_memory_is_neither_grown_nor_freed),
    };
    return cmocka_run_group_tests(tests, image_start, image_end);
}
