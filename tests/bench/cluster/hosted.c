#include "tests/bench/cluster/hosted.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"
#include "tests/bench/bench.h"

extern char **environ;

enum { PATIENCE_MS = 30000 };

/* ---- files ---- */

static status write_below(const char *folder, const char *name, const char *contents)
{
    char *path = path_join(folder, name), *parent = path ? path_folder(path) : NULL;
    status s = parent ? fs_make_folders(parent, 0700) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_write(path, contents, strlen(contents));
    free(parent);
    free(path);
    return s;
}

/* Nobody looks into the pictures. */
static status write_data(const hosted *h)
{
    TRY(write_below(h->folder, "images/train/a.jpg", "a picture"));
    TRY(write_below(h->folder, "images/val/b.jpg", "another"));
    TRY(write_below(h->folder, "labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n"));
    return write_below(h->folder, "data.yaml", "train: images/train\nval: images/val\nnc: 1\nnames: [thing]\n");
}

status hosted_create(const char *cfg, const char *strategy, hosted *out)
{
    *out = (hosted){.cfg = cfg, .strategy = strategy};
    TRY(bench_program("coordinator", &out->program));
    TRY(bench_folder(&out->folder));
    out->log = path_join(out->folder, "log");
    out->data = path_join(out->folder, "data.yaml");
    return out->log && out->data ? write_data(out) : FAIL(ERR_MEMORY, "out of memory");
}

static void forget_run(hosted *h)
{
    free(h->run);
    free(h->endpoint);
    free(h->access);
    h->run = h->endpoint = h->access = NULL;
}

void hosted_free(hosted *h)
{
    hosted_stop(h);
    forget_run(h);
    if (h->folder) fs_remove(h->folder);
    free(h->folder);
    free(h->program);
    free(h->log);
    free(h->data);
    *h = (hosted){0};
}

static status name_run(hosted *h, const char *name, bool keys)
{
    text endpoint = {0};
    forget_run(h);
    h->run = path_join(h->folder, name);
    if (keys) text_add(&endpoint, "tcp://127.0.0.1:*");
    else text_add(&endpoint, "ipc://%s/%s.socket", h->folder, name);
    h->endpoint = text_take(&endpoint);
    if (keys && h->run) h->access = path_join(h->run, "access");
    return h->run && h->endpoint && (h->access || !keys) ? OK : FAIL(ERR_MEMORY, "out of memory");
}

/* ---- starting and ending ---- */

static status spawn(hosted *h)
{
    posix_spawn_file_actions_t files;
    char *arguments[] = {h->program,
                         (char *)"--run",
                         h->run,
                         (char *)"--bind",
                         h->endpoint,
                         (char *)"--generations",
                         (char *)"100000000",
                         (char *)"--strategy",
                         (char *)h->strategy,
                         (char *)"--data",
                         h->data,
                         (char *)"--cfg",
                         (char *)h->cfg,
                         (char *)"--heartbeat",
                         (char *)"20",
                         (char *)"--lease",
                         (char *)"600",
                         NULL};
    int e = posix_spawn_file_actions_init(&files);
    if (!e) {
        e = posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, h->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (!e) e = posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
        if (!e) e = posix_spawn(&h->pid, h->program, &files, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&files);
    }
    return e ? FAIL(ERR_IO, "cannot start %s: %s", h->program, strerror(e)) : OK;
}

/* The caller frees. */
static char *read_log(const hosted *h)
{
    char *words = NULL;
    size_t count;
    return fs_read(h->log, 0, &words, &count) == OK ? words : NULL;
}

static bool listens(const hosted *h)
{
    char *words = read_log(h);
    bool found = words && strstr(words, "workers connect to");
    free(words);
    return found;
}

status hosted_start(hosted *h, const char *name, bool keys)
{
    TRY(name_run(h, name, keys));
    TRY(spawn(h));
    for (int64_t end = clock_ms() + PATIENCE_MS; !listens(h); clock_sleep_ms(2))
        if (clock_ms() > end || waitpid(h->pid, NULL, WNOHANG) == h->pid) {
            char *words = read_log(h);
            h->pid = 0;
            status s = FAIL(ERR_IO, "the coordinator did not start: %s", words ? words : "");
            free(words);
            return s;
        }
    return OK;
}

void hosted_stop(hosted *h)
{
    if (h->pid <= 0) return;
    kill(h->pid, SIGTERM);
    while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR) {}
    h->pid = 0;
}

/* ---- looking at it ---- */

double hosted_cpu(const hosted *h)
{
    clockid_t clock;
    struct timespec used = {0};
    if (clock_getcpuclockid(h->pid, &clock) || clock_gettime(clock, &used)) return 0;
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

static int64_t read_proc(pid_t pid, const char *file, const char *format)
{
    char path[64], line[256];
    long long value = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) sscanf(line, format, &value);
    if (f) fclose(f);
    return value;
}

int64_t hosted_written(const hosted *h)
{
    return read_proc(h->pid, "io", "write_bytes: %lld");
}

int64_t hosted_memory(const hosted *h)
{
    return 1024 * read_proc(h->pid, "status", "VmRSS: %lld kB");
}

/* ---- its metrics ---- */

static status ask(int port, const char *token, text *answer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    text request = {0};
    char piece[4096];
    ssize_t n = -1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    text_add(&request, "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n\r\n", port, token);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s >= 0 && !connect(s, (struct sockaddr *)&at, sizeof at) &&
        send(s, request.bytes, request.length, MSG_NOSIGNAL) == (ssize_t)request.length)
        while ((n = recv(s, piece, sizeof piece, 0)) > 0) text_add_bytes(answer, piece, (size_t)n);
    status result =
        s >= 0 && !n ? text_status(answer) : FAIL(ERR_IO, "no answer from the dashboard: %s", strerror(errno));
    if (s >= 0) close(s);
    text_free(&request);
    return result;
}

static status find_metric(const char *words, const char *name, double *value)
{
    size_t length = strlen(name);
    for (const char *line = words; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, name, length) && sscanf(line + length, " %lf", value) == 1) return OK;
    }
    return FAIL(ERR_NOT_FOUND, "/metrics has no %s", name);
}

status hosted_metric(const hosted *h, const char *name, double *value)
{
    char *path = path_join(h->run, "dashboard.url"), *url = NULL;
    size_t count;
    text answer = {0};
    int port;
    char token[129];
    status s = path ? fs_read(path, 0, &url, &count) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && sscanf(url, "http://127.0.0.1:%d/?token=%128[0-9a-f]", &port, token) != 2)
        s = FAIL(ERR_FORMAT, "%s: no address of a dashboard", path);
    if (s == OK) s = ask(port, token, &answer);
    if (s == OK) s = find_metric(answer.bytes, name, value);
    text_free(&answer);
    free(url);
    free(path);
    return s;
}
