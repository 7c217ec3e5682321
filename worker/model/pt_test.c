/* pt.c, pt_tensors.c, pt_state.c and pt_write.c: torch files there and back, the older format by hand, files that are cut short. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zip.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/text.h"
#include "worker/model/pt.h"
#include "worker/model/pt_write.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

static char root[] = "/tmp/mendel-pt-XXXXXX";
static char *path; /* of the file under test */

static int make_root(void **state)
{
    (void)state;
    if (!mkdtemp(root)) return -1;
    path = path_join(root, "file.pt");
    return path ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    free(path);
    return fs_remove(root) == OK ? 0 : -1;
}

static pt_file *open_good(void)
{
    pt_file *f;
    if (pt_open(path, &f) != OK) fail_msg("%s", status_message());
    return f;
}

/* One sentence that names the file, and nothing is returned. */
static void expect_refused(status expected, const char *words)
{
    pt_file *f;
    status s = pt_open(path, &f);
    assert_null(f);
    if (s != expected || !strstr(status_message(), words) || !strstr(status_message(), path))
        fail_msg("status %d: %s; '%s' was expected", s, status_message(), words);
}

static void write_bytes(const void *bytes, size_t count)
{
    assert_int_equal(fs_write(path, bytes, count), OK);
}

/* ---- there and back ---- */

static const float grid[6] = {1, -2, 0.5f, 65504, 1e-8f, 3};
static const int64_t grid_shape[2] = {2, 3};

static void write_sample(void)
{
    pt_writer *w;
    assert_int_equal(pt_writer_create(&w), OK);
    pt_put_start(w, PT_DICT);
    pt_put_string(w, "epoch");
    pt_put_int(w, -1);
    pt_put_string(w, "ints");
    pt_put_start(w, PT_LIST);
    static const int64_t ints[] = {0, 255, 256, 65535, 65536, -129, INT32_MIN, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) pt_put_int(w, ints[i]);
    pt_put_end(w);
    pt_put_string(w, "state");
    pt_put_start(w, PT_ORDERED_DICT);
    pt_put_string(w, "model.0.weight");
    pt_put_floats(w, PT_FLOAT, 2, grid_shape, grid);
    pt_put_string(w, "model.0.half");
    pt_put_floats(w, PT_HALF, 2, grid_shape, grid);
    pt_put_string(w, "model.0.num_batches_tracked");
    pt_put_long_scalar(w, (int64_t)1 << 40);
    pt_put_string(w, "empty");
    pt_put_floats(w, PT_FLOAT, 1, (int64_t[]){0}, grid);
    pt_put_end(w);
    pt_put_string(w, "betas");
    pt_put_start(w, PT_TUPLE);
    pt_put_double(w, 0.937);
    pt_put_bool(w, true);
    pt_put_none(w);
    pt_put_end(w);
    pt_put_string(w, "step");
    pt_put_float_scalar(w, 7);
    pt_put_end(w);
    assert_int_equal(pt_writer_save(w, path), OK);
    pt_writer_destroy(&w);
    assert_null(w);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    write_sample();
    pt_file *f = open_good();
    const pickle_value *all = pt_root(f);
    int64_t value;
    double number;
    assert_true(pickle_int(pickle_get(all, "epoch"), &value) && value == -1);
    assert_true(pickle_int(pickle_find(all, "ints/5"), &value) && value == -129);
    assert_true(pickle_int(pickle_find(all, "ints/6"), &value) && value == INT32_MIN);
    assert_true(pickle_int(pickle_find(all, "ints/7"), &value) && value == INT64_MAX);
    assert_true(pickle_int(pickle_find(all, "ints/8"), &value) && value == INT64_MIN);
    assert_true(pickle_double(pickle_find(all, "betas/0"), &number) && number == 0.937);
    assert_int_equal(pt_number(f, pickle_get(all, "step"), "step", &number), OK);
    assert_true(number == 7);
    pt_state s;
    assert_int_equal(pt_state_of(f, pickle_get(all, "state"), &s), OK);
    assert_int_equal(s.count, 4);
    assert_string_equal(s.entries[0].name, "model.0.weight");
    float values[6];
    assert_int_equal(pt_read(f, &s.entries[0].tensor, values), OK);
    assert_memory_equal(values, grid, sizeof grid);
    assert_int_equal(s.entries[1].tensor.type, PT_HALF);
    assert_int_equal(pt_read(f, &s.entries[1].tensor, values), OK);
    assert_true(values[1] == -2 && values[3] == 65504 && fabsf(values[4]) < 6e-8f);
    assert_int_equal(pt_read_ints(f, &s.entries[2].tensor, &value), OK);
    assert_int_equal(value, (int64_t)1 << 40);
    assert_int_equal(pt_read_ints(f, &s.entries[0].tensor, &value), ERR_FORMAT);
    assert_int_equal(s.entries[3].tensor.count, 0);
    assert_int_equal(pt_read(f, &s.entries[3].tensor, values), OK);
    pt_state_free(&s);
    assert_int_equal(pt_state_of(f, pickle_get(all, "betas"), &s), ERR_FORMAT);
    pt_state_free(&s);
    pt_close(&f);
    assert_null(f);
}

static void the_same_contents_give_the_same_bytes(void **state)
{
    (void)state;
    char *bytes[2];
    size_t counts[2];
    for (int i = 0; i < 2; i++) {
        write_sample();
        assert_int_equal(fs_read(path, 0, &bytes[i], &counts[i]), OK);
    }
    assert_int_equal(counts[0], counts[1]);
    assert_memory_equal(bytes[0], bytes[1], counts[0]);
    free(bytes[0]);
    free(bytes[1]);
    int code; /* and the time of day is not among them */
    zip_t *archive = zip_open(path, ZIP_RDONLY, &code);
    assert_non_null(archive);
    for (zip_int64_t i = 0; i < zip_get_num_entries(archive, 0); i++) {
        zip_stat_t about;
        struct tm date;
        assert_int_equal(zip_stat_index(archive, (zip_uint64_t)i, 0, &about), 0);
        assert_int_equal(localtime_r(&about.mtime, &date)->tm_year, 80);
    }
    zip_discard(archive);
}

static void a_file_that_cannot_be_written_leaves_the_old_one(void **state)
{
    (void)state;
    write_sample();
    char *missing = path_join(root, "nowhere/file.pt");
    pt_writer *w;
    assert_int_equal(pt_writer_create(&w), OK);
    pt_put_none(w);
    assert_int_not_equal(pt_writer_save(w, missing), OK);
    pt_writer_destroy(&w);
    free(missing);
    fs_names files;
    assert_int_equal(fs_list(root, &files), OK);
    assert_int_equal(files.count, 1);
    fs_names_free(&files);
    pt_file *f = open_good();
    pt_close(&f);
}

/* ---- files that are cut short or damaged ---- */

/* Open, and read all there is: what is OK to the end has to be whole. */
static status read_everything(void)
{
    pt_file *f;
    TRY(pt_open(path, &f));
    pt_state s = {0};
    status result = pt_state_of(f, pickle_get(pt_root(f), "state"), &s);
    for (size_t i = 0; result == OK && i < s.count; i++) {
        float *values = calloc((size_t)s.entries[i].tensor.count + 1, sizeof *values);
        assert_non_null(values);
        result = pt_read(f, &s.entries[i].tensor, values);
        free(values);
    }
    pt_state_free(&s);
    pt_close(&f);
    return result;
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    char *bytes;
    size_t count;
    write_sample();
    assert_int_equal(read_everything(), OK);
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    for (size_t cut = 0; cut < count; cut++) {
        FILE *f = fopen(path, "wb"); /* without the syncs of fs_write: there are thousands */
        assert_true(f && fwrite(bytes, 1, cut, f) == cut && fclose(f) == 0);
        expect_refused(ERR_FORMAT, "");
    }
    free(bytes);
}

static void a_wrong_byte_is_noticed_or_harmless(void **state)
{
    (void)state;
    char *bytes;
    size_t count;
    write_sample();
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    size_t at = 0;
    while (memcmp(bytes + at, grid, sizeof grid)) at++;
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (char)(bytes[i] ^ 0x55);
        FILE *f = fopen(path, "wb");
        assert_true(f && fwrite(bytes, 1, count, f) == count && fclose(f) == 0);
        bool numbers = i >= at && i < at + sizeof grid;
        status s = read_everything();
        if (numbers) assert_int_equal(s, ERR_FORMAT); /* the archive's checksum */
        bytes[i] = (char)(bytes[i] ^ 0x55);
    }
    free(bytes);
}

static void other_files_are_told_from_torch_files(void **state)
{
    (void)state;
    write_bytes("", 0);
    expect_refused(ERR_FORMAT, "is no torch file");
    write_bytes(BYTES("nc: 80\n"));
    expect_refused(ERR_FORMAT, "is no torch file");
    write_bytes(BYTES("\x80\x02K\x01."));
    expect_refused(ERR_FORMAT, "is no torch file");
    write_bytes(BYTES("PK\x03\x04 and no more"));
    expect_refused(ERR_FORMAT, "cut short");
    assert_int_equal(unlink(path), 0);
    expect_refused(ERR_NOT_FOUND, "No such file");
    assert_int_equal(fs_make_folders(path, 0777), OK);
    expect_refused(ERR_ARGUMENT, "is no file");
    assert_int_equal(fs_remove(path), OK);
}

/* ---- archives by hand ---- */

typedef struct entry {
    const char *name;
    const void *bytes;
    size_t count;
    bool deflated;
} entry;

static void write_archive(const entry *entries, size_t count)
{
    int code;
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(archive);
    for (size_t i = 0; i < count; i++) {
        zip_source_t *from = zip_source_buffer(archive, entries[i].bytes, entries[i].count, 0);
        zip_int64_t index = zip_file_add(archive, entries[i].name, from, 0);
        assert_true(index >= 0);
        assert_int_equal(zip_set_file_compression(archive, (zip_uint64_t)index,
                                                  entries[i].deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0),
                         0);
    }
    assert_int_equal(zip_close(archive), 0);
}

/* {'a': tensor} of a float storage of 3 elements, with this offset, size and stride. */
#define TENSOR(storage, offset, size, stride)                                                                          \
    "\x80\x02}U\x01"                                                                                                   \
    "actorch._utils\n_rebuild_tensor_v2\n((U\x07storage" storage "tQK" offset "(K" size "t(K" stride "t\x89"           \
    "ccollections\nOrderedDict\n)RtRs."
#define FLOATS(count)                                                                                                  \
    "ctorch\nFloatStorage\nU\x01"                                                                                      \
    "0U\x03"                                                                                                           \
    "cpuK" count

static void expect_archive(const void *pkl, size_t count, status expected, const char *words)
{
    static const float numbers[3] = {1, 2, 3};
    const entry entries[] = {{"x/data.pkl", pkl, count, false}, {"x/data/0", numbers, sizeof numbers, false}};
    write_archive(entries, 2);
    pt_file *f;
    pt_tensor t;
    status s = pt_open(path, &f);
    if (s == OK) s = pt_tensor_of(f, pickle_get(pt_root(f), "a"), &t);
    if (s != expected || (s != OK && !strstr(status_message(), words)))
        fail_msg("status %d: %s; '%s' was expected", s, status_message(), words);
    pt_close(&f);
}

static void tensors_stay_inside_their_storage(void **state)
{
    (void)state;
    expect_archive(BYTES(TENSOR(FLOATS("\x03"), "\x00", "\x03", "\x01")), OK, "");
    expect_archive(BYTES(TENSOR(FLOATS("\x03"), "\x02", "\x03", "\x00")), OK, "");
    expect_archive(BYTES(TENSOR(FLOATS("\x03"), "\x01", "\x03", "\x01")), ERR_FORMAT, "reaches beyond its storage 0");
    expect_archive(BYTES(TENSOR(FLOATS("\x03"), "\x00", "\x03", "\x02")), ERR_FORMAT, "reaches beyond its storage 0");
    expect_archive(BYTES(TENSOR(FLOATS("\x04"), "\x00", "\x03", "\x01")), ERR_FORMAT,
                   "storage 0 has 12 bytes, 16 were");
    expect_archive(BYTES(TENSOR("ctorch\nFloatStorage\nU\x01"
                                "9U\x03"
                                "cpuK\x03",
                                "\x00", "\x03", "\x01")),
                   ERR_NOT_FOUND, "the archive has no x/data/9");
    expect_archive(BYTES(TENSOR("ctorch\nQInt8Storage\nU\x01"
                                "0U\x03"
                                "cpuK\x0c",
                                "\x00", "\x03", "\x01")),
                   ERR_UNSUPPORTED, "torch.QInt8Storage");
    expect_archive(BYTES(TENSOR("ctorch\nFloatStorage\nU\x01"
                                "0U\x03"
                                "cpuJ\xff\xff\xff\x7f",
                                "\x00", "\x03", "\x01")),
                   ERR_FORMAT, "more than the file can hold");
    expect_archive(BYTES(TENSOR("ctorch\nFloatStorage\nU\x01"
                                "0U\x03"
                                "cpuJ\xff\xff\xff\xff",
                                "\x00", "\x03", "\x01")),
                   ERR_FORMAT, "no storage");
    expect_archive(BYTES("\x80\x02}U\x01"
                         "aK\x01s."),
                   ERR_FORMAT, "a tensor was expected");
    /* 2^31 elements from three, by strides of 0 */
    expect_archive(BYTES("\x80\x02}U\x01"
                         "actorch._utils\n_rebuild_tensor_v2\n((U\x07storage" FLOATS(
                             "\x03") "tQK\x00(J\x00\x00\x00\x40K\x04t(K\x00K\x00t\x89"
                                     "ccollections\nOrderedDict\n)RtRs."),
                   ERR_FORMAT, "cannot be");
}

static void archives_that_are_no_torch_files_are_refused(void **state)
{
    (void)state;
    const entry other = {"readme.txt", BYTES("hello"), false};
    write_archive(&other, 1);
    expect_refused(ERR_FORMAT, "it has no data.pkl");
    const entry packed = {"x/data.pkl",
                          BYTES("\x80\x02"
                                "U\x40"
                                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."),
                          true};
    write_archive(&packed, 1);
    expect_refused(ERR_UNSUPPORTED, "is compressed");
    const entry big[] = {{"x/data.pkl", BYTES("N."), false}, {"x/byteorder", BYTES("big"), false}};
    write_archive(big, 2);
    expect_refused(ERR_UNSUPPORTED, "byte order");
}

static void other_types_of_numbers_are_converted(void **state)
{
    (void)state;
    static const struct {
        const char *pkl;
        size_t pkl_count;
        const char *numbers;
        size_t count;
        float values[3];
    } cases[] = {
        {BYTES(TENSOR("ctorch\nHalfStorage\nU\x01"
                      "0U\x03"
                      "cpuK\x03",
                      "\x00", "\x03", "\x01")),
         BYTES("\x00\x3c\x00\xc0\xff\x7b"),
         {1, -2, 65504}},
        {BYTES(TENSOR("ctorch\nBFloat16Storage\nU\x01"
                      "0U\x03"
                      "cpuK\x03",
                      "\x00", "\x03", "\x01")),
         BYTES("\x80\x3f\x00\xc0\x40\x40"),
         {1, -2, 3}},
        {BYTES(TENSOR("ctorch\nShortStorage\nU\x01"
                      "0U\x03"
                      "cpuK\x03",
                      "\x00", "\x03", "\x01")),
         BYTES("\x01\x00\xfe\xff\x03\x00"),
         {1, -2, 3}},
        {BYTES(TENSOR("ctorch\nCharStorage\nU\x01"
                      "0U\x03"
                      "cpuK\x03",
                      "\x00", "\x03", "\x01")),
         BYTES("\x01\xfe\x03"),
         {1, -2, 3}},
        {BYTES(TENSOR("ctorch\nByteStorage\nU\x01"
                      "0U\x03"
                      "cpuK\x03",
                      "\x00", "\x03", "\x01")),
         BYTES("\x01\xfe\x03"),
         {1, 254, 3}},
        {BYTES(TENSOR("ctorch\nBoolStorage\nU\x01"
                      "0U\x03"
                      "cpuK\x03",
                      "\x00", "\x03", "\x01")),
         BYTES("\x01\x00\x01"),
         {1, 0, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const entry entries[] = {{"x/data.pkl", cases[i].pkl, cases[i].pkl_count, false},
                                 {"x/data/0", cases[i].numbers, cases[i].count, false}};
        write_archive(entries, 2);
        pt_file *f = open_good();
        pt_tensor t;
        float values[3];
        assert_int_equal(pt_tensor_of(f, pickle_get(pt_root(f), "a"), &t), OK);
        assert_int_equal(pt_read(f, &t, values), OK);
        assert_memory_equal(values, cases[i].values, sizeof values);
        pt_close(&f);
    }
}

/* A transposed view of 2 x 3 numbers from the second on, as torch saves slices. */
static void views_are_read_by_their_strides(void **state)
{
    (void)state;
    static const char pkl[] =
        "\x80\x02}U\x01"
        "actorch._utils\n_rebuild_tensor_v2\n((U\x07storage" FLOATS("\x07") "tQK\x01(K\x03K\x02t(K\x01K\x03t\x89"
                                                                            "ccollections\nOrderedDict\n)RtRs.";
    static const float numbers[7] = {9, 1, 2, 3, 4, 5, 6}, transposed[6] = {1, 4, 2, 5, 3, 6};
    const entry entries[] = {{"x/data.pkl", pkl, sizeof pkl - 1, false}, {"x/data/0", numbers, sizeof numbers, false}};
    write_archive(entries, 2);
    pt_file *f = open_good();
    pt_tensor t;
    float values[6];
    assert_int_equal(pt_tensor_of(f, pickle_get(pt_root(f), "a"), &t), OK);
    assert_int_equal(pt_read(f, &t, values), OK);
    assert_memory_equal(values, transposed, sizeof values);
    pt_close(&f);
}

/* A module with a parameter, a buffer, one that is not saved, a bias that is None, and a module inside. */
static void modules_give_their_state_in_order(void **state)
{
    (void)state;
#define REBUILD                                                                                                        \
    "ctorch._utils\n_rebuild_tensor_v2\n((U\x07storage" FLOATS("\x03") "tQK\x00(K\x03t(K\x01t\x89"                     \
                                                                       "ccollections\nOrderedDict\n)RtR"
    static const char pkl[] = "\x80\x02}U\x01"
                              "actorch.nn.modules.conv\nConv2d\n)\x81}("
                              "U\x0b_parameters}(U\x06weight"
                              "ctorch._utils\n_rebuild_parameter\n(" REBUILD "\x88"
                              "ccollections\nOrderedDict\n)RtR"
                              "U\x04"
                              "biasNu"
                              "U\x08_buffers}(U\x04mean" REBUILD "U\x04tempNu"
                              "U\x08_modules}(U\x01"
                              "0cmodels.common\nConv\n)\x81}(U\x0b_parameters}U\x01w" REBUILD "su"
                              "bu"
                              "ubs.";
    static const float numbers[3] = {1, 2, 3};
    const entry entries[] = {{"x/data.pkl", pkl, sizeof pkl - 1, false}, {"x/data/0", numbers, sizeof numbers, false}};
    write_archive(entries, 2);
    pt_file *f = open_good();
    pt_state s;
    if (pt_state_of(f, pickle_get(pt_root(f), "a"), &s) != OK) fail_msg("%s", status_message());
    assert_int_equal(s.count, 3);
    assert_string_equal(s.entries[0].name, "weight");
    assert_string_equal(s.entries[1].name, "mean");
    assert_string_equal(s.entries[2].name, "0.w");
    pt_state_free(&s);
    pt_close(&f);
}

/* ---- the older format ---- */

#define LEGACY_MAGIC                                                                                                   \
    "\x80\x02\x8a\nl\xfc\x9c"                                                                                          \
    "F\xf9 j\xa8P\x19."
#define LEGACY_VERSION "\x80\x02M\xe9\x03."
#define LEGACY_SYSTEM  "\x80\x02}U\rlittle_endian\x88s."
#define LEGACY_KEYS                                                                                                    \
    "\x80\x02]U\x01"                                                                                                   \
    "0a."
#define LEGACY_SAVED                                                                                                   \
    "\x80\x02}U\x01"                                                                                                   \
    "actorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01"                                    \
    "0U\x03"                                                                                                           \
    "cpuK\x03N"                                                                                                        \
    "tQK\x00(K\x03t(K\x01t\x89"                                                                                        \
    "ccollections\nOrderedDict\n)RtRs."
#define LEGACY_FRONT LEGACY_MAGIC LEGACY_VERSION LEGACY_SYSTEM LEGACY_SAVED LEGACY_KEYS
#define LEGACY_NUMBERS                                                                                                 \
    "\x03\0\0\0\0\0\0\0"                                                                                               \
    "\0\0\x80\x3f"                                                                                                     \
    "\0\0\0\x40"                                                                                                       \
    "\0\0\x40\x40"

static void the_older_format_is_read(void **state)
{
    (void)state;
    static const float expected[3] = {1, 2, 3};
    write_bytes(BYTES(LEGACY_FRONT LEGACY_NUMBERS));
    pt_file *f = open_good();
    pt_tensor t;
    float values[3];
    assert_int_equal(pt_tensor_of(f, pickle_get(pt_root(f), "a"), &t), OK);
    assert_int_equal(pt_read(f, &t, values), OK);
    assert_memory_equal(values, expected, sizeof values);
    pt_close(&f);
}

static void every_cut_of_the_older_format_is_refused(void **state)
{
    (void)state;
    static const char whole[] = LEGACY_FRONT LEGACY_NUMBERS;
    for (size_t count = 0; count < sizeof whole - 1; count++) {
        FILE *f = fopen(path, "wb");
        assert_true(f && fwrite(whole, 1, count, f) == count && fclose(f) == 0);
        expect_refused(ERR_FORMAT, "");
    }
}

static void the_older_format_is_checked(void **state)
{
    (void)state;
    write_bytes(BYTES(LEGACY_MAGIC "\x80\x02M\xe8\x03." LEGACY_SYSTEM LEGACY_SAVED LEGACY_KEYS LEGACY_NUMBERS));
    expect_refused(ERR_UNSUPPORTED, "version 1000");
    write_bytes(
        BYTES(LEGACY_MAGIC LEGACY_VERSION "\x80\x02}U\rlittle_endian\x89s." LEGACY_SAVED LEGACY_KEYS LEGACY_NUMBERS));
    expect_refused(ERR_UNSUPPORTED, "byte order");
    write_bytes(BYTES(LEGACY_FRONT "\x04\0\0\0\0\0\0\0"
                                   "\0\0\x80\x3f"
                                   "\0\0\0\x40"
                                   "\0\0\x40\x40"
                                   "\0\0\0\0"));
    expect_refused(ERR_FORMAT, "storage 0 is damaged");
    write_bytes(BYTES(LEGACY_MAGIC LEGACY_VERSION LEGACY_SYSTEM LEGACY_SAVED "\x80\x02]U\x01"
                                                                             "1a." LEGACY_NUMBERS));
    expect_refused(ERR_FORMAT, "storage 1 belongs to nothing");
    write_bytes(BYTES(LEGACY_MAGIC LEGACY_VERSION LEGACY_SYSTEM LEGACY_SAVED "\x80\x02]." LEGACY_NUMBERS));
    expect_refused(ERR_FORMAT, "storage 0 is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_same_contents_give_the_same_bytes),
        cmocka_unit_test(a_file_that_cannot_be_written_leaves_the_old_one),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(a_wrong_byte_is_noticed_or_harmless),
        cmocka_unit_test(other_files_are_told_from_torch_files),
        cmocka_unit_test(tensors_stay_inside_their_storage),
        cmocka_unit_test(archives_that_are_no_torch_files_are_refused),
        cmocka_unit_test(other_types_of_numbers_are_converted),
        cmocka_unit_test(views_are_read_by_their_strides),
        cmocka_unit_test(modules_give_their_state_in_order),
        cmocka_unit_test(the_older_format_is_read),
        cmocka_unit_test(every_cut_of_the_older_format_is_refused),
        cmocka_unit_test(the_older_format_is_checked),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
