/* jpeg.c - JPEG through libjpeg-turbo, with its slow exact DCT and smooth upsampling, as OpenCV decodes. */
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "worker/data/image_formats.h"

enum { MARKER_APP1 = 0xe1, MARKER_SCAN = 0xda, MARKER_END = 0xd9, MARKER_RESTART_0 = 0xd0, MARKER_START = 0xd8 };
static const char exif_name[6] = "Exif\0";

/* The next marker with a length at or after `at`: its kind and where its content lies. False at the end of the header. */
static bool next_segment(const image_file *f, size_t *at, int *marker, size_t *length)
{
    size_t i = *at;
    while (i + 1 < f->count && (f->bytes[i] != 0xff || f->bytes[i + 1] == 0xff || f->bytes[i + 1] == 0 ||
                                (f->bytes[i + 1] >= MARKER_RESTART_0 && f->bytes[i + 1] <= MARKER_START)))
        i++;
    if (i + 4 > f->count) return false;
    *marker = f->bytes[i + 1];
    *length = (size_t)f->bytes[i + 2] << 8 | f->bytes[i + 3];
    *at = i + 4;
    if (*marker == MARKER_END || *length < 2) return false;
    *length -= 2;
    return f->count - *at >= *length;
}

static int find_orientation(const image_file *f)
{
    size_t at = 2, length;
    for (int marker; next_segment(f, &at, &marker, &length) && marker != MARKER_SCAN; at += length)
        if (marker == MARKER_APP1 && length > sizeof exif_name && !memcmp(f->bytes + at, exif_name, sizeof exif_name))
            return exif_orientation(f->bytes + at + sizeof exif_name, length - sizeof exif_name);
    return 1;
}

/* A file that was cut off has no end marker after its last scan. */
static bool has_end(const image_file *f)
{
    for (size_t i = f->count; i-- > 1;) {
        if (f->bytes[i - 1] != 0xff) continue;
        if (f->bytes[i] == MARKER_END) return true;
        if (f->bytes[i] == MARKER_SCAN) return false;
    }
    return false;
}

/* A new one for each use, which costs next to nothing: it would keep the tables of one picture for the next, and after an error go
 * on in the middle of the broken one. */
static status open_decoder(const image_file *file, tjhandle *out)
{
    *out = tjInitDecompress();
    return *out ? OK : FAIL(ERR_MEMORY, "%s: no memory for reading a JPEG", file->path);
}

status jpeg_facts(const image_file *file, bool check, image_facts *out)
{
    int subsampling, colours = TJCS_RGB;
    tjhandle turbo;
    status s = OK;
    *out = (image_facts){.orientation = 1};
    TRY(open_decoder(file, &turbo));
    if (tjDecompressHeader3(turbo, file->bytes, file->count, &out->width, &out->height, &subsampling, &colours) &&
        tjGetErrorCode(turbo) != TJERR_WARNING)
        s = FAIL(ERR_FORMAT, "%s: broken JPEG: %s", file->path, tjGetErrorStr2(turbo));
    tjDestroy(turbo);
    if (s != OK) return s;
    if (out->width < 1) return FAIL(ERR_FORMAT, "%s: broken JPEG: its header is cut off", file->path);
    TRY(image_check_size(file->path, out->width, out->height));
    if (check && !has_end(file)) return FAIL(ERR_FORMAT, "%s: the JPEG is cut off (no end marker)", file->path);
    out->orientation = find_orientation(file);
    out->cmyk = colours == TJCS_CMYK || colours == TJCS_YCCK;
    return OK;
}

/* Ink to light as OpenCV does it: the file holds the inverse of C, M, Y and K. */
static void from_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        int k = cmyk[4 * i + 3];
        for (int c = 0; c < IMAGE_CHANNELS; c++) rgb[3 * i + c] = (uint8_t)(k - ((255 - cmyk[4 * i + c]) * k >> 8));
    }
}

/* The last row is filled with a pattern before decoding, which comes last to it: still there, it has not got that far. */
static uint8_t pattern(size_t i)
{
    return (uint8_t)(77 + 151 * i);
}

static bool has_pattern(const uint8_t *row, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (row[i] != pattern(i)) return false;
    return true;
}

/* At the picture's size, or an eighth of it. Warnings are damage that the decoder has filled in; with any other error there is no
 * picture. An error after a warning is reported as a warning by the library, so the last row decides. */
static status decompress(const image_file *file, int width, int height, uint8_t *pixels, int format)
{
    size_t row = (size_t)tjPixelSize[format] * (size_t)width;
    uint8_t *last = pixels + row * (size_t)(height - 1);
    tjhandle turbo;
    status s = OK;
    TRY(open_decoder(file, &turbo));
    for (size_t i = 0; i < row; i++) last[i] = pattern(i);
    if (tjDecompress2(turbo, file->bytes, file->count, pixels, width, 0, height, format, TJFLAG_LIMITSCANS) &&
        (tjGetErrorCode(turbo) != TJERR_WARNING || has_pattern(last, row)))
        s = FAIL(ERR_FORMAT, "%s: broken JPEG: %s", file->path, tjGetErrorStr2(turbo));
    tjDestroy(turbo);
    return s;
}

status jpeg_decode(const image_file *file, const image_facts *facts, image *out)
{
    if (!facts->cmyk) return decompress(file, facts->width, facts->height, out->pixels, TJPF_RGB);
    size_t pixels = (size_t)facts->width * (size_t)facts->height;
    uint8_t *cmyk = malloc(4 * pixels);
    if (!cmyk) return FAIL(ERR_MEMORY, "%s: no memory for %d x %d pixels", file->path, facts->width, facts->height);
    status s = decompress(file, facts->width, facts->height, cmyk, TJPF_CMYK);
    if (s == OK) from_cmyk(cmyk, out->pixels, pixels);
    free(cmyk);
    return s;
}

status jpeg_try(const image_file *file, const image_facts *facts)
{
    const tjscalingfactor eighth = {1, 8};
    int width = TJSCALED(facts->width, eighth), height = TJSCALED(facts->height, eighth);
    uint8_t *pixels = malloc(4 * (size_t)width * (size_t)height);
    if (!pixels) return FAIL(ERR_MEMORY, "%s: no memory for %d x %d pixels", file->path, width, height);
    status s = decompress(file, width, height, pixels, facts->cmyk ? TJPF_CMYK : TJPF_RGB);
    free(pixels);
    return s;
}
