/* pt.c, pt_tensors.c and pt_state.c: archives and files of the older format made by hand, good and bad ones. Those that we write
 * ourselves are in pt_write_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include <cmocka.h>

#include "worker/model/test_pt.h"

#define BYTES(literal) (literal), sizeof(literal) - 1

static void write_bytes(const void *bytes, size_t count)
{
    assert_int_equal(fs_write(path, bytes, count), OK);
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

/* A class of modules goes through a persistent id, with its source, and is no storage. */
static void classes_of_the_older_format_are_no_storages(void **state)
{
    (void)state;
    static const char saved[] = LEGACY_MAGIC LEGACY_VERSION LEGACY_SYSTEM "\x80\x02}(U\x01"
                                                                          "m(U\x06modulecmodels.common\nConv\nU\x09"
                                                                          "common.pyU\x04passtQ)\x81}U\x08_modules}sbu."
                                                                          "\x80\x02].";
    write_bytes(saved, sizeof saved - 1);
    pt_file *f = open_good();
    assert_true(pickle_is(pickle_get(pt_root(f), "m"), "models.common.Conv"));
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
        cmocka_unit_test(other_files_are_told_from_torch_files),
        cmocka_unit_test(tensors_stay_inside_their_storage),
        cmocka_unit_test(archives_that_are_no_torch_files_are_refused),
        cmocka_unit_test(other_types_of_numbers_are_converted),
        cmocka_unit_test(views_are_read_by_their_strides),
        cmocka_unit_test(modules_give_their_state_in_order),
        cmocka_unit_test(the_older_format_is_read),
        cmocka_unit_test(classes_of_the_older_format_are_no_storages),
        cmocka_unit_test(every_cut_of_the_older_format_is_refused),
        cmocka_unit_test(the_older_format_is_checked),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
