#include "tests/chaos/actor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"

status actor_add(fs_names *list, const char *format, ...)
{
    char *made = NULL;
    va_list values;
    va_start(values, format);
    int length = vasprintf(&made, format, values);
    va_end(values);
    if (length < 0) return FAIL(ERR_MEMORY, "out of memory");
    status s = fs_names_add(list, made);
    free(made);
    return s;
}

status actor_create(const char *name, const char *program, const char *folder, actor *out)
{
    text log = {0};
    *out = (actor){.network = -1, .thaw_ms = NEVER, .name = text_copy(name), .folder = text_copy(folder)};
    text_add(&log, "%s/%s.log", folder, name);
    out->log = text_take(&log);
    if (!out->name || !out->folder || !out->log) return FAIL(ERR_MEMORY, "out of memory");
    return fs_names_add(&out->arguments, program);
}

void actor_free(actor *a)
{
    actor_kill(a);
    free(a->name);
    free(a->log);
    free(a->folder);
    fs_names_free(&a->arguments);
    fs_names_free(&a->variables);
    fs_names_free(&a->plans);
    if (a->clock) munmap(a->clock, sizeof *a->clock);
}

/* ---- starting ---- */

static void complain(const char *what)
{
    fprintf(stderr, "chaos: %s: %s\n", what, strerror(errno));
    _exit(127);
}

static void set_variables(const actor *a, const char *history)
{
    char who[64];
    snprintf(who, sizeof who, "%s.%d", a->name, a->starts);
    setenv("CHAOS_WHO", who, 1);
    setenv("CHAOS_HISTORY", history, 1);
    for (size_t i = 0; i < a->variables.count; i++) putenv(a->variables.names[i]);
    if ((size_t)a->starts > a->plans.count) return;
    char *rest = NULL; /* the child's own copy may be cut up */
    for (char *one = strtok_r(a->plans.names[a->starts - 1], "\n", &rest); one; one = strtok_r(NULL, "\n", &rest))
        putenv(one);
}

/* In the child. It ends with the run that started it. */
static void become(const actor *a, const char *history, char **arguments)
{
    int log = open(a->log, O_WRONLY | O_APPEND | O_CREAT, 0666), nothing = open("/dev/null", O_RDONLY);
    if (log < 0 || nothing < 0 || dup2(nothing, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) complain(a->log);
    if (a->network >= 0 && setns(a->network, CLONE_NEWNET)) complain("entering a network");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    if (chdir(a->folder)) complain(a->folder);
    set_variables(a, history);
    execv(arguments[0], arguments);
    complain(arguments[0]);
}

status actor_start(actor *a, const char *history, int64_t now_ms)
{
    char **arguments;
    TRY(array_new(&arguments, a->arguments.count + 1));
    memcpy(arguments, a->arguments.names, a->arguments.count * sizeof *arguments);
    a->starts++;
    a->start_ms = NEVER;
    a->told = false;
    a->started_ms = now_ms;
    a->pid = fork();
    if (a->pid == 0) become(a, history, arguments);
    free(arguments);
    if (a->pid > 0) return OK;
    a->pid = 0;
    return FAIL(ERR_IO, "cannot start %s: %s", a->name, strerror(errno));
}

/* ---- stopping ---- */

bool actor_freeze(actor *a, int64_t until_ms)
{
    if (!a->pid || a->stopped) return false;
    kill(a->pid, SIGSTOP);
    a->stopped = true;
    a->thaw_ms = until_ms;
    return true;
}

/* A worker's trainers, which are in process groups of their own. */
static void signal_children(const actor *a, int number)
{
    char path[64];
    int child;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)a->pid, (int)a->pid);
    FILE *list = fopen(path, "r");
    while (list && fscanf(list, "%d", &child) == 1) kill(child, number);
    if (list) fclose(list);
}

bool actor_freeze_all(actor *a, int64_t until_ms)
{
    if (!actor_freeze(a, until_ms)) return false;
    signal_children(a, SIGSTOP);
    a->asleep_since_ms = clock_ms();
    return true;
}

/* A machine that was suspended does not know of it by its monotonic clock. */
static void wake(actor *a)
{
    if (a->asleep_since_ms) {
        if (a->clock) a->clock->monotonic_ms -= clock_ms() - a->asleep_since_ms;
        signal_children(a, SIGCONT);
    }
    a->asleep_since_ms = 0;
    a->stopped = false;
    a->thaw_ms = NEVER;
    kill(a->pid, SIGCONT);
}

status actor_add_clock(actor *a)
{
    text path = {0};
    text_add(&path, "%s/%s.clock", a->folder, a->name);
    int file = text_status(&path) == OK ? open(path.bytes, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    void *map = MAP_FAILED;
    if (file >= 0 && !ftruncate(file, sizeof *a->clock))
        map = mmap(NULL, sizeof *a->clock, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    status s = map == MAP_FAILED ? FAIL(ERR_IO, "cannot make a clock for %s", a->name) : OK;
    if (s == OK) a->clock = map;
    if (s == OK) s = actor_add(&a->variables, "CHAOS_CLOCK=%s", path.bytes);
    text_free(&path);
    return s;
}

/* ---- following ---- */

bool actor_follow(actor *a, int64_t now_ms)
{
    int how;
    if (!a->pid) return false;
    if (a->stopped && now_ms >= a->thaw_ms) wake(a);
    if (waitpid(a->pid, &how, WNOHANG | WUNTRACED) != a->pid) return false;
    if (WIFSTOPPED(how)) {
        a->stopped = true;
        return false;
    }
    a->pid = 0;
    a->stopped = false;
    a->asleep_since_ms = 0;
    a->thaw_ms = NEVER;
    a->code = WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
    return true;
}

void actor_signal(actor *a, int number)
{
    if (!a->pid) return;
    kill(a->pid, number);
    a->told = a->told || number == SIGTERM;
}

void actor_kill(actor *a)
{
    if (!a->pid) return;
    kill(a->pid, SIGKILL);
    while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR) continue;
    a->pid = 0;
    a->stopped = false;
}
