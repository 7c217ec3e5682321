/* dispatch.c - how many candidates a real coordinator hands out and takes back in a second, everything committed.
 *
 * Its workers are guests of this program, their results invented: nothing is trained, so that only the coordinator works. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"
#include "tests/bench/bench.h"
#include "tests/bench/cluster/guests.h"

extern char **environ;

typedef struct dispatch_options {
    int_list workers;
    double seconds;
    char *cfg, *strategy;
} dispatch_options;

#define ROWS(ROW)                                                                                                      \
    ROW(dispatch_options, workers, INTS, "workers", "", "1 16 64", 1, 1000, "N", "at once")                            \
    ROW(dispatch_options, seconds, DOUBLE, "seconds", "", "3", 0.1, 1000, "S", "that each figure is measured for")     \
    ROW(dispatch_options, cfg, STRING, "cfg", "", "examples/models/yolov5n.yaml", 0, 0, "YAML", "model")               \
    ROW(dispatch_options, strategy, STRING, "strategy", "", "mendel", 0, 0, "NAME", "of breeding")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

enum { PATIENCE_MS = 10000, SYNCS_LEAST = 20 };

typedef struct dispatch {
    const dispatch_options *o;
    char *folder, *program;
    char *data, *run, *socket, *log; /* below the folder; of the case in hand */
    pid_t coordinator;
    double cpu;    /* of the coordinator of the case, once it has ended */
    int64_t bytes; /* that it has written to the disk */
} dispatch;

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
static status write_data(const dispatch *d)
{
    TRY(write_below(d->folder, "images/train/a.jpg", "a picture"));
    TRY(write_below(d->folder, "images/val/b.jpg", "another"));
    TRY(write_below(d->folder, "labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n"));
    return write_below(d->folder, "data.yaml", "train: images/train\nval: images/val\nnc: 1\nnames: [thing]\n");
}

static status name_files(dispatch *d, int workers)
{
    text endpoint = {0}, run = {0};
    text_add(&endpoint, "ipc://%s/socket%d", d->folder, workers);
    text_add(&run, "%s/run%d", d->folder, workers);
    d->socket = text_take(&endpoint);
    d->run = text_take(&run);
    d->log = path_join(d->folder, "log");
    d->data = path_join(d->folder, "data.yaml");
    return d->socket && d->run && d->log && d->data ? OK : FAIL(ERR_MEMORY, "out of memory");
}

static void forget_files(dispatch *d)
{
    free(d->socket);
    free(d->run);
    free(d->log);
    free(d->data);
    d->socket = d->run = d->log = d->data = NULL;
}

/* ---- the coordinator ---- */

static status spawn(dispatch *d)
{
    posix_spawn_file_actions_t files;
    char *arguments[] = {d->program,
                         (char *)"--run",
                         d->run,
                         (char *)"--bind",
                         d->socket,
                         (char *)"--generations",
                         (char *)"100000000",
                         (char *)"--strategy",
                         d->o->strategy,
                         (char *)"--data",
                         d->data,
                         (char *)"--cfg",
                         d->o->cfg,
                         (char *)"--no-dashboard",
                         NULL};
    int e = posix_spawn_file_actions_init(&files);
    if (!e) {
        e = posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, d->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (!e) e = posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
        if (!e) e = posix_spawn(&d->coordinator, d->program, &files, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&files);
    }
    return e ? FAIL(ERR_IO, "cannot start %s: %s", d->program, strerror(e)) : OK;
}

static status fail_with_log(const dispatch *d)
{
    char *words = NULL;
    size_t count;
    if (fs_read(d->log, 1 << 16, &words, &count) != OK) words = NULL;
    status s = FAIL(ERR_IO, "the coordinator did not start: %s", words ? words : "");
    free(words);
    return s;
}

static status start(dispatch *d)
{
    const char *file = d->socket + strlen("ipc://");
    TRY(spawn(d));
    for (int64_t end = clock_ms() + PATIENCE_MS; !fs_exists(file); clock_sleep_ms(5))
        if (clock_ms() > end || waitpid(d->coordinator, NULL, WNOHANG) == d->coordinator) {
            d->coordinator = 0;
            return fail_with_log(d);
        }
    return OK;
}

/* What the process has had written to the disk so far; 0 where the system does not say. */
static int64_t bytes_written(pid_t pid)
{
    char path[64], line[128];
    long long bytes = 0;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "write_bytes: %lld", &bytes);
    if (f) fclose(f);
    return bytes;
}

static void stop(dispatch *d)
{
    struct rusage used = {0};
    if (d->coordinator <= 0) return;
    d->bytes = bytes_written(d->coordinator);
    kill(d->coordinator, SIGTERM);
    while (wait4(d->coordinator, NULL, 0, &used) < 0 && errno == EINTR) {}
    d->coordinator = 0;
    d->cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
             (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

/* ---- the disk alone ---- */

typedef struct syncs {
    double *seconds;
    size_t count, room;
} syncs;

/* Write `bytes` and sync, again and again over the same few megabytes, as SQLite's log does. */
static status sync_often(int file, size_t bytes, double seconds, syncs *out)
{
    enum { LOG_BYTES = 4 << 20 };
    char *page;
    TRY(array_new(&page, bytes));
    memset(page, 7, bytes);
    status s = OK;
    size_t places = LOG_BYTES / bytes ? LOG_BYTES / bytes : 1;
    for (size_t i = 0; s == OK && i < places; i++) s = fs_write_all(file, page, bytes, "the log");
    if (s == OK && fdatasync(file)) s = FAIL(ERR_IO, "cannot sync: %s", strerror(errno));
    double until = clock_seconds() + seconds;
    for (size_t i = 0; s == OK && (clock_seconds() < until || i < SYNCS_LEAST); i++) {
        double started = clock_seconds();
        ssize_t n = pwrite(file, page, bytes, (off_t)(i % places * bytes));
        if (n != (ssize_t)bytes || fdatasync(file)) s = FAIL(ERR_IO, "cannot sync: %s", strerror(errno));
        if (s == OK) s = array_room(&out->seconds, &out->room, out->count + 1);
        if (s == OK) out->seconds[out->count++] = clock_seconds() - started;
    }
    free(page);
    return s;
}

/* Commits of this size in a second that the disk alone allows. */
static status measure_disk(const dispatch *d, size_t bytes, double *per_s)
{
    syncs all = {0};
    char *path = path_join(d->folder, "disk");
    int file = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    status s = file < 0 ? FAIL(ERR_IO, "cannot write below %s: %s", d->folder, strerror(errno))
                        : sync_often(file, bytes, d->o->seconds / 2, &all);
    double whole = 0;
    for (size_t i = 0; i < all.count; i++) whole += all.seconds[i];
    *per_s = whole > 0 ? (double)all.count / whole : 0;
    if (s == OK) {
        bench_figure((double)bytes / 1024, "KiB a commit", "dispatch.disk.size");
        bench_figure(*per_s, "writes and fdatasyncs/s", "dispatch.disk");
        bench_figure(1e3 * bench_quantile(all.seconds, all.count, 0.5), "ms", "dispatch.disk.p50");
        bench_figure(1e3 * bench_quantile(all.seconds, all.count, 0.99), "ms", "dispatch.disk.p99");
    }
    if (file >= 0) close(file);
    free(path);
    free(all.seconds);
    return s;
}

/* ---- a case ---- */

static void show(const dispatch *d, int workers, guests_times *t)
{
    double done = (double)t->deliver_count;
    bench_figure(done / t->seconds, "candidates/s leased and committed, results invented", "dispatch.%d", workers);
    bench_figure(1e3 * bench_quantile(t->lease, t->lease_count, 0.5), "ms", "dispatch.%d.lease.p50", workers);
    bench_figure(1e3 * bench_quantile(t->lease, t->lease_count, 0.99), "ms", "dispatch.%d.lease.p99", workers);
    bench_figure(1e3 * bench_quantile(t->deliver, t->deliver_count, 0.5), "ms", "dispatch.%d.result.p50", workers);
    bench_figure(1e3 * bench_quantile(t->deliver, t->deliver_count, 0.99), "ms", "dispatch.%d.result.p99", workers);
    bench_figure(done > 0 ? 1e3 * d->cpu / done : 0, "ms of processor time a candidate", "dispatch.%d.cpu", workers);
}

static status work_with(dispatch *d, int workers, guests_times *t)
{
    guests *g = NULL;
    TRY(name_files(d, workers));
    status s = start(d);
    if (s == OK) s = guests_create(d->socket, workers, &g);
    if (s == OK) s = guests_work(g, d->o->seconds, t);
    guests_destroy(&g);
    stop(d);
    return s;
}

/* With one worker a candidate takes two commits, and nothing is grouped. */
static status compare_with_disk(const dispatch *d, const guests_times *t)
{
    double syncs_per_s, commits = 2 * (double)t->deliver_count;
    size_t bytes = commits > 0 ? (size_t)((double)d->bytes / commits) : 0;
    TRY(measure_disk(d, bytes > 512 ? bytes : 512, &syncs_per_s));
    bench_figure(syncs_per_s / 2, "candidates/s", "dispatch.1.ceiling");
    bench_figure((double)t->deliver_count / t->seconds / (syncs_per_s / 2), "of the disk alone",
                 "dispatch.1.of_ceiling");
    return OK;
}

static status run_case(dispatch *d, int workers)
{
    guests_times t = {0};
    status s = work_with(d, workers, &t);
    if (s == OK) show(d, workers, &t);
    if (s == OK && workers == 1) s = compare_with_disk(d, &t);
    guests_times_free(&t);
    forget_files(d);
    return s;
}

static status run(const void *options)
{
    dispatch d = {.o = options};
    TRY(bench_program("coordinator", &d.program));
    status s = bench_folder(&d.folder);
    if (s == OK) s = write_data(&d);
    for (size_t i = 0; s == OK && i < d.o->workers.count; i++) s = run_case(&d, (int)d.o->workers.values[i]);
    if (d.folder && fs_remove(d.folder) != OK && s == OK) s = ERR_IO;
    free(d.folder);
    free(d.program);
    return s;
}

BENCHMARK(6, dispatch, "candidates/s through a real coordinator and its store, workers and results invented",
          dispatch_options, rows, run)
