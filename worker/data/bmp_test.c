/* bmp.c: every kind becomes RGB, and no byte is trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/test_images.h"

enum { BMP_ROOM = 8192 };

static void put(uint8_t *at, uint32_t value, int size)
{
    for (int i = 0; i < size; i++) at[i] = (uint8_t)(value >> 8 * i);
}

/* A header of Windows for `bits` a pixel, with room for `colours`; the pixels follow. Returns the size of the file. */
static size_t start_bmp(uint8_t *bmp, int width, int height, int bits, int colours, size_t *pixels)
{
    size_t row = ((size_t)width * (size_t)bits + 31) / 32 * 4;
    memset(bmp, 0, BMP_ROOM);
    *pixels = 54 + 4 * (size_t)colours;
    memcpy(bmp, "BM", 2);
    put(bmp + 10, (uint32_t)*pixels, 4);
    put(bmp + 14, 40, 4);
    put(bmp + 18, (uint32_t)width, 4);
    put(bmp + 22, (uint32_t)height, 4);
    put(bmp + 26, 1, 2);
    put(bmp + 28, (uint32_t)bits, 2);
    put(bmp + 46, (uint32_t)colours, 4);
    return *pixels + row * (size_t)abs(height);
}

static void every_kind_of_bmp_becomes_rgb(void **state)
{
    (void)state;
    uint8_t bmp[BMP_ROOM];
    size_t pixels, count = start_bmp(bmp, 11, 12, 24, 0, &pixels); /* rows of 33 bytes, padded to 36, from below */
    put(bmp + pixels + 36 * 11 + 3, 0x0a0b0c, 3);
    assert_int_equal(read_bytes(bmp, count), OK);
    assert_true(picture.width == 11 && picture.height == 12);
    assert_pixel(1, 0, 0x0a, 0x0b, 0x0c, 0);
    assert_pixel(0, 0, 0, 0, 0, 0);

    count = start_bmp(bmp, 10, -10, 32, 0, &pixels); /* from above */
    put(bmp + pixels + 40 * 3 + 4 * 2, 0xff112233, 4);
    assert_int_equal(read_bytes(bmp, count), OK);
    assert_pixel(2, 3, 0x11, 0x22, 0x33, 0);

    count = start_bmp(bmp, 10, 10, 16, 0, &pixels); /* five bits each */
    put(bmp + pixels, 0x7c00 | 31, 2);
    assert_int_equal(read_bytes(bmp, count), OK);
    assert_pixel(0, 9, 255, 0, 255, 0);

    for (int bits = 1; bits <= 8; bits *= bits == 1 ? 4 : 2) { /* palettes */
        count = start_bmp(bmp, 10, 10, bits, 2, &pixels);
        put(bmp + 58, 0x445566, 4);
        bmp[pixels] = (uint8_t)(1 << (8 - bits));
        assert_int_equal(read_bytes(bmp, count), OK);
        assert_pixel(0, 9, 0x44, 0x55, 0x66, 0);
        assert_pixel(1, 9, 0, 0, 0, 0);
        bmp[pixels] = 0xff; /* a colour that the palette does not have */
        assert_int_equal(read_bytes(bmp, count), OK);
    }
}

static void a_damaged_bmp_is_refused(void **state)
{
    (void)state;
    uint8_t bmp[BMP_ROOM];
    size_t pixels, count = start_bmp(bmp, 16, 16, 24, 0, &pixels);
    for (size_t i = 0; i < count; i += 5) assert_int_equal(probe_bytes(bmp, i), ERR_FORMAT);
    static const struct {
        int at, size;
        uint32_t value;
        status want;
    } bad[] = {
        {10, 4, 0xfffffff0u, ERR_FORMAT},
        {14, 4, 0xffffffffu, ERR_FORMAT},
        {14, 4, 13, ERR_FORMAT},
        {18, 4, 100000, ERR_RANGE},
        {18, 4, 0, ERR_RANGE},
        {18, 4, 0xfffffff0u, ERR_RANGE},
        {22, 4, 0x80000000u, ERR_RANGE},
        {22, 4, 17, ERR_FORMAT},
        {28, 2, 7, ERR_FORMAT},
        {28, 2, 0, ERR_FORMAT},
        {30, 4, 1, ERR_UNSUPPORTED},
        {18, 4, 65500, ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        start_bmp(bmp, 16, 16, 24, 0, &pixels);
        put(bmp + bad[i].at, bad[i].value, bad[i].size);
        status s = probe_bytes(bmp, count);
        if (s != bad[i].want) fail_msg("%#x at %d: %s", bad[i].value, bad[i].at, status_text(s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_bmp_becomes_rgb),
        cmocka_unit_test(a_damaged_bmp_is_refused),
    };
    return cmocka_run_group_tests(tests, image_start, image_end);
}
