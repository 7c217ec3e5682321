/* pt_write.c: torch files there and back through pt.c, and what is left of them when they are cut short or damaged. */
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

#include "worker/model/test_pt.h"
#include "worker/model/pt_write.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_same_contents_give_the_same_bytes),
        cmocka_unit_test(a_file_that_cannot_be_written_leaves_the_old_one),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(a_wrong_byte_is_noticed_or_harmless),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
