/* view.c and view_closing.c: what is drawn on a terminal and elsewhere, when, and what is said at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "coordinator/report/view.h"

#define assert_ok(expression) assert_int_equal(expression, OK)

/* A view on a stream in memory. */
typedef struct screen {
    char *bytes;
    size_t length, read;
    FILE *to;
    view *v;
} screen;

static void open_screen(screen *s, int width, int height)
{
    *s = (screen){0};
    log_set_level(LEVEL_INFO);
    s->to = open_memstream(&s->bytes, &s->length);
    assert_non_null(s->to);
    assert_ok(view_create_sized(s->to, width, height, &s->v));
}

/* What has been written since the last look. */
static const char *look(screen *s)
{
    fflush(s->to);
    const char *fresh = s->bytes + s->read;
    s->read = s->length;
    return fresh;
}

static void close_screen(screen *s)
{
    view_destroy(&s->v);
    assert_null(s->v);
    fclose(s->to);
    free(s->bytes);
}

static view_attempt attempts[] = {
    {"node1", 0, 13, 2, 10, 45, 120, 0.12345, 23.44, 1},
    {"node2", 1, 14, 0, 0, 0, 0, NAN, NAN, 0},
};

static view_state make_state(int64_t evaluated)
{
    view_state s = {.name = "evolve", .generations = 300, .evaluated = evaluated, .workers = 2};
    s.best_fitness = s.base_fitness = NAN;
    s.attempts = attempts;
    s.attempt_count = 2;
    return s;
}

static void times_are_said_as_people_do(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *words;
    } cases[] = {{0, "0 s"},          {59.4, "59 s"},       {59.6, "1 min"},          {150, "3 min"},
                 {3599, "1 h 0 min"}, {4800, "1 h 20 min"}, {86399, "1 d 0 h"},       {277200, "3 d 5 h"},
                 {NAN, "0 s"},        {-5, "0 s"},          {INFINITY, "11574 d 2 h"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[VIEW_TIME_ROOM];
        view_time(cases[i].seconds, words);
        assert_string_equal(words, cases[i].words);
    }
}

static void small_numbers_keep_their_digits(void **state)
{
    (void)state;
    char words[VIEW_NUMBER_ROOM];
    assert_string_equal(view_number(0.41236, false, words), "0.4124");
    assert_string_equal(view_number(0, false, words), "0.0000");
    assert_string_equal(view_number(0.00012345, false, words), "0.000123");
    assert_string_equal(view_number(-2.5e-7, true, words), "-2.5e-07");
    assert_string_equal(view_number(0.25, true, words), "+0.2500");
    assert_string_equal(view_number(NAN, false, words), "nan");
}

static void a_plain_line_says_what_happens(void **state)
{
    (void)state;
    screen s;
    open_screen(&s, 0, 0);
    view_state now = make_state(12);
    view_show(s.v, &now, 1000);
    assert_string_equal(look(&s), "12/300 evaluated, 2 running (candidate 13 epoch 3/10, candidate 14)\n");
    now.best = 9;
    now.best_fitness = 0.41234;
    now.base_fitness = 0.4;
    now.failed = 1;
    now.waiting = 3;
    view_show(s.v, &now, 2000);
    assert_string_equal(look(&s),
                        "12/300 evaluated, 1 failed, 3 waiting, 2 running (candidate 13 epoch 3/10, candidate 14), "
                        "best 0.4123 (candidate 9, +0.0123)\n");
    now.best = -2;
    now.base_fitness = NAN;
    now.notice = "paused\033[2J";
    now.attempt_count = now.workers = 0;
    view_show(s.v, &now, 3000);
    assert_string_equal(look(&s), "12/300 evaluated, 1 failed, 3 waiting, 0 running, no worker, "
                                  "best 0.4123 (imported row 2), paused?[2J\n");
    close_screen(&s);
}

static void plain_lines_do_not_flood(void **state)
{
    (void)state;
    screen s;
    open_screen(&s, 0, 0);
    view_state now = make_state(12);
    view_attempt own = attempts[0];
    now.attempts = &own;
    now.attempt_count = 1;
    view_show(s.v, &now, 0);
    assert_string_not_equal(look(&s), "");
    for (int64_t ms = 0; ms < 4000; ms += 100) { /* an epoch passes: worth a line every four seconds */
        own.epoch = 5;
        view_show(s.v, &now, ms);
        assert_string_equal(look(&s), "");
    }
    view_show(s.v, &now, 4000);
    assert_non_null(strstr(look(&s), "epoch 6/10"));
    for (int64_t ms = 4000; ms < 64000; ms += 100) { /* the same words: once a minute */
        view_show(s.v, &now, ms);
        assert_string_equal(look(&s), "");
    }
    view_show(s.v, &now, 64000);
    assert_non_null(strstr(look(&s), "epoch 6/10"));
    now.failed = 1; /* something happens: at once, but no more than a line a second */
    view_show(s.v, &now, 64500);
    assert_string_equal(look(&s), "");
    view_show(s.v, &now, 65000);
    assert_non_null(strstr(look(&s), "1 failed"));
    now.failed = 2;
    view_show(s.v, &now, 65001);
    assert_string_equal(look(&s), "");
    view_hide(s.v); /* nothing to hide */
    assert_string_equal(look(&s), "");
    view_destroy(&s.v); /* what happened last is told */
    assert_non_null(strstr(look(&s), "2 failed"));
    close_screen(&s);
}

static void the_time_left_follows_the_last_results(void **state)
{
    (void)state;
    screen s;
    open_screen(&s, 0, 0);
    view_state now = make_state(100); /* those of an earlier start say nothing */
    now.attempt_count = 0;
    view_show(s.v, &now, 1000000);
    assert_null(strstr(look(&s), "left"));
    for (int i = 1; i <= 10; i++) { /* one a minute */
        now.evaluated++;
        view_show(s.v, &now, 1000000 + i * 60000);
    }
    assert_non_null(strstr(look(&s), "110/300 evaluated, 0 running, about 3 h 10 min left\n"));
    view_show(s.v, &now, 1000000 + 700000); /* a wait beyond the usual minute counts for no more */
    assert_non_null(strstr(look(&s), "about 3 h 9 min left\n"));
    int64_t ms = 1700000;
    for (int i = 1; i <= 10; i++) { /* then ten times as fast, after a long pause that drops out */
        now.evaluated++;
        view_show(s.v, &now, ms += 6000);
    }
    now.evaluated++;
    view_show(s.v, &now, ms += 6000);
    assert_non_null(strstr(look(&s), "121/300 evaluated, 0 running, about 18 min left\n"));
    now.evaluated = 300;
    view_show(s.v, &now, ms += 6000);
    const char *last = look(&s);
    assert_non_null(strstr(last, "300/300"));
    assert_null(strstr(last, "left"));
    close_screen(&s);
}

/* ---- the block ---- */

static void a_block_is_redrawn_in_place(void **state)
{
    (void)state;
    screen s;
    open_screen(&s, 100, 24);
    view_state now = make_state(150);
    view_show(s.v, &now, 0);
    assert_string_equal(look(&s), "evolve [##########..........] 150/300\033[K\n"
                                  "  node1/0  candidate 13  epoch 3/10  step 45/120  loss 0.1235  23.4 images/s\033[K\n"
                                  "  node2/1  candidate 14  starting\033[K\n\033[J");
    view_show(s.v, &now, 50); /* too soon */
    assert_string_equal(look(&s), "");
    now.attempt_count = 1;
    view_show(s.v, &now, 100);
    assert_string_equal(look(&s), "\033[3A\r"
                                  "evolve [##########..........] 150/300\033[K\n"
                                  "  node1/0  candidate 13  epoch 3/10  step 45/120  loss 0.1235  23.4 images/s\033[K\n"
                                  "\033[J");
    view_hide(s.v);
    assert_string_equal(look(&s), "\033[2A\r\033[J");
    view_hide(s.v);
    assert_string_equal(look(&s), "");
    view_show(s.v, &now, 101); /* hidden: drawn again at once */
    assert_non_null(strstr(look(&s), "evolve ["));
    view_destroy(&s.v);
    assert_string_equal(look(&s), "\033[2A\r\033[J");
    close_screen(&s);
}

static void a_block_says_what_holds_it_up(void **state)
{
    (void)state;
    screen s;
    open_screen(&s, 100, 24);
    view_state now = make_state(0);
    now.attempt_count = now.workers = 0;
    view_show(s.v, &now, 0);
    assert_string_equal(look(&s), "evolve [....................] 0/300\033[K\nwaiting for workers\033[K\n\033[J");
    now.notice = "no space left on the disk: waiting";
    view_attempt silent = attempts[0];
    silent.worker = "a\nb\177\302\233\303\251";
    silent.silent_s = 75;
    now.attempts = &silent;
    now.attempt_count = 1;
    view_show(s.v, &now, 1000);
    const char *drawn = look(&s);
    assert_non_null(strstr(drawn, "no space left on the disk: waiting\033[K\n"));
    assert_non_null(strstr(drawn, "  a?b??\303\251/0  candidate 13"));
    assert_non_null(strstr(drawn, "  silent for 1 min\033[K\n"));
    close_screen(&s);
}

static int count_lines(const char *bytes)
{
    int lines = 0;
    for (; *bytes; bytes++) lines += *bytes == '\n';
    return lines;
}

static void a_block_fits_its_terminal(void **state)
{
    (void)state;
    enum { MANY = 50 };
    view_attempt many[MANY];
    for (int i = 0; i < MANY; i++) {
        many[i] = attempts[0];
        many[i].worker = "a machine with a long name \303\244\303\266\303\274 and more";
    }
    for (int height = 1; height < 60; height++) {
        screen s;
        open_screen(&s, 40, height);
        view_state now = make_state(12);
        now.notice = "paused";
        now.attempts = many;
        now.attempt_count = MANY;
        view_show(s.v, &now, 0);
        const char *drawn = look(&s);
        int lines = count_lines(drawn);
        assert_in_range(lines, 1, height > 1 ? height - 1 : 1);
        if (height >= 5 && height < 53) assert_non_null(strstr(drawn, " more\033[K\n"));
        if (height >= 53) assert_int_equal(lines, 52);
        for (const char *line = drawn, *end; (end = strstr(line, "\033[K\n")); line = end + 4) {
            int columns = 0;
            for (const char *c = line; c < end; c++) columns += ((unsigned char)*c & 0xc0) != 0x80;
            assert_true(columns <= 39);
        }
        close_screen(&s);
    }
}

static void a_quiet_program_shows_nothing(void **state)
{
    (void)state;
    for (int width = 0; width < 100; width += 80) {
        screen s = {0};
        log_set_level(LEVEL_WARNING);
        s.to = open_memstream(&s.bytes, &s.length);
        assert_ok(view_create_sized(s.to, width, 24, &s.v));
        log_set_level(LEVEL_INFO);
        view_state now = make_state(12);
        view_show(s.v, &now, 0);
        assert_string_equal(look(&s), "");
        view_destroy(&s.v);
        assert_string_equal(look(&s), "");
        close_screen(&s);
    }
}

/* ---- the end ---- */

/* A run of yolov5s as `--data my data.yaml --cfg yolov5s.yaml --epochs 10 --img-size 320` and more. */
static run_spec make_spec(const char *const *options, size_t count)
{
    run_spec spec = {0};
    option_section section = train_section(&spec.train, NULL);
    assert_ok(options_defaults(&section, 1));
    for (size_t i = 0; i + 1 < count; i += 2) {
        const option_row *row = options_find(train_rows, TRAIN_ROWS, options[i]);
        assert_non_null(row);
        assert_ok(options_set(row, &spec.train, options[i + 1], "test"));
    }
    bool given[TRAIN_ROWS] = {0};
    for (size_t i = 0; i < count; i += 2) given[options_find(train_rows, TRAIN_ROWS, options[i]) - train_rows] = true;
    assert_ok(train_options_complete(&spec.train, given));
    spec.train.nosave = spec.train.notest = true;
    hyp_space_default(&spec.space);
    hyp_defaults(&spec.space, false, spec.base);
    return spec;
}

static void add_member(population *p, int64_t candidate, double map, double lr0)
{
    member m = {.candidate = candidate, .results = {0.5, 0.6, map, map, 0.1, 0.1, 0.1}};
    hyp_defaults(p->space, false, m.hyps);
    m.hyps[HYP_lr0] = lr0;
    assert_ok(population_add(p, &m));
}

static void assert_command(const char *const *options, size_t count, const char *folder, const char *expected)
{
    run_spec spec = make_spec(options, count);
    text command = {0};
    assert_ok(view_train_command(&spec, folder, &command));
    assert_string_equal(text_string(&command), expected);
    text_free(&command);
    option_section section = train_section(&spec.train, NULL);
    options_free(&section, 1);
}

static void the_command_trains_as_the_run_did(void **state)
{
    (void)state;
    static const char *const plain[] = {"data", "data.yaml", "cfg", "yolov5s.yaml"};
    assert_command(plain, 4, "runs/evolve",
                   "train --data data.yaml --cfg yolov5s.yaml --epochs 300 --batch-size 16 --img-size 640 640 "
                   "--hyp runs/evolve/hyp_evolved.yaml");
    static const char *const quoted[] = {"data",       "it's my data.yaml",
                                         "weights",    "best weights.pt",
                                         "epochs",     "10",
                                         "img-size",   "320",
                                         "rect",       "true",
                                         "name",       "x",
                                         "hyp",        "hyp.scratch.yaml",
                                         "seed",       "7",
                                         "adam",       "true",
                                         "precision",  "fp32",
                                         "warmup-cap", "0.25"};
    assert_command(quoted, 22, "/tmp/a run",
                   "train --data 'it'\\''s my data.yaml' --weights 'best weights.pt' --epochs 10 --batch-size 16 "
                   "--img-size 320 320 --hyp '/tmp/a run/hyp_evolved.yaml' --rect --adam --seed 7 --precision fp32 "
                   "--warmup-cap 0.25");
    static const char *const reference[] = {"data", "d.yaml",  "cfg",  "m.yaml",     "as-reference",
                                            "true", "weights", "w.pt", "warmup-cap", "0.1"};
    assert_command(reference, 10, "r",
                   "train --data d.yaml --cfg m.yaml --weights w.pt --epochs 300 --batch-size 16 --img-size 640 640 "
                   "--hyp r/hyp_evolved.yaml --warmup-cap 0.1 --as-reference");
}

static void close_with(const int64_t *candidates, const double *maps, size_t count, text *out)
{
    static const char *const plain[] = {"data", "data.yaml", "cfg", "yolov5s.yaml"};
    run_spec spec = make_spec(plain, 4);
    population p;
    population_start(&p, &spec.space, fitness_weights_default);
    for (size_t i = 0; i < count; i++) add_member(&p, candidates[i], maps[i], candidates[i] == 1 ? 0.01 : 0.0123);
    assert_ok(view_closing(&spec, &p, "runs/evolve", out));
    population_free(&p);
    option_section section = train_section(&spec.train, NULL);
    options_free(&section, 1);
}

static void the_closing_report_says_what_came_of_it(void **state)
{
    (void)state;
    text out = {0};
    close_with((const int64_t[]){1, 2, 3}, (const double[]){0.4, 0.5, 0.3}, 3, &out);
    const char *said = text_string(&out);
    assert_true(
        text_starts_with(said,
                         "best: candidate 2, fitness 0.5000, +0.1000 (+25.0 %) over the start (candidate 1, 0.4000)\n"
                         "  P 0.5  R 0.6  mAP@.5 0.5  mAP@.5:.95 0.5\n\n"
                         "  * lr0           0.0123      was 0.01\n"
                         "    lrf           0.2\n"));
    assert_non_null(strstr(said, "\nfiles:\n  runs/evolve/evolve.txt\n  runs/evolve/hyp_evolved.yaml\n"
                                 "  runs/evolve/evolve.png\n\ntrain with the best:\n  train --data data.yaml --cfg "
                                 "yolov5s.yaml --epochs 300 --batch-size 16 --img-size 640 640 --hyp "
                                 "runs/evolve/hyp_evolved.yaml\n"));
    text_clear(&out);
    close_with((const int64_t[]){1, 2}, (const double[]){0.4, 0.3}, 2, &out);
    said = text_string(&out);
    assert_non_null(strstr(said, "best: candidate 1, fitness 0.4000, the start itself: nothing bred was better\n"));
    assert_null(strstr(said, "was"
                             " 0.01"));
    text_clear(&out);
    close_with((const int64_t[]){-1, -2, 1}, (const double[]){0.2, 0.25, 0.5}, 3, &out);
    assert_non_null(strstr(text_string(&out), "best: candidate 1, fitness 0.5000, +0.2500 (+100.0 %) over the start "
                                              "(imported row 2, 0.2500)\n"));
    text_clear(&out);
    close_with((const int64_t[]){3}, (const double[]){0.5}, 1, &out); /* candidate 1 failed, or is under way */
    assert_non_null(strstr(text_string(&out), "best: candidate 3, fitness 0.5000\n"));
    text_clear(&out);
    close_with(NULL, NULL, 0, &out);
    assert_string_equal(text_string(&out), "no candidate was evaluated: there is no best one\n");
    text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_said_as_people_do),
        cmocka_unit_test(small_numbers_keep_their_digits),
        cmocka_unit_test(a_plain_line_says_what_happens),
        cmocka_unit_test(plain_lines_do_not_flood),
        cmocka_unit_test(the_time_left_follows_the_last_results),
        cmocka_unit_test(a_block_is_redrawn_in_place),
        cmocka_unit_test(a_block_says_what_holds_it_up),
        cmocka_unit_test(a_block_fits_its_terminal),
        cmocka_unit_test(a_quiet_program_shows_nothing),
        cmocka_unit_test(the_command_trains_as_the_run_did),
        cmocka_unit_test(the_closing_report_says_what_came_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
