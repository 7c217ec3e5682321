#include "coordinator/report/reporter.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/fs.h"
#include "common/text.h"
#include "coordinator/report/report.h"

/* Of its time a thread that writes without end would take all: it rests so many times as long as it has worked. */
enum { REST = 8 };

struct reporter {
    const char *folder;
    const run_spec *spec;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t told, written;
    /* under the lock */
    member *inbox;
    size_t inbox_count, inbox_room;
    size_t known, in_files; /* members that it has been told of, and that have been written */
    bool due, finishing, ending, busy;
    char *problem;
    /* the thread's own */
    population population;
    int64_t write_ms, plot_ms; /* not before then */
};

/* ---- writing ---- */

/* Where a part of the hyps evolves, hyp_evolved.yaml has that part; this one can be trained with. */
static status write_whole_hyps(const run_spec *spec, const population *p, const char *folder)
{
    const population_best *best = population_ranked(p);
    if (!best->count || spec_evolves_all(spec)) return OK;
    double whole[HYP_MAX];
    text yaml = {0};
    spec_whole_hyps(spec, p->members[best->index[0]].hyps, whole);
    hyp_write(&yaml, &spec->trained, whole);
    char *path = path_join(folder, spec_best_file(spec));
    status s = path ? text_status(&yaml) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_write(path, yaml.bytes, yaml.length);
    text_free(&yaml);
    free(path);
    return s;
}

status report_run(const run_spec *spec, const population *p, const char *folder, bool plot)
{
    FAULT("coordinator writes its report");
    TRY(report_write(p, folder));
    FAULT("coordinator has written its report");
    TRY(write_whole_hyps(spec, p, folder));
    if (!plot) return OK;
    char *path = path_join(folder, "evolve.png");
    status s = path ? report_plot(p, path) : FAIL(ERR_MEMORY, "out of memory");
    free(path);
    return s;
}

/* ---- the thread; the lock is held but while it writes ---- */

static void keep_problem(reporter *r, status s)
{
    if (s == OK) return;
    free(r->problem);
    r->problem = text_copy(status_message());
}

static void wait_until(reporter *r, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    pthread_cond_timedwait(&r->told, &r->lock, &until);
}

static member *empty_inbox(reporter *r, size_t *count)
{
    member *taken = r->inbox;
    *count = r->inbox_count;
    r->inbox = NULL;
    r->inbox_count = r->inbox_room = 0;
    return taken;
}

static status write_now(reporter *r, const member *fresh, size_t count, bool plot)
{
    for (size_t i = 0; i < count; i++) TRY(population_add(&r->population, &fresh[i]));
    return report_run(r->spec, &r->population, r->folder, plot);
}

/* Once what it was told may be written. */
static void write_once(reporter *r)
{
    size_t count;
    member *fresh = empty_inbox(r, &count);
    int64_t begun = clock_ms();
    bool plot = r->finishing || begun >= r->plot_ms;
    r->due = r->finishing = false;
    r->busy = true;
    pthread_mutex_unlock(&r->lock);
    status s = write_now(r, fresh, count, plot);
    free(fresh);
    int64_t took = clock_ms() - begun;
    pthread_mutex_lock(&r->lock);
    keep_problem(r, s);
    if (s == OK) r->in_files = r->population.count;
    if (!r->inbox_count) r->known = r->population.count; /* without memory fewer than it was told: to be told again */
    r->write_ms = begun + (REST * took > REPORT_EVERY_MS ? REST * took : REPORT_EVERY_MS);
    if (plot) r->plot_ms = begun + (REST * took > PLOT_EVERY_MS ? REST * took : PLOT_EVERY_MS);
    r->busy = false;
    pthread_cond_broadcast(&r->written);
}

static void *work(void *state)
{
    reporter *r = state;
    pthread_mutex_lock(&r->lock);
    while (!r->ending) {
        if (!r->due && !r->finishing) pthread_cond_wait(&r->told, &r->lock);
        else if (!r->finishing && clock_ms() < r->write_ms) wait_until(r, r->write_ms);
        else write_once(r);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the others ---- */

status reporter_create(const char *folder, const run_spec *spec, reporter **out)
{
    reporter *r = *out = calloc(1, sizeof *r);
    pthread_condattr_t monotonic;
    sigset_t all, before;
    if (!r) return FAIL(ERR_MEMORY, "out of memory");
    r->folder = folder;
    r->spec = spec;
    population_start(&r->population, &spec->space, spec->fitness);
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->told, &monotonic);
    pthread_cond_init(&r->written, NULL);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the server's */
    int error = pthread_create(&r->thread, NULL, work, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error) pthread_setname_np(r->thread, "reports");
    if (!error) return OK;
    free(r);
    *out = NULL;
    return FAIL(ERR_IO, "cannot start a thread for the reports: %s", strerror(error));
}

static status take(reporter *r, const population *p)
{
    size_t fresh = p->count > r->known ? p->count - r->known : 0;
    if (fresh) {
        TRY(array_room(&r->inbox, &r->inbox_room, r->inbox_count + fresh));
        memcpy(r->inbox + r->inbox_count, p->members + r->known, fresh * sizeof *r->inbox);
        r->inbox_count += fresh;
        r->known = p->count;
    }
    r->due = true;
    pthread_cond_signal(&r->told);
    return OK;
}

status reporter_tell(reporter *r, const population *p)
{
    pthread_mutex_lock(&r->lock);
    status s = take(r, p);
    pthread_mutex_unlock(&r->lock);
    return s;
}

void reporter_finish(reporter *r)
{
    pthread_mutex_lock(&r->lock);
    r->finishing = true;
    pthread_cond_signal(&r->told);
    while (r->finishing || r->busy) pthread_cond_wait(&r->written, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

size_t reporter_written(reporter *r)
{
    pthread_mutex_lock(&r->lock);
    size_t written = r->in_files;
    pthread_mutex_unlock(&r->lock);
    return written;
}

status reporter_complete(reporter *r, size_t count)
{
    if (reporter_written(r) >= count) return OK;
    reporter_finish(r);
    if (reporter_written(r) >= count) return OK;
    char *problem = reporter_problem(r);
    status s = FAIL(ERR_IO, "evolve.txt and what goes with it are not up to date (%s); the same command writes them",
                    problem ? problem : "out of memory");
    free(problem);
    return s;
}

char *reporter_problem(reporter *r)
{
    pthread_mutex_lock(&r->lock);
    char *words = r->problem;
    r->problem = NULL;
    pthread_mutex_unlock(&r->lock);
    return words;
}

void reporter_destroy(reporter **at)
{
    reporter *r = *at;
    if (!r) return;
    pthread_mutex_lock(&r->lock);
    r->ending = true;
    pthread_cond_signal(&r->told);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->told);
    pthread_cond_destroy(&r->written);
    pthread_mutex_destroy(&r->lock);
    population_free(&r->population);
    free(r->inbox);
    free(r->problem);
    free(r);
    *at = NULL;
}
