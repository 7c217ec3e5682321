/* What hostile clients of the dashboard cannot do: take memory, places or time without end, or hold up the coordinator. */
#include "coordinator/dashboard/http_client.h"

static void large_requests_are_cut_short(void **state)
{
    setting *t = *state;
    enum { LARGE = 1 << 20 };
    char *large = malloc(LARGE);
    assert_non_null(large);
    memset(large, 'a', LARGE);
    static const char *const fronts[] = {"", "GET /", "GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
                                         "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ", "GET /api/run?token="};
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++) {
        memcpy(large, fronts[i], strlen(fronts[i]));
        int status = exchange(t, large, LARGE);
        if (status && (status < 400 || status > 499)) fail_msg("%s... is answered %d", fronts[i], status);
    }
    text many = {0};
    text_add(&many, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 20000; i++) text_add(&many, "X-%d: y\r\n", i);
    int status = exchange(t, many.bytes, many.length);
    assert_true(!status || (status >= 400 && status <= 499));
    static const char *const bodies[] = {"Content-Length: 99999999999\r\n", "Transfer-Encoding: chunked\r\n",
                                         "Content-Length: 5\r\n"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) assert_int_equal(ask(t, "GET", "/", bodies[i]), 413);
    assert_int_equal(get(t, "/api/run"), 200);
    text_free(&many);
    free(large);
}

static void nonsense_is_refused(void **state)
{
    setting *t = *state;
    static const char *const requests[] = {"GET\r\n\r\n",
                                           "GET / HTTP/9.9\r\n\r\n",
                                           "\x16\x03\x01\x02\x01\x01\x01\r\n\r\n",
                                           "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                           "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                                           "GET / HTTP/1.1\r\n: x\r\n\r\n",
                                           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int s = connect_to(t->port);
        text_clear(&t->answer);
        send_all(s, requests[i], strlen(requests[i]));
        shutdown(s, SHUT_WR);
        assert_true(read_until(s, &t->answer, NULL));
        close(s);
        assert_false(says(t, "200 OK") || says(t, SECRET));
    }
    assert_int_equal(get(t, "/api/run"), 200);
}

/* More half requests than there are places, each kept alive by a byte now and then: they are ended, and others are answered. */
static void slow_clients_are_ended(void **state)
{
    setting *t = *state;
    enum { SLOW = 90 };
    int slow[SLOW], ended = 0;
    for (int i = 0; i < SLOW; i++) {
        slow[i] = connect_to(t->port);
        send_all(slow[i], "GET / HTTP/1.1\r\nX: ", 19);
    }
    assert_int_equal(get(t, "/api/run"), 200);
    for (int64_t deadline = clock_ms() + PATIENCE_MS; ended < SLOW && clock_ms() < deadline; clock_sleep_ms(100)) {
        for (int i = 0; i < SLOW; i++) {
            char byte;
            if (slow[i] < 0) continue;
            send_all(slow[i], "x", 1);
            if (recv(slow[i], &byte, 1, MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR)) {
                close(slow[i]);
                slow[i] = -1;
                ended++;
            }
        }
        if (ended > SLOW - CONNECTIONS_MOST / 2)
            break; /* the rest has the longer time of a place that is not crowded */
    }
    assert_true(ended > SLOW - CONNECTIONS_MOST / 2);
    assert_int_equal(get(t, "/api/run"), 200);
    for (int i = 0; i < SLOW; i++)
        if (slow[i] >= 0) close(slow[i]);
}

/* Clients that read nothing do not slow the coordinator's thread. */
static void a_client_that_reads_nothing_holds_nobody_up(void **state)
{
    setting *t = *state;
    int deaf[8];
    int64_t slowest_ms = 0;
    for (int64_t n = 1; n <= 2000; n++) tell(t, n, CANDIDATE_DONE);
    publish(t, 1);
    wait_for(t, "/api/state", "\"trials\":2000");
    text request = {0};
    for (int i = 0; i < 200; i++)
        text_add(&request, "GET /api/trials?limit=1000&token=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", t->token);
    for (size_t i = 0; i < sizeof deaf / sizeof *deaf; i++) {
        deaf[i] = i % 2 ? open_events(t) : connect_to(t->port);
        if (i % 2 == 0) send(deaf[i], request.bytes, request.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    for (int64_t n = 1; n <= 500; n++) {
        int64_t before = clock_ms();
        tell(t, 2000 + n, CANDIDATE_DONE);
        publish(t, n);
        if (clock_ms() - before > slowest_ms) slowest_ms = clock_ms() - before;
    }
    wait_for(t, "/api/state", "\"evaluated\":500");
    assert_true(slowest_ms < 1000); /* of microseconds of work, on a machine that does other things too */
    for (size_t i = 0; i < sizeof deaf / sizeof *deaf; i++) close(deaf[i]);
    text_free(&request);
}

static void streams_are_bounded(void **state)
{
    setting *t = *state;
    int streams[SUBSCRIBERS_MOST];
    text heard = {0};
    publish(t, 1);
    for (int i = 0; i < SUBSCRIBERS_MOST; i++) {
        streams[i] = open_events(t);
        text_clear(&heard);
        assert_true(read_until(streams[i], &heard, "data: "));
    }
    assert_int_equal(get(t, "/api/events"), 503);
    for (int i = 0; i < SUBSCRIBERS_MOST; i++) close(streams[i]);
    /* Those that have left are noticed with the next events. */
    for (int64_t evaluated = 2, deadline = clock_ms() + PATIENCE_MS;; publish(t, evaluated++), clock_sleep_ms(50)) {
        int s = open_events(t);
        text_clear(&heard);
        assert_true(read_until(s, &heard, "\r\n\r\n"));
        close(s);
        if (strstr(heard.bytes, "200 OK")) break;
        assert_true(clock_ms() < deadline);
    }
    text_free(&heard);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(large_requests_are_cut_short), CASE(nonsense_is_refused),
        CASE(slow_clients_are_ended),       CASE(a_client_that_reads_nothing_holds_nobody_up),
        CASE(streams_are_bounded),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
