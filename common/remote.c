#include "common/remote.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"
#include "common/words.h"

extern char **environ;

enum { ADDRESS_MOST = 1000, WORDS_MOST = 300, OUTPUT_READ = 1 << 14, ARGUMENTS_MOST = 16 };
/* rclone says so when a file, or its folder, is not there. */
enum { RCLONE_NO_FOLDER = 3, RCLONE_NO_FILE = 4 };

struct remote_copy {
    pid_t pid; /* 0: it has ended */
    int how;
    int output; /* a file in memory with what it says */
    bool google, timed_out;
    int64_t timeout_ms, ends_ms;
    char words[WORDS_MOST];
};

/* ---- addresses ---- */

static bool is_google(const char *address)
{
    return text_starts_with(address, "gs://");
}

/* NAME:, as rclone names remotes, or a connection string, :TYPE,...: */
static bool is_rclone(const char *address)
{
    size_t length = strcspn(address, ":");
    if (!address[length] || text_starts_with(address + length, "://")) return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)address[i]) && !strchr("_-.+@ ", address[i])) return false;
    return true;
}

status remote_check(const char *address)
{
    bool plain = *address && *address != '-' && strlen(address) <= ADDRESS_MOST;
    for (const char *c = address; plain && *c; c++) plain = (unsigned char)*c >= 0x20 && *c != 0x7f;
    bool google = plain && is_google(address) && isalnum((unsigned char)address[strlen("gs://")]);
    if (!google && !(plain && !is_google(address) && is_rclone(address)))
        return FAIL(ERR_ARGUMENT, "gs://BUCKET or a remote of rclone, NAME:PATH, was expected, found '%s'", address);
    char *program = NULL;
    status s = words_find_program(google ? "gsutil" : "rclone", &program);
    free(program);
    return s;
}

/* The file's own address. The caller frees. */
static char *address_of(const char *address, const char *name)
{
    text whole = {0};
    bool joins = text_ends_with(address, "/") || text_ends_with(address, ":");
    text_add(&whole, "%s%s%s", address, joins ? "" : "/", name);
    return text_take(&whole);
}

/* ---- starting ---- */

static int spawn(remote_copy *c, char *const *arguments)
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
    if (!error) error = posix_spawn_file_actions_adddup2(&files, c->output, 1);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, c->output, 2);
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(&files, 3);
    if (!error) error = posix_spawnp(&c->pid, arguments[0], &files, &how, arguments, environ);
    if (error) c->pid = 0;
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* Each program tries once: whoever calls knows better when to try again. Files are copied whatever their times and sizes say. */
static status start(const char *address, const char *from, const char *to, int64_t timeout_ms, remote_copy **out)
{
    static const char *const google[] = {"gsutil", "-q", "cp", NULL};
    static const char *const rclone[] = {"rclone", "copyto",       "-I",  "-q", "--retries", "1", "--low-level-retries",
                                         "2",      "--contimeout", "15s", NULL};
    char *arguments[ARGUMENTS_MOST];
    size_t count = 0;
    *out = NULL;
    remote_copy *c;
    TRY(array_new(&c, 1));
    c->google = is_google(address);
    c->timeout_ms = timeout_ms;
    c->ends_ms = clock_ms() + timeout_ms;
    for (const char *const *word = c->google ? google : rclone; *word; word++) arguments[count++] = (char *)*word;
    arguments[count++] = (char *)from;
    arguments[count++] = (char *)to;
    arguments[count] = NULL;
    c->output = memfd_create("remote", MFD_CLOEXEC);
    int error = c->output < 0 ? errno : spawn(c, arguments);
    if (!error) *out = c;
    else remote_end(&c);
    return error ? FAIL(ERR_IO, "cannot start %s: %s", arguments[0], strerror(error)) : OK;
}

status remote_get(const char *address, const char *name, const char *to, int64_t timeout_ms, remote_copy **out)
{
    *out = NULL;
    char *from = address_of(address, name);
    if (!from) return FAIL(ERR_MEMORY, "out of memory");
    status s = start(address, from, to, timeout_ms, out);
    free(from);
    return s;
}

status remote_put(const char *address, const char *from, const char *name, int64_t timeout_ms, remote_copy **out)
{
    *out = NULL;
    char *to = address_of(address, name);
    if (!to) return FAIL(ERR_MEMORY, "out of memory");
    status s = start(address, from, to, timeout_ms, out);
    free(to);
    return s;
}

/* ---- following ---- */

/* The last line that it has said. */
static void keep_last_line(remote_copy *c)
{
    char said[OUTPUT_READ + 1];
    off_t end = lseek(c->output, 0, SEEK_END), from = end > OUTPUT_READ ? end - OUTPUT_READ : 0;
    ssize_t n = end > 0 ? pread(c->output, said, OUTPUT_READ, from) : 0;
    said[n > 0 ? n : 0] = '\0';
    while (n > 0 && isspace((unsigned char)said[n - 1])) said[--n] = '\0';
    const char *line = strrchr(said, '\n');
    snprintf(c->words, sizeof c->words, "%s", line ? line + 1 : said);
    text_clean(c->words, false);
}

static bool is_missing(const remote_copy *c)
{
    int code = WIFEXITED(c->how) ? WEXITSTATUS(c->how) : -1;
    if (!c->google) return code == RCLONE_NO_FOLDER || code == RCLONE_NO_FILE;
    return code == 1 && (strstr(c->words, "No URLs matched") || strstr(c->words, "NotFoundException"));
}

static remote_state judge(remote_copy *c)
{
    if (c->timed_out) {
        snprintf(c->words, sizeof c->words, "not finished after %lld s", (long long)c->timeout_ms / 1000);
        return REMOTE_FAILED;
    }
    if (WIFEXITED(c->how) && WEXITSTATUS(c->how) == 0) return REMOTE_DONE;
    keep_last_line(c);
    if (is_missing(c)) return REMOTE_MISSING;
    if (!*c->words)
        snprintf(c->words, sizeof c->words, "%s ended with %s %d", c->google ? "gsutil" : "rclone",
                 WIFEXITED(c->how) ? "exit code" : "signal",
                 WIFEXITED(c->how) ? WEXITSTATUS(c->how) : WTERMSIG(c->how));
    return REMOTE_FAILED;
}

remote_state remote_follow(remote_copy *c)
{
    pid_t pid = c->pid;
    if (c->pid && clock_ms() >= c->ends_ms && !c->timed_out) {
        c->timed_out = true;
        killpg(c->pid, SIGKILL);
    }
    while (c->pid && (pid = waitpid(c->pid, &c->how, WNOHANG)) < 0 && errno == EINTR) continue;
    if (c->pid && pid == c->pid) c->pid = 0;
    return c->pid ? REMOTE_RUNNING : judge(c);
}

const char *remote_words(const remote_copy *c)
{
    return c->words;
}

void remote_end(remote_copy **copy)
{
    remote_copy *c = *copy;
    if (!c) return;
    if (c->pid) {
        killpg(c->pid, SIGKILL);
        while (waitpid(c->pid, &c->how, 0) < 0 && errno == EINTR) continue;
    }
    if (c->output >= 0) close(c->output);
    free(c);
    *copy = NULL;
}
