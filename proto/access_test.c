#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "proto/access.h"

/* Z85 of 32 bytes: the test pair of rfc.zeromq.org/spec/26, and the largest number. */
#define SERVER  "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define PUBLIC  "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET  "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
#define LARGEST "%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0"

#define WHOLE                                                                                                          \
    "mendel-access 1\naddress tcp://head:5557\naddress tcp://10.0.0.7:5557\nserver " SERVER                            \
    "\nworker default\npublic " PUBLIC "\nsecret " SECRET "\n"

/* A folder of the test's own; *state is its path. */
static int open_folder(void **state)
{
    static char folder[64];
    strcpy(folder, "/tmp/mendel-access-XXXXXX");
    *state = mkdtemp(folder);
    return *state ? 0 : 1;
}

static int close_folder(void **state)
{
    return fs_remove(*state) == OK ? 0 : 1;
}

static char *path_of(void **state, const char *name)
{
    char *path = path_join(*state, name);
    assert_non_null(path);
    return path;
}

static void a_file_is_read_as_it_was_written(void **state)
{
    access_file a = {0}, b;
    char *path = path_of(state, "access");
    struct stat about;
    assert_int_equal(access_parse("text", WHOLE, &a), OK);
    assert_int_equal(access_write(path, &a), OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(access_read(path, &b), OK);
    assert_int_equal(b.addresses.count, 2);
    assert_string_equal(b.addresses.names[0], "tcp://head:5557");
    assert_string_equal(b.addresses.names[1], "tcp://10.0.0.7:5557");
    assert_string_equal(b.server, SERVER);
    assert_string_equal(b.worker, "default");
    assert_string_equal(b.public_key, PUBLIC);
    assert_string_equal(b.secret_key, SECRET);
    access_free(&a);
    access_free(&b);
    free(path);
}

static void comments_and_spaces_say_nothing(void **state)
{
    (void)state;
    access_file a;
    const char *text = "mendel-access 1\n# secret nonsense\n\n  address \t tcp://[fe80::1%eth0]:1  \r\n\tserver " SERVER
                       "\nworker a.b-c_D9\npublic " PUBLIC "\nsecret " SECRET;
    assert_int_equal(access_parse("text", text, &a), OK);
    assert_string_equal(a.addresses.names[0], "tcp://[fe80::1%eth0]:1");
    assert_string_equal(a.worker, "a.b-c_D9");
    access_free(&a);
}

/* Each is one change to a good file; what is said of it names the line. */
static void what_is_malformed_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } changes[] = {
        {"mendel-access 1", "mendel-access 2", "F:1: 'mendel-access 1' was expected"},
        {"mendel-access 1", "", "F:1: 'mendel-access 1' was expected"},
        {"tcp://head:5557", "ipc://head", "F:2: address: tcp://HOST:PORT was expected"},
        {"tcp://head:5557", "tcp://head", "F:2: address"},
        {"tcp://head:5557", "tcp://:5557", "F:2: address"},
        {"tcp://head:5557", "tcp://head:0", "F:2: address"},
        {"tcp://head:5557", "tcp://head:65536", "F:2: address"},
        {"tcp://head:5557", "tcp://head:-1", "F:2: address"},
        {"tcp://head:5557", "tcp://he ad:1", "F:2: address"},
        {"tcp://head:5557", "tcp://me;head:1", "F:2: address"},
        {"tcp://head:5557", "tcp://\x1b[2J:1", "F:2: address"},
        {"tcp://head:5557", "", "F:2: address"},
        {"server " SERVER, "server " SERVER "0", "F:4: server: a key of 40 characters"},
        {"server " SERVER, "server", "F:4: server: a key of 40 characters"},
        {"secret " SECRET, "secret " SECRET "\nsecret " SECRET, "F:8: 'secret' stands there twice"},
        {"public " PUBLIC, "server " PUBLIC, "F:6: 'server' stands there twice"},
        {"worker default", "worker ../x", "F:5: worker: a name"},
        {"worker default", "worker .x", "F:5: worker: a name"},
        {"worker default", "worker x\nworker y", "F:6: 'worker' stands there twice"},
        {"worker default", "password default", "F:5: address, server, worker, public or secret was expected"},
        {"worker default\n", "", "the line 'worker' is missing"},
        {"public " PUBLIC "\n", "", "the line 'public' is missing"},
        {"secret " SECRET "\n", "", "the line 'secret' is missing"},
        {"server " SERVER "\n", "", "the line 'server' is missing"},
        {"address tcp://head:5557\naddress tcp://10.0.0.7:5557\n", "", "the line 'address' is missing"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        access_file a;
        text t = {0};
        const char *at = strstr(WHOLE, changes[i].from);
        assert_non_null(at);
        text_add_bytes(&t, WHOLE, (size_t)(at - WHOLE));
        text_add(&t, "%s%s", changes[i].to, at + strlen(changes[i].from));
        assert_int_equal(access_parse("F", t.bytes, &a), ERR_FORMAT);
        if (!strstr(status_message(), changes[i].words))
            fail_msg("'%s' was expected, found '%s'", changes[i].words, status_message());
        assert_null(a.addresses.names);
        assert_int_equal(a.secret_key[0], 0);
        text_free(&t);
    }
}

static void no_message_repeats_a_secret(void **state)
{
    (void)state;
    static const char *const texts[] = {
        SECRET,
        "mendel-access 1\n" SECRET,
        "mendel-access 1\nsecret " SECRET "x",
        "mendel-access 1\nsecret:" SECRET,
        "mendel-access 1\naddress " SECRET,
        "mendel-access 1\nworker " SECRET,
        "mendel-access 1\nsecret " SECRET "\nsecret " SECRET,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        access_file a;
        assert_int_equal(access_parse("F", texts[i], &a), ERR_FORMAT);
        assert_null(strstr(status_message(), "D:)Q[IlAW"));
    }
}

static void sizes_are_bounded(void **state)
{
    access_file a;
    text t = {0};
    char *path = path_of(state, "long");
    text_add(&t, "mendel-access 1\n");
    for (int i = 0; i <= ACCESS_ADDRESSES_MOST; i++) text_add(&t, "address tcp://h:%d\n", i + 1);
    assert_int_equal(access_parse("F", t.bytes, &a), ERR_FORMAT);
    assert_non_null(strstr(status_message(), "F:66: more addresses"));
    while (t.length <= ACCESS_BYTES_MOST) text_add(&t, "# nothing\n");
    assert_int_equal(fs_write_mode(path, t.bytes, t.length, 0600), OK);
    assert_int_equal(access_read(path, &a), ERR_RANGE);
    assert_non_null(strstr(status_message(), path));
    text_free(&t);
    free(path);
}

static void a_file_of_others_is_refused(void **state)
{
    access_file a;
    char *path = path_of(state, "open"), *words = path_of(state, "pipe"), *zero = path_of(state, "zero");
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0601};
    assert_int_equal(fs_write_mode(path, WHOLE, strlen(WHOLE), 0600), OK);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(access_read(path, &a), ERR_REFUSED);
        assert_non_null(strstr(status_message(), "chmod 600"));
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(access_read(path, &a), OK);
    access_free(&a);
    if (geteuid() == 0) { /* only root can give a file away */
        assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
        assert_int_equal(access_read(path, &a), ERR_REFUSED);
        assert_non_null(strstr(status_message(), "belongs to user 12345"));
    }
    assert_int_equal(mkfifo(words, 0600), 0);
    assert_int_equal(access_read(words, &a), ERR_REFUSED);
    assert_int_equal(access_read(*state, &a), ERR_REFUSED);
    assert_int_equal(access_read("/nowhere/access", &a), ERR_NOT_FOUND);
    assert_int_equal(fs_write_mode(zero, "mendel-access 1\n\0address", 24, 0600), OK);
    assert_int_equal(access_read(zero, &a), ERR_FORMAT);
    free(zero);
    free(words);
    free(path);
}

static void keys_are_z85(void **state)
{
    (void)state;
    char key[] = LARGEST;
    assert_true(access_is_key(SERVER) && access_is_key(SECRET) && access_is_key(LARGEST));
    key[4] = '1'; /* five digits beyond 2^32 - 1 */
    assert_false(access_is_key(key));
    key[4] = ' ';
    assert_false(access_is_key(key) || access_is_key("") || access_is_key(SERVER "a"));
}

static void a_guarded_process_leaves_no_core(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip(); /* not under sanitizers */
#endif
    pid_t child = fork();
    if (child == 0) {
        access_guard_process();
        _exit(prctl(PR_GET_DUMPABLE) ? 1 : 0);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static void wiping_leaves_nothing(void **state)
{
    (void)state;
    access_file a;
    assert_int_equal(access_parse("text", WHOLE, &a), OK);
    access_free(&a);
    const unsigned char *bytes = (const unsigned char *)&a;
    for (size_t i = 0; i < sizeof a; i++) assert_int_equal(bytes[i], 0);
    char *text = text_copy("secret");
    access_wipe_text(&text);
    assert_null(text);
    access_wipe_text(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_as_it_was_written),
        cmocka_unit_test(comments_and_spaces_say_nothing),
        cmocka_unit_test(what_is_malformed_is_named),
        cmocka_unit_test(no_message_repeats_a_secret),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(a_file_of_others_is_refused),
        cmocka_unit_test(keys_are_z85),
        cmocka_unit_test(a_guarded_process_leaves_no_core),
        cmocka_unit_test(wiping_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
