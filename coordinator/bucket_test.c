/* bucket.c with an rclone that copies files of one machine, and goes away when it is told to. */
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
#include "common/log.h"
#include "common/text.h"
#include "coordinator/bucket.h"

typedef struct setting {
    char folder[64];
    bucket *bucket;
    int64_t skipped_ms; /* time is what the clock says and this */
} setting;

/* Its last two words are from and to; "box:NAME" is the file NAME beside it. What is done is written down. */
static const char rclone[] =
    "#!/bin/sh\n"
    "here=$(dirname \"$0\")\n"
    "[ ! -e \"$here/away\" ] || { echo 'nobody there' >&2; exit 1; }\n"
    "while [ $# -gt 2 ]; do shift; done\n"
    "from=$(echo \"$1\" | sed \"s#^box:#$here/there/#\") to=$(echo \"$2\" | sed \"s#^box:#$here/there/#\")\n"
    "echo \"$1 > $2\" | sed \"s#$here/##g\" >>\"$here/done\"\n"
    "[ -e \"$from\" ] || exit 4\n"
    "cp \"$from\" \"$to\"\n";

static void put(const setting *t, const char *name, const char *words)
{
    char *path = path_join(t->folder, name);
    assert_int_equal(fs_write(path, words, strlen(words)), OK);
    free(path);
}

static void expect_file(const setting *t, const char *name, const char *words)
{
    char *path = path_join(t->folder, name), *found = NULL;
    size_t count;
    if (fs_read(path, 0, &found, &count) != OK) fail_msg("%s", status_message());
    assert_string_equal(found, words);
    free(found);
    free(path);
}

static void forget(const setting *t, const char *name)
{
    char *path = path_join(t->folder, name);
    assert_int_equal(fs_remove(path), OK);
    free(path);
}

static int start(void **state)
{
    setting *t = calloc(1, sizeof *t);
    if (!t) return -1;
    log_set_level(LEVEL_SILENT);
    strcpy(t->folder, "/tmp/bucket_test_XXXXXX");
    if (!mkdtemp(t->folder)) return -1;
    put(t, "rclone", rclone);
    char *program = path_join(t->folder, "rclone"), *there = path_join(t->folder, "there"),
         *run = path_join(t->folder, "run");
    text path = {0};
    text_add(&path, "%s:/usr/bin:/bin", t->folder);
    setenv("PATH", text_string(&path), 1);
    bool good = !chmod(program, 0755) && fs_make_folders(there, 0777) == OK && fs_make_folders(run, 0777) == OK &&
                bucket_create("box:", run, &t->bucket) == OK;
    text_free(&path);
    free(program);
    free(there);
    free(run);
    *state = t;
    return good ? 0 : -1;
}

static int end(void **state)
{
    setting *t = *state;
    bucket_destroy(&t->bucket);
    fs_remove(t->folder);
    free(t);
    return 0;
}

static int64_t now(const setting *t)
{
    return clock_ms() + t->skipped_ms;
}

/* Until something was fetched. */
static void wait_for_fetched(setting *t)
{
    for (int64_t ends = clock_ms() + 30000; bucket_follow(t->bucket, now(t)) != BUCKET_FETCHED; clock_sleep_ms(2))
        if (clock_ms() > ends) fail_msg("nothing is fetched");
}

static void wait_for_settled(setting *t)
{
    for (int64_t ends = clock_ms() + 30000; !bucket_settled(t->bucket); clock_sleep_ms(2)) {
        if (clock_ms() > ends) fail_msg("it does not end");
        assert_int_equal(bucket_follow(t->bucket, now(t)), BUCKET_NOTHING);
    }
}

/* Until no copy runs. */
static void wait_for_copies(setting *t)
{
    for (int64_t ends = clock_ms() + 30000; bucket_copies(t->bucket); clock_sleep_ms(2)) {
        if (clock_ms() > ends) fail_msg("it does not end");
        bucket_follow(t->bucket, now(t));
    }
}

static void a_round_fetches_and_then_shares(void **state)
{
    setting *t = *state;
    put(t, "there/evolve.txt", "theirs");
    put(t, "run/evolve.txt", "ours");
    wait_for_fetched(t);
    char *fetched;
    size_t count;
    assert_int_equal(fs_read(bucket_fetched(t->bucket), 0, &fetched, &count), OK);
    assert_string_equal(fetched, "theirs");
    free(fetched);
    expect_file(t, "there/evolve.txt", "theirs"); /* not before its owner has it */
    assert_int_equal(bucket_follow(t->bucket, now(t) + 1000000), BUCKET_NOTHING);
    put(t, "run/evolve.txt", "ours and theirs");
    put(t, "run/hyp_evolved.yaml", "the best");
    bucket_share(t->bucket, now(t));
    wait_for_settled(t);
    expect_file(t, "there/evolve.txt", "ours and theirs");
    expect_file(t, "there/hyp_evolved.yaml", "the best");
    expect_file(t, "done",
                "box:evolve.txt > run/bucket/fetched.txt\nrun/bucket/evolve.txt > box:evolve.txt\n"
                "run/bucket/hyp_evolved.yaml > box:hyp_evolved.yaml\n");
}

static void an_empty_bucket_and_an_empty_run_are_no_failures(void **state)
{
    setting *t = *state;
    wait_for_fetched(t);
    assert_null(bucket_fetched(t->bucket));
    bucket_share(t->bucket, now(t)); /* there is nothing yet */
    assert_true(bucket_settled(t->bucket));
}

static void what_is_new_meanwhile_makes_another_round(void **state)
{
    setting *t = *state;
    put(t, "run/evolve.txt", "old");
    wait_for_fetched(t);
    bucket_due(t->bucket);
    bucket_share(t->bucket, now(t));
    wait_for_copies(t);
    assert_false(bucket_settled(t->bucket));
    put(t, "run/evolve.txt", "new");
    t->skipped_ms += 1000;
    wait_for_fetched(t);
    bucket_share(t->bucket, now(t));
    wait_for_settled(t);
    expect_file(t, "there/evolve.txt", "new");
}

static void a_bucket_that_is_away_is_tried_less_and_less_often(void **state)
{
    setting *t = *state;
    put(t, "run/evolve.txt", "ours");
    put(t, "away", "");
    bucket_follow(t->bucket, now(t));
    wait_for_copies(t);
    for (int64_t times = 0, waited = 0; times < 4; times++) { /* 2, 4, 8, 16 s */
        int64_t wait = 0;
        for (; !bucket_copies(t->bucket); wait += 1000, bucket_follow(t->bucket, now(t))) t->skipped_ms += 1000;
        assert_true(wait > waited);
        waited = wait;
        wait_for_copies(t);
    }
    forget(t, "away");
    t->skipped_ms += 300000;
    wait_for_fetched(t);
    bucket_share(t->bucket, now(t));
    wait_for_settled(t);
    expect_file(t, "there/evolve.txt", "ours"); /* nothing was lost */
}

static void what_cannot_be_understood_is_not_replaced(void **state)
{
    setting *t = *state;
    put(t, "there/evolve.txt", "nonsense");
    put(t, "run/evolve.txt", "ours");
    wait_for_fetched(t);
    FAIL(ERR_FORMAT, "a bad row");
    bucket_refuse(t->bucket, now(t));
    assert_false(bucket_settled(t->bucket));
    expect_file(t, "there/evolve.txt", "nonsense");
    t->skipped_ms += 300000;
    wait_for_fetched(t); /* it is looked at again */
}

static void a_run_waits_for_its_start(void **state)
{
    setting *t = *state;
    char *path = NULL;
    assert_int_equal(bucket_fetch("box:", t->folder, 10000, &path), OK);
    assert_null(path);
    put(t, "there/evolve.txt", "theirs");
    assert_int_equal(bucket_fetch("box:", t->folder, 10000, &path), OK);
    assert_non_null(path);
    free(path);
    put(t, "away", "");
    assert_int_equal(bucket_fetch("box:", t->folder, 100, &path), ERR_TIMEOUT);
    assert_null(path);
    assert_non_null(strstr(status_message(), "nobody there"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_round_fetches_and_then_shares),           CASE(an_empty_bucket_and_an_empty_run_are_no_failures),
        CASE(what_is_new_meanwhile_makes_another_round), CASE(a_bucket_that_is_away_is_tried_less_and_less_often),
        CASE(what_cannot_be_understood_is_not_replaced), CASE(a_run_waits_for_its_start),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
