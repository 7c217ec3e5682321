#include "coordinator/local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/cores.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"

extern char **environ;

/* A worker that keeps dying is started again this often, no sooner than this after its last start. */
enum { STARTS_MOST = 5 };
static const int64_t restart_after_ms = 5000;

typedef struct local_worker {
    pid_t pid; /* 0: not running */
    int starts;
    int64_t started_ms;
    bool finished; /* left with exit status 0 */
} local_worker;

struct local_workers {
    char *program, *folder, *endpoint, *trainer;
    int64_t count, threads;
    local_worker *items;
    bool stopping;
    char why[128];
};

/* `worker`, or `mendel-worker` once installed, beside this program. The caller frees. */
static status find_program(char **out)
{
    static const char *const names[] = {"worker", "mendel-worker"};
    char *self = path_real("/proc/self/exe"), *folder = self ? path_folder(self) : NULL;
    *out = NULL;
    for (size_t i = 0; folder && !*out && i < sizeof names / sizeof *names; i++) {
        char *path = path_join(folder, names[i]);
        if (path && !access(path, X_OK)) *out = path;
        else free(path);
    }
    status s = *out ? OK : FAIL(ERR_NOT_FOUND, "there is no worker program beside %s", self ? self : "this one");
    free(folder);
    free(self);
    return s;
}

static status open_log(const local_workers *w, int64_t index, int *out)
{
    text path = {0};
    text_add(&path, "%s/%lld.log", w->folder, (long long)index);
    status s = text_status(&path);
    if (s == OK) *out = open(text_string(&path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (s == OK && *out < 0)
        s = FAIL(fs_status_of_errno(errno), "cannot write %s: %s", text_string(&path), strerror(errno));
    text_free(&path);
    return s;
}

static status spawn(const local_workers *w, char *const *arguments, int log, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    if (posix_spawn_file_actions_init(&files)) return FAIL(ERR_MEMORY, "out of memory");
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&files);
        return FAIL(ERR_MEMORY, "out of memory");
    }
    sigemptyset(&none);
    int e = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
    if (!e) e = posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
    if (!e) e = posix_spawnattr_setsigmask(&attributes, &none);
    /* A group of its own: Ctrl-C reaches the coordinator alone, which tells its workers in its own time. */
    if (!e) e = posix_spawnattr_setpgroup(&attributes, 0);
    if (!e) e = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    if (!e) e = posix_spawn(pid, w->program, &files, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return e ? FAIL(ERR_IO, "cannot start %s: %s", w->program, strerror(e)) : OK;
}

static status start_one(local_workers *w, int64_t index, int64_t now_ms)
{
    local_worker *item = &w->items[index];
    char threads[32];
    text spool = {0};
    int log = -1;
    snprintf(threads, sizeof threads, "%lld", (long long)w->threads);
    text_add(&spool, "%s/%lld", w->folder, (long long)index);
    char *arguments[] = {w->program,
                         (char *)"--cores", /* on a GPU, if there is one for it */
                         threads,
                         (char *)"--coordinator",
                         w->endpoint,
                         (char *)"--spool",
                         spool.bytes,
                         (char *)"--with-parent",
                         *w->trainer ? (char *)"--trainer" : NULL,
                         w->trainer,
                         NULL};
    status s = text_status(&spool);
    if (s == OK) s = open_log(w, index, &log);
    if (s == OK) s = spawn(w, arguments, log, &item->pid);
    if (s != OK) item->pid = 0;
    item->starts++;
    item->started_ms = now_ms;
    if (log >= 0) close(log);
    text_free(&spool);
    return s;
}

status local_start(const char *run_folder, const char *endpoint, const char *trainer, int64_t count,
                   local_workers **out)
{
    local_workers *w = *out = calloc(1, sizeof *w);
    if (!w) return FAIL(ERR_MEMORY, "out of memory");
    w->count = count;
    w->threads = cores_available() / count > 0 ? cores_available() / count : 1;
    w->folder = path_join(run_folder, "workers");
    w->endpoint = text_copy(endpoint);
    w->trainer = text_copy(trainer);
    status s = w->folder && w->endpoint && w->trainer ? array_new(&w->items, (size_t)count)
                                                      : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = find_program(&w->program);
    if (s == OK) s = fs_make_folders(w->folder, 0777);
    for (int64_t i = 0; s == OK && i < count; i++) s = start_one(w, i, 0);
    if (s != OK) local_destroy(out);
    return s;
}

static void note_end(local_workers *w, int64_t index, int how)
{
    local_worker *item = &w->items[index];
    item->pid = 0;
    item->finished = WIFEXITED(how) && WEXITSTATUS(how) == 0;
    if (item->finished || w->stopping) return;
    snprintf(w->why, sizeof w->why, "local worker %lld ended with %s %d", (long long)index,
             WIFEXITED(how) ? "exit status" : "signal", WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
    log_warning("%s; see %s/%lld.log", w->why, w->folder, (long long)index);
}

static void reap(local_workers *w)
{
    for (int64_t i = 0; i < w->count; i++) {
        int how;
        if (w->items[i].pid && waitpid(w->items[i].pid, &how, WNOHANG) == w->items[i].pid) note_end(w, i, how);
    }
}

bool local_look_after(local_workers *w, int64_t now_ms, const char **why)
{
    bool left = false;
    reap(w);
    for (int64_t i = 0; i < w->count; i++) {
        local_worker *item = &w->items[i];
        bool again = !item->pid && !item->finished && !w->stopping && item->starts < STARTS_MOST;
        if (again && now_ms - item->started_ms >= restart_after_ms && start_one(w, i, now_ms) != OK)
            log_warning("%s", status_message());
        left = left || item->pid || again || item->finished;
    }
    *why = w->why;
    return left;
}

void local_stop(local_workers *w, int signal)
{
    w->stopping = true;
    for (int64_t i = 0; signal && i < w->count; i++)
        if (w->items[i].pid) kill(w->items[i].pid, signal);
}

int64_t local_alive(const local_workers *w)
{
    int64_t alive = 0;
    for (int64_t i = 0; i < w->count; i++) alive += w->items[i].pid != 0;
    return alive;
}

void local_destroy(local_workers **workers)
{
    local_workers *w = *workers;
    if (!w) return;
    for (int64_t i = 0; w->items && i < w->count; i++)
        if (w->items[i].pid) {
            kill(w->items[i].pid, SIGKILL);
            waitpid(w->items[i].pid, NULL, 0);
        }
    free(w->items);
    free(w->program);
    free(w->folder);
    free(w->endpoint);
    free(w->trainer);
    free(w);
    *workers = NULL;
}
