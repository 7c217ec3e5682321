/* Any bytes as a torch file: read as a whole with everything in it, or refused. The first byte chooses what the rest is: a file; what was
 * saved in a file of the older format and all behind it; the pickle of an archive, whose checksum a mutation would not survive. */
#include <string.h>
#include <zip.h>

#include "common/log.h"
#include "tests/fuzz/file.h"
#include "worker/model/pt_model.h"
#include "worker/train/checkpoint.h"

enum { WHOLE, OLDER, ARCHIVE, WAYS, ELEMENTS_MOST = 1 << 16 };

static const char older_front[] = "\x80\x02\x8a\nl\xfc\x9c"
                                  "F\xf9 j\xa8P\x19."
                                  "\x80\x02M\xe9\x03."
                                  "\x80\x02}U\rlittle_endian\x88s.";

static void read_tensor(pt_file *f, const pickle_value *v)
{
    static float floats[ELEMENTS_MOST];
    static int64_t integers[ELEMENTS_MOST];
    pt_tensor t;
    if (pt_tensor_of(f, v, &t) != OK || t.count > ELEMENTS_MOST) return;
    pt_read(f, &t, floats);
    pt_read_ints(f, &t, integers);
}

static void read_all(const char *path)
{
    pt_file *f;
    if (pt_open(path, &f) != OK) return;
    double number;
    const pickle_value *root = pt_root(f);
    for (size_t i = 0; i < root->count; i++) {
        pt_state state;
        text words = {0};
        detect_parameters heads;
        if (pt_is_tensor(root->items[i])) read_tensor(f, root->items[i]);
        pt_number(f, root->items[i], "number", &number);
        if (pt_state_of(f, root->items[i], &state) == OK)
            for (size_t k = 0; k < state.count; k++)
                if (!state.entries[k].name) abort();
        pt_state_free(&state);
        pt_model_yaml(f, root->items[i], &words);
        pt_model_heads(f, root->items[i], &heads);
        if (heads.levels < 0 || heads.levels > GRAPH_LEVELS || heads.anchors > GRAPH_ANCHORS) abort();
        text_free(&words);
    }
    pt_close(&f);
}

/* An archive of this pickle and one storage. */
static int make_archive(const uint8_t *bytes, size_t count, char path[FUZZ_PATH_ROOM])
{
    static const float numbers[64];
    zip_error_t error;
    zip_source_t *into = zip_source_buffer_create(NULL, 0, 0, &error);
    zip_source_keep(into);
    zip_t *archive = zip_open_from_source(into, ZIP_TRUNCATE, &error);
    zip_int64_t at = zip_file_add(archive, "a/data.pkl", zip_source_buffer(archive, bytes, count, 0), 0);
    zip_set_file_compression(archive, (zip_uint64_t)at, ZIP_CM_STORE, 0);
    at = zip_file_add(archive, "a/data/0", zip_source_buffer(archive, numbers, sizeof numbers, 0), 0);
    zip_set_file_compression(archive, (zip_uint64_t)at, ZIP_CM_STORE, 0);
    if (zip_close(archive) || zip_source_open(into)) abort();
    zip_source_seek(into, 0, SEEK_END);
    size_t size = (size_t)zip_source_tell(into);
    uint8_t *made = malloc(size);
    zip_source_seek(into, 0, SEEK_SET);
    if (!made || zip_source_read(into, made, size) != (zip_int64_t)size) abort();
    int descriptor = fuzz_file(made, size, path);
    zip_source_close(into);
    zip_source_free(into);
    free(made);
    return descriptor;
}

static int make_older(const uint8_t *bytes, size_t count, char path[FUZZ_PATH_ROOM])
{
    size_t front = sizeof older_front - 1;
    uint8_t *made = malloc(front + count);
    if (!made) abort();
    memcpy(made, older_front, front);
    memcpy(made + front, bytes, count);
    int descriptor = fuzz_file(made, front + count, path);
    free(made);
    return descriptor;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char path[FUZZ_PATH_ROOM];
    checkpoint *c;
    if (!count) return 0;
    log_set_level(LEVEL_SILENT);
    int way = bytes[0] % WAYS;
    int descriptor = way == WHOLE   ? fuzz_file(bytes + 1, count - 1, path)
                     : way == OLDER ? make_older(bytes + 1, count - 1, path)
                                    : make_archive(bytes + 1, count - 1, path);
    read_all(path);
    if (checkpoint_load(path, &c) == OK) checkpoint_destroy(&c);
    close(descriptor);
    return 0;
}
