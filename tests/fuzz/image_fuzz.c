/* Any bytes as a picture: read or refused, and read alike by a reader that has seen other pictures before. */
#include <string.h>

#include "common/log.h"
#include "tests/fuzz/file.h"
#include "worker/data/image.h"

/* A few bytes can announce a picture of gigabytes; those are left to the tests. */
enum { PIXELS_MOST = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static image_reader *used;
    static image picture;
    image_reader *fresh;
    image again = {0};
    char path[FUZZ_PATH_ROOM];
    int width, height;
    log_set_level(LEVEL_SILENT);
    if (!used && image_reader_create(&used) != OK) return 0;
    if (image_reader_create(&fresh) != OK) return 0;
    int descriptor = fuzz_file(bytes, count, path);
    status probed = image_probe(used, path, &width, &height);
    /* what probing lets pass can be read, again and again */
    if (probed == OK && (int64_t)width * height <= PIXELS_MOST) {
        if (image_read(used, path, &picture) != OK || image_read(fresh, path, &again) != OK) abort();
        if (picture.width != width || picture.height != height || again.width != width) abort();
        if (memcmp(picture.pixels, again.pixels, image_bytes(width, height))) abort();
    }
    close(descriptor);
    image_free(&again);
    image_reader_destroy(&fresh);
    return 0;
}
