#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/text.h"

extern char **environ;

static bool as_json;

void bench_set_json(void)
{
    as_json = true;
}

void bench_note(const char *format, ...)
{
    va_list list;
    if (as_json) return;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    fflush(stdout);
}

void bench_figure(double value, const char *unit, const char *name, ...)
{
    char whole[128];
    va_list list;
    va_start(list, name);
    vsnprintf(whole, sizeof whole, name, list);
    va_end(list);
    if (as_json) printf("{\"name\": \"%s\", \"value\": %.9g, \"unit\": \"%s\"}\n", whole, value, unit);
    else printf("%-44s %12.4g %s\n", whole, value, unit);
    fflush(stdout);
}

status bench_program(const char *name, char **out)
{
    char *self = path_real("/proc/self/exe"), *folder = self ? path_folder(self) : NULL;
    *out = folder ? path_join(folder, name) : NULL;
    status s = *out ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && access(*out, X_OK)) s = FAIL(ERR_NOT_FOUND, "there is no program %s", *out);
    if (s != OK) {
        free(*out);
        *out = NULL;
    }
    free(folder);
    free(self);
    return s;
}

status bench_run_program(char *const *arguments)
{
    char *path;
    posix_spawn_file_actions_t files;
    pid_t pid;
    int how;
    TRY(bench_program(arguments[0], &path));
    int e = posix_spawn_file_actions_init(&files);
    if (!e) {
        e = posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (!e) e = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (!e) e = posix_spawn(&pid, path, &files, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&files);
    }
    status s = e ? FAIL(ERR_IO, "cannot start %s: %s", path, strerror(e)) : OK;
    while (s == OK && waitpid(pid, &how, 0) < 0)
        if (errno != EINTR) s = FAIL(ERR_IO, "cannot wait for %s: %s", path, strerror(errno));
    if (s == OK && (!WIFEXITED(how) || WEXITSTATUS(how))) s = FAIL(ERR_IO, "%s did not end well", path);
    free(path);
    return s;
}

status bench_folder(char **out)
{
    const char *place = getenv("TMPDIR");
    *out = path_join(place && *place ? place : "/tmp", "mendel-bench-XXXXXX");
    if (!*out) return FAIL(ERR_MEMORY, "out of memory");
    if (mkdtemp(*out)) return OK;
    status s = FAIL(fs_status_of_errno(errno), "cannot make the folder %s: %s", *out, strerror(errno));
    free(*out);
    *out = NULL;
    return s;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t count, double p)
{
    if (!count) return 0;
    qsort(values, count, sizeof *values, compare);
    size_t at = (size_t)(p * (double)(count - 1) + 0.5);
    return values[at];
}
