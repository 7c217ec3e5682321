#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/meeting.h"
#include "common/text.h"

/* A folder with two run folders, `a` and `b`, and the runtime folder. */
static int make_folder(void **state)
{
    char *folder = strdup("/tmp/mendel-meeting-XXXXXX");
    *state = folder;
    if (!folder || !mkdtemp(folder)) return 1;
    static const char *const inside[] = {"a", "b", "runtime"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        char *path = path_join(folder, inside[i]);
        if (mkdir(path, 0700)) return 1;
        if (i == 2) setenv("XDG_RUNTIME_DIR", path, 1);
        free(path);
    }
    return 0;
}

static int remove_folder(void **state)
{
    status s = fs_remove(*state);
    free(*state);
    return s == OK ? 0 : 1;
}

static char *below(void **state, const char *name)
{
    char *path = path_join(*state, name);
    assert_non_null(path);
    return path;
}

static meeting *offer(const char *id, const char *run_folder)
{
    meeting *m;
    if (meeting_offer(id, run_folder, &m) != OK) fail_msg("%s", status_message());
    return m;
}

static void expect_found(const char *run_folder, const char *endpoint)
{
    char *found;
    if (meeting_find(run_folder, &found) != OK) fail_msg("%s", status_message());
    assert_string_equal(found, endpoint);
    free(found);
}

static void expect_error(const char *run_folder, status want, const char *words)
{
    char *found;
    assert_int_equal(meeting_find(run_folder, &found), want);
    assert_null(found);
    if (!strstr(status_message(), words)) fail_msg("'%s' was expected, found '%s'", words, status_message());
}

static void an_offered_run_is_found(void **state)
{
    char *a = below(state, "a"), *b = below(state, "b"), *want = below(state, "runtime/mendel/0a1b.sock"), *endpoint;
    expect_error(a, ERR_NOT_FOUND, "no coordinator is running in");
    meeting *m = offer("0a1b", a);
    assert_true(text_starts_with(meeting_endpoint(m), "ipc://"));
    assert_string_equal(meeting_endpoint(m) + strlen("ipc://"), want);
    expect_found(a, meeting_endpoint(m));
    expect_error(b, ERR_NOT_FOUND, "no coordinator is running in");
    expect_error("/nowhere", ERR_NOT_FOUND, "no run folder /nowhere");
    endpoint = text_copy(meeting_endpoint(m));
    meeting_withdraw(&m);
    assert_null(m);
    expect_error(a, ERR_NOT_FOUND, "no coordinator is running in");
    m = offer("0a1b", a); /* at the same place again */
    assert_string_equal(meeting_endpoint(m), endpoint);
    meeting_withdraw(&m);
    free(a), free(b), free(want), free(endpoint);
}

static void several_runs_have_to_be_chosen_from(void **state)
{
    char *a = below(state, "a"), *b = below(state, "b");
    meeting *first = offer("aa", a), *second = offer("bb", b);
    expect_error(NULL, ERR_ARGUMENT, "choose one with --run:");
    assert_non_null(strstr(status_message(), a));
    assert_non_null(strstr(status_message(), b));
    expect_found(a, meeting_endpoint(first));
    expect_found(b, meeting_endpoint(second));
    meeting_withdraw(&first);
    meeting_withdraw(&second);
    free(a), free(b);
}

static void a_run_has_one_coordinator(void **state)
{
    char *a = below(state, "a");
    meeting *m = offer("aa", a), *second;
    assert_int_equal(meeting_offer("aa", a, &second), ERR_BUSY);
    assert_null(second);
    assert_non_null(strstr(status_message(), "another coordinator has this run"));
    expect_found(a, meeting_endpoint(m)); /* the refused one has taken nothing away */
    meeting_withdraw(&m);
    free(a);
}

static void what_a_killed_coordinator_left_is_no_run(void **state)
{
    char *a = below(state, "a"), *socket = below(state, "runtime/mendel/aa.sock");
    pid_t child = fork();
    if (child == 0) {
        meeting *m;
        status s = meeting_offer("aa", a, &m);
        if (s == OK) s = fs_write(socket, "", 0);
        if (s != OK) _exit(1);
        raise(SIGKILL);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    assert_true(fs_exists(socket));
    expect_error(a, ERR_NOT_FOUND, "no coordinator is running in");
    meeting *m = offer("aa", a);
    assert_false(fs_exists(socket));
    expect_found(a, meeting_endpoint(m));
    meeting_withdraw(&m);
    free(a), free(socket);
}

static void a_folder_that_others_can_enter_is_refused(void **state)
{
    char *a = below(state, "a"), *place = below(state, "runtime/mendel");
    meeting *m;
    assert_int_equal(mkdir(place, 0700), 0);
    assert_int_equal(chmod(place, 0750), 0);
    assert_int_equal(meeting_offer("aa", a, &m), ERR_REFUSED);
    assert_non_null(strstr(status_message(), "is open to others (mode 750)"));
    expect_error(a, ERR_REFUSED, "is open to others");
    assert_int_equal(rmdir(place), 0);
    assert_int_equal(symlink(a, place), 0);
    assert_int_equal(meeting_offer("aa", a, &m), ERR_REFUSED);
    expect_error(a, ERR_REFUSED, "a folder of the user's own");
    unlink(place);
    if (geteuid() == 0) {
        assert_int_equal(mkdir(place, 0700), 0);
        assert_int_equal(chown(place, 12345, (gid_t)-1), 0);
        assert_int_equal(meeting_offer("aa", a, &m), ERR_REFUSED);
        assert_non_null(strstr(status_message(), "belongs to user 12345"));
    }
    free(a), free(place);
}

/* A socket's path has to fit a sockaddr_un: then the shorter place is taken. */
static void a_long_runtime_folder_is_not_used(void **state)
{
    char deep[256], *a = below(state, "a");
    snprintf(deep, sizeof deep, "%s/%0100d", (char *)*state, 7);
    assert_int_equal(mkdir(deep, 0700), 0);
    setenv("XDG_RUNTIME_DIR", deep, 1);
    meeting *m;
    char id[33];
    snprintf(id, sizeof id, "%032ld", (long)getpid());
    m = offer(id, a);
    char want[64];
    snprintf(want, sizeof want, "ipc:///tmp/mendel-%ld/", (long)geteuid());
    assert_true(text_starts_with(meeting_endpoint(m), want));
    expect_found(a, meeting_endpoint(m)); /* workers look into both */
    meeting_withdraw(&m);
    free(a);
}

static void an_id_is_no_path(void **state)
{
    static const char *const bad[] = {"", "../x", "a/b", "a.b", "a b"};
    char *a = below(state, "a");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        meeting *m;
        assert_int_equal(meeting_offer(bad[i], a, &m), ERR_ARGUMENT);
        assert_null(m);
    }
    free(a);
}

/* Files that are no runs, and files of runs that are cut short, disturb nobody. */
static void other_files_are_left_out(void **state)
{
    char *a = below(state, "a");
    meeting *m = offer("aa", a);
    static const char *const names[] = {"runtime/mendel/x", "runtime/mendel/y.run", "runtime/mendel/.run"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = below(state, names[i]);
        assert_int_equal(fs_write(path, "1", 1), OK);
        free(path);
    }
    expect_found(a, meeting_endpoint(m));
    int lock;
    char *cut = below(state, "runtime/mendel/y.run");
    assert_int_equal(fs_lock(cut, &lock), OK); /* live, but has not written its folder yet */
    expect_found(a, meeting_endpoint(m));
    close(lock);
    meeting_withdraw(&m);
    free(a), free(cut);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(an_offered_run_is_found),
        CASE(several_runs_have_to_be_chosen_from),
        CASE(a_run_has_one_coordinator),
        CASE(what_a_killed_coordinator_left_is_no_run),
        CASE(a_folder_that_others_can_enter_is_refused),
        CASE(a_long_runtime_folder_is_not_used),
        CASE(an_id_is_no_path),
        CASE(other_files_are_left_out),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
