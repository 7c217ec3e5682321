/* Trials against fake_trainer: whatever the process does, exactly one last message comes, and nothing stays behind. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"
#include "tests/worker/fake_trainer.h"
#include "worker/trial.h"

static const int64_t patience_ms = 10000;

typedef struct scene {
    char *folder, *program;
    trial *trial;
    trainer_message start;
} scene;

static int open_scene(void **state)
{
    scene *s = calloc(1, sizeof *s);
    char template[] = "/tmp/mendel-trial-XXXXXX";
    if (!s || !mkdtemp(template)) return 1;
    char *self = path_real("/proc/self/exe"), *beside = self ? path_folder(self) : NULL;
    s->folder = text_copy(template);
    s->program = beside ? path_join(beside, "fake_trainer") : NULL;
    free(self);
    free(beside);
    s->start = (trainer_message){.kind = TRAINER_START,
                                 .data = text_copy("data"),
                                 .data_root = text_copy(""),
                                 .model = text_copy("model"),
                                 .folder = text_copy(template)};
    *state = s;
    return bytes_copy("\x80", 1, &s->start.hyps) == OK && bytes_copy("\x80", 1, &s->start.options) == OK ? 0 : 1;
}

static int close_scene(void **state)
{
    scene *s = *state;
    trial_destroy(&s->trial);
    trainer_message_free(&s->start);
    status removed = fs_remove(s->folder);
    free(s->folder);
    free(s->program);
    free(s);
    return removed == OK ? 0 : 1;
}

static void begin(scene *s, fake behaviour, int64_t stall_ms)
{
    trial_spec spec = {s->program, NULL, "cpu", 3, stall_ms};
    s->start.seed = behaviour;
    if (trial_start(&spec, &s->start, clock_ms(), &s->trial) != OK) fail_msg("%s", status_message());
}

/* The next message, waited for as the client's loop does. */
static trainer_message next(scene *s)
{
    int64_t ends = clock_ms() + patience_ms;
    trainer_message m;
    while (trial_next(s->trial, clock_ms(), &m) != OK) {
        struct pollfd items[TRIAL_POLLS];
        int count = trial_poll(s->trial, items);
        int64_t now = clock_ms(), left = trial_deadline_ms(s->trial) - now;
        if (now > ends) fail_msg("the trial says nothing more");
        if (left > ends - now) left = ends - now;
        poll(items, (nfds_t)count, left > 0 ? (int)left : 0);
    }
    return m;
}

static trainer_message last(scene *s)
{
    for (;;) {
        trainer_message m = next(s);
        if (m.kind == TRAINER_DONE || m.kind == TRAINER_STOPPED || m.kind == TRAINER_FAILED) return m;
        trainer_message_free(&m);
    }
}

/* Nothing more comes, and the process goes. */
static void expect_over(scene *s)
{
    int64_t ends = clock_ms() + patience_ms;
    trainer_message m;
    while (!trial_over(s->trial)) {
        if (trial_next(s->trial, clock_ms(), &m) == OK) fail_msg("a message of kind %d after the last one", m.kind);
        if (clock_ms() > ends) fail_msg("the trainer does not go");
        clock_sleep_ms(5);
    }
    assert_int_equal(trial_next(s->trial, clock_ms(), &m), ERR_TIMEOUT);
}

static pid_t process(const scene *s)
{
    char *path = path_join(s->folder, "started"), *bytes;
    size_t count;
    long pid = 0;
    if (fs_read(path, 0, &bytes, &count) != OK) fail_msg("%s", status_message());
    assert_int_equal(sscanf(bytes, "pid %ld", &pid), 1);
    free(bytes);
    free(path);
    return (pid_t)pid;
}

static void expect_failure(scene *s, trainer_reason reason, const char *words)
{
    trainer_message m = last(s);
    assert_int_equal(m.kind, TRAINER_FAILED);
    assert_string_equal(trainer_reason_name(m.reason), trainer_reason_name(reason));
    if (!strstr(m.detail, words)) fail_msg("'%s' was expected, found '%s'", words, m.detail);
    trainer_message_free(&m);
    expect_over(s);
}

static void expect_kind(scene *s, trainer_kind kind)
{
    trainer_message m = next(s);
    assert_int_equal(m.kind, kind);
    trainer_message_free(&m);
}

/* ---- cases ---- */

static void messages_come_in_order(void **state)
{
    scene *s = *state;
    static const double want[] = FAKE_RESULTS;
    begin(s, FAKE_DONE, 60000);
    expect_kind(s, TRAINER_HELLO);
    expect_kind(s, TRAINER_ITERATION);
    expect_kind(s, TRAINER_EPOCH);
    trainer_message m = next(s);
    assert_int_equal(m.kind, TRAINER_DONE);
    assert_memory_equal(m.results, want, sizeof want);
    trainer_message_free(&m);
    expect_over(s);
    assert_true(trial_peak_memory(s->trial) > 0);
}

static void crashes_are_told_apart(void **state)
{
    scene *s = *state;
    begin(s, FAKE_ABORT, 60000);
    expect_failure(s, REASON_CRASH, "signal 6");
    trial_destroy(&s->trial);
    begin(s, FAKE_EXIT, 60000);
    expect_failure(s, REASON_CRASH, "exit code 7");
    assert_int_equal(trial_log(s->trial)->count, 1);
    assert_string_equal(tail_line(trial_log(s->trial), 0), "this is why");
    trial_destroy(&s->trial);
    begin(s, FAKE_KILLED, 60000);
    expect_failure(s, REASON_CRASH, "may have run out of memory");
}

static void silence_is_a_stall(void **state)
{
    scene *s = *state;
    int64_t began = clock_ms();
    begin(s, FAKE_STALL, 300);
    expect_failure(s, REASON_STALL, "nothing was heard");
    assert_in_range(clock_ms() - began, 300, 5000);
}

static void time_in_which_the_worker_slept_is_no_silence(void **state)
{
    scene *s = *state;
    begin(s, FAKE_STALL, 1000);
    expect_kind(s, TRAINER_HELLO);
    trainer_message m;
    trial_forgive(s->trial, 100000);
    assert_int_equal(trial_next(s->trial, clock_ms() + 100000, &m), ERR_TIMEOUT);
    assert_false(trial_over(s->trial));
    assert_int_equal(kill(process(s), 0), 0);
}

static void a_flood_of_lines_holds_nobody_up(void **state)
{
    scene *s = *state;
    begin(s, FAKE_SPAM, 60000);
    trainer_message m = last(s);
    assert_int_equal(m.kind, TRAINER_DONE);
    trainer_message_free(&m);
    expect_over(s);
    const tail *log = trial_log(s->trial);
    assert_int_equal(log->count, TAIL_LINES);
    for (size_t i = 0; i < log->count; i++)
        for (const char *at = tail_line(log, i); *at; at++)
            if (*at < 0x20 || *at > 0x7e) fail_msg("a line holds byte %d", *at);
}

static void half_a_line_is_kept_too(void **state)
{
    scene *s = *state;
    begin(s, FAKE_PARTIAL, 60000);
    trainer_message m = last(s);
    assert_int_equal(m.kind, TRAINER_FAILED);
    assert_int_equal(m.reason, REASON_NAN);
    trainer_message_free(&m);
    const tail *log = trial_log(s->trial); /* whole when the failure is told, since it goes with it */
    assert_int_equal(log->count, 2);
    assert_string_equal(tail_line(log, 0), "a whole line");
    assert_string_equal(tail_line(log, 1), "half a li");
    expect_over(s);
}

static void stop_is_answered(void **state)
{
    scene *s = *state;
    begin(s, FAKE_TRAIN, 60000);
    expect_kind(s, TRAINER_HELLO);
    trial_checkpoint(s->trial);
    trainer_message m = next(s);
    while (m.kind == TRAINER_ITERATION) {
        trainer_message_free(&m);
        m = next(s);
    }
    assert_int_equal(m.kind, TRAINER_CHECKPOINTED);
    assert_true(fs_is_file(m.path));
    trainer_message_free(&m);
    trial_stop(s->trial, clock_ms(), 60000);
    m = last(s);
    assert_int_equal(m.kind, TRAINER_STOPPED);
    assert_int_equal(m.result_count, RESULT_COUNT);
    trainer_message_free(&m);
    expect_over(s);
}

static void stop_that_is_ignored_becomes_a_kill(void **state)
{
    scene *s = *state;
    begin(s, FAKE_DEAF, 60000);
    expect_kind(s, TRAINER_HELLO);
    expect_kind(s, TRAINER_ITERATION);
    pid_t pid = process(s);
    trial_stop(s->trial, clock_ms(), 60000);
    trial_stop(s->trial, clock_ms(), 200); /* the shorter one counts */
    trainer_message m = last(s);
    assert_int_equal(m.kind, TRAINER_STOPPED);
    assert_int_equal(m.result_count, 0);
    assert_int_equal(m.epoch, 2);
    trainer_message_free(&m);
    expect_over(s);
    assert_true(kill(pid, 0) != 0 && errno == ESRCH);
}

static void a_closed_pipe_ends_the_process(void **state)
{
    scene *s = *state;
    begin(s, FAKE_CLOSE, 60000);
    expect_failure(s, REASON_CRASH, "closed its pipe without a result");
}

static void a_finished_trainer_that_lingers_is_ended(void **state)
{
    scene *s = *state;
    begin(s, FAKE_LINGER, 60000);
    trainer_message m = last(s);
    assert_int_equal(m.kind, TRAINER_DONE);
    trainer_message_free(&m);
    expect_over(s);
}

static void nonsense_on_the_pipe_ends_it(void **state)
{
    scene *s = *state;
    begin(s, FAKE_NONSENSE, 60000);
    expect_failure(s, REASON_ERROR, "map");
}

static void children_of_the_trainer_end_with_it(void **state)
{
    scene *s = *state;
    begin(s, FAKE_ORPHAN, 60000);
    expect_failure(s, REASON_CRASH, "exit code 3");
    pid_t group = process(s);
    int64_t ends = clock_ms() + patience_ms;
    while (killpg(group, 0) == 0) {
        if (clock_ms() > ends) fail_msg("the trainer's child lives on");
        clock_sleep_ms(5);
    }
}

static void destroying_kills(void **state)
{
    scene *s = *state;
    begin(s, FAKE_STALL, 60000);
    expect_kind(s, TRAINER_HELLO);
    pid_t pid = process(s);
    trial_destroy(&s->trial);
    assert_null(s->trial);
    assert_true(kill(pid, 0) != 0 && errno == ESRCH);
}

static void a_missing_program_is_named(void **state)
{
    scene *s = *state;
    trial_spec spec = {"/nowhere/train", NULL, "cpu", 1, 1000};
    assert_int_equal(trial_start(&spec, &s->start, clock_ms(), &s->trial), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "/nowhere/train"));
    assert_null(s->trial);
}

/* A start message larger than the pipe takes at once goes out piece by piece. */
static void a_large_start_message_gets_through(void **state)
{
    scene *s = *state;
    enum { LENGTH = 2000000 };
    free(s->start.data);
    s->start.data = malloc(LENGTH + 1);
    assert_non_null(s->start.data);
    memset(s->start.data, '#', LENGTH);
    s->start.data[LENGTH] = '\0';
    begin(s, FAKE_DONE, 60000);
    trainer_message m = last(s);
    assert_int_equal(m.kind, TRAINER_DONE);
    trainer_message_free(&m);
    expect_over(s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one case, by name */
    const struct CMUnitTest cases[] = {
        CASE(messages_come_in_order),
        CASE(crashes_are_told_apart),
        CASE(silence_is_a_stall),
        CASE(time_in_which_the_worker_slept_is_no_silence),
        CASE(a_flood_of_lines_holds_nobody_up),
        CASE(half_a_line_is_kept_too),
        CASE(stop_is_answered),
        CASE(stop_that_is_ignored_becomes_a_kill),
        CASE(a_closed_pipe_ends_the_process),
        CASE(a_finished_trainer_that_lingers_is_ended),
        CASE(nonsense_on_the_pipe_ends_it),
        CASE(children_of_the_trainer_end_with_it),
        CASE(destroying_kills),
        CASE(a_missing_program_is_named),
        CASE(a_large_start_message_gets_through),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
