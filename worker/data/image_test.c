/* image.c and the formats behind it: what is read from a file, and that no byte in it is trusted. */
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/data/test_files.h"

static char *folder;
static image_reader *reader;
static image picture;

static int start(void **state)
{
    (void)state;
    folder = test_folder();
    return image_reader_create(&reader) == OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    image_free(&picture);
    image_reader_destroy(&reader);
    assert_null(reader);
    test_remove(folder);
    return 0;
}

/* Write, read, probe: both see the same size. */
static status read_bytes(const void *bytes, size_t count)
{
    const char *path = test_path(folder, "picture");
    int width = 0, height = 0;
    test_write(path, bytes, count);
    TRY(image_read(reader, path, &picture));
    TRY(image_probe(reader, path, &width, &height));
    assert_true(width == picture.width && height == picture.height);
    return OK;
}

static status probe_bytes(const void *bytes, size_t count)
{
    const char *path = test_path(folder, "picture");
    int width, height;
    test_write(path, bytes, count);
    return image_probe(reader, path, &width, &height);
}

static void assert_pixel(int x, int y, int r, int g, int b, int within)
{
    const uint8_t *p = picture.pixels + image_bytes(picture.width, y) + 3 * (size_t)x;
    if (abs(p[0] - r) > within || abs(p[1] - g) > within || abs(p[2] - b) > within)
        fail_msg("(%d, %d) is %d %d %d, expected %d %d %d", x, y, p[0], p[1], p[2], r, g, b);
}

/* ---- JPEG ---- */

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

/* ---- PNG ---- */

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

/* ---- BMP ---- */

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

/* ---- all ---- */

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
        cmocka_unit_test(a_jpeg_is_read_as_rgb),
        cmocka_unit_test(grey_and_four_inks_become_rgb),
        cmocka_unit_test(the_exif_orientation_is_applied),
        cmocka_unit_test(a_jpeg_that_is_cut_off_is_found_by_probing),
        cmocka_unit_test(a_jpeg_that_cannot_be_decoded_is_found_by_probing),
        cmocka_unit_test(an_error_after_a_warning_is_an_error),
        cmocka_unit_test(a_jpeg_with_a_wrong_byte_does_no_harm),
        cmocka_unit_test(every_kind_of_png_becomes_rgb),
        cmocka_unit_test(a_damaged_png_is_found_by_probing),
        cmocka_unit_test(a_png_of_absurd_size_is_refused_before_memory_is_taken),
        cmocka_unit_test(every_kind_of_bmp_becomes_rgb),
        cmocka_unit_test(a_damaged_bmp_is_refused),
        cmocka_unit_test(what_is_no_picture_says_so),
        cmocka_unit_test(small_pictures_are_refused_by_probing_alone),
        cmocka_unit_test(borrowed_memory_is_neither_grown_nor_freed),
    };
    return cmocka_run_group_tests(tests, start, end);
}
