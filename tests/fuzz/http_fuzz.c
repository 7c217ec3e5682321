/* Any bytes as what a client of the dashboard sends: without the token nothing of the run comes back, and nothing breaks.
 *
 * The first byte says whether the bytes "@TOKEN" in the rest stand for the token; then anything may come back. Connections are socket
 * pairs; the HTTP thread's turns are made here. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/dashboard/dashboard_inner.h"

#define TOKEN  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SECRET "a-name-that-only-those-let-in-may-read"
enum { TURNS = 20, ANSWER_ROOM = 1 << 16 };

static dashboard *make_dashboard(void)
{
    static const char *const log = "a log " SECRET;
    dashboard *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->wake = eventfd(0, EFD_NONBLOCK);
    strcpy(d->token, TOKEN);
    strcpy(d->start, "0123456789abcdef");
    d->cookie = text_copy("mendel_0123");
    d->folder = text_copy("/" SECRET);
    d->name = text_copy(SECRET);
    d->strategy = text_copy("mendel");
    hyp_space_default(&d->space);
    memcpy(d->fitness, fitness_weights_default, sizeof d->fitness);
    store_candidate c = {.number = 1, .state = CANDIDATE_FAILED, .attempts = 1, .reason = (char *)SECRET};
    store_attempt a = {.candidate = 1,
                       .attempt = 1,
                       .state = ATTEMPT_FAILED,
                       .log = (char *)log,
                       .host = (char *)SECRET};
    const store_attempt *attempts[] = {&a};
    dashboard_worker worker = {"abc", SECRET, "device", 1, NULL, 0};
    dashboard_state state = {.notice = SECRET, .workers = &worker, .worker_count = 1, .seconds_left = NAN};
    history_take(&d->history, trial_copy(&c, d->space.count, attempts, 1));
    d->shown = snapshot_copy(&state, 0);
    if (http_open(d, -1) != OK) abort();
    return d;
}

/* "@TOKEN" becomes the token where that is allowed. */
static void expand(const uint8_t *bytes, size_t count, bool allowed, text *out)
{
    static const char mark[] = "@TOKEN";
    for (size_t i = 0; i < count;) {
        bool here = allowed && count - i >= strlen(mark) && !memcmp(bytes + i, mark, strlen(mark));
        text_add_bytes(out, here ? TOKEN : (const char *)bytes + i, here ? TOKEN_DIGITS : 1);
        i += here ? strlen(mark) : 1;
    }
}

static size_t take(int from, char *into, size_t count)
{
    ssize_t got = count < ANSWER_ROOM ? recv(from, into + count, ANSWER_ROOM - count, MSG_DONTWAIT) : -1;
    return got > 0 ? count + (size_t)got : count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static dashboard *d;
    static char answer[ANSWER_ROOM];
    int pair[2];
    if (!count) return 0;
    log_set_level(LEVEL_SILENT);
    if (!d) d = make_dashboard();
    bool allowed = bytes[0] & 1;
    text request = {0};
    expand(bytes + 1, count - 1, allowed, &request);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair)) abort();
    struct sockaddr at = {.sa_family = AF_UNIX};
    size_t got = 0;
    if (MHD_add_connection(d->http, pair[1], &at, sizeof at) != MHD_YES) abort();
    for (size_t sent = 0; sent < request.length;) {
        ssize_t went = send(pair[0], request.bytes + sent, request.length - sent, MSG_NOSIGNAL);
        http_turn(d, 0);
        got = take(pair[0], answer, got);
        if (went < 0 && errno != EAGAIN) break;
        if (went > 0) sent += (size_t)went;
    }
    shutdown(pair[0], SHUT_WR);
    for (int i = 0; i < TURNS; i++) {
        http_turn(d, 0);
        got = take(pair[0], answer, got);
    }
    if (!allowed && memmem(answer, got, SECRET, strlen(SECRET))) abort();
    if (!allowed && memmem(answer, got, TOKEN, TOKEN_DIGITS)) abort();
    close(pair[0]);
    for (int i = 0; i < TURNS && d->peer_count; i++) http_turn(d, 0);
    for (peer *p = d->peers; p; p = p->older) shutdown(p->socket, SHUT_RDWR);
    text_free(&request);
    return 0;
}
