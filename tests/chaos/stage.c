#include "tests/chaos/stage.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/chaos/checker.h"

/* A run that hangs is a fault; this is far beyond what the slowest one takes. */
static const int64_t deadline_ms = 600000;
/* Those who have not heard that the run is over get so long before the coordinator is started once more. */
static const int64_t patience_ms = 2000;
/* Workers leave and freeze for so long after the last plan. */
static const int64_t weather_ms = 3000;
enum { EXTRA_STARTS = 3, TURN_MS = 10, STRANGER_STARTS = 12 };

/* ---- small things ---- */

void stage_fault(stage *s, const char *format, ...)
{
    char line[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    text_add(&s->faults, "%s\n", line);
}

void stage_note(stage *s, const char *what, const char *words)
{
    FILE *history = fopen(s->history, "a");
    if (!history) return;
    setvbuf(history, NULL, _IOLBF, 0);
    fprintf(history, "%lld\tchaos\t%s\t0\t0\t0\t%s\n", (long long)(clock_seconds() * 1e6), what, words);
    fclose(history);
}

int64_t stage_draw(stage *s, int64_t low, int64_t high)
{
    return low + (int64_t)keyed_below(&s->draw, (uint64_t)(high - low + 1));
}

int stage_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t room = sizeof at;
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = probe >= 0 && !bind(probe, (struct sockaddr *)&at, sizeof at) &&
                 !getsockname(probe, (struct sockaddr *)&at, &room);
    if (probe >= 0) close(probe);
    return found ? ntohs(at.sin_port) : 0;
}

int stage_run(const char *const *arguments, const char *output)
{
    int how;
    pid_t pid = fork();
    if (pid == 0) {
        int file = open(output, O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (file < 0 || dup2(file, 1) < 0 || dup2(file, 2) < 0) _exit(127);
        execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &how, 0) != pid) return 127;
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

/* ---- setting ---- */

status stage_create(const theatre *t, const char *folder, uint64_t seed, stage *out)
{
    *out = (stage){.theatre = t,
                   .worker_count = 2,
                   .generations = 12,
                   .training_ms = 150,
                   .lease_ms = LEASE_MS,
                   .weather_ms = 6000};
    keyed_seed(&out->draw, seed, 0, 0);
    out->folder = text_copy(folder);
    out->run = path_join(folder, "run");
    out->history = path_join(folder, "history");
    if (!out->folder || !out->run || !out->history) return FAIL(ERR_MEMORY, "out of memory");
    TRY(fs_make_folders(folder, 0777));
    char *meeting = path_join(folder, "rt");
    status s = meeting ? fs_make_folders(meeting, 0700) : FAIL(ERR_MEMORY, "out of memory");
    free(meeting);
    return s;
}

void stage_free(stage *s)
{
    actor_free(&s->coordinator);
    actor_free(&s->stranger);
    for (size_t i = 0; i < WORKERS_MOST; i++) actor_free(&s->workers[i]);
    free(s->folder);
    free(s->run);
    free(s->history);
    free(s->door);
    if (s->helper > 0) {
        kill(s->helper, SIGKILL);
        waitpid(s->helper, NULL, 0);
    }
    text_free(&s->faults);
}

static status set_home(const stage *s, actor *a)
{
    TRY(actor_add(&a->variables, "HOME=%s", s->folder));
    TRY(actor_add(&a->variables, "XDG_RUNTIME_DIR=%s/rt", s->folder));
    TRY(actor_add(&a->variables, "XDG_CACHE_HOME=%s/%s.cache", s->folder, a->name));
    return actor_add(&a->variables, "CHAOS_TRAINING=%lld|%d|%d", (long long)s->training_ms,
                     s->with & WITH_FAILURES ? 15 : 0, s->with & WITH_FAILURES ? 10 : 0);
}

static status set_program(const stage *s, const char *name, const char *program, actor *out)
{
    char *path = path_join(s->theatre->programs, program);
    status result = path ? actor_create(name, path, s->folder, out) : FAIL(ERR_MEMORY, "out of memory");
    free(path);
    return result == OK ? set_home(s, out) : result;
}

static status add_words(fs_names *list, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) TRY(fs_names_add(list, words[i]));
    return OK;
}

static status set_coordinator(stage *s)
{
    static const char *const words[] = {"--img-size=64",  "--batch-size=8",   "--epochs=2",
                                        "--threads=1",    "--precision=fp32", "--noautoanchor",
                                        "--no-dashboard", "--max-lost=1000",  "--max-failures=100000"};
    actor *a = &s->coordinator;
    TRY(set_program(s, "coordinator", "coordinator", a));
    TRY(add_words(&a->arguments, words, sizeof words / sizeof *words));
    TRY(actor_add(&a->arguments, "--run=%s", s->run));
    TRY(actor_add(&a->arguments, "--data=%s/data/shapes.yaml", s->theatre->scene));
    TRY(actor_add(&a->arguments, "--cfg=%s/tiny.yaml", s->theatre->scene));
    if (s->with & WITH_FILES) TRY(actor_add(&a->arguments, "--weights=%s/weights.pt", s->theatre->scene));
    else TRY(actor_add(&a->arguments, "--weights="));
    if (s->with & WITH_FILES) TRY(actor_add(&a->arguments, "--keep=all"));
    TRY(actor_add(&a->arguments, "--generations=%lld", (long long)s->generations));
    TRY(actor_add(&a->arguments, "--heartbeat=%g", (double)s->lease_ms / 1e3 / HEARTBEATS_A_LEASE));
    return actor_add(&a->arguments, "--lease=%g", (double)s->lease_ms / 1e3);
}

static status set_worker(stage *s, const char *name, actor *out)
{
    const theatre *t = s->theatre;
    TRY(set_program(s, name, "worker", out));
    TRY(actor_add(&out->arguments, "--cpu=1"));
    TRY(actor_add(&out->arguments, "--grace=2"));
    TRY(actor_add(&out->arguments, "--spool=%s/%s.spool", s->folder, name));
    if (s->real) return actor_add(&out->arguments, "--train=%s/train", t->plain);
    return actor_add(&out->arguments, "--train=%s/tests/chaos/standin", t->programs);
}

/* A worker of the machine next door: over TCP, and every time without the weights. */
static status set_distant_worker(stage *s, actor *a)
{
    int port = stage_free_port();
    TRY(actor_add(&s->coordinator.arguments, "--bind=tcp://127.0.0.1:%d", port));
    TRY(actor_add(&s->coordinator.arguments, "--insecure"));
    TRY(actor_add(&a->arguments, "--coordinator=tcp://127.0.0.1:%d", port));
    TRY(actor_add(&a->arguments, "--insecure"));
    return actor_add(&a->arguments, "--data-root=%s/data", s->theatre->scene);
}

status stage_set(stage *s)
{
    TRY(set_coordinator(s));
    for (size_t i = 0; i < s->worker_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "worker %zu", i);
        TRY(set_worker(s, name, &s->workers[i]));
        if (i == 1 && s->with & WITH_FILES) TRY(set_distant_worker(s, &s->workers[i]));
        else if (s->distant) {
            TRY(actor_add(&s->workers[i].arguments, "--access=%s/access", s->folder));
            TRY(actor_add(&s->workers[i].arguments, "--data-root=%s/data", s->theatre->scene));
        } else if (s->door) TRY(actor_add(&s->workers[i].arguments, "--coordinator=%s", s->door));
        else TRY(actor_add(&s->workers[i].arguments, "--run=%s", s->run));
    }
    s->stranger.start_ms = NEVER;
    if (!(s->with & WITH_STRANGER)) return OK;
    TRY(set_worker(s, "stranger", &s->stranger));
    TRY(actor_add(&s->stranger.arguments, "--run=%s", s->run));
    return actor_add(&s->stranger.arguments, "--data-root=%s/other", s->theatre->scene);
}

/* ---- what ends, and starts again ---- */

static bool is_over(const stage *s)
{
    return s->ended_ms > 0;
}

/* Killed, or told to go before it could listen to signals. */
static bool may_end_so(const actor *a)
{
    return a->code >= 0 || a->code == -SIGKILL || (a->told && a->code == -SIGTERM);
}

/* With an error only when something was done to it; with 3 when trainings fail. */
static void judge_end(stage *s, const actor *a)
{
    enum { BROKEN = 3 };
    bool planned = (size_t)a->starts <= a->plans.count;
    if (!may_end_so(a)) stage_fault(s, "%s died of signal %d", a->name, -a->code);
    else if (a->code > 0 && !planned && !(a->code == BROKEN && s->with & WITH_FAILURES))
        stage_fault(s, "%s, start %d, ended with %d, and nothing had been done to it", a->name, a->starts, a->code);
}

static void restart_coordinator(stage *s)
{
    actor *a = &s->coordinator;
    judge_end(s, a);
    if (a->code == 0) {
        s->ended_ms = s->now_ms;
        return;
    }
    /* Now and then away for longer than a lease. */
    a->start_ms = s->now_ms + (stage_draw(s, 1, 6) == 1 ? LEASE_MS + 500 : stage_draw(s, 0, 300));
}

/* A worker that ends with 0 has heard that the run is over, or was told to go. */
static void restart_worker(stage *s, actor *a)
{
    judge_end(s, a);
    if ((a->code == 0 && !a->told) || s->extra_starts > EXTRA_STARTS) return;
    a->start_ms = s->now_ms + stage_draw(s, 0, 400);
}

static status follow(stage *s, actor *a)
{
    bool files = s->with & WITH_FILES && a == &s->workers[1];
    if (!a->name) return OK;
    if (a->stopped && a->thaw_ms == NEVER) a->thaw_ms = s->now_ms + stage_draw(s, 100, 2 * LEASE_MS);
    if (actor_follow(a, s->now_ms)) {
        if (a == &s->coordinator) restart_coordinator(s);
        else if (a != &s->stranger) restart_worker(s, a);
        else if (a->starts < STRANGER_STARTS) a->start_ms = s->now_ms + 300;
    }
    if (s->now_ms < a->start_ms) return OK;
    if (files) {
        char *cache = path_join(s->folder, "worker 1.cache");
        status removed = cache ? fs_remove(cache) : FAIL(ERR_MEMORY, "out of memory");
        free(cache);
        TRY(removed);
    }
    return actor_start(a, s->history, s->now_ms);
}

/* ---- what happens around them ---- */

actor *stage_worker(stage *s)
{
    return &s->workers[stage_draw(s, 0, (int64_t)s->worker_count - 1)];
}

/* Has everybody had all starts with a plan? */
static bool has_no_plans(const stage *s)
{
    if ((size_t)s->coordinator.starts <= s->coordinator.plans.count) return false;
    for (size_t i = 0; i < s->worker_count; i++)
        if ((size_t)s->workers[i].starts <= s->workers[i].plans.count) return false;
    return true;
}

/* Not for ever: a run is to come to its end. */
static void make_weather(stage *s)
{
    if (!s->calm_ms && has_no_plans(s)) s->calm_ms = s->now_ms + weather_ms;
    if (s->calm_ms && s->now_ms >= s->calm_ms) return;
    if (s->with & WITH_LEAVING && s->now_ms >= s->leave_ms && !is_over(s)) {
        if (s->leave_ms) actor_signal(stage_worker(s), SIGTERM);
        s->leave_ms = s->now_ms + stage_draw(s, 400, 1200);
    }
    if (s->with & WITH_FROST && s->now_ms >= s->frost_ms && !is_over(s)) {
        actor *victim = stage_draw(s, 0, 3) ? stage_worker(s) : &s->coordinator;
        if (s->frost_ms && actor_freeze(victim, s->now_ms + LEASE_MS + stage_draw(s, 200, 900)))
            stage_note(s, "stopped", victim->name);
        s->frost_ms = s->now_ms + stage_draw(s, 800, 1800);
    }
}

/* ---- until all have ended ---- */

/* The best never gets worse: it stands in the first row, with three digits. */
static void look_at_evolve(stage *s)
{
    if (s->now_ms < s->look_ms || s->cut) return;
    s->look_ms = s->now_ms + 50;
    double best = checker_best_of_file(s->run);
    if (best < s->best * (1 - 1e-2)) stage_fault(s, "the best fell from %g to %g", s->best, best);
    if (best > s->best) s->best = best;
}

static bool all_workers_ended(const stage *s)
{
    for (size_t i = 0; i < s->worker_count; i++)
        if (s->workers[i].pid || s->workers[i].start_ms != NEVER) return false;
    return true;
}

/* Workers that were killed when the run was over may have something to deliver, and the coordinator has gone: it is started again. Those
 * that look for it without anything in their hands are told to go, as their user would. */
static bool has_ended(stage *s)
{
    if (!is_over(s) || s->coordinator.pid) return false;
    if (all_workers_ended(s)) return true;
    if (s->now_ms - s->ended_ms < patience_ms) return false;
    s->ended_ms = s->now_ms;
    if (s->extra_starts++ < EXTRA_STARTS) s->coordinator.start_ms = s->now_ms;
    else
        for (size_t i = 0; i < s->worker_count; i++) actor_signal(&s->workers[i], SIGTERM);
    return false;
}

static void take_time(stage *s)
{
    s->now_ms = clock_ms();
    if (!s->deadline_ms) s->deadline_ms = s->now_ms + deadline_ms;
}

status stage_play(stage *s)
{
    for (take_time(s); !has_ended(s) && s->now_ms < s->deadline_ms; take_time(s)) {
        TRY(follow(s, &s->coordinator));
        for (size_t i = 0; i < s->worker_count; i++) TRY(follow(s, &s->workers[i]));
        TRY(follow(s, &s->stranger));
        make_weather(s);
        look_at_evolve(s);
        if (s->tick) s->tick(s, s->state);
        clock_sleep_ms(TURN_MS);
    }
    if (s->now_ms >= s->deadline_ms) stage_fault(s, "the run does not come to its end");
    actor_kill(&s->stranger);
    actor_kill(&s->coordinator);
    for (size_t i = 0; i < s->worker_count; i++) actor_kill(&s->workers[i]);
    TRY(checker_check(s));
    return s->after ? s->after(s) : OK;
}
