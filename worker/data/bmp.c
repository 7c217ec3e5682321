/* bmp.c - Windows and OS/2 bitmaps without compression.
 *
 *     0  "BM"                  14  size of the second header: 12 (OS/2) or 40 and more
 *    10  offset of the pixels  18  width, height (2 bytes each for OS/2, else 4; a negative height starts at the top),
 *                                  planes (2), bits a pixel (2), compression (4), ... colours in the palette at 46
 *    54  masks of red, green, blue when the compression is BITFIELDS
 *
 * Rows are padded to 4 bytes. The palette (3 bytes a colour for OS/2, else 4) follows the second header. */
#include "worker/data/image_formats.h"

enum { FILE_HEADER = 14, OS2_HEADER = 12, WINDOWS_HEADER = 40, MASKS = 54, PLAIN = 0, BITFIELDS = 3 };

typedef struct bmp {
    int width, height;
    bool from_top;
    int bits, colours;                         /* colours: in the palette */
    size_t palette, palette_step, pixels, row; /* offsets and bytes */
    uint32_t mask[IMAGE_CHANNELS];
} bmp;

static uint32_t read_number(const image_file *f, size_t at, int size)
{
    uint32_t value = 0;
    for (int i = size; i-- > 0;) value = value << 8 | f->bytes[at + (size_t)i];
    return value;
}

static status bad(const image_file *f, const char *what)
{
    return FAIL(ERR_FORMAT, "%s: broken BMP: %s", f->path, what);
}

static status read_size(const image_file *f, size_t header, bmp *out)
{
    int64_t width, height;
    if (header == OS2_HEADER) {
        width = read_number(f, 18, 2);
        height = read_number(f, 20, 2);
        out->bits = (int)read_number(f, 24, 2);
    } else {
        width = (int32_t)read_number(f, 18, 4);
        height = (int32_t)read_number(f, 22, 4);
        out->bits = (int)read_number(f, 28, 2);
    }
    out->from_top = height < 0;
    if (height < 0) height = -height;
    TRY(image_check_size(f->path, width, height));
    out->width = (int)width;
    out->height = (int)height;
    return OK;
}

/* How the pixels are stored: palette, masks, padding. */
static status read_layout(const image_file *f, size_t header, bmp *out)
{
    static const uint32_t masks_16[] = {0x7c00, 0x3e0, 0x1f}, masks_32[] = {0xff0000, 0xff00, 0xff};
    uint32_t compression = header == OS2_HEADER ? PLAIN : read_number(f, 30, 4);
    int bits = out->bits;
    bool wide = bits == 16 || bits == 32;
    if (compression != PLAIN && !(compression == BITFIELDS && wide))
        return FAIL(ERR_UNSUPPORTED, "%s: a compressed BMP; save it as PNG", f->path);
    if (!wide && bits != 1 && bits != 4 && bits != 8 && bits != 24) return bad(f, "odd number of bits a pixel");
    if (compression == BITFIELDS && f->count < MASKS + 12) return bad(f, "it is cut off");
    for (int c = 0; c < IMAGE_CHANNELS; c++)
        out->mask[c] = compression == BITFIELDS ? read_number(f, MASKS + 4 * (size_t)c, 4)
                       : bits == 16             ? masks_16[c]
                                                : masks_32[c];
    out->palette = FILE_HEADER + header;
    out->palette_step = header == OS2_HEADER ? 3 : 4;
    if (bits <= 8) {
        uint32_t colours = header == OS2_HEADER ? 0 : read_number(f, 46, 4);
        out->colours = colours == 0 || colours > 1u << bits ? 1 << bits : (int)colours;
        if (f->count < out->palette + (size_t)out->colours * out->palette_step) return bad(f, "it is cut off");
    }
    out->pixels = read_number(f, 10, 4);
    out->row = ((size_t)out->width * (size_t)bits + 31) / 32 * 4;
    if (out->pixels > f->count || f->count - out->pixels < out->row * (size_t)out->height)
        return bad(f, "it is cut off");
    return OK;
}

static status read_header(const image_file *f, bmp *out)
{
    *out = (bmp){0};
    if (f->count < FILE_HEADER + OS2_HEADER) return bad(f, "it is cut off");
    size_t header = read_number(f, 14, 4);
    if (header != OS2_HEADER && header < WINDOWS_HEADER) return bad(f, "its header has an odd size");
    if (f->count - FILE_HEADER < header) return bad(f, "it is cut off");
    TRY(read_size(f, header, out));
    return read_layout(f, header, out);
}

status bmp_facts(const image_file *file, bool check, image_facts *out)
{
    (void)check; /* the length is all there is, and decoding needs it too */
    bmp b;
    TRY(read_header(file, &b));
    *out = (image_facts){.width = b.width, .height = b.height, .orientation = 1};
    return OK;
}

/* The bits under a mask, stretched to 8. */
static uint8_t under_mask(uint32_t value, uint32_t mask)
{
    if (!mask) return 0;
    int shift = __builtin_ctz(mask);
    uint64_t most = mask >> shift;
    return (uint8_t)(((value & mask) >> shift) * 255u / most);
}

static void decode_pixel(const image_file *f, const bmp *b, size_t row, int x, uint8_t *rgb)
{
    if (b->bits <= 8) {
        size_t bit = (size_t)x * (size_t)b->bits;
        int index = f->bytes[row + bit / 8] >> (8 - b->bits - (int)(bit % 8)) & ((1 << b->bits) - 1);
        size_t colour = b->palette + (size_t)index * b->palette_step;
        for (int c = 0; c < IMAGE_CHANNELS; c++) rgb[c] = index < b->colours ? f->bytes[colour + 2 - (size_t)c] : 0;
    } else if (b->bits == 24) {
        for (int c = 0; c < IMAGE_CHANNELS; c++) rgb[c] = f->bytes[row + 3 * (size_t)x + 2 - (size_t)c];
    } else {
        uint32_t value = read_number(f, row + (size_t)x * (size_t)(b->bits / 8), b->bits / 8);
        for (int c = 0; c < IMAGE_CHANNELS; c++) rgb[c] = under_mask(value, b->mask[c]);
    }
}

status bmp_decode(const image_file *file, image *out)
{
    bmp b;
    TRY(read_header(file, &b));
    for (int y = 0; y < b.height; y++) {
        size_t row = b.pixels + b.row * (size_t)(b.from_top ? y : b.height - 1 - y);
        for (int x = 0; x < b.width; x++)
            decode_pixel(file, &b, row, x, out->pixels + image_bytes(b.width, y) + IMAGE_CHANNELS * (size_t)x);
    }
    return OK;
}
