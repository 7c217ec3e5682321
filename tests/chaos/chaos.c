/* chaos: many short evolutions to which everything happens, each of which has to come to exactly what was asked for.
 *
 *   chaos PROGRAMS PLAIN all|short|KIND...      run the suite, or all runs of some kinds
 *   chaos PROGRAMS PLAIN run KIND SEED [PLAN]   one run again, as it was printed
 *
 * PROGRAMS is the folder of a build with faults, PLAIN of one without. A line for each run, and the folder of those that failed; at
 * the end how often each place of common/fault.h was hit. Closes with "N passed, N failed" and fails when one did. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/log.h"
#include "tests/chaos/kinds.h"
#include "tests/chaos/record.h"
#include "tests/chaos/scene.h"

enum { JOBS_MOST = 16, EXTRA_KILL_RUNS = 80 };

typedef struct job {
    const kind *kind;
    uint64_t seed;
    text plan;
    char *folder;
    pid_t pid; /* 0: free */
    int64_t started_ms;
} job;

typedef struct count {
    int runs, failed;
    long faults; /* that happened */
    int64_t ms;
} count;

typedef struct suite {
    theatre theatre;
    char *folder; /* of everything */
    keyed_rng draw;
    bool is_short;
    job jobs[JOBS_MOST];
    int jobs_most, number;
    tally tally;
    count counts[KINDS];
    int passed, failed;
} suite;

/* ---- one run, in a process of its own ---- */

static status play(const theatre *t, const kind *k, uint64_t seed, const char *plan, const char *folder, text *faults)
{
    stage s;
    status result = stage_create(t, folder, seed, &s);
    if (result == OK) result = k->set(&s, plan);
    if (result == OK) result = stage_play(&s);
    if (result != OK) text_add(faults, "%s\n", status_message());
    text_add(faults, "%s", text_string(&s.faults));
    stage_free(&s);
    return result;
}

static int play_to_file(const theatre *t, const job *j)
{
    text faults = {0};
    play(t, j->kind, j->seed, text_string(&j->plan), j->folder, &faults);
    char *path = path_join(j->folder, "faults");
    bool told = path && text_status(&faults) == OK && fs_write(path, text_string(&faults), faults.length) == OK;
    return told && !faults.length ? 0 : 1;
}

/* ---- what came of it ---- */

static bool is_fault(const event *e)
{
    static const char *const faults[] = {"killed",  "stopped", "suspended", "jumped", "lost",
                                         "doubled", "delayed", "cut",       "moved",  "powerless"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!strcmp(faults[i], e->what)) return true;
    return text_starts_with(e->what, "disk ");
}

typedef struct tallying {
    tally *tally;
    count *count;
} tallying;

static status tally_event(void *state, const event *e)
{
    tallying *t = state;
    bool killed = !strcmp(e->what, "killed"), stopped = !strcmp(e->what, "stopped"),
         cut = !strcmp(e->what, "powerless");
    t->count->faults += is_fault(e);
    if (!strcmp(e->what, "heard again")) {
        TRY(array_room(&t->tally->healed_ms, &t->tally->healed_room, t->tally->healed_count + 1));
        t->tally->healed_ms[t->tally->healed_count++] = atoll(e->words);
    }
    for (size_t i = 0; i < PLACES; i++) {
        if (killed && !strcmp(places[i].name, e->words)) t->tally->kills[i]++;
        else if (cut && !strcmp(places[i].name, e->words)) t->tally->cuts[i]++;
        else if (stopped && !strcmp(places[i].name, e->words)) t->tally->stops[i]++;
        else if (!strcmp(places[i].name, e->what)) t->tally->passes[i]++;
    }
    return OK;
}

static void forget_plan(suite *s, const job *j)
{
    for (size_t i = 0; i < PLACES; i++) {
        text one = {0};
        text_add(&one, "|%s|", places[i].name);
        for (const char *at = text_string(&j->plan); (at = strstr(at, text_string(&one))) != NULL; at++)
            s->tally.planned[i]--;
        text_free(&one);
    }
}

static void print_faults(const job *j)
{
    char *path = path_join(j->folder, "faults"), *said = NULL;
    size_t length;
    if (path && fs_read(path, 0, &said, &length) == OK) fputs(said, stdout);
    free(said);
    free(path);
}

static void take_end(suite *s, job *j, int how)
{
    bool fine = WIFEXITED(how) && WEXITSTATUS(how) == 0;
    count *c = &s->counts[j->kind - kinds];
    int64_t took = clock_ms() - j->started_ms;
    char *history = path_join(j->folder, "history");
    if (history) record_each(history, tally_event, &(tallying){&s->tally, c});
    free(history);
    forget_plan(s, j);
    c->runs++;
    c->failed += !fine;
    c->ms += took;
    if (fine) s->passed++;
    else s->failed++;
    printf("%s %s %llu %s (%.1f s)\n", fine ? "ok      " : "FAILED  ", j->kind->name, (unsigned long long)j->seed,
           text_string(&j->plan), (double)took / 1e3);
    if (!fine) print_faults(j);
    if (!fine) printf("  left in %s\n", j->folder);
    else fs_remove(j->folder);
    fflush(stdout);
    text_free(&j->plan);
    free(j->folder);
    *j = (job){0};
}

/* ---- several at a time ---- */

static void reap_one(suite *s)
{
    int how;
    pid_t pid = waitpid(-1, &how, 0);
    for (int i = 0; i < s->jobs_most; i++)
        if (pid > 0 && s->jobs[i].pid == pid) take_end(s, &s->jobs[i], how);
}

static bool all_free(const suite *s)
{
    for (int i = 0; i < s->jobs_most; i++)
        if (s->jobs[i].pid) return false;
    return true;
}

static job *free_job(suite *s)
{
    for (;;) {
        for (int i = 0; i < s->jobs_most; i++)
            if (!s->jobs[i].pid) return &s->jobs[i];
        reap_one(s);
    }
}

static status start(suite *s, const kind *k, int number)
{
    job *j = free_job(s);
    text folder = {0};
    *j = (job){.kind = k, .seed = keyed_next(&s->draw) >> 32, .started_ms = clock_ms()};
    text_add(&folder, "%s/%d", s->folder, ++s->number);
    j->folder = text_take(&folder);
    if (!j->folder) return FAIL(ERR_MEMORY, "out of memory");
    if (k->plan) TRY(k->plan(&s->tally, &s->draw, number, &j->plan));
    j->pid = fork();
    if (j->pid == 0) _exit(play_to_file(&s->theatre, j));
    return j->pid > 0 ? OK : FAIL(ERR_IO, "cannot fork");
}

static void finish_all(suite *s)
{
    while (!all_free(s)) reap_one(s);
}

/* ---- the suite ---- */

static status run_kind(suite *s, const kind *k)
{
    const char *missing = k->needs ? k->needs() : NULL;
    if (missing) printf("skipped: needs %s (%s)\n", missing, k->name);
    for (int i = 0; !missing && i < (s->is_short ? k->short_runs : k->runs); i++)
        TRY(start(s, k, s->is_short ? (int)keyed_below(&s->draw, (uint64_t)k->runs) : i));
    /* Some kills miss their place: the run was over before it was reached. */
    for (int i = 0; k->set == kills_set && !s->is_short && i < EXTRA_KILL_RUNS; i++) {
        if (kills_are_missing(&s->tally) && free_job(s)) TRY(start(s, k, 0));
    }
    return OK;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_healing(const tally *t)
{
    if (!t->healed_count) return;
    qsort(t->healed_ms, t->healed_count, sizeof *t->healed_ms, by_size);
    printf("\n%zu times coordinator and worker heard of each other after a partition: half of them within %.2f s, all "
           "within "
           "%.2f s\n",
           t->healed_count, (double)t->healed_ms[t->healed_count / 2] / 1e3,
           (double)t->healed_ms[t->healed_count - 1] / 1e3);
}

static void print_tables(suite *s, bool places_too)
{
    const tally *t = &s->tally;
    if (places_too) printf("\n| place | reached | killed | without power | stopped |\n|---|---|---|---|---|\n");
    for (size_t i = 0; places_too && i < PLACES; i++)
        printf("| %s | %ld | %ld | %ld | %ld |\n", places[i].name, t->passes[i], t->kills[i], t->cuts[i], t->stops[i]);
    printf("\n| kind | what happens | runs | failed | faults | seconds each |\n|---|---|---|---|---|---|\n");
    for (int i = 0; i < KINDS; i++) {
        const count *c = &s->counts[i];
        if (c->runs)
            printf("| %s | %s | %d | %d | %ld | %.1f |\n", kinds[i].name, kinds[i].meaning, c->runs, c->failed,
                   c->faults, (double)c->ms / 1e3 / c->runs);
    }
    print_healing(&s->tally);
    putchar('\n');
}

/* Every place was hit often enough, if that was to be. */
static void check_hits(suite *s)
{
    long misses = 0;
    for (size_t i = 0; i < PLACES; i++) {
        if (s->tally.kills[i] >= KILLS_LEAST) continue;
        printf("FAILED   '%s' was hit %ld times\n", places[i].name, s->tally.kills[i]);
        misses++;
    }
    if (misses) s->failed++;
    else s->passed++;
}

static status run_suite(suite *s, int count, char **names)
{
    bool all = !strcmp(names[0], "all");
    s->is_short = !strcmp(names[0], "short");
    for (int i = 0; i < KINDS; i++) {
        bool asked = all || s->is_short;
        for (int n = 0; n < count; n++) asked = asked || !strcmp(names[n], kinds[i].name);
        if (asked) TRY(run_kind(s, &kinds[i]));
    }
    finish_all(s);
    print_tables(s, all);
    if (all) check_hits(s);
    return OK;
}

static status run_again(suite *s, int count, char **words)
{
    const kind *k = count >= 3 ? kind_find(words[1]) : NULL;
    if (!k) return FAIL(ERR_ARGUMENT, "run KIND SEED [PLAN] was expected");
    text faults = {0};
    char *folder = path_join(s->folder, "again");
    status result = folder ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) play(&s->theatre, k, strtoull(words[2], NULL, 10), count > 3 ? words[3] : "", folder, &faults);
    printf("%s%s\n", text_string(&faults), folder);
    if (faults.length) s->failed++;
    else s->passed++;
    text_free(&faults);
    free(folder);
    return result;
}

/* In memory a sync takes no time; what it is worth is the business of layer/disk.c. */
static bool memory_has_room(void)
{
    static const double enough = 1e9;
    struct statvfs about;
    return !statvfs("/dev/shm", &about) && (double)about.f_bavail * (double)about.f_frsize >= enough;
}

static status prepare(suite *s, char **argv)
{
    /* Short names: sockets lie below. */
    char memory[] = "/dev/shm/mXXXXXX", elsewhere[] = "/tmp/mXXXXXX",
         *name = memory_has_room() ? mkdtemp(memory) : NULL;
    if (!name) name = mkdtemp(elsewhere);
    if (!name) return FAIL(ERR_IO, "cannot make a folder in /tmp");
    s->folder = text_copy(name);
    s->theatre.programs = path_real(argv[1]);
    s->theatre.plain = path_real(argv[2]);
    s->theatre.scene = path_join(name, "scene");
    if (!s->folder || !s->theatre.programs || !s->theatre.plain || !s->theatre.scene)
        return FAIL(ERR_ARGUMENT, "%s, %s: the folders of the programs were expected", argv[1], argv[2]);
    uint64_t seed = getenv("CHAOS_SEED") ? strtoull(getenv("CHAOS_SEED"), NULL, 10) : (uint64_t)time(NULL);
    printf("CHAOS_SEED=%llu\n", (unsigned long long)seed);
    keyed_seed(&s->draw, seed, 0, 0);
    /* Most of the time of a run is waiting. */
    int jobs = 4 * (int)cores_available();
    s->jobs_most = jobs < JOBS_MOST ? jobs : JOBS_MOST;
    return scene_make(&s->theatre);
}

int main(int argc, char **argv)
{
    static suite s;
    if (argc < 4) {
        fprintf(stderr, "usage: chaos PROGRAMS PLAIN all|short|KIND...|run KIND SEED [PLAN]\n");
        return 2;
    }
    status result = prepare(&s, argv);
    if (result == OK && !strcmp(argv[3], "run")) result = run_again(&s, argc - 3, argv + 3);
    else if (result == OK) result = run_suite(&s, argc - 3, argv + 3);
    if (result != OK) {
        printf("FAILED   %s\n", status_message());
        s.failed++;
    }
    if (!s.failed && strcmp(argv[3], "run")) fs_remove(s.folder);
    printf("%d passed, %d failed\n", s.passed, s.failed);
    return s.failed ? 1 : 0;
}
