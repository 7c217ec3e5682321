/* Candidates as a worker sees them: `train --candidate-fd` at the other end of a socketpair.
 *
 *   candidate_test TRAIN DATA_FOLDER MODEL.yaml      (tests/train/run.sh makes the data set: nc 3, images/train, images/val) */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/train_options.h"
#include "proto/trainer.h"

enum { PATIENCE_MS = 20000 };

static const char *train_program, *data_folder;
static char *model_yaml, *work_folder;
static const char data_yaml_text[] = "train: images/train\nval: images/val\nnc: 3\nnames: [disc, square, triangle]\n";

/* ---- a trainer ---- */

typedef struct trainer {
    pid_t pid;
    int fd;   /* the worker's end */
    int life; /* reads an end when no process of it is left */
    trainer_reader *reader;
    char log[256]; /* file of its standard error */
    int status;    /* of waitpid, once it has ended */
} trainer;

/* Start one whose address space is at most `memory` bytes (0: no limit). */
static void start_trainer_on(trainer *t, const char *device, rlim_t memory)
{
    int ends[2], life[2];
    static int count;
    *t = (trainer){0};
    assert_return_code(pipe2(life, O_CLOEXEC), errno);
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), errno);
    snprintf(t->log, sizeof t->log, "%s/log%d", work_folder, count++);
    t->pid = fork();
    if (t->pid == 0) {
        int log = open(t->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(log, STDERR_FILENO);
        dup2(life[1], STDOUT_FILENO); /* nothing is written to it */
        if (ends[1] != 3) dup2(ends[1], 3);
        else fcntl(3, F_SETFD, 0);
        if (memory) setrlimit(RLIMIT_AS, &(struct rlimit){memory, memory});
        execl(train_program, "train", "--candidate-fd", "3", "--device", device, "--threads", "1", (char *)NULL);
        _exit(127);
    }
    assert_true(t->pid > 0);
    close(ends[1]);
    close(life[1]);
    t->life = life[0];
    t->fd = ends[0];
    assert_return_code(fcntl(t->fd, F_SETFL, O_NONBLOCK), errno);
    assert_int_equal(trainer_reader_create(t->fd, &t->reader), OK);
}

static void start_trainer(trainer *t, rlim_t memory)
{
    start_trainer_on(t, "cpu", memory);
}

/* Wait for the end of the process; false when it does not come in time. */
static bool has_ended(trainer *t, int patience_ms)
{
    for (int64_t end = clock_ms() + patience_ms; t->pid; clock_sleep_ms(5)) {
        if (waitpid(t->pid, &t->status, WNOHANG) == t->pid) t->pid = 0;
        else if (clock_ms() > end) return false;
    }
    return true;
}

static void end_trainer(trainer *t)
{
    if (t->fd >= 0) close(t->fd);
    t->fd = -1;
    if (t->pid) kill(t->pid, SIGKILL);
    assert_true(has_ended(t, PATIENCE_MS));
    trainer_reader_destroy(&t->reader);
    struct pollfd left = {.fd = t->life, .events = POLLIN};
    if (poll(&left, 1, PATIENCE_MS) != 1) fail_msg("the trainer has left processes behind");
    close(t->life);
}

static char *log_of(const trainer *t)
{
    char *bytes;
    size_t count;
    assert_int_equal(fs_read(t->log, 0, &bytes, &count), OK);
    return bytes;
}

static void print_log(const trainer *t)
{
    char *log = log_of(t);
    print_error("---- log of the trainer\n%s----\n", log);
    free(log);
}

/* The next message, whatever it is. */
static void next(trainer *t, trainer_message *m)
{
    int64_t end = clock_ms() + PATIENCE_MS;
    status s;
    while ((s = trainer_receive(t->reader, m)) == ERR_TIMEOUT && clock_ms() < end)
        poll(&(struct pollfd){.fd = t->fd, .events = POLLIN}, 1, 100);
    if (s == OK) return;
    print_log(t);
    fail_msg("no message from the trainer: %s", status_message());
}

/* The next message of this kind; iterations and epochs on the way are passed over. */
static void await(trainer *t, trainer_kind kind, trainer_message *m)
{
    for (;;) {
        next(t, m);
        if (m->kind == kind) return;
        if (m->kind != TRAINER_ITERATION && m->kind != TRAINER_EPOCH && m->kind != TRAINER_HELLO) {
            print_log(t);
            fail_msg("kind %d was awaited, %d came: %s", kind, m->kind, m->detail ? m->detail : "");
        }
        trainer_message_free(m);
    }
}

static void send_kind(trainer *t, trainer_kind kind)
{
    trainer_message m = {.kind = kind};
    assert_int_equal(trainer_send(t->fd, &m), OK);
}

/* ---- what is trained ---- */

typedef struct order {
    train_options options;
    option_section section;
    double hyps[HYP_COUNT];
    hyp_space space;
    trainer_message start;
} order;

static void set(order *o, const char *name, const char *value)
{
    assert_int_equal(options_set(options_find(train_rows, TRAIN_ROWS, name), &o->options, value, name), OK);
}

/* 48 pictures of 64 px, batches of 4 of which 16 make an update, 4 epochs. */
static order *new_order(const char *folder)
{
    order *o = calloc(1, sizeof *o);
    assert_non_null(o);
    o->section = train_section(&o->options, NULL);
    assert_int_equal(options_defaults(&o->section, 1), OK);
    static const char *const values[][2] = {{"weights", ""},       {"epochs", "4"},    {"img-size", "64 64"},
                                            {"batch-size", "4"},   {"nosave", "true"}, {"workers", "1"},
                                            {"precision", "fp32"}, {"name", ""},       {"notest", "false"}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) set(o, values[i][0], values[i][1]);
    hyp_space_default(&o->space);
    hyp_defaults(&o->space, false, o->hyps);
    o->start = (trainer_message){.kind = TRAINER_START, .seed = 1};
    o->start.data = strdup(data_yaml_text);
    o->start.data_root = strdup(data_folder);
    o->start.model = strdup(model_yaml);
    o->start.folder = path_join(work_folder, folder);
    return o;
}

static void free_order(order *o)
{
    trainer_message_free(&o->start);
    options_free(&o->section, 1);
    free(o);
}

static void send_order(trainer *t, order *o)
{
    bytes_free(&o->start.hyps);
    bytes_free(&o->start.options);
    assert_int_equal(map_pack_hyps(&o->space, o->hyps, &o->start.hyps), OK);
    assert_int_equal(map_pack_options(train_rows, TRAIN_ROWS, &o->options, &o->start.options), OK);
    assert_int_equal(trainer_send(t->fd, &o->start), OK);
}

static char *results_of(const order *o)
{
    char *path = path_join(o->start.folder, "results.txt"), *bytes;
    size_t count;
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    free(path);
    return bytes;
}

/* ---- cases ---- */

static void a_candidate_reports_and_leaves_only_its_results(void **state)
{
    (void)state;
    trainer t;
    trainer_message m;
    order *o = new_order("done");
    int epochs = 0, iterations = 0;
    start_trainer(&t, 0);
    send_order(&t, o);
    next(&t, &m);
    assert_int_equal(m.kind, TRAINER_HELLO);
    assert_true(strstr(m.device, "cpu") && m.threads == 1 && !strcmp(m.precision, "fp32") && *m.version);
    for (trainer_message_free(&m);; trainer_message_free(&m)) {
        next(&t, &m);
        if (m.kind == TRAINER_DONE) break;
        if (m.kind == TRAINER_EPOCH) {
            assert_int_equal(m.epoch, epochs++);
            assert_true(metrics_get(&m.metrics, "fitness") >= 0 && metrics_get(&m.metrics, "box_loss") > 0);
            continue;
        }
        assert_int_equal(m.kind, TRAINER_ITERATION);
        assert_true(m.epochs == 4 && m.steps == 12 && m.step >= 1 && m.step <= 12 && m.loss > 0 && m.memory > 0);
        iterations++;
    }
    assert_int_equal(epochs, 4);
    assert_true(iterations >= 1 && m.result_count == 7 && m.results[4] > 0 && m.seconds > 0 && m.memory > 0);
    assert_string_equal(m.folder, o->start.folder);
    trainer_message_free(&m);
    assert_true(has_ended(&t, PATIENCE_MS));
    assert_true(WIFEXITED(t.status) && WEXITSTATUS(t.status) == 0);
    fs_names files;
    assert_int_equal(fs_list(o->start.folder, &files), OK);
    assert_int_equal(files.count, 1);
    assert_string_equal(files.names[0], "results.txt");
    char *log = log_of(&t);
    assert_non_null(strstr(log, "Starting training for 4 epochs"));
    free(log);
    fs_names_free(&files);
    end_trainer(&t);
    free_order(o);
}

static void a_stop_is_answered_with_the_last_metrics(void **state)
{
    (void)state;
    for (int validates = 0; validates < 2; validates++) {
        trainer t;
        trainer_message m;
        order *o = new_order("stopped");
        set(o, "epochs", "100000");
        if (!validates) set(o, "notest", "true");
        start_trainer(&t, 0);
        send_order(&t, o);
        await(&t, validates ? TRAINER_EPOCH : TRAINER_ITERATION, &m);
        trainer_message_free(&m);
        send_kind(&t, TRAINER_STOP);
        await(&t, TRAINER_STOPPED, &m);
        assert_int_equal(m.result_count, validates ? 7 : 0);
        if (validates) assert_true(m.results[4] > 0);
        trainer_message_free(&m);
        assert_true(has_ended(&t, PATIENCE_MS));
        end_trainer(&t);
        free_order(o);
    }
}

/* A scheduler signals every process of a job; the worker answers for its trainer. */
static void signals_are_the_workers_business(void **state)
{
    (void)state;
    static const int numbers[] = {SIGTERM, SIGUSR1, SIGINT};
    trainer t;
    trainer_message m;
    order *o = new_order("signalled");
    set(o, "epochs", "100000");
    start_trainer(&t, 0);
    send_order(&t, o);
    await(&t, TRAINER_EPOCH, &m);
    trainer_message_free(&m);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_return_code(kill(t.pid, numbers[i]), errno);
        await(&t, TRAINER_EPOCH, &m);
        trainer_message_free(&m);
    }
    send_kind(&t, TRAINER_CHECKPOINT);
    await(&t, TRAINER_CHECKPOINTED, &m);
    assert_true(fs_is_file(m.path));
    trainer_message_free(&m);
    end_trainer(&t);
    free_order(o);
}

/* Train until a checkpoint, which is asked for after `iterations` iteration messages (0: with the start), kill the trainer, and
 * let another one go on in another folder. */
static char *resumed_results(const char *folder, int iterations, double results[RESULT_COUNT])
{
    trainer t;
    trainer_message m;
    char first[64];
    snprintf(first, sizeof first, "%s-first", folder);
    order *o = new_order(first);
    start_trainer(&t, 0);
    send_order(&t, o);
    for (int i = 0; i < iterations; i++) {
        await(&t, TRAINER_ITERATION, &m);
        trainer_message_free(&m);
    }
    send_kind(&t, TRAINER_CHECKPOINT);
    await(&t, TRAINER_CHECKPOINTED, &m);
    kill(t.pid, SIGKILL);
    assert_true(m.epoch >= 0 && m.step >= 0 && m.step <= 12);
    assert_true(fs_is_file(m.path));
    assert_true(text_starts_with(m.path, o->start.folder));
    if (!iterations) assert_true(m.epoch == 0 && m.step == 0);
    end_trainer(&t);
    free_order(o);

    o = new_order(folder);
    o->start.resume = m.path;
    m.path = NULL;
    start_trainer(&t, 0);
    send_order(&t, o);
    await(&t, TRAINER_DONE, &m);
    memcpy(results, m.results, sizeof m.results);
    trainer_message_free(&m);
    end_trainer(&t);
    char *lines = results_of(o);
    free_order(o);
    return lines;
}

static void a_resumed_candidate_ends_as_if_nothing_had_happened(void **state)
{
    (void)state;
    trainer t;
    trainer_message m;
    order *o = new_order("whole");
    start_trainer(&t, 0);
    send_order(&t, o);
    await(&t, TRAINER_DONE, &m);
    end_trainer(&t);
    char *whole = results_of(o);
    free_order(o);
    for (int iterations = 0; iterations < 2; iterations++) {
        double results[RESULT_COUNT];
        char *lines = resumed_results(iterations ? "resumed-early" : "resumed-start", iterations, results);
        assert_string_equal(lines, whole);
        assert_memory_equal(results, m.results, sizeof results);
        free(lines);
    }
    trainer_message_free(&m);
    free(whole);
}

static void a_trainer_is_gone_when_its_worker_is(void **state)
{
    (void)state;
    for (int trains = 0; trains < 2; trains++) {
        trainer t;
        trainer_message m;
        order *o = new_order("gone");
        set(o, "epochs", "100000");
        start_trainer(&t, 0);
        if (trains) {
            send_order(&t, o);
            await(&t, TRAINER_ITERATION, &m);
            trainer_message_free(&m);
        }
        close(t.fd);
        t.fd = -1;
        assert_true(has_ended(&t, 2000));
        assert_true(WIFEXITED(t.status) && WEXITSTATUS(t.status) != 0);
        end_trainer(&t);
        free_order(o);
    }
}

static void expect_failure(order *o, rlim_t memory, trainer_reason reason, const char *words)
{
    trainer t;
    trainer_message m;
    start_trainer(&t, memory);
    send_order(&t, o);
    await(&t, TRAINER_FAILED, &m);
    if (m.reason != reason || !strstr(m.detail, words)) {
        print_log(&t);
        fail_msg("failed for '%s' (%s); '%s' with '%s' was expected", trainer_reason_name(m.reason), m.detail,
                 trainer_reason_name(reason), words);
    }
    trainer_message_free(&m);
    assert_true(has_ended(&t, PATIENCE_MS));
    assert_true(WIFEXITED(t.status) && WEXITSTATUS(t.status) == 0);
    char *log = log_of(&t);
    assert_non_null(strstr(log, words)); /* the worker's last lines say it too */
    free(log);
    end_trainer(&t);
    free_order(o);
}

static void replace(char **text, const char *with)
{
    free(*text);
    *text = strdup(with);
}

/* Two ranks; whatever becomes of one of them, none is left behind (end_trainer looks). */
static void a_candidate_trains_on_several_devices(void **state)
{
    (void)state;
    trainer t;
    trainer_message m;
    order *o = new_order("ranks");
    set(o, "sync-bn", "true");
    start_trainer_on(&t, "cpu,cpu", 0);
    send_order(&t, o);
    next(&t, &m);
    assert_int_equal(m.kind, TRAINER_HELLO);
    assert_true(strstr(m.device, "2 x cpu ") == m.device);
    trainer_message_free(&m);
    await(&t, TRAINER_DONE, &m);
    assert_true(m.result_count == 7 && m.results[4] > 0);
    trainer_message_free(&m);
    end_trainer(&t);
    start_trainer_on(&t, "cpu,cpu", 0); /* the worker goes in its midst */
    send_order(&t, o);
    await(&t, TRAINER_ITERATION, &m);
    trainer_message_free(&m);
    close(t.fd);
    t.fd = -1;
    assert_true(has_ended(&t, PATIENCE_MS));
    end_trainer(&t);
    start_trainer_on(&t, "cpu,cpu", 0); /* killed */
    send_order(&t, o);
    await(&t, TRAINER_ITERATION, &m);
    trainer_message_free(&m);
    end_trainer(&t);
    free_order(o);
    o = new_order("odd");
    set(o, "batch-size", "5");
    start_trainer_on(&t, "cpu,cpu", 0);
    send_order(&t, o);
    await(&t, TRAINER_FAILED, &m);
    assert_int_equal(m.reason, REASON_REFUSED);
    assert_string_equal(m.detail, "--batch-size 5: a multiple of the 2 devices was expected");
    trainer_message_free(&m);
    end_trainer(&t);
    free_order(o);
}

static void what_is_refused_is_called_so(void **state)
{
    (void)state;
    order *o = new_order("refused");
    replace(&o->start.model, "nc: 3\ndepth_multiple: 1\nwidth_multiple: 1\nanchors: 3\nbackbone:\n"
                             "  - [-1, 1, Convolution, [8, 3]]\nhead: []\n");
    set(o, "cfg", "odd.yaml");
    expect_failure(o, 0, REASON_REFUSED, "odd.yaml:6: unknown module 'Convolution'");
    o = new_order("refused");
    replace(&o->start.model, "nc: 3\ndepth_multiple: 1\nwidth_multiple: 1\nanchors: 3\nbackbone:\n"
                             "  - [-1, 1, Conv, [8, 3, 1]]\n  - [-1, 1, Conv, [8, 3, 2]]\n"
                             "  - [[0, 1], 1, Concat, [1]]\nhead:\n  - [[2], 1, Detect, [nc, anchors]]\n");
    expect_failure(o, 0, REASON_REFUSED, "line 8");
    o = new_order("refused");
    o->hyps[HYP_lr0] = 11;
    expect_failure(o, 0, REASON_REFUSED, "lr0");
    o = new_order("refused");
    replace(&o->start.model, "");
    expect_failure(o, 0, REASON_REFUSED, "neither a model nor weights");
    o = new_order("refused");
    set(o, "weights", o->start.data_root);
    replace(&o->start.model, "");
    expect_failure(o, 0, REASON_ERROR, data_folder); /* a folder is no file: another machine may have it */
    o = new_order("refused");
    o->start.seed = (int64_t)1 << 40;
    expect_failure(o, 0, REASON_REFUSED, "seed");
}

static void trouble_with_the_data_is_called_so(void **state)
{
    (void)state;
    order *o = new_order("data");
    replace(&o->start.data_root, "/nonexistent");
    expect_failure(o, 0, REASON_DATA, "images/train");
    char *mark = path_join(work_folder, "mark"), script[512]; /* what a data yaml says is not run here */
    snprintf(script, sizeof script, "train: images/train\nval: none\nnc: 1\nnames: [a]\ndownload: touch %s\n", mark);
    o = new_order("data");
    replace(&o->start.data, script);
    expect_failure(o, 0, REASON_DATA, "none");
    assert_false(fs_exists(mark));
    free(mark);
    o = new_order("data");
    replace(&o->start.data, "train: images/train\nval: images/val\nnc: 2\nnames: [disc, square]\n");
    expect_failure(o, 0, REASON_DATA, "class");
    o = new_order("data");
    replace(&o->start.data, "train: images/train\nnc: [\n");
    expect_failure(o, 0, REASON_DATA, "data yaml:");
}

static void a_loss_that_is_not_finite_is_nan(void **state)
{
    (void)state;
    order *o = new_order("nan");
    o->hyps[HYP_lr0] = 10;
    o->hyps[HYP_obj] = 100;
    o->hyps[HYP_momentum] = 0.99;
    set(o, "epochs", "400");
    set(o, "warmup-cap", "0.01");
    set(o, "notest", "true");
    set(o, "batch-size", "64");
    expect_failure(o, 0, REASON_NAN, "not finite");
}

static void too_little_memory_is_called_so(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* its shadow of the address space does not fit a limit */
#endif
    order *o = new_order("memory");
    set(o, "img-size", "4096 4096");
    set(o, "batch-size", "48");
    expect_failure(o, (rlim_t)1 << 30, REASON_MEMORY, "memory");
}

static void a_device_that_cannot_is_called_so(void **state)
{
    (void)state;
    order *o = new_order("device");
    set(o, "precision", "fp16");
    expect_failure(o, 0, REASON_DEVICE, "fp16");
}

static void a_checkpoint_that_is_none_is_an_error(void **state)
{
    (void)state;
    order *o = new_order("resume");
    o->start.resume = path_join(work_folder, "no-checkpoint.pt");
    expect_failure(o, 0, REASON_ERROR, "no-checkpoint.pt");
}

static void a_checkpoint_that_cannot_be_written_is_answered_without_a_path(void **state)
{
    (void)state;
    trainer t;
    trainer_message m;
    order *o = new_order("unwritable");
    char *in_the_way = path_join(o->start.folder, "checkpoint.pt");
    assert_int_equal(fs_make_folders(in_the_way, 0777), OK);
    start_trainer(&t, 0);
    send_order(&t, o);
    send_kind(&t, TRAINER_CHECKPOINT);
    await(&t, TRAINER_CHECKPOINTED, &m);
    assert_string_equal(m.path, "");
    trainer_message_free(&m);
    await(&t, TRAINER_DONE, &m); /* the training is none the worse for it */
    trainer_message_free(&m);
    end_trainer(&t);
    free(in_the_way);
    free_order(o);
}

static void a_worker_that_does_not_begin_with_start_is_refused(void **state)
{
    (void)state;
    trainer t;
    start_trainer(&t, 0);
    send_kind(&t, TRAINER_STOP);
    assert_true(has_ended(&t, PATIENCE_MS));
    assert_true(WIFEXITED(t.status) && WEXITSTATUS(t.status) == 1);
    char *log = log_of(&t);
    assert_non_null(strstr(log, "did not begin with 'start'"));
    free(log);
    end_trainer(&t);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: candidate_test TRAIN DATA_FOLDER MODEL.yaml\n");
        return 2;
    }
    size_t count;
    char folder[] = "/tmp/mendel-candidate-XXXXXX";
    train_program = argv[1];
    data_folder = argv[2];
    work_folder = mkdtemp(folder);
    if (!work_folder || fs_read(argv[3], 0, &model_yaml, &count) != OK) return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_candidate_reports_and_leaves_only_its_results),
        cmocka_unit_test(a_stop_is_answered_with_the_last_metrics),
        cmocka_unit_test(signals_are_the_workers_business),
        cmocka_unit_test(a_resumed_candidate_ends_as_if_nothing_had_happened),
        cmocka_unit_test(a_trainer_is_gone_when_its_worker_is),
        cmocka_unit_test(a_candidate_trains_on_several_devices),
        cmocka_unit_test(what_is_refused_is_called_so),
        cmocka_unit_test(trouble_with_the_data_is_called_so),
        cmocka_unit_test(a_loss_that_is_not_finite_is_nan),
        cmocka_unit_test(too_little_memory_is_called_so),
        cmocka_unit_test(a_device_that_cannot_is_called_so),
        cmocka_unit_test(a_checkpoint_that_is_none_is_an_error),
        cmocka_unit_test(a_checkpoint_that_cannot_be_written_is_answered_without_a_path),
        cmocka_unit_test(a_worker_that_does_not_begin_with_start_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fs_remove(work_folder);
    free(model_yaml);
    return failed;
}
