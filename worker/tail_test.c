#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/tail.h"

static void add(tail *t, const char *words)
{
    tail_add(t, words, strlen(words));
}

static void lines_come_out_as_they_went_in(void **state)
{
    (void)state;
    tail t = {0};
    add(&t, "one\ntw");
    add(&t, "o\r\n\nthree\rfour");
    assert_int_equal(t.count, 3);
    assert_string_equal(tail_line(&t, 0), "one");
    assert_string_equal(tail_line(&t, 1), "two");
    assert_string_equal(tail_line(&t, 2), "three");
    tail_finish(&t);
    tail_finish(&t);
    assert_int_equal(t.count, 4);
    assert_string_equal(tail_line(&t, 3), "four");
}

static void only_the_last_lines_stay(void **state)
{
    (void)state;
    tail t = {0};
    for (int i = 0; i < 3 * TAIL_LINES + 7; i++) {
        char line[32];
        snprintf(line, sizeof line, "line %d\n", i);
        add(&t, line);
    }
    assert_int_equal(t.count, TAIL_LINES);
    assert_int_equal(t.ended, 3 * TAIL_LINES + 7);
    assert_string_equal(tail_line(&t, 0), "line 207");
    assert_string_equal(tail_line(&t, TAIL_LINES - 1), "line 306");
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    tail t = {0};
    for (int i = 0; i < 10 * TAIL_LINE_MOST; i++) add(&t, "x");
    add(&t, "\nshort\n");
    assert_int_equal(strlen(tail_line(&t, 0)), TAIL_LINE_MOST);
    assert_string_equal(tail_line(&t, 1), "short");
}

static void what_is_no_text_becomes_question_marks(void **state)
{
    static const char *const cases[][2] = {
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\tb", "a b"},                  /* tabs are spaces */
        {"\x1b[31mred\x7f", "?[31mred?"}, /* controls */
        {"\xff\xfe", "??"},               /* never a letter */
        {"\xc3", "?"},                    /* cut off */
        {"\xc0\xaf", "??"},               /* overlong */
        {"\xe0\x80\x80", "???"},          /* overlong */
        {"\xed\xa0\x80", "???"},          /* half of a surrogate pair */
        {"\xf4\x90\x80\x80", "????"},     /* beyond the last letter */
        {"\xe2\x82x", "??x"},             /* broken off */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tail t = {0};
        add(&t, cases[i][0]);
        tail_finish(&t);
        assert_string_equal(tail_line(&t, 0), cases[i][1]);
    }
}

static void zeros_do_not_end_it(void **state)
{
    (void)state;
    tail t = {0};
    tail_add(&t, "a\0b\n", 4);
    assert_string_equal(tail_line(&t, 0), "a?b");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(lines_come_out_as_they_went_in),
        cmocka_unit_test(only_the_last_lines_stay),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(what_is_no_text_becomes_question_marks),
        cmocka_unit_test(zeros_do_not_end_it),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
