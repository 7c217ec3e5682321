/* test_worker.h - what the tests of the worker share beside the stage. */
#ifndef TESTS_WORKER_TEST_WORKER_H
#define TESTS_WORKER_TEST_WORKER_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "tests/worker/stage.h"

#define BODY(name) MENDEL__ENVELOPE__BODY_##name
#define CASE(name) cmocka_unit_test_setup_teardown(name, stage_open, stage_close)

/* Wait for a message. */
static inline void expect_and_free(stage *s, envelope_kind kind)
{
    envelope *e = stage_expect(s, kind);
    wire_free(&e);
}

/* Wait for a delivery, acknowledge it. */
static inline void expect_and_ack(stage *s, envelope_kind kind, token t)
{
    envelope *e = stage_expect_delivery(s, kind, t);
    wire_free(&e);
    stage_ack(s, t);
}

/* The run is over: the worker leaves, and leaves nothing. */
static inline void finish(stage *s)
{
    stage_no_work(s, MENDEL__NO_WORK_REASON__NO_WORK_FINISHED);
    expect_and_free(s, BODY(GOODBYE));
    assert_int_equal(stage_wait(s), 0);
    assert_int_equal(stage_spooled(s), 0);
}

/* Of the trainer in slot 0, once it runs. */
static inline pid_t trainer_pid(stage *s)
{
    long pid = 0;
    stage_wait_for_file(s, "spool/trials/slot-0/started");
    char *record = stage_read(s, "spool/trials/slot-0/started");
    assert_int_equal(sscanf(record, "pid %ld", &pid), 1);
    free(record);
    return (pid_t)pid;
}

static inline void expect_gone(pid_t pid)
{
    int64_t ends = clock_ms() + 5000;
    while (kill(pid, 0) == 0) {
        if (clock_ms() > ends) fail_msg("the trainer still runs");
        clock_sleep_ms(5);
    }
}

/* The worker ends with this code, having said these words. */
static inline void expect_end(stage *s, int code, const char *words)
{
    int found = stage_wait(s);
    if (!stage_printed(s, words)) fail_msg("'%s' was expected, found\n%s", words, s->print);
    assert_int_equal(found, code);
}

/* Answer a Hello. */
static inline void refuse(stage *s, Mendel__RefusedReason reason, const char *detail, bool later)
{
    Mendel__Refused r = MENDEL__REFUSED__INIT;
    expect_and_free(s, BODY(HELLO));
    r.reason = reason;
    r.detail = (char *)detail;
    r.later = later;
    stage_say(s, BODY(REFUSED), &r);
}

#endif
