/* dispatch.c - how many candidates a real coordinator hands out and takes back in a second, everything committed.
 *
 * Its workers are guests of this program, their results invented: nothing is trained, so that only the coordinator works. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "tests/bench/bench.h"
#include "tests/bench/cluster/guests.h"
#include "tests/bench/cluster/hosted.h"

typedef struct dispatch_options {
    int_list workers;
    int64_t slots;
    double seconds, trial_s;
    bool curve;
    char *cfg, *strategy;
} dispatch_options;

#define ROWS(ROW)                                                                                                      \
    ROW(dispatch_options, workers, INTS, "workers", "", "1 16 64", 1, 5000, "N", "at once")                            \
    ROW(dispatch_options, slots, INT, "slots", "", "1", 1, 256, "K", "candidates that each has at once")               \
    ROW(dispatch_options, trial_s, DOUBLE, "trial", "", "0", 0, 1000, "S",                                             \
        "between a candidate and its result, a tenth more or less")                                                    \
    ROW(dispatch_options, curve, FLAG, "curve", "", "", 0, 0, "", "over TCP, with keys")                               \
    ROW(dispatch_options, seconds, DOUBLE, "seconds", "", "3", 0.1, 1000, "S", "that each figure is measured for")     \
    ROW(dispatch_options, cfg, STRING, "cfg", "", "examples/models/yolov5n.yaml", 0, 0, "YAML", "model")               \
    ROW(dispatch_options, strategy, STRING, "strategy", "", "mendel", 0, 0, "NAME", "of breeding")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

enum { SYNCS_LEAST = 20 };

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
static status measure_disk(const hosted *h, double seconds, size_t bytes, double *per_s, double *p99)
{
    syncs all = {0};
    char *path = path_join(h->folder, "disk");
    int file = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    status s = file < 0 ? FAIL(ERR_IO, "cannot write below %s: %s", h->folder, strerror(errno))
                        : sync_often(file, bytes, seconds, &all);
    double whole = 0;
    for (size_t i = 0; i < all.count; i++) whole += all.seconds[i];
    *per_s = whole > 0 ? (double)all.count / whole : 0;
    if (s == OK) {
        bench_figure((double)bytes / 1024, "KiB a commit", "dispatch.disk.size");
        bench_figure(*per_s, "writes and fdatasyncs/s", "dispatch.disk");
        bench_figure(1e3 * bench_quantile(all.seconds, all.count, 0.5), "ms", "dispatch.disk.p50");
        *p99 = bench_quantile(all.seconds, all.count, 0.99);
        bench_figure(1e3 * *p99, "ms", "dispatch.disk.p99");
    }
    if (file >= 0) close(file);
    free(path);
    free(all.seconds);
    return s;
}

/* ---- a case ---- */

/* What the coordinator has used while the guests worked. */
typedef struct used {
    double cpu, commits;
    int64_t bytes, memory;
} used;

static status look(const hosted *h, used *out)
{
    out->cpu = hosted_cpu(h);
    out->bytes = hosted_written(h);
    out->memory = hosted_memory(h);
    return hosted_metric(h, "mendel_commits_total", &out->commits);
}

static void show(const char *name, const used *u, guests_times *t)
{
    double done = (double)t->deliver_count;
    bench_figure(done / t->seconds, "candidates/s leased and committed, results invented", "%s", name);
    bench_figure(1e3 * bench_quantile(t->lease, t->lease_count, 0.5), "ms", "%s.lease.p50", name);
    bench_figure(1e3 * bench_quantile(t->lease, t->lease_count, 0.99), "ms", "%s.lease.p99", name);
    bench_figure(1e3 * bench_quantile(t->deliver, t->deliver_count, 0.5), "ms", "%s.result.p50", name);
    bench_figure(1e3 * bench_quantile(t->deliver, t->deliver_count, 0.99), "ms", "%s.result.p99", name);
    bench_figure(done, "candidates leased and done", "%s.cycles", name);
    bench_figure(u->commits, "commits, an fdatasync each (WAL, synchronous=FULL)", "%s.fsyncs", name);
    bench_figure(u->commits > 0 ? done / u->commits : 0, "candidates a commit", "%s.grouped", name);
    bench_figure(done > 0 ? 1e3 * u->cpu / done : 0, "ms of processor time a candidate", "%s.cpu", name);
    bench_figure((double)u->memory / (1 << 20), "MiB that the coordinator has in the end", "%s.memory", name);
}

/* The guests' work, and what it took. */
static status work(const dispatch_options *o, const hosted *h, int workers, guests_times *t, used *u)
{
    guests_options with = {h->access ? NULL : h->endpoint, h->access, workers, (int)o->slots, o->trial_s};
    guests *g = NULL;
    used before = {0};
    status s = guests_create(&with, &g);
    if (s == OK) s = look(h, &before);
    if (s == OK) s = guests_work(g, o->seconds, t);
    if (s == OK) s = look(h, u);
    guests_destroy(&g);
    u->cpu -= before.cpu;
    u->commits -= before.commits;
    u->bytes -= before.bytes;
    return s;
}

/* With one worker a candidate takes two commits, and nothing is grouped. */
static status compare_with_disk(const dispatch_options *o, const hosted *h, const used *u, guests_times *t, bool alone)
{
    double syncs_per_s, p99;
    size_t bytes = u->commits > 0 ? (size_t)((double)u->bytes / u->commits) : 0;
    TRY(measure_disk(h, o->seconds / 2, bytes > 512 ? bytes : 512, &syncs_per_s, &p99));
    if (o->trial_s > 0) {
        double limit = 0.010 + 2 * p99, lease = bench_quantile(t->lease, t->lease_count, 0.99);
        bench_figure(1e3 * limit, "ms: 10 and twice the disk's p99", "dispatch.lease.limit");
        bench_figure(lease / limit, "of it, p99 of a lease", "dispatch.lease.of_limit");
    }
    if (!alone) return OK;
    bench_figure(syncs_per_s / 2, "candidates/s", "dispatch.1.ceiling");
    bench_figure((double)t->deliver_count / t->seconds / (syncs_per_s / 2), "of the disk alone",
                 "dispatch.1.of_ceiling");
    return OK;
}

static status run_case(const dispatch_options *o, hosted *h, int workers)
{
    guests_times t = {0};
    used u = {0};
    char name[64], run[64];
    snprintf(name, sizeof name, "dispatch%s.%d", o->curve ? ".curve" : "", workers);
    snprintf(run, sizeof run, "run%d", workers);
    status s = hosted_start(h, run, o->curve);
    if (s == OK) s = work(o, h, workers, &t, &u);
    if (s == OK) show(name, &u, &t);
    hosted_stop(h);
    if (s == OK && (workers == 1 || o->trial_s > 0)) s = compare_with_disk(o, h, &u, &t, workers == 1);
    guests_times_free(&t);
    return s;
}

static status run(const void *options)
{
    const dispatch_options *o = options;
    hosted h;
    status s = hosted_create(o->cfg, o->strategy, &h);
    for (size_t i = 0; s == OK && i < o->workers.count; i++) s = run_case(o, &h, (int)o->workers.values[i]);
    hosted_free(&h);
    return s;
}

BENCHMARK(6, dispatch, "candidates/s through a real coordinator and its store, workers and results invented",
          dispatch_options, rows, run)
