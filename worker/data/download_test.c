/* download.c with a server of this test's own: what arrives whole is there, what does not leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/signals.h"
#include "worker/data/download.h"
#include "worker/data/test_http.h"

enum { LARGE = 300000 };

static char root[] = "/tmp/mendel-download-XXXXXX";
static char large[LARGE], *file;
static http_server server;

static const http_answer answers[] = {
    {"/large", 200, NULL, large, LARGE, 0},           {"/moved", 302, "/large", "", 0, 0},
    {"/cut", 200, NULL, large, 1000, LARGE},          {"/round", 302, "/round", "", 0, 0},
    {"/away", 302, "file:///etc/hostname", "", 0, 0}, {"/broken", 500, NULL, "<html>", 6, 0},
    {NULL, 404, NULL, "<html>none", 10, 0},
};

static int start(void **state)
{
    (void)state;
    log_set_level(LEVEL_SILENT);
    for (int i = 0; i < LARGE; i++) large[i] = (char)(i * 31 + i / 257);
    if (!mkdtemp(root)) return -1;
    file = path_join(root, "file");
    http_start(&server, answers);
    return file ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    http_stop(&server);
    free(file);
    return fs_remove(root) == OK ? 0 : -1;
}

static status fetch(const char *path, int64_t least)
{
    char url[128];
    snprintf(url, sizeof url, "%s%s", server.url, path);
    return download_file(url, file, least);
}

static void expect_nothing_left(void)
{
    fs_names names;
    assert_int_equal(fs_list(root, &names), OK);
    assert_int_equal(names.count, 0);
    fs_names_free(&names);
}

static void expect_refused(const char *path, int64_t least, status expected, const char *words)
{
    status s = fetch(path, least);
    if (s != expected || !strstr(status_message(), words) || !strstr(status_message(), path))
        fail_msg("%s: %d, %s", path, s, status_message());
    expect_nothing_left();
}

static void what_is_there_comes_whole(void **state)
{
    (void)state;
    static const char *const paths[] = {"/large", "/moved"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char *bytes;
        size_t count;
        if (fetch(paths[i], LARGE) != OK) fail_msg("%s", status_message());
        assert_int_equal(fs_read(file, 0, &bytes, &count), OK);
        assert_int_equal(count, LARGE);
        assert_memory_equal(bytes, large, LARGE);
        free(bytes);
        assert_int_equal(unlink(file), 0);
        expect_nothing_left();
    }
}

static void what_is_not_whole_leaves_nothing(void **state)
{
    (void)state;
    expect_refused("/cut", 0, ERR_IO, "cannot download");
    expect_refused("/nothing", 0, ERR_NOT_FOUND, "404");
    expect_refused("/broken", 0, ERR_IO, "500");
    expect_refused("/round", 0, ERR_IO, "cannot download");
    expect_refused("/large", LARGE + 1, ERR_FORMAT, "has only 300000 bytes");
}

/* An old file is worth more than a part of a new one. */
static void a_file_that_is_there_stays_when_it_fails(void **state)
{
    (void)state;
    char *bytes;
    size_t count;
    assert_int_equal(fs_write(file, "old", 3), OK);
    assert_int_not_equal(fetch("/cut", 0), OK);
    assert_int_equal(fs_read(file, 0, &bytes, &count), OK);
    assert_string_equal(bytes, "old");
    free(bytes);
    assert_int_equal(unlink(file), 0);
    expect_nothing_left();
}

static void only_the_web_is_asked(void **state)
{
    (void)state;
    expect_refused("/away", 0, ERR_ARGUMENT, "cannot download");
    assert_int_equal(download_file("file:///etc/hostname", file, 0), ERR_ARGUMENT);
    assert_int_equal(download_file("nonsense://x", file, 0), ERR_ARGUMENT);
    expect_nothing_left();
    http_server gone;
    http_start(&gone, answers);
    http_stop(&gone);
    char url[128];
    snprintf(url, sizeof url, "%s/large", gone.url);
    assert_int_equal(download_file(url, file, 0), ERR_IO);
    assert_non_null(strstr(status_message(), gone.url));
    expect_nothing_left();
}

static void a_place_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    char url[128];
    snprintf(url, sizeof url, "%s/large", server.url);
    assert_int_equal(download_file(url, "/nonexistent/file", 0), ERR_NOT_FOUND);
    expect_nothing_left();
}

static void a_signal_ends_it(void **state)
{
    (void)state;
    assert_int_equal(signals_start(), OK);
    raise(SIGTERM);
    expect_refused("/large", 0, ERR_STOPPED, "stopped");
    signals_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_comes_whole),
        cmocka_unit_test(what_is_not_whole_leaves_nothing),
        cmocka_unit_test(a_file_that_is_there_stays_when_it_fails),
        cmocka_unit_test(only_the_web_is_asked),
        cmocka_unit_test(a_place_that_cannot_be_written_is_an_error),
        cmocka_unit_test(a_signal_ends_it),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
