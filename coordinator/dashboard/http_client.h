/* http_client.h - a dashboard and a client of it, over real sockets: for http_test.c and hostile_test.c. */
#ifndef COORDINATOR_DASHBOARD_HTTP_CLIENT_H
#define COORDINATOR_DASHBOARD_HTTP_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "coordinator/dashboard/dashboard_inner.h"

/* Only a failure ever waits so long. */
enum { PATIENCE_MS = 20000 };
#define SECRET "a-name-that-only-those-let-in-may-read"

typedef struct setting {
    char folder[64];
    hyp_space space;
    dashboard *d;
    int port;
    const char *token;
    text answer; /* of the last request */
} setting;

/* ---- the stage ---- */

static inline void start_dashboard(setting *t)
{
    dashboard_options o = {.folder = t->folder,
                           .listen = "",
                           .id = "0123456789abcdef",
                           .name = SECRET,
                           .strategy = "mendel"};
    o.space = &t->space;
    o.fitness = fitness_weights_default;
    assert_int_equal(dashboard_start(&o, &t->d), OK);
    t->port = atoi(strrchr(dashboard_url(t->d), ':') + 1);
    t->token = strchr(dashboard_url(t->d), '=') + 1;
}

static inline int start(void **state)
{
    setting *t = calloc(1, sizeof *t);
    log_set_level(LEVEL_SILENT);
    strcpy(t->folder, "/tmp/http_test_XXXXXX");
    if (!mkdtemp(t->folder)) return -1;
    hyp_space_default(&t->space);
    start_dashboard(t);
    *state = t;
    return 0;
}

static inline int end(void **state)
{
    setting *t = *state;
    dashboard_stop(&t->d);
    fs_remove(t->folder);
    text_free(&t->answer);
    free(t);
    return 0;
}

static inline void publish(setting *t, int64_t evaluated)
{
    dashboard_slot slot = {.candidate = 2, .attempt = 1, .epoch = 3, .epochs = 10, .step = 4, .steps = 9};
    dashboard_worker worker = {"abcdef", "node \"x\"\\\n\xff", "<b>device</b>", 1.5, &slot, 1};
    dashboard_state s = {.generations = 300, .evaluated = evaluated, .running = 1, .bred = 2, .workers = &worker};
    s.worker_count = 1;
    slot.loss = slot.images_per_s = NAN;
    s.best_fitness = s.base_fitness = s.seconds_left = NAN;
    dashboard_publish(t->d, &s);
}

static inline void tell(setting *t, int64_t number, candidate_state state)
{
    store_candidate c = {.number = number, .state = state, .attempts = 1};
    store_attempt a = {.candidate = number, .attempt = 1, .state = ATTEMPT_FAILED, .log = (char *)"the last line"};
    const store_attempt *attempts[] = {&a};
    dashboard_tell(t->d, &c, attempts, state == CANDIDATE_FAILED);
}

/* ---- a client ---- */

static inline int connect_to(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(s, (struct sockaddr *)&at, sizeof at), 0);
    return s;
}

static inline void send_all(int s, const char *bytes, size_t count)
{
    while (count) {
        ssize_t sent = send(s, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0) return; /* the other side has had enough */
        bytes += sent;
        count -= (size_t)sent;
    }
}

/* Append what comes, until `until` stands in it (NULL: until the other side closes). False: it did not come. */
static inline bool read_until(int s, text *into, const char *until)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (clock_ms() < deadline) {
        char bytes[4096];
        struct pollfd source = {s, POLLIN, 0};
        if (until && strstr(text_string(into), until)) return true;
        if (poll(&source, 1, 100) <= 0) continue;
        ssize_t count = recv(s, bytes, sizeof bytes, 0);
        if (count <= 0) return !until;
        text_add_bytes(into, bytes, (size_t)count);
    }
    return false;
}

/* Send a request as it stands, read the answer to its end; the status, 0: the connection was closed without one. */
static inline int exchange(setting *t, const char *request, size_t count)
{
    int s = connect_to(t->port);
    text_clear(&t->answer);
    send_all(s, request, count);
    assert_true(read_until(s, &t->answer, NULL));
    close(s);
    return text_starts_with(text_string(&t->answer), "HTTP/1.1 ") ? atoi(t->answer.bytes + 9) : 0;
}

static inline int ask(setting *t, const char *method, const char *path, const char *headers)
{
    text request = {0};
    text_add(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n", method, path, headers);
    int status = exchange(t, request.bytes, request.length);
    text_free(&request);
    return status;
}

static inline int get(setting *t, const char *path)
{
    char bearer[128];
    snprintf(bearer, sizeof bearer, "Authorization: Bearer %s\r\n", t->token);
    return ask(t, "GET", path, bearer);
}

static inline const char *body(const setting *t)
{
    const char *end = strstr(text_string(&t->answer), "\r\n\r\n");
    return end ? end + 4 : "";
}

static inline bool says(const setting *t, const char *words)
{
    return strstr(text_string(&t->answer), words) != NULL;
}

/* Until a path says these words: news take a moment to the other thread. */
static inline void wait_for(setting *t, const char *path, const char *words)
{
    for (int64_t deadline = clock_ms() + PATIENCE_MS; clock_ms() < deadline; clock_sleep_ms(10)) {
        assert_int_equal(get(t, path), 200);
        if (says(t, words)) return;
    }
    fail_msg("%s never says %s: %s", path, words, text_string(&t->answer));
}

/* A stream of events, asked for. */
static inline int open_events(setting *t)
{
    text request = {0};
    text_add(&request, "GET /api/events?token=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", t->token);
    int s = connect_to(t->port);
    send_all(s, request.bytes, request.length);
    text_free(&request);
    return s;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

#endif
