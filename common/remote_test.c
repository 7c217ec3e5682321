/* remote.c with gsutil and rclone played by shell scripts; tests/cluster/bucket.sh has the real rclone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/remote.h"
#include "common/text.h"

static char folder[64];

static void write_program(const char *name, const char *script)
{
    char *path = path_join(folder, name);
    assert_int_equal(fs_write(path, script, strlen(script)), OK);
    assert_int_equal(chmod(path, 0755), 0);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    text path = {0};
    strcpy(folder, "/tmp/remote_test_XXXXXX");
    if (!mkdtemp(folder)) return 1;
    text_add(&path, "%s:/usr/bin:/bin", folder);
    setenv("PATH", text_string(&path), 1);
    text_free(&path);
    /* Both write down what they were called with. */
    static const char gsutil[] = "#!/bin/sh\nfor a; do echo \"$a\"; done >$0.called\n";
    write_program("gsutil", gsutil);
    write_program("rclone", gsutil);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove(folder) == OK ? 0 : 1;
}

static remote_state wait_for(remote_copy *c)
{
    int64_t ends = clock_ms() + 30000;
    remote_state s;
    while ((s = remote_follow(c)) == REMOTE_RUNNING) {
        if (clock_ms() > ends) fail_msg("it does not end");
        clock_sleep_ms(2);
    }
    assert_int_equal(remote_follow(c), s); /* once more: the same */
    return s;
}

static void expect_called(const char *program, const char *words)
{
    text name = {0};
    text_add(&name, "%s/%s.called", folder, program);
    char *called;
    size_t count;
    assert_int_equal(fs_read(text_string(&name), 0, &called, &count), OK);
    assert_string_equal(called, words);
    free(called);
    text_free(&name);
}

static void addresses_are_told_from_anything_else(void **state)
{
    (void)state;
    static const char *const good[] = {"gs://bucket",      "gs://bucket/a/b/", "box:",
                                       "my-box.2:path/to", ":local:/tmp/x",    ":webdav,url='http://127.0.0.1:1':a"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (remote_check(good[i]) != OK) fail_msg("%s: %s", good[i], status_message());
    static const char *const bad[] = {"",        "bucket",     "-box:x",   "--config=x:y", "gs://",
                                      "gs://-x", "gs:///x",    "s3://box", "http://a/b",   "/tmp/x",
                                      "a\nb:c",  "box/a:path", "a;b:c"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (remote_check(bad[i]) != ERR_ARGUMENT) fail_msg("'%s' was taken", bad[i]);
}

static void a_missing_program_is_named(void **state)
{
    (void)state;
    char *path = path_join(folder, "rclone");
    assert_int_equal(fs_remove(path), OK);
    setenv("PATH", folder, 1);
    assert_int_equal(remote_check("box:x"), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "rclone"));
    assert_int_equal(remote_check("gs://x"), OK);
    free(path);
}

static void each_program_is_called_in_its_way(void **state)
{
    (void)state;
    remote_copy *c;
    assert_int_equal(remote_put("gs://bucket", "/tmp/a b", "evolve.txt", 30000, &c), OK);
    assert_int_equal(wait_for(c), REMOTE_DONE);
    remote_end(&c);
    assert_null(c);
    expect_called("gsutil", "-q\ncp\n/tmp/a b\ngs://bucket/evolve.txt\n");
    assert_int_equal(remote_get("gs://bucket/a/", "b/c", "/tmp/$(x)", 30000, &c), OK);
    assert_int_equal(wait_for(c), REMOTE_DONE);
    remote_end(&c);
    expect_called("gsutil", "-q\ncp\ngs://bucket/a/b/c\n/tmp/$(x)\n");
    assert_int_equal(remote_put("box:", "/tmp/a", "evolve.txt", 30000, &c), OK);
    assert_int_equal(wait_for(c), REMOTE_DONE);
    remote_end(&c);
    expect_called("rclone",
                  "copyto\n-I\n-q\n--retries\n1\n--low-level-retries\n2\n--contimeout\n15s\n/tmp/a\nbox:evolve.txt\n");
}

static void what_is_not_there_is_no_failure(void **state)
{
    (void)state;
    remote_copy *c;
    write_program("rclone", "#!/bin/sh\necho 'object not found' >&2\nexit 3\n");
    assert_int_equal(remote_get("box:x", "evolve.txt", "/tmp/x", 30000, &c), OK);
    assert_int_equal(wait_for(c), REMOTE_MISSING);
    remote_end(&c);
    write_program("gsutil", "#!/bin/sh\necho 'CommandException: No URLs matched: gs://x/evolve.txt' >&2\nexit 1\n");
    assert_int_equal(remote_get("gs://x", "evolve.txt", "/tmp/x", 30000, &c), OK);
    assert_int_equal(wait_for(c), REMOTE_MISSING);
    remote_end(&c);
}

static void a_failure_has_the_last_line(void **state)
{
    (void)state;
    remote_copy *c;
    write_program("rclone", "#!/bin/sh\necho first >&2; echo 'connection \033[1mrefused' >&2; echo >&2\nexit 1\n");
    assert_int_equal(remote_put("box:x", "/tmp/x", "evolve.txt", 30000, &c), OK);
    assert_int_equal(wait_for(c), REMOTE_FAILED);
    assert_string_equal(remote_words(c), "connection ?[1mrefused");
    remote_end(&c);
    write_program("rclone", "#!/bin/sh\nkill -9 $$\n");
    assert_int_equal(remote_put("box:x", "/tmp/x", "evolve.txt", 30000, &c), OK);
    assert_int_equal(wait_for(c), REMOTE_FAILED);
    assert_string_equal(remote_words(c), "rclone ended with signal 9");
    remote_end(&c);
}

static void one_that_hangs_is_killed(void **state)
{
    (void)state;
    remote_copy *c;
    write_program("rclone", "#!/bin/sh\nsleep 1000\n");
    assert_int_equal(remote_put("box:x", "/tmp/x", "evolve.txt", 200, &c), OK);
    assert_int_equal(remote_follow(c), REMOTE_RUNNING);
    assert_int_equal(wait_for(c), REMOTE_FAILED);
    assert_non_null(strstr(remote_words(c), "not finished after 0 s"));
    remote_end(&c);
    assert_int_equal(remote_put("box:x", "/tmp/x", "evolve.txt", 60000, &c), OK);
    remote_end(&c); /* which does not wait for it */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(addresses_are_told_from_anything_else), CASE(a_missing_program_is_named),
        CASE(each_program_is_called_in_its_way),     CASE(what_is_not_there_is_no_failure),
        CASE(a_failure_has_the_last_line),           CASE(one_that_hangs_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
