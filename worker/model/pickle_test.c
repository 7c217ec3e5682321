/* pickle.c: pickles as Python writes them, by hand, and what a hostile one may try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/text.h"
#include "worker/model/pickle.h"

/* A literal with zeros in it. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static pickle *read_good(const void *bytes, size_t count)
{
    pickle *p;
    size_t used = 0;
    if (pickle_read("test", bytes, count, &p, &used) != OK) fail_msg("%s", status_message());
    assert_int_equal(used, count);
    assert_non_null(pickle_root(p));
    return p;
}

static void expect_refused(const void *bytes, size_t count, status expected, const char *words)
{
    pickle *p;
    char *copy = malloc(count ? count : 1); /* of its own, so that a sanitizer sees what reads beyond */
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    status s = pickle_read("test", copy, count, &p, NULL);
    free(copy);
    assert_null(p);
    if (s != expected || !strstr(status_message(), words))
        fail_msg("status %d: %s; '%s' was expected", s, status_message(), words);
}

/* ---- values ---- */

static int64_t int_of(const void *bytes, size_t count)
{
    pickle *p = read_good(bytes, count);
    int64_t value = 0;
    assert_true(pickle_int(pickle_root(p), &value));
    pickle_destroy(&p);
    assert_null(p);
    return value;
}

static void integers_of_all_widths(void **state)
{
    (void)state;
    assert_int_equal(int_of(BYTES("K\xff.")), 255);
    assert_int_equal(int_of(BYTES("M\x01\x80.")), 0x8001);
    assert_int_equal(int_of(BYTES("J\xfe\xff\xff\xff.")), -2);
    assert_int_equal(int_of(BYTES("\x80\x02\x8a\x00.")), 0);
    assert_int_equal(int_of(BYTES("\x8a\x01\xff.")), -1);
    assert_int_equal(int_of(BYTES("\x8a\x02\xff\x00.")), 255);
    assert_int_equal(int_of(BYTES("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.")), INT64_MIN);
    assert_int_equal(int_of(BYTES("\x8b\x01\x00\x00\x00\x07.")), 7);
    assert_int_equal(int_of(BYTES("I-12\n.")), -12);
    assert_int_equal(int_of(BYTES("L123L\n.")), 123);
    assert_int_equal(int_of(BYTES("I01\n.")), 1);
    assert_int_equal(int_of(BYTES("\x88.")), 1);
    pickle *p = read_good(BYTES("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."));
    assert_int_equal(pickle_root(p)->kind, PICKLE_LONG);
    assert_int_equal(pickle_root(p)->length, 10);
    pickle_destroy(&p);
}

static void floats_and_nothing(void **state)
{
    (void)state;
    double value;
    pickle *p = read_good(BYTES("G\x3f\xf8\x00\x00\x00\x00\x00\x00."));
    assert_true(pickle_double(pickle_root(p), &value) && value == 1.5);
    int64_t whole;
    assert_false(pickle_int(pickle_root(p), &whole));
    pickle_destroy(&p);
    p = read_good(BYTES("F-0.25\n."));
    assert_true(pickle_double(pickle_root(p), &value) && value == -0.25);
    pickle_destroy(&p);
    p = read_good(BYTES("N."));
    assert_int_equal(pickle_root(p)->kind, PICKLE_NONE);
    assert_false(pickle_double(pickle_root(p), &value));
    pickle_destroy(&p);
}

static void expect_text(const void *bytes, size_t count, const char *expected)
{
    pickle *p = read_good(bytes, count);
    assert_non_null(pickle_string(pickle_root(p)));
    assert_string_equal(pickle_string(pickle_root(p)), expected);
    pickle_destroy(&p);
}

static void texts_of_all_protocols(void **state)
{
    (void)state;
    expect_text(BYTES("X\x03\x00\x00\x00"
                      "abc."),
                "abc");
    expect_text(BYTES("U\x03"
                      "abc."),
                "abc");
    expect_text(BYTES("T\x02\x00\x00\x00\xc3\xa9."), "\xc3\xa9");
    expect_text(BYTES("\x80\x04\x95\x06\x00\x00\x00\x00\x00\x00\x00\x8c\x03"
                      "abc."),
                "abc");
    expect_text(BYTES("\x8d\x01\x00\x00\x00\x00\x00\x00\x00"
                      "a."),
                "a");
    expect_text(BYTES("S'it\\'s\\n\\x41'\n."), "it's\nA");
    expect_text(BYTES("S\"a\"\n."), "a");
    expect_text(BYTES("Va\\u00e9\xe9\n."), "a\xc3\xa9\xc3\xa9");
    pickle *p = read_good(BYTES("U\x03"
                                "a\0b.")); /* with a 0 in it: no string, as nobody could see its end */
    assert_null(pickle_string(pickle_root(p)));
    assert_int_equal(pickle_root(p)->length, 3);
    pickle_destroy(&p);
    p = read_good(BYTES("\x80\x03"
                        "C\x02\x00\xff."));
    assert_int_equal(pickle_root(p)->kind, PICKLE_BYTES);
    assert_memory_equal(pickle_root(p)->bytes, "\x00\xff", 2);
    pickle_destroy(&p);
}

/* {'a': [1, (2, 3)], 'b': {7: 'x'}, 'a': None}: of equal keys the last counts. */
static void containers_are_walked_by_path(void **state)
{
    (void)state;
    int64_t value;
    pickle *p = read_good(BYTES("}(U\x01"
                                "a](K\x01K\x02K\x03\x86"
                                "eU\x01"
                                "b}K\x07U\x01xsu."));
    const pickle_value *root = pickle_root(p);
    assert_int_equal(root->count, 2);
    assert_true(pickle_int(pickle_find(root, "a/1/0"), &value) && value == 2);
    assert_true(pickle_int(pickle_find(root, "a/0"), &value) && value == 1);
    assert_string_equal(pickle_string(pickle_find(root, "b/7")), "x");
    assert_null(pickle_find(root, "a/2"));
    assert_null(pickle_find(root, "a/-1"));
    assert_null(pickle_find(root, "c/0"));
    assert_null(pickle_get(pickle_get(root, "a"), "b"));
    assert_null(pickle_at(NULL, 0));
    pickle_destroy(&p);
    p = read_good(BYTES("(U\x01"
                        "aK\x01U\x01"
                        "aNd."));
    assert_int_equal(pickle_get(pickle_root(p), "a")->kind, PICKLE_NONE);
    pickle_destroy(&p);
    p = read_good(BYTES("\x80\x04\x8f(K\x01K\x02\x90."));
    assert_int_equal(pickle_root(p)->kind, PICKLE_SET);
    assert_int_equal(pickle_root(p)->count, 2);
    pickle_destroy(&p);
}

/* a = []; a.append(a) */
static void a_value_may_contain_itself(void **state)
{
    (void)state;
    pickle *p = read_good(BYTES("\x80\x02]q\x00h\x00"
                                "a."));
    assert_ptr_equal(pickle_at(pickle_root(p), 0), pickle_root(p));
    assert_null(pickle_find(pickle_root(p), "0/0/0/1"));
    pickle_destroy(&p);
    p = read_good(BYTES("\x80\x04]\x94K\x05\x94"
                        "ah\x01"
                        "a.")); /* protocol 4 numbers its memos itself */
    assert_int_equal(pickle_root(p)->count, 2);
    assert_ptr_equal(pickle_at(pickle_root(p), 0), pickle_at(pickle_root(p), 1));
    pickle_destroy(&p);
}

/* ---- classes ---- */

static void calls_of_plain_types_become_plain_values(void **state)
{
    (void)state;
    pickle *p = read_good(BYTES("ccollections\nOrderedDict\n)R(U\x01"
                                "aK\x01u."));
    assert_int_equal(pickle_root(p)->kind, PICKLE_DICT);
    assert_non_null(pickle_get(pickle_root(p), "a"));
    pickle_destroy(&p);
    p = read_good(BYTES("ccollections\nOrderedDict\n](](U\x01"
                        "aK\x01"
                        "ee\x85R."));
    assert_non_null(pickle_get(pickle_root(p), "a"));
    pickle_destroy(&p);
    p = read_good(BYTES("c_codecs\nencode\nX\x03\x00\x00\x00"
                        "a\xc3\xbfU\x06latin1\x86R."));
    assert_int_equal(pickle_root(p)->kind, PICKLE_BYTES);
    assert_int_equal(pickle_root(p)->length, 2);
    assert_memory_equal(pickle_root(p)->bytes, "a\xff", 2);
    pickle_destroy(&p);
}

static void objects_keep_their_class_arguments_and_state(void **state)
{
    (void)state;
    pickle *p = read_good(BYTES("cmodels.yolo\nModel\n)\x81}(U\x02ncK\x03ub."));
    const pickle_value *root = pickle_root(p);
    assert_true(pickle_is(root, "models.yolo.Model"));
    assert_false(pickle_is(root, "models.yolo"));
    assert_int_equal(root->arguments->count, 0);
    assert_non_null(pickle_get(root, "nc"));
    pickle_destroy(&p);
    p = read_good(BYTES("(cmodule\nThing\nK\x01K\x02o.")); /* protocol 1 */
    assert_true(pickle_is(pickle_root(p), "module.Thing"));
    assert_int_equal(pickle_root(p)->arguments->count, 2);
    pickle_destroy(&p);
    p = read_good(BYTES("(K\x01imodule\nThing\n.")); /* protocol 0 */
    assert_int_equal(pickle_root(p)->arguments->count, 1);
    pickle_destroy(&p);
    p = read_good(BYTES("\x80\x04\x8c\x06module\x8c\x05Thing\x93)}\x92."));
    assert_true(pickle_is(pickle_root(p), "module.Thing"));
    pickle_destroy(&p);
    p = read_good(BYTES("(U\x07storageK\x01tQ."));
    assert_int_equal(pickle_root(p)->kind, PICKLE_PERSISTENT);
    assert_string_equal(pickle_string(pickle_at(pickle_root(p)->items[0], 0)), "storage");
    pickle_destroy(&p);
}

static void nothing_is_ever_run(void **state)
{
    (void)state;
    char made[] = "/tmp/mendel-pickle-XXXXXX";
    assert_int_equal(close(mkstemp(made)), 0);
    assert_int_equal(unlink(made), 0);
    static const char *const calls[] = {"cos\nsystem\n(S'touch %s'\ntR.", "cposix\nsystem\n(S'touch %s'\ntR.",
                                        "c__builtin__\neval\n(S'open(\"%s\", \"w\")'\ntR.",
                                        "(S'touch %s'\nios\nsystem\n.",
                                        "cbuiltins\nexec\n(S'open(\"%s\", \"w\")'\ntR."};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char bytes[256];
        int count = snprintf(bytes, sizeof bytes, calls[i], made);
        pickle *p = read_good(bytes, (size_t)count);
        assert_int_equal(pickle_root(p)->kind, PICKLE_OBJECT); /* inert: a name and its arguments */
        assert_int_equal(pickle_root(p)->arguments->count, 1);
        assert_int_not_equal(access(made, F_OK), 0);
        pickle_destroy(&p);
    }
}

/* ---- what is malformed ---- */

static void every_cut_is_refused(void **state)
{
    (void)state;
    static const char whole[] = "\x80\x02}(U\x01"
                                "a](K\x01K\x02K\x03\x86"
                                "eX\x01\x00\x00\x00"
                                "bccollections\nOrderedDict\n)R"
                                "M\x01\x02J\x01\x02\x03\x04G\x3f\xf8\x00\x00\x00\x00\x00\x00q\x01h\x01u.";
    pickle *p = read_good(BYTES(whole));
    pickle_destroy(&p);
    for (size_t count = 0; count < sizeof whole - 1; count++)
        expect_refused(whole, count, ERR_FORMAT, "malformed pickle at byte");
}

static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    static const char whole[] = "\x80\x02}(U\x01"
                                "a](K\x01K\x02K\x03\x86"
                                "eU\x01"
                                "bccollections\nOrderedDict\n)R"
                                "U\x01"
                                "c(cmodule\nThing\nK\x01oq\x01h\x01"
                                "b}sU\x01"
                                "dNu.";
    char bytes[sizeof whole - 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        for (int with = 0; with < 256; with++) {
            pickle *p;
            memcpy(bytes, whole, sizeof bytes);
            bytes[i] = (char)with;
            status s = pickle_read("test", bytes, sizeof bytes, &p, NULL);
            assert_true(s == OK || s == ERR_FORMAT || s == ERR_RANGE);
            assert_true((s == OK) == (p != NULL));
            pickle_destroy(&p);
        }
}

static void the_stack_is_guarded(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        const char *words;
    } cases[] = {
        {BYTES("."), "left over"},
        {BYTES("K\x01K\x02."), "left over"},
        {BYTES("(."), "left over"},
        {BYTES("0."), "the stack is empty"},
        {BYTES("\x86."), "the stack is empty"},
        {BYTES("K\x01(\x85."), "the stack is empty"}, /* not through a mark */
        {BYTES("K\x01(0R."), "the stack is empty"},
        {BYTES("t."), "a mark is missing"},
        {BYTES("(e."), "there is nothing to add to"},
        {BYTES("](K\x01u."), "a key has no value"},
        {BYTES("}K\x01"
               "a."),
         "members are added"},
        {BYTES(")K\x01"
               "a."),
         "members are added to a tuple"},
        {BYTES("K\x01K\x01"
               "a."),
         "members are added"},
        {BYTES("N}b."), "a state for something that has none"},
        {BYTES("K\x01K\x02R."), "the arguments of a call are no tuple"},
        {BYTES("(o."), "a class was expected"},
        {BYTES("h\x00."), "a memo that was not put"},
        {BYTES("Nr\xff\xff\xff\xff."), "index is out of range"},
        {BYTES("Np-1\n."), "an index was expected"},
        {BYTES("\xff."), "an opcode that is not known"},
        {BYTES("\x82\x01."), "an opcode that is not known"}, /* the registry of extension codes */
        {BYTES("\x80\x09."), "a protocol of 0 to 5"},
        {BYTES("Ix\n."), "an integer of 64 bits"},
        {BYTES("I99999999999999999999\n."), "an integer of 64 bits"},
        {BYTES("Fx\n."), "a number was expected"},
        {BYTES("Sabc\n."), "a text in quotes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused(cases[i].bytes, cases[i].count, ERR_FORMAT, cases[i].words);
}

static void lengths_without_contents_ask_for_no_memory(void **state)
{
    (void)state;
    expect_refused(BYTES("X\xff\xff\xff\xff"
                         "abc."),
                   ERR_FORMAT, "it ends in the middle");
    expect_refused(BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"
                         "a."),
                   ERR_FORMAT, "it ends in the middle");
    expect_refused(BYTES("\x8b\xff\xff\xff\xff"
                         "a."),
                   ERR_FORMAT, "it ends in the middle");
    expect_refused(BYTES("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff"
                         "N."),
                   ERR_FORMAT, "it ends in the middle");
}

/* ---- bounds ---- */

static void deep_nesting_does_no_harm(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    text t = {0};
    text_add_bytes(&t, "]", 1);
    for (int i = 0; i < DEPTH; i++) text_add_bytes(&t, "\x85", 1);
    text_add_bytes(&t, ".", 1);
    pickle *p = read_good(t.bytes, t.length);
    const pickle_value *v = pickle_root(p);
    int depth = 0;
    for (; v->kind == PICKLE_TUPLE; depth++) v = v->items[0];
    assert_int_equal(depth, DEPTH);
    pickle_destroy(&p);
    text_free(&t);
}

static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    text t = {0};
    text_add_bytes(&t, "](", 2);
    for (int i = 0; i < PICKLE_VALUES_MOST; i++) text_add_bytes(&t, "]", 1);
    text_add_bytes(&t, "e.", 2);
    expect_refused(t.bytes, t.length, ERR_RANGE, "values is not accepted");
    text_free(&t);
}

static void the_number_of_steps_is_bounded(void **state)
{
    (void)state;
    size_t count = 2 * (size_t)PICKLE_STEPS_MOST + 16;
    char *bytes = malloc(count);
    assert_non_null(bytes);
    bytes[0] = 'N';
    for (size_t i = 1; i < count; i++) bytes[i] = i % 2 ? '2' : '0'; /* push it again, drop it */
    expect_refused(bytes, count, ERR_RANGE, "opcodes is not accepted");
    free(bytes);
}

/* Each level holds the one before twice: 2^n members in all for n steps, if calls copied without a bound. */
static void doubling_is_bounded(void **state)
{
    (void)state;
    text t = {0};
    text_add_bytes(&t, "](", 2);
    for (int i = 0; i < 1000; i++) text_add_bytes(&t, "N", 1);
    text_add_bytes(&t,
                   "eq\x00"
                   "0](",
                   6);
    for (int i = 0; i < 20000; i++) text_add_bytes(&t, "cbuiltins\nset\nh\x00\x85R", 18);
    text_add_bytes(&t, "e.", 2);
    expect_refused(t.bytes, t.length, ERR_RANGE, "members is not accepted");
    text_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_all_widths),
        cmocka_unit_test(floats_and_nothing),
        cmocka_unit_test(texts_of_all_protocols),
        cmocka_unit_test(containers_are_walked_by_path),
        cmocka_unit_test(a_value_may_contain_itself),
        cmocka_unit_test(calls_of_plain_types_become_plain_values),
        cmocka_unit_test(objects_keep_their_class_arguments_and_state),
        cmocka_unit_test(nothing_is_ever_run),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(the_stack_is_guarded),
        cmocka_unit_test(lengths_without_contents_ask_for_no_memory),
        cmocka_unit_test(deep_nesting_does_no_harm),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test(the_number_of_steps_is_bounded),
        cmocka_unit_test(doubling_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
