/* External trainers as real processes: shell commands behind `worker --candidate-fd`, seen through a trial. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"
#include "common/train_options.h"
#include "worker/trial.h"

static const int64_t patience_ms = 30000, long_ms = 600000;

typedef struct scene {
    char *folder, *program;
    trial *trial;
    trainer_message start;
} scene;

/* ---- the stage ---- */

static status pack_options(bytes *out)
{
    train_options o = {0};
    option_section section = train_section(&o, NULL);
    status s = options_defaults(&section, 1);
    if (s == OK) s = options_set(options_find(train_rows, TRAIN_ROWS, "epochs"), &o, "3", "test");
    if (s == OK) s = options_set(options_find(train_rows, TRAIN_ROWS, "weights"), &o, "", "test");
    if (s == OK) s = options_set(options_find(train_rows, TRAIN_ROWS, "adam"), &o, "true", "test");
    if (s == OK) s = map_pack_options(train_rows, TRAIN_ROWS, &o, out);
    options_free(&section, 1);
    return s;
}

static status pack_hyps(bytes *out)
{
    metrics m = {0};
    metrics_add(&m, "x", 0.25);
    metrics_add(&m, "depth.max", 7);
    return map_pack_metrics(&m, out);
}

static int open_scene(void **state)
{
    scene *s = calloc(1, sizeof *s);
    char template[] = "/tmp/mendel-external-XXXXXX";
    if (!s || !mkdtemp(template)) return 1;
    char *self = path_real("/proc/self/exe"), *beside = self ? path_folder(self) : NULL;
    char *relative = beside ? path_join(beside, "../../../worker") : NULL;
    s->folder = text_copy(template);
    s->program = relative ? path_real(relative) : NULL;
    free(self);
    free(beside);
    free(relative);
    s->start = (trainer_message){.kind = TRAINER_START, .seed = 11, .data = text_copy(""), .data_root = text_copy("")};
    s->start.model = text_copy("nc: 3\n");
    s->start.folder = text_copy(template);
    *state = s;
    return s->program && pack_hyps(&s->start.hyps) == OK && pack_options(&s->start.options) == OK ? 0 : 1;
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

/* Start `sh -c 'script'`; the script has no single quotes. */
static void begin(scene *s, const char *script, int64_t stall_ms)
{
    text command = {0};
    text_add(&command, "sh -c '%s'", script);
    trial_spec spec = {s->program, text_string(&command), "cpu", 2, stall_ms};
    if (trial_start(&spec, &s->start, clock_ms(), &s->trial) != OK) fail_msg("%s", status_message());
    text_free(&command);
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

static trainer_message next_of(scene *s, trainer_kind kind)
{
    for (;;) {
        trainer_message m = next(s);
        bool last = m.kind == TRAINER_DONE || m.kind == TRAINER_STOPPED || m.kind == TRAINER_FAILED;
        if (m.kind == kind) return m;
        if (last) fail_msg("message %d was expected, found %d: %s", kind, m.kind, m.detail ? m.detail : "");
        trainer_message_free(&m);
    }
}

static void expect_failure(scene *s, const char *script, trainer_reason reason, const char *words)
{
    begin(s, script, long_ms);
    trainer_message m = next_of(s, TRAINER_FAILED);
    assert_string_equal(trainer_reason_name(m.reason), trainer_reason_name(reason));
    if (!strstr(m.detail, words)) fail_msg("'%s' was expected, found '%s'", words, m.detail);
    trainer_message_free(&m);
    trial_destroy(&s->trial);
}

static void leave(const scene *s, const char *name)
{
    char *path = path_join(s->folder, name);
    assert_int_equal(fs_write(path, "", 0), OK);
    free(path);
}

/* A file of the folder, waited for until it has a whole line. The caller frees. */
static char *read_file(const scene *s, const char *name)
{
    char *path = path_join(s->folder, name), *bytes = NULL;
    size_t count;
    for (int64_t ends = clock_ms() + patience_ms;; clock_sleep_ms(5)) {
        free(bytes);
        bytes = NULL;
        if (fs_read(path, 0, &bytes, &count) == OK && strchr(bytes, '\n')) break;
        if (clock_ms() > ends) fail_msg("there is no %s", name);
    }
    free(path);
    return bytes;
}

static void expect_gone(const scene *s, const char *name)
{
    char *words = read_file(s, name);
    pid_t pid = (pid_t)atol(words);
    free(words);
    assert_true(pid > 1);
    for (int64_t ends = clock_ms() + patience_ms; kill(pid, 0) == 0; clock_sleep_ms(5))
        if (clock_ms() > ends) fail_msg("process %ld still runs", (long)pid);
}

/* ---- cases ---- */

static void the_last_line_of_results_counts(void **state)
{
    scene *s = *state;
    static const double want[] = {0.1, 0.2, 0.3, 0.4, 1, 2, 3};
    begin(s,
          "echo begins; echo 0/2 0G 9 9 9 9 9 9 .0 .0 .0 .1 5 5 5 >>$MENDEL_RESULTS; "
          "echo warning: slow >&2; echo .1 .2 .3 .4 1 2 3 >>$MENDEL_RESULTS",
          long_ms);
    trainer_message m = next_of(s, TRAINER_HELLO);
    assert_string_equal(m.precision, "external");
    assert_int_equal(m.threads, 2);
    trainer_message_free(&m);
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        m = next_of(s, TRAINER_EPOCH);
        assert_int_equal(m.epoch, epoch);
        assert_true(metrics_get(&m.metrics, "map") == (epoch ? 0.4 : 0.1));
        trainer_message_free(&m);
    }
    m = next_of(s, TRAINER_DONE);
    assert_memory_equal(m.results, want, sizeof want);
    assert_true(m.seconds >= 0 && m.memory > 0);
    trainer_message_free(&m);
    assert_int_equal(trial_log(s->trial)->count, 2);
    assert_string_equal(tail_line(trial_log(s->trial), 1), "warning: slow");
}

static void a_command_gets_files_and_variables(void **state)
{
    scene *s = *state;
    setenv("MENDEL_RESULTS", "/nowhere", 1); /* of an outer one */
    begin(s,
          "env | grep ^MENDEL_ | sort >$MENDEL_FOLDER/seen; cat $MENDEL_HYP $MENDEL_CFG >>$MENDEL_FOLDER/seen; "
          "echo $#$OMP_NUM_THREADS ${MENDEL_ADAM:+--adam}${MENDEL_RECT:+--rect} >>$MENDEL_FOLDER/seen; "
          "ls /proc/self/fd | wc -l >>$MENDEL_FOLDER/seen; echo 1 >$MENDEL_RESULTS",
          long_ms);
    unsetenv("MENDEL_RESULTS");
    trainer_message m = next_of(s, TRAINER_DONE);
    trainer_message_free(&m);
    char *seen = read_file(s, "seen");
    text results = {0};
    text_add(&results, "MENDEL_RESULTS=%s/results.txt\n", s->folder);
    const char *const lines[] = {text_string(&results),
                                 "MENDEL_EPOCHS=3\n",
                                 "MENDEL_IMG_SIZE=640 640\n",
                                 "MENDEL_SEED=11\n",
                                 "MENDEL_DEVICE=cpu\n",
                                 "MENDEL_THREADS=2\n",
                                 "MENDEL_DATA=\n",
                                 "MENDEL_WEIGHTS=\n",
                                 "MENDEL_NOTEST=\n",
                                 "x: 0.25\n",
                                 "depth.max: 7.0\n",
                                 "nc: 3\n",
                                 "02 --adam\n",
                                 "\n4\n"}; /* 0, 1, 2 and that of ls itself */
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(seen, lines[i])) fail_msg("'%s' was expected in\n%s", lines[i], seen);
    text_free(&results);
    free(seen);
}

static void failures_are_told_apart(void **state)
{
    scene *s = *state;
    expect_failure(s, "echo this is why; exit 3", REASON_CRASH, "exit code 3");
    expect_failure(s, "kill -SEGV $$", REASON_CRASH, "signal 11");
    expect_failure(s, "kill -KILL $$", REASON_CRASH, "may have run out of memory");
    expect_failure(s, "true", REASON_ERROR, "wrote no results");
    expect_failure(s, "echo hello >$MENDEL_RESULTS", REASON_ERROR, "found 'hello'");
    expect_failure(s, "echo nan >$MENDEL_RESULTS", REASON_NAN, "not finite");
    expect_failure(s, "echo 73.5 >$MENDEL_RESULTS", REASON_ERROR, "from 0 to 1");
    expect_failure(s, "echo 1 >$MENDEL_RESULTS; exit 1", REASON_CRASH, "exit code 1");
}

static void a_command_that_is_not_there_is_named(void **state)
{
    scene *s = *state;
    trial_spec spec = {s->program, "/nowhere/train.sh --fast", "cpu", 1, long_ms};
    assert_int_equal(trial_start(&spec, &s->start, clock_ms(), &s->trial), OK);
    trainer_message m = next_of(s, TRAINER_FAILED);
    assert_int_equal(m.reason, REASON_ERROR);
    assert_non_null(strstr(m.detail, "/nowhere/train.sh"));
    trainer_message_free(&m);
}

static void what_the_run_says_wrongly_is_refused(void **state)
{
    scene *s = *state;
    metrics bad = {0};
    metrics_add(&bad, "x: 1\ny", 2);
    bytes_free(&s->start.hyps);
    assert_int_equal(map_pack_metrics(&bad, &s->start.hyps), OK);
    expect_failure(s, "echo 1 >$MENDEL_RESULTS", REASON_REFUSED, "a key of letters");
}

static void a_stopped_command_keeps_what_it_has(void **state)
{
    scene *s = *state;
    begin(s, "trap \"exit 0\" TERM; echo .5 >$MENDEL_RESULTS; while :; do sleep .05; done", long_ms);
    trainer_message m = next_of(s, TRAINER_EPOCH);
    trainer_message_free(&m);
    trial_stop(s->trial, clock_ms(), long_ms);
    m = next_of(s, TRAINER_STOPPED);
    assert_int_equal(m.result_count, RESULT_COUNT);
    assert_true(m.results[3] == 0.5 && m.epoch == 1);
    trainer_message_free(&m);
}

static void one_that_does_not_hear_is_killed(void **state)
{
    scene *s = *state;
    begin(s, "trap \"\" TERM; echo $$ >$MENDEL_FOLDER/pid; while :; do sleep .05; done", long_ms);
    free(read_file(s, "pid"));
    trial_stop(s->trial, clock_ms(), 300);
    trainer_message m = next_of(s, TRAINER_STOPPED);
    assert_int_equal(m.result_count, 0);
    trainer_message_free(&m);
    expect_gone(s, "pid");
}

/* There is nothing to hand on, and the command has had time to tidy up. */
static void a_checkpoint_is_a_chance_to_leave(void **state)
{
    scene *s = *state;
    begin(s,
          "trap \"echo bye >$MENDEL_FOLDER/tidy; exit 1\" TERM; echo $$ >$MENDEL_FOLDER/pid; while :; do sleep .05; "
          "done",
          long_ms);
    free(read_file(s, "pid"));
    trial_checkpoint(s->trial);
    trainer_message m = next_of(s, TRAINER_CHECKPOINTED);
    assert_string_equal(m.path, "");
    trainer_message_free(&m);
    free(read_file(s, "tidy"));
    trial_kill(s->trial);
    m = next_of(s, TRAINER_STOPPED);
    trainer_message_free(&m);
    expect_gone(s, "pid");
}

/* Every process of a job is told to go; the command is faster than the worker. */
static void a_signal_to_all_is_no_crash(void **state)
{
    scene *s = *state;
    begin(s, "echo $$ >$MENDEL_FOLDER/pid; while :; do sleep .05; done", long_ms);
    char *words = read_file(s, "pid");
    kill((pid_t)atol(words), SIGTERM);
    free(words);
    expect_gone(s, "pid");
    trial_checkpoint(s->trial);
    trainer_message m = next_of(s, TRAINER_CHECKPOINTED);
    trainer_message_free(&m);
}

static void silence_is_a_stall_and_printing_is_not(void **state)
{
    scene *s = *state;
    begin(s, "echo $$ >$MENDEL_FOLDER/pid; sleep 1000", 1500);
    trainer_message m = next_of(s, TRAINER_FAILED);
    assert_int_equal(m.reason, REASON_STALL);
    trainer_message_free(&m);
    expect_gone(s, "pid");
    trial_destroy(&s->trial);
    int64_t began = clock_ms();
    bool told = false;
    begin(s, "until [ -e $MENDEL_FOLDER/go ]; do echo .; sleep .1; done; echo 1 >$MENDEL_RESULTS", 5000);
    for (m = next(s); m.kind != TRAINER_DONE; m = next(s)) { /* longer than the time-out */
        if (m.kind == TRAINER_FAILED) fail_msg("%s", m.detail);
        if (!told && clock_ms() - began > 5500) leave(s, "go"), told = true;
        trainer_message_free(&m);
    }
    assert_true(told);
    trainer_message_free(&m);
}

static void what_a_command_leaves_behind_is_killed(void **state)
{
    scene *s = *state;
    begin(s, "sleep 1000 & echo $! >$MENDEL_FOLDER/pid; echo 1 >$MENDEL_RESULTS", long_ms);
    trainer_message m = next_of(s, TRAINER_DONE);
    trainer_message_free(&m);
    for (int64_t ends = clock_ms() + patience_ms; !trial_over(s->trial); clock_sleep_ms(5)) {
        assert_int_equal(trial_next(s->trial, clock_ms(), &m), ERR_TIMEOUT);
        if (clock_ms() > ends) fail_msg("the trial does not end");
    }
    expect_gone(s, "pid");
}

/* A worker that is killed takes all of it along. */
static void a_dead_worker_leaves_nobody_behind(void **state)
{
    scene *s = *state;
    pid_t worker = fork();
    if (worker == 0) {
        begin(s, "sleep 1000 & echo $! >$MENDEL_FOLDER/child; echo $$ >$MENDEL_FOLDER/pid; wait", long_ms);
        for (;;) pause();
    }
    assert_true(worker > 0);
    free(read_file(s, "pid"));
    free(read_file(s, "child"));
    kill(worker, SIGKILL);
    waitpid(worker, NULL, 0);
    expect_gone(s, "pid");
    expect_gone(s, "child");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_last_line_of_results_counts),
        CASE(a_command_gets_files_and_variables),
        CASE(failures_are_told_apart),
        CASE(a_command_that_is_not_there_is_named),
        CASE(what_the_run_says_wrongly_is_refused),
        CASE(a_stopped_command_keeps_what_it_has),
        CASE(one_that_does_not_hear_is_killed),
        CASE(a_checkpoint_is_a_chance_to_leave),
        CASE(a_signal_to_all_is_no_crash),
        CASE(silence_is_a_stall_and_printing_is_not),
        CASE(what_a_command_leaves_behind_is_killed),
        CASE(a_dead_worker_leaves_nobody_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
