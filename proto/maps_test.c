/* maps.c: what goes in comes out, and nothing else gets in. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/train_options.h"
#include "proto/test_maps.h"

static status open_bytes(const void *data, size_t count)
{
    msgpack_unpacked map;
    status s = map_open(data, count, &map);
    msgpack_unpacked_destroy(&map);
    return s;
}

/* ---- hyperparameters ---- */

static hyp_space space;

static int make_space(void **state)
{
    (void)state;
    hyp_space_default(&space);
    return 0;
}

static void hyps_come_back_to_the_last_bit(void **state)
{
    (void)state;
    double values[HYP_MAX], back[HYP_MAX];
    bytes packed;
    hyp_defaults(&space, true, values);
    values[HYP_lr0] = nextafter(0.01, 1);
    assert_int_equal(map_pack_hyps(&space, values, &packed), OK);
    assert_int_equal(map_unpack_hyps(packed.data, packed.count, &space, back), OK);
    assert_memory_equal(back, values, space.count * sizeof *values);
    bytes_free(&packed);
    assert_null(packed.data);
}

/* All of the space but the row `without`, and `extra` with its value. */
static bytes hyps_with(int without, const char *extra, double value)
{
    maker m;
    double values[HYP_MAX];
    hyp_defaults(&space, false, values);
    begin(&m, space.count - (without >= 0) + (extra != NULL));
    for (int i = 0; i < (int)space.count; i++)
        if (i != without) map_put_double(&m.p, space.rows[i].key, values[i]);
    if (extra) map_put_double(&m.p, extra, value);
    bytes out;
    assert_int_equal(bytes_copy(m.buffer.data, m.buffer.size, &out), OK);
    msgpack_sbuffer_destroy(&m.buffer);
    return out;
}

static void expect_hyps(bytes packed, status expected, const char *words)
{
    double values[HYP_MAX];
    assert_int_equal(map_unpack_hyps(packed.data, packed.count, &space, values), expected);
    if (expected != OK) expect_message(words);
    bytes_free(&packed);
}

static void hyps_are_complete_known_and_in_range(void **state)
{
    (void)state;
    expect_hyps(hyps_with(-1, NULL, 0), OK, "");
    expect_hyps(hyps_with(HYP_mixup, NULL, 0), ERR_PROTOCOL, "'mixup' is missing");
    expect_hyps(hyps_with(-1, "lr7", 1), ERR_PROTOCOL, "unknown hyperparameter 'lr7'");
    expect_hyps(hyps_with(-1, "lr0", 1), ERR_PROTOCOL, "'lr0' stands there twice");
    expect_hyps(hyps_with(HYP_lr0, "lr0", 11), ERR_RANGE, "lr0");
    expect_hyps(hyps_with(HYP_lr0, "lr0", NAN), ERR_RANGE, "lr0");
    expect_hyps(hyps_with(HYP_lr0, "lr0", -INFINITY), ERR_RANGE, "lr0");
}

static void integers_are_numbers_too(void **state)
{
    (void)state;
    maker m;
    double values[HYP_MAX];
    begin(&m, space.count);
    for (size_t i = 0; i < space.count; i++) map_put_int(&m.p, space.rows[i].key, i == HYP_anchor_t);
    assert_int_equal(map_unpack_hyps(m.buffer.data, m.buffer.size, &space, values), OK);
    assert_true(values[HYP_anchor_t] == 1 && values[HYP_lr0] == 0);
    msgpack_sbuffer_destroy(&m.buffer);
}

static void hyps_of_another_type_are_refused(void **state)
{
    (void)state;
    maker m;
    double values[HYP_MAX];
    begin(&m, 1);
    map_put_text(&m.p, "lr0", "0.01");
    assert_int_equal(map_unpack_hyps(m.buffer.data, m.buffer.size, &space, values), ERR_PROTOCOL);
    expect_message("'lr0': a number was expected");
    msgpack_sbuffer_destroy(&m.buffer);
    begin(&m, 1); /* a key that is no text */
    msgpack_pack_int(&m.p, 1);
    msgpack_pack_int(&m.p, 1);
    assert_int_equal(map_unpack_hyps(m.buffer.data, m.buffer.size, &space, values), ERR_PROTOCOL);
    msgpack_sbuffer_destroy(&m.buffer);
}

/* ---- options ---- */

typedef struct options {
    train_options o;
    option_section section;
} options;

static int make_options(void **state)
{
    options *all = calloc(1, sizeof *all);
    if (!all) return -1;
    all->section = train_section(&all->o, NULL);
    *state = all;
    return options_defaults(&all->section, 1) == OK ? 0 : -1;
}

static int free_options(void **state)
{
    options *all = *state;
    options_free(&all->section, 1);
    free(all);
    return 0;
}

static void set(options *all, const char *name, const char *value)
{
    assert_int_equal(options_set(options_find(train_rows, TRAIN_ROWS, name), &all->o, value, name), OK);
}

static void options_come_back(void **state)
{
    options *all = *state, back = {.section = train_section(&back.o, NULL)};
    bytes packed;
    set(all, "epochs", "17");
    set(all, "img-size", "320 416");
    set(all, "adam", "true");
    set(all, "precision", "bf16");
    set(all, "warmup-cap", "0.25");
    set(all, "name", "a name with 'quotes', \xc3\xbc and a: b");
    assert_int_equal(options_defaults(&back.section, 1), OK);
    assert_int_equal(map_pack_options(train_rows, TRAIN_ROWS, &all->o, &packed), OK);
    assert_int_equal(map_unpack_options(packed.data, packed.count, train_rows, TRAIN_ROWS, &back.o, NULL), OK);
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        text want = {0}, got = {0};
        options_get(&train_rows[i], &all->o, &want);
        options_get(&train_rows[i], &back.o, &got);
        assert_string_equal(text_string(&got), text_string(&want));
        text_free(&want);
        text_free(&got);
    }
    options_free(&back.section, 1);
    bytes_free(&packed);
}

static bool not_the_name(const option_row *row)
{
    return strcmp(row->name, "name") != 0;
}

static status unpack_option(options *all, const char *key, const char *value, bool (*only)(const option_row *row))
{
    maker m;
    begin(&m, 1);
    map_put_text(&m.p, key, value);
    status s = map_unpack_options(m.buffer.data, m.buffer.size, train_rows, TRAIN_ROWS, &all->o, only);
    msgpack_sbuffer_destroy(&m.buffer);
    return s;
}

static void only_what_is_there_and_wanted_is_set(void **state)
{
    options *all = *state;
    set(all, "name", "mine");
    set(all, "epochs", "3");
    assert_int_equal(unpack_option(all, "name", "theirs", not_the_name), OK);
    assert_int_equal(unpack_option(all, "batch_size", "8", not_the_name), OK);
    assert_string_equal(all->o.name, "mine");
    assert_int_equal(all->o.batch_size, 8);
    assert_int_equal(all->o.epochs, 3);
}

static void bad_options_are_refused(void **state)
{
    options *all = *state;
    assert_int_equal(unpack_option(all, "shell", "reboot", NULL), ERR_PROTOCOL);
    expect_message("unknown option 'shell'");
    assert_int_not_equal(unpack_option(all, "epochs", "0", NULL), OK);
    expect_message("epochs");
    assert_int_not_equal(unpack_option(all, "precision", "fp8", NULL), OK);
    maker m;
    begin(&m, 1);
    map_put_int(&m.p, "epochs", 3);
    assert_int_equal(map_unpack_options(m.buffer.data, m.buffer.size, train_rows, TRAIN_ROWS, &all->o, NULL),
                     ERR_PROTOCOL);
    expect_message("'epochs': a text was expected");
    msgpack_sbuffer_destroy(&m.buffer);
    begin(&m, 1); /* a 0 would hide the rest */
    put_key(&m, "name");
    msgpack_pack_str(&m.p, 3);
    msgpack_pack_str_body(&m.p, "a\0b", 3);
    assert_int_equal(map_unpack_options(m.buffer.data, m.buffer.size, train_rows, TRAIN_ROWS, &all->o, NULL),
                     ERR_PROTOCOL);
    msgpack_sbuffer_destroy(&m.buffer);
}

/* ---- metrics ---- */

static void metrics_come_back_in_order(void **state)
{
    (void)state;
    metrics m = {0}, back;
    bytes packed;
    metrics_add(&m, "map", 0.25);
    metrics_add(&m, "loss", INFINITY);
    metrics_add(&m, "odd", NAN);
    assert_int_equal(map_pack_metrics(&m, &packed), OK);
    assert_int_equal(map_unpack_metrics(packed.data, packed.count, &back), OK);
    assert_int_equal(back.count, 3);
    assert_string_equal(back.item[1].key, "loss");
    assert_true(metrics_get(&back, "map") == 0.25 && isinf(metrics_get(&back, "loss")));
    assert_true(isnan(metrics_get(&back, "odd")) && isnan(metrics_get(&back, "nothing")));
    bytes_free(&packed);
}

static void there_is_room_for_so_many_metrics(void **state)
{
    (void)state;
    metrics m = {0};
    char key[2 * HYP_KEY_ROOM];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    for (int i = 0; i < METRICS_MOST + 5; i++) metrics_add(&m, key, i);
    assert_int_equal(m.count, METRICS_MOST);
    assert_int_equal(strlen(m.item[0].key), HYP_KEY_ROOM - 1);
    maker made;
    begin(&made, METRICS_MOST + 1);
    for (int i = 0; i <= METRICS_MOST; i++) map_put_int(&made.p, "m", i);
    assert_int_equal(map_unpack_metrics(made.buffer.data, made.buffer.size, &m), ERR_PROTOCOL);
    assert_int_equal(m.count, 0);
    msgpack_sbuffer_destroy(&made.buffer);
    begin(&made, 1);
    map_put_int(&made.p, key, 1);
    assert_int_equal(map_unpack_metrics(made.buffer.data, made.buffer.size, &m), ERR_PROTOCOL);
    msgpack_sbuffer_destroy(&made.buffer);
}

/* ---- piece by piece ---- */

static void needed_values_name_their_key(void **state)
{
    (void)state;
    maker m;
    msgpack_unpacked map;
    double number;
    int64_t count;
    char *words;
    begin(&m, 4);
    map_put_double(&m.p, "half", 0.5);
    map_put_int(&m.p, "minus", -7);
    map_put_text(&m.p, "text", "");
    put_key(&m, "huge");
    msgpack_pack_uint64(&m.p, UINT64_MAX);
    assert_int_equal(map_open(m.buffer.data, m.buffer.size, &map), OK);
    assert_int_equal(map_need_double(&map.data, "half", &number), OK);
    assert_true(number == 0.5);
    assert_int_equal(map_need_double(&map.data, "minus", &number), OK);
    assert_true(number == -7);
    assert_int_equal(map_need_int(&map.data, "minus", -7, 0, &count), OK);
    assert_int_equal(count, -7);
    assert_int_equal(map_need_int(&map.data, "minus", 0, 9, &count), ERR_PROTOCOL);
    expect_message("'minus' is -7, expected 0 to 9");
    assert_int_equal(map_need_int(&map.data, "half", 0, 9, &count), ERR_PROTOCOL);
    assert_int_equal(map_need_int(&map.data, "huge", 0, INT64_MAX, &count), ERR_PROTOCOL);
    assert_int_equal(map_need_text(&map.data, "text", &words), OK);
    assert_string_equal(words, "");
    free(words);
    assert_int_equal(map_need_text(&map.data, "half", &words), ERR_PROTOCOL);
    assert_int_equal(map_need_text(&map.data, "none", &words), ERR_PROTOCOL);
    expect_message("'none' is missing");
    assert_null(map_get(&map.data, "tex"));
    msgpack_unpacked_destroy(&map);
    msgpack_sbuffer_destroy(&m.buffer);
}

/* ---- what never comes from us ---- */

static void every_cut_is_refused(void **state)
{
    (void)state;
    double values[HYP_MAX];
    bytes packed;
    hyp_defaults(&space, false, values);
    assert_int_equal(map_pack_hyps(&space, values, &packed), OK);
    for (size_t count = 0; count < packed.count; count++) {
        void *cut = malloc(count ? count : 1); /* of its own, so that a sanitizer sees what reads beyond */
        assert_non_null(cut);
        memcpy(cut, packed.data, count);
        assert_int_equal(open_bytes(cut, count), ERR_PROTOCOL);
        free(cut);
    }
    assert_int_equal(open_bytes(NULL, 0), ERR_PROTOCOL);
    bytes longer;
    assert_int_equal(bytes_copy(packed.data, packed.count, &longer), OK);
    longer.data = realloc(longer.data, packed.count + 1);
    ((char *)longer.data)[packed.count] = 0;
    assert_int_equal(open_bytes(longer.data, packed.count + 1), ERR_PROTOCOL);
    expect_message("1 bytes after the end");
    bytes_free(&longer);
    bytes_free(&packed);
}

/* Whatever a byte is turned into: refused or read, and never worse. */
static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    double values[HYP_MAX], back[HYP_MAX];
    bytes packed;
    hyp_defaults(&space, false, values);
    assert_int_equal(map_pack_hyps(&space, values, &packed), OK);
    unsigned char *at = packed.data;
    for (size_t i = 0; i < packed.count; i++) {
        unsigned char was = at[i];
        for (int with = 0; with < 256; with++) {
            at[i] = (unsigned char)with;
            if (map_unpack_hyps(packed.data, packed.count, &space, back) == OK)
                assert_int_equal(hyp_check(&space, back), OK);
        }
        at[i] = was;
    }
    bytes_free(&packed);
}

static void lengths_without_contents_ask_for_no_memory(void **state)
{
    (void)state;
    static const unsigned char maps[] = {0xdf, 0xff, 0xff, 0xff, 0xff},
                               lists[] = {0x81, 0xa1, 'a', 0xdd, 0x7f, 0, 0, 0};
    static const unsigned char texts[] = {0x81, 0xdb, 0xff, 0xff, 0xff, 0xff, 'a'},
                               bins[] = {0x81, 0xc6, 0xff, 0, 0, 0};
    static const unsigned char extensions[] = {0x81, 0xa1, 'a', 0xd4, 1, 1}, unused[] = {0x81, 0xa1, 'a', 0xc1};
    static const unsigned char list[] = {0x91, 1}, number[] = {7};
    assert_int_equal(open_bytes(maps, sizeof maps), ERR_PROTOCOL);
    assert_int_equal(open_bytes(lists, sizeof lists), ERR_PROTOCOL);
    assert_int_equal(open_bytes(texts, sizeof texts), ERR_PROTOCOL);
    assert_int_equal(open_bytes(bins, sizeof bins), ERR_PROTOCOL);
    assert_int_equal(open_bytes(extensions, sizeof extensions), ERR_PROTOCOL);
    assert_int_equal(open_bytes(unused, sizeof unused), ERR_PROTOCOL);
    assert_int_equal(open_bytes(list, sizeof list), ERR_PROTOCOL);
    expect_message("a map was expected");
    assert_int_equal(open_bytes(number, sizeof number), ERR_PROTOCOL);
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    unsigned char *deep = malloc(2 * DEPTH);
    assert_non_null(deep);
    for (int depth = 7; depth <= 9; depth++) {
        memset(deep, 0x91, (size_t)depth + 3); /* {"": [[[...0...]]]} */
        deep[0] = 0x81;
        deep[1] = 0xa0;
        deep[depth + 1] = 0;
        assert_int_equal(open_bytes(deep, (size_t)depth + 2), depth <= 8 ? OK : ERR_PROTOCOL);
    }
    memset(deep, 0x81, 2 * DEPTH);
    assert_int_equal(open_bytes(deep, 2 * DEPTH), ERR_PROTOCOL);
    free(deep);
}

static void maps_that_are_too_large_are_refused(void **state)
{
    (void)state;
    options all = {.section = train_section(&all.o, NULL)};
    assert_int_equal(options_defaults(&all.section, 1), OK);
    char *name = malloc(MAP_BYTES_MOST + 1);
    assert_non_null(name);
    memset(name, 'n', MAP_BYTES_MOST);
    name[MAP_BYTES_MOST] = '\0';
    set(&all, "name", name);
    bytes packed;
    assert_int_equal(map_pack_options(train_rows, TRAIN_ROWS, &all.o, &packed), ERR_RANGE);
    assert_null(packed.data);
    assert_int_equal(unpack_option(&all, "name", name, NULL), ERR_PROTOCOL);
    expect_message("at most 65536");
    maker m;
    begin(&m, MAP_KEYS_MOST + 1);
    for (int i = 0; i <= MAP_KEYS_MOST; i++) map_put_int(&m.p, "", i);
    assert_int_equal(open_bytes(m.buffer.data, m.buffer.size), ERR_PROTOCOL);
    msgpack_sbuffer_destroy(&m.buffer);
    options_free(&all.section, 1);
    free(name);
}

static void hyps_of_any_trainer_are_taken_by_key(void **state)
{
    (void)state;
    hyp_space any = {.digits = -1};
    double values[HYP_MAX];
    bytes base = hyps_with(-1, "box", 0.05);
    assert_int_equal(map_unpack_any_hyps(base.data, base.count, &any, values), OK);
    assert_int_equal(any.count, HYP_COUNT + 1);
    assert_string_equal(any.rows[HYP_COUNT].key, "box");
    maker m;
    begin(&m, 2);
    map_put_double(&m.p, "box", 7);
    map_put_double(&m.p, "depth.1", -2e9);
    assert_int_equal(map_unpack_any_hyps(m.buffer.data, m.buffer.size, &any, values), OK);
    msgpack_sbuffer_destroy(&m.buffer);
    assert_true(any.count == HYP_COUNT + 2 && values[HYP_COUNT] == 7 && values[HYP_COUNT + 1] == -2e9);
    bytes_free(&base);
    static const char *const keys[] = {"", "a b", "a\n", "$(id)", "a: 1"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bytes bad = hyps_with(-1, keys[i], 1);
        assert_int_equal(map_unpack_any_hyps(bad.data, bad.count, &any, values), ERR_PROTOCOL);
        expect_message("a key of letters");
        bytes_free(&bad);
    }
    bytes infinite = hyps_with(-1, "box", INFINITY);
    assert_int_equal(map_unpack_any_hyps(infinite.data, infinite.count, &any, values), ERR_PROTOCOL);
    expect_message("'box': a finite number");
    bytes_free(&infinite);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hyps_come_back_to_the_last_bit),
        cmocka_unit_test(hyps_are_complete_known_and_in_range),
        cmocka_unit_test(integers_are_numbers_too),
        cmocka_unit_test(hyps_of_another_type_are_refused),
        cmocka_unit_test(hyps_of_any_trainer_are_taken_by_key),
        cmocka_unit_test_setup_teardown(options_come_back, make_options, free_options),
        cmocka_unit_test_setup_teardown(only_what_is_there_and_wanted_is_set, make_options, free_options),
        cmocka_unit_test_setup_teardown(bad_options_are_refused, make_options, free_options),
        cmocka_unit_test(metrics_come_back_in_order),
        cmocka_unit_test(there_is_room_for_so_many_metrics),
        cmocka_unit_test(needed_values_name_their_key),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(lengths_without_contents_ask_for_no_memory),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(maps_that_are_too_large_are_refused),
    };
    return cmocka_run_group_tests(tests, make_space, NULL);
}
