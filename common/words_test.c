#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/words.h"

/* The words with bars around them. */
static void expect(const char *line, const char *words)
{
    fs_names found;
    char joined[256] = "|";
    if (words_split(line, &found) != OK) fail_msg("%s", status_message());
    for (size_t i = 0; i < found.count; i++) {
        strcat(joined, found.names[i]);
        strcat(joined, "|");
    }
    assert_string_equal(joined, words);
    fs_names_free(&found);
}

static void refuse(const char *line, const char *words)
{
    fs_names found;
    assert_int_equal(words_split(line, &found), ERR_ARGUMENT);
    assert_int_equal(found.count, 0);
    if (!strstr(status_message(), words)) fail_msg("'%s' was expected, found '%s'", words, status_message());
}

static void white_space_separates(void **state)
{
    (void)state;
    expect("train.sh", "|train.sh|");
    expect("  python\ttrain.py \n --epochs  3 ", "|python|train.py|--epochs|3|");
}

static void quotes_hold_together(void **state)
{
    (void)state;
    expect("a 'b c' d", "|a|b c|d|");
    expect("a \"b c\" d", "|a|b c|d|");
    expect("--name='my run'2", "|--name=my run2|");
    expect("'' \"\"", "|||");
    expect("'\\ \"' \"'\"", "|\\ \"|'|");
}

static void a_backslash_takes_the_next_letter_as_it_is(void **state)
{
    (void)state;
    expect("a\\ b \\'c\\' \\\\", "|a b|'c'|\\|");
    expect("\"a\\\"b\\\\c\\d\"", "|a\"b\\c\\d|");
}

static void what_a_shell_would_do_is_not_done(void **state)
{
    (void)state;
    expect("echo $HOME *.c ~ `id` $(id) a;b |c >d &", "|echo|$HOME|*.c|~|`id`|$(id)|a;b||c|>d|&|");
}

static void an_unfinished_line_is_refused(void **state)
{
    (void)state;
    refuse("a 'b c", "' quote does not end");
    refuse("a \"b c\\\"", "\" quote does not end");
    refuse("a \\", "backslash");
    refuse(" \t", "command was expected");
    refuse("", "command was expected");
}

static void programs_are_found_as_the_system_would(void **state)
{
    (void)state;
    char *path = NULL;
    assert_int_equal(words_find_program("sh", &path), OK);
    assert_non_null(strstr(path, "/sh"));
    free(path);
    assert_int_equal(words_find_program("/bin/sh", &path), OK);
    assert_string_equal(path, "/bin/sh");
    free(path);
    assert_int_equal(words_find_program("no-such-program-anywhere", &path), ERR_NOT_FOUND);
    assert_null(path);
    assert_int_equal(words_find_program("/bin/no-such-program", &path), ERR_NOT_FOUND);
    assert_int_equal(words_find_program("/etc/passwd", &path), ERR_REFUSED);
    assert_int_equal(words_find_program("/etc", &path), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_space_separates),
        cmocka_unit_test(quotes_hold_together),
        cmocka_unit_test(a_backslash_takes_the_next_letter_as_it_is),
        cmocka_unit_test(what_a_shell_would_do_is_not_done),
        cmocka_unit_test(an_unfinished_line_is_refused),
        cmocka_unit_test(programs_are_found_as_the_system_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
