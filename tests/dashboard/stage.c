/* stage: a dashboard of runs that are made up, for looking at and for tests.
 *
 *   stage FOLDER SCENE [TRIALS]     prints the address, then plays until its standard input is closed or it is ended
 *
 * The scenes: empty, one, many (TRIALS of them, growing), still (as many, nothing moves), wide (texts that are long, hostile or no
 * UTF-8), paused, full, broken, finished. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rng.h"
#include "coordinator/dashboard/snapshot.h"

enum { WORKERS = 3, SLOTS_MOST = 4, EPOCHS = 50, STEPS = 120, TURN_MS = 250, GENERATIONS = 500 };

typedef struct scene {
    const char *name;
    dashboard *d;
    hyp_space space;
    double best_hyps[HYP_MAX];
    int64_t trials, failed, best, turn;
    double best_fitness, base_fitness;
    keyed_rng dice;
    int64_t began_ms;
} scene;

static bool is(const scene *s, const char *name)
{
    return !strcmp(s->name, name);
}

static void give_up(const char *why)
{
    fprintf(stderr, "stage: %s\n", why);
    exit(1);
}

/* ---- trials ---- */

static const char *const hosts[WORKERS] = {"gpu-node-01", "gpu-node-02", "workstation"};
static const char *const devices[WORKERS] = {"NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3",
                                             "cpu AMD EPYC 9554, avx512"};
#define HOSTILE "<img src=x onerror=\"document.title='broken in'\"> <script>document.title='broken in'</script> & \"'`"
#define LONG                                                                                                           \
    "aVeryLongNameWithoutAnyPlaceToBreakItThatSomebodyMayStillGiveToAMachineOrToARunForReasonsOfTheirOwn-0123456789"

static char *make_log(const char *last)
{
    text log = {0};
    for (int i = 0; i < 99; i++)
        text_add(&log,
                 "     %d/%d     3.1G   0.0%d    0.08123    0.01204     0.1423        187       640: %d%%  |####      "
                 "| %d/%d\n",
                 i / 12, EPOCHS, 4000 + i, i, i, STEPS);
    text_add(&log, "%s\n", last);
    return text_take(&log);
}

static store_attempt make_attempt(const scene *s, int64_t number, int64_t attempt, int64_t at_ms)
{
    store_attempt a = {.candidate = number, .attempt = attempt, .epoch = 1, .state = ATTEMPT_DONE};
    int worker = (int)(number % WORKERS);
    a.host = (char *)(is(s, "wide") ? LONG : hosts[worker]);
    a.device = (char *)(is(s, "wide") ? HOSTILE : devices[worker]);
    a.precision = (char *)"fp16";
    a.leased_ms = at_ms - 61000;
    a.ended_ms = at_ms;
    a.seconds = 58 + 4 * sin((double)number);
    a.peak_memory = (int64_t)3 << 30;
    return a;
}

static void make_hyps(scene *s, int64_t number, store_candidate *c)
{
    hyp_defaults(&s->space, false, c->made.hyps);
    if (number == 1) memcpy(s->best_hyps, c->made.hyps, sizeof s->best_hyps);
    for (size_t i = 0; i < s->space.count && number > 1; i++) {
        const hyp_row *row = &s->space.rows[i];
        double from = s->best_hyps[i] + (s->best_hyps[i] ? 0 : 0.02 * row->high);
        double factor = keyed_random(&s->dice) < 0.9 ? exp(0.2 * row->gain * keyed_normal(&s->dice)) : 1;
        c->made.hyps[i] = row->gain > 0 ? from * factor : c->made.hyps[i];
    }
    hyp_constrain(&s->space, c->made.hyps);
    for (size_t i = 0; i < s->space.count; i++) c->made.factors[i] = 1;
    c->made.parent_count = number > 1 ? 1 : 0;
    c->made.parent = s->best;
}

static void make_results(scene *s, int64_t number, store_candidate *c)
{
    double climb = 0.42 * (1 - exp(-(double)number / 90)), noise = 0.05 * keyed_normal(&s->dice);
    double map50 = fmax(0.02, 0.31 + climb + (number == 1 ? 0 : noise));
    double results[RESULT_COUNT] = {map50 * 0.9, map50 * 1.05, map50, map50 * 0.62, 0.041, 0.052, 0.012};
    c->result_count = RESULT_COUNT;
    memcpy(c->results, results, sizeof results);
    c->arrival = number - s->failed;
    c->epoch = EPOCHS;
    double f = fitness(results, fitness_weights_default);
    if (number == 1) s->base_fitness = f;
    if (c->state != CANDIDATE_DONE || (s->best && f <= s->best_fitness)) return;
    s->best = number;
    s->best_fitness = f;
    memcpy(s->best_hyps, c->made.hyps, sizeof s->best_hyps);
}

static void fail_trial(scene *s, store_candidate *c, store_attempt *a)
{
    s->failed++;
    c->state = CANDIDATE_FAILED;
    c->crashes = 1;
    c->reason = (char *)(c->number % 2 ? "nan" : "memory");
    c->detail = (char *)(c->number % 2 ? "the loss is not finite in epoch 12, step 87"
                                       : "out of memory: 81.2 GB were asked for");
    if (is(s, "wide")) c->detail = (char *)HOSTILE LONG " \xff\xfe no UTF-8 \xc3( and \x01 controls";
    a->state = ATTEMPT_FAILED;
    a->reason = c->reason;
    a->detail = c->detail;
    a->log = make_log(is(s, "wide") ? HOSTILE LONG LONG LONG : c->detail);
}

/* A trial that has ended, or (`ended` false) one that a worker has. */
static void tell_trial(scene *s, int64_t number, int64_t at_ms, bool ended)
{
    store_candidate c = {.number = number, .state = ended ? CANDIDATE_DONE : CANDIDATE_LEASED, .attempts = 1};
    store_attempt a = make_attempt(s, number, 1, at_ms), again = make_attempt(s, number, 2, at_ms);
    const store_attempt *attempts[] = {&a, &again};
    size_t count = 1;
    c.bred_ms = at_ms - 62000;
    c.ended_ms = ended ? at_ms : 0;
    make_hyps(s, number, &c);
    if (!ended) a.state = ATTEMPT_LEASED;
    else if (number % 37 == 20) fail_trial(s, &c, &a);
    else {
        if (number % 53 == 30) c.state = CANDIDATE_STOPPED, a.state = ATTEMPT_STOPPED;
        if (number % 61 == 40) { /* crashed once */
            a.state = ATTEMPT_FAILED;
            a.reason = (char *)"crash";
            a.detail = (char *)"the trainer was killed by signal 11 (Segmentation fault)";
            a.log = make_log("Segmentation fault");
            c.attempts = 2;
            count = 2;
        }
        make_results(s, number, &c);
    }
    dashboard_tell(s->d, &c, attempts, count);
    free(a.log);
}

static void tell_trials(scene *s, int64_t count)
{
    int64_t now_ms = clock_wall_ms();
    for (int64_t n = 1; n <= count; n++) tell_trial(s, n, now_ms - (count - n) * 21000, true);
    s->trials = count;
}

static void tell_imported(scene *s)
{
    store_candidate c = {.number = -1, .state = CANDIDATE_IMPORTED, .result_count = RESULT_COUNT};
    c.results[2] = 0.3;
    c.results[3] = 0.15;
    hyp_defaults(&s->space, true, c.made.hyps);
    dashboard_tell(s->d, &c, NULL, 0);
}

/* ---- how it stands ---- */

static void fill_slot(const scene *s, int64_t candidate, dashboard_slot *slot)
{
    int64_t at = s->turn * 9 + candidate * 811;
    *slot = (dashboard_slot){.candidate = candidate, .attempt = 1, .epochs = EPOCHS, .steps = STEPS};
    slot->epoch = at / STEPS % EPOCHS;
    slot->step = at % STEPS;
    slot->loss = 0.08 + 0.04 * exp(-(double)slot->epoch / 10);
    slot->images_per_s = candidate % WORKERS == 2 ? 31.4 : 1204 + 30 * sin((double)s->turn / 7 + (double)candidate);
    slot->memory = (int64_t)3 << 30;
}

static size_t fill_workers(const scene *s, dashboard_worker *workers, dashboard_slot slots[WORKERS][SLOTS_MOST])
{
    static const char *const ids[WORKERS] = {"6f4e21413e4fdb1eb0de34449ff2fa8b", "16112627a4a2ab41b88db45023646f4e",
                                             "a91c2627a4a2ab41b88db450236400ff"};
    int64_t candidates = 0;
    size_t count = is(s, "empty") ? 0 : is(s, "one") ? 1 : WORKERS;
    if (is(s, "finished") || is(s, "broken")) count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t slot_count = i == 0 && count > 1 ? SLOTS_MOST : 1;
        memset(slots[i], 0, SLOTS_MOST * sizeof slots[i][0]);
        for (size_t k = 0; k < slot_count; k++) slots[i][k].loss = slots[i][k].images_per_s = NAN;
        for (size_t k = 0; k < slot_count && !(i == 0 && k == 3); k++)
            fill_slot(s, s->trials + ++candidates, &slots[i][k]);
        workers[i] = (dashboard_worker){ids[i], hosts[i], devices[i], i == 2 ? 17.3 : 0.4, slots[i], slot_count};
        if (!is(s, "wide")) continue;
        workers[i].host = i == 1 ? HOSTILE : LONG;
        workers[i].device = i == 2 ? "\xff\xfe no UTF-8 \xe4\xb8\xad\xe6\x96\x87" : LONG;
    }
    return count;
}

static dashboard_phase phase_of(const scene *s)
{
    for (int i = 0; i < DASHBOARD_PHASE_COUNT; i++)
        if (is(s, dashboard_phase_name((dashboard_phase)i))) return (dashboard_phase)i;
    return DASHBOARD_RUNNING;
}

static const char *notice_of(const scene *s)
{
    if (is(s, "paused")) return "paused";
    if (is(s, "full")) return "no space left on the disk: nothing is handed out or acknowledged";
    if (is(s, "broken")) return "3 candidates in a row failed (memory): out of memory: 81.2 GB were asked for";
    return is(s, "wide") ? HOSTILE LONG : NULL;
}

static void publish(scene *s)
{
    dashboard_slot slots[WORKERS][SLOTS_MOST];
    dashboard_worker workers[WORKERS];
    dashboard_state d = {.phase = phase_of(s), .notice = notice_of(s), .workers = workers};
    d.generations = is(s, "finished")         ? s->trials - s->failed
                    : s->trials < GENERATIONS ? GENERATIONS
                                              : s->trials + 1000;
    d.evaluated = s->trials - s->failed;
    d.worker_count = fill_workers(s, workers, slots);
    d.running = d.worker_count == WORKERS ? 5 : (int64_t)d.worker_count;
    d.bred = s->trials + d.running;
    d.failed = s->failed;
    d.imported = 1;
    d.best = s->best;
    d.best_fitness = s->best ? s->best_fitness : NAN;
    d.base_fitness = s->best ? s->base_fitness : NAN;
    d.seconds_left = d.phase == DASHBOARD_RUNNING && s->trials ? (double)(d.generations - d.evaluated) * 21 : NAN;
    dashboard_publish(s->d, &d);
}

/* ---- the play ---- */

static bool is_known(const scene *s)
{
    static const char *const others[] = {"empty", "one", "many", "still", "wide"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (is(s, others[i])) return true;
    return phase_of(s) != DASHBOARD_RUNNING;
}

static void begin(scene *s, int64_t trials)
{
    if (!is(s, "empty")) tell_imported(s);
    tell_trials(s, is(s, "empty") ? 0 : is(s, "one") ? 1 : trials);
    publish(s);
}

/* A trial ends every two seconds where things move. */
static void play(scene *s)
{
    s->turn++;
    if (is(s, "many") && s->turn % 8 == 0) {
        tell_trial(s, ++s->trials, clock_wall_ms(), true);
        tell_trial(s, s->trials + 1, clock_wall_ms(), false);
    }
    publish(s);
}

static bool is_watched(void)
{
    char byte;
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    return poll(&input, 1, TURN_MS) <= 0 || read(STDIN_FILENO, &byte, 1) > 0;
}

int main(int argc, char **argv)
{
    scene s = {.began_ms = clock_ms()};
    if (argc < 3) give_up("stage FOLDER SCENE [TRIALS]");
    s.name = argv[2];
    if (!is_known(&s)) give_up("there is no such scene");
    log_set_level(LEVEL_WARNING);
    hyp_space_default(&s.space);
    keyed_seed(&s.dice, 1, 2, 3);
    dashboard_options o = {.folder = argv[1], .listen = "", .id = "0123456789abcdef", .strategy = "mendel"};
    o.name = is(&s, "wide") ? LONG HOSTILE : "evolve_shapes";
    o.space = &s.space;
    o.fitness = fitness_weights_default;
    if (dashboard_start(&o, &s.d) != OK) give_up(status_message());
    begin(&s, argc > 3 ? atoll(argv[3]) : 300);
    printf("%s\n", dashboard_url(s.d));
    fflush(stdout);
    while (is_watched())
        if (!is(&s, "still")) play(&s);
        else publish(&s);
    dashboard_stop(&s.d);
    return 0;
}
