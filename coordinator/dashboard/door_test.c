/* Who may come in: tokens, the Hosts that are ours, addresses to listen on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "coordinator/dashboard/door.h"
#include "coordinator/dashboard/listen.h"

static int make_folder(void **state)
{
    char template[] = "/tmp/door_test_XXXXXX";
    log_set_level(LEVEL_SILENT);
    *state = mkdtemp(template) ? text_copy(template) : NULL;
    return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
    fs_remove(*state);
    free(*state);
    return 0;
}

/* ---- the token ---- */

static void a_token_is_made_once_and_kept_for_its_owner_alone(void **state)
{
    char *path = path_join(*state, "token"), first[TOKEN_ROOM], second[TOKEN_ROOM];
    struct stat information;
    assert_int_equal(door_token(path, first), OK);
    assert_int_equal(strlen(first), TOKEN_DIGITS);
    assert_int_equal(strspn(first, "0123456789abcdef"), TOKEN_DIGITS);
    assert_int_equal(stat(path, &information), 0);
    assert_int_equal(information.st_mode & 0777, 0600);
    assert_int_equal(door_token(path, second), OK);
    assert_string_equal(first, second);
    free(path);
}

static void a_token_that_others_could_read_or_that_is_none_is_replaced(void **state)
{
    char *path = path_join(*state, "token"), *aim = path_join(*state, "aim"), first[TOKEN_ROOM], other[TOKEN_ROOM];
    struct stat information;
    assert_int_equal(door_token(path, first), OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(door_token(path, other), OK);
    assert_string_not_equal(first, other);
    assert_int_equal(stat(path, &information), 0);
    assert_int_equal(information.st_mode & 0777, 0600);
    static const char *const broken[] = {"", "short\n", "zz"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_int_equal(fs_write_mode(path, broken[i], strlen(broken[i]), 0600), OK);
        assert_int_equal(door_token(path, first), OK);
        assert_int_equal(strlen(first), TOKEN_DIGITS);
    }
    /* A link is not followed: it is replaced, and what it points to stays. */
    assert_int_equal(fs_write_mode(aim, "other", 5, 0600), OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(aim, path), 0);
    assert_int_equal(door_token(path, first), OK);
    assert_int_equal(lstat(path, &information), 0);
    assert_true(S_ISREG(information.st_mode));
    assert_int_equal(stat(aim, &information), 0);
    assert_int_equal(information.st_size, 5);
    free(path);
    free(aim);
}

static void only_the_whole_token_will_do(void **state)
{
    (void)state;
    char token[TOKEN_ROOM], other[TOKEN_ROOM + 2];
    memset(token, 'a', TOKEN_DIGITS);
    token[TOKEN_DIGITS] = '\0';
    assert_true(door_token_equal(token, token));
    assert_false(door_token_equal(NULL, token));
    assert_false(door_token_equal("", token));
    assert_false(door_token_equal("a", token));
    for (int i = 0; i < TOKEN_DIGITS; i++) {
        strcpy(other, token);
        other[i] = 'b';
        assert_false(door_token_equal(other, token));
        other[i] = '\0';
        assert_false(door_token_equal(other, token));
    }
    strcpy(other, token);
    strcat(other, "a");
    assert_false(door_token_equal(other, token));
}

static void a_bearer_is_found_in_its_header(void **state)
{
    (void)state;
    assert_string_equal(door_bearer("Bearer abc"), "abc");
    assert_string_equal(door_bearer("bEARER   abc"), "abc");
    assert_null(door_bearer(NULL));
    assert_null(door_bearer("Basic abc"));
    assert_null(door_bearer("Bearer"));
}

/* ---- the Host ---- */

static void hosts_are_ours_by_address_or_by_name(void **state)
{
    (void)state;
    static const char *const ours[] = {"127.0.0.1", "127.0.0.1:8080", "10.77.0.1:80",    "[::1]:8080",
                                       "[fe80::1]", "localhost",      "LOCALHOST:65535", "head",
                                       "Head:1",    "head.",          "named.here",      "named.here:8080"};
    static const char *const others[] = {NULL,
                                         "",
                                         ":",
                                         ":80",
                                         "evil.example",
                                         "localhost.evil.example",
                                         "127.0.0.1.evil.example",
                                         "head.evil.example",
                                         "127.0.0.1:",
                                         "127.0.0.1:x",
                                         "127.0.0.1:123456",
                                         "[::1",
                                         "[::1]x",
                                         "[::1]:",
                                         "[]",
                                         "[evil]",
                                         "::1",
                                         "127.1",
                                         "2130706433",
                                         "0x7f.1",
                                         "127.0.0.1 ",
                                         "user@127.0.0.1",
                                         "localhost\\.evil",
                                         "."};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!door_host_is_ours(ours[i], "head", "named.here")) fail_msg("'%s' is ours", ours[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (door_host_is_ours(others[i], "head", "named.here")) fail_msg("'%s' is not ours", others[i]);
    assert_false(door_host_is_ours("", "", NULL));
    char endless[5000];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_false(door_host_is_ours(endless, endless, endless));
}

/* ---- the address ---- */

typedef struct said {
    const char *words, *address; /* NULL: is none */
    int port;
} said;

static void addresses_are_read(void **state)
{
    (void)state;
    static const said cases[] = {
        {"8080", "", 8080},
        {"0", "", 0},
        {"127.0.0.1:80", "127.0.0.1", 80},
        {"[::1]:8080", "::1", 8080},
        {"head:1", "head", 1},
        {"0.0.0.0:65535", "0.0.0.0", 65535},
        {"", NULL, 0},
        {"head", NULL, 0},
        {":80", NULL, 0},
        {"head:", NULL, 0},
        {"head:x", NULL, 0},
        {"head:65536", NULL, 0},
        {"::1:80", NULL, 0},
        {"[::1]", NULL, 0},
        {"[]:80", NULL, 0},
        {"[::1:80", NULL, 0},
        {"-1", NULL, 0},
        {"99999999999999999999", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *address;
        int port = -1;
        status s = listen_read(cases[i].words, &address, &port);
        if ((s == OK) != (cases[i].address != NULL)) fail_msg("'%s': %d", cases[i].words, s);
        if (s != OK) continue;
        assert_string_equal(address, cases[i].address);
        assert_int_equal(port, cases[i].port);
        free(address);
    }
}

static void a_port_is_taken_once(void **state)
{
    (void)state;
    int port = 0, listening, other;
    assert_int_equal(listen_open("127.0.0.1", &port, &listening), OK);
    assert_true(port > 0);
    assert_true(listen_is_loopback(listening));
    assert_int_equal(listen_open("127.0.0.1", &port, &other), ERR_BUSY);
    close(listening);
    assert_int_equal(listen_open("127.0.0.1", &port, &listening), OK);
    close(listening);
    assert_int_equal(listen_open("192.0.2.1", &port, &listening), ERR_ARGUMENT); /* of no machine (RFC 5737) */
    port = 0;
    assert_int_equal(listen_open("0.0.0.0", &port, &listening), OK);
    assert_false(listen_is_loopback(listening));
    close(listening);
    assert_true(listen_is_any("0.0.0.0") && listen_is_any("::"));
    assert_false(listen_is_any("127.0.0.1") || listen_is_any("::1") || listen_is_any("head"));
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test_setup_teardown(a_token_is_made_once_and_kept_for_its_owner_alone, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_token_that_others_could_read_or_that_is_none_is_replaced, make_folder,
                                        remove_folder),
        cmocka_unit_test(only_the_whole_token_will_do),
        cmocka_unit_test(a_bearer_is_found_in_its_header),
        cmocka_unit_test(hosts_are_ours_by_address_or_by_name),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(a_port_is_taken_once),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
