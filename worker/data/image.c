#include "worker/data/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/fs.h"
#include "worker/data/image_formats.h"

enum { FILE_BYTES_MOST = 1 << 30 };

struct image_reader {
    uint8_t *bytes; /* of the file in hand */
    size_t room;
    image turned; /* a picture before its orientation is applied */
};

/* ---- memory ---- */

status image_shape(image *i, int width, int height)
{
    size_t need = image_bytes(width, height);
    if (need > i->room && i->borrowed)
        return FAIL(ERR_ARGUMENT, "a picture of %d x %d does not fit into %zu bytes", width, height, i->room);
    if (need > i->room) {
        uint8_t *pixels = malloc(need); /* not realloc: the old pixels are not wanted */
        if (!pixels) return FAIL(ERR_MEMORY, "no memory for a picture of %d x %d", width, height);
        free(i->pixels);
        i->pixels = pixels;
        i->room = need;
    }
    i->width = width;
    i->height = height;
    return OK;
}

void image_free(image *i)
{
    if (!i->borrowed) free(i->pixels);
    *i = (image){0};
}

status image_reader_create(image_reader **out)
{
    image_reader *r = calloc(1, sizeof *r);
    *out = r;
    return r ? OK : FAIL(ERR_MEMORY, "no memory for an image reader");
}

void image_reader_destroy(image_reader **r)
{
    if (!*r) return;
    free((*r)->bytes);
    image_free(&(*r)->turned);
    free(*r);
    *r = NULL;
}

/* ---- files ---- */

static status read_descriptor(image_reader *r, int descriptor, const char *path, size_t *count)
{
    struct stat about;
    if (fstat(descriptor, &about)) return FAIL(fs_status_of_errno(errno), "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode)) return FAIL(ERR_FORMAT, "%s is not a file", path);
    if (about.st_size > FILE_BYTES_MOST) return FAIL(ERR_RANGE, "%s: too large for a picture", path);
    TRY(array_room(&r->bytes, &r->room, (size_t)about.st_size + 1));
    for (*count = 0; *count < (size_t)about.st_size;) {
        ssize_t n = read(descriptor, r->bytes + *count, (size_t)about.st_size - *count);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FAIL(fs_status_of_errno(errno), "cannot read %s: %s", path, strerror(errno));
        if (n == 0) break; /* it has become shorter meanwhile */
        *count += (size_t)n;
    }
    return OK;
}

static status read_file(image_reader *r, const char *path, image_file *out)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return FAIL(fs_status_of_errno(errno), "cannot open %s: %s", path, strerror(errno));
    *out = (image_file){.path = path};
    status s = read_descriptor(r, descriptor, path, &out->count);
    close(descriptor);
    out->bytes = r->bytes;
    return s;
}

/* ---- formats ---- */

typedef enum image_format { FORMAT_JPEG, FORMAT_PNG, FORMAT_BMP, FORMAT_UNKNOWN } image_format;

static image_format format_of(const image_file *f)
{
    static const struct {
        const char *start;
        size_t length;
    } starts[] =
        {[FORMAT_JPEG] = {"\xff\xd8\xff", 3}, [FORMAT_PNG] = {"\x89PNG\r\n\x1a\n", 8}, [FORMAT_BMP] = {"BM", 2}};
    for (int i = 0; i < FORMAT_UNKNOWN; i++)
        if (f->count >= starts[i].length && !memcmp(f->bytes, starts[i].start, starts[i].length))
            return (image_format)i;
    return FORMAT_UNKNOWN;
}

status image_check_size(const char *path, int64_t width, int64_t height)
{
    if (width < 1 || height < 1 || width > IMAGE_SIDE_MOST || height > IMAGE_SIDE_MOST ||
        width * height > IMAGE_PIXELS_MOST)
        return FAIL(ERR_RANGE, "%s: %lld x %lld pixels; at most %d a side and %d in all are read", path,
                    (long long)width, (long long)height, IMAGE_SIDE_MOST, IMAGE_PIXELS_MOST);
    return OK;
}

static status read_facts(const image_file *file, image_format format, bool check, image_facts *out)
{
    switch (format) {
    case FORMAT_JPEG: return jpeg_facts(file, check, out);
    case FORMAT_PNG: return png_facts(file, check, out);
    case FORMAT_BMP: return bmp_facts(file, check, out);
    case FORMAT_UNKNOWN: break;
    }
    return FAIL(ERR_FORMAT, file->count ? "%s: not a JPEG, PNG or BMP picture" : "%s: empty file", file->path);
}

static status decode(const image_file *file, image_format format, const image_facts *facts, image *out)
{
    TRY(image_shape(out, facts->width, facts->height));
    if (format == FORMAT_JPEG) return jpeg_decode(file, facts, out);
    if (format == FORMAT_PNG) return png_decode(file, out);
    return bmp_decode(file, out);
}

/* Decode for the errors alone. */
static status try_decoding(image_reader *r, const image_file *file, image_format format, const image_facts *facts)
{
    if (format == FORMAT_JPEG) return jpeg_try(file, facts);
    return decode(file, format, facts, &r->turned);
}

/* ---- orientation ---- */

/* Orientations 5 to 8 lie on their side. */
static bool is_lying(int orientation)
{
    return orientation >= 5;
}

/* Put a stored picture upright. Orientations 5 to 8 are 1 to 4 of the transposed picture, in another order. */
static status turn(const image *from, int orientation, image *out)
{
    static const bool mirror_x[9] = {[2] = true, [3] = true, [6] = true, [7] = true};
    static const bool mirror_y[9] = {[3] = true, [4] = true, [7] = true, [8] = true};
    bool lying = is_lying(orientation);
    TRY(image_shape(out, lying ? from->height : from->width, lying ? from->width : from->height));
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++) {
            int a = mirror_x[orientation] ? out->width - 1 - x : x, b = mirror_y[orientation] ? out->height - 1 - y : y;
            size_t at =
                lying ? (size_t)a * (size_t)from->width + (size_t)b : (size_t)b * (size_t)from->width + (size_t)a;
            memcpy(out->pixels + image_bytes(out->width, y) + IMAGE_CHANNELS * (size_t)x,
                   from->pixels + IMAGE_CHANNELS * at, IMAGE_CHANNELS);
        }
    return OK;
}

/* ---- reading ---- */

static status read_picture(image_reader *r, const image_file *file, image_format format, image *out)
{
    image_facts facts;
    TRY(read_facts(file, format, false, &facts));
    if (facts.orientation == 1) return decode(file, format, &facts, out);
    TRY(decode(file, format, &facts, &r->turned));
    return turn(&r->turned, facts.orientation, out);
}

status image_read(image_reader *r, const char *path, image *out)
{
    image_file file;
    TRY(read_file(r, path, &file));
    image_format format = format_of(&file);
    return read_picture(r, &file, format, out);
}

status image_probe(image_reader *r, const char *path, int *width, int *height)
{
    image_file file;
    image_facts facts;
    TRY(read_file(r, path, &file));
    image_format format = format_of(&file);
    status s = read_facts(&file, format, true, &facts);
    if (s == OK && (facts.width < IMAGE_SIDE_LEAST || facts.height < IMAGE_SIDE_LEAST))
        s = FAIL(ERR_RANGE, "%s: %d x %d pixels; at least %d a side are needed", path, facts.width, facts.height,
                 IMAGE_SIDE_LEAST);
    if (s == OK) s = try_decoding(r, &file, format, &facts);
    if (s != OK) return s;
    bool lying = is_lying(facts.orientation);
    *width = lying ? facts.height : facts.width;
    *height = lying ? facts.width : facts.height;
    return OK;
}
