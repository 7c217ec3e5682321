#include <setjmp.h>
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
#include "coordinator/server/addresses.h"
#include "coordinator/server/keys.h"
#include "coordinator/server/keys_watch.h"

#define KEY "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

/* A run folder of the test's own; *state is its path. */
static int open_run(void **state)
{
    static char folder[64];
    strcpy(folder, "/tmp/mendel-keys-XXXXXX");
    *state = mkdtemp(folder);
    return *state ? 0 : 1;
}

static int close_run(void **state)
{
    return fs_remove(*state) == OK ? 0 : 1;
}

static void need(status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

static void refuse(status s, status expected, const char *words)
{
    if (s != expected || !strstr(status_message(), words))
        fail_msg("'%s' was expected, found %d, '%s'", words, s, status_message());
}

static char *in_run(void **state, const char *name)
{
    char *path = path_join(*state, name);
    assert_non_null(path);
    return path;
}

static void write_file(void **state, const char *name, const char *contents)
{
    char *path = in_run(state, name);
    need(fs_write_mode(path, contents, strlen(contents), 0600));
    free(path);
}

static unsigned mode_of(void **state, const char *name)
{
    struct stat about;
    char *path = in_run(state, name);
    assert_int_equal(stat(path, &about), 0);
    free(path);
    return about.st_mode & 0777;
}

/* What a coordinator does at a start that listens there. */
static bool publish(void **state, const char *address)
{
    key_pair own;
    fs_names addresses = {0};
    bool has_access;
    need(fs_names_add(&addresses, address));
    need(keys_open(*state, &own));
    need(keys_publish(*state, &own, &addresses, 1000, &has_access));
    fs_names_free(&addresses);
    return has_access;
}

/* ---- keys ---- */

static void the_first_start_makes_keys_and_an_access_file(void **state)
{
    access_file a;
    worker_keys k;
    key_pair own;
    assert_true(publish(state, "tcp://head:1"));
    assert_int_equal(mode_of(state, "keys"), 0700);
    assert_int_equal(mode_of(state, "keys/coordinator"), 0600);
    assert_int_equal(mode_of(state, "keys/workers"), 0600);
    assert_int_equal(mode_of(state, "access"), 0600);
    char *path = in_run(state, "access");
    need(access_read(path, &a));
    need(keys_list(*state, &k));
    need(keys_open(*state, &own));
    assert_int_equal(k.count, 1);
    assert_string_equal(k.items[0].name, "default");
    assert_int_equal(k.items[0].added_ms, 1000);
    assert_string_equal(k.items[0].public_key, a.public_key);
    assert_string_equal(own.public_key, a.server);
    assert_string_equal(a.addresses.names[0], "tcp://head:1");
    worker_keys_free(&k);
    access_free(&a);
    free(path);
}

static void a_later_start_keeps_keys_and_renews_addresses(void **state)
{
    access_file a, b;
    char *path = in_run(state, "access");
    publish(state, "tcp://head:1");
    need(access_read(path, &a));
    assert_true(publish(state, "tcp://elsewhere:2"));
    need(access_read(path, &b));
    assert_string_equal(b.addresses.names[0], "tcp://elsewhere:2");
    assert_int_equal(b.addresses.count, 1);
    assert_string_equal(a.server, b.server);
    assert_string_equal(a.secret_key, b.secret_key);
    access_free(&a);
    access_free(&b);
    unlink(path); /* taken elsewhere: it is not made again, and the key stays good */
    assert_false(publish(state, "tcp://elsewhere:2"));
    assert_false(fs_exists(path));
    free(path);
}

static void workers_are_added_and_revoked(void **state)
{
    worker_keys k;
    access_file a;
    char *path = in_run(state, "node7.access");
    publish(state, "tcp://head:1");
    need(keys_add(*state, "node7", path, 2000));
    assert_int_equal(mode_of(state, "node7.access"), 0600);
    need(access_read(path, &a));
    assert_string_equal(a.worker, "node7");
    assert_string_equal(a.addresses.names[0], "tcp://head:1");
    need(keys_list(*state, &k));
    assert_int_equal(k.count, 2);
    assert_string_equal(k.items[1].public_key, a.public_key);
    worker_keys_free(&k);
    access_free(&a);
    refuse(keys_add(*state, "node7", "/tmp/never", 0), ERR_EXISTS, "'node7'");
    refuse(keys_add(*state, "node8", path, 0), ERR_EXISTS, path);
    refuse(keys_add(*state, "../node8", path, 0), ERR_ARGUMENT, "letters");
    refuse(keys_add(*state, "", path, 0), ERR_ARGUMENT, "letters");
    refuse(keys_revoke(*state, "node9"), ERR_NOT_FOUND, "'node9'");
    need(keys_revoke(*state, "default"));
    need(keys_list(*state, &k));
    assert_int_equal(k.count, 1);
    assert_string_equal(k.items[0].name, "node7");
    worker_keys_free(&k);
    free(path);
}

static void a_run_without_keys_says_so(void **state)
{
    worker_keys k;
    refuse(keys_list(*state, &k), ERR_NOT_FOUND, "--bind");
    refuse(keys_add(*state, "a", "/tmp/never", 0), ERR_NOT_FOUND, "--bind");
    refuse(keys_revoke(*state, "a"), ERR_NOT_FOUND, "--bind");
    char *path = in_run(state, "keys");
    assert_false(fs_exists(path)); /* looking leaves nothing behind */
    free(path);
}

static void what_is_open_to_others_is_refused(void **state)
{
    key_pair own;
    worker_keys k;
    char *folder = in_run(state, "keys"), *pair = in_run(state, "keys/coordinator"),
         *list = in_run(state, "keys/workers");
    publish(state, "tcp://head:1");
    assert_int_equal(chmod(list, 0644), 0);
    refuse(keys_list(*state, &k), ERR_REFUSED, "chmod 600");
    assert_int_equal(chmod(pair, 0640), 0);
    refuse(keys_open(*state, &own), ERR_REFUSED, "chmod 600");
    assert_int_equal(chmod(folder, 0755), 0);
    refuse(keys_open(*state, &own), ERR_REFUSED, "chmod 700");
    free(folder);
    free(pair);
    free(list);
}

static void damaged_files_are_named(void **state)
{
    worker_keys k;
    key_pair own, other;
    text swapped = {0};
    publish(state, "tcp://head:1");
    write_file(state, "keys/workers", "mendel-workers 2\n");
    refuse(keys_list(*state, &k), ERR_FORMAT, "keys/workers:1: ");
    write_file(state, "keys/workers", "");
    refuse(keys_list(*state, &k), ERR_FORMAT, "keys/workers: ");
    write_file(state, "keys/workers", "mendel-workers 1\na " KEY " 1\nb nonsense 1\n");
    refuse(keys_list(*state, &k), ERR_FORMAT, "keys/workers:3: ");
    write_file(state, "keys/workers", "mendel-workers 1\na " KEY " 1 2\n");
    refuse(keys_list(*state, &k), ERR_FORMAT, "keys/workers:2: ");
    write_file(state, "keys/workers", "mendel-workers 1\na " KEY " 1\na " KEY " 1\n");
    refuse(keys_list(*state, &k), ERR_FORMAT, "keys/workers:3: the name stands there twice");
    write_file(state, "keys/coordinator", "mendel-keys 1\npublic x\nsecret x\n");
    refuse(keys_open(*state, &own), ERR_FORMAT, "keys/coordinator is damaged");
    need(keys_make_pair(&own));
    need(keys_make_pair(&other));
    text_add(&swapped, "mendel-keys 1\npublic %s\nsecret %s\n", other.public_key, own.secret_key);
    write_file(state, "keys/coordinator", swapped.bytes); /* two halves of two pairs */
    refuse(keys_open(*state, &own), ERR_FORMAT, "keys/coordinator is damaged");
    text_free(&swapped);
}

/* Two processes at once: no change is lost. */
static void changes_at_the_same_time_are_all_kept(void **state)
{
    enum { PROCESSES = 4, EACH = 5 };
    worker_keys k;
    publish(state, "tcp://head:1");
    for (int p = 0; p < PROCESSES; p++) {
        if (fork()) continue;
        int failed = 0;
        for (int i = 0; i < EACH; i++) {
            char name[32], file[64];
            snprintf(name, sizeof name, "w%d-%d", p, i);
            snprintf(file, sizeof file, "access-%s", name);
            char *path = in_run(state, file);
            failed |= keys_add(*state, name, path, 0) != OK;
            free(path);
        }
        _exit(failed);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int how;
        assert_true(wait(&how) > 0);
        assert_int_equal(how, 0);
    }
    need(keys_list(*state, &k));
    assert_int_equal(k.count, 1 + PROCESSES * EACH);
    worker_keys_free(&k);
}

/* ---- watching ---- */

static void a_watch_sees_every_change(void **state)
{
    keys_watch *w;
    access_file a;
    char *path = in_run(state, "b");
    need(keys_watch_create(*state, &w));
    assert_null(keys_watch_find(w, KEY)); /* nothing there yet */
    publish(state, "tcp://head:1");
    need(keys_add(*state, "b", path, 0));
    need(access_read(path, &a));
    assert_string_equal(keys_watch_find(w, a.public_key)->name, "b");
    assert_null(keys_watch_find(w, KEY));
    assert_null(keys_watch_find(w, a.secret_key));
    assert_null(keys_watch_find(w, ""));
    assert_null(keys_watch_find(w, "a text that is longer than any key can be, by far"));
    assert_true(keys_watch_changed(w));
    assert_false(keys_watch_changed(w));
    need(keys_revoke(*state, "b"));
    assert_null(keys_watch_find(w, a.public_key));
    assert_true(keys_watch_changed(w));
    assert_null(keys_watch_problem(w));
    access_free(&a);
    free(path);
    keys_watch_destroy(&w);
}

static void a_list_that_cannot_be_read_lets_nobody_in(void **state)
{
    keys_watch *w;
    access_file a;
    char *path = in_run(state, "access"), *list = in_run(state, "keys/workers"), *bytes;
    size_t count;
    publish(state, "tcp://head:1");
    need(access_read(path, &a));
    need(keys_watch_create(*state, &w));
    assert_non_null(keys_watch_find(w, a.public_key));
    need(fs_read(list, 0, &bytes, &count));
    write_file(state, "keys/workers", "mendel-workers 1\nnonsense\n");
    assert_null(keys_watch_find(w, a.public_key));
    assert_non_null(strstr(keys_watch_problem(w), "keys/workers:2"));
    write_file(state, "keys/workers", bytes);
    assert_non_null(keys_watch_find(w, a.public_key));
    assert_null(keys_watch_problem(w));
    assert_int_equal(chmod(list, 0666), 0);
    assert_null(keys_watch_find(w, a.public_key));
    unlink(list);
    assert_null(keys_watch_find(w, a.public_key));
    free(bytes);
    access_free(&a);
    free(path);
    free(list);
    keys_watch_destroy(&w);
}

/* ---- addresses ---- */

static void addresses_are_what_is_said_or_bound(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *advertise, *found;
    } cases[] = {
        {"tcp://10.0.0.7:5557", "", "tcp://10.0.0.7:5557 "},
        {"tcp://[fd00::7]:5557", "", "tcp://[fd00::7]:5557 "},
        {"tcp://0.0.0.0:41234", "head", "tcp://head:41234 "},
        {"tcp://0.0.0.0:41234", "head,10.0.0.7:99, tcp://gate:1 head",
         "tcp://head:41234 tcp://10.0.0.7:99 tcp://gate:1 "},
        {"tcp://0.0.0.0:41234", "[fd00::7]", "tcp://[fd00::7]:41234 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_names found;
        text all = {0};
        need(addresses_find(cases[i].endpoint, cases[i].advertise, &found));
        for (size_t k = 0; k < found.count; k++) text_add(&all, "%s ", found.names[k]);
        assert_string_equal(all.bytes, cases[i].found);
        text_free(&all);
        fs_names_free(&found);
    }
    fs_names found;
    refuse(addresses_find("tcp://0.0.0.0:1", "he ad:x", &found), ERR_ARGUMENT, "'ad:x'");
    refuse(addresses_find("tcp://0.0.0.0:1", "head:0", &found), ERR_ARGUMENT, "--advertise");
    refuse(addresses_find("tcp://0.0.0.0:1", ",", &found), ERR_ARGUMENT, "--advertise");
    refuse(addresses_find("ipc:///x", "", &found), ERR_ARGUMENT, "ipc:///x");
}

static void a_wildcard_stands_for_what_the_machine_has(void **state)
{
    (void)state;
    fs_names found;
    need(addresses_find("tcp://0.0.0.0:41234", "", &found));
    assert_true(found.count >= 1);
    for (size_t i = 0; i < found.count; i++) {
        assert_int_equal(access_check_address(found.names[i]), OK);
        assert_true(text_ends_with(found.names[i], ":41234"));
        assert_null(strstr(found.names[i], "0.0.0.0"));
    }
    fs_names_free(&found);
}

int main(void)
{
#define IN_A_RUN(test) cmocka_unit_test_setup_teardown(test, open_run, close_run)
    const struct CMUnitTest tests[] = {
        IN_A_RUN(the_first_start_makes_keys_and_an_access_file),
        IN_A_RUN(a_later_start_keeps_keys_and_renews_addresses),
        IN_A_RUN(workers_are_added_and_revoked),
        IN_A_RUN(a_run_without_keys_says_so),
        IN_A_RUN(what_is_open_to_others_is_refused),
        IN_A_RUN(damaged_files_are_named),
        IN_A_RUN(changes_at_the_same_time_are_all_kept),
        IN_A_RUN(a_watch_sees_every_change),
        IN_A_RUN(a_list_that_cannot_be_read_lets_nobody_in),
        cmocka_unit_test(addresses_are_what_is_said_or_bound),
        cmocka_unit_test(a_wildcard_stands_for_what_the_machine_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
