/* The dashboard over real sockets: who is let in, and what is answered. */
#include "coordinator/dashboard/http_client.h"
#include "coordinator/dashboard/json_check.h"

/* ---- who is let in ---- */

static const char *const guarded[] = {"/",           "/app.js",    "/style.css", "/icon.svg",
                                      "/api/run",    "/api/state", "/metrics",   "/api/trials",
                                      "/api/events", "/api/log",   "/nothing",   "/api",
                                      "/../etc",     "/?token=",   "/?token=x",  "/metrics?token=0"};

static void nobody_comes_in_without_the_token(void **state)
{
    setting *t = *state;
    publish(t, 1);
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++) {
        assert_int_equal(ask(t, "GET", guarded[i], ""), 401);
        assert_true(says(t, "WWW-Authenticate: Bearer"));
        assert_false(says(t, SECRET) || says(t, "Set-Cookie") || says(t, t->folder));
        assert_int_equal(ask(t, "GET", guarded[i], "Authorization: Bearer 0123\r\nCookie: mendel_0123456789ab=1\r\n"),
                         401);
    }
    assert_int_equal(ask(t, "GET", "/healthz", ""), 200);
}

static void the_token_opens_in_each_of_three_ways(void **state)
{
    setting *t = *state;
    char way[256];
    snprintf(way, sizeof way, "/?token=%s", t->token);
    assert_int_equal(ask(t, "GET", way, ""), 303);
    assert_true(says(t, "Location: /\r\n") && says(t, "HttpOnly; SameSite=Lax"));
    const char *cookie = strstr(text_string(&t->answer), "Set-Cookie: ") + 12;
    snprintf(way, sizeof way, "Cookie: %.*s\r\n", (int)strcspn(cookie, ";"), cookie);
    assert_int_equal(ask(t, "GET", "/", way), 200);
    assert_true(says(t, "<title>Mendel</title>"));
    assert_false(says(t, t->token));
    snprintf(way, sizeof way, "/api/run?token=%s", t->token);
    assert_int_equal(ask(t, "GET", way, ""), 200);
    assert_true(says(t, SECRET));
    assert_int_equal(get(t, "/api/run"), 200);
    assert_int_equal(get(t, "/nothing"), 404);
}

static void every_answer_forbids_what_it_need_not_allow(void **state)
{
    setting *t = *state;
    static const char *const headers[] = {"Content-Security-Policy: default-src 'none'; script-src 'self';",
                                          "frame-ancestors 'none'",
                                          "X-Content-Type-Options: nosniff",
                                          "X-Frame-Options: DENY",
                                          "Referrer-Policy: no-referrer",
                                          "Cache-Control: no-store"};
    static const char *const paths[] = {"/", "/app.js", "/api/state", "/metrics", "/nothing", "/healthz"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        get(t, paths[i]);
        for (size_t k = 0; k < sizeof headers / sizeof *headers; k++)
            if (!says(t, headers[k])) fail_msg("%s is answered without %s", paths[i], headers[k]);
    }
}

static void only_our_own_names_are_answered_to(void **state)
{
    setting *t = *state;
    text request = {0};
    static const char *const hosts[] = {"evil.example", "evil.example:80", "127.0.0.1.evil.example", ""};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        text_clear(&request);
        text_add(&request, "GET /api/run?token=%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", t->token,
                 hosts[i]);
        assert_int_equal(exchange(t, request.bytes, request.length), 421);
        assert_false(says(t, SECRET));
    }
    text_clear(&request);
    text_add(&request, "GET /api/run?token=%s HTTP/1.1\r\nConnection: close\r\n\r\n", t->token);
    assert_int_equal(exchange(t, request.bytes, request.length), 400);
    text_free(&request);
}

/* ---- what is answered ---- */

static void it_can_only_be_read(void **state)
{
    setting *t = *state;
    static const char *const methods[] = {"POST",  "PUT",     "DELETE",   "PATCH", "OPTIONS",
                                          "TRACE", "CONNECT", "NONSENSE", "get"};
    char bearer[128];
    snprintf(bearer, sizeof bearer, "Authorization: Bearer %s\r\n", t->token);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        assert_int_equal(ask(t, methods[i], "/api/run", bearer), 405);
        assert_true(says(t, "Allow: GET, HEAD"));
        assert_false(says(t, SECRET));
    }
    assert_int_equal(ask(t, "HEAD", "/api/run", bearer), 200);
    assert_string_equal(body(t), "");
    assert_int_equal(ask(t, "HEAD", "/api/events", bearer), 200);
    assert_string_equal(body(t), "");
}

static void paths_are_what_they_are_and_no_files(void **state)
{
    setting *t = *state;
    static const char *const paths[] = {"/../dashboard.token",
                                        "/..%2f..%2fetc/passwd",
                                        "/api/../api/run",
                                        "//",
                                        "/app.js/",

                                        "/%2e%2e/app.js",
                                        "/index.html",
                                        "/coordinator/schema.sql",
                                        "/store.sqlite",
                                        "/API/RUN",
                                        "http://127.0.0.1/nothing"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int status = get(t, paths[i]);
        if (status != 404 && status != 400) fail_msg("%s is answered %d", paths[i], status);
    }
}

static void the_api_speaks_json(void **state)
{
    setting *t = *state;
    assert_int_equal(get(t, "/api/state"), 200);
    assert_true(json_is_valid(body(t)) && says(t, "\"phase\":\"starting\""));
    publish(t, 1);
    tell(t, 1, CANDIDATE_DONE);
    wait_for(t, "/api/state", "\"evaluated\":1");
    static const char *const paths[] = {"/api/state", "/api/run", "/api/trials", "/api/trials?since=99",
                                        "/api/trials?limit=-5"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(get(t, paths[i]), 200);
        assert_true(says(t, "Content-Type: application/json; charset=utf-8"));
        if (!json_is_valid(body(t))) fail_msg("%s is no JSON: %s", paths[i], body(t));
    }
    assert_int_equal(get(t, "/api/trials?since=x"), 400);
    assert_int_equal(get(t, "/api/log?candidate=1"), 404);
}

static void trials_come_by_their_changes(void **state)
{
    setting *t = *state;
    for (int64_t n = 1; n <= 5; n++) tell(t, n, n == 3 ? CANDIDATE_FAILED : CANDIDATE_LEASED);
    publish(t, 0);
    wait_for(t, "/api/state", "\"trials\":5");
    assert_int_equal(get(t, "/api/trials?limit=2"), 200);
    assert_true(says(t, "\"next\":2,\"more\":true") && says(t, "\"candidate\":2,") && !says(t, "\"candidate\":3,"));
    tell(t, 1, CANDIDATE_DONE);
    publish(t, 1);
    wait_for(t, "/api/state", "\"trials\":6");
    assert_int_equal(get(t, "/api/trials?since=5"), 200);
    assert_true(says(t, "\"candidate\":1,\"state\":\"done\"") && says(t, "\"next\":6,\"more\":false"));
    assert_int_equal(get(t, "/api/log?candidate=3&attempt=1"), 200);
    assert_string_equal(body(t), "the last line");
    assert_int_equal(get(t, "/api/log?candidate=3&attempt=2"), 404);
}

static void health_is_that_of_the_loop(void **state)
{
    setting *t = *state;
    assert_int_equal(ask(t, "GET", "/healthz", ""), 503);
    publish(t, 1);
    wait_for(t, "/api/state", "\"evaluated\":1");
    assert_int_equal(ask(t, "GET", "/healthz", ""), 200);
    snapshot s = {.taken_ms = 1000};
    dashboard still = {.shown = &s};
    assert_true(dashboard_is_healthy(&still, 9000));
    assert_false(dashboard_is_healthy(&still, 12000));
}

/* ---- /metrics ---- */

static void check_sample(const char *line, const char *text_so_far)
{
    size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");
    char type[160];
    assert_int_equal(strncmp(line, "mendel_", 7), 0);
    snprintf(type, sizeof type, "# TYPE %.*s ", (int)name, line);
    const char *declared = strstr(text_so_far, type);
    if (!declared || declared > line) fail_msg("no type before %.60s", line);
    const char *at = line + name;
    if (*at == '{') {
        bool quoted = false;
        for (at++; *at && (quoted || *at != '}'); at++) {
            if (quoted && *at == '\\') assert_non_null(strchr("\\\"n", *++at));
            else if (*at == '"') quoted = !quoted;
            assert_true(*at != '\n');
        }
        assert_int_equal(*at++, '}');
    }
    assert_int_equal(*at++, ' ');
    char *end;
    strtod(at, &end);
    assert_true(end > at && *end == '\n');
}

static void metrics_are_prometheus_text(void **state)
{
    setting *t = *state;
    publish(t, 7);
    wait_for(t, "/metrics", "mendel_candidates{state=\"evaluated\"} 7\n");
    assert_true(says(t, "Content-Type: text/plain; version=0.0.4"));
    assert_true(says(t, "host=\"node \\\"x\\\"\\\\\\n\xef\xbf\xbd\""));
    for (const char *line = body(t); *line; line = strchr(line, '\n') + 1)
        if (*line != '#') check_sample(line, body(t));
        else assert_true(!strncmp(line, "# HELP mendel_", 14) || !strncmp(line, "# TYPE mendel_", 14));
}

/* ---- events ---- */

static void events_follow_the_state(void **state)
{
    setting *t = *state;
    text heard = {0};
    publish(t, 1);
    wait_for(t, "/api/state", "\"evaluated\":1");
    int s = open_events(t);
    assert_true(read_until(s, &heard, "\"evaluated\":1,"));
    assert_non_null(strstr(heard.bytes, "Content-Type: text/event-stream"));
    publish(t, 2);
    assert_true(read_until(s, &heard, "\"evaluated\":2,"));
    publish(t, 3);
    dashboard_stop(&t->d); /* the last state arrives before the end */
    assert_true(read_until(s, &heard, NULL));
    assert_non_null(strstr(heard.bytes, "\"evaluated\":3,"));
    assert_true(text_ends_with(heard.bytes, "0\r\n\r\n"));
    close(s);
    text_free(&heard);
}

/* ---- the start ---- */

static void a_page_finds_the_run_again_after_a_restart(void **state)
{
    setting *t = *state;
    struct stat information;
    char token[TOKEN_ROOM], *url = path_join(t->folder, "dashboard.url");
    int port = t->port, squatter;
    strcpy(token, t->token);
    assert_int_equal(stat(url, &information), 0);
    assert_int_equal(information.st_mode & 0777, 0600);
    dashboard_stop(&t->d);
    start_dashboard(t);
    assert_int_equal(t->port, port);
    assert_string_equal(t->token, token);
    dashboard_stop(&t->d);
    /* Somebody else has the port: another is found, or, where it was asked for by name, that is said. */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    squatter = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(squatter, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(squatter, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(squatter, 1), 0);
    start_dashboard(t);
    assert_int_not_equal(t->port, port);
    char said[16];
    dashboard *other;
    dashboard_options o = {t->folder, said, "id", "name", "mendel", &t->space, fitness_weights_default};
    snprintf(said, sizeof said, "%d", port);
    assert_int_equal(dashboard_start(&o, &other), ERR_BUSY);
    assert_null(other);
    assert_non_null(strstr(status_message(), said));
    close(squatter);
    free(url);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(nobody_comes_in_without_the_token),
        CASE(the_token_opens_in_each_of_three_ways),
        CASE(every_answer_forbids_what_it_need_not_allow),
        CASE(only_our_own_names_are_answered_to),
        CASE(it_can_only_be_read),
        CASE(paths_are_what_they_are_and_no_files),
        CASE(the_api_speaks_json),
        CASE(trials_come_by_their_changes),
        CASE(health_is_that_of_the_loop),
        CASE(metrics_are_prometheus_text),
        CASE(events_follow_the_state),
        CASE(a_page_finds_the_run_again_after_a_restart),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
