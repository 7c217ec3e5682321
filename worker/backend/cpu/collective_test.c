/* collective.c: processes that add up, hand round, and notice that one of them is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "worker/backend/cpu/collective.h"

extern const backend_ops backend;

typedef struct member {
    device *d;
    team *t;
    int rank, ranks;
} member;

/* What a rank does; it returns 0 when all was as it should be, else the line of what was not. */
typedef int (*job)(const member *m);
#define NEED(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what)) return __LINE__;                                                                                  \
    } while (0)

static int run_member(const unsigned char *ticket, int rank, int ranks, job work)
{
    member m = {.rank = rank, .ranks = ranks};
    NEED(backend.open(0, &(device_options){.threads = 1}, &m.d) == OK);
    NEED(backend.team_join(m.d, ticket, rank, ranks, &m.t) == OK);
    int line = work(&m);
    backend.team_leave(&m.t);
    backend.close(&m.d);
    return line;
}

/* Every rank in a process of its own, rank 0 here. */
static void run_ranks(int ranks, job work)
{
    unsigned char ticket[TEAM_TICKET];
    pid_t pids[TEAM_RANKS];
    assert_int_equal(backend.team_ticket(ranks, ticket), OK);
    for (int r = 1; r < ranks; r++) {
        pids[r] = fork();
        assert_true(pids[r] >= 0);
        if (pids[r] == 0) {
            alarm(60);
            int line = run_member(ticket, r, ranks, work);
            if (line) fprintf(stderr, "rank %d: line %d: %s\n", r, line, status_message());
            _exit(line != 0);
        }
    }
    int line = run_member(ticket, 0, ranks, work);
    if (line) fprintf(stderr, "rank 0: line %d: %s\n", line, status_message());
    for (int r = 1; r < ranks; r++) {
        int how;
        assert_int_equal(waitpid(pids[r], &how, 0), pids[r]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    assert_int_equal(line, 0);
}

/* ---- sums ---- */

/* More than a slot holds; numbers whose sum depends on the order. */
enum { VALUES = 200003 };

static float value_of(int rank, int i)
{
    return (float)(i % 1000) * (rank % 2 ? -1.000001f : 1.0f) + (float)rank * 1e-3f;
}

static int adds_up(const member *m)
{
    float *values = malloc(VALUES * sizeof *values);
    buffer *b;
    NEED(values && backend.buffer_create(m->d, VALUES * sizeof *values, &b) == OK);
    for (int round = 0; round < 5; round++) {
        size_t first = round == 1 ? 7 : 0, count = round == 1 ? 100 : round == 2 ? 0 : VALUES;
        for (int i = 0; i < VALUES; i++) values[i] = value_of(m->rank, i + round);
        NEED(backend.buffer_write(b, 0, values, VALUES * sizeof *values) == OK);
        NEED(backend.team_sum(m->t, b, first, count) == OK);
        NEED(backend.buffer_read(b, 0, values, VALUES * sizeof *values) == OK);
        for (int i = 0; i < VALUES; i++) {
            float sum = value_of(0, i + round);
            for (int r = 1; r < m->ranks; r++) sum += value_of(r, i + round);
            bool inside = (size_t)i >= first && (size_t)i < first + count;
            NEED(values[i] == (inside ? sum : value_of(m->rank, i + round))); /* to the bit */
        }
    }
    NEED(backend.team_sum(m->t, b, 1, VALUES) == ERR_ARGUMENT);
    backend.buffer_destroy(&b);
    free(values);
    return 0;
}

static void sums_are_the_same_bits_everywhere(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 5; ranks++) run_ranks(ranks, adds_up);
}

/* ---- handing round ---- */

static int hands_round(const member *m)
{
    const double *all[TEAM_RANKS];
    double mine[100];
    for (int round = 0; round < 3000; round++) {
        size_t count = (size_t)(1 + round % 100);
        for (size_t i = 0; i < count; i++) mine[i] = m->rank * 1e6 + round + (double)i / 1000;
        NEED(team_gather(m->t, mine, count, all) == OK);
        for (int r = 0; r < m->ranks; r++)
            for (size_t i = 0; i < count; i++) NEED(all[r][i] == r * 1e6 + round + (double)i / 1000);
        if (round % 500 == m->rank) clock_sleep_ms(2); /* nobody may run ahead over what others still read */
    }
    NEED(team_ranks(m->t) == m->ranks);
    NEED(team_gather(m->t, mine, TEAM_GATHER_MOST + 1, all) == ERR_ARGUMENT);
    return 0;
}

static void everyone_sees_what_everyone_gives(void **state)
{
    (void)state;
    run_ranks(3, hands_round);
}

/* ---- one is gone ---- */

static int waits_in_vain(const member *m)
{
    const double *all[TEAM_RANKS];
    double mine = m->rank;
    NEED(team_gather(m->t, &mine, 1, all) == OK);
    if (m->rank == 1) return 0; /* leaves */
    backend.team_abort(m->t);
    NEED(team_gather(m->t, &mine, 1, all) == ERR_DEVICE);
    NEED(strstr(status_message(), "another rank"));
    NEED(team_gather(m->t, &mine, 1, all) == ERR_DEVICE);
    return 0;
}

static void a_rank_that_is_gone_ends_the_waiting(void **state)
{
    (void)state;
    run_ranks(3, waits_in_vain);
}

/* ---- coming together ---- */

static size_t open_descriptors(void)
{
    fs_names names;
    assert_int_equal(fs_list("/proc/self/fd", &names), OK);
    size_t count = names.count;
    fs_names_free(&names);
    return count;
}

static void tickets_are_checked(void **state)
{
    (void)state;
    unsigned char ticket[TEAM_TICKET], other[TEAM_TICKET];
    device *d;
    team *t;
    size_t before = open_descriptors();
    assert_int_equal(backend.open(0, &(device_options){.threads = 1}, &d), OK);
    assert_int_equal(backend.team_ticket(0, ticket), ERR_ARGUMENT);
    assert_int_equal(backend.team_ticket(TEAM_RANKS + 1, ticket), ERR_ARGUMENT);
    assert_int_equal(backend.team_ticket(2, ticket), OK);
    assert_int_equal(backend.team_join(d, ticket, 0, 3, &t), ERR_ARGUMENT);
    assert_int_equal(backend.team_join(d, ticket, 2, 2, &t), ERR_ARGUMENT);
    assert_null(t);
    memcpy(other, ticket, sizeof other);
    other[0] ^= 1; /* of another machine, where the same numbers mean something else */
    assert_int_equal(backend.team_join(d, other, 1, 2, &t), ERR_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "one machine"));
    assert_null(t);
    assert_int_equal(backend.team_join(d, ticket, 0, 2, &t), OK);
    backend.team_leave(&t);
    assert_null(t);
    backend.team_leave(&t);
    backend.close(&d);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_same_bits_everywhere),
        cmocka_unit_test(everyone_sees_what_everyone_gives),
        cmocka_unit_test(a_rank_that_is_gone_ends_the_waiting),
        cmocka_unit_test(tickets_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
