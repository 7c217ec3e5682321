#include "worker/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"

extern char **environ;

enum { CHILD_PIPE = 3, READ_ONCE = 1 << 16, READS_A_TURN = 8 };
/* A trainer that has closed its pipe, or sent its last message, has this long to leave. */
static const int64_t leave_ms = 2000;
static const int64_t never = INT64_MAX;
/* How often to look whether the process is still there: while it is expected to leave, and otherwise (what it has
 * started may hold its pipes open). */
static const int64_t look_again_ms = 10, look_ms = 250;

typedef enum end_cause { END_ITSELF, END_STALL, END_STOP, END_LEAVING, END_NONSENSE } end_cause;

struct trial {
    pid_t pid; /* also its process group; 0 once reaped */
    int pipe, output;
    trainer_reader *reader;
    bytes unsent; /* frames for the trainer that its pipe had no room for */
    size_t sent;
    int64_t started_ms, heard_ms, stall_ms;
    int64_t kill_ms;      /* when it is killed; never: not yet planned */
    end_cause why;        /* what the plan, or the kill, is for */
    bool killed, stopped; /* by us; it was asked to stop */
    bool closed, given;   /* the pipe; the last message */
    bool failed;          /* `failure` waits until the whole log is there */
    trainer_message failure;
    int64_t epoch; /* of the last iteration */
    int wait_status;
    int64_t peak_memory;
    char *nonsense; /* what was wrong with its last frame */
    tail log;
};

/* ---- starting ---- */

static void close_descriptor(int *descriptor)
{
    if (*descriptor >= 0) close(*descriptor);
    *descriptor = -1;
}

/* The environment with OMP_NUM_THREADS set: an array to free, whose last new text is *own. */
static status child_environment(int64_t threads, char ***out, char **own)
{
    size_t count = 0, kept = 0;
    text share = {0};
    while (environ[count]) count++;
    char **list = calloc(count + 2, sizeof *list);
    text_add(&share, "OMP_NUM_THREADS=%lld", (long long)threads);
    *own = text_take(&share);
    *out = list;
    if (!list || !*own) return FAIL(ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!text_starts_with(environ[i], "OMP_NUM_THREADS=")) list[kept++] = environ[i];
    list[kept] = *own;
    return OK;
}

/* The signals of the child as a shell would leave them, its own process group, nothing open but 0 to 3. */
static int spawn_prepared(const char *program, char *const *arguments, char *const *environment, int pipe, int output,
                          pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    error = posix_spawnattr_init(&how);
    if (error) {
        posix_spawn_file_actions_destroy(&files);
        return error;
    }
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, output, 1);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, output, 2);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, pipe, CHILD_PIPE);
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(&files, CHILD_PIPE + 1);
    if (!error) error = posix_spawn(pid, program, &files, &how, arguments, environment);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

static status spawn(const trial_spec *spec, int pipe, int output, pid_t *pid)
{
    char threads[32], **environment = NULL, *own = NULL;
    snprintf(threads, sizeof threads, "%lld", (long long)spec->threads);
    char *arguments[] = {(char *)spec->program,
                         "--candidate-fd",
                         "3",
                         "--device",
                         (char *)spec->device,
                         "--threads",
                         threads,
                         spec->command ? "--trainer" : NULL,
                         (char *)spec->command,
                         NULL};
    status s = child_environment(spec->threads, &environment, &own);
    int error = s == OK ? spawn_prepared(spec->program, arguments, environment, pipe, output, pid) : 0;
    if (error) s = FAIL(fs_status_of_errno(error), "cannot start the trainer %s: %s", spec->program, strerror(error));
    free(environment);
    free(own);
    return s;
}

/* Descriptors at 10 and up, so that none is among those which the child gets. */
static status make_pipes(int pair[2], int output[2])
{
    int *const all[] = {&pair[0], &pair[1], &output[0], &output[1]};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || pipe2(output, O_CLOEXEC))
        return FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int high = fcntl(*all[i], F_DUPFD_CLOEXEC, 10);
        if (high < 0) return FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
        close(*all[i]);
        *all[i] = high;
    }
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) || fcntl(output[0], F_SETFL, O_NONBLOCK))
        return FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
    return OK;
}

static void flush(trial *t)
{
    while (t->sent < t->unsent.count) {
        ssize_t n = send(t->pipe, (char *)t->unsent.data + t->sent, t->unsent.count - t->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) break; /* gone: reading says so */
        t->sent += (size_t)n;
    }
    bytes_free(&t->unsent);
    t->sent = 0;
}

/* Queue a message; what does not fit the pipe now goes when it has room. */
static status say(trial *t, const trainer_message *m)
{
    bytes frame;
    TRY(trainer_pack(m, &frame));
    size_t left = t->unsent.count - t->sent;
    char *both = malloc(left + frame.count);
    if (both) {
        if (left) memcpy(both, (char *)t->unsent.data + t->sent, left);
        memcpy(both + left, frame.data, frame.count);
        bytes_free(&t->unsent);
        t->unsent = (bytes){both, left + frame.count};
        t->sent = 0;
    }
    bytes_free(&frame);
    if (!both) return FAIL(ERR_MEMORY, "out of memory");
    flush(t);
    return OK;
}

status trial_start(const trial_spec *spec, const trainer_message *start, int64_t now_ms, trial **out)
{
    int pair[2] = {-1, -1}, output[2] = {-1, -1};
    *out = NULL;
    trial *t = calloc(1, sizeof *t);
    if (!t) return FAIL(ERR_MEMORY, "out of memory");
    t->pipe = t->output = -1;
    t->started_ms = t->heard_ms = now_ms;
    t->stall_ms = spec->stall_ms;
    t->kill_ms = never;
    status s = make_pipes(pair, output);
    if (s == OK) s = trainer_reader_create(pair[0], &t->reader);
    t->pipe = pair[0];
    t->output = output[0];
    if (s == OK) s = spawn(spec, pair[1], output[1], &t->pid);
    close_descriptor(&pair[1]);
    close_descriptor(&output[1]);
    if (s == OK) s = say(t, start);
    if (s == OK) *out = t;
    else trial_destroy(&t);
    return s;
}

/* ---- ending ---- */

static void reap(trial *t, int options)
{
    struct rusage usage;
    pid_t pid;
    do pid = wait4(t->pid, &t->wait_status, options, &usage);
    while (pid < 0 && errno == EINTR);
    if (pid == 0) return;
    if (pid == t->pid) t->peak_memory = (int64_t)usage.ru_maxrss * 1024;
    killpg(t->pid, SIGKILL); /* what it may have started itself */
    t->pid = 0;
}

static void kill_group(trial *t)
{
    if (!t->pid || t->killed) return;
    if (killpg(t->pid, SIGKILL)) kill(t->pid, SIGKILL); /* before it had its own group */
    t->killed = true;
}

void trial_destroy(trial **t)
{
    if (!*t) return;
    kill_group(*t);
    if ((*t)->pid) reap(*t, 0);
    trainer_reader_destroy(&(*t)->reader);
    close_descriptor(&(*t)->pipe);
    close_descriptor(&(*t)->output);
    bytes_free(&(*t)->unsent);
    trainer_message_free(&(*t)->failure);
    free((*t)->nonsense);
    free(*t);
    *t = NULL;
}

static void plan_end(trial *t, int64_t at_ms, end_cause why)
{
    if (at_ms >= t->kill_ms) return;
    t->kill_ms = at_ms;
    t->why = why;
}

void trial_checkpoint(trial *t)
{
    trainer_message m = {.kind = TRAINER_CHECKPOINT};
    say(t, &m); /* without memory nothing is asked, and no answer comes */
}

void trial_stop(trial *t, int64_t now_ms, int64_t grace_ms)
{
    trainer_message m = {.kind = TRAINER_STOP};
    if (!t->stopped) say(t, &m);
    t->stopped = true;
    plan_end(t, now_ms + grace_ms, END_STOP);
}

void trial_kill(trial *t)
{
    t->stopped = true;
    plan_end(t, INT64_MIN, END_STOP);
    kill_group(t);
}

void trial_forgive(trial *t, int64_t ms)
{
    t->heard_ms += ms;
    if (t->kill_ms != never && t->kill_ms != INT64_MIN) t->kill_ms += ms;
}

/* ---- listening ---- */

int trial_poll(const trial *t, struct pollfd items[TRIAL_POLLS])
{
    int count = 0;
    bool waiting = t->unsent.count > 0;
    if (!t->closed) items[count++] = (struct pollfd){t->pipe, (short)(POLLIN | (waiting ? POLLOUT : 0)), 0};
    if (t->output >= 0) items[count++] = (struct pollfd){t->output, POLLIN, 0};
    return count;
}

int64_t trial_deadline_ms(const trial *t)
{
    bool leaving = t->closed || t->given || t->failed || t->killed;
    int64_t look = clock_ms() + (leaving ? look_again_ms : look_ms);
    int64_t stall = t->heard_ms > never - t->stall_ms ? never : t->heard_ms + t->stall_ms;
    int64_t due = stall < t->kill_ms ? stall : t->kill_ms;
    return leaving || look < due ? look : due;
}

/* Take what was printed; a flood is taken in several turns, and meanwhile the trainer waits. */
static void read_output(trial *t)
{
    char part[READ_ONCE];
    for (int i = 0; t->output >= 0 && i < READS_A_TURN; i++) {
        ssize_t n = read(t->output, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) close_descriptor(&t->output);
        else tail_add(&t->log, part, (size_t)n);
    }
}

static trainer_message failed(trainer_reason reason, text *words)
{
    trainer_message m = {.kind = TRAINER_FAILED, .reason = reason, .detail = text_take(words)};
    return m;
}

/* The last message of a trainer that has left: the failure that it told of, or one for it that told nothing. */
static trainer_message make_up(trial *t)
{
    text words = {0};
    int w = t->wait_status;
    if (t->failed) {
        trainer_message told = t->failure;
        t->failure = (trainer_message){0};
        return told;
    }
    if (t->stopped) return (trainer_message){.kind = TRAINER_STOPPED, .epoch = t->epoch};
    if (t->why == END_STALL) {
        text_add(&words, "the trainer was killed: nothing was heard from it for %lld s", (long long)t->stall_ms / 1000);
        return failed(REASON_STALL, &words);
    }
    if (t->nonsense) {
        text_add(&words, "the trainer was killed: %s", t->nonsense);
        return failed(REASON_ERROR, &words);
    }
    if (t->killed) text_add(&words, "the trainer closed its pipe without a result and went on: it was killed");
    else if (WIFSIGNALED(w) && WTERMSIG(w) == SIGKILL)
        text_add(&words, "the trainer was killed (signal 9): the system may have run out of memory");
    else if (WIFSIGNALED(w))
        text_add(&words, "the trainer ended by signal %d (%s)", WTERMSIG(w), strsignal(WTERMSIG(w)));
    else text_add(&words, "the trainer left without a result, with exit code %d", WEXITSTATUS(w));
    return failed(REASON_CRASH, &words);
}

/* Take notice of a message from the trainer itself. */
static void hear(trial *t, const trainer_message *m, int64_t now_ms)
{
    t->heard_ms = now_ms;
    if (m->kind == TRAINER_ITERATION) t->epoch = m->epoch;
    t->given = m->kind == TRAINER_DONE || m->kind == TRAINER_STOPPED;
    t->failed = m->kind == TRAINER_FAILED;
    if (t->given || t->failed) plan_end(t, now_ms + leave_ms, END_LEAVING);
}

static status next_frame(trial *t, int64_t now_ms, trainer_message *out)
{
    while (!t->closed) {
        status s = trainer_receive(t->reader, out);
        if (s == ERR_TIMEOUT) return s;
        bool ours = s == OK && out->kind >= TRAINER_HELLO && !t->given && !t->failed;
        if (ours) hear(t, out, now_ms);
        if (ours && t->failed) {
            t->failure = *out;
            *out = (trainer_message){0};
            continue;
        }
        if (ours) return OK;
        if (s == OK) { /* nothing for a worker, or something after the last word */
            trainer_message_free(out);
            continue;
        }
        t->closed = true;
        if (s == ERR_END || s == ERR_IO) plan_end(t, now_ms + leave_ms, END_LEAVING);
        else {
            t->nonsense = text_copy(status_message());
            plan_end(t, now_ms, END_NONSENSE);
        }
    }
    return ERR_TIMEOUT;
}

static void follow_process(trial *t, int64_t now_ms)
{
    if (!t->closed && !t->given && !t->failed && now_ms - t->heard_ms >= t->stall_ms) plan_end(t, now_ms, END_STALL);
    if (now_ms >= t->kill_ms) kill_group(t);
    if (t->pid) reap(t, WNOHANG);
}

status trial_next(trial *t, int64_t now_ms, trainer_message *out)
{
    *out = (trainer_message){0};
    bool was_gone = t->pid == 0; /* what it has sent before it left is read first */
    flush(t);
    read_output(t);
    status s = next_frame(t, now_ms, out);
    if (s == OK) return OK;
    follow_process(t, now_ms);
    if (!was_gone || t->given) return ERR_TIMEOUT;
    read_output(t);
    tail_finish(&t->log);
    t->given = true;
    *out = make_up(t);
    return OK;
}

bool trial_over(const trial *t)
{
    return t->given && t->pid == 0;
}

const tail *trial_log(const trial *t)
{
    return &t->log;
}

int64_t trial_peak_memory(const trial *t)
{
    return t->peak_memory;
}
