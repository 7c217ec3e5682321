/* The store on disks that fail and under power cuts: whatever step goes wrong, it holds exactly what was committed, or after a
 * cut that and the commit under way. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/store/bench.h"
#include "coordinator/store/faults.h"

enum { COMMITS = 9, CHECKPOINT_AFTER = 4, BIG = 6 };

/* ---- a run of commits: commit n writes candidate n, changes candidate n - 1 and the setting "last" ---- */

static char *long_text(int64_t number)
{
    text t = {0};
    for (int i = 0; i < 3000; i++) text_add(&t, "%d ", (int)(number * 7 + i) % 1000);
    return text_take(&t);
}

static status put_numbered(store *s, const bench *b, int64_t number, candidate_state state)
{
    store_candidate c = plain_candidate(number);
    c.state = state;
    if (number == BIG) c.detail = long_text(number); /* several pages */
    status result = store_put_candidate(s, &b->space, &c);
    store_candidate_free(&c);
    return result;
}

static status put_commit(store *s, const bench *b, int64_t number)
{
    TRY(put_numbered(s, b, number, CANDIDATE_LEASED));
    if (number > 1) TRY(put_numbered(s, b, number - 1, CANDIDATE_DONE));
    store_attempt a = {.candidate = number, .attempt = 1};
    TRY(store_put_attempt(s, &a));
    return store_set_int(s, "last", number);
}

typedef struct audit {
    int64_t count, last;
} audit;

static status audit_one(void *state, store_candidate *c)
{
    audit *a = state;
    assert_int_equal(c->number, ++a->count);
    assert_int_equal(c->state, c->number < a->last ? CANDIDATE_DONE : CANDIDATE_LEASED);
    store_candidate expected = plain_candidate(c->number);
    assert_memory_equal(c->made.hyps, expected.made.hyps, 3 * sizeof *c->made.hyps);
    if (c->number != BIG) return OK;
    char *words = long_text(BIG);
    assert_string_equal(c->detail, words);
    free(words);
    return OK;
}

static status count_attempt(void *state, store_attempt *a)
{
    (void)a;
    ++*(int64_t *)state;
    return OK;
}

/* Everything of a whole number of commits: which? */
static int64_t commits_in(store *s, const bench *b)
{
    audit a = {0};
    int64_t attempts = 0;
    assert_ok(store_get_int(s, "last", 0, &a.last));
    assert_ok(store_each_candidate(s, &b->space, audit_one, &a));
    assert_ok(store_each_attempt(s, 0, count_attempt, &attempts));
    assert_int_equal(a.count, a.last);
    assert_int_equal(attempts, a.last);
    return a.last;
}

/* Commit from..COMMITS; *done is the last one acknowledged. */
static status run_commits(store *s, const bench *b, int64_t *done)
{
    while (*done < COMMITS) {
        status result = put_commit(s, b, *done + 1);
        status committed = store_commit(s); /* also after a failed write, which it must not forget */
        if (result != OK && committed == OK) fail_msg("a commit without one of its writes");
        if (committed != OK) return committed;
        ++*done;
        if (*done == CHECKPOINT_AFTER) store_checkpoint(s);
    }
    return OK;
}

/* ---- a bench on the faulty disk ---- */

static char cut_folder[] = "/tmp/store_cut_XXXXXX";

static int start(void **state)
{
    return set_up(state) || !faults_start();
}

static int stop(void **state)
{
    clear_disk();
    faults_stop();
    return tear_down(state);
}

/* Everything new: an empty folder on a disk without faults yet. */
static void renew(bench *b)
{
    fs_remove(b->folder);
    assert_ok(fs_make_folders(b->folder, 0755));
    clear_disk();
}

/* How many steps are there when nothing goes wrong? */
static long steps_of_a_run(bench *b)
{
    renew(b);
    store *s = open_store(b);
    int64_t done = 0;
    assert_ok(run_commits(s, b, &done));
    assert_int_equal(commits_in(s, b), COMMITS);
    store_close(&s);
    assert_in_range(disk.step, 4 * COMMITS, 1000);
    return disk.step;
}

/* The store goes on when there is space again, without being opened anew. */
static void try_full_disk(bench *b, fault kind, long at)
{
    renew(b);
    disk.fault = kind;
    disk.at = at;
    store *s = NULL;
    int64_t done = 0;
    status result = store_open(b->folder, &s);
    if (result != OK) {
        if (result != ERR_NO_SPACE) fail_msg("step %ld: open: %s", at, status_message());
        assert_null(s);
    } else if ((result = run_commits(s, b, &done)) != OK) {
        if (result != ERR_NO_SPACE) fail_msg("step %ld: commit: %s", at, status_message());
        assert_int_equal(commits_in(s, b), done);
        assert_int_equal(run_commits(s, b, &done), ERR_NO_SPACE); /* still full */
        assert_int_equal(commits_in(s, b), done);
    }
    disk.fault = FAULT_NONE;
    if (!s) s = open_store(b);
    assert_ok(run_commits(s, b, &done));
    assert_int_equal(commits_in(s, b), COMMITS);
    store_close(&s);
    s = open_store(b);
    assert_int_equal(commits_in(s, b), COMMITS);
    store_close(&s);
}

static void a_full_disk_loses_nothing(void **state)
{
    bench *b = *state;
    long steps = steps_of_a_run(b);
    for (long at = 1; at <= steps; at++) {
        try_full_disk(b, FAULT_FULL, at);
        try_full_disk(b, FAULT_QUOTA, at);
        try_full_disk(b, FAULT_FULL_SYNC, at);
    }
}

/* What the process that starts next finds, and that it can go on. */
static void reopen(bench *b, const char *folder, long at, int64_t least, int64_t most)
{
    bench other = *b;
    snprintf(other.folder, sizeof other.folder, "%s", folder);
    disk.fault = FAULT_NONE;
    store *s = NULL;
    if (store_open(other.folder, &s) != OK) fail_msg("step %ld: %s", at, status_message());
    int64_t found = commits_in(s, &other);
    if (found < least || found > most)
        fail_msg("step %ld: %lld commits were acknowledged, %lld are there", at, (long long)least, (long long)found);
    assert_ok(run_commits(s, &other, &found));
    assert_int_equal(commits_in(s, &other), COMMITS);
    store_close(&s);
}

/* An I/O error ends the process; the next one finds what was acknowledged. */
static void an_error_of_the_disk_is_no_loss(void **state)
{
    bench *b = *state;
    long steps = steps_of_a_run(b), failed = 0;
    for (long at = 1; at <= steps; at++) {
        renew(b);
        disk.fault = FAULT_BROKEN;
        disk.at = at;
        store *s = NULL;
        int64_t done = 0;
        status result = store_open(b->folder, &s);
        if (result == OK) result = run_commits(s, b, &done);
        if (result != OK && result != ERR_IO) fail_msg("step %ld: %s: %s", at, status_text(result), status_message());
        failed += result != OK;
        if (s) assert_int_equal(commits_in(s, b), done);
        store_close(&s);
        reopen(b, b->folder, at, done, done + (result != OK));
    }
    assert_true(failed > steps / 2);
}

static void cut_power(bench *b, long at, kept kept, bool sync_failed_before)
{
    renew(b);
    assert_ok(fs_make_folders(cut_folder, 0755));
    disk.cut_folder = cut_folder;
    disk.kept = kept;
    disk.seed = (uint64_t)at * 977;
    disk.at = at;
    disk.fault = sync_failed_before ? FAULT_SYNC_ONCE : FAULT_POWER;
    store *s = NULL;
    int64_t done = 0;
    status result = store_open(b->folder, &s);
    if (result == OK) result = run_commits(s, b, &done);
    if (sync_failed_before) write_remains(); /* the power goes when the process has ended, or has done everything */
    store_close(&s);
    clear_disk();
    reopen(b, cut_folder, at, done, done + (result != OK));
    assert_ok(fs_remove(cut_folder));
}

static void a_power_cut_loses_nothing(void **state)
{
    bench *b = *state;
    long steps = steps_of_a_run(b);
    for (long at = 1; at <= steps; at++) {
        cut_power(b, at, KEPT_NONE, false);
        cut_power(b, at, KEPT_ALL, false);
        cut_power(b, at, KEPT_SOME, false);
    }
}

/* A sync that failed once and reports success afterwards, though what it should have kept is gone: as Linux does. */
static void a_sync_that_failed_is_not_trusted_again(void **state)
{
    bench *b = *state;
    long steps = steps_of_a_run(b);
    for (long at = 1; at <= steps; at++) cut_power(b, at, KEPT_NONE, true);
}

/* The cause behind an I/O error comes through from the real file system, here from a limit on the size of files. */
static void the_cause_of_an_error_is_said(void **state)
{
    bench *b = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        store *s;
        struct rlimit limit;
        if (getrlimit(RLIMIT_FSIZE, &limit) || signal(SIGXFSZ, SIG_IGN) == SIG_ERR) _exit(2);
        if (store_open(b->folder, &s) != OK) _exit(3);
        limit.rlim_cur = 64 << 10;
        if (setrlimit(RLIMIT_FSIZE, &limit)) _exit(4);
        int64_t done = 0;
        if (run_commits(s, b, &done) != ERR_IO || !strstr(status_message(), strerror(EFBIG))) _exit(5);
        _exit(done > 0 && commits_in(s, b) == done ? 0 : 6);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
}

#define FAULTY(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
    if (!mkdtemp(cut_folder)) return 1;
    const struct CMUnitTest tests[] = {
        FAULTY(a_full_disk_loses_nothing),   FAULTY(an_error_of_the_disk_is_no_loss),
        FAULTY(a_power_cut_loses_nothing),   FAULTY(a_sync_that_failed_is_not_trusted_again),
        CASE(the_cause_of_an_error_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
