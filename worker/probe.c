#include "worker/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"

extern char **environ;

/* Opening a GPU for the first time after a boot takes its driver many seconds. */
static const int64_t patience_ms = 120000;
enum { ANSWER_MOST = 1 << 16 };

typedef struct answer {
    text out, errors;
    int wait_status;
} answer;

/* ---- the process ---- */

static int spawn_probe(const char *program, char *const *arguments, const int out[2], const int errors[2], pid_t *pid)
{
    posix_spawn_file_actions_t files;
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, out[1], 1);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, errors[1], 2);
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(&files, 3);
    if (!error) error = posix_spawn(pid, program, &files, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* False at the end of the stream. */
static bool read_some(int descriptor, text *into)
{
    char part[4096];
    ssize_t n = read(descriptor, part, sizeof part);
    if (n < 0 && errno == EINTR) return true;
    if (n > 0 && into->length + (size_t)n <= ANSWER_MOST) text_add_bytes(into, part, (size_t)n);
    return n > 0;
}

static status read_answer(int out, int errors, answer *a)
{
    struct pollfd items[] = {{out, POLLIN, 0}, {errors, POLLIN, 0}};
    int64_t ends = clock_ms() + patience_ms;
    while (items[0].fd >= 0 || items[1].fd >= 0) {
        int64_t left = ends - clock_ms();
        if (left <= 0) return FAIL(ERR_TIMEOUT, "the trainer does not say what its device is");
        if (poll(items, 2, (int)left) < 0 && errno != EINTR) return FAIL(ERR_IO, "poll: %s", strerror(errno));
        if (items[0].revents && !read_some(out, &a->out)) items[0].fd = -1;
        if (items[1].revents && !read_some(errors, &a->errors)) items[1].fd = -1;
    }
    TRY(text_status(&a->out));
    return text_status(&a->errors);
}

static void wait_for(pid_t pid, bool unwanted, int *wait_status)
{
    if (unwanted) kill(pid, SIGKILL);
    while (waitpid(pid, wait_status, 0) < 0 && errno == EINTR) continue;
}

static status ask(const char *program, const char *device, int64_t threads, answer *a)
{
    int out[2] = {-1, -1}, errors[2] = {-1, -1};
    char share[32];
    pid_t pid;
    snprintf(share, sizeof share, "%lld", (long long)threads);
    char *arguments[] = {(char *)program, "--probe", "--device", (char *)device, "--threads", share, NULL};
    if (pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC)) {
        if (out[0] >= 0) close(out[0]), close(out[1]);
        return FAIL(ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    int error = spawn_probe(program, arguments, out, errors, &pid);
    close(out[1]);
    close(errors[1]);
    status s = OK;
    if (error == ENOENT) s = FAIL(ERR_NOT_FOUND, "the trainer %s is not there", program);
    else if (error) s = FAIL(ERR_IO, "cannot start the trainer %s: %s", program, strerror(error));
    if (!error) {
        s = read_answer(out[0], errors[0], a);
        wait_for(pid, s != OK, &a->wait_status);
    }
    close(out[0]);
    close(errors[0]);
    return s;
}

/* ---- the answer ---- */

/* The words between `key` and the next one, or the end of the line. NULL if the key is not there. The caller frees. */
static char *value_of(const char *line, const char *key, const char *next)
{
    const char *at = strstr(line, key);
    if (!at) return NULL;
    at += strlen(key);
    const char *end = next ? strstr(at, next) : NULL;
    return text_copy_bytes(at, end ? (size_t)(end - at) : strcspn(at, "\n"));
}

static status read_number(const char *line, const char *key, const char *next, int64_t *into)
{
    long long number;
    char *words = value_of(line, key, next);
    bool fine = words && text_to_long(words, &number) && number >= 0;
    free(words);
    if (!fine) return FAIL(ERR_FORMAT, "the trainer does not say '%s'", key);
    *into = number;
    return OK;
}

static status read_precisions(char *list, fs_names *into)
{
    char *rest = NULL;
    for (char *word = strtok_r(list, ",\n", &rest); word; word = strtok_r(NULL, ",\n", &rest))
        TRY(fs_names_add(into, word));
    return OK;
}

static status read_line(const char *line, probe *p)
{
    p->model = value_of(line, "device=", " precision=");
    p->precision = value_of(line, " precision=", " threads=");
    char *supports = value_of(line, " supports=", " id=");
    p->id = value_of(line, " id=", NULL);
    if (!p->id) p->id = text_copy(""); /* a trainer that does not know */
    status s = p->model && p->precision && supports && p->id
                   ? OK
                   : FAIL(ERR_FORMAT, "the trainer does not say what it can do");
    if (s == OK) s = read_precisions(supports, &p->precisions);
    if (s == OK) s = read_number(line, " threads=", " memory=", &p->threads);
    if (s == OK) s = read_number(line, " memory=", " supports=", &p->memory);
    free(supports);
    return s;
}

/* What the program complained of: its last line, without "error: ". */
static const char *complaint(text *errors)
{
    while (errors->length && errors->bytes[errors->length - 1] == '\n') errors->bytes[--errors->length] = '\0';
    const char *all = text_string(errors), *line = strrchr(all, '\n');
    line = line ? line + 1 : all;
    return text_starts_with(line, "error: ") ? line + strlen("error: ") : line;
}

status probe_run(const char *program, const char *device, int64_t threads, probe *out)
{
    answer a = {0};
    *out = (probe){0};
    status s = ask(program, device, threads, &a);
    bool fine = WIFEXITED(a.wait_status) && WEXITSTATUS(a.wait_status) == 0;
    if (s == OK && !fine && a.errors.length) s = FAIL(ERR_DEVICE, "%s", complaint(&a.errors));
    else if (s == OK && !fine) s = FAIL(ERR_DEVICE, "%s --probe --device %s failed without a word", program, device);
    if (s == OK) s = read_line(text_string(&a.out), out);
    if (s != OK) probe_free(out);
    text_free(&a.out);
    text_free(&a.errors);
    return s;
}

void probe_free(probe *p)
{
    free(p->model);
    free(p->precision);
    free(p->id);
    fs_names_free(&p->precisions);
    *p = (probe){0};
}
