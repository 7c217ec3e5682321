#include "tests/bench/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"
#include "common/train_options.h"
#include "proto/trainer.h"
#include "tests/bench/bench.h"
#include "worker/data/scan.h"

extern char **environ;

enum { CHILD_PIPE = 3 };

typedef struct trial {
    const trial_order *order;
    pid_t pid;
    int pipe, log; /* this end: of the trainer's messages, of its standard error */
    trainer_reader *reader;
    text line;
    double started;
    bool over; /* its last message is here */
    trial_times *times;
} trial;

/* ---- what it is told ---- */

static status set_option(train_options *o, const char *name, const char *value)
{
    return options_set(options_find(train_rows, TRAIN_ROWS, name), o, value, name);
}

static status set_number(train_options *o, const char *name, int64_t value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    return set_option(o, name, digits);
}

static status fill_options(const trial_order *order, train_options *o)
{
    TRY(set_option(o, "weights", ""));
    TRY(set_option(o, "nosave", "true"));
    TRY(set_option(o, "notest", "true")); /* the last epoch is validated all the same */
    TRY(set_option(o, "cache-images", order->cache ? "true" : "false"));
    TRY(set_option(o, "precision", order->precision));
    TRY(set_number(o, "epochs", order->epochs));
    TRY(set_number(o, "batch-size", order->batch));
    return set_number(o, "img-size", order->image_size);
}

static status pack_options(const trial_order *order, bytes *out)
{
    train_options o;
    option_section section = train_section(&o, NULL);
    status s = options_defaults(&section, 1);
    if (s == OK) s = fill_options(order, &o);
    if (s == OK) s = map_pack_options(train_rows, TRAIN_ROWS, &o, out);
    options_free(&section, 1);
    return s;
}

static status pack_hyps(bytes *out)
{
    hyp_space space;
    double values[HYP_COUNT];
    hyp_space_default(&space);
    hyp_defaults(&space, false, values);
    return map_pack_hyps(&space, values, out);
}

static status send_start(const trial *t, const char *folder)
{
    trainer_message m = {.kind = TRAINER_START, .seed = 1};
    char *model = NULL;
    size_t count;
    status s = fs_read(t->order->cfg, 1 << 20, &model, &count);
    if (s == OK) s = pack_options(t->order, &m.options);
    if (s == OK) s = pack_hyps(&m.hyps);
    m.data = t->order->set->yaml;
    m.data_root = t->order->set->root;
    m.model = model;
    m.folder = (char *)folder;
    if (s == OK) s = trainer_send(t->pipe, &m);
    bytes_free(&m.options);
    bytes_free(&m.hyps);
    free(model);
    return s;
}

/* ---- the process ---- */

static int spawn_with(const char *program, char *const *arguments, char *const *environment, int pipe, int log,
                      pid_t *pid)
{
    posix_spawn_file_actions_t files;
    int e = posix_spawn_file_actions_init(&files);
    if (e) return e;
    e = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, log, 1);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, log, 2);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, pipe, CHILD_PIPE);
    if (!e) e = posix_spawn_file_actions_addclosefrom_np(&files, CHILD_PIPE + 1);
    if (!e) e = posix_spawn(pid, program, &files, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&files);
    return e;
}

/* As a worker does it: the threads on the command line and in OMP_NUM_THREADS. */
static status spawn(trial *t, int pipe, int log)
{
    char threads[32], share[64], *program, **environment;
    size_t count = 0, kept = 0;
    while (environ[count]) count++;
    environment = calloc(count + 3, sizeof *environment);
    if (!environment) return FAIL(ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!text_starts_with(environ[i], "OMP_NUM_THREADS=") && !text_starts_with(environ[i], "MENDEL_LOG="))
            environment[kept++] = environ[i];
    snprintf(threads, sizeof threads, "%lld", (long long)t->order->threads);
    snprintf(share, sizeof share, "OMP_NUM_THREADS=%s", threads);
    environment[kept++] = share;
    environment[kept++] = (char *)"MENDEL_LOG=info";
    status s = bench_program("train", &program);
    char *arguments[] = {program, (char *)"--candidate-fd", (char *)"3", (char *)"--threads", threads, NULL};
    t->started = clock_seconds();
    int e = s == OK ? spawn_with(program, arguments, environment, pipe, log, &t->pid) : 0;
    if (e) s = FAIL(ERR_IO, "cannot start %s: %s", program, strerror(e));
    free(program);
    free(environment);
    return s;
}

/* Descriptors at 10 and up, out of the way of those that the child gets. */
static status lift(int *descriptor)
{
    int high = fcntl(*descriptor, F_DUPFD_CLOEXEC, 10);
    if (high < 0) return FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
    close(*descriptor);
    *descriptor = high;
    return OK;
}

static status start(trial *t)
{
    int messages[2], log[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, messages))
        return FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
    t->pipe = messages[0];
    status s = pipe2(log, O_CLOEXEC) ? FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno)) : OK;
    if (s == OK) {
        t->log = log[0];
        s = lift(&messages[1]);
        if (s == OK) s = lift(&log[1]);
        if (s == OK) s = spawn(t, messages[1], log[1]);
        close(log[1]);
    }
    close(messages[1]);
    if (s == OK && (fcntl(t->pipe, F_SETFL, O_NONBLOCK) || fcntl(t->log, F_SETFL, O_NONBLOCK)))
        s = FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
    return s == OK ? trainer_reader_create(t->pipe, &t->reader) : s;
}

static status reap(trial *t)
{
    struct rusage used;
    int how;
    while (wait4(t->pid, &how, 0, &used) < 0)
        if (errno != EINTR) return FAIL(ERR_IO, "cannot wait for the trainer: %s", strerror(errno));
    t->times->end = clock_seconds() - t->started;
    t->times->user = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec * 1e-6;
    t->times->system = (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec * 1e-6;
    t->times->memory = (double)used.ru_maxrss * 1024e-9;
    if (!t->over && !t->order->only_start) return FAIL(ERR_IO, "the trainer left without a result");
    return OK;
}

static void finish(trial *t)
{
    if (t->pipe >= 0) close(t->pipe);
    if (t->log >= 0) close(t->log);
    trainer_reader_destroy(&t->reader);
    text_free(&t->line);
}

/* ---- what it says ---- */

static status hear(trial *t, const trainer_message *m)
{
    double now = clock_seconds() - t->started;
    static const char *const names[TRAINER_KINDS] = {[TRAINER_HELLO] = "hello",
                                                     [TRAINER_ITERATION] = "iteration",
                                                     [TRAINER_EPOCH] = "epoch",
                                                     [TRAINER_DONE] = "done"};
    if (t->order->lines && names[m->kind])
        printf("    %7.3f  (%s, epoch %lld, batch %lld)\n", now, names[m->kind], (long long)m->epoch,
               (long long)m->step);
    switch (m->kind) {
    case TRAINER_HELLO: t->times->hello = now; break;
    case TRAINER_ITERATION:
        if (!t->times->first) t->times->first = now;
        break;
    case TRAINER_DONE:
        t->times->done = now;
        t->over = true;
        memcpy(t->times->results, m->results, sizeof t->times->results);
        break;
    case TRAINER_FAILED: return FAIL(ERR_IO, "the trainer failed: %s", m->detail ? m->detail : "");
    default: break;
    }
    return OK;
}

/* What is there of its messages; ERR_END after the last one. */
static status read_messages(trial *t)
{
    trainer_message m;
    status s;
    while ((s = trainer_receive(t->reader, &m)) == OK) {
        s = hear(t, &m);
        trainer_message_free(&m);
        TRY(s);
    }
    return s == ERR_TIMEOUT ? OK : s;
}

static void read_log(trial *t)
{
    char part[4096];
    ssize_t n;
    double now = clock_seconds() - t->started;
    while ((n = read(t->log, part, sizeof part)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (part[i] != '\n' && part[i] != '\r') {
                text_add_bytes(&t->line, &part[i], 1);
                continue;
            }
            if (t->order->lines) printf("    %7.3f  %s\n", now, text_string(&t->line));
            text_clear(&t->line);
        }
}

static status follow(trial *t)
{
    status s = OK;
    while (s == OK && !t->over && !(t->order->only_start && t->times->first)) {
        struct pollfd wait[] = {{.fd = t->pipe, .events = POLLIN}, {.fd = t->log, .events = POLLIN}};
        poll(wait, t->order->lines || !(wait[1].revents & POLLHUP) ? 2 : 1, -1);
        read_log(t);
        s = read_messages(t);
    }
    if (s == ERR_END) s = FAIL(ERR_IO, "the trainer left without a result; its last words: %s", text_string(&t->line));
    return s;
}

/* ---- all of it ---- */

static status run_in(const trial_order *order, const char *folder, trial_times *out)
{
    trial t = {.order = order, .pipe = -1, .log = -1, .times = out};
    status s = start(&t);
    if (s == OK) s = send_start(&t, folder);
    if (s == OK) s = follow(&t);
    if (t.pid && (s != OK || order->only_start)) kill(t.pid, SIGKILL);
    if (t.pid) {
        status ended = reap(&t);
        if (s == OK) s = ended;
    }
    finish(&t);
    return s;
}

status trial_run(const trial_order *order, trial_times *out)
{
    char *folder;
    *out = (trial_times){0};
    TRY(bench_folder(&folder));
    status s = run_in(order, folder, out);
    if (fs_remove(folder) != OK && s == OK) s = ERR_IO;
    free(folder);
    return s;
}

status trial_warm_up(const trial_order *order)
{
    trial_order first = *order;
    trial_times times;
    first.only_start = true;
    first.lines = false;
    clock_sleep_ms(SCAN_TRUST_MS + 100);
    return trial_run(&first, &times);
}
