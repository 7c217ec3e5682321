#include "worker/data/image_formats.h"

enum { TIFF_HEADER = 8, TIFF_ENTRY = 12, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };

typedef struct tiff {
    const uint8_t *bytes;
    size_t count;
    bool big_endian;
} tiff;

/* 0 past the end: no offset or tag that means anything is 0. */
static uint32_t read_number(const tiff *t, size_t at, int size)
{
    uint32_t value = 0;
    if (at > t->count || t->count - at < (size_t)size) return 0;
    for (int i = 0; i < size; i++) value = value << 8 | t->bytes[at + (size_t)(t->big_endian ? i : size - 1 - i)];
    return value;
}

int exif_orientation(const uint8_t *bytes, size_t count)
{
    if (count < TIFF_HEADER || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M')) return 1;
    tiff t = {bytes, count, bytes[0] == 'M'};
    size_t directory = read_number(&t, 4, 4);
    uint32_t entries = read_number(&t, directory, 2);
    for (uint32_t i = 0; i < entries; i++) {
        size_t at = directory + 2 + (size_t)i * TIFF_ENTRY;
        if (at >= count) break;
        if (read_number(&t, at, 2) != TAG_ORIENTATION || read_number(&t, at + 2, 2) != TYPE_SHORT) continue;
        uint32_t orientation = read_number(&t, at + 8, 2);
        return orientation >= 1 && orientation <= 8 ? (int)orientation : 1;
    }
    return 1;
}
