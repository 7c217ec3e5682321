/* ranks.c, ranks_launch.c: processes that keep together, and end together. Each case is played by a child of the test, which becomes
 * rank 0. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/train/ranks.h"

enum { SECONDS_MOST = 60 };

/* 0, or the line where something was not as it should be. */
typedef int (*play)(void);
#define NEED(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "line %d (%s): %s\n", __LINE__, #what, status_message());                                  \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

static int life; /* end of a pipe that every rank holds open while it lives */

/* Play it, and wait until no process of it is left. Returns what waitpid says of rank 0. */
static int stage(play p)
{
    int ends[2], how;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(SECONDS_MOST);
        log_set_level(LEVEL_SILENT);
        close(ends[0]);
        life = ends[1];
        _exit(p());
    }
    close(ends[1]);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    struct pollfd left = {.fd = ends[0], .events = POLLIN};
    if (poll(&left, 1, SECONDS_MOST * 1000) != 1) fail_msg("ranks outlive rank 0");
    close(ends[0]);
    return how;
}

static void expect_good(play p)
{
    int how = stage(p);
    if (!WIFEXITED(how) || WEXITSTATUS(how)) fail_msg("rank 0: status %x", how);
}

/* ---- talking ---- */

enum { COUNT = 4, LARGE = 300000 };

static int talk(ranks *r)
{
    static char bytes[LARGE], brought[LARGE];
    NEED(ranks_count(r) == COUNT && ranks_number(r) < COUNT && ranks_local(r) == ranks_number(r));
    for (int round = 0; round < 50; round++) {
        int told = ranks_number(r) ? -1 : round;
        NEED(ranks_tell(r, &told, sizeof told) == OK && told == round);
    }
    memset(bytes, 'a' + ranks_number(r), sizeof bytes);
    for (int from = 0; from < COUNT; from++) { /* to rank 0 alone */
        memcpy(brought, bytes, sizeof bytes);
        NEED(ranks_bring(r, from, brought, sizeof brought) == OK);
        char wanted = (char)('a' + (ranks_number(r) ? ranks_number(r) : from));
        NEED(brought[0] == wanted && brought[LARGE - 1] == wanted);
    }
    int64_t began = clock_ms();
    NEED(ranks_wait_for_first(r) == OK);
    if (!ranks_number(r)) clock_sleep_ms(50);
    else NEED(clock_ms() - began >= 40);
    NEED(ranks_first_is_ready(r) == OK);
    return 0;
}

static void never_called(void *state)
{
    (void)state;
    abort();
}

static int play_talk(void)
{
    ranks *r;
    NEED(ranks_fork(COUNT, -1, &r) == OK);
    NEED(ranks_watch(r, never_called, NULL) == OK);
    int line = talk(r);
    ranks_end(&r, line ? ERR_PROTOCOL : OK); /* other ranks end here */
    NEED(!r && waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
    return line;
}

static void ranks_hear_the_first_and_bring_it_what_it_wants(void **state)
{
    (void)state;
    expect_good(play_talk);
}

static int play_alone(void)
{
    ranks *r;
    int word = 7;
    NEED(ranks_fork(1, -1, &r) == OK && !r);
    NEED(ranks_number(r) == 0 && ranks_count(r) == 1 && ranks_local(r) == 0);
    NEED(ranks_tell(r, &word, sizeof word) == OK && word == 7 && ranks_bring(r, 0, &word, sizeof word) == OK);
    NEED(ranks_wait_for_first(r) == OK && ranks_first_is_ready(r) == OK && ranks_watch(r, never_called, NULL) == OK);
    NEED(ranks_explain(r, ERR_DEVICE) == ERR_DEVICE);
    ranks_unwatch(r);
    ranks_end(&r, ERR_IO);
    return 0;
}

static void one_process_is_all_of_it(void **state)
{
    (void)state;
    expect_good(play_alone);
}

/* ---- ends ---- */

static void when_lost_do(void *state)
{
    *(volatile int *)state = 1;
}

/* Rank 2 fails; rank 0 notices while it waits for something else, and says what rank 2 said. */
static int play_failure_that_is_told(void)
{
    ranks *r;
    volatile int lost = 0;
    char go = 0;
    NEED(ranks_fork(3, -1, &r) == OK);
    NEED(ranks_watch(r, when_lost_do, (void *)&lost) == OK);
    if (ranks_number(r) == 2) ranks_end(&r, FAIL(ERR_NOT_FINITE, "the loss is not finite"));
    if (ranks_number(r) == 1) ranks_end(&r, ranks_tell(r, &go, 1)); /* waits in vain */
    for (int64_t end = clock_ms() + 20000; !lost && clock_ms() < end;) clock_sleep_ms(2);
    NEED(lost);
    NEED(ranks_tell(r, &go, 1) == ERR_DEVICE);
    NEED(ranks_explain(r, ERR_DEVICE) == ERR_NOT_FINITE);
    NEED(!strcmp(status_message(), "rank 2: the loss is not finite"));
    NEED(ranks_explain(r, OK) == OK);
    ranks_end(&r, ERR_NOT_FINITE);
    return 0;
}

static void what_a_rank_fails_with_is_known_to_the_first(void **state)
{
    (void)state;
    expect_good(play_failure_that_is_told);
}

static int play_killed_rank(void)
{
    ranks *r;
    volatile int lost = 0;
    char bytes[8];
    NEED(ranks_fork(3, -1, &r) == OK);
    NEED(ranks_watch(r, when_lost_do, (void *)&lost) == OK);
    if (ranks_number(r) == 1) kill(getpid(), SIGKILL);
    if (ranks_number(r) == 2) ranks_end(&r, ranks_bring(r, 2, bytes, 0));
    for (int64_t end = clock_ms() + 20000; !lost && clock_ms() < end;) clock_sleep_ms(2);
    NEED(lost && ranks_bring(r, 1, bytes, sizeof bytes) == ERR_DEVICE);
    NEED(ranks_explain(r, ERR_DEVICE) == ERR_DEVICE);
    NEED(!strcmp(status_message(), "rank 1 was ended by signal 9"));
    ranks_end(&r, ERR_DEVICE);
    return 0;
}

static void a_rank_that_is_killed_is_missed(void **state)
{
    (void)state;
    expect_good(play_killed_rank);
}

/* One other rank waits for a word, one computes. */
static int play_killed_first(void)
{
    ranks *r;
    char go;
    NEED(ranks_fork(3, -1, &r) == OK);
    NEED(ranks_watch(r, never_called, NULL) == OK);
    NEED(ranks_tell(r, &go, 1) == OK);
    if (ranks_number(r) == 1) ranks_end(&r, ranks_tell(r, &go, 1));
    if (ranks_number(r) == 2)
        for (;;) clock_sleep_ms(1000);
    kill(getpid(), SIGKILL);
    return 0;
}

static void ranks_do_not_outlive_the_first(void **state)
{
    (void)state;
    int how = stage(play_killed_first); /* fails when one is left */
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

static int play_signals(void)
{
    ranks *r;
    char go = 1;
    NEED(ranks_fork(2, -1, &r) == OK);
    if (ranks_number(r)) raise(SIGINT), raise(SIGTERM), raise(SIGUSR1);
    NEED(ranks_bring(r, 1, &go, 1) == OK); /* it lives */
    ranks_end(&r, OK);
    return 0;
}

static void signals_are_the_firsts(void **state)
{
    (void)state;
    expect_good(play_signals);
}

static int play_descriptor(void)
{
    ranks *r;
    int ends[2];
    char byte;
    NEED(pipe(ends) == 0);
    NEED(ranks_fork(2, ends[1], &r) == OK);
    if (ranks_number(r)) {
        NEED(write(ends[1], "x", 1) < 0 && errno == EBADF);
        ranks_end(&r, ranks_tell(r, &byte, 1));
    }
    close(ends[1]);
    NEED(read(ends[0], &byte, 1) == 0); /* nobody else holds it */
    ranks_end(&r, OK);
    return 0;
}

static void what_is_the_firsts_alone_is_closed_in_the_others(void **state)
{
    (void)state;
    expect_good(play_descriptor);
}

/* ---- a launcher ---- */

static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof at) || getsockname(s, (struct sockaddr *)&at, &size)) return 0;
    close(s);
    return ntohs(at.sin_port);
}

static void put(const char *name, int value)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", value);
    setenv(name, digits, 1);
}

/* The last one comes first. */
static int play_launched(void)
{
    ranks *r;
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    put("MASTER_PORT", free_port());
    put("WORLD_SIZE", COUNT);
    pid_t pids[COUNT];
    for (int i = COUNT - 1; i >= 0; i--) {
        pids[i] = fork();
        NEED(pids[i] >= 0);
        if (pids[i]) continue;
        put("RANK", i);
        put("LOCAL_RANK", i);
        NEED(ranks_launched(&r) == OK && r);
        NEED(ranks_watch(r, never_called, NULL) == OK);
        int line = talk(r);
        ranks_end(&r, line ? ERR_PROTOCOL : OK);
        _exit(line);
    }
    for (int i = 0; i < COUNT; i++) {
        int how;
        NEED(waitpid(pids[i], &how, 0) == pids[i] && WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    return 0;
}

static void ranks_of_a_launcher_find_each_other(void **state)
{
    (void)state;
    expect_good(play_launched);
}

static int play_environment(void)
{
    static const char *const names[] = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"};
    static const char *const good[] = {"1", "2", "0", "127.0.0.1", "29500"};
    static const char *const bad[] = {"2", "1000", "-1", "", "0"};
    ranks *r;
    for (size_t i = 0; i < 5; i++) unsetenv(names[i]);
    NEED(ranks_launched(&r) == OK && !r);
    setenv("RANK", "0", 1);
    setenv("WORLD_SIZE", "1", 1);
    NEED(ranks_launched(&r) == OK && !r);
    for (size_t wrong = 0; wrong < 5; wrong++) {
        for (size_t i = 0; i < 5; i++) setenv(names[i], i == wrong ? bad[i] : good[i], 1);
        NEED(ranks_launched(&r) == ERR_ARGUMENT && !r && strstr(status_message(), names[wrong]));
    }
    return 0;
}

static void what_a_launcher_says_is_checked(void **state)
{
    (void)state;
    expect_good(play_environment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_hear_the_first_and_bring_it_what_it_wants),
        cmocka_unit_test(one_process_is_all_of_it),
        cmocka_unit_test(what_a_rank_fails_with_is_known_to_the_first),
        cmocka_unit_test(a_rank_that_is_killed_is_missed),
        cmocka_unit_test(ranks_do_not_outlive_the_first),
        cmocka_unit_test(signals_are_the_firsts),
        cmocka_unit_test(what_is_the_firsts_alone_is_closed_in_the_others),
        cmocka_unit_test(ranks_of_a_launcher_find_each_other),
        cmocka_unit_test(what_a_launcher_says_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
