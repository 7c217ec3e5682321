/* png.c: every kind becomes RGB, and no byte is trusted. */
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/test_images.h"

/* libpng's own writer; the caller frees. `colours` is a palette of RGB for PNG_FORMAT_RGB_COLORMAP. */
static uint8_t *write_png(const void *pixels, int width, int height, png_uint_32 format, const void *colours,
                          int entries, size_t *count)
{
    png_image png = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height};
    png.format = format;
    png.colormap_entries = (png_uint_32)entries;
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png) + 1024;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    assert_true(png_image_write_to_memory(&png, bytes, &size, 0, pixels, 0, colours));
    *count = size;
    return bytes;
}

static void every_kind_of_png_becomes_rgb(void **state)
{
    (void)state;
    enum { SIDE = 16, PIXELS = SIDE * SIDE };
    static const uint8_t palette[] = {10, 20, 30, 40, 50, 60, 70, 80, 90};
    uint8_t rgb[PIXELS * 3], rgba[PIXELS * 4], grey[PIXELS], grey_alpha[PIXELS * 2], index[PIXELS];
    uint16_t deep[PIXELS * 3];
    for (int i = 0; i < PIXELS; i++) {
        memcpy(rgb + 3 * i, (const uint8_t[]){(uint8_t)i, 100, 200}, 3);
        memcpy(rgba + 4 * i, (const uint8_t[]){(uint8_t)i, 100, 200, 0}, 4);
        memcpy(grey_alpha + 2 * i, (const uint8_t[]){(uint8_t)i, 128}, 2);
        grey[i] = (uint8_t)i;
        index[i] = (uint8_t)(i % 3);
        for (int c = 0; c < 3; c++) deep[3 * i + c] = (uint16_t)(i * 257);
    }
    const struct {
        const void *pixels, *colours;
        png_uint_32 format;
        int entries;
        int want[3]; /* of pixel 5 */
    } kinds[] = {
        {rgb, NULL, PNG_FORMAT_RGB, 0, {5, 100, 200}},
        {rgba, NULL, PNG_FORMAT_RGBA, 0, {5, 100, 200}}, /* alpha is dropped, not applied */
        {grey, NULL, PNG_FORMAT_GRAY, 0, {5, 5, 5}},
        {grey_alpha, NULL, PNG_FORMAT_GA, 0, {5, 5, 5}},
        {index, palette, PNG_FORMAT_RGB_COLORMAP, 3, {70, 80, 90}},
        {deep, NULL, PNG_FORMAT_LINEAR_RGB, 0, {5, 5, 5}},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t count;
        uint8_t *bytes =
            write_png(kinds[k].pixels, SIDE, SIDE, kinds[k].format, kinds[k].colours, kinds[k].entries, &count);
        assert_int_equal(read_bytes(bytes, count), OK);
        assert_true(picture.width == SIDE && picture.height == SIDE);
        assert_pixel(5, 0, kinds[k].want[0], kinds[k].want[1], kinds[k].want[2], 0);
        for (size_t i = 0; i < count; i += 3) assert_int_equal(probe_bytes(bytes, i), ERR_FORMAT);
        free(bytes);
    }
}

static uint32_t checksum(const uint8_t *bytes, size_t count)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < count; i++) {
        c ^= bytes[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    }
    return ~c;
}

/* Set the checksum of the chunk whose kind is at bytes + at. */
static void seal(uint8_t *bytes, size_t at)
{
    uint32_t length = 0, sum;
    for (int i = 0; i < 4; i++) length = length << 8 | bytes[at - 4 + (size_t)i];
    sum = checksum(bytes + at, length + 4);
    for (size_t i = 0; i < 4; i++) bytes[at + 4 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
}

static size_t find(const uint8_t *bytes, size_t count, const char *kind)
{
    for (size_t i = 0; i + 4 <= count; i++)
        if (!memcmp(bytes + i, kind, 4)) return i;
    fail_msg("no %s", kind);
    return 0;
}

static void a_damaged_png_is_found_by_probing(void **state)
{
    (void)state;
    uint8_t rgb[24 * 20 * 3];
    size_t count;
    test_pixels(24, 20, 1, rgb);
    uint8_t *bytes = write_png(rgb, 24, 20, PNG_FORMAT_RGB, NULL, 0, &count);
    size_t data = find(bytes, count, "IDAT");
    bytes[data + 10] ^= 1;
    assert_int_equal(probe_bytes(bytes, count), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "/picture: broken PNG: a checksum is wrong"));
    bytes[data + 4] ^= 0xff; /* no zlib stream any more, under a good checksum */
    seal(bytes, data);
    assert_int_equal(probe_bytes(bytes, count), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "/picture: broken PNG: "));
    assert_int_equal(image_read(reader, test_path(folder, "picture"), &picture), ERR_FORMAT);
    free(bytes);
}

static void a_png_of_absurd_size_is_refused_before_memory_is_taken(void **state)
{
    (void)state;
    uint8_t rgb[16 * 16 * 3] = {0};
    size_t count;
    uint8_t *bytes = write_png(rgb, 16, 16, PNG_FORMAT_RGB, NULL, 0, &count);
    size_t header = find(bytes, count, "IHDR");
    memcpy(bytes + header + 4, (const uint8_t[]){0, 0, 0xff, 0, 0, 0, 0xff, 0}, 8); /* 65280 x 65280 */
    seal(bytes, header);
    assert_int_equal(probe_bytes(bytes, count), ERR_RANGE);
    assert_non_null(strstr(status_message(), "65280 x 65280 pixels"));
    assert_int_equal(image_read(reader, test_path(folder, "picture"), &picture), ERR_RANGE);
    memset(bytes + header + 4, 0, 4); /* no width at all */
    seal(bytes, header);
    assert_int_equal(probe_bytes(bytes, count), ERR_RANGE);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_png_becomes_rgb),
        cmocka_unit_test(a_damaged_png_is_found_by_probing),
        cmocka_unit_test(a_png_of_absurd_size_is_refused_before_memory_is_taken),
    };
    return cmocka_run_group_tests(tests, image_start, image_end);
}
