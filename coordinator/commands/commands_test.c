/* commands.c, show.c, export.c, trials.c: commands on a run folder, by what they print and return. */
#include <math.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/clock.h"
#include "coordinator/commands/commands.h"
#include "coordinator/spec/spec.h"
#include "coordinator/store/bench.h"
#include "coordinator/ledger/trials.h"

/* ---- a run of ten candidates and two imported rows ---- */

static status fill_spec(run_spec *spec)
{
    option_section section = train_section(&spec->train, NULL);
    TRY(options_defaults(&section, 1));
    TRY(options_set(options_find(train_rows, TRAIN_ROWS, "cfg"), &spec->train, "yolov5s.yaml", "test"));
    TRY(train_options_complete(&spec->train, NULL));
    hyp_space_default(&spec->space);
    spec->trained = spec->space;
    hyp_defaults(&spec->space, false, spec->base);
    hyp_defaults(&spec->space, false, spec->hyps);
    memcpy(spec->fitness, fitness_weights_default, sizeof spec->fitness);
    spec->strategy = strategy_find("mendel");
    spec->breeding = BREEDING_DEFAULTS;
    spec->seed = 3;
    char **const texts[] = {&spec->data_yaml, &spec->data_root, &spec->model_yaml, &spec->weights_path,
                            &spec->weights_hash};
    for (size_t i = 0; i < 5; i++)
        if (!(*texts[i] = text_copy(i == 1 ? "/data" : ""))) return ERR_MEMORY;
    return OK;
}

static status add_attempt(store *s, int64_t candidate, int64_t number, attempt_state state, double seconds)
{
    store_attempt a = {.candidate = candidate, .attempt = number, .state = state, .seconds = seconds};
    a.host = "node1";
    a.device = "cpu, 2 threads";
    a.precision = "fp32";
    a.threads = 2;
    a.leased_ms = clock_wall_ms() - 5000;
    return store_put_attempt(s, &a);
}

/* Candidate 3 is stopped by rule, 6 fails, 7 is under way, 8 waits; each other one ends with an ever better result. */
static status add_candidate(store *s, const run_spec *spec, population *p, int64_t number, int64_t *arrivals)
{
    store_candidate c = {.number = number, .state = CANDIDATE_DONE, .bred_ms = 1000, .attempts = 1, .epoch = 10};
    double map = 0.25 + (double)number / 100;
    TRY(strategy_breed(spec->strategy, p, spec->base, &spec->breeding, spec->seed, number, &c.made));
    memcpy(c.results, (double[]){0.5, 1.0 / 3, map, map / 2, 0.1, NAN, 0.3}, sizeof c.results);
    c.result_count = RESULT_COUNT;
    if (number == 3) c.state = CANDIDATE_STOPPED;
    if (number == 6) c.state = CANDIDATE_FAILED, c.reason = "crash", c.detail = "it said \"no\",\nthen \001 and \377";
    if (number == 7) c.state = CANDIDATE_LEASED;
    if (number == 8) c.state = CANDIDATE_LOST;
    bool has_result = c.state == CANDIDATE_DONE || c.state == CANDIDATE_STOPPED;
    if (!has_result) c.result_count = 0;
    else c.arrival = ++*arrivals, c.ended_ms = clock_wall_ms() - 61000;
    TRY(store_put_candidate(s, &spec->space, &c));
    if (number == 2) TRY(add_attempt(s, 2, 1, ATTEMPT_LOST, 1));
    if (number == 2) TRY(add_attempt(s, 2, 2, ATTEMPT_DONE, 12.25));
    if (number == 2) TRY(add_attempt(s, 2, 3, ATTEMPT_LATE, 99));
    if (number == 7) TRY(add_attempt(s, 7, 1, ATTEMPT_LEASED, NAN));
    if (c.state != CANDIDATE_DONE) return OK;
    member m = {.candidate = number};
    memcpy(m.results, c.results, sizeof m.results);
    memcpy(m.hyps, c.made.hyps, spec->space.count * sizeof *m.hyps);
    return population_add(p, &m);
}

static status add_imported(store *s, const run_spec *spec, population *p, int64_t number)
{
    store_candidate c = {.number = number, .state = CANDIDATE_IMPORTED, .result_count = RESULT_COUNT};
    memcpy(c.results, (double[]){0.1, 0.1, 0.1, 0.1, 0, 0, 0}, sizeof c.results);
    memcpy(c.made.hyps, spec->base, spec->space.count * sizeof *c.made.hyps);
    TRY(store_put_candidate(s, &spec->space, &c));
    member m = {.candidate = number};
    memcpy(m.results, c.results, sizeof m.results);
    memcpy(m.hyps, c.made.hyps, spec->space.count * sizeof *m.hyps);
    return population_add(p, &m);
}

static status write_run(store *s, const run_spec *spec, population *p, int64_t candidates)
{
    int64_t arrivals = 0;
    TRY(store_set(s, "run_id", "00112233445566778899aabbccddeeff"));
    TRY(store_set(s, "name", "small"));
    TRY(store_set_int(s, "generations", 12));
    TRY(store_set_int(s, "created_ms", clock_wall_ms() - 7200000));
    TRY(spec_save(s, spec));
    for (int64_t n = 1; candidates && n <= 2; n++) TRY(add_imported(s, spec, p, -n));
    for (int64_t n = 1; n <= candidates; n++) TRY(add_candidate(s, spec, p, n, &arrivals));
    return store_commit(s);
}

static void make_run(const bench *b, int64_t candidates)
{
    run_spec spec = {0};
    population p;
    assert_ok(fill_spec(&spec));
    population_start(&p, &spec.space, spec.fitness);
    store *s = open_store(b);
    assert_ok(write_run(s, &spec, &p, candidates));
    store_close(&s);
    population_free(&p);
    spec_free(&spec);
}

/* ---- running a command ---- */

typedef struct outcome {
    int code;
    char *printed; /* on standard output */
} outcome;

/* `words` follow the name, up to NULL. */
static outcome run_command(const bench *b, const char *name, const char *const *words)
{
    char *argv[16] = {(char *)name, "--run", (char *)b->folder};
    int argc = 3;
    for (; words && *words; words++) argv[argc++] = (char *)*words;
    char path[] = "/tmp/commands_test_XXXXXX";
    int file = mkstemp(path), kept = dup(STDOUT_FILENO);
    assert_true(file >= 0 && kept >= 0);
    fflush(stdout);
    dup2(file, STDOUT_FILENO);
    outcome o = {.code = command_run(name, argc, argv)};
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(file);
    size_t count;
    assert_ok(fs_read(path, 0, &o.printed, &count));
    unlink(path);
    return o;
}

static void expect(const bench *b, const char *name, const char *const *words, int code, const char *const *contains)
{
    outcome o = run_command(b, name, words);
    if (o.code != code) fail_msg("%s: exit %d, expected %d: %s", name, o.code, code, status_message());
    for (; contains && *contains; contains++)
        if (!strstr(o.printed, *contains)) fail_msg("%s: '%s' is not in:\n%s", name, *contains, o.printed);
    free(o.printed);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- the commands ---- */

static void status_says_how_it_stands(void **state)
{
    bench *b = *state;
    make_run(b, 10);
    expect(b, "status", NULL, 0,
           LIST("run          small in ", b->folder,
                "\nprogress     7 of 12 evaluated, 1 of them stopped early\n"
                "candidates   10 bred: 7 evaluated, 1 failed, 1 running, 1 waiting; 2 imported\n"
                "best         0.1925 (candidate 10, +0.0495 over candidate 1)\nstarted ",
                " (2 h 0 min ago)\nlast result ", " (1 min ago)\ncoordinator  none: the command that started it",
                "\nrunning      candidate 7, on node1, cpu, 2 threads, since "));
    char *lock = path_in(b, "lock");
    int descriptor;
    assert_ok(fs_lock(lock, &descriptor));
    text process = {0};
    text_add(&process, "\ncoordinator  at work, process %ld\n", (long)getpid());
    expect(b, "status", NULL, 0, LIST(text_string(&process)));
    close(descriptor);
    expect(b, "status", NULL, 0, LIST("coordinator  none"));
    text_free(&process);
    free(lock);
}

static void a_run_that_has_just_begun(void **state)
{
    bench *b = *state;
    make_run(b, 0);
    expect(b, "status", NULL, 0, LIST("progress     0 of 12 evaluated\n", "best         none yet\n"));
    expect(b, "trials", NULL, 0, LIST("candidate  state"));
    expect(b, "best", NULL, 1, NULL);
    expect(b, "export", NULL, 0, LIST("candidate,state,fitness"));
    expect(b, "export", LIST("--format", "jsonl"), 0, NULL);
    expect(b, "verify", NULL, 0, LIST("verify: 0 children agree\n"));
}

static void trials_are_a_line_each(void **state)
{
    bench *b = *state;
    make_run(b, 10);
    outcome o = run_command(b, "trials", NULL);
    assert_int_equal(o.code, 0);
    size_t lines = 0;
    for (const char *c = o.printed; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 13);
    /* clang-format off */
    static const char *const rows[] = {
        "candidate  state     attempts  fitness       P       R  mAP@.5  mAP@.5:.95  seconds  host   device          reason\n",
        "       -1  imported         0   0.1000  0.1000  0.1000  0.1000      0.1000\n",
        "        2  done             1   0.1485  0.5000  0.3333  0.2700      0.1350     12.2  node1  cpu, 2 threads\n",
        "        3  stopped          1   0.1540  0.5000  0.3333  0.2800      0.1400\n",
        "        6  failed           1",
        "  crash\n        7  leased           1",
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strstr(o.printed, rows[i])) fail_msg("'%s' is not in:\n%s", rows[i], o.printed);
    free(o.printed);
}

/* What `best` prints is a hyp.yaml. */
static void best_can_be_trained_with(void **state)
{
    bench *b = *state;
    make_run(b, 10);
    outcome o = run_command(b, "best", NULL);
    assert_int_equal(o.code, 0);
    hyp_space space;
    double values[HYP_MAX];
    hyp_space_default(&space);
    if (hyp_parse("best", o.printed, &space, values) != OK) fail_msg("%s:\n%s", status_message(), o.printed);
    assert_true(text_starts_with(o.printed, "# Hyperparameter Evolution Results\n# Generations: "));
    const char *const words[] = {"\n# Best: candidate 10, fitness 0.1925, +0.0495 over candidate 1\n",
                                 "\n# Train with it:\n#   train --data data/coco128.yaml --cfg yolov5s.yaml ",
                                 "/hyp_evolved.yaml\n"};
    for (size_t i = 0; i < 3; i++)
        if (!strstr(o.printed, words[i])) fail_msg("'%s' is not in:\n%s", words[i], o.printed);
    free(o.printed);
}

/* Fields of a CSV line; quoted ones are not looked into. Cuts the line up. */
static size_t split(char *line, char **fields, size_t room)
{
    size_t count = 0;
    while (line && count < room) {
        fields[count++] = line;
        bool quoted = false;
        for (; *line && (quoted || *line != ','); line++) quoted ^= *line == '"';
        if (!*line) break;
        *line++ = '\0';
    }
    return count;
}

static void csv_is_exact(void **state)
{
    bench *b = *state;
    make_run(b, 5);
    outcome o = run_command(b, "export", NULL);
    assert_int_equal(o.code, 0);
    char *lines[9], *header[64], *fields[64], *rest = NULL, *line = strtok_r(o.printed, "\n", &rest);
    size_t count = 0;
    for (; line && count < 9; line = strtok_r(NULL, "\n", &rest)) lines[count++] = line;
    assert_int_equal(count, 8);
    size_t columns = split(lines[0], header, 64);
    assert_int_equal(columns, 30 + HYP_COUNT);
    assert_string_equal(header[0], "candidate");
    assert_string_equal(header[30], "hyp.lr0");
    store *s;
    trials t;
    run_spec spec;
    assert_ok(store_open_reading(b->folder, &s));
    assert_ok(spec_load(s, &spec));
    assert_ok(trials_read(s, &spec.space, spec.fitness, &t));
    for (size_t i = 0; i < 7; i++) {
        const store_candidate *c = &t.candidates[i];
        assert_int_equal(split(lines[i + 1], fields, 64), columns);
        assert_int_equal(atoi(fields[0]), c->number);
        assert_true(strtod(fields[2], NULL) == fitness(c->results, spec.fitness));
        assert_true(strtod(fields[4], NULL) == c->results[1]);
        assert_string_equal(fields[8], c->number < 0 ? "0.0" : "nan");
        for (int k = 0; k < HYP_COUNT; k++) assert_true(strtod(fields[30 + k], NULL) == c->made.hyps[k]);
    }
    trials_free(&t);
    spec_free(&spec);
    store_close(&s);
    free(o.printed);
}

static void texts_are_quoted(void **state)
{
    bench *b = *state;
    make_run(b, 10);
    expect(b, "export", NULL, 0,
           LIST(",crash,\"it said \"\"no\"\",\nthen \001 and \377\",", ",\"cpu, 2 threads\",fp32,"));
    expect(b, "export", LIST("--format", "jsonl"), 0,
           LIST("\"detail\": \"it said \\\"no\\\",\\u000athen \\u0001 and \\ufffd\"", "\"val_obj\": \"nan\"",
                "{\"candidate\": -2, \"state\": \"imported\", \"fitness\": 0.1, ", "\"seconds\": 12.25,",
                "\"hyps\": {\"lr0\": 0.01, \"lrf\": 0.2,", "\"parents\": [",
                "\"candidate\": 7, \"state\": \"leased\", \"fitness\": null, \"P\": null"));
    char *path = path_in(b, "out.csv"), *bytes;
    size_t count;
    outcome o = run_command(b, "export", LIST("--out", path)), again = run_command(b, "export", NULL);
    assert_int_equal(o.code, 0);
    assert_string_equal(o.printed, "");
    assert_ok(fs_read(path, 0, &bytes, &count));
    assert_string_equal(bytes, again.printed);
    free(bytes);
    free(path);
    free(o.printed);
    free(again.printed);
    expect(b, "export", LIST("--out", "/nowhere/out.csv"), 1, NULL);
    expect(b, "export", LIST("--format", "xml"), 2, NULL);
}

static void verify_returns_what_it_found(void **state)
{
    bench *b = *state;
    make_run(b, 10);
    expect(b, "verify", NULL, 0, LIST("verify: 10 children agree\n"));
    run_spec spec;
    store *s = open_store(b);
    trials t;
    assert_ok(spec_load(s, &spec));
    assert_ok(trials_read(s, &spec.space, spec.fitness, &t));
    t.candidates[2 + 8].made.rounds++;
    assert_ok(store_put_candidate(s, &spec.space, &t.candidates[2 + 8]));
    assert_ok(store_commit(s));
    trials_free(&t);
    spec_free(&spec);
    store_close(&s);
    expect(b, "verify", NULL, 1, LIST("candidate 9: its number of rounds is", "verify: 1 of 10 children differ\n"));
}

static int64_t get_paused(store *s)
{
    int64_t paused;
    assert_ok(store_get_int(s, "paused", 0, &paused));
    return paused;
}

static void pause_and_resume_reach_a_coordinator(void **state)
{
    bench *b = *state;
    make_run(b, 3);
    store *s = open_store(b); /* the coordinator's */
    int64_t version = store_version(s);
    expect(b, "pause", NULL, 0, LIST(" is paused; no coordinator is at work in it now\n"));
    assert_int_not_equal(store_version(s), version);
    assert_int_equal(get_paused(s), 1);
    expect(b, "status", NULL, 0, LIST("\npaused       yes: `coordinator resume --run "));
    char *lock = path_in(b, "lock");
    int descriptor;
    assert_ok(fs_lock(lock, &descriptor));
    expect(b, "pause", NULL, 0, LIST(" is already paused; trainings under way go on, new ones do not start\n"));
    expect(b, "resume", NULL, 0, LIST(" is resumed; workers get candidates again\n"));
    assert_int_equal(get_paused(s), 0);
    expect(b, "resume", NULL, 0, LIST(" is already not paused; "));
    close(descriptor);
    free(lock);
    store_close(&s);
}

static void bad_calls_are_refused(void **state)
{
    bench *b = *state;
    static const char *const names[] = {"status", "trials", "best", "export", "verify", "pause", "resume"};
    text all = {0};
    for (size_t i = 0; i < 7; i++) {
        text_add(&all, i ? "|%s" : "%s", names[i]);
        assert_true(command_exists(names[i]));
        expect(b, names[i], NULL, 1, NULL); /* no run there */
        assert_non_null(strstr(status_message(), "has no run"));
        expect(b, names[i], LIST("--colour"), 2, NULL);
        expect(b, names[i], LIST("--help"), 0, LIST(names[i], "--run DIR"));
    }
    assert_string_equal(command_names, text_string(&all));
    text_free(&all);
    assert_false(command_exists("stat"));
    expect(b, "stat", NULL, 2, NULL);
    store *s = open_store(b); /* a start that was cut short */
    store_close(&s);
    expect(b, "status", NULL, 1, NULL);
    assert_non_null(strstr(status_message(), "has no run yet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(status_says_how_it_stands),
        CASE(a_run_that_has_just_begun),
        CASE(trials_are_a_line_each),
        CASE(best_can_be_trained_with),
        CASE(csv_is_exact),
        CASE(texts_are_quoted),
        CASE(verify_returns_what_it_found),
        CASE(pause_and_resume_reach_a_coordinator),
        CASE(bad_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
