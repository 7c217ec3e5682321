/* test_images.h - what the tests of image.c and of its formats have in common. Include after cmocka.h. */
#ifndef DATA_TEST_IMAGES_H
#define DATA_TEST_IMAGES_H

#include "worker/data/test_files.h"

static char *folder;
static image_reader *reader;
static image picture;

static inline int image_start(void **state)
{
    (void)state;
    folder = test_folder();
    return image_reader_create(&reader) == OK ? 0 : -1;
}

static inline int image_end(void **state)
{
    (void)state;
    image_free(&picture);
    image_reader_destroy(&reader);
    assert_null(reader);
    test_remove(folder);
    return 0;
}

/* Write, read, probe: both see the same size. */
static inline status read_bytes(const void *bytes, size_t count)
{
    const char *path = test_path(folder, "picture");
    int width = 0, height = 0;
    test_write(path, bytes, count);
    TRY(image_read(reader, path, &picture));
    TRY(image_probe(reader, path, &width, &height));
    assert_true(width == picture.width && height == picture.height);
    return OK;
}

static inline status probe_bytes(const void *bytes, size_t count)
{
    const char *path = test_path(folder, "picture");
    int width, height;
    test_write(path, bytes, count);
    return image_probe(reader, path, &width, &height);
}

static inline void assert_pixel(int x, int y, int r, int g, int b, int within)
{
    const uint8_t *p = picture.pixels + image_bytes(picture.width, y) + 3 * (size_t)x;
    if (abs(p[0] - r) > within || abs(p[1] - g) > within || abs(p[2] - b) > within)
        fail_msg("(%d, %d) is %d %d %d, expected %d %d %d", x, y, p[0], p[1], p[2], r, g, b);
}

#endif
