/* jpeg.c and exif.c: what is read, and what damage is found by probing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/test_images.h"

/* Of pixels in a TurboJPEG format; tjFree ends it. */
static uint8_t *compress(const void *pixels, int width, int height, int format, int sampling, unsigned long *count)
{
    uint8_t *bytes = NULL;
    tjhandle turbo = tjInitCompress();
    *count = 0;
    assert_int_equal(tjCompress2(turbo, pixels, width, 0, height, format, &bytes, count, sampling, 95, 0), 0);
    tjDestroy(turbo);
    return bytes;
}

static void a_jpeg_is_read_as_rgb(void **state)
{
    (void)state;
    unsigned long count;
    uint8_t *bytes = test_jpeg_bytes(64, 48, 3, &count);
    assert_int_equal(read_bytes(bytes, count), OK);
    assert_true(picture.width == 64 && picture.height == 48);
    assert_pixel(0, 0, 0, 0, 111, 6);
    assert_pixel(63, 0, 251, 0, 111, 6);
    assert_pixel(0, 47, 0, 249, 111, 6);
    tjFree(bytes);
}

static void grey_and_four_inks_become_rgb(void **state)
{
    (void)state;
    unsigned long count;
    uint8_t grey[32 * 32], inks[32 * 32 * 4], *bytes;
    memset(grey, 90, sizeof grey);
    bytes = compress(grey, 32, 32, TJPF_GRAY, TJSAMP_GRAY, &count);
    assert_int_equal(read_bytes(bytes, count), OK);
    assert_pixel(5, 5, 90, 90, 90, 2);
    tjFree(bytes);
    for (size_t i = 0; i < sizeof inks; i += 4) memcpy(inks + i, (const uint8_t[]){255, 0, 128, 200}, 4); /* inverted */
    bytes = compress(inks, 32, 32, TJPF_CMYK, TJSAMP_444, &count);
    assert_int_equal(read_bytes(bytes, count), OK);
    assert_pixel(5, 5, 200, 0, 100, 4);
    tjFree(bytes);
}

/* The JPEG with an EXIF block behind its first marker. */
static uint8_t *with_orientation(const uint8_t *jpeg, size_t *count, int orientation, bool big_endian)
{
    static const uint8_t little[] = {0xff, 0xe1, 0,    34, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0,
                                     1,    0,    0x12, 1,  3,   0,   1,   0,   0, 0, 9,   0,   0,  0, 0, 0, 0, 0};
    static const uint8_t big[] = {0xff, 0xe1, 0,    34,   'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
                                  0,    1,    0x01, 0x12, 0,   3,   0,   0,   0, 1, 0,   9,   0, 0,  0, 0, 0, 0};
    uint8_t block[sizeof little], *out = malloc(*count + sizeof block);
    assert_non_null(out);
    memcpy(block, big_endian ? big : little, sizeof block);
    block[big_endian ? 29 : 28] = (uint8_t)orientation;
    memcpy(out, jpeg, 2);
    memcpy(out + 2, block, sizeof block);
    memcpy(out + 2 + sizeof block, jpeg + 2, *count - 2);
    *count += sizeof block;
    return out;
}

/* Where the stored top left corner, top right and bottom left go, by the standard. */
static void the_exif_orientation_is_applied(void **state)
{
    (void)state;
    enum { LEFT = 0, RIGHT = 1, TOP = 0, BOTTOM = 2 };
    static const struct {
        int origin, red, green; /* corners of the upright picture: LEFT or RIGHT + TOP or BOTTOM */
    } corners[9] = {
        [1] = {LEFT + TOP, RIGHT + TOP, LEFT + BOTTOM},     [2] = {RIGHT + TOP, LEFT + TOP, RIGHT + BOTTOM},
        [3] = {RIGHT + BOTTOM, LEFT + BOTTOM, RIGHT + TOP}, [4] = {LEFT + BOTTOM, RIGHT + BOTTOM, LEFT + TOP},
        [5] = {LEFT + TOP, LEFT + BOTTOM, RIGHT + TOP},     [6] = {RIGHT + TOP, RIGHT + BOTTOM, LEFT + TOP},
        [7] = {RIGHT + BOTTOM, RIGHT + TOP, LEFT + BOTTOM}, [8] = {LEFT + BOTTOM, LEFT + TOP, RIGHT + BOTTOM},
    };
    unsigned long length;
    uint8_t *plain = test_jpeg_bytes(64, 48, 0, &length);
    for (int o = 1; o <= 8; o++)
        for (int big = 0; big < 2; big++) {
            size_t count = length;
            uint8_t *bytes = with_orientation(plain, &count, o, big);
            assert_int_equal(read_bytes(bytes, count), OK);
            assert_true(picture.width == (o < 5 ? 64 : 48) && picture.height == (o < 5 ? 48 : 64));
            int right = picture.width - 1, bottom = picture.height - 1;
            int origin = corners[o].origin, red = corners[o].red, green = corners[o].green;
            assert_pixel(origin & RIGHT ? right : 0, origin & BOTTOM ? bottom : 0, 0, 0, 0, 8);
            assert_pixel(red & RIGHT ? right : 0, red & BOTTOM ? bottom : 0, 251, 0, 0, 8);
            assert_pixel(green & RIGHT ? right : 0, green & BOTTOM ? bottom : 0, 0, 249, 0, 8);
            free(bytes);
        }
    size_t count = length; /* no such orientation: as it is */
    uint8_t *bytes = with_orientation(plain, &count, 9, false);
    assert_int_equal(read_bytes(bytes, count), OK);
    assert_int_equal(picture.width, 64);
    free(bytes);
    tjFree(plain);
}

static void a_jpeg_that_is_cut_off_is_found_by_probing(void **state)
{
    (void)state;
    unsigned long count;
    uint8_t *bytes = test_jpeg_bytes(64, 48, 1, &count);
    for (unsigned long i = 0; i < count; i += 7) {
        status s = probe_bytes(bytes, i);
        if (s != ERR_FORMAT) fail_msg("%lu of %lu bytes: %s", i, count, status_text(s));
        assert_non_null(strstr(status_message(), "/picture: "));
        image_read(reader, test_path(folder, "picture"), &picture); /* fills in or fails, but ends */
    }
    assert_int_equal(probe_bytes(bytes, count), OK);
    tjFree(bytes);
}

/* The header is in order, but the tables for decoding are missing: only decoding shows it, and the tables of a picture that was read
 * before do not help. */
static void a_jpeg_that_cannot_be_decoded_is_found_by_probing(void **state)
{
    (void)state;
    unsigned long count;
    uint8_t *bytes = test_jpeg_bytes(64, 48, 1, &count);
    for (unsigned long i = 2; i + 1 < count; i++)
        if (bytes[i] == 0xff && bytes[i + 1] == 0xdb) bytes[i + 1] = 0xef; /* a table becomes a remark */
    assert_int_equal(probe_bytes(bytes, count), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "/picture: broken JPEG: "));
    assert_int_equal(image_read(reader, test_path(folder, "picture"), &picture), ERR_FORMAT);
    tjFree(bytes);
    bytes = test_jpeg_bytes(64, 48, 1, &count); /* the next one is read as if nothing had been */
    assert_int_equal(read_bytes(bytes, count), OK);
    assert_pixel(63, 0, 251, 0, 37, 6);
    tjFree(bytes);
}

/* In the midst of a progressive picture, after other damage that is filled in: nothing has been decoded by then. */
static void an_error_after_a_warning_is_an_error(void **state)
{
    (void)state;
    uint8_t rgb[64 * 48 * 3], *bytes = NULL;
    unsigned long count = 0, first = 0, last = 0;
    tjhandle turbo = tjInitCompress();
    test_pixels(64, 48, 1, rgb);
    assert_int_equal(tjCompress2(turbo, rgb, 64, 0, 48, TJPF_RGB, &bytes, &count, TJSAMP_444, 95, TJFLAG_PROGRESSIVE),
                     0);
    tjDestroy(turbo);
    for (unsigned long i = 0; i + 1 < count; i++) {
        if (bytes[i] == 0xff && bytes[i + 1] == 0xda && !first) first = i + 2;
        if (bytes[i] == 0xff && bytes[i + 1] == 0xc4) last = i + 2;
    }
    assert_true(first && last > first + 40);
    memcpy(bytes + first + 20, "\xff\xd3\xff\xd3", 4); /* restarts that do not belong there: a warning */
    memcpy(bytes + last, "\0\1", 2);                   /* the last table has no length: an error */
    assert_int_equal(probe_bytes(bytes, count), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "/picture: broken JPEG: "));
    assert_int_equal(image_read(reader, test_path(folder, "picture"), &picture), ERR_FORMAT);
    tjFree(bytes);
}

/* Every byte in turn: an error or a picture, never more. */
static void a_jpeg_with_a_wrong_byte_does_no_harm(void **state)
{
    (void)state;
    unsigned long count;
    uint8_t *bytes = test_jpeg_bytes(16, 16, 1, &count);
    for (unsigned long i = 0; i < count; i++) {
        uint8_t kept = bytes[i];
        bytes[i] = (uint8_t)(kept ^ (1u << i % 8));
        if (probe_bytes(bytes, count) == OK) /* what probing lets pass can be read */
            assert_int_equal(image_read(reader, test_path(folder, "picture"), &picture), OK);
        bytes[i] = kept;
    }
    tjFree(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jpeg_is_read_as_rgb),
        cmocka_unit_test(grey_and_four_inks_become_rgb),
        cmocka_unit_test(the_exif_orientation_is_applied),
        cmocka_unit_test(a_jpeg_that_is_cut_off_is_found_by_probing),
        cmocka_unit_test(a_jpeg_that_cannot_be_decoded_is_found_by_probing),
        cmocka_unit_test(an_error_after_a_warning_is_an_error),
        cmocka_unit_test(a_jpeg_with_a_wrong_byte_does_no_harm),
    };
    return cmocka_run_group_tests(tests, image_start, image_end);
}
