/* verify.c: a run's children agree with themselves, and whatever is changed afterwards shows. */
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>

#include "common/rng.h"
#include "coordinator/store/bench.h"
#include "coordinator/commands/verify.h"

/* ---- a run: candidates are bred two ahead of the results, which arrive out of order ---- */

static verify_task make_task(const bench *b, const char *strategy, parent_mode parent)
{
    verify_task t = {.space = &b->space, .fitness = fitness_weights_default, .seed = 42};
    t.breeding = BREEDING_DEFAULTS;
    t.breeding.parent = parent;
    t.strategy = strategy_find(strategy);
    assert_non_null(t.strategy);
    return t;
}

static member make_member(const bench *b, int64_t number, const double *hyps)
{
    member m = {.candidate = number, .results = {0.5, 0.5, 0, 0, 0.1, NAN, 0.1}};
    m.results[2] = (double)(splitmix64((uint64_t)(number + 100)) % 1000) / 1000;
    m.results[3] = m.results[2] / 2;
    memcpy(m.hyps, hyps, b->space.count * sizeof *hyps);
    return m;
}

static void put(store *s, const bench *b, const member *m, const child *made, candidate_state state, int64_t arrival)
{
    store_candidate c = {.number = m->candidate, .state = state, .arrival = arrival};
    if (made) c.made = *made;
    else memcpy(c.made.hyps, m->hyps, b->space.count * sizeof *m->hyps);
    if (state != CANDIDATE_BRED) {
        c.result_count = RESULT_COUNT;
        memcpy(c.results, m->results, sizeof c.results);
    }
    assert_ok(store_put_candidate(s, &b->space, &c));
}

/* Candidates 1..count; each tenth fails to end, and each seventh is stopped by rule and is no member. */
static void make_run(const bench *b, const verify_task *t, int64_t imported, int64_t count)
{
    store *s = open_store(b);
    population p;
    population_start(&p, t->space, t->fitness);
    for (int64_t n = 1; n <= imported; n++) {
        double hyps[HYP_MAX];
        memcpy(hyps, t->base, b->space.count * sizeof *hyps);
        hyps[HYP_lr0] *= 1 + (double)n / 10;
        member m = make_member(b, -n, hyps);
        assert_ok(population_add(&p, &m));
        put(s, b, &m, NULL, CANDIDATE_IMPORTED, 0);
    }
    child waiting[2];
    int64_t waiting_numbers[2], arrivals = 0;
    size_t waits = 0;
    for (int64_t n = 1; n <= count; n++) {
        assert_ok(strategy_breed(t->strategy, &p, t->base, &t->breeding, t->seed, n, &waiting[waits]));
        waiting_numbers[waits] = n;
        member m = make_member(b, n, waiting[waits].hyps);
        put(s, b, &m, &waiting[waits], CANDIDATE_BRED, 0);
        if (n % 10 == 0) continue; /* never comes back */
        if (++waits < 2) continue;
        while (waits) { /* the later one first */
            waits--;
            m = make_member(b, waiting_numbers[waits], waiting[waits].hyps);
            bool stopped = m.candidate % 7 == 0;
            put(s, b, &m, &waiting[waits], stopped ? CANDIDATE_STOPPED : CANDIDATE_DONE, ++arrivals);
            if (!stopped) assert_ok(population_add(&p, &m));
        }
    }
    assert_ok(store_commit(s));
    store_close(&s);
    population_free(&p);
}

static double base[HYP_MAX];

/* The lines that it prints; the caller frees. */
static char *verify(const bench *b, const verify_task *t, int64_t *compared, int64_t *differ)
{
    store *s;
    char *lines = NULL;
    size_t length;
    FILE *to = open_memstream(&lines, &length);
    assert_non_null(to);
    assert_ok(store_open_reading(b->folder, &s));
    assert_ok(verify_children(s, t, to, compared, differ));
    store_close(&s);
    fclose(to);
    return lines;
}

static int start(void **state)
{
    if (set_up(state)) return 1;
    bench *b = *state;
    hyp_space_default(&b->space);
    hyp_defaults(&b->space, false, base);
    return 0;
}

static void children_agree(bench *b, const char *strategy, parent_mode parent, int64_t imported, int64_t count)
{
    verify_task t = make_task(b, strategy, parent);
    t.base = base;
    make_run(b, &t, imported, count);
    int64_t compared, differ;
    char *lines = verify(b, &t, &compared, &differ);
    if (differ) fail_msg("%s: %s", strategy, lines);
    assert_int_equal(compared, count);
    text expected = {0};
    text_add(&expected, "verify: %lld children agree\n", (long long)count);
    assert_string_equal(lines, text_string(&expected));
    text_free(&expected);
    free(lines);
    assert_ok(fs_remove(b->folder));
    assert_ok(fs_make_folders(b->folder, 0755));
}

static void children_of_every_strategy_agree(void **state)
{
    static const char *const names[] = {"mendel", "yolov5", "yolov5-as-run", "random"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        children_agree(*state, names[i], PARENT_SINGLE, 0, 60);
        children_agree(*state, names[i], PARENT_WEIGHTED, 3, 40);
        children_agree(*state, names[i], PARENT_SINGLE, 12, 20);
    }
}

static void a_run_without_candidates_agrees(void **state)
{
    bench *b = *state;
    verify_task t = make_task(b, "mendel", PARENT_SINGLE);
    t.base = base;
    make_run(b, &t, 2, 0);
    int64_t compared, differ;
    char *lines = verify(b, &t, &compared, &differ);
    assert_string_equal(lines, "verify: 0 children agree\n");
    free(lines);
}

/* ---- what was changed shows ---- */

static void change(const bench *b, const char *sql)
{
    char *path = path_in(b, "store.sqlite");
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    free(path);
}

static void a_change_shows(void **state)
{
    bench *b = *state;
    static const struct {
        const char *change, *words;
        int64_t differ; /* -1: the change has children */
    } cases[] = {
        {"UPDATE candidates SET hyps = json_set(hyps, '$.mixup', 1e-9) WHERE number = 30", "candidate 30: its mixup is",
         1},
        {"UPDATE candidates SET parent = 1000 WHERE number = 29", "candidate 29: its parent is 1000, bred again", 1},
        {"UPDATE candidates SET parent = NULL WHERE number = 29", "its parent is the weighted mean, bred again", 1},
        {"UPDATE candidates SET parents = json_set(parents, '$[1]', 77) WHERE number = 29",
         "candidate 29: its parent 2 is 77, bred again", 1},
        {"UPDATE candidates SET weights = json_set(weights, '$[0]', 0.25) WHERE number = 29",
         "candidate 29: its weight of parent 1 is 0.25, bred again", 1},
        {"UPDATE candidates SET parents = '[]', weights = '[]' WHERE number = 29",
         "candidate 29: its number of parents is 0, bred again 5", 1},
        {"UPDATE candidates SET rounds = rounds + 1 WHERE number = 29", "candidate 29: its number of rounds is", 1},
        {"UPDATE candidates SET factors = json_set(factors, '$.lr0', 1.5) WHERE number = 29",
         "candidate 29: its factor of lr0 is 1.5, bred again", 1},
        {"UPDATE candidates SET seen = 100 WHERE number = 29",
         "candidate 29: it was bred from 100 results, the store has", 1},
        {"UPDATE candidates SET results = '[1, 1, 1, 1, 0, 0, 0]' WHERE number = 2", "bred again", -1},
        {"UPDATE candidates SET arrival = 1000 WHERE arrival = 1", "bred again", -1},
    };
    verify_task t = make_task(b, "mendel", PARENT_SINGLE);
    t.base = base;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_run(b, &t, 0, 30);
        change(b, cases[i].change);
        int64_t compared, differ;
        char *lines = verify(b, &t, &compared, &differ);
        if (!strstr(lines, cases[i].words)) fail_msg("%s: '%s' is not in: %s", cases[i].change, cases[i].words, lines);
        assert_int_equal(compared, 30);
        if (cases[i].differ < 0 ? differ < 2 : differ != cases[i].differ)
            fail_msg("%s: %lld children differ: %s", cases[i].change, (long long)differ, lines);
        free(lines);
        assert_ok(fs_remove(b->folder));
        assert_ok(fs_make_folders(b->folder, 0755));
    }
    make_run(b, &t, 0, 30);
    t.seed++;
    int64_t compared, differ;
    char *lines = verify(b, &t, &compared, &differ);
    assert_int_equal(differ, 29); /* candidate 1 is the base, whatever the seed */
    assert_non_null(strstr(lines, "verify: 29 of 30 children differ\n"));
    free(lines);
}

#define RUN_CASE(function) cmocka_unit_test_setup_teardown(function, start, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_CASE(children_of_every_strategy_agree),
        RUN_CASE(a_run_without_candidates_agrees),
        RUN_CASE(a_change_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
