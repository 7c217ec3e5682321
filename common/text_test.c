#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/text.h"

static void a_text_grows_as_needed(void **state)
{
    (void)state;
    text t = {0};
    assert_string_equal(text_string(&t), "");
    for (int i = 0; i < 1000; i++) text_add(&t, "%d,", i % 10);
    assert_int_equal(t.length, 2000);
    assert_int_equal(strlen(text_string(&t)), 2000);
    assert_int_equal(text_status(&t), OK);
    text_clear(&t);
    assert_string_equal(text_string(&t), "");
    text_add_bytes(&t, "a\0b", 3);
    assert_int_equal(t.length, 3);
    char *taken = text_take(&t);
    assert_memory_equal(taken, "a\0b", 4);
    assert_null(t.bytes);
    free(taken);
    text_free(&t);
}

static void numbers_are_whole_strings(void **state)
{
    (void)state;
    double d = 7;
    long long l = 7;
    assert_true(text_to_double("1e-5", &d) && d == 1e-5);
    assert_true(text_to_double("-3", &d) && d == -3);
    assert_true(text_to_double("nan", &d) && isnan(d));
    d = 7;
    assert_false(text_to_double("", &d) || text_to_double(" 1", &d) || text_to_double("1 ", &d) ||
                 text_to_double("1x", &d) || text_to_double("1e999", &d));
    assert_true(d == 7);
    assert_true(text_to_long("-12", &l) && l == -12);
    assert_false(text_to_long("1.5", &l) || text_to_long("99999999999999999999", &l) || text_to_long("", &l));
    assert_int_equal(l, -12);
}

/* What Python's repr() prints. */
static void doubles_are_written_as_python_does(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {0.1, "0.1"},
        {1e-5, "1e-05"},
        {1e-4, "0.0001"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {12345678.9, "12345678.9"},
        {1e22, "1e+22"},
        {0.1 + 0.2, "0.30000000000000004"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {-123.456, "-123.456"},
        {1.5e-7, "1.5e-07"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[TEXT_DOUBLE_ROOM];
        text_from_double(got, cases[i].value);
        assert_string_equal(got, cases[i].text);
    }
}

static void fronts_and_ends_are_found(void **state)
{
    (void)state;
    assert_true(text_starts_with("last.pt", "last"));
    assert_false(text_starts_with("la", "last"));
    assert_true(text_ends_with("last.pt", ".pt"));
    assert_false(text_ends_with("t", ".pt"));
}

static void what_comes_from_elsewhere_is_made_harmless(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool lines;
    } cases[] = {
        {"plain words", "plain words", false},
        {"M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80", "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80", false},
        {"\x1b[2J\x1b]0;owned\x07", "?[2J?]0;owned?", false},
        {"a\nb\rc\td\x7f", "a?b?c d?", false},
        {"a\nb\rc", "a\nb?c", true},
        {"\xc2\x9b"
         "2J",
         "??2J", false}, /* the control character CSI */
        {"\xe2\x80\xae"
         "exe",
         "???exe", false},                                      /* right to left */
        {"\xe2\x80\xa8x", "???x", false},                       /* line separator */
        {"\x9b\xff\xc3", "???", false},                         /* no UTF-8 */
        {"\xc0\xaf \xed\xa0\x80 \xf8\x88", "?? ??? ??", false}, /* too long, a surrogate, five bytes */
        {"\xf4\x90\x80\x80 \xe2\x82", "???? ??", false},        /* beyond the last character, cut short */
        {"", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = text_copy(cases[i].from);
        text_clean(text, cases[i].lines);
        assert_string_equal(text, cases[i].to);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_grows_as_needed),
        cmocka_unit_test(numbers_are_whole_strings),
        cmocka_unit_test(doubles_are_written_as_python_does),
        cmocka_unit_test(fronts_and_ends_are_found),
        cmocka_unit_test(what_comes_from_elsewhere_is_made_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
