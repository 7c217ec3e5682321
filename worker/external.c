/* external.c - the process of an external trial.
 *
 * One thread looks after three things: the worker's pipe, what the command prints, and the results file, whose lines are epochs. The
 * command and all that it starts are in this process's group, so that whoever has to end them reaches them all: this process by a
 * signal to its own group (it ignores those that it sends), the trial by killing the group, and the end of the pipe by the same. */
#include "worker/external.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/external_inner.h"

/* A turn at least this often, and at most so often a sign of life to the worker. */
static const int64_t turn_ms = 100, tell_every_ms = 500;
/* After SIGTERM the command has this long: when its candidate is to stop (the worker waits for 30 s), and when the machine is wanted
 * back (the worker's --grace). */
static const int64_t stop_grace_ms = 10000, leave_grace_ms = 3000;
/* A command that was ended by a signal which everybody got: the worker says so in this time. */
static const int64_t hear_ms = 3000;
enum { PART = 1 << 16, EXIT_NOT_STARTED = 127, EXIT_BY_SIGNAL = 128 };

typedef enum wish { WISH_NOTHING, WISH_STOP, WISH_LEAVE } wish; /* of the worker */

typedef struct external {
    const external_options *o;
    external_job job;
    int pipe, output; /* the command's; -1: closed */
    trainer_reader *reader;
    char *folder;
    pid_t pid; /* 0: it has ended */
    int how;   /* it ended */
    wish wish;
    int64_t kill_ms; /* when it is killed; INT64_MAX: not planned */
    double started;
    int64_t told_ms, lines;  /* the last sign of life; epochs that were told of */
    bool stirred;            /* it has printed something since */
    struct timespec changed; /* the results file, as it was read last */
    off_t size;
} external;

/* ---- ending ---- */

/* The command, what it has started, and this process. */
static void kill_all(void)
{
    killpg(0, SIGKILL);
    _exit(EXIT_FAILURE); /* not reached */
}

/* A worker that does not read any more is gone. */
static void tell(external *x, const trainer_message *m)
{
    if (trainer_send(x->pipe, m) != OK) kill_all();
    x->told_ms = clock_ms();
    x->stirred = false;
}

static void ask_to_end(external *x, wish why)
{
    int64_t grace_ms = why == WISH_STOP ? stop_grace_ms : leave_grace_ms;
    if (x->wish == WISH_NOTHING && x->pid) killpg(0, SIGTERM);
    if (x->wish != WISH_STOP) x->wish = why;
    if (clock_ms() + grace_ms < x->kill_ms) x->kill_ms = clock_ms() + grace_ms;
}

static void hear_worker(external *x)
{
    trainer_message m;
    for (;;) {
        status s = trainer_receive(x->reader, &m);
        if (s == ERR_TIMEOUT) return;
        if (s != OK) kill_all();
        if (m.kind == TRAINER_STOP) ask_to_end(x, WISH_STOP);
        if (m.kind == TRAINER_CHECKPOINT) ask_to_end(x, WISH_LEAVE);
        trainer_message_free(&m);
    }
}

/* ---- starting ---- */

/* In the child. Nothing but what is allowed between fork and exec. */
static void become(const external *x, char *const *words, char *const *environment, int output, pid_t parent)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1, SIGPIPE};
    static const char words_of_failure[] = "the trainer cannot be started\n";
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_NOT_STARTED);
    int nothing = open("/dev/null", O_RDONLY);
    if (dup2(nothing, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0) {
        closefrom(3);
        execve(x->job.program, words, environment);
    }
    ssize_t ignored = write(2, words_of_failure, sizeof words_of_failure - 1);
    (void)ignored;
    _exit(EXIT_NOT_STARTED);
}

/* As execve wants it: with a NULL at the end. Borrows the names. */
static char **list_of(const fs_names *names)
{
    char **list = calloc(names->count + 1, sizeof *list);
    if (list && names->count) memcpy(list, names->names, names->count * sizeof *list);
    return list;
}

static status start_command(external *x)
{
    int output[2];
    pid_t self = getpid();
    char **words = list_of(&x->job.words), **environment = list_of(&x->job.environment);
    status s = words && environment ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && pipe2(output, O_CLOEXEC)) s = FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
    if (s == OK) {
        x->started = clock_seconds();
        x->pid = fork();
        if (x->pid == 0) become(x, words, environment, output[1], self);
        close(output[1]);
        x->output = output[0];
        fcntl(x->output, F_SETFL, O_NONBLOCK);
        if (x->pid < 0) {
            x->pid = 0;
            s = FAIL(ERR_IO, "cannot start %s: %s", x->job.program, strerror(errno));
        }
    }
    free(words);
    free(environment);
    return s;
}

/* ---- watching ---- */

/* What it prints goes on to the worker, which keeps the last of it. */
static void pass_output(external *x)
{
    char part[PART];
    while (x->output >= 0) {
        ssize_t n = read(x->output, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n > 0) {
            fs_write_all(STDOUT_FILENO, part, (size_t)n, "the worker"); /* one that is gone shows at its pipe */
            x->stirred = true;
            if (n < PART) return;
            continue;
        }
        close(x->output);
        x->output = -1;
    }
}

/* A line of results is an epoch. */
static void tell_epoch(void *state, int64_t line, const double *results)
{
    static const char *const keys[RESULT_COUNT] = {"precision", "recall",   "map50",   "map",
                                                   "box_loss",  "obj_loss", "cls_loss"};
    trainer_message m = {.kind = TRAINER_EPOCH, .epoch = line};
    for (int i = 0; i < RESULT_COUNT; i++) metrics_add(&m.metrics, keys[i], results[i]);
    metrics_add(&m.metrics, "fitness", fitness(results, fitness_weights_default));
    tell(state, &m);
}

static void follow_results(external *x)
{
    struct stat now;
    external_results r;
    if (stat(x->job.results, &now)) return;
    bool same =
        now.st_size == x->size && now.st_mtim.tv_sec == x->changed.tv_sec && now.st_mtim.tv_nsec == x->changed.tv_nsec;
    if (same) return;
    x->size = now.st_size;
    x->changed = now.st_mtim;
    if (external_results_read(x->job.results, false, x->lines, tell_epoch, x, &r) == OK && r.lines > x->lines) {
        x->lines = r.lines;
        x->stirred = true;
    }
    external_results_free(&r);
}

static void tell_progress(external *x, bool now)
{
    trainer_message m = {.kind = TRAINER_ITERATION, .epochs = x->job.epochs, .loss = NAN, .images_per_s = NAN};
    if (!now && (!x->stirred || clock_ms() - x->told_ms < tell_every_ms)) return;
    m.epoch = x->lines < x->job.epochs ? x->lines : x->job.epochs - 1;
    tell(x, &m);
}

static void reap(external *x)
{
    pid_t pid;
    do pid = waitpid(x->pid, &x->how, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid == x->pid) x->pid = 0;
}

static void wait_a_turn(const external *x)
{
    struct pollfd items[] = {{x->pipe, POLLIN, 0}, {x->output, POLLIN, 0}};
    bool leaving = x->output < 0;
    poll(items, leaving ? 1 : 2, (int)(leaving ? turn_ms / 10 : turn_ms));
}

static void watch(external *x)
{
    while (x->pid && clock_ms() < x->kill_ms) {
        wait_a_turn(x);
        reap(x); /* first: what has ended by itself was not stopped */
        if (x->pid) hear_worker(x);
        pass_output(x);
        follow_results(x);
        tell_progress(x, false);
    }
}

/* ---- the last word ---- */

static bool ended_by_signal(const external *x)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (WIFSIGNALED(x->how) && WTERMSIG(x->how) == numbers[i]) return true;
        if (WIFEXITED(x->how) && WEXITSTATUS(x->how) == EXIT_BY_SIGNAL + numbers[i]) return true; /* a shell says so */
    }
    return false;
}

/* A scheduler tells every process of a job to go; the worker then says what that means for the candidate. */
static void wait_for_word(external *x)
{
    int64_t until = clock_ms() + hear_ms;
    while (!x->pid && x->wish == WISH_NOTHING && clock_ms() < until) {
        struct pollfd item = {x->pipe, POLLIN, 0};
        poll(&item, 1, (int)turn_ms);
        hear_worker(x);
    }
}

static int64_t peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_CHILDREN, &usage) ? 0 : (int64_t)usage.ru_maxrss * 1024;
}

static void tell_failure(external *x, trainer_reason reason)
{
    tell(x, &(trainer_message){.kind = TRAINER_FAILED, .reason = reason, .detail = (char *)status_message()});
}

static void tell_crash(external *x)
{
    if (WIFSIGNALED(x->how) && WTERMSIG(x->how) == SIGKILL)
        FAIL(ERR_STOPPED, "the trainer was killed (signal 9): the system may have run out of memory");
    else if (WIFSIGNALED(x->how))
        FAIL(ERR_STOPPED, "the trainer ended by signal %d (%s)", WTERMSIG(x->how), strsignal(WTERMSIG(x->how)));
    else FAIL(ERR_STOPPED, "the trainer ended with exit code %d", WEXITSTATUS(x->how));
    tell_failure(x, REASON_CRASH);
}

/* It went when it was told to, or is killed now; what it has written until then is what there is. */
static void tell_stopped(external *x)
{
    external_results r;
    trainer_message m = {.kind = TRAINER_STOPPED};
    if (external_results_read(x->job.results, true, 0, NULL, NULL, &r) == OK && r.readable) {
        m.result_count = RESULT_COUNT;
        memcpy(m.results, r.last, sizeof m.results);
    }
    m.epoch = r.lines;
    external_results_free(&r);
    tell(x, &m);
}

/* Nothing can be handed on but the candidate. The worker then ends all of this. */
static void tell_left(external *x)
{
    tell(x, &(trainer_message){.kind = TRAINER_CHECKPOINTED, .path = (char *)"", .epoch = x->lines});
    for (;;) {
        struct pollfd item = {x->pipe, POLLIN, 0};
        poll(&item, 1, -1);
        hear_worker(x);
        if (x->wish == WISH_STOP) break;
    }
    tell_stopped(x);
}

static void tell_done(external *x)
{
    external_results r;
    trainer_reason reason = REASON_ERROR;
    status s = external_results_read(x->job.results, true, x->lines, tell_epoch, x, &r);
    if (s == OK) s = external_results_check(&r, x->job.results, &reason);
    trainer_message m = {.kind = TRAINER_DONE, .result_count = RESULT_COUNT, .folder = x->folder};
    m.seconds = clock_seconds() - x->started;
    m.memory = peak_memory();
    memcpy(m.results, r.last, sizeof m.results);
    if (s == OK) tell(x, &m);
    else tell_failure(x, reason);
    external_results_free(&r);
}

static void conclude(external *x)
{
    if (!x->pid && ended_by_signal(x)) wait_for_word(x);
    if (x->wish == WISH_STOP) tell_stopped(x);
    else if (x->wish == WISH_LEAVE) tell_left(x);
    else if (WIFEXITED(x->how) && WEXITSTATUS(x->how) == 0) tell_done(x);
    else tell_crash(x);
}

/* ---- the whole ---- */

/* GPU `index` as its driver shows it: NVIDIA's, or AMD's. */
static bool has_gpu(long index)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/nvidia%ld", index);
    if (fs_exists(path)) return true;
    snprintf(path, sizeof path, "/dev/dri/renderD%ld", 128 + index);
    return fs_exists("/dev/kfd") && fs_exists(path);
}

status external_probe(const external_options *o)
{
    for (const char *at = o->device; strcmp(o->device, "cpu") && *at;) {
        char *end;
        long index = strtol(at, &end, 10);
        if (end == at || index < 0 || !has_gpu(index))
            return FAIL(ERR_DEVICE, "--gpu %s: this machine shows no such GPU", o->device);
        at = *end ? end + 1 : end;
    }
    printf("device=%s, external trainer precision=auto threads=%lld memory=0 supports=auto\n", o->device,
           (long long)o->threads);
    return OK;
}

static void ignore_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1, SIGPIPE};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], SIG_IGN);
}

static void train(external *x, const trainer_message *start)
{
    trainer_reason reason = REASON_ERROR;
    x->folder = start->folder;
    status s = external_job_make(x->o, start, &x->job, &reason);
    if (s == OK) {
        trainer_message hello = {.kind = TRAINER_HELLO, .threads = x->o->threads, .version = (char *)MENDEL_VERSION};
        hello.device = (char *)x->o->device;
        hello.precision = (char *)"external";
        tell(x, &hello);
        tell_progress(x, true);
        reason = REASON_ERROR;
        s = start_command(x);
    }
    if (s == OK) {
        watch(x);
        pass_output(x);
        conclude(x);
    } else tell_failure(x, reason);
    external_job_free(&x->job);
}

status external_run(int descriptor, const external_options *o)
{
    external x = {.o = o, .pipe = descriptor, .output = -1, .kill_ms = INT64_MAX};
    trainer_message start;
    ignore_signals();
    if (getpgrp() != getpid() && setpgid(0, 0)) return FAIL(ERR_IO, "no process group: %s", strerror(errno));
    if (fcntl(descriptor, F_SETFD, FD_CLOEXEC)) return FAIL(ERR_ARGUMENT, "--candidate-fd %d is not open", descriptor);
    TRY(trainer_reader_create(descriptor, &x.reader));
    status s = trainer_receive(x.reader, &start);
    if (s == OK && start.kind != TRAINER_START) s = FAIL(ERR_PROTOCOL, "the worker did not begin with 'start'");
    if (s == OK && fcntl(descriptor, F_SETFL, O_NONBLOCK)) s = FAIL(ERR_IO, "the pipe: %s", strerror(errno));
    if (s == OK) train(&x, &start);
    trainer_message_free(&start);
    trainer_reader_destroy(&x.reader);
    return s;
}
