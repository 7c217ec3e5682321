/* Trials as the dashboard keeps and writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/dashboard/history.h"
#include "coordinator/dashboard/json.h"
#include "coordinator/dashboard/json_check.h"

enum { HYPS = 3 };

static trial *make_trial(int64_t number, candidate_state state, int64_t attempts)
{
    store_candidate c = {.number = number, .state = state, .attempts = attempts};
    trial *t = trial_copy(&c, HYPS, NULL, 0);
    assert_non_null(t);
    return t;
}

/* ---- JSON ---- */

static void check_string(const char *words, const char *json)
{
    text out = {0};
    json_string(&out, words);
    assert_string_equal(text_string(&out), json);
    assert_true(json_is_valid(text_string(&out)));
    text_free(&out);
}

static void strings_are_json_whatever_they_hold(void **state)
{
    (void)state;
    check_string("", "\"\"");
    check_string("plain", "\"plain\"");
    check_string("a\"b\\c\nd\te\x01\x7f", "\"a\\\"b\\\\c\\nd\\te\\u0001\\u007f\"");
    check_string("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"");
#define NO "\xef\xbf\xbd"
    check_string("\xff\xfe", "\"" NO NO "\"");
    check_string("a\xc3", "\"a" NO "\"");                    /* cut off */
    check_string("\xc0\xaf", "\"" NO NO "\"");               /* longer than it need be */
    check_string("\xed\xa0\x80", "\"" NO NO NO "\"");        /* half of a surrogate pair */
    check_string("\xf4\x90\x80\x80", "\"" NO NO NO NO "\""); /* beyond Unicode */
    check_string("\xe2\x82\"", "\"" NO NO "\\\"\"");
    text out = {0};
    json_string(&out, NULL);
    assert_string_equal(text_string(&out), "null");
    text_free(&out);
}

static void numbers_read_back(void **state)
{
    (void)state;
    static const double values[] = {0, -0.5, 0.1, 1e-5, 1.0 / 3, 1e300, 123456789.25, 5e-324};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        text out = {0};
        json_number(&out, values[i]);
        assert_true(json_is_valid(text_string(&out)));
        assert_true(strtod(text_string(&out), NULL) == values[i]);
        text_free(&out);
    }
    text out = {0};
    json_numbers(&out, (const double[]){1, NAN, INFINITY, -INFINITY}, 4);
    assert_string_equal(text_string(&out), "[1,null,null,null]");
    text_free(&out);
}

static void the_check_of_json_can_fail(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "{",  "[1,]", "{\"a\"}", "{a:1}", "\"\xff\"",
                                      "nan", "01", "1.",   "[1] 2",   "\"\n\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (json_is_valid(bad[i])) fail_msg("%s is no JSON", bad[i]);
}

/* ---- trials ---- */

static void a_trial_is_written_with_its_failures(void **state)
{
    (void)state;
    store_candidate c = {.number = 7,
                         .state = CANDIDATE_DONE,
                         .attempts = 2,
                         .crashes = 1,
                         .result_count = RESULT_COUNT};
    store_attempt failed = {.candidate = 7, .attempt = 1, .state = ATTEMPT_FAILED};
    store_attempt done = {.candidate = 7, .attempt = 2, .state = ATTEMPT_DONE, .seconds = 12.5};
    const store_attempt *attempts[] = {&failed, &done};
    failed.reason = (char *)"crash";
    failed.detail = (char *)"<b>\xff</b>";
    failed.log = (char *)"one\ntwo";
    done.host = (char *)"node";
    c.results[2] = 0.5;
    c.results[3] = 0.25;
    c.made.hyps[1] = 0.1;
    c.made.parent_count = 1;
    c.made.parent = PARENT_MEAN;
    trial *t = trial_copy(&c, HYPS, attempts, 2);
    assert_non_null(t);
    text out = {0};
    trial_write(t, HYPS, fitness_weights_default, &out);
    assert_true(json_is_valid(text_string(&out)));
    static const char *const parts[] = {"\"candidate\":7,",
                                        "\"state\":\"done\"",
                                        "\"fitness\":0.275",
                                        "\"hyps\":[0,0.1,0]",
                                        "\"parent\":\"mean\"",
                                        "\"seconds\":12.5",
                                        "\"host\":\"node\"",
                                        "\"reason\":\"crash\",\"detail\":\"<b>\xef\xbf\xbd</b>\",\"log\":true}"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text_string(&out), parts[i])) fail_msg("%s is not in %s", parts[i], text_string(&out));
    assert_string_equal(t->failures[0].log, "one\ntwo");
    text_free(&out);
    trial_destroy(t);
}

static void of_a_long_log_the_last_lines_are_kept(void **state)
{
    (void)state;
    text log = {0};
    for (int i = 0; i < 5000; i++) text_add(&log, "line %d of many\n", i);
    store_candidate c = {.number = 1, .state = CANDIDATE_FAILED, .attempts = 1};
    store_attempt a = {.candidate = 1, .attempt = 1, .state = ATTEMPT_FAILED, .log = log.bytes};
    const store_attempt *attempts[] = {&a};
    trial *t = trial_copy(&c, HYPS, attempts, 1);
    assert_non_null(t);
    assert_true(trial_log_bytes(t) <= TRIAL_LOG_MOST && trial_log_bytes(t) > TRIAL_LOG_MOST - 100);
    assert_int_equal(strncmp(t->failures[0].log, "line ", 5), 0);
    assert_non_null(strstr(t->failures[0].log, "line 4999 of many\n"));
    trial_destroy(t);
    text_free(&log);
}

/* ---- the history ---- */

static void check_changes(const history *h, uint64_t since, const int64_t *numbers, size_t count)
{
    const trial *t = history_after(h, since);
    for (size_t i = 0; i < count; i++, t = t->newer) {
        assert_non_null(t);
        assert_int_equal(t->number, numbers[i]);
    }
    assert_null(t);
}

static void changes_come_in_order_and_once_for_each_trial(void **state)
{
    (void)state;
    history h = {0};
    check_changes(&h, 0, NULL, 0);
    history_take(&h, make_trial(2, CANDIDATE_LEASED, 1));
    history_take(&h, make_trial(-1, CANDIDATE_IMPORTED, 0));
    history_take(&h, make_trial(1, CANDIDATE_LEASED, 1));
    check_changes(&h, 0, (const int64_t[]){2, -1, 1}, 3);
    history_take(&h, make_trial(2, CANDIDATE_DONE, 1));
    check_changes(&h, 0, (const int64_t[]){-1, 1, 2}, 3);
    check_changes(&h, 3, (const int64_t[]){2}, 1);
    check_changes(&h, 4, NULL, 0);
    check_changes(&h, UINT64_MAX, NULL, 0);
    history_take(&h, make_trial(2, CANDIDATE_DONE, 1)); /* nothing new */
    assert_int_equal(h.changes, 4);
    assert_int_equal(history_find(&h, 2)->state, CANDIDATE_DONE);
    assert_int_equal(history_find(&h, -1)->state, CANDIDATE_IMPORTED);
    static const int64_t missing[] = {0, 3, -2, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) assert_null(history_find(&h, missing[i]));
    assert_int_equal(h.attempts, 2);
    history_free(&h);
}

static void logs_are_kept_up_to_a_bound(void **state)
{
    (void)state;
    history h = {0};
    char *log = malloc(TRIAL_LOG_MOST + 1);
    assert_non_null(log);
    memset(log, 'x', TRIAL_LOG_MOST);
    log[TRIAL_LOG_MOST] = '\0';
    int64_t count = 3 * (HISTORY_LOGS_MOST / TRIAL_LOG_MOST);
    for (int64_t n = 1; n <= count; n++) {
        store_candidate c = {.number = n, .state = CANDIDATE_FAILED, .attempts = 1};
        store_attempt a = {.candidate = n, .attempt = 1, .state = ATTEMPT_FAILED, .log = log};
        const store_attempt *attempts[] = {&a};
        history_take(&h, trial_copy(&c, HYPS, attempts, 1));
        assert_true(h.log_bytes <= HISTORY_LOGS_MOST);
    }
    assert_null(history_find(&h, 1)->failures[0].log);
    assert_non_null(history_find(&h, count)->failures[0].log);
    free(log);
    history_free(&h);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(strings_are_json_whatever_they_hold),
        cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(the_check_of_json_can_fail),
        cmocka_unit_test(a_trial_is_written_with_its_failures),
        cmocka_unit_test(of_a_long_log_the_last_lines_are_kept),
        cmocka_unit_test(changes_come_in_order_and_once_for_each_trial),
        cmocka_unit_test(logs_are_kept_up_to_a_bound),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
