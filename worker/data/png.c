/* png.c - PNG through libpng, with the conversions that OpenCV asks for. */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "worker/data/image_formats.h"

enum { SIGNATURE = 8, CHUNK_HEADER = 8, CHUNK_CHECKSUM = 4, CHUNK_BYTES_MOST = 1 << 28, HEADER_BYTES = 13 };

static uint32_t read_number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- checking ---- */

/* CRC-32 of ISO 3309, a byte a look-up. */
static void make_checksums(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
}

static uint32_t checksum(const uint32_t table[256], const uint8_t *bytes, size_t count)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < count; i++) c = table[(c ^ bytes[i]) & 0xff] ^ (c >> 8);
    return c ^ 0xffffffffu;
}

static status bad(const image_file *f, const char *what)
{
    return FAIL(ERR_FORMAT, "%s: broken PNG: %s", f->path, what);
}

status png_facts(const image_file *f, bool check, image_facts *out)
{
    *out = (image_facts){.orientation = 1};
    uint32_t table[256];
    make_checksums(table);
    bool ended = false;
    for (size_t at = SIGNATURE; !ended;) {
        if (f->count - at < CHUNK_HEADER + CHUNK_CHECKSUM) return bad(f, "it is cut off");
        const uint8_t *kind = f->bytes + at + 4, *content = kind + 4;
        size_t length = read_number(f->bytes + at);
        if (f->count - at - CHUNK_HEADER - CHUNK_CHECKSUM < length) return bad(f, "it is cut off");
        if (at == SIGNATURE && (memcmp(kind, "IHDR", 4) || length != HEADER_BYTES)) return bad(f, "it has no header");
        if (at == SIGNATURE) {
            TRY(image_check_size(f->path, read_number(content), read_number(content + 4)));
            out->width = (int)read_number(content);
            out->height = (int)read_number(content + 4);
        }
        if (!memcmp(kind, "eXIf", 4)) out->orientation = exif_orientation(content, length);
        if (check && checksum(table, kind, length + 4) != read_number(content + length))
            return bad(f, "a checksum is wrong");
        ended = !memcmp(kind, "IEND", 4);
        at += CHUNK_HEADER + length + CHUNK_CHECKSUM;
    }
    return OK;
}

/* ---- decoding ---- */

typedef struct png_source {
    const image_file *file;
    size_t at;
    char reason[128];
} png_source;

static void read_bytes(png_structp png, png_bytep into, size_t count)
{
    png_source *source = png_get_io_ptr(png);
    if (source->file->count - source->at < count) png_error(png, "it is cut off");
    memcpy(into, source->file->bytes + source->at, count);
    source->at += count;
}

static void on_error(png_structp png, png_const_charp message)
{
    png_source *source = png_get_error_ptr(png);
    strncpy(source->reason, message, sizeof source->reason - 1);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* Everything becomes RGB of 8 bits: palette and grey spread out, the lower byte of 16 bits and alpha dropped. */
static int ask_for_rgb(png_structp png, png_infop info)
{
    png_set_user_limits(png, IMAGE_SIDE_MOST, IMAGE_SIDE_MOST);
    png_set_chunk_malloc_max(png, CHUNK_BYTES_MOST);
    png_read_info(png, info);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    return passes;
}

status png_decode(const image_file *file, image *out)
{
    png_source source = {.file = file};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return FAIL(ERR_MEMORY, "%s: no memory for reading a PNG", file->path);
    }
    if (setjmp(png_jmpbuf(png))) { /* on_error comes back to here */
        png_destroy_read_struct(&png, &info, NULL);
        return bad(file, source.reason);
    }
    png_set_read_fn(png, &source, read_bytes);
    int passes = ask_for_rgb(png, info);
    if (png_get_rowbytes(png, info) != image_bytes(out->width, 1) ||
        png_get_image_height(png, info) != (unsigned)out->height)
        png_error(png, "its size is not that of its header");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < out->height; y++) png_read_row(png, out->pixels + image_bytes(out->width, y), NULL);
    png_read_end(png, NULL);
    png_destroy_read_struct(&png, &info, NULL);
    return OK;
}
